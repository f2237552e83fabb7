#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# AmoebaNet makes one pixel of 32 x 32, which is all that a batch norm has of a
# microbatch of one image. Then nothing is trained: the profiler and the planner
# say so, --max-batch does not choose it, and dawn-train refuses; it evaluates and
# takes Fisher information.
. "$(dirname "$0")/lib.sh"

node=cell4_reduction.op3.bn2 # the first one of one pixel
make_text text 8200 # 8 images; labels are digits, or the bytes between lines
cat > job.yaml <<END
dawn: job/1
model: {preset: amoebanet, layers: 3, filters: 8, classes: 128, image: 32,
        channels: 1, dtype: f32}
data: {train: text, eval: text}
train: {steps: 2, microbatch: 2, microbatches: 2, lr: 1.0e-2, seed: 3}
out: run
END

says_in() { # FILE CLAIM
    grep -q "microbatch of 1 .*$node one value a channel" "$1"
    report $? "$2" || comment "$1"
}

make_profile 2,4
! grep -q warning profile.log
report $? "microbatches of 2 and 4 are profiled" || comment profile.log
make_profile 1,2
says_in profile.log "of one of 1 dawn-profile warns"
plan 1 1f1b one.yaml --microbatch 1
says_in plan.log "dawn-plan warns of one of 1"
plan 1 1f1b fisher.yaml --microbatch 1 --passes fisher
! grep -q warning plan.log
report $? "but not for Fisher information"
plan 1 1f1b two.yaml
! grep -q warning plan.log
report $? "nor of the largest size profiled"
plan 1 1f1b most.yaml --max-batch --recompute none --memory "$(peak_of one.yaml)"
[ $? -eq 1 ] && [ ! -e most.yaml ]
report $? "--max-batch makes no plan where only one image fits"
says_in plan.log "and names the node"
plan 1 1f1b most.yaml --max-batch --recompute none --memory "$(peak_of two.yaml)"
grep -q ' 6 x 2 samples' plan.log
report $? "it takes two where they fit" || comment plan.log

train 1 one.yaml
[ $? -eq 1 ] && [ ! -e run ] && [ "$(grep -c '^dawn-' train.log)" -eq 1 ]
report $? "dawn-train refuses to train with one"
says_in train.log "and names the node"
train 1 two.yaml
report $? "it trains with two" || comment train.log
train 1 one.yaml --evaluate text
report $? "with one it evaluates" || comment train.log
train 1 one.yaml --verify
report $? "and verifies" || comment train.log
train 1 fisher.yaml --fisher text -o fisher
report $? "and takes Fisher information" || comment train.log
done_testing
