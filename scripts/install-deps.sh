#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install from apt what DawnPiper needs on Debian 12, as root or through sudo.
#
#   install-deps.sh            to build, test and run the quickstart
#   install-deps.sh --ewc      also the Spanish Bible of examples/ewc
#   install-deps.sh --ci       also what .ci/run uses: clang and its runtimes, and
#                              what tests skip without: a locale with a decimal
#                              comma, python3, groff, ctags, the Spanish Bible
#
# May be run again at any time; says what it skips.
set -eu

packages='build-essential autoconf automake libtool pkg-config procps
    libopenmpi-dev openmpi-bin libhwloc-dev libdnnl-dev libyaml-dev
    libjansson-dev libxxhash-dev librandom123-dev liburing-dev
    bible-kjv bible-kjv-text'
case ${1-} in
'') ;;
--ewc) packages="$packages sword-text-sparv libsword-utils" ;;
--ci) packages="$packages clang libclang-rt-14-dev libomp-dev universal-ctags
    groff locales python3 sword-text-sparv libsword-utils" ;;
*) echo "usage: $0 [--ewc | --ci]" >&2; exit 2 ;;
esac

installed() {
    [ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = \
        'install ok installed' ]
}

missing=
for package in $packages; do
    installed "$package" || missing="$missing $package"
done
comma=no
if [ "${1-}" = --ci ] && ! locale -a | grep -qi '^de_DE\.utf-\?8$'; then
    comma=wanted
fi
if [ -z "$missing" ] && [ $comma = no ]; then
    echo "install-deps: skipped, every package is installed"
    exit 0
fi

if [ -n "$missing" ] && ! command -v apt-get >/dev/null; then
    echo "install-deps: no apt-get here; install the likes of:$missing" >&2
    exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-deps: not root and no sudo; as root:" \
            "apt-get install$missing" >&2
        exit 1
    fi
    sudo=sudo
fi
if [ -n "$missing" ]; then
    echo "install-deps: installing$missing"
    $sudo apt-get update -q </dev/null
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
        --no-install-recommends $missing </dev/null
fi
if [ $comma = wanted ]; then
    $sudo localedef -i de_DE -f UTF-8 de_DE.UTF-8
fi
