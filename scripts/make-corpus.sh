#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make the corpus of the quickstart: the King James Bible, one verse a line,
# without the names of the verses. Every 20th verse is held out.
#
#   make-corpus.sh FOLDER     writes FOLDER/kjv.train.txt and FOLDER/kjv.eval.txt
set -eu
[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
if [ -s "$1/kjv.train.txt" ] && [ -s "$1/kjv.eval.txt" ]; then
    echo "make-corpus: skipped, $1/kjv.train.txt and kjv.eval.txt are there"
    exit 0
fi
mkdir -p "$1"
work=$(mktemp -d "$1/.corpus.XXXXXX")
trap 'rm -rf "$work"' EXIT
bible -l100000 -f 'gen1:1-rev22:21' </dev/null | sed 's/^[^ ]* //' > "$work/all"
verses=$(wc -l < "$work/all")
if [ "$verses" -ne 31102 ]; then
    echo "make-corpus: bible printed $verses verses, not 31102" >&2
    exit 1
fi
awk -v work="$work" '{ print > (work (NR % 20 ? "/train" : "/eval")) }' \
    "$work/all"
mv "$work/train" "$1/kjv.train.txt"
mv "$work/eval" "$1/kjv.eval.txt"
wc -c "$1/kjv.train.txt" "$1/kjv.eval.txt"
