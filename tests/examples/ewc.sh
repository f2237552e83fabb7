#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The experiment of examples/ewc in its short form: the corpora are aligned, every
# run is in the table, and the ends of the curve are where they must be.
: "${top_srcdir:=.}" "${top_builddir:=.}"
src=$(cd "$top_srcdir" && pwd)
bin=$(cd "$top_builddir" && pwd)
[ -z "${SANITIZER_CFLAGS-}" ] ||
    { echo "1..0 # SKIP tests/trainer/ewc.sh runs the same under sanitizers"; exit 0; }
command -v bible >/dev/null && command -v mod2imp >/dev/null ||
    { echo "1..0 # SKIP no bible or mod2imp (scripts/install-deps.sh --ewc)"; exit 0; }
mod2imp spaRV1909eb 2>/dev/null | head -n 1 | grep -q . ||
    { echo "1..0 # SKIP no sword-text-sparv"; exit 0; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0
report() { # STATUS CLAIM
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

"$src/examples/ewc/run.sh" --short "$bin" "$work/out" > "$work/log" 2>&1
ran=$?
report $ran "the short form runs"
[ $ran -eq 0 ] || sed 's/^/# /' "$work/log"
cd "$work/out" || exit 1
[ "$(wc -l < corpus/english.eval.txt)" -eq 1555 ] &&
    [ "$(wc -l < corpus/spanish.eval.txt)" -ge 1540 ]
report $? "every 20th verse is held out, in both languages"
sed -n 1p corpus/english.eval.txt | grep -q '^And God said, Let the waters bring forth' &&
    sed -n 1p corpus/spanish.eval.txt | grep -q '^Y dijo Dios: Produzcan las aguas'
report $? "the same verses"
! grep -q '[<>$]' corpus/*.txt
report $? "no mark-up is left"
[ "$(grep -c '^1	' results.tsv)" -eq 5 ] && [ "$(grep -c '^|' table.md)" -eq 6 ]
report $? "five lines of results, a table of them"
awk -F '\t' '
    $2 == "base" { base = $6; base_es = $7 }
    $2 == "none" { zero = $6; zero_es = $7 }
    $5 == "1e12" { frozen = $6; frozen_es = $7 }
    END { exit !(zero > base + 0.05 && zero_es < base_es - 0.1 &&
                 frozen < base + 0.02 && frozen > base - 0.02 &&
                 frozen_es > zero_es + 0.1) }' results.tsv
shape=$?
report $shape "lambda 0 forgets and learns, a very large one does neither"
[ $shape -eq 0 ] || sed 's/^/# /' results.tsv
grep -q '^<svg' loss.svg && [ "$(tail -n 1 loss.svg)" = '</svg>' ] &&
    ! grep -qi nan loss.svg
report $? "and a figure"
"$src/examples/ewc/run.sh" --short "$bin" "$work/out" > "$work/again" 2>&1 &&
    ! grep -q 'seed 1' "$work/again"
report $? "what is done is not done again"
echo "1..$n"
