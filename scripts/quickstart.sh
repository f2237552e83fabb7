#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a clone to a language model trained over two pipeline stages under a
# memory cap: install, build, make the corpus, profile, plan, train. At most 8
# minutes on two cores. Works in quickstart/; may be run again at any time, also
# after quickstart/job.yaml was edited, and skips what is done.
#
#   quickstart.sh              under a cap that it chooses for the job
#   CAP=48MiB quickstart.sh    under this cap
set -eu
if [ $# -gt 0 ]; then
    sed -n '/^#   /s/^#   /usage: /p' "$0" >&2
    exit 2
fi
top=$(cd "$(dirname "$0")/.." && pwd)
work=$top/quickstart
bin=$top/build
cap=${CAP-}

say() { printf '\n== %s\n' "$*"; }
note() { printf 'quickstart: %s\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }
setting() { printf '$ export %s\n' "$1"; export "${1?}"; }

# A value of a job, in either style of YAML.
value() { # JOB KEY DEFAULT
    found=$(sed 's/^#.*//; s/ #.*//' "$1" | tr ',{}' '\n\n\n' |
        sed -n "s/^ *$2: *\\(.*[^ ]\\) *\$/\\1/p" | tail -n 1 | tr -d "\"'")
    echo "${found:-$3}"
}

# FOLDER.1, or with the first number that is free.
free_name() { # FOLDER
    number=1
    while [ -e "$1.$number" ]; do
        number=$((number + 1))
    done
    echo "$1.$number"
}

# Move what was made for another job into a folder of its own.
set_aside() {
    made=
    run=run
    if [ -e .job.yaml ]; then
        run=$(value .job.yaml out run)
    fi
    for name in profile.yaml kept.yaml plan.yaml "$run"; do
        if [ -e "$name" ]; then
            made=$(free_name before)
        fi
    done
    [ -n "$made" ] || return 0
    mkdir "$made"
    for name in profile.yaml kept.yaml plan.yaml .trained "$run"; do
        if [ -e "$name" ]; then
            mv "$name" "$made"
        fi
    done
    if [ -e .job.yaml ]; then
        mv .job.yaml "$made/job.yaml"
    fi
    note "job.yaml was edited: what was made for the last one is in $made/ now"
}

# The largest cap of some at which a plan that keeps everything does not fit,
# and one that recomputes does. Empty: there is none.
find_cap() {
    if ! $planner --recompute none -o kept.yaml > /dev/null; then
        note "no cap: the memory of this machine is one"
        return
    fi
    peak=$(awk '/^ *arena_bytes:/ && $2 + 0 > most + 0 { most = $2 }
        END { print most }' kept.yaml)
    for percent in 95 90 85 80 75 70 65 60 55 50 45 40; do
        cap=$((peak * percent / 100 / 1048576))MiB
        [ "${cap%MiB}" -ge 16 ] || cap=$((peak * percent / 100 / 1024))KiB
        if ! $planner --memory "$cap" --recompute none -o - > /dev/null 2>&1
        then
            $planner --memory "$cap" -o - > /dev/null 2>&1 || break
            note "$cap a rank, $percent% of what a plan has that keeps" \
                "everything; CAP=... sets another"
            return
        fi
    done
    cap=
    note "no cap: there is none at which recompute is needed and enough"
}

say "Install and build"
"$top/scripts/install-deps.sh"
"$top/scripts/build.sh" "$bin" --enable-werror

say "Corpus: the King James Bible, every 20th verse held out"
"$top/scripts/make-corpus.sh" "$work"
if [ -e "$work/job.yaml" ]; then
    note "job.yaml skipped, it is there: kept as it is"
else
    cp "$top/examples/quickstart.yaml" "$work/job.yaml"
fi

say "From here on each line with a \$ can be repeated by hand"
show cd "$work"
setting "PATH=$bin:$PATH"
setting OMPI_MCA_btl_vader_single_copy_mechanism=none
if [ "$(id -u)" -eq 0 ]; then
    setting OMPI_ALLOW_RUN_AS_ROOT=1
    setting OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
mpirun="mpirun -n 2 --oversubscribe"
microbatches=$(value job.yaml microbatches 8)
out=$(value job.yaml out run)
if ! cmp -s job.yaml .job.yaml; then
    set_aside
    cp job.yaml .job.yaml
fi

say "Measure the model, node by node, and the machine"
if [ -e profile.yaml ]; then
    note "profile.yaml skipped, it is this job's; remove it to measure again"
else
    rm -f kept.yaml plan.yaml
    show $mpirun dawn-profile job.yaml -o profile.yaml
fi
if [ -e machine.yaml ]; then
    note "machine.yaml skipped, it is there; remove it to measure again"
else
    show $mpirun dawn-profile --machine -o machine.yaml
fi

planner="dawn-plan profile.yaml --machine machine.yaml --stages 2"
planner="$planner --microbatches $microbatches"
if [ -z "$cap" ]; then
    say "Choose a cap on the memory of a rank"
    find_cap
fi
if [ -n "$cap" ]; then
    planner="$planner --memory $cap"
    say "Plan two stages under a cap of $cap a rank, keeping every activation"
    if show $planner --recompute none -o kept.yaml; then
        note "a plan that keeps everything fits $cap: recompute is not needed"
    fi
fi
say "Plan two stages${cap:+ under it, with recompute}"
if ! show $planner --explain -o plan.yaml; then
    note "no plan${cap:+ fits $cap; CAP=... sets another cap}" >&2
    exit 1
fi

say "Train it over two ranks"
if [ -d "$out" ] && cat job.yaml plan.yaml | cmp -s - .trained; then
    note "training skipped, $out/ is of this job and plan; remove it to train" \
        "anew"
else
    resume=
    if [ -d "$out" ] && [ -e .trained ]; then
        aside=$(free_name "$out")
        mv "$out" "$aside"
        note "the run under another plan is in $aside/ now"
    elif ls -d "$out"/step-* > /dev/null 2>&1; then
        resume=--resume
    fi
    rm -f .trained
    note "to stop it with a checkpoint, elsewhere: kill -USR1 \$(pidof mpirun)"
    show $mpirun dawn-train job.yaml --plan plan.yaml $resume
    cat job.yaml plan.yaml > .trained
fi

say "Where to look"
cat <<END
$work/
  job.yaml             what is trained; edit it and run this script again
  profile.yaml         what each node costs
  machine.yaml         cores, memory and links
  plan.yaml            stages and recompute decisions
  $out/metrics.jsonl    one object a step: loss, tokens/s, bubble, peak bytes
  $out/                 checkpoints
The programs are in $bin; README.md says how to install them.
END
