#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dawn-train --verify: a plan against one stage, and what its timeout means.
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

# Rank 0 runs the reference alone, here for a second or more. With sanitizers
# that takes fewer microbatches, and getting there more time.
limit=5 microbatches=200
[ -z "${SANITIZER_CFLAGS-}" ] || limit=20 microbatches=20

make_job f32
sed -i 's/hidden: 32/hidden: 64/; s/context: 32/context: 128/' job.yaml
make_profile
"$bin/dawn-plan" profile.yaml --stages 2 --microbatches $microbatches -o plan.yaml \
    > plan.log 2>&1

begin() { # in the background; returns when rank 0 is at the reference
    rm -f train.log
    (ranks 2 timeout $((limit * 12)) "$bin/dawn-train" job.yaml --plan plan.yaml \
        --verify --timeout $limit > train.log 2>&1) &
    job=$!
    while ! grep -q 'now the same on one stage' train.log 2>/dev/null &&
        kill -0 $job 2>/dev/null; do
        sleep 0.05
    done
    first=$(pid_of_rank 0)
}

begin
for i in 1 2; do
    kill -STOP "$first" 2>/dev/null && sleep $((limit * 3 / 5))
    kill -CONT "$first" 2>/dev/null && sleep 0.5
done
wait $job
waited=$?
report $waited "the others wait for a slow reference"
[ $waited -eq 0 ] || comment train.log

begin
kill -STOP "$first"
started=$(date +%s)
wait $job
status=$?
took=$(($(date +%s) - started))
[ $status -eq 1 ] && [ $took -lt $((limit * 6)) ]
ended=$?
report $ended "but not for one that stands still"
[ $ended -eq 0 ] || { echo "# exit code $status after $took s"; comment train.log; }
grep -q "^dawn-train: rank 1: .* waited $limit.0 s" train.log
report $? "and say how long they waited"
done_testing
