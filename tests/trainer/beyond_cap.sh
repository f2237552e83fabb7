#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A model whose state and activations are three times what each rank may use,
# and whose state alone is more, trains to the same bits as without a cap:
# moments and activations lie on disk. A disk that fails ends the job with one
# clear error.
. "$(dirname "$0")/lib.sh"
: "${CC:=cc}"
ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"
export ASAN_OPTIONS
same_tensors=$bin/tests/trainer/same_tensors

$CC -shared -fPIC -D_GNU_SOURCE -o bad.so "$src/tests/trainer/bad_disk.c"
report $? "a library that makes a disk bad is built"
mkdir disk
make_job f32
sed -i 's/layers: 2, hidden: 32/layers: 4, hidden: 128/
    s/context: 32/context: 128/; s/microbatch: 2/microbatch: 1/
    s/steps: 20/steps: 6, checkpoint_every: 4/; s/eval_every: 10/eval_every: 3/
    ' job.yaml
make_profile 1
make_machine 2 disk

# Of each stage: its peak; its parameters, gradients and moments.
peaks() { # PLAN
    awk '/^ *peak_bytes:/ { print $2 }' "$1"
}
state() { # PLAN
    sed -nE 's/^ *by: \{params: ([0-9]+), grads: ([0-9]+), optimizer: ([0-9]+).*/\1 \2 \3/p' \
        "$1" | awk '{ print $1 + $2 + $3 }'
}
# Cut in the middle: by times a rank may get little.
plan 2 gpipe timed.yaml
sed '/^predicted:/d; /^stages:/,$d' timed.yaml > cut.yaml
cat >> cut.yaml <<END
stages:
- nodes: [tok_embed, block1.mlp.add]
- nodes: [block2.ln1, loss]
END
"$bin/dawn-plan" --check cut.yaml profile.yaml -o whole.yaml > check.log 2>&1
report $? "a plan that keeps everything" || comment check.log
cap=$(($(peaks whole.yaml | sort -n | head -n 1) / 3))
plan 2 gpipe away.yaml --machine machine.yaml --memory $cap --offload ssd
planned=$?
report $planned "a plan under $cap bytes a rank"
[ $planned -eq 0 ] || comment plan.log
grep -q '^  optimizer:' away.yaml && grep -q '^    .*: ssd' away.yaml
report $? "it offloads moments and activations"
for rank in 1 2; do
    needs=$(peaks whole.yaml | sed -n ${rank}p)
    keeps=$(state whole.yaml | sed -n ${rank}p)
    [ "$needs" -ge $((3 * cap)) ]
    report $? "rank $((rank - 1)) needs $needs bytes without a cap, at least 3 times as much"
    echo "# $keeps of them are its parameters, gradients and moments"
done
[ "$(state whole.yaml | sort -n | tail -n 1)" -gt "$cap" ]
report $? "one rank's state alone is more than the cap"

train 2 whole.yaml
report $? "a run without a cap"
bits run/metrics.jsonl > wanted
mv run whole

same() { # CLAIM: the run did what the first did, at the predicted peak
    bits run/metrics.jsonl | cmp -s - wanted && peaks_match run/metrics.jsonl &&
        [ -z "$(ls -A disk)" ] &&
        [ "$(tail -n 1 run/metrics.jsonl |
            sed 's/.*"peak_bytes":\[\([0-9]*\),\([0-9]*\)\].*/\1\n\2/' |
            sort -n | tail -n 1)" -le "$cap" ]
    equal=$?
    report $equal "$1: same losses and norms, the predicted peak, under the cap"
    [ $equal -eq 0 ] || comment train.log
    for step in 4 6; do
        at=step-0000000$step
        "$same_tensors" whole/$at run/$at > tensors.log
        equal=$?
        report $equal "the checkpoint of step $step: $(cat tensors.log) tensors, same bits"
    done
}
train 2 away.yaml --offload-dir disk
same "under it, by io_uring where the kernel has it"
mv run away

with_bad() { # [VARIABLE=VALUE...]: trains
    rm -rf run
    ranks 2 env LD_PRELOAD="$work/bad.so" "$@" "$bin/dawn-train" job.yaml \
        --plan away.yaml --offload-dir disk --checked > train.log 2>&1
}
with_bad
same "by a thread, in short reads and writes, with checksums"

# On, from a checkpoint in the middle: with the moments elsewhere.
go_on() { # FROM RANKS PLAN CLAIM
    rm -rf run
    cp -r "$1" run
    rm -rf run/step-00000006
    train "$2" "$3" --resume --offload-dir disk --checked
    "$same_tensors" whole/step-00000006 run/step-00000006 > tensors.log
    equal=$?
    report $equal "$4: same bits"
    [ $equal -eq 0 ] || comment train.log
}
plan 1 gpipe one.yaml
sed '/^- rank: 0/,/^ *nodes/s/^\( *nodes.*\)/\1\n  optimizer: ssd/' one.yaml \
    > one_away.yaml
go_on away 1 one.yaml "gone on with one rank, which keeps its moments"
go_on whole 1 one_away.yaml "with one rank, which does not"
go_on whole 2 away.yaml "from a run that kept them under the cap"

fails() { # PATTERN CLAIM: the last run ended so, with one line
    [ "$ended" -eq 1 ] && [ "$(grep -c '^dawn-train: ' train.log)" -eq 1 ] &&
        grep -qE "^dawn-train: .*$1" train.log && [ -z "$(ls -A disk)" ]
    failed=$?
    report $failed "$2: one line says so, exit code 1, nothing left"
    [ $failed -eq 0 ] || comment train.log
}
with_bad FAIL_WRITE=3
ended=$?
fails 'disk under disk: cannot write [0-9]+ bytes: No space left' \
    "a disk that is full at once"
with_bad FAIL_WRITE=2500
ended=$?
fails 'disk under disk: cannot write [0-9]+ bytes: No space left' \
    "a disk that fills later"
with_bad FAIL_READ=2500
ended=$?
fails 'disk under disk: cannot read [0-9]+ bytes: Input/output error' \
    "a disk that cannot be read"
done_testing
