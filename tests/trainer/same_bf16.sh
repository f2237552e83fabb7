#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The same run in many shapes, in bf16; see same.sh.
dtype=bf16
. "$(dirname "$0")/same.sh"
