#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A job that differs on one rank of two: for every setting that a job has, in a
# job of its own, both ranks end at once, and one line names it. Which settings
# there are is other_jobs' to say.
. "$(dirname "$0")/told_lib.sh"

mkdir jobs
make_text train.txt 20000
sed 's/word/wurd/' train.txt > other.txt
cp train.txt other.txt jobs
"$bin/tests/trainer/other_jobs" jobs > pairs
report $? "pairs of jobs are made" || comment pairs
job=jobs/base-0.yaml
cp "$job" job.yaml
make_profile && plan 2 1f1b plan.yaml && plan 2 gpipe plan2.yaml
report $? "and plans"
measure_limit dawn-train --version

pair dawn-train "$job --plan plan.yaml" "$job --plan plan.yaml"
[ $? -eq 0 ] && [ -d run/step-00000004 ]
report $? "ranks that are told the same train" || comment out
rm -rf run

while read -r name base other refused <&3; do
    pair dawn-train "jobs/$base --plan plan.yaml" "jobs/$other --plan plan.yaml"
    status=$?
    if [ "$refused" ]; then
        told $status "^dawn-train: rank 1: .*key '${name##*.}'" "$name: refused"
    else
        told $status "^dawn-train: rank 1 differs from rank 0:.* $name is " "$name"
    fi
done 3< pairs
[ "$(wc -l < pairs)" -ge 50 ]
report $? "there are $(wc -l < pairs) settings"

# Where names differ and what they name does not, the ranks go on.
mkdir elsewhere
cp train.txt elsewhere/text
cp plan.yaml elsewhere/p.yaml
sed 's/train: train.txt/train: text/' "$job" > elsewhere/j.yaml
pair dawn-train "$job --plan plan.yaml" "elsewhere/j.yaml --plan elsewhere/p.yaml"
[ $? -eq 0 ] && [ -d run/step-00000004 ]
report $? "copies under other names are the same" || comment out
rm -rf run
printf x >> elsewhere/text
pair dawn-train "$job --plan plan.yaml" "elsewhere/j.yaml --plan elsewhere/p.yaml"
told $? 'data.train is elsewhere/text .20001 bytes, .*, there jobs/train.txt .20000 ' \
    "a copy with one byte more is not"
pair dawn-train "$job --plan plan.yaml" "$job --plan plan2.yaml"
told $? ': --plan is plan2.yaml .*, there plan.yaml ' "another plan"
pair dawn-train "$job --plan plan.yaml" "$job --plan nowhere.yaml"
told $? ': --plan is nowhere.yaml (cannot be used), there plan.yaml ' \
    "a plan that one rank does not find"
pair dawn-train "$job --plan plan.yaml" "nowhere.yaml --plan plan.yaml"
told $? '^dawn-train: rank 1: nowhere.yaml: cannot open' \
    "a job that one rank does not find"
pair dawn-train "nowhere.yaml --plan plan.yaml" "$job --plan plan.yaml"
told $? '^dawn-train: nowhere.yaml: cannot open' "nor rank 0"

# The last of three, and dawn-profile, which shares nodes out by what it is told.
sed 's/steps: 4/steps: 5/' "$job" > jobs/steps.yaml
timeout "$limit" "$MPIRUN" -q --oversubscribe \
    -n 2 "$bin/dawn-train" "$job" --plan plan.yaml : \
    -n 1 "$bin/dawn-train" jobs/steps.yaml --plan plan.yaml \
    > out 2>&1 < /dev/null
told $? '^dawn-train: rank 2 differs from rank 0: train.steps is 5, there 4$' \
    "three ranks"
sed 's/hidden: 32/hidden: 64/' "$job" > jobs/hidden.yaml
pair dawn-profile "$job -o p.yaml" "jobs/hidden.yaml -o p.yaml"
told $? '^dawn-profile: rank 1 differs from rank 0: model.hidden is 64, there 32$' \
    "dawn-profile"

# A library of another version.
echo 'const char *dawn_version(void) { return "0.0.9"; }' > version.c
# shellcheck disable=SC2086
${CC:-cc} -shared -fPIC -o version.so version.c 2> out
report $? "a library of another version" || comment out
ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"
export ASAN_OPTIONS
timeout "$limit" "$MPIRUN" -q --oversubscribe \
    -n 1 "$bin/dawn-train" "$job" --plan plan.yaml : \
    -n 1 env LD_PRELOAD="$work/version.so" "$bin/dawn-train" "$job" \
    --plan plan.yaml > out 2>&1 < /dev/null
told $? "rank 1 differs from rank 0: libdawnpiper's version is 0.0.9, there " \
    "is named"
[ ! -e run ]
report $? "none of these began a run"
done_testing
