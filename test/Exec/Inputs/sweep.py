#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles models of random small dims and checks them by execution.

    sweep.py MODELS --count N --seed S

For each: the gradient of the whole model against central differences; kernels
against the ops they were made of; the memory plan; and that the phases from
autodiff to memory leave every result of every entry as it is, to the bit. Prints
what fails with the command that compiles it; exits with 1 then.
"""

import argparse
import os
import random
import shlex
import subprocess
import sys

FAMILIES = ["tiny", "nanochat", "gpt2", "llama-2-7b", "llama-3.2-1b"]
FAMILIES += ["qwen2.5-0.5b", "qwen25-small", "qwen3-8b", "biased-head"]
# Of the inputs, so that ids are below any vocabulary here.
RANGES = ["tokens=0:3", "targets=-1:3", "skip=0:0", "start=0:1", "length=1:1"]


def choose(rng, large=False, family=None):
    """A family and the overrides of its dims; large: beyond one tile of the
    products, and not a multiple of it."""
    family = family or rng.choice(FAMILIES)
    # GPT-2 and nanochat have as many heads as fill `hidden`.
    square = family in ("gpt2", "nanochat")
    kv_heads = rng.choice([1, 2, 3])
    heads = kv_heads * (1 if family == "gpt2" else rng.choice([1, 2, 3]))
    head_dim = rng.choice([2, 4, 6, 8] + large * [16, 20, 64])
    full = heads * head_dim
    hidden = full if square else rng.choice([4, 5, 8, 12, full] + large * [33, 64, 97])
    context = rng.choice([8, 33, 40]) if large else 8
    values = {
        "dims.layers": rng.choice([1, 2, 3]),
        "dims.hidden": hidden,
        "dims.heads": heads,
        "dims.kv_heads": kv_heads,
        "dims.head_dim": head_dim,
        "dims.ffn": rng.choice([hidden, 3, 7, 16] + large * [65, 130]),
        "dims.vocab": rng.choice([4, max(hidden, 4), 17] + large * [300]),
        "dims.context": context,
        "train.batch": rng.choice([1, 2, 3]),
        "train.sequence": rng.choice([1, 2, 4, context]),
        "infer.context": context,
        "infer.batch": rng.choice([1, 2]),
        "infer.prefill": rng.choice([1, 3, context]),
        "attention.window": rng.choice(["none", "none", 1, 3] + large * [30]),
        "train.z_loss": rng.choice([0, 0.01]),
        "dtype": rng.choice(["f32", "bf16"]),
    }
    sets = [f"--set={key}={value}" for key, value in values.items()]
    return family, sets


def model_file(models, family):
    """A preset, or a model of the tests beside this file."""
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), family + ".yaml")
    return beside if os.path.exists(beside) else os.path.join(models, family + ".yaml")


def run(command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{done.stdout}{done.stderr}"[:2000])
    return done.stdout


def check(compile_command):
    def execute(phase, *flags):
        module = run(compile_command + [f"--compile-to={phase}"])
        ranges = [f"--range={r}" for r in RANGES]
        return run(["qwen-exec", *flags, *ranges], module)

    execute("model", "--check-gradient", "--function=eval_loss")
    execute("remat", "--check-fusion")
    execute("memory", "--check-memory")
    before = execute("autodiff", "--print-checksums")
    if execute("memory", "--print-checksums") != before:
        raise RuntimeError("a result differs between autodiff and memory")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", help="this one only")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    failures = 0
    for _ in range(args.count):
        family, sets = choose(rng, family=args.family)
        command = ["qwenc", model_file(args.models, family), *sets]
        try:
            check(command)
        except RuntimeError as error:
            failures += 1
            print(f"FAILED: {shlex.join(command)}\n{error}")
    print(f"{args.count - failures} of {args.count} models passed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
