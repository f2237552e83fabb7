#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The loss on a held-out file is the mean over all its samples, whatever the
# plan's microbatch and stages, of every kind of model.
. "$(dirname "$0")/lib.sh"

evaluate() { # RANKS PLAN FILE [JOB]: step, samples and loss, with its bits
    ranks "$1" "$bin/dawn-train" "${4-job.yaml}" --plan "$2" --evaluate "$3" \
        --json 2> evaluate.log
}

# Products of other shapes may be rounded in other ways; the losses of samples are
# added in f64.
same_number() { # FILE FILE: samples and losses
    paste -d ' ' "$1" "$2" | sed 's/[^ ]*"samples":\([0-9]*\),"eval_loss":\([^,]*\),[^ ]*/\1 \2/g' |
        awk '{ away = ($2 - $4) / $4 } $1 != $3 { exit 1 }
            END { exit !(NR == 1 && away < 1e-6 && away > -1e-6) }'
}

# 15 windows of 32 tokens, and the first 8 and the last 7 of them alone: a
# window's targets are its tokens moved on by one.
make_job f32
make_text text 481
mv text eval.txt
head -c 257 eval.txt > first.txt
tail -c 225 eval.txt > last.txt
make_profile 1,2,4,8
report $? "a profile of microbatches of 1, 2, 4 and 8" || comment profile.log
for size in 1 2 4 8; do
    plan 1 1f1b plan$size.yaml --microbatch $size || comment plan.log
done
plan 3 1f1b stages3.yaml --microbatch 4
train 1 plan2.yaml --steps 3
report $? "a run" || comment train.log
tail -n 1 run/metrics.jsonl | grep -q '"eval_samples":8[,}]'
report $? "4 eval_microbatches of the job's 2 samples are 8 samples"
evaluate 1 plan1.yaml eval.txt > wanted
grep -q '"samples":15,' wanted
report $? "microbatch 1: all 15 windows are evaluated" || comment wanted
evaluate 1 plan1.yaml first.txt > first
evaluate 1 plan1.yaml last.txt > last
paste -d ' ' wanted first last | sed 's/[^ ]*"eval_loss":\([^,]*\),[^ ]*/\1/g' |
    awk '{ mean = (8 * $2 + 7 * $3) / 15; away = $1 - mean
        print $1, mean; fine = away < 1e-6 && away > -1e-6 && $2 != $3 }
        END { exit !fine }' > means
report $? "their loss is the mean of 8 and 7 of them" || comment means
for size in 2 4 8; do
    evaluate 1 plan$size.yaml eval.txt > of$size
    same_number wanted of$size
    report $? "microbatch $size: the same loss of all 15" || comment of$size
done
evaluate 3 stages3.yaml eval.txt > got
[ -s got ] && cmp -s of4 got
report $? "3 stages, microbatch 4: the same bits" || comment got

# Evaluations within a run count samples too; the same weights without a
# learning rate.
mv run trained
sed 's/lr: 3.0e-3/lr: 0, init: trained/; s/eval_microbatches: 4/eval_samples: 11/
    ' job.yaml > samples.yaml
for size in 2 8; do
    rm -rf run
    ranks 1 "$bin/dawn-train" samples.yaml --plan plan$size.yaml --steps 1 \
        > train.log 2>&1 || comment train.log
    sed 's/.*\("eval_loss":.*\),"eval_samples":\([0-9]*\)}/"samples":\2,\1/' \
        run/metrics.jsonl > of$size
done
grep -q '^"samples":11,' of8 && same_number of2 of8
report $? "eval_samples: 11: microbatches of 2 and 8 give the same loss" ||
    comment of8
head -c 353 eval.txt > eleven.txt
evaluate 1 plan1.yaml eleven.txt samples.yaml > got
same_number of8 got
report $? "which is that of a file with the first 11 only" || comment got
sed 's/eval_samples/eval_microbatches: 2, eval_samples/' samples.yaml > both.yaml
ranks 1 "$bin/dawn-train" both.yaml --plan plan2.yaml > train.log 2>&1
grep -q "^dawn-train: both.yaml:.*'eval_microbatches': eval_samples says how many" train.log
report $? "eval_microbatches beside eval_samples is refused" || comment train.log

# Of 11 samples a step of 2 x 6 uses none, one of 2 x 2 leaves out 3.
plan 1 1f1b mean.yaml --microbatch 2 --microbatches 2 \
    --passes fisher-of-batch-mean || comment plan.log
ranks 1 "$bin/dawn-train" samples.yaml --plan mean.yaml --fisher eleven.txt \
    --fisher-of-batch-mean -o mean > train.log 2>&1 &&
    grep -q 'warning: the last 3 of 11 samples fill no step' train.log
report $? "Fisher information of batch means says what it leaves out" ||
    comment train.log

kind() { # NAME FILE SAMPLES: job.yaml is one of that kind
    rm -rf run
    make_profile 1,4 || comment profile.log
    plan 1 1f1b one.yaml --microbatch 1 || comment plan.log
    plan 2 1f1b four.yaml --microbatch 4 || comment plan.log
    train 2 four.yaml --steps 2 || comment train.log
    evaluate 1 one.yaml "$2" > one
    evaluate 2 four.yaml "$2" > four
    grep -q "\"samples\":$3," one && same_number one four
    report $? "$1: $3 samples, the same loss one by one and in fours" ||
        comment four
}
make_job f32
cp eval.txt text
sed -i 's/preset: gpt2/preset: bert, masked: 6/' job.yaml
head -c 225 text > eval.txt
kind BERT eval.txt 7
sed -i 's/preset: bert, masked: 6/preset: t5, target_context: 21/' job.yaml
head -c 300 text > eval.txt
kind T5 eval.txt 7 # 41 tokens: 15 for the decoder's 5 spans, 26 that stay
# A label, which is a byte below 64, and 32 x 32 pixels.
head -c 7175 train.txt | tr -c '\000-\077' '\000' > images.bin
sed -i 's/{preset: .*/{preset: amoebanet, layers: 3, filters: 8, classes: 64, image: 32, channels: 1,/
    s/^ *dropout: .*/        dtype: f32}/
    s/{train: .*/{train: images.bin, eval: images.bin}/' job.yaml
kind AmoebaNet images.bin 7
done_testing
