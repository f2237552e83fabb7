#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A job that begins with the parameters of another run's checkpoint.
. "$(dirname "$0")/lib.sh"

last_eval() {
    sed -n 's/.*"eval_loss_hex":"\([^"]*\)".*/\1/p' run/metrics.jsonl | tail -n 1
}

make_job bf16
make_profile
plan 1 1f1b plan1.yaml && plan 2 1f1b plan2.yaml
train 2 plan2.yaml --steps 8
report $? "a run on two ranks"
wanted=$(last_eval)
mkdir base
mv run base/run
# no learning rate: what comes out is what went in
sed -i 's/lr: 3.0e-3/lr: 0, init: base\/run/' job.yaml
train 1 plan1.yaml --steps 1
report $? "one that begins with its parameters, on one"
[ -n "$wanted" ] && [ "$(last_eval)" = "$wanted" ]
report $? "evaluates to the same bits"
[ -e run/step-00000001/manifest.json ]
report $? "and counts its steps from 0"
rm -rf run
mv job.yaml base/
sed 's/init: base.run/init: run/; s/train: train/train: ..\/train/
    s/eval: eval/eval: ..\/eval/' base/job.yaml > base/there.yaml
ranks 1 "$bin/dawn-train" base/there.yaml --plan plan1.yaml --steps 1 \
    > train.log 2>&1
report $? "the path is relative to the job file"
rm -rf run
sed 's/init: base.run/init: base/' base/job.yaml > job.yaml
train 1 plan1.yaml
status=$?
[ $status -eq 1 ] && grep -q '^dawn-train: .*base.*no checkpoint' train.log
report $? "a folder without a checkpoint is refused"
sed 's/hidden: 32/hidden: 64/' base/job.yaml > job.yaml
make_profile
plan 1 1f1b plan1.yaml
train 1 plan1.yaml
status=$?
[ $status -eq 1 ] && grep -q '^dawn-train: .*step-00000008.*wte' train.log
report $? "one of another size too, with the parameter's name"
done_testing
