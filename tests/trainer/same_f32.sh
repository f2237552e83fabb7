#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The same run in many shapes, in f32; see same.sh.
dtype=f32
. "$(dirname "$0")/same.sh"
