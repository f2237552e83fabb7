#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A run whose numbers leave the range of f32: steps are skipped, the node is
# named, and after five in a row the run ends, on all ranks alike.
. "$(dirname "$0")/lib.sh"

make_job f32
sed -i 's/lr: 3.0e-3, warmup: 5/lr: 100, warmup: 0, weight_decay: 100/
    s/steps: 20/steps: 1000, decay: none/; s/eval_every: 10, //' job.yaml
make_profile
plan 2 1f1b plan.yaml
train 2 plan.yaml
status=$?
[ $status -eq 1 ]
report $? "the run ends with exit code 1"
[ "$(grep -c '^dawn-train: ' train.log)" -eq 1 ]
report $? "and one line"
grep -qE '^dawn-train: 5 steps in a row were not finite, first in node [a-z0-9_.]+: ' \
    train.log
named=$?
report $named "which names a node"
[ $named -eq 0 ] || comment train.log
[ "$(grep -c '"nonfinite":true,"bad_node":"' run/metrics.jsonl)" -eq 5 ]
report $? "five steps are marked in the metrics"
[ -z "$(ls -d run/step-* 2>/dev/null)" ]
report $? "no checkpoint of it is written"

# The step before the five ends with weights whose loss is not finite.
steps=$(($(grep -c '' run/metrics.jsonl) - 5))
train 2 plan.yaml --steps "$steps" &&
    ranks 2 "$bin/dawn-train" job.yaml --plan plan.yaml --evaluate eval.txt \
        --json > out.json 2> err.log &&
    grep -qE '"eval_loss":null,"eval_loss_hex":"(nan|-?inf)"}$' out.json &&
    ranks 2 "$bin/dawn-train" job.yaml --plan plan.yaml --evaluate eval.txt \
        > out.log 2>> err.log && grep -qE 'loss (nan|-?inf) on' out.log
verdict=$?
report $verdict "an evaluation that is not finite is null in JSON"
[ $verdict -eq 0 ] || { comment out.json && comment err.log; }
done_testing
