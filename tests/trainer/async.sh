#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Updates within the step: PipeDream's schedule and 2BW's train, stop and go on,
# under a cap, on fewer ranks, with the same bits.
. "$(dirname "$0")/lib.sh"

loss_of() { # METRICS STEP
    sed -n "s/.*\"step\":$2,\"loss\":\([0-9.]*\),.*/\1/p" "$1"
}

same_bits() { # FILE CLAIM
    bits run/metrics.jsonl | awk '{ print $1, $2, $3 }' > got
    cmp -s "$1" got
    same=$?
    report $same "$2: same bits"
    [ $same -eq 0 ] || diff "$1" got | sed 's/^/# /' | head -n 4
}

make_job bf16
make_profile
for kind in async-1f1b async-2bw; do
    rm -rf run
    plan 3 $kind plan.yaml
    report $? "$kind: planned"
    train 3 plan.yaml
    trained=$?
    report $trained "$kind: 20 steps on 3 ranks"
    [ $trained -eq 0 ] || comment train.log
    loss_of run/metrics.jsonl 0 > a
    loss_of run/metrics.jsonl 19 > b
    paste a b | awk '{ exit !($2 > 0 && $2 < $1) }'
    report $? "$kind: the loss falls from $(cat a) to $(cat b)"
    peaks_match run/metrics.jsonl
    report $? "$kind: peaks as predicted"
    grep -q ' versions: [1-9]' plan.yaml
    report $? "$kind: with versions of the weights in them"
    bits run/metrics.jsonl | awk '{ print $1, $2, $3 }' > unbroken

    rm -rf run
    train 3 plan.yaml --steps 7 && train 3 plan.yaml --resume
    report $? "$kind: stopped after step 7, gone on"
    same_bits unbroken "$kind: gone on"

    rm -rf run
    sed 's/ranks: 3/ranks: 1/; s/^- rank: [12]/- rank: 0/
        /^ *predicted:/,/^ *by:/d; /^predicted:/d' plan.yaml > one.yaml
    train 1 one.yaml
    report $? "$kind: all stages on one rank"
    same_bits unbroken "$kind: on one rank"

    ranks 3 "$bin/dawn-train" job.yaml --plan plan.yaml --verify > train.log 2>&1
    report $? "$kind: a step without updates is one stage's"
done

sed -i 's/lr: 3.0e-3, warmup: 5/lr: 100, warmup: 0, weight_decay: 100/
    s/steps: 20/steps: 1000, decay: none/; s/eval_every: 10, //' job.yaml
rm -rf run
plan 2 async-1f1b plan.yaml
train 2 plan.yaml
status=$?
[ $status -eq 1 ] && grep -qE 'first in node [a-z0-9_.]+ \((gradient, )?microbatch [0-5], stage [01]\): ' \
    train.log
named=$?
report $named "numbers that are not finite: node, microbatch and stage are named"
[ $named -eq 0 ] || comment train.log
done_testing
