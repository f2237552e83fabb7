#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checkpoints are written while training goes on; a run that is killed, or whose
# disk fails, while it writes leaves the former one.
. "$(dirname "$0")/lib.sh"
: "${CC:=cc}"
ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"
export ASAN_OPTIONS

$CC -shared -fPIC -D_GNU_SOURCE -o disk.so "$src/tests/trainer/slow_disk.c"
report $? "a library that makes a disk slow is built"
make_job f32
sed -i 's/keep: 3/keep: 3, checkpoint_every: 15/' job.yaml
make_profile
plan 2 1f1b plan.yaml
with_disk() { # VARIABLE=VALUE [MORE...]: trains
    disk=$1
    shift
    ranks 2 env LD_PRELOAD="$work/disk.so" "$disk" "$bin/dawn-train" job.yaml \
        --plan plan.yaml "$@" > train.log 2>&1
}
while_writing() { # all steps end, the checkpoint of step 15 does not
    wait_for grep -q '"step":19,' run/metrics.jsonl
    grep -q '"step":19,' run/metrics.jsonl && [ -d run/.tmp-step-00000015 ] &&
        [ ! -e run/step-00000015 ]
}

train 2 plan.yaml
report $? "a run on a fast disk" || comment train.log
bits run/metrics.jsonl > wanted

rm -rf run
with_disk SLOW_DISK_UNTIL="$work/go" &
job=$!
while_writing
report $? "the last step is done while the checkpoint of step 15 is written"
touch go
wait $job
report $? "the run on a slow disk ends well"
ls run > files
printf '%s\n' metrics.jsonl step-00000015 step-00000020 | cmp -s - files
report $? "both checkpoints are there"
rm -rf run/step-00000020
train 2 plan.yaml --resume
bits run/metrics.jsonl | cmp -s - wanted
report $? "the one of step 15 has the numbers of step 15"

rm -rf run
train 2 plan.yaml --steps 10
with_disk SLOW_DISK_UNTIL="$work/never" --resume &
job=$!
while_writing
report $? "training on while the next checkpoint is written"
kill -9 "$(pid_of_rank 1)"
wait $job
[ $? -ne 0 ]
report $? "a rank is killed: the job ends with an error"
[ -e run/step-00000010/manifest.json ] && [ ! -e run/step-00000015 ]
report $? "the former checkpoint is there, the one that was not whole is not"
train 2 plan.yaml --resume
report $? "the run goes on from there"
awk '{ print $1, $2, $3 }' wanted > a
bits run/metrics.jsonl | awk '{ print $1, $2, $3 }' | cmp -s - a
report $? "to the same numbers"
[ -z "$(ls -d run/.tmp-* 2>/dev/null)" ]
report $? "and nothing is left of the broken one"

rm -rf run
train 2 plan.yaml --steps 10
with_disk BROKEN_DISK=1 --resume --steps 30
[ $? -eq 1 ] && [ "$(grep -c '' run/metrics.jsonl)" -eq 30 ]
report $? "with a disk that fails the run goes on to its end, with exit code 1"
grep -q '^warning: .*that checkpoint is lost, older ones stay' train.log
report $? "a warning tells of checkpoints between"
[ "$(grep -c '^dawn-train: ' train.log)" -eq 1 ] &&
    grep -qE '^dawn-train: .*rank-[01].safetensors: .*Input/output error' \
        train.log
told=$?
report $told "and one line that says so"
[ $told -eq 0 ] || comment train.log
ls -A run > files
printf '%s\n' metrics.jsonl step-00000010 | cmp -s - files
report $? "the former checkpoint is there, and nothing of the new one"
done_testing
