#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what is needed, build into build/, run all tests. May be run again at
# any time; what is installed or built already is skipped.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
"$top/scripts/install-deps.sh"
"$top/scripts/build.sh" "$top/build" --enable-werror "$@"
exec make -C "$top/build" -j"$(nproc)" check
