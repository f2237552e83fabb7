#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, as C11 and as C++17, and is installed.
set -u
: "${top_srcdir:=.}" "${CC:=cc}" "${CXX:=c++}"
n=0

report() { # STATUS CLAIM
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

compiles() { # COMPILER... < source
    "$@" -I "$top_srcdir/include" -Wall -Wextra -pedantic -Werror \
        -fsyntax-only - 2>&1 | sed 's/^/# /' | tee headers.$$ >&2
    [ ! -s headers.$$ ]
}

trap 'rm -f headers.$$' EXIT
for file in "$top_srcdir"/include/dawnpiper/*.h; do
    header=dawnpiper/$(basename "$file")
    echo "#include <$header>" | compiles $CC -std=c11 -x c
    report $? "$header compiles alone as C11"
    if $CXX --version >/dev/null 2>&1; then
        echo "#include <$header>" | compiles $CXX -std=c++17 -x c++
        report $? "$header compiles alone as C++17"
    else
        n=$((n + 1))
        echo "ok $n # SKIP no C++ compiler"
    fi
    grep -q "/$header" "$top_srcdir/include/local.am"
    report $? "$header is in include/local.am"
done
echo "1..$n"
