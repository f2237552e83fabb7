#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A corpus that is cut short under a run: one sentence, a checkpoint of the last
# step done, exit code 1; and once it is whole again the run goes on to the same
# bits.
. "$(dirname "$0")/lib.sh"

make_job f32
sed -i 's/steps: 20/steps: 1000000/; s/eval_every: 10/eval_every: 5/' job.yaml
make_profile
plan 2 1f1b plan.yaml

ends() { # FILE BYTES LEFT: the run whose file of so many bytes was cut
    wait $job
    status=$?
    [ $status -eq 1 ] &&
        [ "$(grep -c '^dawn-train: ' train.log)" -eq 1 ] &&
        grep -q "^dawn-train: .*$1: has $3 bytes, had $2 when it was opened" \
            train.log && ! grep -qi 'signal\|backtrace' train.log
    verdict=$?
    report $verdict "$1: one sentence and exit code 1"
    [ $verdict -eq 0 ] || comment train.log
    steps=$(grep -c '' run/metrics.jsonl)
}

cp train.txt whole.txt
train 2 plan.yaml &
job=$!
wait_for grep -q '"step":3,' run/metrics.jsonl
truncate -s 1000 train.txt
ends train.txt 60000 1000
[ -e "run/step-$(printf %08d "$steps")/manifest.json" ]
report $? "a checkpoint of the last step done, $steps"
cp whole.txt train.txt
train 2 plan.yaml --resume --steps $((steps + 3))
report $? "it goes on when the corpus is whole again" || comment train.log
mv run broken
train 2 plan.yaml --steps $((steps + 3))
same() { sed -n 's/.*"loss_hex":"\([^"]*\)".*/\1/p' "$1/metrics.jsonl"; }
[ "$(same broken | wc -l)" -eq $((steps + 3)) ] &&
    [ "$(same broken)" = "$(same run)" ]
report $? "to the bits of a run that was never broken"

rm -r run
train 2 plan.yaml &
job=$!
wait_for grep -q '"step":3,' run/metrics.jsonl
truncate -s 100 eval.txt # 8 windows of 33 bytes are held out
ends eval.txt 6000 100
ls run/step-*/manifest.json > /dev/null 2>&1
report $? "what is held out is read the same way"
done_testing
