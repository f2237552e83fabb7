#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scripts/quickstart.sh with stand-ins for what it calls: the order of its
# steps, and that it may be run again without losing what the user changed.
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
stand_in "$top/build/mpirun"
stand_in "$top/build/dawn-plan" 'case $* in *"--recompute none"*) exit 1 ;; esac'

quickstart() {
    rm -f "$work/calls"
    "$top/scripts/quickstart.sh" > "$work/out" 2>&1
    status=$?
    [ $status -eq 0 ] || sed 's/^/# /' "$work/out"
    report $status "$1: it ends well"
}

quickstart "the first time"
order=$(grep -o '^[a-z-]*\.sh\|dawn-[a-z]*' "$work/calls" | tr '\n' ' ')
[ "$order" = "install-deps.sh build.sh make-corpus.sh dawn-profile dawn-profile \
dawn-plan dawn-plan dawn-train " ]
ordered=$?
report $ordered "installs, builds, makes the corpus, measures, plans, trains"
[ $ordered -eq 0 ] || sed 's/^/# /' "$work/calls"
cmp -s "$src/examples/quickstart.yaml" "$top/quickstart/job.yaml"
report $? "the job is the example's"

echo '# mine' >> "$top/quickstart/job.yaml"
cp "$top/quickstart/job.yaml" "$work/mine"
mkdir -p "$top/quickstart/run/step-00000001"
quickstart "the second time"
cmp -s "$work/mine" "$top/quickstart/job.yaml"
report $? "a job.yaml that was edited is kept"
grep -q '^quickstart: job.yaml skipped' "$work/out"
report $? "and it says so"
[ ! -e "$top/quickstart/run" ]
report $? "the last run is gone, the next one begins anew"

stand_in "$top/build/dawn-plan"
"$top/scripts/quickstart.sh" > "$work/out" 2>&1
[ $? -eq 1 ] && grep -q 'no cap at all' "$work/out"
report $? "a cap that caps nothing is an error"
echo "1..$n"
