#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A small AmoebaNet learns to tell patterns from each other: the same bits on 1,
# 2 and 3 stages, with tensors recomputed, stopped and resumed; held-out images,
# by the running statistics of its batch norms, are told apart too. Files that
# hold no such images are refused.
. "$(dirname "$0")/lib.sh"

# Grey images of 32 x 32: stripes across, stripes down, a disc, a chequer, each
# moved about, brighter or darker, and with noise.
make_images() { # FILE COUNT SEED
    LC_ALL=C awk -v count="$2" -v seed="$3" '
        function draw(n) {
            seed = (seed * 16807) % 2147483647
            return int(seed / 65536) % n
        }
        BEGIN {
            for (i = 0; i < count; i++) {
                label = i % 4
                a = draw(8); b = draw(8); high = 100 + draw(60)
                printf "\\%03o", label
                for (y = 0; y < 32; y++) for (x = 0; x < 32; x++) {
                    across = int((y + a) / 4) % 2
                    down = int((x + b) / 4) % 2
                    disc = (y - 12 - a)^2 + (x - 12 - b)^2 < 60
                    on = label == 0 ? across : label == 1 ? down : \
                        label == 2 ? disc : across != down
                    printf "\\%03o", (on ? high : 20) + draw(60)
                }
            }
        }' > text
    # shellcheck disable=SC2059
    printf "$(cat text)" > "$1"
}

make_images train.bin 128 1
make_images eval.bin 64 2
cat > job.yaml <<END
dawn: job/1
model: {preset: amoebanet, layers: 3, filters: 16, classes: 4, image: 32,
        channels: 1, dtype: bf16}
data: {train: train.bin, eval: eval.bin}
train: {steps: 30, microbatch: 16, microbatches: 3, lr: 1.0e-2, warmup: 2,
        clip: 1.0, seed: 3, eval_every: 15, eval_microbatches: 4, keep: 3}
out: run
END
make_profile 16
report $? "the model is profiled" || comment profile.log
split() { # STAGES [MORE...]
    stages=$1
    shift
    "$bin/dawn-plan" profile.yaml --stages "$stages" --microbatch 16 \
        --microbatches 3 -o plan.yaml "$@" > plan.log 2>&1
}
split 1
train 1 plan.yaml
trained=$?
report $trained "it trains"
[ $trained -eq 0 ] || comment train.log
bits run/metrics.jsonl > wanted
grep -q '"images":48,"images_per_s":' run/metrics.jsonl
report $? "metrics count images"
sed -nE 's/.*"eval_loss":([0-9.]+).*/\1/p' run/metrics.jsonl > held_out
tail -n 1 held_out | awk '{ exit !($1 < 0.35) }' # ln 4 is chance, 1.39
learns=$?
report $learns "it knows images that it has not seen"
[ $learns -eq 0 ] || comment held_out

same() { # STAGES WHAT
    rm -rf run
    train "$1" plan.yaml
    bits run/metrics.jsonl | cmp -s - wanted && peaks_match run/metrics.jsonl
    equal=$?
    report $equal "$1 stages, $2: same bits, the predicted peak"
    [ $equal -eq 0 ] || comment train.log
}
split 2
same 2 1f1b
split 3 --schedule gpipe
same 3 gpipe
split 2
peak=$(peak_of plan.yaml)
for percent in 95 90 85 80 75; do
    split 2 --offload none --memory $((peak * percent / 100)) &&
        grep -q ': recompute' plan.yaml && break
done
grep -q ': recompute' plan.yaml
report $? "a plan under a cap" || comment plan.log
rm -rf run
train 2 plan.yaml --steps 15 && train 2 plan.yaml --resume
bits run/metrics.jsonl | cmp -s - wanted
resumed=$?
report $resumed "2 stages, recomputing, stopped and resumed: same bits"
[ $resumed -eq 0 ] || comment train.log
train 2 plan.yaml --verify
report $? "every gradient is that of one stage, bit for bit" || comment train.log

refused() { # WHAT IS SAID
    rm -rf run
    train 2 plan.yaml
    [ $? -eq 1 ] && grep -q "$1" train.log
    report $? "refused: $1"
}
head -c 2000 eval.bin > cut && mv cut eval.bin
refused 'eval.bin: 2000 bytes are no whole number of records of 1025'
printf '\004' > train.bin && head -c 1024 /dev/zero >> train.bin
sed -i 's/, eval: eval.bin//' job.yaml
refused 'train.bin: image 0 has label 4, there are 4 classes'
done_testing
