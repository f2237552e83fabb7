#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The run's folder may have any name: characters that a shell expands, too; and
# it is one run's, as long as that runs.
. "$(dirname "$0")/lib.sh"

make_job f32
make_profile 1,2
plan 2 1f1b plan.yaml
for out in 'r[u]n' 'r?n' 'r*' 'r\un'; do
    sed "s/out: run/out: '$(echo "$out" | sed 's/\\/\\\\/')'/" job.yaml > out.yaml
    rm -rf r*
    mkdir -p run/step-00000009 # what the name would expand to
    ranks 2 "$bin/dawn-train" out.yaml --plan plan.yaml --steps 1 \
        > train.log 2>&1
    status=$?
    [ $status -eq 0 ] && [ -e "$out/step-00000001/manifest.json" ]
    done=$?
    report $done "$out: a run is written there, whatever is in run"
    [ $done -eq 0 ] || comment train.log
    ranks 2 "$bin/dawn-train" out.yaml --plan plan.yaml --steps 1 \
        > train.log 2>&1
    status=$?
    [ $status -eq 1 ] && grep -qF "$out/step-00000001" train.log
    refused=$?
    report $refused "$out: a second run into it is refused"
    [ $refused -eq 0 ] || comment train.log
done

second() { # CLAIM [MORE...]: another run, in the same folder
    claim=$1
    shift
    ranks 2 "$bin/dawn-train" job.yaml --plan plan.yaml --steps 1 "$@" \
        > second.log 2>&1
    status=$?
    [ $status -eq 1 ] && [ "$(grep -c '^dawn-' second.log)" -eq 1 ] &&
        grep -q '^dawn-train: run: another run is writing there$' second.log
    refused=$?
    report $refused "$claim"
    [ $refused -eq 0 ] || comment second.log
}
rm -rf r*
sed -i 's/steps: 20/steps: 1000000/' job.yaml
train 2 plan.yaml &
job=$!
wait_for grep -q '"step":2,' run/metrics.jsonl
second "a run is not let in where another is writing"
second "nor one that would go on with it" --resume
kill -TERM "$(pid_of_rank 0)"
wait $job
report $? "the first one ends well"
awk -F'"step":' '{ if ($2 + 0 != NR - 1) exit 1 }' run/metrics.jsonl
report $? "with its metrics whole"
train 2 plan.yaml --resume &
job=$!
lines=$(grep -c '' run/metrics.jsonl)
wait_for grep -q "\"step\":$((lines + 1))," run/metrics.jsonl
kill -KILL "$(pid_of_rank 0)"
wait $job
train 2 plan.yaml --resume --steps $((lines + 1))
report $? "one that was killed leaves the folder free"

"$bin/dawn-plan" profile.yaml --passes=fisher --microbatch=1 --microbatches=4 \
    --stages 2 -o fisher.yaml > plan.log 2>&1
mkdir part
(
    flock 9
    ranks 2 "$bin/dawn-train" job.yaml --plan fisher.yaml --fisher eval.txt \
        --samples 4 -o part
) 9< part > second.log 2>&1
[ $? -eq 1 ] &&
    grep -q '^dawn-train: part: another run is writing there$' second.log &&
    [ -z "$(ls part)" ]
report $? "Fisher information is one run's, too"
ranks 2 "$bin/dawn-train" job.yaml --plan fisher.yaml --fisher eval.txt \
    --samples 4 -o part > second.log 2>&1
report $? "and written where none is"

make_text corpus 1500000
train 2 fisher.yaml --fisher corpus -o fresh &
job=$!
wait_for [ -d fresh ]
ranks 2 "$bin/dawn-train" job.yaml --plan fisher.yaml --fisher eval.txt \
    --samples 4 -o fresh > second.log 2>&1
[ $? -eq 1 ] &&
    grep -q '^dawn-train: fresh: another run is writing there$' second.log
refused=$?
report $refused "a folder that the first one made is its own, too"
[ $refused -eq 0 ] || comment second.log
kill -USR1 "$(pid_of_rank 1)"
wait $job
[ $? -eq 0 ] && [ "$(ls fresh | wc -l)" -eq 1 ]
report $? "it ends well, alone there"
done_testing
