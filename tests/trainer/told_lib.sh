# SPDX-License-Identifier: Apache-2.0
# For tests of two ranks that are told different things. Sourced, never run.
. "$(dirname "$0")/lib.sh"

# Ten seconds, and more where the machine is so busy that starting two ranks
# that do nothing takes seconds.
measure_limit() { # PROGRAM ARGUMENT...
    program=$1
    shift
    before=$(date +%s)
    ranks 2 "$bin/$program" "$@" > /dev/null 2>&1 < /dev/null
    limit=$((10 + 10 * ($(date +%s) - before)))
    echo "# limit: $limit s"
}

# Two ranks with their own arguments; leaves out. They may end within $limit.
pair() { # PROGRAM ARGUMENTS_OF_RANK_0 ARGUMENTS_OF_RANK_1
    program=$1
    # shellcheck disable=SC2086
    timeout "$limit" "$MPIRUN" -q --oversubscribe -n 1 "$bin/$program" $2 : \
        -n 1 "$bin/$program" $3 > out 2>&1 < /dev/null
}

# They failed in time, with one line, which has the pattern.
told() { # STATUS PATTERN CLAIM
    { [ "$1" -eq 1 ] || [ "$1" -eq 2 ]; } &&
        [ "$(grep -c '^dawn-[a-z]*: ' out)" -eq 1 ] && grep -q -- "$2" out
    said=$?
    report $said "$3: $(grep -m 1 '^dawn-[a-z]*: ' out | cut -c 1-150)"
    [ $said -eq 0 ] || { echo "# exit status $1, wanted: $2" && comment out; }
}
