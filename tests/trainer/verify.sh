#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dawn-train --verify: a plan against one stage.
. "$(dirname "$0")/lib.sh"

for dtype in f32 bf16; do
    make_job $dtype
    make_profile
    capped_plan 3 1f1b plan.yaml
    report $? "$dtype: a plan of 3 stages that recomputes"
    train 3 plan.yaml --verify
    report $? "$dtype: --verify passes"
    grep -qx 'verify: [0-9]* parameters, loss and all gradients identical' \
        train.log
    same=$?
    report $same "$dtype: it says so"
    [ $same -eq 0 ] || comment train.log
    [ ! -e run ]
    report $? "$dtype: nothing is trained or written"
done
done_testing
