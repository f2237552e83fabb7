#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A person moves a cut and forces a decision in plan.yaml: dawn-train takes it,
# and dawn-plan --check makes its predictions anew.
. "$(dirname "$0")/lib.sh"

check() { # PLAN [MORE...]
    "$bin/dawn-plan" --check "$@" profile.yaml > check.log 2>&1
}

trains() { # the plan for two steps
    rm -rf run
    train 2 plan.yaml --steps 2
}

make_job f32
make_profile
plan 2 1f1b plan.yaml
sed -e '0,/nodes:/s/nodes: \[\(.*\), .*\]/nodes: [\1, block0.mlp.up]\
  tensors: {block0.attn.core: recompute}/' \
    -e '1,/mlp.up/!s/nodes: \[.*, \(.*\)\]/nodes: [block0.mlp.gelu, \1]/' \
    plan.yaml > edited.yaml
mv edited.yaml plan.yaml
grep -q 'nodes: \[.*, block0.mlp.up\]' plan.yaml &&
    grep -q 'nodes: \[block0.mlp.gelu, .*\]' plan.yaml
report $? "an edited plan"

trains && grep -q 'plan.yaml was edited after it was priced' train.log &&
    tail -n 1 run/metrics.jsonl | grep -q '"predicted_step_ns":null'
edited=$?
report $edited "it trains; stale predictions are left out, and that is said"
[ $edited -eq 0 ] || comment train.log

check plan.yaml -o plan.yaml && grep -q 'edited since it was priced' check.log &&
    grep -q '^policy: hand' plan.yaml
checked=$?
report $checked "--check prices it, and -o writes it back"
[ $checked -eq 0 ] || comment check.log
check plan.yaml && grep -q 'are of these stages and decisions' check.log
report $? "then its predictions are its own"

trains && ! grep -q 'warning' train.log && peaks_match run/metrics.jsonl
same=$?
report $same "it trains, and its peak memory is as predicted"
[ $same -eq 0 ] || comment train.log
# three samples, where two and four were profiled
make_profile 2,4
plan 2 1f1b plan.yaml --microbatch 3
grep -q 'microbatch: 3}' plan.yaml && grep -q 'size_low: 2, size_high: 4' plan.yaml
report $? "a plan for a microbatch that was not profiled"
trains && tail -n 1 run/metrics.jsonl | grep -q '"predicted_step_ns":[0-9]'
three=$?
report $three "it trains"
[ $three -eq 0 ] || comment train.log
done_testing
