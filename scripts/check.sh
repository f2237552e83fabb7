#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what is needed, build into build/, run all tests. May be run again at
# any time; what is installed or built already is skipped.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
"$top/scripts/install-deps.sh"
"$top/scripts/build.sh" "$top/build" --enable-werror "$@"
# -O: tests that run beside each other do not tear each other's lines.
exec make -C "$top/build" -s -O -j"$(nproc)" check
