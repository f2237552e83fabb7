#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A small BERT fills in masked tokens: the same bits on 1, 2 and 3 stages, with
# tensors recomputed and on gpipe, and it learns.
. "$(dirname "$0")/lib.sh"

make_job bf16
sed -i 's/preset: gpt2/preset: bert, masked: 6/
    s/steps: 20/steps: 60/' job.yaml
make_profile
report $? "the model is profiled" || comment profile.log
plan 1 1f1b plan.yaml
train 1 plan.yaml
trained=$?
report $trained "it trains"
[ $trained -eq 0 ] || comment train.log
bits run/metrics.jsonl > wanted
sed -nE 's/.*"eval_loss":([0-9.]+).*/\1/p' run/metrics.jsonl > held_out
awk 'NR == 1 { first = $1 } { last = $1 } END { exit !(last < first - 0.5) }' \
    held_out
learns=$?
report $learns "it learns to fill in text that it has not seen"
[ $learns -eq 0 ] || comment held_out

same() { # STAGES WHAT
    rm -rf run
    train "$1" plan.yaml
    bits run/metrics.jsonl | cmp -s - wanted && peaks_match run/metrics.jsonl
    equal=$?
    report $equal "$1 stages, $2: same bits, the predicted peak"
    [ $equal -eq 0 ] || comment train.log
}
plan 2 gpipe plan.yaml
same 2 gpipe
capped_plan 2 1f1b plan.yaml
report $? "a plan under a cap"
same 2 "recomputing"
plan 3 1f1b plan.yaml
same 3 1f1b
train 3 plan.yaml --verify
report $? "every gradient is that of one stage, bit for bit" || comment train.log
done_testing
