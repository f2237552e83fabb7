#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a clone to a language model trained over two pipeline stages under a
# memory cap: install, build, make the corpus, profile, plan, train. At most 8
# minutes on two cores. Works in quickstart/; may be run again at any time.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
work=$top/quickstart
bin=$top/build
cap=${CAP:-48MiB}

say() { printf '\n== %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }

say "Install and build"
"$top/scripts/install-deps.sh"
"$top/scripts/build.sh" "$bin" --enable-werror

say "Corpus: the King James Bible, every 20th verse held out"
"$top/scripts/make-corpus.sh" "$work"
if [ -e "$work/job.yaml" ]; then
    echo "quickstart: job.yaml skipped, it is there: kept as it is"
else
    cp "$top/examples/quickstart.yaml" "$work/job.yaml"
fi
cd "$work"
PATH=$bin:$PATH
export OMPI_MCA_btl_vader_single_copy_mechanism=none
mpirun="mpirun -n 2 --oversubscribe"
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

say "Measure the model, node by node, and the machine"
show $mpirun dawn-profile job.yaml -o profile.yaml
show $mpirun dawn-profile --machine -o machine.yaml

say "Plan two stages under a cap of $cap a rank, keeping every activation"
if show dawn-plan profile.yaml --machine machine.yaml --stages 2 \
    --microbatches 4 --memory "$cap" --recompute none -o kept.yaml; then
    echo "quickstart: a plan that keeps everything fits $cap: no cap at all" >&2
    exit 1
fi

say "The same with recompute"
show dawn-plan profile.yaml --machine machine.yaml --stages 2 \
    --microbatches 4 --memory "$cap" --explain -o plan.yaml

say "Train it over two ranks"
rm -rf run
show $mpirun dawn-train job.yaml --plan plan.yaml

say "Where to look"
cat <<END
$work/
  job.yaml             what is trained; edit it and run this script again
  profile.yaml         what each node costs
  machine.yaml         cores, memory and links
  plan.yaml            stages and recompute decisions
  run/metrics.jsonl    one object a step: loss, tokens/s, bubble, peak bytes
  run/                 checkpoints
END
