#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A plan that offloads trains to the same bits as one that keeps everything, by
# io_uring and without it; a disk that fails ends the job with one clear error.
. "$(dirname "$0")/lib.sh"
: "${CC:=cc}"
ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"
export ASAN_OPTIONS

$CC -shared -fPIC -D_GNU_SOURCE -o bad.so "$src/tests/trainer/bad_disk.c"
report $? "a library that makes a disk bad is built"
mkdir disk
make_job f32
sed -i 's/hidden: 32/hidden: 64/; s/context: 32/context: 128/
    s/steps: 20/steps: 6/' job.yaml
make_profile
make_machine 2 disk
capped_plan 2 1f1b away.yaml ssd --machine machine.yaml --recompute none \
    --offload ssd
planned=$?
report $planned "a plan that fits by offloading"
[ $planned -eq 0 ] || comment plan.log
"$bin/dawn-plan" --check away.yaml profile.yaml --machine machine.yaml \
    > check.log 2>&1
report $? "--check takes it"

train 2 whole.yaml
report $? "a run that keeps everything"
bits run/metrics.jsonl > wanted

with_bad() { # [VARIABLE=VALUE...]: trains
    rm -rf run
    ranks 2 env LD_PRELOAD="$work/bad.so" "$@" "$bin/dawn-train" job.yaml \
        --plan away.yaml --offload-dir disk --checked > train.log 2>&1
}
same() { # CLAIM: the run did what the first did, at the predicted peak
    bits run/metrics.jsonl | cmp -s - wanted && peaks_match run/metrics.jsonl &&
        [ -z "$(ls -A disk)" ]
    equal=$?
    report $equal "$1: same bits, the predicted peak, nothing left"
    [ $equal -eq 0 ] || comment train.log
}
fails() { # PATTERN CLAIM: the last run ended so, with one line
    [ "$ended" -eq 1 ] && [ "$(grep -c '^dawn-train: ' train.log)" -eq 1 ] &&
        grep -qE "^dawn-train: .*$1" train.log && [ -z "$(ls -A disk)" ]
    failed=$?
    report $failed "$2: one line says so, exit code 1, nothing left"
    [ $failed -eq 0 ] || comment train.log
}

rm -rf run
train 2 away.yaml
same "in the folder that the plan names"
rm -rf run
mv disk elsewhere
train 2 away.yaml
ended=$?
mv elsewhere disk
fails 'disk: cannot make a file there: No such file' "that folder gone"
train 2 away.yaml --offload-dir disk
same "by io_uring, where the kernel has it"
with_bad
same "by a thread, in short reads and writes"
with_bad FAIL_WRITE=9
ended=$?
fails 'disk under disk: cannot write [0-9]+ bytes: No space left' "a full disk"
with_bad FAIL_READ=9
ended=$?
fails 'disk under disk: cannot read [0-9]+ bytes: Input/output error' \
    "a disk that cannot be read"
rm -rf run
train 2 away.yaml --offload-dir nowhere
ended=$?
fails 'nowhere: cannot make a file there: No such file' "no such folder"
sed -i '/^tiers:/a\
- {kind: host, read_bytes_per_s: 5.0e9, write_bytes_per_s: 5.0e9}' machine.yaml
# Without the cap: other staging packs otherwise.
sed 's/: ssd/: host/; /^memory:/d' away.yaml > edited.yaml
"$bin/dawn-plan" --check edited.yaml profile.yaml --machine machine.yaml \
    -o host.yaml > check.log 2>&1
priced=$?
report $priced "the same to host memory is priced"
[ $priced -eq 0 ] || comment check.log
rm -rf run
train 2 host.yaml --checked
same "to host memory"
done_testing
