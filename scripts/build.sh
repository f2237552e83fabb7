#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build into a folder; what is built already is skipped.
#
#   build.sh FOLDER [CONFIGURE-OPTION...]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] || { echo "usage: $0 FOLDER [CONFIGURE-OPTION...]" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift

if [ "$folder" != "$top" ] && [ -e "$top/config.status" ]; then
    echo "build: $top itself is configured: a build in $folder would mix with" \
        "it; first: make -C $top distclean" >&2
    exit 1
fi
if [ -x "$top/configure" ]; then
    echo "build: bootstrap skipped, configure is there"
else
    "$top/bootstrap"
fi
cd "$folder"
# The options of the last configure, to start over when they changed.
if [ -f Makefile ] && [ "$(cat options 2>/dev/null)" = "$*" ]; then
    echo "build: configure skipped, $folder has a Makefile"
else
    "$top/configure" -q "$@"
    echo "$*" > options
fi
make -j"$(nproc)"
