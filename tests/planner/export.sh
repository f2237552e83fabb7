#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dawn-plan --export: cuts in the words of other trainers.
program=dawn-plan
. "$(dirname "$0")/../program.sh"
gpt2=$srcdir/tests/fuzz/corpus/fuzz_profile/gpt2.yaml

says() { # LINE: all that was printed
    [ "$(cat out)" = "$1" ]
}

# A made-up transformer: how long each layer takes is an argument.
transformer() { # EMBEDDING LAYER... HEAD
    i=0
    last=
    for ms; do
        i=$((i + 1))
        case $i in
        1) name=embedding ;;
        $#) name=head ;;
        *) name=layer_$((i - 2)) ;;
        esac
        echo "node$i -- $name -- forward_compute_time=$ms," \
            "backward_compute_time=$ms, activation_size=1000," \
            "parameter_size=1000"
        [ -z "$last" ] || printf '\tnode%d -- node%d\n' $last $i
        last=$i
    done
}

export='--import pipedream graph.txt --objective bottleneck --export'
transformer 1 2 2 2 2 2 2 1 >graph.txt
run 0 $export megatron -s 2 && says 'Et*3|t*3L'
ok "megatron: E, blocks and L by stage"
transformer 4 2 2 2 2 4 >graph.txt
run 0 $export megatron -s 4 && says 'E|t*2|t*2|L'
ok "megatron: stages of an embedding and a head alone"
transformer 2 4 4 2 >graph.txt
run 0 $export megatron -s 2 && says 'Et|tL'
ok "megatron: one block needs no number"
run 0 $export torch -s 2 && says '["node3"]'
ok "torch: nodes of imported profiles have names of their own"
run 0 $export torch -s 1 && says '[]' && [ ! -e plan.yaml ]
ok "torch: one stage has no split; no plan is written"
run 0 $export torch -s 2 -o plan.yaml && [ -s plan.yaml ]
ok "with -o it is"
transformer 2 4 4 2 | sed 's/layer_1/layer_2/' >graph.txt
run 1 $export megatron -s 2 &&
    grep -q "node 'node3' is out of the order of blocks" err && [ ! -s out ]
ok "megatron: blocks that are not numbered one by one are refused"
transformer 2 4 4 2 | sed 's/head/layer_2/' >graph.txt
run 1 $export megatron -s 2 && grep -q 'not named as an embedding' err
ok "megatron: what has no head is refused"
transformer 1 2 2 2 2 2 2 1 |
    sed 's/layer_\([012]\)/enc.block\1.x/; s/layer_3/dec.block0.x/
        s/layer_4/dec.block1.x/; s/layer_5/dec.block2.x/' >graph.txt
run 1 $export megatron -s 2 &&
    grep -q "node 'node5' begins a second row of blocks" err && [ ! -s out ]
ok "megatron: blocks of an encoder and a decoder are refused"
printf '%s\n' 'a -- x -- forward_compute_time=1, backward_compute_time=1,
    activation_size=8, parameter_size=0' | tr -d '\n' >graph.txt
for pair in b:5 c:2 d:2 e:1; do
    echo
    echo "${pair%:*} -- x -- forward_compute_time=${pair#*:}," \
        "backward_compute_time=0, activation_size=8, parameter_size=0"
done >>graph.txt
printf '\t%s\n' 'a -- b' 'b -- e' 'a -- c' 'c -- d' 'd -- e' >>graph.txt
run 1 $export torch -s 2 && grep -q "out of the model's order" err
ok "a partition that is no cut of the model's order is refused"

run 0 "$gpt2" -s 3 --export torch && says '["h.0.mlp", "ln_f"]'
ok "torch: the outermost module that begins at a cut"
run 1 "$gpt2" -s 3 --export megatron && [ ! -s out ] &&
    grep -q "not between 'block0.ln2' and 'block0.mlp.up', where stage 1" err
ok "megatron: a cut inside a block is named"
run 0 "$gpt2" -s 3 --export megatron --snap -o snap.yaml && says 'E|t|L' &&
    grep -q 'cuts moved; step .*, was' err &&
    grep -q 'nodes: \[block0.ln1, block0.mlp.add\]' snap.yaml
ok "--snap moves it, and prices the plan again"
run 1 "$gpt2" -s 5 --export megatron --snap && [ ! -s out ] &&
    grep -q 'not enough places' err
ok "--snap: more stages than places are refused"
run 2 "$gpt2" --snap && grep -q 'snap moves cuts for --export' err
ok "--snap alone is wrong usage"
run 2 "$gpt2" --export onnx && grep -q 'one of torch, megatron' err
ok "so is an unknown form"
run 2 "$gpt2" --export torch --json && grep -q 'excludes' err
ok "so is --export with a report"
echo "1..$n"
