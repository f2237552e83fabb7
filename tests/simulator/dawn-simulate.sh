#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dawn-simulate: what it prints and draws agrees with the plan's predictions.
program=dawn-simulate
. "$(dirname "$0")/../program.sh"

numbers() { # KEY FILE: its values, rounded, one a line
    grep -oE "\"?$1\"?: *[0-9.e+]+" "$2" | sed 's/.*: *//' |
        awk '{ printf "%.0f\n", $1 }'
}

"$build/tests/planner/make_profile" profile.yaml &&
    "$build/dawn-plan" profile.yaml --stages 4 --microbatches 8 \
        --memory 150KB --json -o plan.yaml >plan.json 2>err
ok "a plan to simulate"

run 0 plan.yaml --json --trace trace.json --svg picture.svg
ok "simulates, traces and draws"
[ "$(numbers step_ns out)" = "$(numbers step_ns plan.json | head -n 1)" ]
ok "the step takes what the planner says"
[ "$(numbers peak_bytes out)" = "$(numbers peak_bytes plan.json)" ]
ok "the curves' peaks are those of the plan"
awk -F'[:,}]' '/"rank"/ {
    for (i = 1; i < NF; i++)
        if ($i ~ /busy_ns|wait_ns|comm_ns/) sum += $(i + 1) }
    /"step_ns"/ { step = $2 }
    END { d = sum - 4 * step; exit !(d < 9 && d > -9) }' out
ok "busy, waiting and messages add up to the step on all ranks"

[ "$(grep -c '"name":"BW mb' trace.json)" -eq 32 ] &&
    [ "$(grep -c '"name":"F mb' trace.json)" -eq 32 ]
ok "the trace has a box for each F and BW"
if command -v python3 >/dev/null; then
    python3 -c 'import json; json.load(open("trace.json"))' 2>err &&
        python3 -c 'from xml.dom import minidom as m; m.parse("picture.svg")' \
            2>>err
    ok "trace and picture are well-formed"
else
    n=$((n + 1))
    echo "ok $n - trace and picture are well-formed # SKIP no python3"
fi
[ "$(grep -c "<rect.*<title>BW mb" picture.svg)" -eq 32 ] &&
    [ "$(grep -c '>cap 146.5 KiB<' picture.svg)" -eq 4 ]
ok "the picture has a box for each BW, and the cap on every rank"
# Numbers on the time axis: from 0 on, the same distance apart, which is 1, 2 or
# 5 times a power of ten, and no more of them than eleven.
sed -n "s/.*class='tick'.*>\([0-9.e+-]*\) [num]*s<.*/\1/p" picture.svg |
    awk '{ x[NR] = $1 } END {
        d = x[2]; first = d
        while (first >= 10) first /= 10
        while (first < 1) first *= 10
        for (i = 1; i <= NR; i++) wrong += x[i] != (i - 1) * d
        exit wrong || NR < 4 || NR > 11 ||
            (first != 1 && first != 2 && first != 5) }'
ok "times on its axis are round"
# A cap of 20 times the peak is told and not drawn; the fullest rank's curve
# reaches the top of its row, which is at 56 + 26 + 6.
"$build/dawn-plan" profile.yaml --stages 4 --microbatches 8 --memory 3400KiB \
    -o far.yaml >/dev/null 2>err && run 0 far.yaml --svg far.svg &&
    [ "$(grep -c '>cap 3.3 MiB<' far.svg)" -eq 4 ] &&
    [ "$(grep -c "<line .*stroke='#c0392b'" far.svg)" -eq 0 ] &&
    [ "$(grep -c "<line .*stroke='#c0392b'" picture.svg)" -eq 4 ] &&
    grep -q "<path .*L[0-9.]* 88.00L" far.svg
ok "memory is drawn on the scale of the peaks, whatever the cap"

run 0 plan.yaml --program 1 && sed '/^# eval/q' out >program
# Number of the stage's nodes: each runs its forward once a microbatch.
nodes=$(awk '/^- rank: 1$/ { mine = 1 } mine && /nodes:/ {
    gsub(/[^0-9]+/, " "); print $2 - $1 + 1; exit }' plan.yaml)
[ "$(grep -cE ' F\(mb [0-9]+\) [^ ]+ in' program)" -eq $((8 * nodes)) ]
ok "a rank's program has a forward for each node and microbatch"
[ "$(awk '!/^#/ && $3 > most { most = $3 } END { print most }' program)" = \
    "$(numbers peak_bytes plan.json | sed -n 2p)" ]
ok "the most bytes that are live in it are the peak of the plan"
arena=$(awk '/^# .* arena / { print $(NF - 1); exit }' program)
tr ' ' '\n' <program | sed -nE 's/.*=[0-9]+@([0-9]+)\+([0-9]+):.*/\1 \2/p' |
    awk -v arena="$arena" '$1 + $2 > most { most = $1 + $2 }
        END { exit most != arena }'
ok "its buffers reach to the end of the arena, and not beyond"
[ "$(grep -c ' recv(mb' program)" -eq "$(grep -c ' recv_wait(mb' program)" ] &&
    grep -q " send(mb 0) 't[0-9]*' to rank 2 buffer=" program
ok "every receive is waited for, and messages say for whom they are"
fails 1 "rank 4, of 4" "no such rank" plan.yaml --program 4
fails 2 "not a rank" "a rank that is none" plan.yaml --program x
fails 2 "excludes" "--program beside --json" plan.yaml --program 1 --json

cp trace.json first.json
run 0 plan.yaml --trace trace.json && cmp -s trace.json first.json
ok "the same plan gives the same trace, byte for byte"
grep -q '^1f1b, 4 stages on 4 ranks, 8 microbatches' out &&
    [ "$(wc -l <out)" -eq 6 ]
ok "a line a rank for people"

"$build/dawn-plan" profile.yaml --devices 4 --replicas 2 -o two.yaml >/dev/null &&
    run 0 two.yaml --trace two.json --svg two.svg &&
    grep -q '2 stages on 4 ranks' out && [ "$(wc -l <out)" -eq 6 ] &&
    [ "$(grep -c '"name":"REDUCE"' two.json)" -eq 4 ] &&
    grep -q '>all-reduce<' two.svg && ! grep -q '>all-reduce<' picture.svg
ok "each replica of a stage has a line, a row and a sum of gradients"

cat >uneven.yaml <<'EOF'
dawn: machine/1
devices: [{memory_bytes: 20KiB}, {}, {}, {memory_bytes: 1GiB}]
EOF
run 0 plan.yaml -m uneven.yaml && grep -q '^   0 .* 20.0 KiB$' out &&
    grep -q '^   3 .* 146.5 KiB$' out
ok "a rank's cap is the plan's or its device's, whichever is less"
[ "$(grep -cE "d='M90 [0-9]+L90\.00 " two.svg)" -eq 4 ]
ok "its memory is there from the beginning of the step"
cat >busy.yaml <<'EOF'
dawn: machine/1
devices: [{}, {}]
tiers:
- {kind: host, read_bytes_per_s: 1.0e+9, write_bytes_per_s: 1.0e+9, compute_ns_per_byte: 2}
EOF
sed 's/, compute_ns_per_byte: 2//' busy.yaml >idle.yaml
"$build/dawn-plan" profile.yaml -m busy.yaml -s 2 -M 80KiB --offload host \
    --recompute none -o busy.plan >/dev/null &&
    run 0 busy.plan -m busy.yaml --json &&
    [ "$(numbers step_ns out)" = "$(sed -n 's/^predicted:/step_ns/p' busy.plan |
        sed 's/.*, step_ns: \([0-9]*\).*/\1/')" ]
ok "a machine on which transfers take computing time: the plan's step"
numbers transfer_ns out >taken
awk '$1 == "transfer_ns:" { printf "%.0f\n", 8 * $2 }' \
    busy.plan | cmp -s - taken && [ "$(grep -c '^[1-9]' taken)" -eq 2 ]
ok "they take what the plan says"
run 0 busy.plan -m busy.yaml &&
    [ "$(grep -c '^rank . is busy with transfers for [1-9]' out)" -eq 2 ]
ok "and for people it says so"
sed 's/^  optimizer: host$//' busy.plan >kept.plan
run 0 kept.plan -m busy.yaml --json && numbers busy_ns out >busy &&
    numbers transfer_ns out >taken && run 0 kept.plan -m idle.yaml --json &&
    ! grep -q '"transfer_ns": [1-9]' out && numbers busy_ns out |
    paste - busy taken | awk '{ d = $2 - $1 - $3; wrong += d > 2 || d < -2 }
        END { exit wrong || NR != 2 }'
ok "by so much more ranks are busy than where a byte costs nothing"
mkfifo pipe
cat pipe >piped &
run 0 plan.yaml --trace pipe
wait
cmp -s piped first.json && [ -p pipe ]
ok "--trace writes into a pipe"
mkfifo lonely
fails 1 "lonely: cannot write it: nobody reads from this pipe" \
    "a pipe without a reader" plan.yaml --trace lonely
fails 2 "a file each" "one file for two" plan.yaml --trace same --svg same
before=$(cat plan.yaml profile.yaml | cksum)
fails 2 "overwrite plan.yaml" "the plan is kept" plan.yaml --svg plan.yaml
fails 2 "overwrite profile.yaml" "so is the profile" plan.yaml \
    --trace ./profile.yaml
[ "$(cat plan.yaml profile.yaml | cksum)" = "$before" ]
ok "as they are"

fails 2 "which PLAN" "no plan"
fails 2 "unknown or incomplete option '--frobnicate'" "an unknown option" \
    --frobnicate
fails 1 "none.yaml" "no such plan" none.yaml
fails 1 "none.yaml" "no such profile" plan.yaml --profile none.yaml
fails 1 "nowhere/t.json: cannot write it" "no such folder" plan.yaml \
    --trace nowhere/t.json
sed 's/^graph: .*/graph: xxh3:0000000000000001/' plan.yaml >other.yaml
fails 1 "other.yaml:[0-9]*: .*graph" "a plan for another graph" other.yaml
echo "1..$n"
