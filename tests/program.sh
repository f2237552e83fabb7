# SPDX-License-Identifier: Apache-2.0
# For the tests of programs that run by themselves: a temporary folder, runs of
# $program, and what they say. Sourced, never run.
set -u
: "${top_builddir:=.}" "${top_srcdir:=.}"
build=$(cd "$top_builddir" && pwd)
srcdir=$(cd "$top_srcdir" && pwd)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
n=0

ok() { # CLAIM, after a command
    status=$?
    n=$((n + 1))
    [ $status -eq 0 ] && echo "ok $n - $1" && return
    echo "not ok $n - $1"
    sed 's/^/# /' out err
}

run() { # WANTED_STATUS ARG...
    wanted=$1
    shift
    "$build/$program" "$@" >out 2>err
    [ $? -eq "$wanted" ]
}

fails() { # STATUS TEXT CLAIM ARG...: with one line, and nothing printed
    wanted=$1 text=$2 claim=$3
    shift 3
    run "$wanted" "$@" && grep -q "^$program: .*$text" err &&
        [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ]
    ok "$claim: exit $wanted, $text"
}
