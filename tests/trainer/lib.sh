# SPDX-License-Identifier: Apache-2.0
# For the tests of the programs: a small model, its profile, plans, and runs of
# dawn-train in a temporary folder. Sourced, never run.
: "${top_srcdir:=.}" "${top_builddir:=.}" "${MPIRUN:=mpirun}"
bin=$(cd "$top_builddir" && pwd)
src=$(cd "$top_srcdir" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
# Once a rank has failed, mpirun need not wait a second for each of the others.
export OMPI_MCA_odls_base_sigkill_timeout=0
n=0

report() { # STATUS CLAIM
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

# Show a file as TAP comments.
comment() { # FILE
    sed 's/^/# /' "$1"
}

done_testing() {
    echo "1..$n"
}

# A text of its own, any bytes: the test needs no corpus.
make_text() { # FILE BYTES
    seq 1 100000 | awk '{ print $1, $1 * 7 % 101, "word" $1 % 13 }' |
        head -c "$2" > "$1"
}

# job.yaml for a model of 2 layers.
make_job() { # DTYPE
    make_text train.txt 60000
    make_text eval.txt 6000
    cat > job.yaml <<END
dawn: job/1
model: {preset: gpt2, layers: 2, hidden: 32, heads: 2, context: 32, vocab: 256,
        dropout: 0.1, attention: fused, dtype: $1}
data: {train: train.txt, eval: eval.txt, format: bytes}
train: {steps: 20, microbatch: 2, microbatches: 6, lr: 3.0e-3, warmup: 5,
        clip: 1.0, seed: 3, eval_every: 10, eval_microbatches: 4, keep: 3}
out: run
END
}

ranks() { # N PROGRAM...: as N ranks, quietly
    count=$1
    shift
    "$MPIRUN" -q -n "$count" --oversubscribe "$@"
}

# The model's memory as it is, and times that depend on nothing but its work: the
# planner makes the same of it wherever the test runs, and whatever runs beside.
make_profile() { # [SIZES]
    "$bin/dawn-profile" job.yaml --microbatch "${1-2}" --repeats 1 \
        > profile.log 2>&1 || return 1
    LC_ALL=C awk '
        function ns(phase) { # of the row in x: 0 stays 0
            return x[phase + 1] > 0 ? \
                sprintf("%.0f", 2000 + size[row] * flops[phase + 1] / 20) : 0
        }
        /^microbatches:/ { split($0, x, /[][]/); split(x[2], size, ",") }
        /^- name:/ { split("", flops); row = update = 0 }
        /^  params:/ { update = 5000 }
        /^  flops:/ { split($0, flops, /[][,]/) }
        /^  - [{]ns:/ { row++; split($0, x, /[][,]/)
            sub(/ns: [^]]*/, "ns: [" ns(1) ", " ns(2) ", " ns(3))
            sub(/update_ns: [^,}]*/, "update_ns: " update) }
        { print }' profile.yaml > times && mv times profile.yaml
}

# As many devices, and a disk as fast as many are.
make_machine() { # DEVICES FOLDER
    echo 'dawn: machine/1' > machine.yaml
    echo 'devices:' >> machine.yaml
    for device in $(seq "$1"); do
        echo '- {kind: host}'
    done >> machine.yaml
    cat >> machine.yaml <<END
links:
  default: {latency_ns: 2000, bytes_per_s: 5000000000}
tiers:
- {kind: ssd, path: "$work/$2", read_bytes_per_s: 1000000000, write_bytes_per_s: 1000000000, latency_ns: 100000, compute_ns_per_byte: 0.1}
END
}

plan() { # STAGES SCHEDULE FILE [MORE...]
    stages=$1 schedule=$2 file=$3
    shift 3
    "$bin/dawn-plan" profile.yaml --stages "$stages" --schedule "$schedule" \
        --microbatches 6 -o "$file" "$@" > plan.log 2>&1
}

# The largest peak of a plan's stages.
peak_of() { # FILE
    awk '/^ *peak_bytes:/ && $2 > most { most = $2 } END { print most }' "$1"
}

# A plan under a cap that makes it do something with some tensor. Fails where
# there is none.
capped_plan() { # STAGES SCHEDULE FILE [DECISION [MORE...]]
    capped_stages=$1 capped_schedule=$2 capped=$3 decision=${4-recompute}
    shift $(($# < 4 ? 3 : 4))
    plan "$capped_stages" "$capped_schedule" whole.yaml || return 1
    peak=$(peak_of whole.yaml)
    for percent in 90 75 65 60; do
        plan "$capped_stages" "$capped_schedule" "$capped" \
            --memory $((peak * percent / 100)) "$@" || return 1
        grep -q ": $decision" "$capped" && return 0
    done
    return 1
}

train() { # RANKS PLAN [MORE...]; leaves run/ and train.log
    count=$1 plan=$2
    shift 2
    ranks "$count" "$bin/dawn-train" job.yaml --plan "$plan" "$@" \
        > train.log 2>&1
}

# Until a command succeeds, while $job runs, five minutes at most.
wait_for() { # COMMAND...
    waited=0
    while ! "$@" 2> /dev/null && kill -0 $job 2> /dev/null &&
        [ $waited -lt 6000 ]; do
        sleep 0.05
        waited=$((waited + 1))
    done
}

# Process id of a rank of this test's dawn-train.
pid_of_rank() { # RANK
    for dir in /proc/[0-9]*; do
        [ "$(readlink "$dir/cwd" 2>/dev/null)" = "$work" ] || continue
        case $(readlink "$dir/exe" 2>/dev/null) in
        *dawn-train*) ;;
        *) continue ;;
        esac
        tr '\0' '\n' < "$dir/environ" 2>/dev/null |
            grep -qx "OMPI_COMM_WORLD_RANK=$1" && echo "${dir#/proc/}" && return
    done
}

# The bits of a run: step, loss, gradient norm, held-out loss.
bits() { # METRICS
    sed -E 's/.*"step":([0-9]+).*"loss_hex":"([^"]*)".*"grad_norm_hex":"([^"]*)".*/\1 \2 \3 &/
        s/^([^{]*)\{.*"eval_loss_hex":"([^"]*)".*/\1\2/
        s/^([^{]*)\{.*/\1/' "$1"
}

# Peaks of the last step, measured and predicted.
peaks_match() { # METRICS
    tail -n 1 "$1" | grep -qE \
        '"peak_bytes":(\[[0-9,]+\]),"predicted_peak_bytes":\1,'
}
