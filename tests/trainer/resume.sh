#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stop and go on, also onto other numbers of stages: the same bits as without a
# stop.
. "$(dirname "$0")/lib.sh"

make_job bf16
make_profile
for stages in 1 2 3; do
    plan $stages 1f1b plan$stages.yaml
done
train 2 plan2.yaml
report $? "a run without a stop"
bits run/metrics.jsonl > unbroken
evals=$(grep -c eval_loss_hex run/metrics.jsonl)
[ "$evals" -eq 2 ]
report $? "evaluated at steps 10 and 20"

rm -rf run
train 2 plan2.yaml --steps 7
report $? "a run stopped after step 7"
[ -e run/step-00000007/manifest.json ]
report $? "its checkpoint is there"
# what a run that was killed later leaves behind: steps after the checkpoint,
# and a line cut short
printf '{"step":7,"loss":1.0}\n{"step":8,"lo' >> run/metrics.jsonl
train 3 plan3.yaml --resume --steps 13
report $? "gone on with 3 stages, stopped after step 13"
train 1 plan1.yaml --resume
report $? "gone on with 1 stage to the end"
bits run/metrics.jsonl | sed 's/ *$//' > resumed
sed 's/ *$//' unbroken > wanted
# The last steps of a part are evaluated too: compare what both have.
awk '{ print $1, $2, $3 }' resumed > a
awk '{ print $1, $2, $3 }' wanted > b
cmp -s a b
same=$?
report $same "every step is there once, with the bits of the unbroken run"
[ $same -eq 0 ] || diff a b | sed 's/^/# /'
[ "$(tail -n 1 resumed)" = "$(tail -n 1 wanted)" ]
report $? "the last held-out loss too"

train 2 plan2.yaml --resume --steps 4
status=$?
[ $status -eq 0 ] && grep -q 'nothing to do up to step 4: .* of step 20' train.log
report $? "going on to a step that was passed: it says so"

train 2 plan2.yaml
status=$?
[ $status -eq 1 ] && grep -q 'step-00000020.*--resume' train.log
report $? "a new run into the same folder is refused"
sed -i 's/seed: 3/seed: 4/' job.yaml
train 2 plan2.yaml --resume
status=$?
[ $status -eq 1 ] && grep -q 'seed is 3 there, 4 here' train.log
report $? "a checkpoint of another seed is refused"
done_testing
