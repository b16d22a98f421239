#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch_losses.py START TRAIN.BIN VAL.BIN METRICS MODE BATCH SEQUENCE SEED OUT:
repeats a run of qwen-rt with `transformers`' model in PyTorch: from the same
weights (the model directory START), on the same batches in the same order, at the
learning rates in the run's metrics.jsonl, with AdamW (betas 0.9 and 0.95, eps 1e-8,
decay 0.1 of matrices) and the norm clipped at 1. MODE is eager-f32, eager-bf16,
compiled-f32 or compiled-bf16; bf16 is autocast over f32 masters. Writes OUT after every tenth step: {"losses", "validation": [[step,
loss]], "seconds", "threads"}; validation where the run has it, on the same batches."""

import json
import os
import sys
import time

import numpy
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

MASK = (1 << 64) - 1


# The order of training data, as docs/training.md has it: runtime/data/Random.h.
def mix_bits(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def mix_key(a, b, c=0):
    return mix_bits(mix_bits(mix_bits(a) ^ b) ^ c)


def permute(index, size, key):
    half = 1
    while half < 32 and size > 1 << (2 * half):
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for round_ in range(6):
            left, right = right, left ^ (mix_key(key, round_, right) & mask)
        index = left << half | right
        if index < size:
            return index


class Rows:
    def __init__(self, path, sequence):
        self.tokens = numpy.memmap(path, dtype="<u4", mode="r")
        self.sequence = sequence
        self.windows = (len(self.tokens) - 1) // sequence

    def batch(self, windows):
        rows = numpy.stack([self.tokens[w * self.sequence:(w + 1) * self.sequence + 1]
                            for w in windows]).astype(numpy.int64)
        return torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy())

    def training(self, seed, first, count):
        return self.batch(
            permute(n % self.windows, self.windows,
                    mix_key(seed, 0x6F72646572, n // self.windows))
            for n in range(first, first + count))


def main():
    start, train, val, metrics, mode = sys.argv[1:6]
    kind, dtype = mode.split("-")
    batch, sequence, seed = map(int, sys.argv[6:9])
    with open(metrics, encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    rates = {e["step"]: e["lr"] for e in events if e["type"] == "step"}
    evaluated = {e["step"]: e for e in events if e["type"] == "eval"}
    eval_batches = next(e for e in events if e["type"] == "config").get(
        "eval.batches", int(os.environ.get("EVAL_BATCHES", "20")))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    model.config.use_cache = False
    model.train()
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
         {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}],
        betas=(0.9, 0.95), eps=1e-8)

    def loss_of(tokens, targets):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            logits = model(input_ids=tokens).logits
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    if kind == "compiled":
        loss_of = torch.compile(loss_of)
    rows, held_out = Rows(train, sequence), Rows(val, sequence)
    found = {"losses": [], "validation": [], "threads": torch.get_num_threads(), "mode": mode}
    begun = time.monotonic()
    for step in range(1, len(rates) + 1):
        tokens, targets = rows.training(seed, (step - 1) * batch, batch)
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found["losses"].append(loss.item())
        if step in evaluated:
            with torch.no_grad():
                losses = [loss_of(*held_out.batch(range(b * batch, (b + 1) * batch))).item()
                          for b in range(eval_batches) if (b + 1) * batch <= held_out.windows]
            found["validation"].append([step, sum(losses) / len(losses)])
        found["seconds"] = time.monotonic() - begun
        if step % 10 == 0 or step == len(rates):
            print(f"step {step}/{len(rates)}: loss {loss.item():.4f}, {found['seconds']:.0f} s",
                  file=sys.stderr, flush=True)
            with open(sys.argv[9] + ".tmp", "w", encoding="utf-8") as file:
                json.dump(found, file)
            os.replace(sys.argv[9] + ".tmp", sys.argv[9])


if __name__ == "__main__":
    main()
