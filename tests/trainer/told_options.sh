#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An option on one rank of two, or another value of it: for every option that
# --help names, both ranks end at once, and one line names it.
. "$(dirname "$0")/told_lib.sh"

make_job f32
sed 's/word/wurd/' train.txt > other.txt
make_profile && plan 2 1f1b plan.yaml && plan 2 gpipe plan2.yaml
report $? "plans are made"
measure_limit dawn-train --version

options_of() { # PROGRAM: a line for each option, its name and its argument
    "$bin/$1" --help | sed -n \
        's/^ *\(-., \)\{0,1\}--\([a-z-]*\)=\{0,1\}\([A-Z]*\).*/\2 \3/p'
}

value() { # ARGUMENT_NAME TURN: one of two values
    case $1 in
    N) echo "$((2 + $2))" ;;
    SECONDS) echo "$((60 + $2))" ;;
    FILE) [ "$2" = 1 ] && echo plan.yaml || echo plan2.yaml ;;
    CORPUS) [ "$2" = 1 ] && echo train.txt || echo other.txt ;;
    DIR) echo "dir$2" ;;
    KIND) [ "$2" = 1 ] && echo host || echo abacus ;;
    LIST) echo "$2" ;;
    esac
}

# What else must be given, as the program said when it was not.
needed() {
    case $(cat out) in
    *'go with --fisher'*) echo "$base --fisher=train.txt --output=dir0" ;;
    *'wants a folder'*) echo "$base --output=dir0" ;;
    *'goes with --machine'*) echo --machine ;;
    *) echo "$base" ;;
    esac
}

try_all() { # PROGRAM
    program=$1
    options_of "$program" > options
    count=0
    while read -r name argument <&3; do
        count=$((count + 1))
        named="rank 1.*--$name"
        [ "$name" = output ] && named='rank 1.* \(--output is\|-o,\)'
        option=--$name
        [ "$argument" ] && option=$option=$(value "$argument" 2)
        pair "$program" "$base" "$base $option"
        told $? "$named" "$program $option on rank 1"
        [ "$argument" ] || continue
        with=$(needed)
        pair "$program" "$with --$name=$(value "$argument" 1)" "$with $option"
        told $? "^$program: rank 1 differs from rank 0: --$name is " \
            "$program --$name of two values"
    done 3< options
    report $((count < $2)) "$program has $count options"
}
base='job.yaml --plan plan.yaml'
try_all dawn-train 16
base='job.yaml'
try_all dawn-profile 9

# Wrong command lines are told, whichever rank has them.
base='job.yaml --plan plan.yaml'
pair dawn-train "$base --fast" "$base"
told $? "^dawn-train: rank 0: unknown or incomplete option '--fast'" "on rank 0"
pair dawn-train "$base" "$base --fast"
told $? "^dawn-train: rank 1: unknown or incomplete option '--fast'" "on rank 1"
pair dawn-train "$base --fast" "$base --fast"
told $? "^dawn-train: unknown or incomplete option '--fast'" "on both, once"
pair dawn-train "$base --fast" "$base --slow"
[ $? -eq 2 ] && grep -q "^dawn-train: rank 0: .*'--fast'" out &&
    grep -q "^dawn-train: rank 1: .*'--slow'" out
report $? "each rank's own" || comment out
pair dawn-train "$base" ""
told $? '^dawn-train: rank 1: no JOB given' "no arguments at all"
pair dawn-train "$base" "$base more.yaml"
told $? '^dawn-train: rank 1: one job only, not more.yaml too' "one too many"
[ ! -e run ] && [ ! -e dir0 ] && [ ! -e dir2 ]
report $? "none of these began a run"

for asked in --help --usage --version; do
    ranks 2 "$bin/dawn-train" $asked > out 2>&1 < /dev/null &&
        "$bin/dawn-train" $asked > wanted && cmp -s wanted out
    report $? "$asked of two ranks is what one says, once" || comment out
done
done_testing
