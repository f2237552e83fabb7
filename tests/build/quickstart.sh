#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scripts/quickstart.sh with stand-ins for what it calls: the order of its
# steps, the cap that it chooses, and that it may be run again, with a job that
# was edited too, without losing or mixing anything.
set -u
: "${top_srcdir:=.}"
n=0

report() { # STATUS CLAIM
    n=$((n + 1))
    [ "$1" -eq 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
}

src=$(cd "$top_srcdir" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$work/clone
mkdir -p "$top/scripts" "$top/examples" "$top/build"
cp "$src/scripts/quickstart.sh" "$top/scripts"
cp "$src/examples/quickstart.yaml" "$top/examples"

# Each stand-in notes its name and arguments.
stand_in() { # PATH [MORE-TO-DO]
    cat > "$1" <<END
#!/bin/sh
echo "\$(basename "\$0") \$*" >> "$work/calls"
${2-}
END
    chmod +x "$1"
}
for script in install-deps build; do
    stand_in "$top/scripts/$script.sh"
done
stand_in "$top/scripts/make-corpus.sh" 'mkdir -p "$1"'
# Profiles and trains; STOP: it is stopped in the middle.
stand_in "$top/build/mpirun" 'shift 3
case $* in
*"-o "*) cp job.yaml "${*##* }" ;;
*dawn-train*) mkdir -p run/step-1; [ -z "${STOP-}" ] ;;
esac'
# Keeping everything takes KEPT KiB, at least FLOOR under a cap; recomputing
# LEAST.
stand_in "$top/build/dawn-plan" 'cap=none needed=${KEPT-1000} recompute=yes
all=$*
while [ $# -gt 0 ]; do
    case $1 in
    --memory) cap=${2%KiB} ;;
    --recompute) recompute=no ;;
    -o) file=$2 ;;
    esac
    shift
done
if [ $cap != none ]; then
    needed=${FLOOR-900}
    [ $recompute = no ] || needed=${LEAST-600}
    [ $cap -ge $needed ] || exit 1
fi
[ "$file" = - ] || printf "%s\n    arena_bytes: %s\n" "$all" \
    $((needed * 1024)) > "$file"'

quickstart() { # CLAIM [STATUS]
    rm -f "$work/calls"
    "$top/scripts/quickstart.sh" > "$work/out" 2>&1
    status=$?
    [ $status -eq "${2-0}" ]
    ended=$?
    report $ended "$1"
    [ $ended -eq 0 ] || sed 's/^/# /' "$work/out"
}

said() { # PATTERN CLAIM
    grep -q -- "$1" "$work/out"
    found=$?
    report $found "$2"
    [ $found -eq 0 ] || sed 's/^/# /' "$work/out"
}

called() { # NAME...: in this order, but for plans that are only tried
    order=$(grep -v -- '-o -$' "$work/calls" |
        grep -o '^[a-z-]*\.sh\|dawn-[a-z]*' | tr '\n' ' ')
    [ "$order" = "$* " ]
    ordered=$?
    report $ordered "calls $*"
    [ $ordered -eq 0 ] || sed 's/^/# /' "$work/calls"
}

made=$top/quickstart
quickstart "the first time: it ends well"
called install-deps.sh build.sh make-corpus.sh dawn-profile dawn-profile \
    dawn-plan dawn-plan dawn-plan dawn-train
cmp -s "$src/examples/quickstart.yaml" "$made/job.yaml"
report $? "the job is the example's"
said '^\$ export PATH=' "what its commands need is shown"
said '^quickstart: 850KiB' "the largest cap at which keeping does not do"
said '^\$ dawn-plan .*--microbatches 4 --memory 850KiB --recompute none' \
    "keeping everything is shown not to fit it"

quickstart "the second time: it ends well"
called install-deps.sh build.sh make-corpus.sh dawn-plan dawn-plan dawn-plan
for what in job.yaml profile.yaml machine.yaml training; do
    said "^quickstart: $what skipped" "it says that it skips $what"
done
[ -d "$made/run/step-1" ]
report $? "the run is left alone"

CAP=700KiB quickstart "a cap of one's own: it ends well"
said '^\$ dawn-plan .*--memory 700KiB --explain' "it is the plan's"
[ -d "$made/run.1/step-1" ]
report $? "the run under the other plan is kept"
CAP=500KiB quickstart "a cap that is too small is an error" 1
said 'CAP=... sets another cap' "and it says what sets it"
CAP=1200KiB quickstart "a cap that caps nothing: it ends well"
said 'recompute is not needed' "and it says so"

# An edited job, stopped while it trains.
sed -i 's/microbatches: 4/microbatches: 8/' "$made/job.yaml"
cp "$made/job.yaml" "$work/mine"
STOP=1 quickstart "an edited job that is stopped: its status" 1
cmp -s "$work/mine" "$made/job.yaml"
report $? "the edited job is kept"
said '^\$ dawn-plan .*--microbatches 8 ' "the plan has its microbatches"
cmp -s "$made/before.1/job.yaml" "$src/examples/quickstart.yaml" &&
    cmp -s "$made/before.1/profile.yaml" "$src/examples/quickstart.yaml" &&
    grep -q 'memory 1200KiB' "$made/before.1/plan.yaml" &&
    [ -d "$made/before.1/run/step-1" ]
report $? "what was made for the last job is together in before.1/"
cmp -s "$made/profile.yaml" "$work/mine"
report $? "and the profile is the edited job's"
quickstart "once more: it ends well"
said '^\$ mpirun .*dawn-train .*--resume$' "the run goes on"

KEPT=100 FLOOR=0 quickstart "a job that no cap suits: it ends well"
said 'quickstart: no cap' "it says that there is no cap"
said '^\$ dawn-plan .*--microbatches 8 --explain' "and plans without one"
echo "1..$n"
