#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write MODEL-torch.txt: a small GPT-2, BERT, T5 or AmoebaNet as PyTorch computes
it, in f64.

    python3 tests/data/make-torch-values.py gpt2 > tests/data/gpt2-torch.txt
    python3 tests/data/make-torch-values.py bert > tests/data/bert-torch.txt
    python3 tests/data/make-torch-values.py t5 > tests/data/t5-torch.txt
    python3 tests/data/make-torch-values.py amoebanet > tests/data/amoebanet-torch.txt

Needs PyTorch >= 2.0 (CPU). Parameters and tokens come from an integer hash, so
that a test makes the same ones without a file:

    hash(name, i):  h = FNV-1a 32 of name;  x = h + i * 0x9e3779b9;
                    x ^= x >> 16;  x *= 0x7feb352d;  x ^= x >> 15;
                    x *= 0x846ca68b;  x ^= x >> 16           (mod 2^32)
    unit = ((hash >> 8) - 2^23) * 2^-23                      in [-1, 1), exact
    matrix element i (row-major) = unit / 8
    filter element i (N,h,w,C)   = unit / 2
    running mean, running var    = 0, 1
    bias                         = unit / 16
    gain of a norm               = 1 + unit / 16             rounded to f32
    token i of the stream        = hash("stream", i) % vocab

Sample n of the run reads stream[n*T .. n*T+T) and its targets are one further.
Step s has samples 2s and 2s+1. BERT's targets are 5 tokens of the sample itself,
at places hash("places", n) % 3 + 3 i, where the last token of the vocabulary
stands for them. T5's decoder sees token t of sample n = hash("decoder", 7 n + t) %
vocab, its targets are one further. AmoebaNet's batch is 4; sample n is of class
hash("label", n) % classes, and element i of its image, channels last, is
unit("pixel", n * elements + i). Matrices (embeddings too) and filters decay,
vectors do not.

Lines: "NAME VALUE" of a setting; "loss STEP X"; "grad_norm STEP X", before
clipping; "param_grad_norm NAME X", "grad NAME I X", of step 0 before clipping;
"param NAME I X", after the last step; "final_loss X", of step 0's samples then;
of AmoebaNet "eval_loss X", the same with running means and variances.
No elements of a key's bias are given: their gradient is 0 but for
rounding, and AdamW makes steps of rounding.
"""

import math
import sys

import torch
import torch.nn.functional as F

VOCAB, WIDTH, HEADS, PLACES, LAYERS, BATCH, STEPS = 61, 32, 4, 16, 2, 2, 3
MASKED = 5
TARGETS, BUCKETS, FAR = 7, 8, 12
FILTERS, CLASSES, IMAGE, CHANNELS = 16, 5, 64, 3
LR, BETA1, BETA2, EPS, DECAY, CLIP = 1e-2, 0.9, 0.95, 1e-8, 0.1, 1.0
M32 = 0xFFFFFFFF


def hash32(name, i):
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & M32
    x = (h + i * 0x9E3779B9) & M32
    x = (x ^ x >> 16) * 0x7FEB352D & M32
    x = (x ^ x >> 15) * 0x846CA68B & M32
    return x ^ x >> 16


def unit(name, i):
    return ((hash32(name, i) >> 8) - 2**23) * 2.0**-23


def element(name, dims, i):
    if dims == 2:
        return unit(name, i) / 8
    if dims == 4:
        return unit(name, i) / 2
    if ".running_" in name:
        return 1.0 if name.endswith("var") else 0.0
    if ".bn" in name and name.endswith("weight"):
        return 1 + unit(name, i) / 16
    norm = any(x in name for x in (".ln_", "LayerNorm", "layer_norm"))
    norm = norm or name.startswith("ln_f")
    if norm and name.endswith("weight"):
        return 1 + unit(name, i) / 16
    return unit(name, i) / 16


def gpt2_shapes():
    """Every parameter in the order of the graph."""
    yield "wte", (VOCAB, WIDTH)
    yield "wpe", (PLACES, WIDTH)
    for i in range(LAYERS):
        for norm, linears in (
            ("ln_1", (("attn.c_attn", 3 * WIDTH, WIDTH), ("attn.c_proj", WIDTH, WIDTH))),
            ("ln_2", (("mlp.c_fc", 4 * WIDTH, WIDTH), ("mlp.c_proj", WIDTH, 4 * WIDTH))),
        ):
            yield f"h.{i}.{norm}.weight", (WIDTH,)
            yield f"h.{i}.{norm}.bias", (WIDTH,)
            for name, rows, columns in linears:
                yield f"h.{i}.{name}.weight", (rows, columns)
                yield f"h.{i}.{name}.bias", (rows,)
    yield "ln_f.weight", (WIDTH,)
    yield "ln_f.bias", (WIDTH,)


def bert_shapes():
    def norm(name):
        yield name + ".weight", (WIDTH,)
        yield name + ".bias", (WIDTH,)

    def linear(name, rows, columns):
        yield name + ".weight", (rows, columns)
        yield name + ".bias", (rows,)

    yield "embeddings.word_embeddings.weight", (VOCAB, WIDTH)
    yield "embeddings.position_embeddings.weight", (PLACES, WIDTH)
    yield from norm("embeddings.LayerNorm")
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}."
        yield from linear(layer + "attention.self.qkv", 3 * WIDTH, WIDTH)
        yield from linear(layer + "attention.output.dense", WIDTH, WIDTH)
        yield from norm(layer + "attention.output.LayerNorm")
        yield from linear(layer + "intermediate.dense", 4 * WIDTH, WIDTH)
        yield from linear(layer + "output.dense", WIDTH, 4 * WIDTH)
        yield from norm(layer + "output.LayerNorm")
    yield from linear("cls.predictions.transform.dense", WIDTH, WIDTH)
    yield from norm("cls.predictions.transform.LayerNorm")
    yield "cls.predictions.bias", (VOCAB,)


def t5_shapes():
    def attention(block, layer, name):
        yield f"{block}.layer.{layer}.layer_norm.weight", (WIDTH,)
        for part in "qkvo":
            yield f"{block}.layer.{layer}.{name}.{part}.weight", (WIDTH, WIDTH)

    yield "shared.weight", (VOCAB, WIDTH)
    for stack in "encoder", "decoder":
        yield (f"{stack}.block.0.layer.0.SelfAttention."
               "relative_attention_bias.weight", (BUCKETS, HEADS))
        for i in range(LAYERS):
            block, layer = f"{stack}.block.{i}", 1
            yield from attention(block, 0, "SelfAttention")
            if stack == "decoder":
                yield from attention(block, 1, "EncDecAttention")
                layer = 2
            yield f"{block}.layer.{layer}.layer_norm.weight", (WIDTH,)
            dense = f"{block}.layer.{layer}.DenseReluDense"
            yield dense + ".wi.weight", (4 * WIDTH, WIDTH)
            yield dense + ".wo.weight", (WIDTH, 4 * WIDTH)
        yield f"{stack}.final_layer_norm.weight", (WIDTH,)


NORMAL = (
    ((1, "conv1"), (1, "max3"), (1, "none"), (0, "conv7"), (0, "conv1"),
     (0, "conv7"), (2, "max3"), (2, "none"), (1, "avg3"), (5, "conv1")),
    (0, 3, 4, 6),
)
REDUCTION = (
    ((0, "max2"), (0, "max3"), (2, "none"), (1, "conv3"), (2, "conv7"),
     (2, "max3"), (3, "none"), (1, "max2"), (2, "avg3"), (3, "conv1")),
    (4, 5, 6),
)
CONVS = {"conv1": ((1, 1),), "conv3": ((1, 1), (3, 3), (1, 1)),
         "conv7": ((1, 1), (1, 7), (7, 1), (1, 1))}


class Amoeba:
    """The network's calls; where p is empty, the parameters are only named."""

    def __init__(self, p, training):
        self.p, self.training, self.shapes = p, training, {}

    def get(self, name, *shape):
        self.shapes[name] = shape
        return self.p.get(name)

    def conv(self, name, x, to, size=(1, 1), stride=1):
        w = self.get(name + ".weight", to, *size, x.shape[1])
        pad = ((size[0] - 1) // 2, (size[1] - 1) // 2)
        if w is None:
            w = x.new_zeros(to, *size, x.shape[1])
        return F.conv2d(x, w.permute(0, 3, 1, 2), None, stride, pad)

    def norm(self, name, x):
        weight, bias, mean, var = (
            self.get(f"{name}.{part}", x.shape[1])
            for part in ("weight", "bias", "running_mean", "running_var"))
        if weight is None:
            return x
        return F.batch_norm(x, mean, var, weight, bias, self.training, 0.1,
                            1e-5)

    def reduce(self, name, x, to):
        x = F.relu(x)
        halves = (self.conv(name + ".conv1", x, to // 2, stride=2),
                  self.conv(name + ".conv2", F.pad(x[:, :, 1:, 1:],
                                                   (0, 1, 0, 1)),
                            to // 2, stride=2))
        return self.norm(name + ".bn", torch.cat(halves, 1))

    def branch(self, name, kind, x, stride):
        if kind == "none":
            return x
        if kind == "max2":
            return F.max_pool2d(x, 2, stride)
        if kind == "max3":
            return F.max_pool2d(x, 3, stride, 1)
        if kind == "avg3":
            return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
        c, sizes = x.shape[1], CONVS[kind]
        for i, size in enumerate(sizes):
            to = c if i + 1 == len(sizes) else c // 4
            here = stride if size == (3, 3) else 1
            x = self.conv(f"{name}.conv{i + 1}", F.relu(x), to, size, here)
            x = self.norm(f"{name}.bn{i + 1}", x)
        return x

    def cell(self, name, genotype, last, before, c, reduced):
        branches, joined = genotype
        states = [self.norm(name + ".reduce1.bn", self.conv(
            name + ".reduce1.conv", F.relu(last), c))]
        if reduced:
            states.append(self.reduce(name + ".reduce2", before, c))
        else:
            states.append(self.norm(name + ".reduce2.bn", self.conv(
                name + ".reduce2.conv", F.relu(before), c)))
        for i in range(0, len(branches), 2):
            half = [self.branch(f"{name}.op{k}", branches[k][1],
                                states[branches[k][0]],
                                2 if genotype is REDUCTION
                                and branches[k][0] < 2 else 1)
                    for k in (i, i + 1)]
            states.append(half[0] + half[1])
        return torch.cat([states[i] for i in joined], 1)

    def logits(self, x):
        c, reduced = FILTERS // 4, False
        x = self.conv("stem1.conv", x, c, (3, 3), 2)
        last = before = self.norm("stem1.bn", x)
        cells = [("stem2", REDUCTION), ("stem3", REDUCTION),
                 ("cell1_normal1", NORMAL), ("cell2_reduction", REDUCTION),
                 ("cell3_normal1", NORMAL), ("cell4_reduction", REDUCTION),
                 ("cell5_normal1", NORMAL)]
        for name, genotype in cells:
            if genotype is REDUCTION:
                c *= 2
            last, before = self.cell(name, genotype, last, before, c,
                                     reduced), last
            reduced = genotype is REDUCTION
        x = last.mean((2, 3))
        w = self.get("classify.weight", CLASSES, x.shape[1])
        b = self.get("classify.bias", CLASSES)
        return x if w is None else F.linear(x, w, b)


def amoebanet_shapes():
    net = Amoeba({}, True)
    net.logits(torch.zeros(1, CHANNELS, IMAGE, IMAGE))
    yield from net.shapes.items()


def amoebanet_loss(p, step, training=True):
    n = IMAGE * IMAGE * CHANNELS
    samples = range(step * 2 * BATCH, (step + 1) * 2 * BATCH)
    x = torch.tensor([[unit("pixel", s * n + i) for i in range(n)]
                      for s in samples]).double()
    x = x.reshape(-1, IMAGE, IMAGE, CHANNELS).permute(0, 3, 1, 2)
    targets = torch.tensor([hash32("label", s) % CLASSES for s in samples])
    return F.cross_entropy(Amoeba(p, training).logits(x), targets)


def make_params(shapes):
    params = {}
    for name, shape in shapes():
        n = math.prod(shape)
        x = torch.tensor([element(name, len(shape), i) for i in range(n)])
        x = x.float().double().reshape(shape)
        params[name] = x if ".running_" in name else x.requires_grad_()
    return params


def batch(step):
    def sample(n, shift):
        return [
            hash32("stream", n * PLACES + t + shift) % VOCAB
            for t in range(PLACES)
        ]

    samples = range(step * BATCH, (step + 1) * BATCH)
    return (
        torch.tensor([sample(n, 0) for n in samples]),
        torch.tensor([sample(n, 1) for n in samples]),
    )


def places_of(step):
    return torch.tensor([
        [hash32("places", n) % 3 + 3 * i for i in range(MASKED)]
        for n in range(step * BATCH, (step + 1) * BATCH)
    ])


def attention(qkv, causal):
    def heads(x):
        return x.reshape(BATCH, PLACES, HEADS, WIDTH // HEADS).transpose(1, 2)

    q, k, v = (heads(x) for x in qkv.split(WIDTH, dim=2))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return y.transpose(1, 2).reshape(BATCH, PLACES, WIDTH)


def gpt2_loss(p, step):
    tokens, targets = batch(step)

    def norm(x, name):
        return F.layer_norm(
            x, (WIDTH,), p[name + ".weight"], p[name + ".bias"], 1e-5
        )

    def linear(x, name):
        return F.linear(x, p[name + ".weight"], p[name + ".bias"])

    x = p["wte"][tokens] + p["wpe"]
    for i in range(LAYERS):
        y = linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn")
        x = x + linear(attention(y, True), f"h.{i}.attn.c_proj")
        y = linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        y = F.gelu(y, approximate="tanh")
        x = x + linear(y, f"h.{i}.mlp.c_proj")
    logits = F.linear(norm(x, "ln_f"), p["wte"])
    return F.cross_entropy(logits.reshape(-1, VOCAB), targets.reshape(-1))


def bert_loss(p, step):
    tokens, _ = batch(step)
    places = places_of(step)
    targets = tokens.gather(1, places)
    tokens = tokens.scatter(1, places, VOCAB - 1)

    def norm(x, name):
        return F.layer_norm(
            x, (WIDTH,), p[name + ".weight"], p[name + ".bias"], 1e-12
        )

    def linear(x, name):
        return F.linear(x, p[name + ".weight"], p[name + ".bias"])

    words = p["embeddings.word_embeddings.weight"]
    x = words[tokens] + p["embeddings.position_embeddings.weight"]
    x = norm(x, "embeddings.LayerNorm")
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}."
        y = attention(linear(x, layer + "attention.self.qkv"), False)
        y = linear(y, layer + "attention.output.dense")
        x = norm(x + y, layer + "attention.output.LayerNorm")
        y = F.gelu(linear(x, layer + "intermediate.dense"), approximate="tanh")
        y = linear(y, layer + "output.dense")
        x = norm(x + y, layer + "output.LayerNorm")
    x = x.gather(1, places[:, :, None].expand(-1, -1, WIDTH))
    x = linear(x, "cls.predictions.transform.dense")
    x = norm(F.gelu(x, approximate="tanh"),
             "cls.predictions.transform.LayerNorm")
    logits = F.linear(x, words, p["cls.predictions.bias"])
    return F.cross_entropy(logits.reshape(-1, VOCAB), targets.reshape(-1))


def t5_bucket(ahead, both):
    """Of a key so many places after its query."""
    buckets, first = BUCKETS, 0
    if both:
        buckets //= 2
        first = buckets if ahead > 0 else 0
        ahead = -abs(ahead)
    n, exact = max(-ahead, 0), buckets // 2
    if n < exact:
        return first + n
    share = math.log(n / exact) / math.log(FAR / exact)
    return first + min(exact + int(share * (buckets - exact) + 1e-9),
                       buckets - 1)


def t5_bias(table, length, both):
    rows = [[t5_bucket(k - q, both) for k in range(length)]
            for q in range(length)]
    return table[torch.tensor(rows)].permute(2, 0, 1)


def t5_batch(step):
    def sample(n, shift):
        return [hash32("decoder", n * TARGETS + t + shift) % VOCAB
                for t in range(TARGETS)]

    samples = range(step * BATCH, (step + 1) * BATCH)
    return (
        torch.tensor([sample(n, 0) for n in samples]),
        torch.tensor([sample(n, 1) for n in samples]),
    )


def t5_loss(p, step):
    def norm(x, name):
        rms = (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return x / rms * p[name + ".weight"]

    def attention(x, source, name, bias, causal=False):
        def heads(x, part):
            y = F.linear(x, p[f"{name}.{part}.weight"])
            return y.reshape(BATCH, -1, HEADS, WIDTH // HEADS).transpose(1, 2)

        s = heads(x, "q") @ heads(source, "k").transpose(2, 3) + bias
        if causal:
            hidden = torch.ones(s.shape[2:]).triu(1).bool()
            s = s.masked_fill(hidden, -math.inf)
        y = (s.softmax(-1) @ heads(source, "v")).transpose(1, 2)
        return F.linear(y.reshape(x.shape), p[name + ".o.weight"])

    def stack(name, tokens, encoded):
        x = p["shared.weight"][tokens]
        bias = t5_bias(p[name + ".block.0.layer.0.SelfAttention."
                         "relative_attention_bias.weight"],
                       tokens.shape[1], encoded is None)
        for i in range(LAYERS):
            layer = f"{name}.block.{i}.layer."
            y = norm(x, layer + "0.layer_norm")
            x = x + attention(y, y, layer + "0.SelfAttention", bias,
                              encoded is not None)
            last = 1
            if encoded is not None:
                y = norm(x, layer + "1.layer_norm")
                x = x + attention(y, encoded, layer + "1.EncDecAttention", 0)
                last = 2
            y = norm(x, f"{layer}{last}.layer_norm")
            dense = f"{layer}{last}.DenseReluDense."
            y = F.relu(F.linear(y, p[dense + "wi.weight"]))
            x = x + F.linear(y, p[dense + "wo.weight"])
        return norm(x, name + ".final_layer_norm")

    decoder_tokens, targets = t5_batch(step)
    x = stack("encoder", batch(step)[0], None)
    x = stack("decoder", decoder_tokens, x)
    logits = F.linear(x * WIDTH**-0.5, p["shared.weight"])
    return F.cross_entropy(logits.reshape(-1, VOCAB), targets.reshape(-1))


def chosen(name, n, model):
    """Some elements of a parameter of n, none of a key's bias."""
    count = 2 if model == "amoebanet" else 6
    picks = {hash32("pick " + name, i) % n for i in range(count)}
    if name.endswith(("c_attn.bias", "qkv.bias")):
        picks = {i for i in picks if not WIDTH <= i < 2 * WIDTH}
    return sorted(picks)


def lr_of(model):
    return LR / 100 if model == "amoebanet" else LR


def write_settings(model):
    layers, batch = (3, 2 * BATCH) if model == "amoebanet" else (LAYERS, BATCH)
    lr = lr_of(model)
    print("# PyTorch", torch.__version__, "in f64; see make-torch-values.py")
    for name, value in (
        ("layers", layers), ("hidden", WIDTH), ("heads", HEADS),
        ("context", PLACES), ("vocab", VOCAB), ("batch", batch),
        ("steps", STEPS), ("lr", lr), ("beta1", BETA1), ("beta2", BETA2),
        ("eps", EPS), ("weight_decay", DECAY), ("clip", CLIP),
        ("masked", MASKED),
    ):
        print(name, value)
    if model == "amoebanet":
        print("filters", FILTERS)
        print("classes", CLASSES)
        print("image", IMAGE)
        print("channels", CHANNELS)
    if model == "t5":
        print("target_context", TARGETS)
        print("buckets", BUCKETS)
        print("max_distance", FAR)


def main():
    model = sys.argv[1]
    shapes, loss_of = {
        "amoebanet": (amoebanet_shapes, amoebanet_loss),
        "gpt2": (gpt2_shapes, gpt2_loss), "bert": (bert_shapes, bert_loss),
        "t5": (t5_shapes, t5_loss),
    }[model]
    params = make_params(shapes)
    weights = {name: p for name, p in params.items() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in weights.values() if p.dim() > 1]},
            {"params": [p for p in weights.values() if p.dim() == 1],
             "weight_decay": 0.0},
        ],
        lr=lr_of(model), betas=(BETA1, BETA2), eps=EPS, weight_decay=DECAY,
    )
    write_settings(model)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(params, step)
        loss.backward()
        print(f"loss {step} {loss.item():.15g}")
        if step == 0:
            for name, p in weights.items():
                print(f"param_grad_norm {name} {p.grad.norm().item():.15g}")
                for i in chosen(name, p.numel(), model):
                    print(f"grad {name} {i} {p.grad.flatten()[i].item():.15g}")
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), CLIP)
        print(f"grad_norm {step} {norm.item():.15g}")
        optimizer.step()
    for name, p in params.items():
        for i in chosen(name, p.numel(), model):
            print(f"param {name} {i} {p.flatten()[i].item():.15g}")
    with torch.no_grad():
        if model == "amoebanet":
            loss = loss_of(params, 0, training=False)
            print(f"eval_loss {loss.item():.15g}")
        print(f"final_loss {loss_of(params, 0).item():.15g}")


if __name__ == "__main__":
    main()
