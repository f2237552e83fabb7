#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# examples/own_layers.c: built outside the tree against the installed library,
# by the very line of README.md; run over 1 and 2 ranks.
. "$(dirname "$0")/lib.sh"
: "${CC:=cc}"

[ "$(grep -c '' "$src/examples/own_layers.c")" -lt 180 ]
report $? "the example has less than 180 lines"
! grep '#include "' "$src/examples/own_layers.c"
report $? "it includes public headers only"

root=$bin/tests/build/installed # made by tests/build/local.am
pc=$(find "$root" -name dawnpiper-run.pc)
[ -n "$pc" ]
report $? "the library is installed"
PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export LD_LIBRARY_PATH

cp "$src/examples/own_layers.c" .
line=$(sed -n 's/^    \(cc own_layers\.c .*\)/\1/p' "$src/README.md")
[ "$(echo "$line" | grep -c 'pkg-config.* dawnpiper-run')" -eq 1 ]
report $? "README.md has one line that builds it"
cc() { command $CC -O2 ${SANITIZER_CFLAGS-} "$@"; }
eval "$line" > cc.log 2>&1
built=$?
report $built "it builds so: $line"
[ $built -eq 0 ] || comment cc.log

for count in 1 2; do
    ranks $count ./own_layers > out$count 2>&1
    status=$?
    report $status "it runs over $count ranks"
    [ $status -eq 0 ] || comment out$count
done
awk '/^step/ { if (!first) first = $4; last = $4 }
    END { exit !(last > 0 && last < first / 4) }' out2
report $? "the loss falls to less than a quarter"
cmp -s out1 out2
report $? "1 and 2 ranks print the same losses"
done_testing
