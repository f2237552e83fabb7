# SPDX-License-Identifier: Apache-2.0
# One run in many shapes: 1 to 4 stages, gpipe and 1f1b, keeping everything and
# recomputing under a cap. All have the same loss and gradient norm, bit for
# bit, for 20 steps. Sourced by same_DTYPE.sh, which sets dtype.
. "$(dirname "$0")/lib.sh"

make_job "$dtype"
make_profile
report $? "$dtype: the model is profiled" || comment profile.log

compare() { # STAGES SCHEDULE CAPPED: runs plan.yaml
    rm -rf run
    train "$1" plan.yaml
    status=$?
    if [ "$status" -eq 0 ] && [ ! -e first ]; then
        bits run/metrics.jsonl > first
        [ "$(wc -l < first)" -eq 20 ]
        report $? "$dtype: 20 steps, each with its bits"
    fi
    [ "$status" -eq 0 ] && bits run/metrics.jsonl | cmp -s - first
    same=$?
    report $same "$dtype, $1 stages, $2, $3: same loss and gradient norm"
    [ $same -eq 0 ] || comment train.log
    peaks_match run/metrics.jsonl
    report $? "$dtype, $1 stages, $2, $3: peak memory as predicted"
}

recomputed=0
for stages in 1 2 3 4; do
    for schedule in gpipe 1f1b; do
        plan "$stages" "$schedule" plan.yaml
        compare "$stages" "$schedule" "everything kept"
        if capped_plan "$stages" "$schedule" plan.yaml; then
            recomputed=$((recomputed + 1))
            compare "$stages" "$schedule" "under a cap"
        fi
    done
done
[ "$recomputed" -ge 4 ]
report $? "$dtype: at least 4 of the plans recompute ($recomputed do)"
done_testing
