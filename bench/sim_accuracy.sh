#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Two ranks of one thread each: measured against simulated step, 5 times, and
# the share of a step outside kernels and waiting.
#   sim_accuracy.sh BUILD [JOB]
# JOB: a job.yaml (the quickstart's model on text made up here).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { echo "usage: sim_accuracy.sh BUILD [JOB]" >&2; exit 2; }
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ $# -ge 2 ]; then
    job=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
else
    seq 1 400000 | head -c 2000000 > "$work/kjv.train.txt"
    cp "$work/kjv.train.txt" "$work/kjv.eval.txt"
    sed 's/eval: kjv.eval.txt, //' "$here/../examples/quickstart.yaml" \
        > "$work/job.yaml"
    job=$work/job.yaml
fi
cd "$work"
export OMP_NUM_THREADS=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
mpirun="mpirun -q -n 2 --bind-to none"
field() { # NAME: of every step but the first two
    sed 1,2d run/metrics.jsonl | sed -E "s/.*\"$1\":([-0-9.e]+).*/\1/"
}
median() {
    sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'
}

micro=$(sed -nE 's/.*microbatch: *([0-9]+).*/\1/p' "$job" | head -n 1)
mbs=$(sed -nE 's/.*microbatches: *([0-9]+).*/\1/p' "$job" | head -n 1)
for repeat in 1 2 3 4 5; do
    $mpirun "$build/dawn-profile" "$job" --microbatch "$micro" > log
    $mpirun "$build/dawn-profile" --machine >> log
    "$build/dawn-plan" profile.yaml --machine machine.yaml --stages 2 \
        --microbatches "$mbs" -o plan.yaml >> log
    rm -rf run
    $mpirun "$build/dawn-train" "$job" --plan plan.yaml --steps 50 >> log
    echo "$(field step_ns | median) $(field predicted_step_ns | median)" \
        "$(field overhead | median) $(field bubble | median)"
done | awk '{ printf "measured %8.1f ms  simulated %8.1f ms  ratio %.3f  " \
    "overhead %.2f%%  bubble %.1f%%\n", $1 / 1e6, $2 / 1e6, $1 / $2,
    100 * $3, 100 * $4; fflush() }' | tee ratios
awk '{ print $8 }' ratios | median |
    awk '{ printf "median ratio %s, wanted 0.9 to 1.1\n", $1 }'
