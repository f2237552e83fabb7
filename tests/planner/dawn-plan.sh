#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dawn-plan from its command line: what it writes, what it says, how it fails.
program=dawn-plan
. "$(dirname "$0")/../program.sh"

"$build/tests/planner/make_profile" profile.yaml
ok "a profile to plan with"

run 0 profile.yaml --stages 2 && grep -q '^dawn: plan/1' plan.yaml &&
    grep -q '^plan.yaml: 2 stages' out && [ "$(wc -l <out)" -eq 1 ]
ok "plan.yaml is written, and said in one line"
run 0 profile.yaml -o one.yaml && grep -q '^one.yaml: 1 stage, ' out
ok "one stage is not many"
run 0 profile.yaml -s 2 -o - && cmp -s out plan.yaml
ok "-o - prints the same plan"
run 0 profile.yaml -s 2 -o - && cp out first && run 0 profile.yaml -s 2 -o - &&
    cmp -s out first
ok "twice the same bytes"

run 0 profile.yaml -s 2 -M 100KiB --explain && grep -q recomputes out &&
    grep -q '^bubble' out && grep -q '^bound' out && grep -q 'of 100.0 KiB' out
ok "--explain tells of recompute, bubble, bound and cap"
run 0 profile.yaml -s 2 --json && grep -q '"feasible": true' out &&
    grep -q '"nodes": \["n0", "n1", "n2"' out &&
    { ! command -v python3 >/dev/null || python3 -m json.tool <out >/dev/null; }
ok "--json is JSON"
cat >mixed.yaml <<END
dawn: machine/1
devices:
- {name: "slow:0", kind: host, speed: 0.25}
- {name: "fast:0", kind: host, speed: 1}
- {name: "fast:1", kind: host, speed: 1}
END
run 0 profile.yaml -s 2 -m mixed.yaml --hostfile hosts --explain \
    -o plan.yaml &&
    grep -q '^devices: \["fast:0", "fast:1"\]' plan.yaml &&
    [ "$(tr '\n' ' ' <hosts)" = "fast fast " ] &&
    grep -q '^stage 0 on rank 0, device fast:0' out
ok "devices are chosen, and --hostfile writes their hosts"
run 0 profile.yaml -s 3 -m mixed.yaml --placement given --hostfile hosts &&
    ! grep -q '^devices' plan.yaml &&
    [ "$(tr '\n' ' ' <hosts)" = "slow fast fast " ]
ok "--placement given takes them as they are"
run 0 profile.yaml -s 2 -m mixed.yaml && cp plan.yaml mixed-plan.yaml &&
    run 0 profile.yaml -m mixed.yaml --check mixed-plan.yaml
ok "--check prices a plan on the devices it names"
mkfifo lonely
fails 1 "lonely: nobody reads from this pipe" "a pipe without a reader" \
    profile.yaml -s 2 -o lonely
fails 2 "wants --machine" "hosts of no machine" profile.yaml --hostfile hosts
rm -f plan.yaml
run 0 profile.yaml -s 2 --compare && grep -q '^dawnpiper' out &&
    grep -q '^exact' out && grep -q '^gpipe-uniform' out && [ ! -e plan.yaml ]
ok "--compare has a row for each policy and writes nothing"
for policy in dawnpiper exact pipedream vpipe adapipe gpipe-uniform; do
    grep -q "^$policy .*%.*KiB, .*KiB$" out || exit 1
done
ok "each row has the distance to the bound and the peak of each stage"
run 0 profile.yaml -s 2 -M 100KiB --compare &&
    grep -q '^pipedream  *does not fit: needs [0-9.]* KiB, for stage' out &&
    grep -q '^dawnpiper .*KiB (.*%)' out
ok "under a cap it says what does not fit, and how much memory is idle"
run 0 profile.yaml -s 2 -M 100KiB --compare --json &&
    grep -q '"policy": "pipedream", "feasible": false' out &&
    grep -q '"policy": "exact", "feasible": true' out &&
    { ! command -v python3 >/dev/null || python3 -m json.tool <out >/dev/null; }
ok "--compare --json is JSON"
run 1 profile.yaml -s 2 -M 1KiB --compare && grep -q 'no policy has' err
ok "--compare fails if nothing fits"
run 0 profile.yaml -s 2 -M 100KiB --objective bottleneck --json \
    -o plan.yaml && grep -q '"objective": "bottleneck"' out &&
    grep -q '^objective: bottleneck' plan.yaml &&
    run 0 profile.yaml -s 2 -M 100KiB --objective bottleneck &&
    grep -q ', bottleneck [0-9.]* [mu]s, [0-9.]*% above the bound' out
ok "a plan says what it was made to be the least in"
rm -f plan.yaml
run 0 profile.yaml -s 2 --compare -o best.yaml && [ -s best.yaml ]
ok "with -o it writes the best plan"
run 0 --version && grep -q '^dawn-plan [0-9]' out && cp out version &&
    run 0 -V && cmp -s out version
ok "--version, -V"
run 0 --help && grep -q -- --explain out && cp out help && run 0 -h &&
    cmp -s out help
ok "--help, -h"

run 0 profile.yaml -s 2 --microbatch 3 -o three.yaml &&
    grep -q 'that many samples were not profiled' out &&
    grep -q 'size_low: 1, size_high: 2' three.yaml
ok "a microbatch that was not profiled is planned for, and the plan says so"
run 0 profile.yaml -s 2 -M 300KiB --max-batch --json -o most.yaml &&
    most=$(sed -n 's/.*"microbatch": \([0-9]*\),.*/\1/p' out) &&
    [ "$most" -gt 2 ] &&
    run 0 profile.yaml -s 2 -M 300KiB --microbatch "$most" -o same.yaml &&
    cmp -s most.yaml same.yaml
ok "--max-batch is the plan for the largest microbatch, $most"
run 1 profile.yaml -s 2 -M 300KiB --microbatch $((most + 1))
ok "one sample more does not fit"
run 0 profile.yaml -s 2 -M 300KiB --max-batch --compare &&
    awk '$1 == "pipedream" { p = $2 } $1 == "exact" { e = $2 }
         END { exit !(p >= 2 && e > p) }' out
ok "--compare --max-batch: exact has a larger one than pipedream"
fails 1 'no cap on memory' "--max-batch without a cap" profile.yaml -s 2 \
    --max-batch
fails 2 'exclude' "--max-batch with --microbatch" profile.yaml --max-batch \
    --microbatch 2

# files that others published
import=$srcdir/tests/fuzz/corpus
rm -f plan.yaml
bottleneck='--objective bottleneck --offload none'
run 0 --import pipedream $import/fuzz_pipedream/branch.txt -s 2 $bottleneck \
    --json && grep -q '"bottleneck_ns": 8538000, "bound_ns": 8538000,$' out &&
    grep -q '"nodes": \["node2"\]' out && ! grep -q tokens_per_s out && grep -q '"time_ns": 300000' out &&
    [ ! -e plan.yaml ]
ok "--import pipedream: the slowest stage and its bound; nothing is written"
run 0 --import piper $import/fuzz_piper/branch.json -s 3 $bottleneck --json &&
    grep -q '"nodes": \[0\]' out && grep -q '"peak_bytes": 380,' out &&
    { ! command -v python3 >/dev/null || python3 -m json.tool <out >/dev/null; }
ok "--import piper: ids are numbers, memory is by the additive rule"
grep -q '^dawn-plan: .*/branch.json also says maxDevices 4, .*: not used; ' err
ok "it is said which figures of the file are not used"
run 0 --import piper $import/fuzz_piper/branch.json -s 3 -M 250 $bottleneck \
    --json && grep -q '"recompute": \[0\], "offload": \[\]' out &&
    grep -q '"peak_bytes": 198,' out
ok "under a cap it says what is recomputed"
run 1 --import piper $import/fuzz_piper/branch.json -s 3 -M 100 $bottleneck \
    --json && grep -q '"feasible": false, "why": "no plan of 3' out &&
    grep -q '"works_bytes": 198' out && grep -q '^dawn-plan: no plan' err
ok "where nothing fits JSON says so too, and which cap would do"
run 0 --import piper $import/fuzz_piper/branch.json -s 3 -M 250 $bottleneck \
    --profile-out published.yaml -o one.yaml &&
    run 0 published.yaml -s 3 -M 250 $bottleneck -o two.yaml &&
    cmp -s one.yaml two.yaml && run 0 --check two.yaml published.yaml
ok "--profile-out writes a profile.yaml that gives the same plan"
run 0 --import pipedream $import/fuzz_pipedream/branch.txt -s 2 --compare &&
    grep -q '^adapipe .*%' out
ok "--compare plans it with every policy"
# Two layers of 1 + 2 ms, 4 microbatches: 24 ms on one stage. On two a message
# of 1 GB at 5 GB/s takes 200 ms.
{
    echo 'node1 -- A -- forward_compute_time=1, backward_compute_time=2,' \
        'activation_size=1000000000, parameter_size=0'
    echo 'node2 -- B -- forward_compute_time=1, backward_compute_time=2,' \
        'activation_size=0, parameter_size=0'
    printf '\tnode1 -- node2\n'
} >far.txt
run 0 --import pipedream far.txt -s 1..2 --microbatches 4 --policy pipedream &&
    grep -q 'of 1..2 stages 1 is best: step 24.0 ms; 2: ' err &&
    grep -q '1 stage, .*step 24.0 ms' out
ok "--stages 1..2 takes the better count and says what the other takes"
run 0 --import pipedream far.txt -s 2 --microbatches 4 --policy pipedream &&
    grep -q '1 stage would take 24.0 ms, these 2 take .*--stages 1..2' err &&
    grep -q '2 stages, ' out
ok "--stages 2 says that one is better"
run 0 --import pipedream far.txt -s 2 --microbatches 4 &&
    grep -q 'the plan uses 1 of the 2 stages' err &&
    grep -q '1 stage, .*step 24.0 ms' out
ok "published profiles are planned with fewer stages where that is better"
fails 2 'excludes --devices' "--stages 1..2 with --max-batch" \
    profile.yaml -s 1..2 --max-batch
fails 2 'import=alpa: one of pipedream, piper' "an unknown format" \
    --import alpa profile.yaml
fails 2 'profile-out' "--profile-out of our own" profile.yaml \
    --profile-out again.yaml
fails 1 'cycle.json:[0-9]*: this edge is on a cycle' "a cycle" \
    --import piper $import/fuzz_piper/cycle.json

# a person moves the cut of two stages by one node, and forces a decision
run 0 profile.yaml -s 2 -M 110KiB -o made.yaml
last=$(sed -n 's/^  nodes: \[.*, n\(.*\)\]/\1/p' made.yaml | head -n 1)
sed -e "s/, n$last\]/, n$((last - 1))]/" -e "s/\[n$((last + 1)),/[n$last,/" \
    made.yaml >edited.yaml
run 0 --check made.yaml profile.yaml &&
    grep -q 'are of these stages' out && grep -q 'as fast as the file says' out &&
    grep -q "planner's own plan" out
ok "--check: a plan is as fast as its file says"
awk 'match($0, /^ */) && skip != "" && RLENGTH > skip { next }
    { skip = /^ *predicted:/ ? RLENGTH : "" }
    skip == "" { print }' made.yaml >bare.yaml
run 0 --check bare.yaml profile.yaml && grep -q 'it predicts nothing yet' out &&
    ! grep -q 'file' out
ok "--check: a plan written by hand predicts nothing"
run 0 --check edited.yaml profile.yaml -M 1MiB &&
    grep -q 'edited since it was priced' out &&
    grep -q "slower than the planner's own plan" out
ok "--check: a cut that was moved is slower"
run 0 --check edited.yaml profile.yaml -M 1MiB -o fresh.yaml &&
    run 0 --check fresh.yaml profile.yaml &&
    grep -q 'are of these stages' out && grep -q '^policy: hand' fresh.yaml
ok "--check -o writes it with predictions of its own"
run 0 --check edited.yaml profile.yaml -M 1MiB --json &&
    grep -q '"edited": true' out && grep -q '"own_step_ns"' out &&
    { ! command -v python3 >/dev/null || python3 -m json.tool <out >/dev/null; }
ok "--check --json is JSON"
run 1 --check edited.yaml profile.yaml -M 50KiB -o never.yaml &&
    grep -q 'WRONG: .* over its cap of 50.0 KiB' out &&
    grep -q '^dawn-plan: edited.yaml: .* over their memory: stage 0' err &&
    [ ! -e never.yaml ]
ok "--check: a stage over its cap is named, and nothing is written"
line=$(grep -n '^  nodes:' made.yaml | tail -n 1 | cut -d: -f1)
sed "s/\[n$((last + 1)),/[n$last,/" made.yaml >twice.yaml
fails 1 "twice.yaml:$((line - 1)):.*'n$last' is in two stages" "a node in two" \
    --check twice.yaml profile.yaml
sed "${line}a\\
  tensors: {nowhere: recompute}" made.yaml >unknown.yaml
fails 1 "unknown.yaml:$((line + 1)):.*no tensor 'nowhere'" "no such tensor" \
    --check unknown.yaml profile.yaml
fails 2 'from the plan' "--check with --stages" --check made.yaml profile.yaml \
    -s 3

cat >machine.yaml <<'EOF'
dawn: machine/1
devices: [{}, {}]
tiers:
- {kind: host, read_bytes_per_s: 1.0e+9, write_bytes_per_s: 1.0e+9, latency_ns: 10}
EOF
cat >slow.yaml <<'EOF'
dawn: machine/1
devices: [{}, {}]
tiers:
- {kind: host, read_bytes_per_s: 1.0e+6, write_bytes_per_s: 1.0e+6, latency_ns: 10}
EOF
run 0 profile.yaml -m machine.yaml -s 2 -M 80KiB --offload host --explain \
    -o plan.yaml &&
    grep -q 'offloads .*to host' out && grep -q 'each way, hidden' out &&
    grep -q '^    [^ ]*: host' plan.yaml
ok "what is offloaded, and that it hides"
run 0 profile.yaml -m machine.yaml -s 2 -M 80KiB --offload none &&
    ! grep -q 'host$' plan.yaml
ok "nothing is offloaded where that is forbidden"
run 0 profile.yaml -m slow.yaml -s 2 -M 100KiB --offload host --recompute none \
    --explain && grep -q 'each way, stalls' out
ok "or how long it stalls"
sed 's/latency_ns: 10/&, spread: 3.04/' machine.yaml >unsteady.yaml
run 0 profile.yaml -m unsteady.yaml -s 2 -o plan.yaml &&
    [ "$(cat err)" = "dawn-plan: warning: unsteady.yaml: measured while other \
work ran: host (spread 3.0): measure again" ] &&
    run 0 profile.yaml -m machine.yaml -s 2 -o plan.yaml && [ ! -s err ]
ok "a machine that was measured while other work ran is told of"
sed 's/latency_ns: 10/&, compute_ns_per_byte: 2/' machine.yaml >busy.yaml
run 0 profile.yaml -m busy.yaml -s 2 -M 80KiB --offload host --recompute none \
    --explain -o busy.plan &&
    grep -q 'W .*, transfers [1-9].*, stall 0.0 ns;' out &&
    grep -q 'each way, takes [1-9].* of computing, the rest hidden' out
ok "or what it takes of computing"
idle=$(sed -n 's/.*simulated: \([0-9.]*\)% of the step idle/\1/p' out)
"$build/dawn-simulate" busy.plan -m busy.yaml >simulated 2>err &&
    awk -v said="$idle" '$1 ~ /^[0-9]+$/ { busy += $4 }
        END { d = 100 - busy / 2 - said; exit !(d < 0.2 && d > -0.2) }' simulated
ok "idle is what the simulator says is not busy, $idle%"
run 0 --check busy.plan profile.yaml -m busy.yaml &&
    grep -q '^stage 0: .* (file: .*), [1-9].* of it for transfers, arena' out &&
    run 0 --check busy.plan profile.yaml -m busy.yaml --json &&
    awk -F'[:,]' '/"bottleneck_ns"/ { bottleneck = $4 }
        /"transfer_ns"/ {
            for (i = 1; i < NF; i++) {
                if ($i ~ /"time_ns"/ && $(i + 1) > most) most = $(i + 1)
                if ($i ~ /"transfer_ns"/ && $(i + 1) > 0) stages++ } }
        END { d = most - bottleneck; exit !(stages == 2 && d < 2 && d > -2) }' out
ok "--check: a stage's time has it, as the bottleneck does"
run 0 profile.yaml -m busy.yaml -s 2 -M 80KiB --offload host --recompute none \
    --json && grep -q '"transfer_ns": [1-9]' out &&
    run 0 profile.yaml -m busy.yaml -s 2 -M 80KiB --offload host \
        --recompute none --compare --json && grep -q '"transfer_ns": [1-9]' out
ok "JSON says it too"
run 0 profile.yaml -m machine.yaml -s 2 --passes fisher -o fisher.yaml &&
    sed 's/^  nodes:.*/&\n  optimizer: host/' fisher.yaml >moved.yaml &&
    run 0 --check fisher.yaml profile.yaml -m machine.yaml --explain &&
    grep '^  time' out >times &&
    run 0 --check moved.yaml profile.yaml -m machine.yaml --explain &&
    ! grep -q 'moments of\|passes of' out && grep '^  time' out | cmp -s - times
ok "passes that do not train have no moments to move"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    echo "node$i -- Linear -- forward_compute_time=1.000," \
        "backward_compute_time=2.000, activation_size=1000.0," \
        "parameter_size=100.0"
    [ $i = 1 ] || printf '\tnode%d -- node%d\n' $((i - 1)) $i
done >chain.txt
run 0 --import pipedream chain.txt -m machine.yaml -s 2 -M 8000 \
    --objective bottleneck --offload host --explain -o chain.yaml \
    --profile-out chain-profile.yaml && grep -q '^slowest 18.0 ms' out &&
    [ "$(grep -c 'offloads .* saves .*2.0 KiB, to host' out)" -ge 5 ] &&
    grep -q 'each way, hidden' out
ok "what others published is offloaded too"
run 0 --check chain.yaml chain-profile.yaml -m machine.yaml &&
    grep -q 'as fast as the file says (18.0 ms)' out
ok "and checked"
fails 1 'offload to ssd: the machine has no such tier' "no disk" \
    profile.yaml -m machine.yaml -s 2 --offload ssd
run 0 profile.yaml -m machine.yaml -s 2 -M 80KiB --offload host &&
    fails 1 "'.*' .*to host, but the machine has no such" \
        "a plan without its tier" --check plan.yaml profile.yaml

sed 's/ward_compute_time=[0-9.]*/ward_compute_time=0/g' \
    $import/fuzz_pipedream/branch.txt >zero.txt
run 0 --import pipedream zero.txt -s 2 -o zero.yaml && ! grep -q bound out
ok "a step of no time has no distance to a bound"
run 0 --import pipedream zero.txt --check zero.yaml --json &&
    ! grep -q 'nan\|tokens_per_s' out
ok "nor has it tokens a second"
mkfifo pipe
cat pipe >piped &
run 0 profile.yaml -s 2 -o pipe
wait
run 0 profile.yaml -s 2 -o direct.yaml && cmp -s piped direct.yaml && [ -p pipe ]
ok "-o writes into a pipe"
fails 1 'pipe: is no regular file' "a pipe that nobody writes into" pipe -s 2
"$build/$program" /dev/stdin -s 2 -o read.yaml <profile.yaml >out 2>err &&
    cmp -s read.yaml direct.yaml &&
    cat profile.yaml | "$build/$program" /dev/stdin -s 2 -o read.yaml >out 2>err &&
    cmp -s read.yaml direct.yaml
ok "the profile is read from stdin, a file or a pipe"

# plan.yaml, which nobody named, is not written over what a person made
rm -f plan.yaml
run 0 profile.yaml -s 2 --explain && run 0 profile.yaml -s 2 --json &&
    run 0 profile.yaml -s 2 --compare && [ ! -e plan.yaml ]
ok "who asks gets no file"
sed "s/, n$last\]/, n$((last - 1))]/; s/\[n$((last + 1)),/[n$last,/" made.yaml \
    >edited.yaml
for ask in --explain --json --compare '--export torch --snap'; do
    cp edited.yaml plan.yaml
    run 0 profile.yaml -s 2 $ask && cmp -s edited.yaml plan.yaml
    ok "nor is what a person edited written over by $ask"
done
run 0 --check edited.yaml profile.yaml -o priced.yaml
{ cat made.yaml && echo '# n0 is slow on Tuesdays'; } >noted.yaml
for kept in edited bare priced noted; do
    cp $kept.yaml plan.yaml
    fails 1 'plan.yaml was written or edited by hand; -o plan.yaml writes over' \
        "a plan.yaml that is $kept" profile.yaml -s 2
    cmp -s $kept.yaml plan.yaml
    ok "it is left as it was"
done
sed 's/^graph: xxh3:./graph: xxh3:0/; s/^profile: xxh3:./profile: xxh3:0/' \
    made.yaml >plan.yaml
fails 1 'plan.yaml is no plan for this' "a plan of another model" profile.yaml
run 0 profile.yaml -s 2 -o plan.yaml && cmp -s plan.yaml direct.yaml
ok "-o writes over it"
run 0 profile.yaml -s 3 && run 0 profile.yaml -s 2 && cmp -s plan.yaml direct.yaml
ok "what nobody edited is written over"
answer() { # TEXT: plan on a terminal, and type it when asked
    cp edited.yaml plan.yaml
    echo "$1" |
        script -qec "'$build/$program' profile.yaml -s 2" /dev/null >out 2>err
}
if script -qec true /dev/null </dev/null >out 2>&1; then
    script -qec "'$build/$program' profile.yaml -s 2 -M 1KiB -o never.yaml" \
        /dev/null </dev/null >out
    tr '\r' '\n' <out | sed 's/^.\[K//' >lines
    head -n 1 lines | grep -q 'no plan of 2 stages fits 1KiB$' &&
        grep -q '^looking for a cap: [0-9]*KiB does not fit, [0-9]*KiB does$' \
            lines && grep -q '^dawn-plan: the smallest cap found' lines
    ok "on a terminal it shows how the search for a cap goes"
    answer n
    cmp -s edited.yaml plan.yaml && grep -q 'write over it? \[y/N\]' out
    ok "on a terminal it asks, and takes no for an answer"
    answer y
    cmp -s direct.yaml plan.yaml
    ok "and yes"
else
    n=$((n + 3))
    echo "ok $((n - 2)) # SKIP no script(1) for a terminal"
    echo "ok $((n - 1)) # SKIP no script(1) for a terminal"
    echo "ok $n # SKIP no script(1) for a terminal"
fi

cp profile.yaml plan.yaml
ln -s profile.yaml link.yaml
cp direct.yaml checked.yaml
before=$(cat profile.yaml machine.yaml plan.yaml checked.yaml | cksum)
fails 2 'overwrite profile.yaml' "-o PROFILE" profile.yaml -s 2 -o profile.yaml
fails 2 'overwrite profile.yaml' "-o a link to it" profile.yaml -s 2 -o link.yaml
fails 2 'overwrite plan.yaml' "a profile that has the plan's name" plan.yaml -s 2
fails 2 'overwrite machine.yaml' "-o MACHINE" profile.yaml -m machine.yaml \
    -o ./machine.yaml
fails 2 'overwrite machine.yaml' "--hostfile MACHINE" profile.yaml \
    -m machine.yaml --hostfile machine.yaml
fails 2 'overwrite profile.yaml' "--check -o PROFILE" --check checked.yaml \
    profile.yaml -o profile.yaml
fails 2 'overwrite zero.txt' "--profile-out PROFILE" --import pipedream zero.txt \
    --profile-out zero.txt
[ "$(cat profile.yaml machine.yaml plan.yaml checked.yaml | cksum)" = "$before" ]
ok "nothing that was read is overwritten"
run 0 --check checked.yaml profile.yaml -o checked.yaml
ok "a checked plan may take its own place"
rm plan.yaml
fails 2 'wants a name' "-o of nothing" profile.yaml -o ''
fails 2 'not stdout' "--profile-out -" --import pipedream zero.txt \
    --profile-out -

cat >even.yaml <<'EOF'
dawn: machine/1
devices: [{memory_bytes: 200KiB}, {memory_bytes: 200KiB}]
EOF
cat >uneven.yaml <<'EOF'
dawn: machine/1
devices: [{memory_bytes: 20KiB}, {memory_bytes: 200KiB}]
EOF
run 0 profile.yaml -m even.yaml -s 2 -o even.plan &&
    grep -q '^memory: 204800' even.plan &&
    run 0 --check even.plan profile.yaml -m even.yaml
ok "the cap in a plan is that of the devices"
run 1 --check even.plan profile.yaml -m uneven.yaml &&
    grep -q '^stage 0: .*over its cap of 20.0 KiB' out &&
    ! grep -q '^stage 1: .*over' out
ok "a device that has less is over it"
run 0 profile.yaml -m even.yaml --devices 2 --replicas 2 -M 300KiB -o even.plan &&
    run 1 --check even.plan profile.yaml -m uneven.yaml &&
    grep -q '^stage 0 on 2 devices.*over its cap of 20.0 KiB' out
ok "also one of several for a stage"
cat >far.yaml <<'EOF'
dawn: machine/1
devices: [{}, {}]
links: {default: {latency_ns: 1.0e+308, bytes_per_s: 1.0e-300}}
EOF
fails 1 "far.yaml:3: key 'latency_ns': expected a number" "links of no use" \
    profile.yaml -m far.yaml -s 2

run 0 profile.yaml --devices 4 --replicas 2 --explain -o two.yaml &&
    [ "$(grep -c 'on 2 devices: nodes' out)" -eq 2 ] &&
    grep -q 'gradients summed in' out &&
    grep -q '2 stages on 4 devices' out &&
    [ "$(grep -c '^  replicas: 2$' two.yaml)" -eq 2 ]
ok "--devices: stages with replicas"
run 0 profile.yaml --devices 4 --replicas 2 --json -o two.json.yaml &&
    [ "$(grep -c '"replicas": 2' out)" -eq 2 ] &&
    grep -q '"reduce_ns": [1-9]' out && ! grep -q bubble_of_step out && cmp -s two.yaml two.json.yaml
ok "and as JSON; the same plan, byte for byte"
run 0 --check two.yaml profile.yaml -o again.yaml &&
    grep -q 'stage 1 on 2 devices' out && grep -q 'as fast as the file' out &&
    cmp -s two.yaml again.yaml
ok "--check prices it the same"
sed 's/replicas: 2/replicas: 3/' two.yaml >three.yaml
run 0 --check three.yaml profile.yaml && grep -q '^three.yaml: edited' out &&
    grep -q 'stage 0 on 3 devices' out && grep -q "the planner's own plan" out
ok "and edited, beside the planner's own"
sed 's/replicas: 2/replicas: none/' two.yaml >bad.yaml
fails 1 "bad.yaml:[0-9]*: key 'replicas': expected an integer from 1" \
    "no such count" --check bad.yaml profile.yaml
sed 's/kind: 1f1b/kind: gpipe/' two.yaml >bad.yaml
fails 1 'bad.yaml: .*replicas and schedule gpipe' "replicas are for 1f1b" \
    --check bad.yaml profile.yaml
fails 2 'replicas goes with --devices' "--replicas alone" profile.yaml \
    --replicas 2
fails 1 'no plan for 2 devices' "a cap too small for any" profile.yaml \
    --devices 2 -M 1KiB
run 0 --import pipedream $import/fuzz_pipedream/branch.txt --devices 3 --json &&
    grep -q '"replicas": ' out
ok "--devices for an imported profile"

fails 2 'which PROFILE' "no profile"
fails 2 'stages' "a count that is none" profile.yaml --stages none
fails 2 'memory=lots' "a size that is none" profile.yaml --memory lots
fails 2 'option .--frobnicate' "an unknown option" profile.yaml --frobnicate
fails 2 'objective=best: one of step, bottleneck' "no objective" \
    profile.yaml --objective best
fails 2 'offload=tape: one of auto, none, host, ssd' "no tier" \
    profile.yaml --offload tape
fails 2 'exclude' "--compare with --policy" profile.yaml --compare --policy exact
fails 1 'missing.yaml' "no such file" missing.yaml
fails 1 'nodes' "more stages than nodes" profile.yaml --stages 400
fails 2 'policy=best: one of dawnpiper, exact, ' "an unknown policy" \
    profile.yaml --policy best
fails 2 'schedule=magic: one of gpipe, 1f1b, async-1f1b, async-2bw ' \
    "an unknown schedule" \
    profile.yaml --schedule magic
run 0 profile.yaml -s 2 --schedule async-1f1b --explain -o async.yaml &&
    grep -q 'microbatches: 8, microbatch: 2, update_every: 1}' async.yaml &&
    grep -q '2 in flight, 2 versions of the weights' out &&
    grep -q ' versions ' out
ok "an asynchronous schedule: --explain tells of versions"
sed 's/, update_every: 1}/}/' async.yaml >bare.yaml
run 0 profile.yaml --check bare.yaml && grep -q 'step' out
ok "a plan need not say how often it updates"
run 0 profile.yaml -s 2 --schedule async-2bw --update-every 4 -o async.yaml &&
    grep -q 'update_every: 4}' async.yaml
ok "--update-every says how often"
sed 's/update_every: 4/update_every: 3/' async.yaml >bad.yaml
fails 1 'bad.yaml:[0-9]*: update_every 3, must divide the 8' \
    "a number that does not divide" profile.yaml --check bad.yaml
fails 1 'update_every 2, but 1f1b updates once a step' \
    "--update-every of 1f1b" profile.yaml -s 2 --update-every 2
fails 1 'replicas are for 1f1b' "replicas with versions" profile.yaml \
    --devices 4 --schedule async-2bw
echo keep >plan.yaml
run 1 profile.yaml -s 2 -M 1KiB -o plan.yaml && [ ! -s out ] &&
    [ "$(wc -l <err)" -eq 2 ] &&
    sed -n 1p err | grep -q '^dawn-plan: .*no plan of 2 stages fits 1KiB$' &&
    sed -n 2p err | grep -q '^dawn-plan: the smallest cap found .* where stage'
ok "a cap too small: the verdict first, then the cap that would do"
[ "$(cat plan.yaml)" = keep ]
ok "a failure overwrites nothing"
cap=$(sed -n 's/.*found to work is about \([0-9A-Za-z]*\),.*/\1/p' err)
run 0 profile.yaml -s 2 -M "$cap" -o plan.yaml
ok "the cap that it names, $cap, works"

head -n 12 profile.yaml >cut.yaml
fails 1 'cut.yaml:[0-9]*: ' "a truncated profile" cut.yaml
fails 1 'cut.yaml' "a machine that is a profile" profile.yaml --machine cut.yaml
echo "1..$n"
