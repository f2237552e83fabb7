#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A disk under the run folder that is full for a while: the run goes on with a
# warning, metrics have no half line, older checkpoints stay, the next one is
# written when there is room; only the last one must succeed. And the folder's
# parents are made.
. "$(dirname "$0")/lib.sh"

: "${CC:=cc}"
ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"
export ASAN_OPTIONS
$CC -shared -fPIC -D_GNU_SOURCE -o bad.so "$src/tests/trainer/bad_disk.c"
make_job f32
sed -i 's/steps: 20/steps: 1000000, checkpoint_every: 2/; s/keep: 3/keep: 100/
    s|^out: run|out: deep/er/run|' job.yaml
make_profile
plan 2 1f1b plan.yaml
run=deep/er/run
train_full() { # [MORE...]
    ranks 2 env LD_PRELOAD="$work/bad.so" FULL="$work/full" "$bin/dawn-train" \
        job.yaml --plan plan.yaml "$@" > train.log 2>&1
}

train_full &
job=$!
wait_for test -e $run/step-00000004/manifest.json
report 0 "folders above out: are made"
touch full
wait_for grep -q 'warning: cannot write .*metrics.jsonl: No space left' \
    train.log
wait_for grep -q 'warning: .*that checkpoint is lost, older ones stay' train.log
rm full
wait_for grep -q 'is written again; metrics of [0-9]* steps* are lost' train.log
last=$(ls -d $run/step-* | tail -n 1)
wait_for sh -c "[ \"\$(ls -d $run/step-* | tail -n 1)\" != $last ]"
pid=$(for dir in /proc/[0-9]*; do
    [ "$(readlink "$dir/cwd")" = "$work" ] || continue
    case $(readlink "$dir/exe") in *dawn-train*) echo "${dir#/proc/}" ;; esac
done 2>/dev/null | head -n 1)
kill -TERM "$pid"
wait $job
report $? "the run goes on, and ends well" || comment train.log
[ "$(grep -c 'cannot write .*metrics.jsonl' train.log)" -eq 1 ]
report $? "it is said once that metrics are lost"
! grep -qvE '^{.*}$' $run/metrics.jsonl
report $? "no line of the metrics is cut short"
[ -e $run/step-00000002/manifest.json ] && [ -z "$(ls -d $run/.*tmp* 2>/dev/null)" ]
report $? "older checkpoints are there, and no part of others"
sed -i 's/checkpoint_every: 2/checkpoint_every: 0/; s|deep/er/run|last|' job.yaml
touch full
mkdir last
train_full --steps 4
[ $? -eq 1 ] && [ "$(grep -c '^dawn-train: .*No space left' train.log)" -eq 1 ]
report $? "the last checkpoint must be written: exit code 1, one sentence" ||
    comment train.log
done_testing
