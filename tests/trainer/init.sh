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
mv run kept
evals=
for beta in 0 1.0e-300 0.9; do
    rm -rf run
    sed "s/lr: 0,/lr: 3.0e-3, beta1: $beta,/" job.yaml > beta.yaml
    ranks 1 "$bin/dawn-train" beta.yaml --plan plan1.yaml --steps 3 \
        > train.log 2>&1 && evals="$evals $(last_eval)"
done
rm -rf run
mv kept run
set -- $evals
[ $# -eq 3 ] && [ "$1" = "$2" ] && [ "$1" != "$3" ]
report $? "beta1: 0 is 0, not the default"
ranks 1 "$bin/dawn-train" job.yaml --plan plan1.yaml --evaluate eval.txt --json \
    > evaluated 2> train.log
report $? "--evaluate"
grep -q '"step":1,"samples":[0-9]*,"eval_loss":' evaluated
report $? "prints the step, the samples, the loss"
sed -i 's/eval_microbatches: 4/eval_microbatches: 1000/' job.yaml
mv run kept
train 1 plan1.yaml --steps 1
[ "$(last_eval)" = "$(sed 's/.*"eval_loss_hex":"//; s/".*//' evaluated)" ]
report $? "which is that of an evaluation on the whole file"
rm -rf run
# A whole evaluation of what a run without a learning rate left: the same weights
ranks 1 "$bin/dawn-train" job.yaml --plan plan1.yaml --evaluate eval.txt --json \
    > begun 2> train.log
report $? "without a checkpoint --evaluate takes init:"
sed 's/"step":1,/"step":0,/' evaluated | cmp -s - begun
report $? "of the same loss, at step 0"
grep -q '^dawn-train: run has no checkpoint: the parameters are those of init: base/run$' train.log
report $? "and says so"
sed 's/, init: base.run//' job.yaml > none.yaml
ranks 1 "$bin/dawn-train" none.yaml --plan plan1.yaml --evaluate eval.txt \
    > train.log 2>&1
[ $? -eq 1 ] && grep -q '^dawn-train: no trained parameters: run has no checkpoint' train.log && [ ! -e run ]
report $? "without both it fails, and makes no folder"
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
"$bin/tests/trainer/poison" base/run bad h.1.ln_2.weight > poison.log
report $? "a checkpoint with a NaN" || comment poison.log
sed 's/init: base.run/init: bad/' base/job.yaml > job.yaml
train 1 plan1.yaml
status=$?
[ $status -eq 1 ] && [ ! -e run ] && [ "$(grep -c '^dawn-' train.log)" -eq 1 ] &&
    grep -q '^dawn-train: bad/step-00000008: tensor h.1.ln_2.weight: element 31 is -*nan, must be finite' \
        train.log
report $? "is refused, with its tensor's name"
mv bad run
train 1 plan1.yaml --resume --steps 9
grep -q '"nonfinite":true' run/metrics.jsonl
report $? "but a run may go on from where it is"
rm -rf run
sed 's/hidden: 32/hidden: 64/' base/job.yaml > job.yaml
make_profile
plan 1 1f1b plan1.yaml
train 1 plan1.yaml
status=$?
[ $status -eq 1 ] && grep -q '^dawn-train: .*step-00000008.*wte' train.log
report $? "one of another size too, with the parameter's name"
done_testing
