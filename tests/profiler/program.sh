#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dawn-profile: what it writes, what it prints, what it refuses.
. "$(dirname "$0")/../trainer/lib.sh"

make_job bf16
sed -i 's/microbatch: 2/microbatch: 3/' job.yaml
profile() { # RANKS ARGUMENTS...
    count=$1
    shift
    ranks "$count" "$bin/dawn-profile" "$@" > out 2>&1
}

profile 2 job.yaml --repeats 2
report $? "two ranks measure a model" || comment out
grep -q '^microbatches: \[1, 2, 3\]$' profile.yaml
report $? "sizes are the job's, and powers of two below"
grep -q 'written to profile.yaml' out && grep -q '^linear  *9 ' out
report $? "the table by operator is printed"
"$bin/dawn-plan" profile.yaml --stages 2 --microbatches 2 -o plan.yaml \
    > /dev/null 2>&1
report $? "a plan can be made of it"
profile 1 job.yaml --repeats 2 --microbatch 2,5 -o other.yaml
grep -q '^microbatches: \[2, 5\]$' other.yaml
report $? "one rank measures the sizes asked for, into the file asked for"

profile 2 --machine --dir "$work" -o machine.yaml
report $? "two ranks measure the machine" || comment out
"$bin/dawn-plan" profile.yaml --machine machine.yaml --stages 2 \
    --microbatches 2 -o plan.yaml > /dev/null 2>&1
report $? "a plan can be made for it"
grep -q "kind: ssd, path: \"*$(pwd -P)[\",]" machine.yaml
report $? "the disk is in it" || comment machine.yaml

# Both ranks on one core: a message may wait for the end of a time slice, which
# is not what a link takes. Then there is a warning.
core=$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')
ranks 2 --bind-to none taskset -c "$core" "$bin/dawn-profile" --machine \
    -o shared.yaml > out 2>&1
grep -q '^dawn-profile: warning: ' out ||
    sed -n 's/^link 0-1 .*, \([0-9.]*\) us$/\1/p' out |
    awk '{ few = $1 < 100 } END { exit !few }'
told=$?
report $told "ranks that share a core: a link's latency, or a warning"
[ $told -eq 0 ] || comment out

refused() { # CODE PATTERN ARGUMENTS...
    code=$1 pattern=$2
    shift 2
    profile 2 "$@"
    status=$?
    [ $status -eq "$code" ] && [ "$(grep -c '^dawn-profile: ' out)" -eq 1 ] &&
        grep -qE -- "$pattern" out
    verdict=$?
    report $verdict "refused with exit code $code, one line: $*"
    [ $verdict -eq 0 ] || comment out
}
refused 2 'no JOB'
refused 2 "'--fast'" job.yaml --fast
refused 2 'one job only' job.yaml other.yaml
refused 2 '2,1' job.yaml --microbatch 2,1
refused 2 '1,x' job.yaml --microbatch 1,x
refused 2 '--repeats 0' job.yaml --repeats 0
refused 2 'takes no job' job.yaml --machine
refused 2 'overwrite job.yaml' job.yaml --microbatch 1 -o job.yaml
grep -q '^dawn: job/1' job.yaml
report $? "so the job is still one"
refused 2 'goes with --machine' job.yaml --dir .
refused 1 'nowhere.yaml' nowhere.yaml
refused 1 'abacus' job.yaml --device abacus
refused 1 'nowhere/p.yaml' job.yaml --repeats 1 --microbatch 1 -o nowhere/p.yaml
! grep measured out
report $? "before anything is measured"
refused 1 'nowhere/m.yaml' --machine -o nowhere/m.yaml
# A sample's input of the head, 32 x 32 bf16, and its output, 32 x 256 bf16, with
# the gradient: 34 KiB, 2^30 times; and 256 x 32 weights, f32, with the gradient.
began=$(date +%s)
refused 1 "node 'head' takes at least 35651584\.1 MiB .*microbatch 1073741824" \
    job.yaml --repeats 1 --microbatch 1,1073741824
! grep '^measured' out && [ $(($(date +%s) - began)) -lt 60 ]
report $? "a model that is too large, before anything is measured"
mkdir folder
refused 1 'folder: is a folder' --machine -o folder
profile 1 --machine -o /dev/stdout
grep -q '^dawn: machine/1' out
report $? "the output may be a pipe"
done_testing
