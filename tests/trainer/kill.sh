#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A rank that is killed ends the job in seconds, and no rank is left running.
. "$(dirname "$0")/lib.sh"

make_job f32
sed -i 's/steps: 20/steps: 1000000/' job.yaml
make_profile
plan 2 1f1b plan.yaml

# Processes of this test that run dawn-train, mpirun aside.
trainers() {
    for dir in /proc/[0-9]*; do
        [ "$(readlink "$dir/cwd" 2>/dev/null)" = "$work" ] || continue
        case $(readlink "$dir/exe" 2>/dev/null) in
        *dawn-train*) echo "${dir#/proc/}" ;;
        esac
    done
}

train 2 plan.yaml &
job=$!
wait_for grep -q '"step":3,' run/metrics.jsonl
set -- $(trainers)
[ $# -eq 2 ]
report $? "two ranks train"
start=$(date +%s)
kill -9 "$2"
wait $job
status=$?
[ $status -ne 0 ]
report $? "the job ends with an error ($status)"
[ $(($(date +%s) - start)) -le 20 ]
report $? "within 20 seconds"
for i in 1 2 3 4 5 6 7 8 9 10; do
    [ -z "$(trainers)" ] && break
    sleep 1
done
[ -z "$(trainers)" ]
report $? "no rank is left running"
[ "$(grep -c '' run/metrics.jsonl)" -ge 4 ]
report $? "the metrics of the steps done are there"
done_testing
