#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The installed libraries export what the checked-in lists say, each symbol is
# exported by one of them, and the pure half has no mutable state (so that the
# hidden copy in libdawnpiper-run cannot differ from the original).
#
# After a change of the API: tests/build/symbols.sh --update, in the build
# folder, with top_srcdir set.
set -u
: "${top_srcdir:=.}" "${top_builddir:=.}"
lists=$top_srcdir/tests/build
n=0

exported() { # LIBRARY
    nm -D --defined-only "$top_builddir/.libs/$1.so" |
        awk '$2 ~ /^[A-TV-Z]$/ { print $3 }' | grep -v '^__\(asan\|odr_asan\)' |
        LC_ALL=C sort
}

verdict() { # LINES CLAIM
    n=$((n + 1))
    [ -z "$1" ] && echo "ok $n - $2" && return
    echo "not ok $n - $2"
    echo "$1" | sed 's/^/# /'
}

if [ "${1-}" = --update ]; then
    if [ ! -e "$top_builddir/.libs/libdawnpiper-run.so" ]; then
        echo "symbols.sh: no libraries in $top_builddir: run it in the build" \
            "folder, with top_srcdir set" >&2
        exit 1
    fi
    exported libdawnpiper > "$lists/symbols-core.txt"
    exported libdawnpiper-run > "$lists/symbols-run.txt"
    exit
fi

verdict "$(exported libdawnpiper | diff "$lists/symbols-core.txt" -)" \
    "libdawnpiper exports the symbols in symbols-core.txt"
verdict "$(exported libdawnpiper-run | diff "$lists/symbols-run.txt" -)" \
    "libdawnpiper-run exports the symbols in symbols-run.txt"
verdict "$({ exported libdawnpiper; exported libdawnpiper-run; } |
    grep -v '^dawn_')" "they export dawn_* only"
verdict "$({ exported libdawnpiper; exported libdawnpiper-run; } |
    LC_ALL=C sort | uniq -d)" "no symbol is exported by both"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat "$top_srcdir"/include/dawnpiper/*.h | tr '\n' ' ' |
    grep -oE 'DAWN_API [^;]*' | grep -oE '\bdawn_[a-z0-9_]+ ?\(' |
    tr -d ' (' | LC_ALL=C sort -u > "$work/declared"
LC_ALL=C sort "$lists/symbols-core.txt" "$lists/symbols-run.txt" \
    > "$work/listed"
verdict "$(diff "$work/declared" "$work/listed")" \
    "the lists are what the public headers declare"

if nm "$top_builddir/.libs/libdawnpiper-internal.a" | grep -q __asan; then
    n=$((n + 1))
    echo "ok $n # SKIP sanitizers add state of their own"
else
    verdict "$(nm -A -f sysv "$top_builddir/.libs/libdawnpiper-internal.a" |
        grep -E '\|(\.data|\.bss|\.tdata|\.tbss|\*COM\*)(\.[^r][^|]*)?$')" \
        "libdawnpiper has no mutable state"
fi

needed=$(objdump -p "$top_builddir/.libs/libdawnpiper.so" |
    awk '$1 == "NEEDED" { print $2 }' | grep -E 'mpi|dnnl|hwloc|gomp|cuda')
verdict "$needed" "libdawnpiper needs no MPI, oneDNN, hwloc or OpenMP"
echo "1..$n"
