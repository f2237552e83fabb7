#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# make install DESTDIR= works, and a program outside the tree builds against
# the installed library with pkg-config.
set -u
: "${top_srcdir:=.}" "${top_builddir:=.}" "${CC:=cc}"
n=0

report() { # STATUS CLAIM
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

# made by tests/build/local.am
root=$(cd "$top_builddir" && pwd)/tests/build/installed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pc=$(find "$root" -name dawnpiper.pc)
[ -n "$pc" ]
report $? "make install DESTDIR=... installs dawnpiper.pc"

PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
flags() { PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@"; }

cat > "$work/user.c" <<'END'
#include <dawnpiper/status.h>
#include <stdio.h>

int main(void)
{
    puts(dawn_version());
    return 0;
}
END
libdir=$(dirname "$(dirname "$pc")")

$CC -std=c11 ${SANITIZER_CFLAGS-} $(flags --cflags dawnpiper) -o "$work/user" \
    "$work/user.c" $(flags --libs dawnpiper)
report $? "a program outside the tree builds with pkg-config"
got=$(LD_LIBRARY_PATH="$libdir" "$work/user")
[ "$got" = "$(pkg-config --modversion dawnpiper)" ]
report $? "it runs, and the version is that of dawnpiper.pc"

for file in "$top_srcdir"/include/dawnpiper/*.h; do
    [ -n "$(find "$root" -path "*/include/dawnpiper/$(basename "$file")")" ]
    report $? "$(basename "$file") is installed"
done
echo "1..$n"
