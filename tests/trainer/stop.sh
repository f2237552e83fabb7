#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A signal to one rank, or SIGUSR1 to mpirun: all finish the step, write a
# checkpoint, or what a pass observed, and end well; a run goes on from there.
. "$(dirname "$0")/lib.sh"

make_job f32
sed -i 's/steps: 20/steps: 1000000/' job.yaml
make_profile
plan 2 1f1b plan.yaml

rank_pid() { # any rank of this test
    for dir in /proc/[0-9]*; do
        [ "$(readlink "$dir/cwd" 2>/dev/null)" = "$work" ] || continue
        case $(readlink "$dir/exe" 2>/dev/null) in
        *dawn-train*) echo "${dir#/proc/}" && return ;;
        esac
    done
}

stop_and_check() { # NAME SIGNAL
    wait $job
    report $? "$1: exit code 0"
    grep -q "^stopped by $2 after" train.log
    report $? "$1: the run says that it was stopped"
    steps=$(grep -c '' run/metrics.jsonl)
    [ -e "run/step-$(printf %08d "$steps")/manifest.json" ]
    report $? "$1: a checkpoint of the last step done"
}

train 2 plan.yaml &
job=$!
wait_for grep -q '"step":2,' run/metrics.jsonl
kill -TERM "$(rank_pid)"
stop_and_check "SIGTERM to a rank" SIGTERM
grep -q '^no checkpoint before step 1000000' train.log
report $? "it began with a warning that nothing is kept until it ends"

train 2 plan.yaml --resume &
job=$!
wait_for grep -q "\"step\":$((steps + 2))," run/metrics.jsonl
for pid in $(cat /proc/[0-9]*/stat 2>/dev/null |
    awk '/\((mpirun|orterun)\)/ { print $1 }'); do
    [ "$(readlink "/proc/$pid/cwd")" = "$work" ] && kill -USR1 "$pid"
done
stop_and_check "SIGUSR1 to mpirun, after a resume" SIGUSR1
grep -q '^dawn-train: told to stop' train.log
report $? "rank 0 said at once that it was told to stop"

sed -i 's/steps: 1000000/steps: 20/' job.yaml
rm -rf run
train 2 plan.yaml
! grep 'no checkpoint before' train.log
report $? "a short run has no such warning"

# The same of a pass that observes
make_text corpus 1500000
make_profile 1
"$bin/dawn-plan" profile.yaml --passes=fisher --microbatch=1 --microbatches=4 \
    --stages 2 -o fisher.yaml > plan.log 2>&1
train 2 fisher.yaml --fisher corpus -o part &
job=$!
wait_for [ -d part ]
kill -USR1 "$(pid_of_rank 1)"
wait $job
report $? "--fisher, SIGUSR1 to a rank: exit code 0"
said=$(sed -n 's/^stopped by SIGUSR1 after \([0-9]*\) of [0-9]* samples: .*/\1/p' \
    train.log)
[ -n "$said" ] && [ "$(ls part)" = "step-$(printf %08d "$said")" ] &&
    grep -q "^Fisher information of $said samples, " train.log &&
    grep -q "\"samples\": \"$said\"" part/step-*/manifest.json
report $? "it says how many samples were observed"
train 2 fisher.yaml --fisher corpus --samples "${said:-1}" -o asked &&
    diff -r part asked > diff.log
report $? "what it wrote is what so many samples give"
done_testing
