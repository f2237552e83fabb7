#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make the corpora of the experiment, a verse a line:
#
#   make-corpus.sh [--without-proxy] FOLDER
#
#   english.train.txt english.eval.txt   the King James Bible; every 20th verse
#                                        is held out
#   english.fisher.txt                   every 20th as well, others
#   spanish.train.txt spanish.eval.txt   Reina-Valera 1909; the same verses are
#                                        held out as in the English one
#   proxy.txt                            other English: Jane Austen's novels
#
# Wants bible-kjv, sword-text-sparv and libsword-utils (scripts/install-deps.sh
# --ewc), and apt-get for r-cran-janeaustenr, which is unpacked, not installed.
set -eu
proxy=yes
[ "${1-}" != --without-proxy ] || { proxy=; shift; }
[ $# -eq 1 ] || { sed -n '/^#   make/s/^#   /usage: /p' "$0" >&2; exit 2; }
out=$1
fail() { echo "make-corpus: $*" >&2; exit 1; }
if [ -s "$out/spanish.train.txt" ] && { [ -z "$proxy" ] || [ -s "$out/proxy.txt" ]; }
then
    echo "make-corpus: skipped, $out has them"
    exit 0
fi
mkdir -p "$out"
work=$(mktemp -d "$out/.corpus.XXXXXX")
trap 'rm -rf "$work"' EXIT

# BOOK CHAPTER:VERSE, a tab, the text
bible -l100000 -f 'gen1:1-rev22:21' </dev/null |
    awk '{ name = $1; sub(/[0-9]*:[0-9]*$/, "", name)
           place = substr($1, length(name) + 1)
           if (name != last) { book++; last = name }
           sub(/^[^ ]* /, ""); print book " " place "\t" $0 }' > "$work/english"
[ "$(wc -l < "$work/english")" -eq 31102 ] ||
    fail "bible printed $(wc -l < "$work/english") verses, not 31102"

# An entry is a line "$$$Book C:V" and lines of mark-up. Verse 0 is a heading.
mod2imp spaRV1909eb 2>/dev/null |
    awk 'function flush() {
             gsub(/<note[^>]*>.*<\/note>|<title[^>]*>.*<\/title>/, "", text)
             gsub(/<[^>]*>/, "", text); gsub(/  +/, " ", text)
             gsub(/^ | $/, "", text)
             if (text != "" && place !~ /^0:|:0$/ && place != "")
                 print book " " place "\t" text
             text = ""
         }
         /^\$\$\$/ { flush(); place = $NF; name = $0; sub(/ [^ ]*$/, "", name)
                     if (name ~ /\[/) { place = ""; next }
                     if (name != last) { book++; last = name }
                     next }
         { text = text (text == "" ? "" : " ") $0 }
         END { flush() }' > "$work/spanish"
verses=$(wc -l < "$work/spanish")
[ "$verses" -gt 31000 ] || fail "mod2imp printed $verses verses, too few"

cut -f1 "$work/english" | awk 'NR % 20 == 0' > "$work/held"
awk -F '\t' -v out="$work/english" '
    { kind = NR % 20 == 0 ? "eval" : NR % 20 == 10 ? "fisher" : "train"
      print $2 > (out "." kind ".txt") }' "$work/english"
awk -F '\t' -v out="$work/spanish" '
    NR == FNR { held[$1] = 1; next }
    { print $2 > (out ($1 in held ? ".eval" : ".train") ".txt") }' \
    "$work/held" "$work/spanish"

if [ -z "$proxy" ]; then
    mv "$work"/english.*.txt "$work"/spanish.*.txt "$out"
    exit 0
fi
# A lazy-load database of R: records of 4 bytes of length and a zlib stream, in
# which a string is 00 04 00 09, its length and its bytes.
(cd "$work" && apt-get download -q r-cran-janeaustenr >/dev/null 2>&1 &&
    dpkg-deb -x r-cran-janeaustenr_*.deb austen) ||
    fail "cannot download r-cran-janeaustenr"
perl -MCompress::Zlib -e '
    binmode STDIN; binmode STDOUT; local $/; my $data = <STDIN>;
    for (my $at = 0; $at + 4 < length $data;) {
        my ($inflate) = inflateInit();
        my $rest = substr($data, $at + 4);
        my $before = length $rest;
        my ($text, $status) = $inflate->inflate($rest);
        last if $status != Z_STREAM_END;
        $at += 4 + $before - length $rest;
        while ($text =~ /\x00\x04\x00\x09(....)/gs) {
            my $n = unpack "N", $1;
            print substr($text, pos $text, $n), "\n" if $n && $n < 400;
            pos($text) += $n;
        }
    }' < "$work"/austen/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb |
    grep -v '^\(names\|class\|text\|book\|levels\|row.names\|tbl.*\|data.frame\)$' \
    > "$work/proxy.txt"
[ "$(wc -c < "$work/proxy.txt")" -gt 3000000 ] || fail "too little of Jane Austen"
mv "$work"/english.*.txt "$work"/spanish.*.txt "$out"
mv "$work/proxy.txt" "$out"
wc -c "$out"/*.txt
