#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the house style says about sizes and first lines.
set -u
: "${top_srcdir:=.}"
cd "$top_srcdir" || exit 1
n=0

verdict() { # LINES CLAIM
    n=$((n + 1))
    [ -z "$1" ] && echo "ok $n - $2" && return
    echo "not ok $n - $2"
    echo "$1" | sed 's/^/# /'
}

sources() {
    find include src profiler planner simulator trainer converter examples \
        bench tests -name '*.[ch]' | LC_ALL=C sort
}

verdict "$(sources | while read -r file; do
    head -n 1 "$file" | grep -qF '/* SPDX-License-Identifier: Apache-2.0 */' ||
        echo "$file"
done)" "every C file starts with its licence"

verdict "$(sources | xargs wc -l | awk '$2 != "total" && $1 > 900')" \
    "no C file is longer than 900 lines"

if ctags --version 2>/dev/null | grep -q 'Universal Ctags'; then
    verdict "$(sources | grep '\.c$' |
        ctags -L - -f - --output-format=xref --_xformat='%N %F:%n %e' \
            --fields=+ne --kinds-C=f |
        awk '{ split($2, at, ":"); lines = $3 - at[2] + 1 }
            lines > 80 { print $2 ": " $1 " has " lines " lines" }')" \
        "no function is longer than 80 lines"
else
    n=$((n + 1))
    echo "ok $n # SKIP no Universal Ctags to measure functions with"
fi
echo "1..$n"
