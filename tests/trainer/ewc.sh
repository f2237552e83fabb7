#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Elastic weight consolidation from end to end: Fisher information of a trained
# model, then training that stays near it. The same bits on any number of stages
# and whatever is kept; memory as predicted; wrong input refused.
. "$(dirname "$0")/lib.sh"
: "${CC:=cc}"
ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"
export ASAN_OPTIONS

check() { # STATUS CLAIM
    report "$1" "$2"
    [ "$1" -eq 0 ] || comment train.log
}

ewc_job() { # FORM LAMBDA [MORE]: in ewc.yaml; the base model goes on
    sed -e "s/^out: .*/out: run/" -e "s/keep: 3}/keep: 3, init: base}/" \
        -e "s/train: train.txt/train: eval.txt/" job.yaml > ewc.yaml
    cat >> ewc.yaml <<END
passes:
- {ewc: {fisher: fisher1, anchor: base, lambda: $2, form: $1${3-}}}
END
}

fisher_plan() { # STAGES FILE [MORE...]
    fisher_stages=$1 file=$2
    shift 2
    "$bin/dawn-plan" profile.yaml --passes=fisher --microbatch=1 \
        --microbatches=4 --stages "$fisher_stages" -o "$file" "$@" > plan.log 2>&1
}

train_ewc() { # RANKS PLAN [MORE...]
    count=$1 plan=$2
    shift 2
    ranks "$count" "$bin/dawn-train" ewc.yaml --plan "$plan" "$@" > train.log 2>&1
}

# step, loss, penalty and both norms, all of their bits
all_bits() { # METRICS
    sed -E 's/"loss":[^,]*,//; s/.*("step".*"penalty_grad_norm_hex":"[^"]*").*/\1/
        s/"[a-z_]*":[0-9.e+-]*,//g' "$1"
}

digest_of() { # CHECKPOINT: of F and anchor
    sed -n 's/.*"passes": ".*\(xxh3:[0-9a-f]*\)".*/\1/p' "$1"/step-*/manifest.json
}

make_job f32
make_profile 1,2
plan 1 1f1b plan.yaml
sed -i 's/^out: .*/out: base/' job.yaml
train 1 plan.yaml
check $? "a base model is trained"

# Fisher information
for stages in 1 2 3 4; do
    fisher_plan "$stages" fisher.yaml
    train "$stages" fisher.yaml --fisher eval.txt --samples 30 -o "fisher$stages"
    check $? "$stages stages: Fisher information, 30 samples in steps of 4"
    ! grep -q warning train.log
    check $? "$stages stages: memory as predicted"
    grep -E '"(mean|max|samples|estimator)"' "fisher$stages"/step-*/manifest.json \
        > "said$stages"
    [ -s said1 ] && cmp -s said1 "said$stages"
    check $? "$stages stages: the same mean and largest"
done
fisher_plan 2 fisher.yaml
fisher_plan 2 capped.yaml --memory $(($(peak_of fisher.yaml) * 80 / 100)) &&
    grep -q ': recompute' capped.yaml &&
    train 2 capped.yaml --fisher eval.txt --samples 30 -o fisher5
check $? "under a cap that recomputes"
grep -E '"(mean|max|samples|estimator)"' fisher5/step-*/manifest.json | cmp -s - said1
check $? "the same mean and largest"
train 2 fisher.yaml --fisher eval.txt --samples 30 -o fisher1
[ $? -eq 1 ] && grep -q 'fisher1/step-00000030 is of an earlier run' train.log
check $? "what is there is not overwritten"
train 2 fisher.yaml --fisher eval.txt --samples 100000 -o fisher6
[ $? -eq 1 ] && grep -q 'samples 100000: eval.txt has [0-9]* samples$' train.log
check $? "more samples than the corpus has are refused"
too_late() { # DIR TEXT CLAIM: refused before the first sample
    train 1 one_fisher.yaml --fisher eval.txt --samples 30 -o "$1"
    [ $? -eq 1 ] && grep -q "$2" train.log && ! grep -q '30 samples' train.log
    check $? "$3"
}
fisher_plan 1 one_fisher.yaml
too_late job.yaml 'cannot make folder job.yaml: ' "-o that is a file"
too_late /proc/none 'cannot make folder /proc/none: ' "-o that cannot be made"
too_late job.yaml/x 'cannot make folder job.yaml/x: ' "-o below a file"
train 1 one_fisher.yaml --fisher eval.txt -o ''
[ $? -eq 2 ] && grep -q "^dawn-train: -o '': the folder has no name" train.log
check $? "-o without a name: wrong usage"
odd=$(printf 'a\377\303\244')
cp eval.txt "$odd"
train 1 one_fisher.yaml --fisher "$odd" --samples 30 -o deep/below/odd &&
    grep -q '"corpus": "a\\\\xffä"' deep/below/odd/step-00000030/manifest.json
check $? "a corpus whose name is no UTF-8: written with an escape, in a deep folder"
train 1 plan.yaml --fisher eval.txt -o fisher6
[ $? -eq 1 ] && grep -q 'passes=fisher --microbatch=1' train.log
check $? "microbatches of 2 are refused, with the command for a plan"
"$bin/dawn-plan" profile.yaml --microbatch=1 -o one.yaml > plan.log 2>&1
train 1 one.yaml --fisher eval.txt -o fisher6
[ $? -eq 1 ] && grep -q '^dawn-train: one.yaml was priced with passes: none, --fi[a-z]* wants passes: fisher' train.log
check $? "and so is a plan that did not price the pass"
grep -q -- '--microbatch=1 --stages=1 .* -o fisher-plan.yaml$' train.log
check $? "the advice does not overwrite it"
"$bin/dawn-plan" profile.yaml --passes=fisher-of-batch-mean --microbatches=3 \
    -o mean.yaml > plan.log 2>&1
train 1 mean.yaml --fisher eval.txt --fisher-of-batch-mean --samples 30 -o mean
grep -q '"estimator": "fisher-of-batch-mean"' mean/step-00000005/manifest.json &&
    grep -q '"steps": "5"' mean/step-00000005/manifest.json
check $? "squares of batch means are called that"

# Training
for form in gradient proximal; do
    ewc_job $form 100 ', relative: true'
    for stages in 1 2 3; do
        rm -rf run
        plan "$stages" 1f1b plan.yaml --microbatch=2 --passes=ewc
        [ "$stages" -gt 1 ] && sed -i "s/fisher1/fisher$stages/" ewc.yaml
        train_ewc "$stages" plan.yaml
        check $? "$form, $stages stages: EWC trains"
        peaks_match run/metrics.jsonl
        check $? "$form, $stages stages: peak memory as predicted"
        all_bits run/metrics.jsonl > bits
        [ "$stages" -eq 1 ] && cp bits first && digest_of run > digest
        [ "$(grep -c penalty_grad_norm_hex first)" -eq 20 ] && cmp -s bits first
        check $? "$form, $stages stages: same loss, penalty and both norms"
        [ -s digest ] && digest_of run | cmp -s - digest
        check $? "$form, $stages stages: Fisher information had the same bits"
    done
    head -n 1 run/metrics.jsonl | grep -q '"penalty":0.0,'
    check $? "$form: no penalty at the anchor"
    tail -n 1 run/metrics.jsonl | grep -qE '"penalty":[0-9.]*[1-9]'
    check $? "$form: a penalty off it"
done
[ "$(grep -c 'passes: [1-9]' plan.yaml)" -eq 3 ]
check $? "the plan's memory has the passes, on every stage"

# Under a cap that is just too small for the pass where the cut was
uncut() { # FILE [MORE...]: no decision but the cut
    "$bin/dawn-plan" profile.yaml --stages=2 --microbatches=6 --microbatch=2 \
        --recompute=none --offload=none -o "$@" > plan.log 2>&1
}
uncut plan.yaml --passes=ewc
cap=$(($(peak_of plan.yaml) * 99 / 100))
uncut without.yaml --passes=none --memory=$cap &&
    uncut with.yaml --passes=ewc --memory=$cap
report $? "both plans fit" || comment plan.log
for file in without with; do
    grep ' nodes:' $file.yaml > $file.cuts
done
! cmp -s without.cuts with.cuts
report $? "the planner's cut moves when the pass is on"

plan 2 1f1b plain.yaml --microbatch=2
rm -rf run
train_ewc 2 plain.yaml
[ $? -eq 1 ] && grep -q '^dawn-train: plain.yaml was priced with passes: none, ewc.yaml has passes: ewc: .*dawn-plan --passes=ewc$' train.log
check $? "a plan without the pass is refused"

# Going on
plan 2 1f1b plan.yaml --microbatch=2 --passes=ewc
ewc_job proximal 100 ', relative: true'
rm -rf run
train_ewc 2 plan.yaml --steps 8 && train_ewc 2 plan.yaml --resume
all_bits run/metrics.jsonl | cmp -s - first
check $? "stopped and resumed: the same bits"

# F and anchor on a disk, with the moments
$CC -shared -fPIC -D_GNU_SOURCE -o bad.so "$src/tests/trainer/bad_disk.c"
report $? "a library that makes a disk bad is built"
mkdir disk
make_machine 2 disk
away() { # PLAN FILE: the same with the state on the disk, priced
    sed 's/^\( *nodes: .*\)/\1\n  optimizer: ssd/' "$1" > edited.yaml
    "$bin/dawn-plan" --check edited.yaml profile.yaml --machine machine.yaml \
        --explain -o "$2" > plan.log 2>&1
}
away plan.yaml away.yaml
report $? "a plan with moments, F and anchor on a disk" || comment plan.log
grep -qE '^  moments of .*each way$' plan.log &&
    grep -qE '^  passes of .* to ssd, read once a step$' plan.log &&
    ! grep -q 'passes: [1-9]' away.yaml
report $? "it says so, and nothing of the pass is in memory"
same_away() { # METRICS CLAIM
    all_bits run/metrics.jsonl | cmp -s - "$1" && peaks_match run/metrics.jsonl &&
        [ -z "$(ls -A disk)" ]
    check $? "$2: same bits, the predicted peak"
}
rm -rf run
train_ewc 2 away.yaml --checked
same_away first "from the disk"
digest_of run | cmp -s - digest
check $? "of the same F and anchor"
rm -rf run
train_ewc 2 away.yaml --verify && grep -q '^verify: .* gradients identical' train.log
check $? "--verify finds the same bits as on one stage"
rm -rf run
train_ewc 2 away.yaml --steps 8 && train_ewc 2 plan.yaml --resume
same_away first "begun there, gone on in memory"
rm -rf run
train_ewc 2 plan.yaml --steps 8 && train_ewc 2 away.yaml --resume
same_away first "begun in memory, gone on there"
rm -rf run
ranks 2 env LD_PRELOAD="$work/bad.so" FAIL_READ=100 "$bin/dawn-train" \
    ewc.yaml --plan away.yaml > train.log 2>&1
[ $? -eq 1 ] && [ "$(grep -c '^dawn-train: ' train.log)" -eq 1 ] &&
    grep -qE '^dawn-train: .*disk: cannot read [0-9]+ bytes' train.log
check $? "a disk that cannot be read: one line says so, exit code 1"

rm -rf run
train_ewc 2 plan.yaml --steps 8
ewc_job proximal 99 ', relative: true'
train_ewc 2 plan.yaml --resume
[ $? -eq 1 ] && grep -qE 'passes is ewc proximal lambda [0-9.]+ xxh3:[0-9a-f]+ there, ewc proximal lambda [0-9.]+ xxh3' train.log
check $? "another lambda is another run, told in decimal"
sed -i '/^passes:/,$d' ewc.yaml
train_ewc 2 plain.yaml --resume
[ $? -eq 1 ] && grep -qE 'passes is ewc proximal .* there, none here$' train.log
check $? "and so is none"

# Extremes
ewc_job proximal 1.0e12
rm -rf run
train_ewc 2 plan.yaml && ! grep -q 'nonfinite' run/metrics.jsonl &&
    tail -n 1 run/metrics.jsonl | grep -q '"loss":[0-9]'
check $? "proximal with lambda 1e12 does not diverge"
ewc_job gradient 1.0e12
rm -rf run
train_ewc 2 plan.yaml --steps 1
grep -q 'warning: ewc: lr 0.003 \* lambda 1e+12' train.log
check $? "gradient with lambda 1e12 is warned of"
"$bin/dawn-plan" profile.yaml --stages=2 --microbatches=6 --microbatch=2 \
    --passes=ewc-bf16 -o bf16.yaml > plan.log 2>&1
ewc_job proximal 100 ', relative: true, state: bf16'
rm -rf run
train_ewc 2 bf16.yaml && peaks_match run/metrics.jsonl &&
    [ "$(peak_of bf16.yaml)" -lt "$(peak_of plan.yaml)" ]
check $? "F as bf16: trains, takes less, and as much as predicted"
all_bits run/metrics.jsonl > kept16
away bf16.yaml away16.yaml
rm -rf run
train_ewc 2 away16.yaml
same_away kept16 "F as bf16, from the disk"

# Online
ewc_job proximal 100 ', relative: true, online: {decay: 0.5}'
fisher_plan 2 fisher.yaml
ranks 2 "$bin/dawn-train" ewc.yaml --plan fisher.yaml --fisher eval.txt \
    --samples 30 -o online > train.log 2>&1
grep -q '"decay": "0.5"' online/step-00000030/manifest.json &&
    grep -q '^with 0.5 times that of fisher1' train.log
check $? "online: the earlier Fisher information is added"

sed -i 's/fisher: fisher1/fisher: nowhere/' ewc.yaml
ranks 2 "$bin/dawn-train" ewc.yaml --plan fisher.yaml --fisher eval.txt \
    --samples 30 -o online2 > train.log 2>&1
[ $? -eq 1 ] && grep -q 'nowhere: no checkpoint' train.log &&
    ! grep -q '30 samples' train.log
check $? "online: an earlier one that is missing is told before the first sample"
for dir in mean base; do
    sed -i "s/fisher: [a-z]*/fisher: $dir/" ewc.yaml
    ranks 2 "$bin/dawn-train" ewc.yaml --plan fisher.yaml --fisher eval.txt \
        --samples 30 -o online2 > train.log 2>&1
    [ $? -eq 1 ] && ! grep -q '30 samples' train.log &&
        grep -qE "$dir/step-[0-9]+ cannot be added: its estimator is " train.log
    check $? "online: and so is what is no such information, $dir"
done

# Of what F is
rm -rf run
ewc_job proximal 1
train_ewc 2 plan.yaml --steps 1 && ! grep -q warning train.log
check $? "F at the anchor: no warning"
for i in 1 2; do
    grep '"weights"' fisher$i/step-00000030/manifest.json
done | sort -u | grep -c xxh3 | grep -qx 1
check $? "the digest of the weights does not depend on the stages"
rm -rf run
ewc_job proximal 1 && sed -i 's/fisher: fisher1/fisher: mean/' ewc.yaml
train_ewc 2 plan.yaml --steps 1 && [ "$(grep -c warning train.log)" -eq 1 ] &&
    grep -q 'warning: ewc: .*mean is of batch means' train.log &&
    grep -q '^ewc: lambda 1, proximal; F, of batch means, of ' train.log
check $? "squares of batch means are warned of"
rm -rf run
sed 's/^out: .*/out: other/; s/steps: 20/steps: 5/' job.yaml > other.yaml
ranks 2 "$bin/dawn-train" other.yaml --plan plain.yaml > train.log 2>&1
ewc_job proximal 1 && sed -i 's/anchor: base/anchor: other/' ewc.yaml
train_ewc 2 plan.yaml --steps 1 && [ "$(grep -c warning train.log)" -eq 1 ] &&
    grep -q 'warning: ewc: .*fisher1 was taken at other weights than .*other$' train.log
check $? "so is an anchor that F was not taken at"

# Wrong input
wrong() { # TEXT CLAIM: of the message
    rm -rf run
    train_ewc 2 plan.yaml
    [ $? -eq 1 ] && grep -q "$1" train.log
    check $? "$2"
}
ewc_job gradient 1 && sed -i 's/anchor: base/anchor: fisher1/' ewc.yaml
wrong 'is Fisher information, a checkpoint of parameters is wanted' \
    "an anchor that is Fisher information"
ewc_job gradient 1 && sed -i 's/fisher: fisher1/fisher: base/' ewc.yaml
wrong 'is no Fisher information' "parameters as Fisher information"
cp -r fisher2 broken
for f in broken/step-*/rank-1.safetensors; do
    printf '\377\377\377\377' | dd of="$f" bs=1 seek=$(($(wc -c < "$f") - 4)) \
        conv=notrunc 2> dd.log
done
ewc_job gradient 1 && sed -i 's/fisher: fisher1/fisher: broken/' ewc.yaml
wrong 'xxh3' "Fisher information that was damaged"
rm -rf run
cp -r base newer
for dir in broken newer; do
    cp -r broken/step-00000030 $dir/step-00000099
done
cp -r fisher2/step-00000030 broken/step-00000029
rm -r broken/step-00000030
sed -i 's/anchor: base/anchor: newer/' ewc.yaml
train_ewc 2 plan.yaml --steps 1 && [ "$(grep -c warning train.log)" -eq 1 ] &&
    grep -q 'warning: ewc: .*broken/step-00000099/.*: xxh3.*: passed over, using .*broken/step-00000029; .*newer/step-00000099/.*: passed over, using .*newer/step-00000020$' train.log
check $? "newer steps of fisher: and anchor: that are broken are warned of"
ewc_job gradient 1 && sed -i 's/fisher: fisher1/fisher: nowhere/' ewc.yaml
wrong '^dawn-train: ewc.yaml: ewc: fisher: nowhere: no checkpoint' "a fisher: that is not there"
ewc_job gradient 1 && sed -i 's/anchor: base/anchor: nowhere/' ewc.yaml
wrong '^dawn-train: ewc.yaml: ewc: anchor: nowhere: no checkpoint' "an anchor: that is not there"
ewc_job gradient 1.0e38 ', relative: true'
wrong '^dawn-train: ewc.yaml: ewc: lambda / the mean of F is [0-9.]*e+[0-9]*: must' "a lambda that is too large once divided"
ewc_job sideways 1
wrong "ewc.yaml:[0-9]*: key 'form'" "an unknown form"
done_testing
