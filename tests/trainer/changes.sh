#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a run that goes on says of what has changed, what it refuses, and which
# checkpoints it keeps. Weights of a model that differs in what has no
# parameters are taken.
. "$(dirname "$0")/lib.sh"

check() { # STATUS CLAIM
    report "$1" "$2"
    [ "$1" -eq 0 ] || comment train.log
}
says() { # LINE CLAIM: a whole line
    grep -qxF -e "$1" train.log
    check $? "$2"
}
again() { # SED_COMMAND: the job and the run of 10 steps, and a change
    rm -rf run
    cp -r first run
    make_text train.txt 60000
    sed "$1" first.yaml > job.yaml
}
from=' is of another run, from which --accept-changes goes on: '
refused() { # CHANGES CLAIM: one line, which ends in those alone
    train 2 plan.yaml --resume
    [ $? -eq 1 ] && [ "$(grep -c '^dawn-' train.log)" -eq 1 ] &&
        grep -qxF "dawn-train: run/step-00000010$from$1" train.log
    check $? "refused: $2"
}
rate_of() { # STEP
    sed -n "s/.*\"step\":$1,.*\"lr\":\([^,]*\),.*/\1/p" run/metrics.jsonl
}
rate_is() { # STEP RATE CLAIM: to nine digits
    rate_of "$1" | awk -v wanted="$2" '
        { n++; if ($1 < wanted * 0.999999999 || $1 > wanted * 1.000000001) exit 1 }
        END { exit n != 1 }'
    check $? "$3"
}

make_job f32
sed -i 's/steps: 20/steps: 10/; s/warmup: 5/warmup: 0/; s/lr: 3.0e-3/lr: 1.0e-3/
    s/keep: 3/keep: 2, checkpoint_every: 5/' job.yaml
make_profile 1,2
plan 2 1f1b plan.yaml
cp job.yaml first.yaml
train 2 plan.yaml
check $? "a run of 10 steps"
mv run first

again ''
train 2 plan.yaml --resume
[ $? -eq 0 ] && ! grep -q 'then,' train.log
check $? "nothing has changed"
says 'going on from step 10' "it says where it goes on from"

# The cosine from 1e-3 ends at step 9 with a tenth. Over 20 steps, step 10 is
# 10/19 of the way: 1e-4 + 9e-4 (1 + cos(10/19 pi)) / 2.
again 's/steps: 10/steps: 20/'
refused 'train: lr of the next step: 0.0001 then, 0.000512839 now; train: steps: 10 then, 20 now' \
    "more steps under a cosine, whose past steps would have had other rates"
rm -rf run/step-00000010
train 2 plan.yaml --resume --accept-changes
check $? "accepted, from step 5"
says 'going on from step 5, with changes:' "it says so"
says '  train: steps: 10 then, 20 now' "and what has changed"
rate_is 10 0.00051283929453745049 "step 10 has the new schedule's rate"
train 2 plan.yaml --resume
[ $? -eq 0 ] && ! grep -q 'then,' train.log
check $? "what was accepted is what the next checkpoint has"

again 's/steps: 10/steps: 20/'
sed -i 's/warmup: 0/warmup: 0, decay: none/' job.yaml
rm -rf run
sed 's/steps: 20/steps: 10/' job.yaml > ten.yaml
ranks 2 "$bin/dawn-train" ten.yaml --plan plan.yaml > train.log 2>&1
train 2 plan.yaml --resume
check $? "more steps at a constant rate change nothing that was"
says '  train: steps: 10 then, 20 now' "they are told"
rate_is 19 0.001 "the rate stays"

again 's/lr: 1.0e-3/lr: 1.0e-2/'
refused 'train: lr of the next step: 0.0001 then, 0.001 now; train: lr: 0.001 then, 0.01 now' \
    "ten times the learning rate"
again 's/clip: 1.0/clip: 2, beta1: 0.5, beta2: 0.7, weight_decay: 0, eps: 1.0e-6/'
refused 'train: weight_decay: 0.1 then, 0 now; train: clip: 1 then, 2 now; train: beta1: 0.9 then, 0.5 now; train: beta2: 0.95 then, 0.7 now; train: eps: 1.0e-08 then, 1.0e-06 now' \
    "another optimizer"
again 's/seed: 3/seed: 4/'
refused 'seed is 3 there, 4 here' "another seed"
train 2 plan.yaml --resume --accept-changes
check $? "which may be accepted, too"
again ''
make_text train.txt 70000
train 2 plan.yaml --resume
[ $? -eq 1 ] && grep -q "$from"'data: train: 60000 bytes, xxh3:[0-9a-f]* then, 70000 bytes, xxh3:[0-9a-f]* now$' train.log
check $? "refused: a corpus that has grown"
make_text train.txt 60000
printf X | dd of=train.txt bs=1 seek=30000 conv=notrunc 2> dd.log
train 2 plan.yaml --resume
[ $? -eq 1 ] && grep -q "$from"'data: train: 60000 bytes, xxh3:[0-9a-f]* then, 60000 bytes, xxh3:[0-9a-f]* now$' train.log
check $? "refused: another byte in it"
again 's/train: train.txt/train: moved.txt/'
mv train.txt moved.txt
train 2 plan.yaml --resume
[ $? -eq 0 ] && ! grep -q 'then,' train.log
check $? "a corpus under another name is the same one"

again 's/keep: 2, checkpoint_every: 5/keep: 3, checkpoint_every: 4/
    s/eval_every: 10/eval_every: 2/; s/eval: eval.txt/eval: train.txt/'
train 2 plan.yaml --resume
check $? "what is no part of training may change"
says '  train: checkpoint_every: 5 then, 4 now' "it is told"
plan 3 gpipe other.yaml --microbatches 3 --microbatch 4
train 3 other.yaml --resume
[ $? -eq 0 ] && grep -qxF '  plan: microbatches: 6 of 2 then, 3 of 4 now' train.log
check $? "and so is another shape of the microbatches"

again ''
plan 2 async-1f1b async.yaml
train 2 async.yaml --resume
[ $? -eq 1 ] && grep -q "$from"'plan: schedule: one update a step then, async-1f1b, .* stages from tok_embed, .* now$' train.log
check $? "refused: updates within the step"

again ''
sed -i '/"job\./d; /_data"/d; /"microbatches"/d; /"schedule"/d
    s/\("samples_per_step": "[0-9]*"\),/\1/' run/step-00000010/manifest.json
sed -i 's/lr: 1.0e-3/lr: 1.0e-2/' job.yaml
train 2 plan.yaml --resume
check $? "a checkpoint of an older version has no settings"
says '  run/step-00000010 holds no settings of its run: what else has changed is not known' \
    "it says so"

train 2 plan.yaml --accept-changes
[ $? -eq 2 ] && grep -q '^dawn-train: --accept-changes goes with --resume' train.log
check $? "--accept-changes without --resume: wrong usage"

# Parameters that do not fit are refused, whatever is accepted
cp profile.yaml kept.yaml
for layers in 1 3; do
    again "s/layers: 2/layers: $layers/"
    make_profile
    plan 2 1f1b other.yaml
    train 2 other.yaml --resume
    [ $? -eq 1 ] && grep -qxF "dawn-train: run/step-00000010${from}model: layers: 2 then, $layers now" train.log
    check $? "refused: $layers layers"
    train 2 other.yaml --resume --accept-changes
    [ $? -eq 1 ] && grep -qE '^dawn-train: run/step-00000010(: no tensor h.2.| is of another model: .* for tensor h.1.)' train.log
    check $? "$layers layers cannot be accepted"
done
mv kept.yaml profile.yaml

# Kept checkpoints: 5 and 10, of which 10 is damaged
again 's/steps: 10/steps: 20/'
for file in run/step-00000010/rank-1.safetensors; do
    printf x | dd of="$file" bs=1 seek=2000 conv=notrunc 2> dd.log
done
train 2 plan.yaml --resume --accept-changes --steps 7
[ $? -eq 0 ] && grep -q 'step-00000010/.*: passed over, using run/step-00000005' train.log
check $? "a damaged checkpoint is passed over"
listed() { # NAMES CLAIM
    [ "$(echo $(ls run | grep step))" = "$1" ]
    check $? "$2"
}
listed 'step-00000005 step-00000007 step-00000010' \
    "what the run went on from stays, the damaged one does not count"
train 2 plan.yaml --resume --steps 12
listed 'step-00000010 step-00000012' "10 was written anew, and counts"

# Weights of a model without dropout, its attention in pieces
again 's/dropout: 0.1/dropout: 0/; s/: fused/: unfused/; s/out: run/out: base/'
differs='model: dropout: 0 then, 0.1 now; model: attention: unfused then, fused now'
mv run base
cp job.yaml plain.yaml
cp first.yaml job.yaml
make_profile 1,2
plan 2 1f1b ewc-plan.yaml --passes=ewc
cp profile.yaml fused.yaml
cp plain.yaml job.yaml
make_profile 1,2
"$bin/dawn-plan" profile.yaml --passes=fisher --microbatch=1 --microbatches=4 \
    --stages 2 -o fisher-plan.yaml > plan.log 2>&1
train 2 fisher-plan.yaml --fisher eval.txt --samples 8 -o fisher
[ $? -eq 0 ] && [ "$(grep -c warning train.log)" -eq 1 ] && grep -qxF \
    'dawn-train: warning: base/step-00000010 is of another model with the same parameters: model: dropout: 0.1 then, 0 now; model: attention: fused then, unfused now' train.log
check $? "Fisher information of weights trained with dropout, without it"
rm -rf run
sed 's/keep: 2/keep: 2, init: base/' first.yaml > job.yaml
cat >> job.yaml <<END
passes:
- {ewc: {fisher: fisher, anchor: base, lambda: 100, online: {decay: 0.5}}}
END
train 2 ewc-plan.yaml --steps 2
[ $? -eq 0 ] && [ "$(grep -c warning train.log)" -eq 1 ] && grep -qxF \
    "dawn-train: warning: ewc: fisher/step-00000008 is of another model with the same parameters: $differs" train.log
check $? "EWC with dropout takes it, and says what differs"
"$bin/dawn-plan" fused.yaml --passes=fisher --microbatch=1 --microbatches=4 \
    --stages 2 -o fisher-plan.yaml > plan.log 2>&1
train 2 fisher-plan.yaml --fisher eval.txt --samples 8 -o online
[ $? -eq 0 ] && grep -qxF \
    "dawn-train: warning: fisher/step-00000008 is of another model with the same parameters: $differs" train.log
check $? "and so does what adds to it"
rm -rf run
cp job.yaml ewc.yaml
sed -i 's/layers: 2/layers: 1/' plain.yaml
sed 's/: base/: run/; s/keep: 2/keep: 2, init: base/' plain.yaml > job.yaml
make_profile
plan 2 1f1b plan.yaml
train 2 plan.yaml
[ $? -eq 1 ] && grep -q '^dawn-train: base/step-00000010 is of another model: this one has no parameter for tensor h.1' train.log
check $? "init: of more layers is refused"
sed 's/layers: 2/layers: 1/; s/init: base/keep: 2/; s/keep: 2, keep/keep/' ewc.yaml > job.yaml
make_profile 1,2
plan 1 1f1b plan.yaml --passes=ewc
train 1 plan.yaml
[ $? -eq 1 ] && grep -q 'fisher/step-00000008 is of another model: this one has no parameter for tensor h.1' train.log
check $? "one with fewer layers is refused"
done_testing
