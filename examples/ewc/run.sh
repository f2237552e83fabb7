#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The experiment of doc/ewc.md: a small GPT-2 learns English, then Spanish under
# elastic weight consolidation, for many lambda. Writes results.tsv, table.md and
# loss.svg into FOLDER (ewc-run); what is done is not done again.
#
#   run.sh [--short] BUILD [FOLDER]
#
# BUILD is the folder with the programs. --short: one seed, a few steps, three
# lambda: that it works, not what it shows.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
short=
[ "${1-}" != --short ] || { short=yes; shift; }
[ $# -eq 1 ] || [ $# -eq 2 ] || { sed -n '/^#   /s/^#   /usage: /p' "$0" >&2; exit 2; }
bin=$(cd "$1" && pwd)
out=${2-ewc-run}
mkdir -p "$out"
out=$(cd "$out" && pwd)
corpus=$out/corpus

seeds='1 2 3' base_steps=300 steps=40 samples=1024 hidden=128
base_rate='lr: 2.0e-3, warmup: 20'
rate='lr: 2.0e-4, warmup: 2' # 5%, as in arXiv 2505.05946
lambdas='1e0 1e4 1e6 1e7 5e7 1e8 2e8 3e8 1e9 1e10 1e12' proxies='1e7 1e8 2e8 1e9'
gradients='1e2 1e3 1e4 1e5 1e7 1e10' relatives='1e2 2e3 5e3 1e4'
if [ "$short" ]; then
    seeds=1 base_steps=60 steps=30 samples=64 hidden=64
    lambdas='1e6 1e12' proxies='' gradients='' relatives=''
fi
# as many ranks as there are stages; a test may want them otherwise
: "${MPIRUN:=mpirun}"
ranks() { "$MPIRUN" -q -n 2 --oversubscribe "$@"; }
say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }
quietly() { # LOG COMMAND...
    log=$1
    shift
    "$@" > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
}

# A job of the model: FILE TRAIN OUT SEED STEPS [RATE and more of train:]
write_job() {
    cat > "$1" <<END
dawn: job/1
model: {preset: gpt2, layers: 4, hidden: $hidden, heads: 4, context: 128, vocab: 256,
        attention: fused, dtype: bf16}
data: {train: $corpus/$2.train.txt, format: bytes}
train: {steps: $5, microbatch: 8, microbatches: 4, decay: cosine, weight_decay: 0.01,
        clip: 1.0, seed: $4, ${6-$base_rate}}
out: $3
END
}

loss_on() { # DIR TEXT: of the newest checkpoint
    write_job "$out/eval.yaml" english "$1" "$seed" 1
    ranks "$bin/dawn-train" "$out/eval.yaml" --plan "$out/plan.yaml" \
        --evaluate "$corpus/$2.eval.txt" --json 2> "$out/eval.log" |
        sed -n 's/.*"eval_loss":\([0-9.e+-]*\).*/\1/p'
}

# Measure both languages, write down: FISHER FORM RELATIVE LAMBDA DIR
note() {
    english=$(loss_on "$5" english) spanish=$(loss_on "$5" spanish)
    [ "$english" ] && [ "$spanish" ] || { cat "$out/eval.log" >&2; exit 1; }
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$seed" "$1" "$2" "$3" "$4" \
        "$english" "$spanish" >> "$out/results.tsv"
    say "seed $seed, $1, $2, relative $3, lambda $4: English $english," \
        "Spanish $spanish"
}
done_before() { # the same, without DIR
    grep -q "^$seed	$1	$2	$3	$4	" "$out/results.tsv"
}

# Go on in Spanish from the base: FISHER FORM RELATIVE LAMBDA
continue_with() {
    ! done_before "$@" || return 0
    run=$out/seed$seed/run plan=$out/plan.yaml
    rm -rf "$run"
    write_job "$out/job.yaml" spanish "$run" "$seed" $steps \
        "$rate, init: $out/seed$seed/base"
    if [ "$1" != none ]; then
        plan=$out/plan-ewc.yaml
        cat >> "$out/job.yaml" <<END
passes:
- {ewc: {fisher: $out/seed$seed/fisher-$1, anchor: $out/seed$seed/base,
         lambda: $4, relative: $3, form: $2}}
END
    fi
    quietly "$out/train.log" ranks "$bin/dawn-train" "$out/job.yaml" --plan "$plan"
    note "$@" "$run"
}

fisher() { # NAME TEXT
    [ ! -e "$out/seed$seed/fisher-$1" ] || return 0
    write_job "$out/job.yaml" english "$out/seed$seed/base" "$seed" $base_steps
    quietly "$out/fisher.log" ranks "$bin/dawn-train" "$out/job.yaml" --plan \
        "$out/plan-fisher.yaml" --fisher "$2" --samples $samples \
        -o "$out/seed$seed/fisher-$1"
}

base() {
    done_before base - - - || {
        mkdir -p "$out/seed$seed"
        rm -rf "$out/seed$seed/base"
        write_job "$out/job.yaml" english "$out/seed$seed/base" "$seed" $base_steps
        quietly "$out/train.log" ranks "$bin/dawn-train" "$out/job.yaml" --plan \
            "$out/plan.yaml"
        untrained=$(sed -n '1s/.*"loss":\([0-9.]*\).*/\1/p' \
            "$out/seed$seed/base/metrics.jsonl")
        printf '%s\tuntrained\t-\t-\t-\t%s\t%s\n' "$seed" "$untrained" \
            "$untrained" >> "$out/results.tsv"
        note base - - - "$out/seed$seed/base"
    }
}

"$here/make-corpus.sh" ${short:+--without-proxy} "$corpus"
cd "$out"
if [ ! -s plan-fisher.yaml ]; then
    say "profile and plans, two stages"
    write_job job.yaml english run 1 1
    quietly profile.log "$bin/dawn-profile" job.yaml --microbatch 1,8 --repeats 5
    for passes in none ewc fisher; do
        size='--microbatch 8 --microbatches 4' name=plan-$passes
        [ $passes != fisher ] || size='--microbatch 1 --microbatches 16'
        [ $passes != none ] || name=plan
        # shellcheck disable=SC2086
        quietly plan.log "$bin/dawn-plan" profile.yaml --stages 2 $size \
            --passes $passes -o "$name.yaml"
    done
fi
touch results.tsv
for seed in $seeds; do
    base
    fisher english "$corpus/english.fisher.txt"
    [ "$short" ] || fisher proxy "$corpus/proxy.txt"
    continue_with none - - 0
    for lambda in $lambdas; do
        continue_with english proximal false "$lambda"
    done
    for lambda in $proxies; do
        continue_with proxy proximal false "$lambda"
    done
    for lambda in $gradients; do
        continue_with english gradient false "$lambda"
    done
    for lambda in $relatives; do
        continue_with english proximal true "$lambda"
    done
done
awk -f "$here/table.awk" results.tsv > table.md
awk -f "$here/figure.awk" results.tsv > loss.svg
cat table.md
say "written: $out/results.tsv, table.md, loss.svg"
