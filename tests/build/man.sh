#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual pages say all: every option that a program's --help lists, every
# key that a reader of a file format knows.
set -u
: "${top_srcdir:=.}"
: "${top_builddir:=.}"
n=0

verdict() { # WORDS CLAIM
    n=$((n + 1))
    [ -z "$1" ] && echo "ok $n - $2" && return
    echo "not ok $n - $2"
    echo "missing:" $1 | sed 's/^/# /'
}

# Those of the words on stdin that a page lacks, or a section of it. A minus may
# be escaped.
missing() { # PAGE [SECTION]
    awk -v want="${2-}" '/^\.SH / { now = $2 } !want || now == want' \
        "$top_srcdir/man/$1" | sed 's/\\-/-/g' | tr -c 'a-z0-9_-' '\n' |
        LC_ALL=C sort -u >"$words"
    LC_ALL=C sort -u | LC_ALL=C comm -23 - "$words"
}

options() { # PROGRAM
    "$top_builddir/$1" --help | grep -oE '^ {2,6}(-., )?--[a-z-]+' |
        grep -oE -e '--[a-z-]+'
}

keys() { # SOURCE...: of its tables
    for source; do
        grep -oE 'FIELD\("[a-z_]+"' "$top_srcdir/$source" |
            sed 's/.*"\(.*\)"/\1/'
    done
}

words=$(mktemp) || exit 1
trap 'rm -f "$words"' EXIT
for program in dawn-convert dawn-plan dawn-profile dawn-simulate dawn-train; do
    n_options=$(options $program | wc -l)
    verdict "$([ "$n_options" -ge 4 ] || echo "--help of $program")" \
        "$program lists its options"
    verdict "$(options $program | missing $program.1)" \
        "$program(1) names each option"
    # -o is said by its letter, what every program has not at all
    verdict "$(options $program | grep -vE 'help|usage|version|output' |
        missing $program.1 SYNOPSIS)" "$program(1) has each in its synopsis"
done
verdict "$(keys src/plan/file.c | missing plan.yaml.5)" \
    "plan.yaml(5) names each key"
verdict "$(keys src/profile/read.c | missing profile.yaml.5)" \
    "profile.yaml(5) names each key"
verdict "$(keys src/topology/machine.c | missing machine.yaml.5)" \
    "machine.yaml(5) names each key"
verdict "$(keys src/job/job.c | missing job.yaml.5)" \
    "job.yaml(5) names each key"
if command -v groff >/dev/null; then
    verdict "$(for page in "$top_srcdir"/man/*.[1-9]; do
        groff -man -Tutf8 -ww "$page" 2>&1 >/dev/null
    done)" "groff warns of nothing"
else
    n=$((n + 1))
    echo "ok $n - groff warns of nothing # SKIP no groff"
fi
echo "1..$n"
