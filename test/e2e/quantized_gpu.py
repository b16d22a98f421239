#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""infer.weights=int8 and int4 on the simulated GPU: logits against the CPU's.

    quantized_gpu.py PRESET WORK_DIR

Prompts of 1 and 8 rows are products that stream the weights, one of 58 rows is
tiles; an ffn of 104 is not whole groups of 32, so int4 leaves that weight int8.
"""

import os
import random
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors  # noqa: E402
from families import compare, run  # noqa: E402

VOCAB = 1024
PROMPTS = ((1, 1), (2, 4), (2, 29))
# Both devices multiply the same numbers in f32 and round where the kernels say. In
# f32 only the order of sums differs: a few 1e-7 for each of the few products behind
# each other. In bf16 another order flips a rounding now and then, half a unit in the
# last place (2^-9) of one activation each.
LIMITS = {"f32": 1e-5, "bf16": 1.5e-2}


def largest(got, want):
    """The largest difference over the largest value."""
    return max(abs(a - b) for a, b in zip(got, want)) / max(map(abs, want))


def main():
    preset, work = sys.argv[1:]
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    random.seed(11)
    inputs = []
    for rows, length in PROMPTS:
        path = os.path.join(work, f"inputs-{rows}x{length}.safetensors")
        tokens = [random.randrange(VOCAB) for _ in range(rows * length)]
        safetensors.save(path, {"tokens": ("I32", [rows, length], tokens)})
        inputs.append(path)

    def logits(module, device, path):
        got = os.path.join(work, f"logits-{device}.safetensors")
        run("qwen-rt", "run", module, "--device", device, "--entry", "logits",
            "--weights", "random:5", "--inputs", path, "-o", got)
        return got

    def compile_(form, dtype, *targets):
        module = os.path.join(work, f"{form}-{dtype}.so")
        weights = [] if form == "plain" else ["--set", f"infer.weights={form}"]
        run("qwenc", preset, "-o", module, "--set", f"dtype={dtype}", *weights,
            "--set", "dims.ffn=104", "--set", "infer.batch=2", "--for", "infer",
            *(part for target in targets for part in ("--target", target)))
        return module

    plain = compile_("plain", "f32", "cpu")
    unquantized = safetensors.load(logits(plain, "cpu", inputs[-1]))["logits"][2]
    for form in ("int8", "int4"):
        for dtype, limit in LIMITS.items():
            module = compile_(form, dtype, "cpu", "cuda-sim")
            for path in inputs:
                want = logits(module, "cpu", path)
                got = logits(module, "cuda-sim", path)
                compare(got, want, [f"logits:rel={limit}"])
            if dtype == "f32":
                # What the comparison would not tell from a wrong weight is far less
                # than what quantizing does.
                values = safetensors.load(want)["logits"][2]
                error = largest(values, unquantized)
                print(f"{form}: quantizing changes the logits by {error:.4f}")
                if error < 100 * limit:
                    sys.exit("the weights are not quantized")
                rows = [values[i:i + VOCAB] for i in range(0, len(values), VOCAB)]
                best = {max(range(VOCAB), key=row.__getitem__) for row in rows}
                if len(best) < len(rows) // 4:
                    sys.exit(f"all logits are alike: {best}")


if __name__ == "__main__":
    main()
