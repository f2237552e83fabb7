#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Broken inputs: one clear line, exit code 1 or 2, nothing overwritten, no rank
# left running.
. "$(dirname "$0")/lib.sh"

make_job f32
make_profile 1,2
plan 2 1f1b plan.yaml
cp job.yaml good.yaml

left_running() {
    for dir in /proc/[0-9]*; do
        [ "$(readlink "$dir/cwd" 2>/dev/null)" = "$work" ] || continue
        case $(readlink "$dir/exe" 2>/dev/null) in
        *dawn-*) echo "$dir" ;;
        esac
    done
}

refused() { # CLAIM CODE PATTERN COMMAND...
    claim=$1 code=$2 pattern=$3
    shift 3
    "$@" > out 2>&1
    status=$?
    lines=$(grep -c '^dawn-' out)
    [ $status -eq "$code" ] && [ "$lines" -eq 1 ] &&
        grep -qE "^dawn-[a-z]*: $pattern" out && [ -z "$(left_running)" ]
    verdict=$?
    report $verdict "$claim: exit code $code, one line"
    if [ $verdict -ne 0 ]; then
        echo "# exit code $status, $lines lines"
        comment out
    fi
}

run() { # RANKS ARGUMENTS...
    count=$1
    shift
    ranks "$count" "$bin/dawn-train" "$@"
}

head -n 9 plan.yaml > cut.yaml
refused "a plan cut off" 1 'cut.yaml:[0-9]+: ' run 2 job.yaml --plan cut.yaml
head -c 300 plan.yaml > torn.yaml
refused "a plan torn inside a line" 1 'torn.yaml:[0-9]+: ' \
    run 2 job.yaml --plan torn.yaml
sed 's/layers: 2/layers: 3/' good.yaml > deep.yaml
refused "a plan for another graph" 1 \
    'plan.yaml:[0-9]+: .*xxh3:[0-9a-f]{16}.*xxh3:[0-9a-f]{16}.*dawn-plan again' \
    run 2 deep.yaml --plan plan.yaml
refused "a plan that is not there" 1 'none.yaml: ' \
    run 2 job.yaml --plan none.yaml
"$bin/dawn-plan" profile.yaml --stages 2 --microbatches 6 --memory 10KiB \
    -o none.yaml > out 2>&1
[ $? -eq 1 ] && [ "$(wc -l < out)" -eq 2 ] &&
    sed -n 1p out | grep -q '^dawn-plan: .*no plan of 2 stages fits 10KiB$' &&
    sed -n 2p out | grep -q '^dawn-plan: the smallest cap found to work'
report $? "a cap too small for any plan: exit code 1, the verdict, then a cap"
[ ! -e none.yaml ]
report $? "a cap too small for any plan: no file is written"
refused "more stages than nodes" 1 '.*stages.*nodes' \
    "$bin/dawn-plan" profile.yaml --stages 1000 --microbatches 6 -o none.yaml
refused "fewer ranks than the plan's" 1 'plan.yaml is for 2 ranks.*has 1' \
    run 1 job.yaml --plan plan.yaml
refused "more ranks than the plan's" 1 'plan.yaml is for 2 ranks.*has 3' \
    run 3 job.yaml --plan plan.yaml
sed 's/kind: 1f1b/kind: 1f2b/' plan.yaml > kind.yaml
refused "an unknown schedule in the plan" 1 "kind.yaml: unknown schedule '1f2b'" \
    run 2 job.yaml --plan kind.yaml
sed -e '/^memory:/d' -e '/^graph:/a memory: 1' plan.yaml > tight.yaml
refused "a cap in the plan that it does not keep" 1 \
    'tight.yaml: rank [01] needs .*cap is 0.0 MiB' run 2 job.yaml --plan tight.yaml

sed 's/warmup/warm_up/' good.yaml > key.yaml
refused "an unknown key in the job" 1 'key.yaml:[0-9]+: .*warm_up' \
    run 2 key.yaml --plan plan.yaml
sed 's/policy/polciy/' plan.yaml > key.yaml
refused "an unknown key in the plan" 1 'key.yaml:[0-9]+: .*polciy' \
    run 2 job.yaml --plan key.yaml
sed 's/lr: 3.0e-3/lr: fast/' good.yaml > value.yaml
refused "a word where a number belongs" 1 'value.yaml:[0-9]+: ' \
    run 2 value.yaml --plan plan.yaml
sed 's/train: train.txt/train: nowhere.txt/' good.yaml > corpus.yaml
refused "a missing corpus" 1 '.*nowhere.txt' run 2 corpus.yaml --plan plan.yaml
head -c 20 train.txt > short.txt
sed 's/train: train.txt/train: short.txt/' good.yaml > corpus.yaml
refused "a corpus shorter than a sample" 1 '.*short.txt: 20 tokens' \
    run 2 corpus.yaml --plan plan.yaml
sed 's/eval: eval.txt/eval: none.txt/' good.yaml > corpus.yaml
refused "a missing held-out text" 1 '.*none.txt' \
    run 2 corpus.yaml --plan plan.yaml
sed 's/vocab: 256/vocab: 100/' good.yaml > vocab.yaml
refused "tokens beyond the vocabulary, or the plan of another" 1 '.*' \
    run 2 vocab.yaml --plan plan.yaml
sed 's|out: run|out: /proc/nowhere|' good.yaml > out.yaml
refused "an output folder that cannot be made" 1 '.*/proc/nowhere' \
    run 2 out.yaml --plan plan.yaml

# A pipe in place of a file, into which nobody writes
not_waited() { # CLAIM PATTERN COMMAND...
    claim=$1 pattern=$2
    shift 2
    refused "$claim" 1 "$pattern: is no regular file" "$@"
}
in_time() { # RANKS ARGUMENTS...
    count=$1
    shift
    timeout 20 "$MPIRUN" -q -n "$count" --oversubscribe "$bin/dawn-train" "$@"
}
mkfifo pipe
not_waited "a pipe for a job" pipe in_time 2 pipe --plan plan.yaml
not_waited "a pipe for a plan" pipe in_time 2 job.yaml --plan pipe
sed 's/train: train.txt/train: pipe/' good.yaml > corpus.yaml
not_waited "a pipe for a corpus" '.*pipe' in_time 2 corpus.yaml --plan plan.yaml
plan 2 1f1b fisher.yaml --passes fisher --microbatch 1
not_waited "a pipe for the corpus of --fisher" '.*pipe' \
    in_time 2 job.yaml --plan fisher.yaml --fisher pipe -o fisher
mkdir -p base/step-00000000
mkfifo base/step-00000000/manifest.json
sed 's/seed: 3/seed: 3, init: base/; s/out: run/out: other/' good.yaml > init.yaml
not_waited "a pipe for a manifest" '.*manifest.json' \
    in_time 2 init.yaml --plan plan.yaml
rm -r base

refused "no plan" 2 'no --plan' run 2 job.yaml
refused "no job" 2 'no JOB' run 2 --plan plan.yaml
refused "an unknown option" 2 ".*'--fast'" \
    run 2 job.yaml --plan plan.yaml --fast
refused "a bad number of steps" 2 '--steps many' \
    run 2 job.yaml --plan plan.yaml --steps many
refused "a bad timeout" 2 '--timeout 0' \
    run 2 job.yaml --plan plan.yaml --timeout 0

refused "--resume without a checkpoint" 1 'run: no checkpoint' \
    run 2 job.yaml --plan plan.yaml --resume
train 2 plan.yaml --steps 2
for file in run/step-*/rank-1.safetensors; do
    printf x | dd of="$file" bs=1 seek=2000 conv=notrunc 2>/dev/null
done
refused "--resume from a damaged checkpoint" 1 '.*step-00000002' \
    run 2 job.yaml --plan plan.yaml --resume
rm -rf run

for stages in 3 4; do
    "$bin/dawn-plan" profile.yaml --stages $stages --microbatches 2 \
        -o few.yaml > /dev/null 2>&1
    run $stages job.yaml --plan few.yaml --steps 1 > out 2>&1
    status=$?
    report $status "2 microbatches on $stages stages train"
    [ $status -eq 0 ] || comment out
    rm -rf run
done
cmp -s job.yaml good.yaml
report $? "the inputs are as they were"

sed 's/warmup: 5/warmup: 21/' good.yaml > job.yaml
train 2 plan.yaml --steps 1
[ "$(grep -c 'warning: warmup: 21 in a job of 20 steps' train.log)" -eq 1 ]
report $? "a warmup that never ends: a warning"
rm -rf run

cp good.yaml job.yaml
sed "s/^stages:/devices: [\"elsewhere:0\", \"$(uname -n):1\"]\nstages:/" plan.yaml \
    > moved.yaml
rm -rf run
train 2 moved.yaml --steps 1 &&
    [ "$(grep -c 'warning: the plan wants rank' train.log)" -eq 1 ] &&
    grep -q "wants rank 0 on elsewhere:0, it runs on $(uname -n)" train.log
verdict=$?
report $verdict "ranks on other hosts than the plan says: a warning"
[ $verdict -eq 0 ] || comment train.log
done_testing
