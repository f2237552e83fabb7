#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A small T5 fills in spans: the same bits on 1, 2, 3 and 5 stages, though the
# encoder's output and the biases cross most of the cuts, with tensors recomputed
# and offloaded and on gpipe, and it learns.
. "$(dirname "$0")/lib.sh"

make_job bf16
sed -i 's/preset: gpt2/preset: t5, target_context: 81/
    s/hidden: 32/hidden: 64/; s/context: 32/context: 96/; s/vocab: 256/vocab: 288/
    s/steps: 20/steps: 60/' job.yaml
make_profile
report $? "the model is profiled" || comment profile.log
plan 1 1f1b plan.yaml
train 1 plan.yaml
trained=$?
report $trained "it trains"
[ $trained -eq 0 ] || comment train.log
bits run/metrics.jsonl | head -n 20 > wanted
sed -nE 's/.*"eval_loss":([0-9.]+).*/\1/p' run/metrics.jsonl > held_out
awk 'NR == 1 { first = $1 } { last = $1 } END { exit !(last < first - 0.5) }' \
    held_out
learns=$?
report $learns "it learns to fill in text that it has not seen"
[ $learns -eq 0 ] || comment held_out

same() { # STAGES WHAT [MORE...]
    stages=$1 what=$2
    shift 2
    rm -rf run
    train "$stages" plan.yaml --steps 20 "$@"
    bits run/metrics.jsonl | cmp -s - wanted && peaks_match run/metrics.jsonl
    equal=$?
    report $equal "$stages stages, $what: same bits, the predicted peak"
    [ $equal -eq 0 ] || comment train.log
}
plan 2 gpipe plan.yaml
same 2 gpipe
capped_plan 2 1f1b plan.yaml
report $? "a plan under a cap that recomputes"
same 2 "recomputing"
make_machine 3 .
capped_plan 3 1f1b plan.yaml ssd --machine machine.yaml --offload ssd \
    --recompute none
report $? "a plan under a cap that offloads" || comment plan.log
same 3 "offloading" --offload-dir . --checked
plan 5 1f1b plan.yaml --policy gpipe-uniform
first=$(grep -c 'nodes: \[dec' plan.yaml)
[ "$first" -ge 2 ]
report $? "5 stages: $first of them begin in the decoder"
same 5 1f1b
train 5 plan.yaml --verify
report $? "every gradient is that of one stage, bit for bit" || comment train.log
done_testing
