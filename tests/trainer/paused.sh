#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Ranks that a batch system stops for longer than their timeout, and continues.
. "$(dirname "$0")/lib.sh"

make_job f32
sed -i 's/steps: 20/steps: 100000/; s/eval_every: 10/eval_every: 0/' job.yaml
make_profile && plan 2 1f1b plan.yaml
report $? "a plan is made"

begin() { # in the background, with a timeout of 3 s; until steps are done
    rm -rf run
    timeout 100 "$MPIRUN" -q -n 2 --oversubscribe "$bin/dawn-train" job.yaml \
        --plan plan.yaml --timeout 3 > train.log 2>&1 &
    job=$!
    wait_for grep -q '"step":3,' run/metrics.jsonl
    first=$(pid_of_rank 0) second=$(pid_of_rank 1)
}
lines() {
    wc -l < run/metrics.jsonl
}
more_steps() { # than before
    [ "$(lines)" -gt "$before" ]
}

begin
for turn in 1 2; do
    kill -STOP "$first" "$second"
    sleep 5
    before=$(lines)
    kill -CONT "$first" "$second"
    wait_for more_steps
    more_steps
    report $? "both ranks were stopped for 5 s, turn $turn: they go on"
done
kill -TERM "$first"
wait $job
ended=$?
report $ended "and stop as told"
[ $ended -eq 0 ] || comment train.log
[ -n "$(ls -d run/step-*)" ]
report $? "with a checkpoint"

# The watchdog is still there: one rank alone stands still.
begin
kill -STOP "$second"
wait $job
echo "exit status $?" >> train.log
grep -qE '^dawn-train: rank 0: .* (waits|waited).* 3(.0)? s' train.log &&
    ! grep -q 'exit status 0' train.log
ended=$?
report $ended "one rank alone was stopped: the other ends the job"
[ $ended -eq 0 ] || comment train.log
done_testing
