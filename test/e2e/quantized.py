#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""infer.weights=int8 and int4, by the commands a user has.

    quantized.py PRESET MODELS_DIR WORK_DIR

Weights that both forms hold exactly give the logits of the plain module, in
prefill and, token by token, in decode; so layouts, loading and both kinds of
products are right. Random weights come close, int8 closer than int4.
"""

import json
import os
import random
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import safetensors

GROUP = 32
# The presets, small; an ffn of 104 is not whole groups of 32, so int4 leaves it int8.
SETTINGS = {
    "tiny": ["dims.ffn=104"],
    "gpt2": ["dims.layers=2", "dims.hidden=64", "dims.heads=4", "dims.ffn=256",
             "dims.vocab=1024", "dims.context=128", "infer.context=128",
             "infer.prefill=64", "train.batch=2", "train.sequence=32"],
}
TRANSPOSED = ("c_attn.weight", "c_fc.weight", "c_proj.weight")
TABLES = ("embed_tokens.weight", "wte.weight", "lm_head.weight")
PROMPT = "3,141,59,26,535,897,93,238,462,643,383,279"


def run(*command):
    print("$", " ".join(command), flush=True)
    done = subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}")
    return done.stdout


def row(form, columns, scale):
    """One row of a weight that `form` holds exactly: its extremes are those
    that the scale, and of int4 each group's step, are made from."""
    if form == "int8":
        values = [random.randint(-127, 127) for _ in range(columns)]
        values[random.randrange(columns)] = random.choice((-127, 127))
        return [value * scale for value in values]
    values = []
    steps = [random.choice((-1, 1)) * random.randint(1, 64)
             for _ in range(columns // GROUP)]
    steps[random.randrange(len(steps))] = random.choice((-64, 64))
    for step in steps:
        group = [random.randint(-7, 7) for _ in range(GROUP)]
        group[random.randrange(GROUP)] = -8
        values += [step * half * (half * half + 144) * scale for half in group]
    return values


def exact_weights(tensors, form):
    """`tensors` with every matrix replaced by one that `form` holds exactly."""
    result = {}
    for name, (dtype, shape, values) in tensors.items():
        is_table = name.endswith(TABLES)
        if len(shape) != 2 or name.endswith("wpe.weight"):
            result[name] = (dtype, shape, values)
            continue
        turned = name.endswith(TRANSPOSED)
        rows, columns = reversed(shape) if turned else shape
        own = "int8" if is_table or columns % GROUP else form
        scale = 2.0 ** (-11 if own == "int8" else -21)
        matrix = [row(own, columns, scale) for _ in range(rows)]
        if turned:
            matrix = list(zip(*matrix))
        result[name] = (dtype, shape, [value for line in matrix for value in line])
    return result


def logits_of(module, weights, work):
    path = os.path.join(work, "out.safetensors")
    run("qwen-rt", "run", module, "--entry", "logits", "--weights", weights,
        "--inputs", os.path.join(work, "inputs.safetensors"), "-o", path)
    return safetensors.load(path)["logits"][2]


def difference(got, want):
    """The largest difference over the largest value."""
    return max(abs(a - b) for a, b in zip(got, want)) / max(map(abs, want))


def generated(module, weights):
    return json.loads(run("qwen-rt", "generate", module, "--weights", weights,
                          "--prompt-ids", PROMPT, "-n", "24", "--temp", "0",
                          "--ignore-eos", "--json"))["ids"]


def evaluated(module, weights, work):
    return json.loads(run("qwen-rt", "eval", module, "--weights", weights, "--data",
                          os.path.join(work, "data", "val.bin"), "--json"))


def check(form, dtype, compile_, plain, weights, work):
    module = compile_(form, dtype)
    want = logits_of(plain, "random:5", work)
    got = logits_of(module, "random:5", work)
    limit = {"int8": 0.05, "int4": 0.5}[form]
    error = difference(got, want)
    print(f"{form} {dtype}: random weights differ by {error:.4f}")
    assert 0 < error < limit, error

    exact = os.path.join(work, f"exact-{form}")
    shutil.copytree(weights, exact, dirs_exist_ok=True)
    tensors = exact_weights(
        safetensors.load(os.path.join(weights, "model.safetensors")), form)
    safetensors.save(os.path.join(exact, "model.safetensors"), tensors)
    want, got = (logits_of(each, exact, work) for each in (plain, module))
    error = difference(got, want)
    print(f"{form} {dtype}: exact weights differ by {error:.2e}")
    assert error < (1e-5 if dtype == "f32" else 2e-2), error
    if dtype == "f32":
        # Long prompts are products of many rows, each new token one of one row.
        assert generated(module, exact) == generated(plain, exact)
        # An evaluation measures the weights that inference reads.
        want, got = (evaluated(each, exact, work) for each in (plain, module))
        assert got["tokens"] == want["tokens"] > 0
        assert abs(got["loss"] - want["loss"]) < 1e-5 * want["loss"], (got, want)
        assert abs(got["accuracy"] - want["accuracy"]) < 1e-3
        assert abs(got["bits_per_byte"] - want["bits_per_byte"]) < 1e-4
        rounded = evaluated(module, "random:5", work)["loss"]
        assert rounded != evaluated(plain, "random:5", work)["loss"]
    return module, exact, tensors


def check_tied(module, exact, tensors, work):
    """A head in the file that is not the embedding."""
    name = next(n for n in tensors if n.endswith("embed_tokens.weight"))
    dtype, shape, values = tensors[name]
    for place, good in ((None, True), (5 * shape[1] + 3, False)):
        values = list(values)
        if place is not None:
            values[place] += 2.0 ** -5
        broken = os.path.join(work, "tied.safetensors")
        safetensors.save(broken, {**tensors, "lm_head.weight": (dtype, shape, values)})
        done = subprocess.run(
            ["qwen-rt", "generate", module, "--weights", broken, "--prompt-ids",
             "1,2", "-n", "1", "--temp", "0"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert (done.returncode == 0) == good, done.stderr
        if not good:
            assert "Q3023" in done.stderr and "[5, 3]" in done.stderr, done.stderr


def check_plan(preset, settings):
    """Weights that inference reads are counted by their bytes."""
    def plan(form):
        return json.loads(run("qwenc", preset, "--plan", "--json", "--set",
                              f"infer.weights={form}", "--set", "dtype=bf16",
                              *settings))["device"]["infer"]
    plain, int8, int4 = plan("bf16"), plan("int8"), plan("int4")
    assert plain["packed"] == 0 < int4["packed"] < int8["packed"]
    assert int8["parameters"] + int8["packed"] < 0.6 * plain["parameters"]
    for each in (plain, int8, int4):
        assert each["peak_bytes"] == sum(
            each[key] for key in ("parameters", "packed", "kv_cache", "workspace"))


def main():
    name, models, work = sys.argv[1:]
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    random.seed(7)
    preset = os.path.join(models, name + ".yaml")
    settings = [word for pair in SETTINGS[name] for word in ("--set", pair)]

    def compile_(form, dtype):
        module = os.path.join(work, f"{form}-{dtype}.so")
        weights = [] if form == "plain" else ["--set", f"infer.weights={form}"]
        run("qwenc", preset, "-o", module, "--set", f"dtype={dtype}", *weights,
            *settings)
        return module

    tokens = [random.randrange(1024) for _ in range(2 * 29)]
    safetensors.save(os.path.join(work, "inputs.safetensors"),
                     {"tokens": ("I32", [2, 29], tokens)})
    plain = {dtype: compile_("plain", dtype) for dtype in ("f32", "bf16")}
    # A checkpoint with the family's names and shapes.
    data, out = os.path.join(work, "data"), os.path.join(work, "run")
    run("qwen-rt", "data", "synth", "-o", data)
    run("qwen-rt", "train", plain["f32"], "--data", os.path.join(data, "train.bin"),
        "--steps", "1", "--out", out)
    weights = os.path.join(out, "latest")
    for form in ("int8", "int4"):
        for dtype in ("f32", "bf16"):
            module, exact, tensors = check(form, dtype, compile_, plain[dtype],
                                           weights, work)
        if name == "tiny":
            check_tied(module, exact, tensors, work)
    check_plan(preset, settings)


main()
