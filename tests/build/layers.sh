#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The #includes go one way: a folder of src/ includes its own headers and those
# of folders before it; libdawnpiper's folders know no MPI, oneDNN, hwloc or
# OpenMP and no header of libdawnpiper-run; programs and examples know public
# headers only.
set -u
: "${top_srcdir:=.}"
cd "$top_srcdir" || exit 1
order='common topology graph op models passes job profile import plan schedule
    memory partition planner device comm data tier optim runtime ckpt'
run_half='topology device comm tier optim runtime ckpt'
n=0

# Print the offending lines, "FILE:LINE:TEXT", and the verdict on them.
verdict() { # LINES CLAIM
    n=$((n + 1))
    [ -z "$1" ] && echo "ok $n - $2" && return
    echo "not ok $n - $2"
    echo "$1" | sed 's/^/# /'
}

includes() { # DIR...: all quoted or bracketed includes
    grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[ch]' "$@"
}

alternatives() { echo $* | tr ' ' '|'; }

allowed=
for area in $order; do
    allowed="$allowed $area"
    wrong=$(includes "src/$area" | grep '"' |
        grep -vE "\"(($(alternatives $allowed))/[^\"]*|[^/\"]+|config\.h)\"")
    verdict "$wrong" "src/$area includes earlier folders only"
    case " $(echo $run_half) " in
    *" $area "*) continue ;;
    esac
    wrong=$(includes "src/$area" |
        grep -E "[<\"](mpi|dnnl|hwloc|omp)[./_]|\"($(alternatives $run_half))/")
    verdict "$wrong" "src/$area is pure"
done

wrong=$(for dir in src/*/; do
    case " $(echo $order) " in
    *" $(basename "$dir") "*) ;;
    *) echo "$dir" ;;
    esac
done)
verdict "$wrong" "every folder of src/ has its place in the order"

for dir in profiler planner simulator converter trainer examples; do
    wrong=$(includes $dir | grep -E "\"(../)*(src/)?($(alternatives $order))/")
    verdict "$wrong" "$dir includes public headers only"
done
wrong=$(includes include | grep '"')
verdict "$wrong" "public headers include <dawnpiper/...> and the system's only"
echo "1..$n"
