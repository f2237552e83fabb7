#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The predicted peak in the metrics is what the plan says, not what the run
# found out by itself.
. "$(dirname "$0")/lib.sh"

peaks() { # KEY: of the last step
    tail -n 1 run/metrics.jsonl | sed -E "s/.*\"$1\":\[([^]]*)\].*/\1/"
}

make_job f32
make_profile
plan 2 1f1b plan.yaml
planned=$(awk '/^ *peak_bytes:/ { printf "%s%s", comma, $2; comma = "," }' \
    plan.yaml)
train 2 plan.yaml --steps 1
[ "$(peaks predicted_peak_bytes)" = "$planned" ]
report $? "the predicted peaks are the plan's: $planned"
[ "$(peaks peak_bytes)" = "$planned" ]
report $? "the measured ones are equal"
! grep -q warning train.log
report $? "so nobody is warned"

sed 's/^\( *peak_bytes:\).*/\1 4711/' plan.yaml > other.yaml
rm -rf run
train 2 other.yaml --steps 1
[ "$(peaks predicted_peak_bytes)" = 4711,4711 ]
report $? "a plan that says something else is quoted as it is"
[ "$(peaks peak_bytes)" = "$planned" ]
report $? "the measured peaks stay what they are"
[ "$(grep -c 'warning: the plan predicts a peak of 4711 bytes on rank' \
    train.log)" -eq 2 ]
report $? "and both ranks' difference is told"

sed '/^ *predicted:/,/^[^ ]/{/^[^ ]/!d;}' plan.yaml > hand.yaml
rm -rf run
train 2 hand.yaml --steps 1
[ "$(peaks predicted_peak_bytes)" = null,null ]
report $? "a plan that predicts nothing gives null"
done_testing
