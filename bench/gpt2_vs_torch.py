#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GPT-2 124M, 4 x 256 tokens, forward + backward + AdamW: this library against
PyTorch, on the same cores, taking turns. Run by gpt2_vs_torch.sh."""
import argparse
import json
import os
import random
import statistics
import struct
import subprocess
import sys

LAYERS, HIDDEN, HEADS, CONTEXT, VOCAB, BATCH = 12, 768, 12, 256, 50257, 4
TOKENS = BATCH * CONTEXT

JOB = f"""dawn: job/1
model: {{preset: gpt2, layers: {LAYERS}, hidden: {HIDDEN}, heads: {HEADS},
        context: {CONTEXT}, vocab: {VOCAB}, dropout: 0.0, attention: fused,
        dtype: bf16}}
data: {{train: random.u16, format: uint16}}
train: {{steps: 100, microbatch: {BATCH}, microbatches: 1, lr: 3.0e-4,
        warmup: 0, weight_decay: 0.1, clip: 0, seed: 1}}
device: {{kind: host, threads: THREADS}}
out: run
"""


def matmul_flops():
    """Of one step: forward, and twice that for backward; causal attention
    counts half of its score matrix."""
    block = 2 * TOKENS * HIDDEN * 12 * HIDDEN
    scores = 2 * 2 * BATCH * CONTEXT * CONTEXT * HIDDEN / 2
    head = 2 * TOKENS * HIDDEN * VOCAB
    return 3 * (LAYERS * (block + scores) + head)


def torch_worker(threads, steps):
    import time
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    torch.set_num_threads(threads)
    torch.manual_seed(1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
            self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
            self.out = nn.Linear(HIDDEN, HIDDEN)
            self.up = nn.Linear(HIDDEN, 4 * HIDDEN)
            self.down = nn.Linear(4 * HIDDEN, HIDDEN)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = self.qkv(self.ln1(x)).split(c, dim=2)
            q, k, v = (y.view(b, t, HEADS, c // HEADS).transpose(1, 2)
                       for y in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
            return x + self.down(F.gelu(self.up(self.ln2(x)),
                                        approximate="tanh"))

    class GPT2(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte = nn.Embedding(VOCAB, HIDDEN)
            self.wpe = nn.Embedding(CONTEXT, HIDDEN)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            self.ln = nn.LayerNorm(HIDDEN)
            self.head = nn.Linear(HIDDEN, VOCAB, bias=False)
            self.head.weight = self.wte.weight
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.normal_(p, std=0.02)

        def forward(self, tokens, targets):
            x = self.wte(tokens) + self.wpe(torch.arange(CONTEXT))
            for block in self.blocks:
                x = block(x)
            logits = self.head(self.ln(x))
            return F.cross_entropy(logits.view(-1, VOCAB), targets.view(-1))

    model = GPT2()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4,
                                  betas=(0.9, 0.95), weight_decay=0.1,
                                  fused=True)
    for _ in range(steps):
        tokens = torch.randint(VOCAB, (BATCH, CONTEXT))
        targets = torch.randint(VOCAB, (BATCH, CONTEXT))
        start = time.perf_counter_ns()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(tokens, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        print(time.perf_counter_ns() - start, float(loss.detach()), flush=True)


def matmul_worker(threads):
    """Best bf16 matrix multiply of PyTorch's oneDNN, FLOP/s."""
    import time
    import torch
    torch.set_num_threads(threads)
    best = 0
    for m, n, k in ((TOKENS, 4 * HIDDEN, HIDDEN), (TOKENS, HIDDEN, 4 * HIDDEN),
                    (2048, 2048, 2048)):
        a = torch.randn(m, k, dtype=torch.bfloat16)
        b = torch.randn(k, n, dtype=torch.bfloat16)
        for _ in range(12):
            start = time.perf_counter()
            for _ in range(5):
                a @ b
            seconds = (time.perf_counter() - start) / 5
            best = max(best, 2 * m * n * k / seconds)
    print(best)


def run(command, threads):
    cpus = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:threads])
    env = dict(os.environ, OMP_NUM_THREADS=str(threads))
    done = subprocess.run(["taskset", "-c", cpus] + command, env=env,
                          stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"gpt2_vs_torch: {' '.join(command)} failed")
    return done.stdout.split("\n")[:-1]


def step_times(lines, warm_up):
    return [float(line.split()[0]) for line in lines[warm_up:]]


def our_step_times(lines, warm_up):
    return [json.loads(line)["step_ns"] for line in lines[warm_up:]]


def quartiles(x):
    q = statistics.quantiles(x, n=4)
    return statistics.median(x), (q[2] - q[0]) / 2


def compare(args, threads, job):
    me = [sys.executable, os.path.abspath(__file__)]
    steps, ours, torchs = str(args.steps + 2), [], []
    for _ in range(args.rounds):
        ours += our_step_times(run([args.step, job, steps],
                                   threads), 2)
        torchs += step_times(run(me + ["--torch-worker", steps, "--threads",
                                       str(threads)], threads), 2)
    ceiling = max(float(run(me + ["--matmul-worker", "--threads",
                                  str(threads)], threads)[-1])
                  for _ in range(2))
    rates = []
    for name, times in (("dawnpiper", ours), ("PyTorch", torchs)):
        median, spread = quartiles(times)
        rate = TOKENS / median * 1e9
        flops = matmul_flops() / median * 1e9
        rates.append(rate)
        print(f"{threads} thread{'s' if threads > 1 else ' '}  {name:10}"
              f"{median / 1e6:9.1f} ms +-{spread / 1e6:6.1f}"
              f"{rate:9.0f} tokens/s {flops / 1e9:8.0f} GFLOP/s,"
              f" {100 * flops / ceiling:.0f}% of {ceiling / 1e9:.0f}")
    print(f"{threads} thread{'s' if threads > 1 else ' '}  ratio "
          f"{rates[0] / rates[1]:.2f}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--step")
    p.add_argument("--profile")
    p.add_argument("--work")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--steps", type=int, default=6)
    p.add_argument("--torch-worker", type=int)
    p.add_argument("--matmul-worker", action="store_true")
    args = p.parse_args()
    if args.torch_worker:
        return torch_worker(int(args.threads), args.torch_worker)
    if args.matmul_worker:
        return matmul_worker(int(args.threads))
    import torch
    print(f"PyTorch {torch.__version__}; GPT-2 124M, bf16, {BATCH} x {CONTEXT}"
          f" tokens, {matmul_flops() / 1e12:.2f} TFLOP of matrix multiply a"
          f" step; {args.rounds} x {args.steps} steps, taking turns;"
          " ceiling: PyTorch's best bf16 matrix multiply")
    job = os.path.join(args.work, "job.yaml")
    with open(os.path.join(args.work, "random.u16"), "wb") as f:
        rng = random.Random(1)
        f.write(b"".join(struct.pack("<H", rng.randrange(VOCAB))
                         for _ in range(100000)))
    for threads in map(int, args.threads.split(",")):
        with open(job, "w") as f:
            f.write(JOB.replace("THREADS", str(threads)))
        compare(args, threads, job)
        print("where the time goes:")
        for line in run([args.profile, job, "--microbatch", str(BATCH), "-o",
                         os.path.join(args.work, "profile.yaml")], threads):
            if not line.startswith(("measured", "written")):
                print("  " + line)


main()
