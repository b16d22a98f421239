#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""torch_gemm.py ROWS THREADS NxK...: PyTorch's bf16 products of the forward pass
(x W^T) and of the weights' gradient (dy^T x). Prints a JSON object
{"NxK": {"forward": GFLOP/s, "weight_grad": GFLOP/s}}, medians of 7."""

import json
import statistics
import sys
import time

import torch


def rate(product, flops):
    product()
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        product()
        times.append(time.perf_counter() - begin)
    return flops / statistics.median(times) / 1e9


def main():
    rows, threads = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    result = {}
    for shape in sys.argv[3:]:
        n, k = map(int, shape.split("x"))
        x = torch.randn(rows, k).bfloat16()
        w = torch.randn(n, k).bfloat16()
        dy = torch.randn(rows, n).bfloat16()
        flops = 2 * rows * n * k
        result[shape] = {"forward": rate(lambda: x @ w.T, flops),
                         "weight_grad": rate(lambda: dy.T @ x, flops)}
    print(json.dumps(result))


main()
