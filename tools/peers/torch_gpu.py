#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What tools/gpu-check asks of PyTorch on the GPU. Each prints one JSON object.

    torch_gpu.py limits
        rates of a copy on the device and of a large bf16 matrix product
    torch_gpu.py logits CHECKPOINT INPUTS OURS
        largest difference from the logits in the file OURS, in f32
    torch_gpu.py bench CONFIG_DIR eager|compiled prefill|decode|train BATCH SEQUENCE
        tokens per second, bf16, medians
"""

import json
import statistics
import sys
import time

import torch


def timed(task, repetitions, warm_up=3):
    for _ in range(warm_up):
        task()
    times = []
    for _ in range(repetitions):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        task()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def limits():
    source = torch.randn(1 << 30, device="cuda")
    target = torch.empty_like(source)
    copy = 2 * source.numel() * 4 / timed(lambda: target.copy_(source), 10)
    n = 8192
    a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    return {"copy_bytes_per_s": copy, "matmul_flops_per_s": 2 * n**3 / timed(lambda: a @ b, 10)}


def logits(checkpoint, inputs, ours):
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    torch.backends.cuda.matmul.allow_tf32 = False
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).cuda().eval()
    with torch.no_grad():
        expected = model(input_ids=load_file(inputs)["tokens"].long().cuda()).logits.float()
    actual = load_file(ours)["logits"].cuda()
    scale = expected.abs().max().item()
    return {"error": (actual - expected).abs().max().item() / scale}


def bench(directory, mode, task, batch, sequence):
    from transformers import AutoConfig, AutoModelForCausalLM, StaticCache
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    config = AutoConfig.from_pretrained(directory)
    training = task == "train"
    dtype = torch.float32 if training else torch.bfloat16
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).cuda()
    if training:
        model.config.use_cache = False
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        tokens = torch.randint(0, config.vocab_size, (batch, sequence), device="cuda")

        def loss_of(ids):
            with torch.autocast("cuda", torch.bfloat16):
                return model(input_ids=ids, labels=ids).loss

        if mode == "compiled":
            loss_of = torch.compile(loss_of)

        def step():
            loss_of(tokens).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

        return {"tokens_per_s": batch * sequence / timed(step, 5)}
    model.eval()
    length = 512 if task == "prefill" else 1
    count = 1 if task == "prefill" else 128
    cache = StaticCache(config=config, max_cache_len=1024)
    ids = torch.randint(0, config.vocab_size, (1, length), device="cuda")
    position = torch.zeros(length, dtype=torch.long, device="cuda")

    def forward():
        return model(input_ids=ids, past_key_values=cache, cache_position=position,
                     use_cache=True, logits_to_keep=1).logits

    if mode == "compiled":
        # Decoding is what CUDA graphs are for.
        forward = torch.compile(forward, mode="reduce-overhead" if count > 1 else "default")

    def run():
        with torch.no_grad():
            position.copy_(torch.arange(length, device="cuda"))
            for _ in range(count):
                result = forward()
                if count > 1:
                    ids.copy_(result[:, -1].argmax(-1, keepdim=True))
                    position.add_(1)

    return {"tokens_per_s": length * count / timed(run, 5)}


def main():
    what, *rest = sys.argv[1:]
    if what == "limits":
        result = limits()
    elif what == "logits":
        result = logits(*rest)
    else:
        result = bench(rest[0], rest[1], rest[2], int(rest[3]), int(rest[4]))
    print(json.dumps(result))


main()
