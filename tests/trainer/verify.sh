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
limit=8 microbatches=200
[ -z "${SANITIZER_CFLAGS-}" ] || limit=20 microbatches=20

make_job f32
sed -i 's/hidden: 32/hidden: 64/; s/context: 32/context: 128/' job.yaml
make_profile
"$bin/dawn-plan" profile.yaml --stages 2 --microbatches $microbatches -o plan.yaml \
    > plan.log 2>&1

begin() { # in the background; stops rank 0, $first, where it begins the reference
    rm -f train.log
    (ranks 2 timeout $((limit * 60)) "$bin/dawn-train" job.yaml --plan plan.yaml \
        --verify --timeout $limit > train.log 2>&1) &
    job=$!
    first=
    wait_for first_is_there
    wait_for grep -q 'now the same on one stage' train.log
    kill -STOP "$first"
}

first_is_there() {
    first=$(pid_of_rank 0)
    [ -n "$first" ]
}

cpu_ticks() { # PID: what it has run so far, in 1/100 s
    sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

has_run() { # PID TICKS
    [ "$(cpu_ticks "$1")" -ge "$2" ]
}

begin
for i in 1 2 3; do # some work between them, with beats
    kill -STOP "$first" 2>/dev/null || break
    sleep $((limit * 2 / 5))
    ticks=$(($(cpu_ticks "$first") + limit * 2))
    kill -CONT "$first"
    wait_for has_run "$first" $ticks
done
wait $job
waited=$?
report $waited "the others wait for a slow reference"
[ $waited -eq 0 ] || comment train.log

begin
started=$(date +%s)
wait $job
status=$?
took=$(($(date +%s) - started))
[ $status -eq 1 ] && [ $took -lt $((limit * 20)) ]
ended=$?
report $ended "but not for one that stands still"
[ $ended -eq 0 ] || { echo "# exit code $status after $took s"; comment train.log; }
grep -q "^dawn-train: rank 1: .* waited $limit.0 s" train.log
report $? "and say how long they waited"
done_testing
