#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# GPT-2 124M against PyTorch on the CPU; see gpt2_vs_torch.py.
#   gpt2_vs_torch.sh BUILD [--venv DIR] [--threads 1,2] [--rounds N] [--steps N]
# Without --venv, python3 must have torch; with it, the folder is made if it is
# not there, and PyTorch is installed into it from PyPI.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { echo "usage: gpt2_vs_torch.sh BUILD [...]" >&2; exit 2; }
build=$(cd "$1" && pwd)
shift
python=python3
if [ "${1-}" = --venv ]; then
    venv=$2
    shift 2
    "$here/torch_venv" "$venv" > /dev/null
    python=$venv/bin/python
fi
make -s -C "$build" bench/step dawn-profile
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" "$here/gpt2_vs_torch.py" --step "$build/bench/step" \
    --profile "$build/dawn-profile" --work "$work" "$@"
