#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The run's folder may have any name: characters that a shell expands, too.
. "$(dirname "$0")/lib.sh"

make_job f32
make_profile
plan 2 1f1b plan.yaml
for out in 'r[u]n' 'r?n' 'r*' 'r\un'; do
    sed "s/out: run/out: '$(echo "$out" | sed 's/\\/\\\\/')'/" job.yaml > out.yaml
    rm -rf r*
    mkdir -p run/step-00000009 # what the name would expand to
    ranks 2 "$bin/dawn-train" out.yaml --plan plan.yaml --steps 1 \
        > train.log 2>&1
    status=$?
    [ $status -eq 0 ] && [ -e "$out/step-00000001/manifest.json" ]
    done=$?
    report $done "$out: a run is written there, whatever is in run"
    [ $done -eq 0 ] || comment train.log
    ranks 2 "$bin/dawn-train" out.yaml --plan plan.yaml --steps 1 \
        > train.log 2>&1
    status=$?
    [ $status -eq 1 ] && grep -qF "$out/step-00000001" train.log
    refused=$?
    report $refused "$out: a second run into it is refused"
    [ $refused -eq 0 ] || comment train.log
done
done_testing
