#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A trained GPT-2 to Hugging Face's format and back: the same bits; what does
# not fit is refused. bench/hf_logits holds it against their library.
. "$(dirname "$0")/../trainer/lib.sh"

convert() { # ARGUMENTS...
    "$bin/dawn-convert" "$@" > out.log 2> err.log
}
refused() { # PATTERN CLAIM: the last command was, in one line
    [ "$status" -eq 1 ] && [ "$(wc -l < err.log)" -eq 1 ] &&
        grep -q "^dawn-convert: .*$1" err.log
    report $? "$2"
}
with_head() { # DATA [NAME [DTYPE SHAPE]]: `whole` with one more tensor
    bytes=$(od -An -tu8 -N8 whole | tr -d ' ')
    data=$(($(wc -c < whole) - 8 - bytes))
    header=$(head -c $((8 + bytes)) whole | tail -c "$bytes" | sed 's/ *$//')
    header="${header%\}},\"${2-lm_head.weight}\":{\"dtype\":\"${3-F32}\",\"shape\":${4-[256,32]},"
    header="$header\"data_offsets\":[$data,$((data + 32768))]}}"
    # shellcheck disable=SC2059
    printf "\\$(printf %o $((${#header} % 256)))\\$(printf %o $((${#header} / 256)))"
    printf '\0\0\0\0\0\0%s' "$header"
    tail -c "$data" whole
    cat "$1"
}
last_eval() {
    sed -n 's/.*"eval_loss_hex":"\([^"]*\)".*/\1/p' run/metrics.jsonl | tail -n 1
}

make_job f32
make_profile
plan 1 1f1b plan1.yaml
train 1 plan1.yaml --steps 6
report $? "a model is trained"
wanted=$(last_eval)
convert --to hf job.yaml run -o hf/model
report $? "written as Hugging Face has it"
[ ! -s err.log ]
report $? "without a warning"
grep -q '"n_head": 2' hf/model/config.json &&
    head -c 4000 hf/model/model.safetensors |
    grep -aq '"transformer.h.0.attn.c_attn.weight":{"dtype":"F32","shape":\[32,96\]'
report $? "with their names, (inputs, outputs)"
head -c 100 hf/model/model.safetensors | grep -aq '"__metadata__":{"format":"pt"}'
report $? "and the metadata that their library wants"
[ -z "$(find hf -name '.*tmp*')" ]
report $? "nothing else is left there"
convert --from hf job.yaml hf/model -o base
report $? "read again"
mv run trained
sed -i 's/lr: 3.0e-3/lr: 0, init: base/' job.yaml
train 1 plan1.yaml --steps 1
report $? "a job begins with it"
[ -n "$wanted" ] && [ "$(last_eval)" = "$wanted" ]
report $? "and evaluates to the same bits"

sed 's/heads: 2/heads: 4/' job.yaml > other.yaml
convert --to hf other.yaml trained -o heads &&
    grep -q 'warning: trained/step-00000006 was not trained by .*: model: heads: 2 then, 4 now$' err.log
report $? "a job of another number of heads is warned of"
convert --from hf other.yaml hf/model -o other
status=$?
refused 'config.json: n_head is 2, the job has 4' "another number of heads"
sed -i 's/gelu_new/relu/' hf/model/config.json
convert --from hf job.yaml hf/model -o other
status=$?
refused 'config.json: activation_function is relu' "another activation"
sed -i 's/relu/gelu_new/' hf/model/config.json
cp hf/model/config.json config.json
for key in '"scale_attn_by_inverse_layer_idx": true' '"scale_attn_weights": false'; do
    sed "s/^{/{$key,/" config.json > hf/model/config.json
    convert --from hf job.yaml hf/model -o other
    status=$?
    refused 'config.json: attention is not scaled' "$key"
done
for change in 's/"gpt2"/"bert"/;model_type is bert, not gpt2' \
    's/^{/{"n_inner": 256,/;n_inner is 256, the job has 128' \
    's/\("tie_word_embeddings": \)true/\1false/;no tensor lm_head.weight'; do
    sed "${change%;*}" config.json > hf/model/config.json
    convert --from hf job.yaml hf/model -o other
    status=$?
    refused "${change#*;}" "${change#*;}"
done
sed 's/^{/{"n_inner": null,/' config.json > hf/model/config.json
convert --from hf job.yaml hf/model -o null
report $? "n_inner: null is the usual"
mv config.json hf/model/config.json
for name in model.safetensors.index.json pytorch_model.bin; do
    mkdir sharded
    cp hf/model/config.json sharded/
    : > sharded/$name
    convert --from hf job.yaml sharded -o other
    status=$?
    refused "sharded: no model.safetensors, but $name: .*max_shard_size" \
        "only $name"
    rm -r sharded
done
sed 's/layers: 2/layers: 3/' job.yaml > other.yaml
convert --to hf other.yaml trained -o other
status=$?
refused 'h.2' "a checkpoint of fewer layers"
sed 's/preset: gpt2/preset: bert/' job.yaml > other.yaml
convert --to hf other.yaml trained -o other
status=$?
refused 'model bert: only GPT-2' "another model"
# What config.json does not say has GPT2Config's default.
cp hf/model/config.json config.json
sed '/layer_norm_epsilon/d; /activation_function/d' config.json \
    > hf/model/config.json
convert --from hf job.yaml hf/model -o absent
report $? "keys that are absent have the usual values"
sed 's/n_layer/num_hidden_layers/; s/n_embd/hidden_size/' config.json \
    > hf/model/config.json
convert --from hf job.yaml hf/model -o names
report $? "and some have another name"
sed '/n_layer/d' config.json > hf/model/config.json
convert --from hf job.yaml hf/model -o other
status=$?
refused 'config.json: n_layer is 12, the default, the job has 2' \
    "a default that the job does not have"
mv config.json hf/model/config.json
cp hf/model/model.safetensors whole
bytes=$(od -An -tu8 -N8 whole | tr -d ' ')
tail -c +$((9 + bytes)) whole | head -c 32768 > wte
with_head wte > hf/model/model.safetensors
convert --from hf job.yaml hf/model -o twice
report $? "a tied head that is there twice is read"
for mask in BOOL:[1,1,128,256] I64:[64,64] F16:[128,128]; do
    with_head wte transformer.h.0.attn.bias ${mask%%:*} ${mask#*:} \
        > hf/model/model.safetensors
    convert --from hf job.yaml hf/model -o "mask-${mask%%:*}"
    report $? "a causal mask of dtype ${mask%%:*} is of no account"
done
with_head wte lm_head.weight BOOL [128,256] > hf/model/model.safetensors
convert --from hf job.yaml hf/model -o other
status=$?
refused 'tensor lm_head.weight: the dtype is BOOL; weights are' \
    "a tensor that is used is asked for its dtype"
if command -v python3 > /dev/null; then
    # The same numbers in half precision and in f32.
    python3 - <<'END'
import json, struct
data = open("whole", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header, body = json.loads(data[8:8 + size]), data[8 + size:]
for name, code in (("F16", "e"), ("F32", "f")):
    out, told = b"", {}
    for key, about in header.items():
        if key == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        count = (end - begin) // 4
        x = struct.unpack(f"<{count}f", body[begin:end])
        x = struct.unpack(f"<{count}e", struct.pack(f"<{count}e", *x))
        made = struct.pack(f"<{count}{code}", *x)
        told[key] = {"dtype": name, "shape": about["shape"],
                     "data_offsets": [len(out), len(out) + len(made)]}
        out += made
    text = json.dumps(told).encode()
    with open(name + ".safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + out)
END
    for dtype in F16 F32; do
        cp $dtype.safetensors hf/model/model.safetensors
        convert --from hf job.yaml hf/model -o $dtype
    done
    cmp -s F16/step-00000000/rank-0.safetensors \
        F32/step-00000000/rank-0.safetensors
    report $? "weights in half precision are read as they are"
else
    n=$((n + 1))
    echo "ok $n # SKIP no python3 to write half precision"
fi
with_head wte h.9.extra > hf/model/model.safetensors
convert --from hf job.yaml hf/model -o other
status=$?
refused "model.safetensors: the job's model has no tensor h.9.extra, the first of 1" \
    "a tensor that is one too many"
head -c 32768 /dev/zero > zero
with_head zero > hf/model/model.safetensors
convert --from hf job.yaml hf/model -o other
status=$?
refused 'lm_head.weight is not the embedding' "a head of its own"
head -c $(($(wc -c < whole) - 4)) whole > hf/model/model.safetensors
printf '\0\0\200\177' >> hf/model/model.safetensors
convert --from hf job.yaml hf/model -o other
status=$?
refused 'model.safetensors: tensor transformer.[a-z0-9_.]*: element [0-9]* is inf' \
    "a number that is not finite"
head -c 5000 whole > hf/model/model.safetensors
convert --from hf job.yaml hf/model -o other
status=$?
refused 'model.safetensors' "a file cut short"
sed 's/h.1.ln_2.bias/h.1.ln_3.bias/' whole > hf/model/model.safetensors
convert --from hf job.yaml hf/model -o other
status=$?
refused 'no tensor for h.1.ln_2.bias' "a tensor with another name"
printf '{"n_layer": 2,,}\n' > hf/model/config.json
convert --from hf job.yaml hf/model -o other
status=$?
refused 'config.json:1: ' "a config that is no JSON, with its line"
convert --from hf job.yaml hf/model -o trained
status=$?
refused 'trained has checkpoints' "a folder that has later checkpoints"
convert --from hf job.yaml nowhere -o other
status=$?
refused 'nowhere/config.json' "no folder"
[ ! -e other ]
report $? "none of them wrote anything"
convert --to pt job.yaml trained -o other
[ $? -eq 2 ]
report $? "an unknown format is wrong usage"
convert job.yaml trained -o other
[ $? -eq 2 ]
report $? "and so is none"
done_testing
