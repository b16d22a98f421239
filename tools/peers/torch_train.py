#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch_train.py CONFIG.json MODE BATCH SEQUENCE STEPS THREADS: training steps of
`transformers`' model in PyTorch. Prints one JSON object: tokens per second of
every step after a warm-up, and the peak memory of the process in bytes.

MODE is eager-f32, eager-bf16, compiled-f32 or compiled-bf16. bf16 is autocast
over f32 masters, as usual; AdamW is the fused one where there is one, with the
gradients' norm clipped."""

import json
import resource
import sys
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def main():
    config_path, mode, batch, sequence, steps, threads = sys.argv[1:]
    batch, sequence, steps = int(batch), int(sequence), int(steps)
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    kind, dtype = mode.split("-")
    config = AutoConfig.from_pretrained(config_path)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.config.use_cache = False
    model.train()
    try:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    except RuntimeError:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def loss_of(tokens):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            return model(input_ids=tokens, labels=tokens).loss

    if kind == "compiled":
        loss_of = torch.compile(loss_of)

    def step(tokens):
        loss = loss_of(tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    tokens = torch.randint(0, config.vocab_size, (batch, sequence))
    step(tokens)
    rates = []
    for _ in range(steps):
        begin = time.perf_counter()
        step(tokens)
        rates.append(batch * sequence / (time.perf_counter() - begin))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"tokens_per_s": rates, "peak_bytes": peak,
                      "version": torch.__version__}))


main()
