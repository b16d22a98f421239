#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Ten steps of Muon against torch's (make_muon.py), with groups of AdamW beside
it; the same bits on one thread and when resumed; and what must not be resumed.

    muon.py gpt2|qwen3 REFERENCE_DIR WORK_DIR
"""

import filecmp
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import safetensors  # noqa: E402

BATCH, LENGTH, STEPS = 3, 11, 10
# As make_muon.py: the embedding, and two matrices that AdamW keeps.
HALF = {"qwen3": "k_proj|o_proj", "gpt2": "down_proj"}
SETTINGS = {
    "train.accumulate": "1", "train.optimizer.lr": "1e-3",
    "train.optimizer.betas": "[0.9, 0.95]", "train.optimizer.eps": "1e-8",
    "train.optimizer.weight_decay": "0.1", "train.optimizer.clip": "1.0",
    "train.optimizer.muon.weight_decay": "0.01", "train.schedule.kind": "constant",
    "train.schedule.warmup": "0", "log.every": "1",
}


def run(*command, expect=0):
    print("$", " ".join(command), flush=True)
    result = subprocess.run(command, stdin=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)
    if result.returncode != expect:
        sys.exit(f"exit code {result.returncode}\n{result.stderr}")
    return result.stderr


def sets(settings):
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def compile_module(model, half, module, dtype="f32", **more):
    groups = ("[{match: embed, lr_scale: 2, betas: [0.8, 0.95], weight_decay: 0}, "
              f"{{match: {half}, kind: adamw, lr_scale: 0.5}}]")
    run("qwenc", model, "-o", module, "--for", "train", *sets({
        "dtype": dtype, "train.batch": BATCH, "train.sequence": LENGTH,
        "train.optimizer.kind": "muon", "train.optimizer.groups": groups,
        **{"train.optimizer.muon." + key: value for key, value in more.items()}}))


def train(model, module, out, *more, steps=STEPS, expect=0):
    return run("qwen-rt", "train", module, "--weights", model, "--steps", str(steps),
               "--data", os.path.join(model, "train.bin"), "--data-type", "u32",
               "--out", out,
               *sets(SETTINGS), *more, expect=expect)


def checkpoint(out, name):
    return os.path.join(out, f"step-{STEPS:06d}", name)


def against_reference(out, want, limit):
    run(sys.executable, os.path.join(HERE, "losses.py"),
        os.path.join(out, "metrics.jsonl"), "reference", want, limit, "muon")


def same(one, two):
    for name in ("model.safetensors", "optimizer.safetensors"):
        if not filecmp.cmp(checkpoint(one, name), checkpoint(two, name), shallow=False):
            sys.exit(f"{name} of {one} and {two} differ")


def main():
    name, reference, work = sys.argv[1:]
    model = os.path.join(reference, name)
    want = os.path.join(model, "muon.safetensors")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    module, whole = os.path.join(work, "model.so"), os.path.join(work, "whole")
    compile_module(model, HALF[name], module)
    train(model, module, whole, "--threads", "2")
    against_reference(whole, want, "1e-5")
    # The loss does not depend on a bias of k: its gradient is rounding noise, of
    # which AdamW makes steps.
    rules = {"gpt2": ["*.c_attn.bias:abs=1e-2", "transformer.*:rel=1e-5"],
             "qwen3": ["model.*:rel=1e-5"]}[name]
    run(sys.executable, os.path.join(HERE, "compare.py"),
        checkpoint(whole, "model.safetensors"), want, *rules)

    # Matrices of Muon have one moment, all other parameters two.
    tensors = safetensors.load(checkpoint(whole, "optimizer.safetensors"))
    moment1 = {n.split(".", 1)[1] for n in tensors if n.startswith("moment1.")}
    moment2 = {n.split(".", 1)[1] for n in tensors if n.startswith("moment2.")}
    muon = {"gpt2": ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight"),
            "qwen3": ("q_proj.weight", "v_proj.weight", "gate_proj.weight",
                      "up_proj.weight", "down_proj.weight")}[name]
    expected = {n for n in moment1 if not n.endswith(muon)}
    if moment2 != expected or moment2 == moment1:
        sys.exit(f"second moments differ: {sorted(moment2 ^ expected)}")
    with open(checkpoint(whole, "trainer.json"), encoding="utf-8") as file:
        identity = json.load(file)["trainer"]["identity"]
        if identity["train.optimizer.muon"]["scale"] != "shape_scaling":
            sys.exit("trainer.json does not say the scale mode")

    alone, resumed = os.path.join(work, "alone"), os.path.join(work, "resumed")
    train(model, module, alone, "--threads", "1")
    same(whole, alone)
    train(model, module, resumed, steps=5)
    train(model, module, resumed, "--resume", "auto")
    same(whole, resumed)

    # Another scale mode: the learning rate would mean something else. For gpt2
    # also: a part of c_attn is AdamW's, so that its tensor has a moment in part.
    other = os.path.join(work, "other.so")
    compile_module(model, "k_proj", other, scale="spectral")
    error = train(model, other, resumed, "--resume", "auto", steps=12, expect=1)
    if "[Q8010]" not in error or "spectral" not in error:
        sys.exit(f"not the error expected: {error}")
    parts, again = os.path.join(work, "parts"), os.path.join(work, "parts-resumed")
    train(model, other, parts)
    train(model, other, again, steps=5)
    train(model, other, again, "--resume", "auto")
    same(parts, again)

    compile_module(model, HALF[name], module, dtype="bf16")
    half = os.path.join(work, "bf16")
    train(model, module, half)
    against_reference(half, want, "0.05")


if __name__ == "__main__":
    main()
