#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Absurd figures: for each figure that a complete file has, each absurd value is
# refused, with the file, the line and the key, or what comes of it is sane: no
# nan, no infinity, no negative count, no number of hundreds of digits, no end
# by a signal or by the clock.
program=dawn-plan
. "$(dirname "$0")/../program.sh"
seeds=$(cd "$srcdir/tests/fuzz/corpus" && pwd)

# Cases are made and judged by awk at once: the programs are what takes time.
# It takes the keys from the file itself: the first figure, or item of a list,
# under each key of each part of the file. Writes $name.N for case N, in which
# the figure is another one, and prints "N LINE KEY VALUE".
cat >make.awk <<'EOF'
BEGIN {
    for (i = 0; i < 300; i++) digits = digits "9"
    values = split("1e-300 1e300 -1 nan inf 0 9223372036854775808 " digits,
                   value, " ")
}
{ line[NR] = $0 }
/^[a-z]+:/ { part = $1 }
{
    for (at = 1; match(substr($0, at), /"?[A-Za-z_]+"?[:=] *\[*/); ) {
        name = substr($0, at + RSTART - 1, RLENGTH)
        at += RSTART + RLENGTH - 1
        rest = substr($0, at)
        if (!match(rest, /^-?[0-9][0-9.e+]*([KMGT]i?B)?([], };\r]|$)/))
            continue
        figure = rest
        sub(/[], };\r].*/, "", figure)
        gsub(/[^A-Za-z_]/, "", name)
        if (name ~ /^(node|id|sourceId|destId|dawn)$/ || seen[part, name]++)
            continue
        keys++
        row[keys] = NR
        key[keys] = name
        before[keys] = substr($0, 1, at - 1)
        behind[keys] = substr(rest, length(figure) + 1)
    }
}
END {
    for (k = 1; k <= keys; k++)
        for (v = 1; v <= values; v++) {
            file = prefix "." ++n
            for (i = 1; i <= NR; i++)
                print i == row[k] ? before[k] value[v] behind[k] : line[i] \
                    >file
            close(file)
            print n, row[k], key[k], value[v]
        }
}
EOF

# The list of cases, then what the programs said of each: the status in the
# last line. What a message quotes is no figure.
cat >judge.awk <<'EOF'
FILENAME == "cases" { row[$1] = $2; key[$1] = $3; value[$1] = $4; next }
FNR == 1 { n = FILENAME; sub(/.*\./, "", n); told = said = "" }
{
    told = $0
    said = said "\n" $0
    text = $0
    gsub(/expected [^']*, found '[^']*'/, "", text)
    gsub(/'[^']*' is no number|token near '[^']*'/, "", text)
    gsub(/(said|is) [^ ]*, must be|also says [^:]*:/, "", text)
    if (text ~ /(^|[^a-z])-?(nan|inf)([^a-z]|$)/)
        bad(n, "nan or inf")
    if (text ~ /(^|[^0-9a-z.e])-[1-9]/)
        bad(n, "a negative figure")
    while (match(text, /[0-9]+/)) {
        if (RLENGTH > 41)
            bad(n, "a number of " RLENGTH " digits")
        text = substr(text, RSTART + RLENGTH)
    }
}
/^status / {
    if ($2 != 0 && $2 != 1)
        bad(n, "status " $2)
    where = "." n ":" (exact ? row[n] ":" : "")
    at = index(said, where) && index(said, key[n])
    other = said ~ /:[0-9]+: .*(digest|stage|microbatch|variant|no JSON)/
    if ($2 == 1 && !at && !other && said !~ /fit|needs|at least|most/)
        bad(n, "no file, line and key")
    refused += $2 == 1
}
function bad(n, what) {
    print "# " key[n] ": " substr(value[n], 1, 20) ": " what ": " said
    wrong++
}
END { print "# " refused " of the cases refused"; exit wrong > 0 || !refused }
EOF

# each NAME FILE COMMAND: run COMMAND for each case of FILE, which is $case.
# JSON's errors have the line on which the node begins.
each() {
    name=$1
    awk -v prefix="$name" -f make.awk "$2" >cases
    while read -r number _; do
        case=$name.$number
        eval "timeout 60 $3" >"said.$number" 2>&1 </dev/null
        echo "status $?" >>"said.$number"
    done <cases
    cut -d' ' -f3 cases | uniq | tr '\n' ' ' >err
    case $2 in *.json) exact=0 ;; *) exact=1 ;; esac
    awk -v exact=$exact -f judge.awk cases said.* >out 2>err
    ok "$name: no absurd figure of $(wc -l <cases) gets through"
    rm -f said.* "$name".[0-9]*
}

sed '/^description/d
     s/scratch_bytes: \[0, 64, 0\]}/scratch_bytes: [0, 64, 0], spread_ns: [1, 2, 0], update_ns: 5, prepared_bytes: 8}/' \
    "$seeds/fuzz_profile/gpt2.yaml" >profile.yaml
cat >machine.yaml <<'EOF'
dawn: machine/1
devices:
- {name: a, kind: host, memory_bytes: 1MiB, cores: 4, speed: 1}
- {name: b, kind: host, memory_bytes: 1MiB, cores: 4, speed: 0.5}
links:
  default: {latency_ns: 2000, bytes_per_s: 5e9}
  pairs:
  - {from: 0, to: 1, latency_ns: 3000, bytes_per_s: 4e9}
tiers:
- {kind: host, read_bytes_per_s: 1e9, write_bytes_per_s: 1e9, latency_ns: 5, compute_ns_per_byte: 0.01, capacity_bytes: 1GiB}
EOF
plan="$build/dawn-plan"
"$plan" profile.yaml -m machine.yaml -M 11KiB --microbatch 1 \
    --recompute none -o plan.yaml >out 2>err && grep -q 'optimizer: host' plan.yaml
ok "files to change: a plan that offloads the optimizer's moments"

each machine machine.yaml '"$plan" profile.yaml -m $case -M 11KiB --microbatch 1 --explain'
each profile profile.yaml '"$plan" $case -s 2 --explain'
each plan plan.yaml '"$build/dawn-simulate" $case -m machine.yaml'
each additive "$seeds/fuzz_profile/additive.yaml" '"$plan" $case -s 2 --explain'
cat >graph.txt <<'EOF'
n1 -- Linear -- forward_compute_time=1, backward_compute_time=2, activation_size=100, parameter_size=10
n2 -- Linear -- forward_compute_time=1, backward_compute_time=2, activation_size=100, parameter_size=10
	n1 -- n2
EOF
each pipedream graph.txt '"$plan" --import pipedream $case -s 2 --explain'
cat "$seeds/fuzz_piper/branch.json" >graph.json
each piper graph.json '"$plan" --import piper $case -s 2 --explain'

# A tensor as large as can be said, in as many samples: no sum of bytes that
# wraps around, so that all would seem to fit.
cat >wide.yaml <<'EOF'
dawn: profile/1
device: host
microbatches: [1]
graph:
  name: wide
  digest: xxh3:0000000000000000
  inputs:
  - {name: x, dtype: f32, shape: [1125899906842624]}
nodes:
- name: a
  op: layer
  in: [x]
  out:
  - {name: y, dtype: f32, shape: [1125899906842624]}
  save_out: [0]
  cost:
  - {ns: [1, 1, 0]}
EOF
digest=$("$plan" wide.yaml -o wide.plan 2>&1 | sed -n 's/.*has digest xxh3:\([0-9a-f]*\).*/\1/p')
sed -i "s/0000000000000000/$digest/" wide.yaml
run 1 wide.yaml -M 1GiB -o wide.plan && grep -q 'no plan .*fits 1024MiB' err
ok "2^50 elements do not fit"
for samples in 4096 1048576; do
    sed "s/microbatches: .*/microbatches: [$samples]/" wide.yaml >wider.yaml
    fails 1 "microbatches of $samples samples have .*e+.* bytes" \
        "$samples times as many are too many" wider.yaml -M 1GiB -o wide.plan
done

# The ends of the ranges: a plan is made, and can be read again.
ends() { # CLAIM PROFILE_SCRIPT MACHINE_SCRIPT
    sed "$2" profile.yaml >end-profile.yaml
    sed "$3" machine.yaml >end-machine.yaml
    "$plan" end-profile.yaml -m end-machine.yaml -M 11KiB --microbatch 1 \
        -o end.yaml >out 2>err &&
        "$build/dawn-simulate" --json end.yaml -p end-profile.yaml \
            -m end-machine.yaml >out 2>err &&
        ! grep -iE '(nan|inf|[^e]-[1-9])' out end.yaml >err
    ok "$1"
}
ends "all as slow as can be said" \
    's/ ns: \[[^]]*\]/ ns: [1.0e+18, 1.0e+18, 0]/; s/update_ns: 5/update_ns: 1e18/' \
    's/speed: [0-9.]*/speed: 1e-6/g; s/latency_ns: [0-9]*/latency_ns: 1e18/g
     s/bytes_per_s: [0-9e]*/bytes_per_s: 1/g; s/per_byte: 0.01/per_byte: 1e9/'
ends "all as quick as can be said" \
    's/ ns: \[[^]]*\]/ ns: [0, 0, 0]/; s/update_ns: 5/update_ns: 0/' \
    's/speed: [0-9.]*/speed: 1e6/g; s/latency_ns: [0-9]*/latency_ns: 0/g
     s/bytes_per_s: [0-9e]*/bytes_per_s: 1e18/g; s/per_byte: 0.01/per_byte: 0/'
echo "1..$n"
