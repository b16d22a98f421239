#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One model on several meshes: gradients, losses and greedy text must be those
of one device.

    mesh.py [OPTIONS] FAMILY WORK_DIR MESH[,zero=N][,sequence][,mpi|,tcp]...

      --only CHECKS      some of gradients,losses,text,logits; default the first
                         three, in bf16 logits in place of text
      --dtype bf16       in bf16
      --optimizer muon   trains with Muon
      --weights int8     text and logits of quantized weights (or int4)
      --target cuda-sim  code for GPUs, simulated, of the meshes

The shapes are chosen for what goes wrong: key heads that do not divide, a
vocabulary that is uneven, masked targets, a row (with 8 devices along data: a
device) without any target, prompts longer than a chunk, accumulation.
"""

import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "models")
LAUNCH = os.path.join(os.path.dirname(HERE), "Comm", "Inputs", "launch.py")
STEPS, BATCH, LENGTH = 20, 8, 16
LOSS_LIMIT, GRADIENT_LIMIT, LOGIT_LIMIT = 1e-4, 1e-5, 1e-5
MUON_LOSS_LIMIT = 1e-5
# The norm of all gradients in the first step, relative: it decides what is clipped.
NORM_LIMIT = 1e-6
# A device rounds its summand to bf16 before the sum over devices: values differ by
# one or two roundings of 2^-9 for each such sum, not by more, and not all in one
# direction. Greedy text may part where two logits are as near as that. Large steps
# make much of little: at a rate of 1e-2 one device in bf16 is 3e-2 from f32 itself.
BF16_RATE = ["--set", "train.optimizer.lr=2e-3"]
BF16_LOSS_LIMIT, BF16_GRADIENTS, BF16_NORM_LIMIT, BF16_LOGITS = (
    2e-3, "cos=0.999,norm=0.01", 2e-3, "cos=0.9999,norm=2e-3")

# Preset and dims; 4 key heads on 8 and 32 ways, 14 query heads on 2.
FAMILIES = {
    "qwen3": ("tiny", {"layers": 2, "hidden": 64, "heads": 8, "kv_heads": 4, "head_dim": 16,
                       "ffn": 96, "vocab": 488}),
    "gpt2": ("gpt2", {"layers": 2, "hidden": 48, "heads": 4, "vocab": 386}),
    "qwen2": ("qwen2.5-0.5b", {"layers": 2, "hidden": 56, "heads": 14, "kv_heads": 2,
                               "head_dim": 8, "ffn": 96, "vocab": 488}),
    "llama": ("llama-3-8b", {"layers": 2, "hidden": 64, "heads": 8, "kv_heads": 4, "head_dim": 8,
                             "ffn": 72, "vocab": 485}),
    "nanochat": ("nanochat", {"layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2,
                              "head_dim": 16, "vocab": 480}),
}


def run(*words, capture=False):
    print("$", " ".join(words), flush=True)
    begin = time.monotonic()
    result = subprocess.run(words, stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE if capture else None)
    print(f"  {time.monotonic() - begin:.1f} s", flush=True)
    if result.returncode:
        sys.exit(f"exit code {result.returncode}")
    return result.stdout


def tool(name, *words):
    run(sys.executable, os.path.join(HERE, name), *words)


def write_inputs(vocab, batch_path, data_path):
    """A batch with masked targets, and token ids in which some order is."""
    chance = random.Random(1)
    tokens = [chance.randrange(vocab) for _ in range(BATCH * LENGTH)]
    targets = [-1 if i % 7 == 2 or i // LENGTH == BATCH - 1 else chance.randrange(vocab)
               for i in range(BATCH * LENGTH)]
    size = 4 * BATCH * LENGTH
    header = json.dumps({
        name: {"dtype": "I32", "shape": [BATCH, LENGTH], "data_offsets": [at, at + size]}
        for name, at in (("tokens", 0), ("targets", size))}).encode()
    with open(batch_path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.write(struct.pack(f"<{2 * BATCH * LENGTH}i", *tokens, *targets))
    ids = [1]
    while len(ids) < 2 * (STEPS + 1) * BATCH * LENGTH:
        ids.append((5 * ids[-1] + 3) % 61 if chance.random() < 0.9 else chance.randrange(61))
    with open(data_path, "wb") as file:
        file.write(struct.pack(f"<{len(ids)}I", *ids))


class Variant:
    """A mesh, and how its devices are started."""

    def __init__(self, text, family, work, settings=None, target="cpu"):
        words = text.split(",") if text else []
        self.target = target
        self.settings = settings or {}
        self.name = text.replace(",", "-") or "one"
        self.mesh = words[0] if words else ""
        self.splits_sequence = "sequence" in words
        self.zero = next((w[5:] for w in words if w.startswith("zero=")), None)
        self.family = family
        self.out = os.path.join(work, self.name)
        self.module = os.path.join(self.out, "m.so")
        self.launcher = []
        rows, _, columns = self.mesh.partition("x")
        if "mpi" in words:
            self.launcher = ["timeout", "120", "mpirun", "--bind-to", "none", "-n",
                             str(int(rows) * int(columns))]
        if "tcp" in words:
            self.launcher = ["timeout", "120", sys.executable, LAUNCH,
                             str(int(rows) * int(columns))]

    def compile(self):
        os.makedirs(self.out)
        preset, dims = FAMILIES[self.family]
        settings = {f"dims.{key}": value for key, value in dims.items()}
        settings.update({"dims.context": 64, "dtype": "f32", "train.batch": BATCH,
                         "train.sequence": LENGTH, "train.accumulate": 2, "infer.prefill": 16,
                         "infer.context": 64})
        if self.zero:
            settings["parallel.zero"] = self.zero
        if self.splits_sequence:
            settings["parallel.sequence_residual"] = "true"
        settings.update(self.settings)
        run("qwenc", os.path.join(MODELS, preset + ".yaml"), "-o", self.module,
            *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
            *(["--mesh", self.mesh] if self.mesh else []), "--target", self.target)

    def run(self, *words, capture=False):
        return run(*self.launcher, "qwen-rt", *words, "--device", self.target, capture=capture)

    def gradients(self, batch):
        out = os.path.join(self.out, "gradients.safetensors")
        self.run("run", self.module, "--entry", "loss_and_grad", "--weights", "random:3",
                 "--inputs", batch, "-o", out, *(["--comm-debug"] if self.mesh else []))
        return out

    def train(self, data, *more, name="run"):
        out = os.path.join(self.out, name)
        begin = [] if "--resume" in more else ["--weights", "random:3"]
        steps = [] if "--steps" in more else ["--steps", str(STEPS)]
        self.run("train", self.module, *begin, *steps, "--data", data, "--data-type", "u32",
                 "--out", out, "--set", "log.every=1", "--set", "eval.every=0", "--set",
                 "train.schedule.warmup=2", "--set", "train.optimizer.lr=1e-2", *more)
        return out

    def generate(self, weights):
        text = self.run("generate", self.module, "--weights", weights, "--prompt-ids",
                        ",".join(str(i * i % 61) for i in range(20)), "-n", "12", "--temp",
                        "0", "--json", capture=True)
        ids = json.loads(text)["ids"]
        print(self.name, ids)
        return ids


    def logits(self, weights, batch):
        out = os.path.join(self.out, "logits.safetensors")
        self.run("run", self.module, "--entry", "logits", "--weights", weights, "--inputs",
                 batch, "-o", out)
        return out


def parse_options():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--weights")
    parser.add_argument("--target", default="cpu")
    parser.add_argument("family")
    parser.add_argument("work")
    parser.add_argument("meshes", nargs="+")
    options = parser.parse_args()
    exact = options.dtype == "f32"
    checks = ("text,logits" if options.weights else
              "gradients,losses,text" if exact else "gradients,losses,logits")
    options.checks = (options.only or checks).split(",")
    options.settings = {"dtype": options.dtype, "train.optimizer.kind": options.optimizer}
    if options.weights:
        options.settings["infer.weights"] = options.weights
    return options


class Comparison:
    """What one device does, and other devices' doings held against it."""

    def __init__(self, options):
        self.options, self.checks = options, options.checks
        self.exact = options.dtype == "f32"
        self.rate = [] if self.exact else BF16_RATE
        work, family = options.work, options.family
        self.batch = os.path.join(work, "batch.safetensors")
        self.data = os.path.join(work, "train.bin")
        write_inputs(FAMILIES[family][1]["vocab"], self.batch, self.data)
        one = Variant("", family, work, options.settings)
        one.compile()
        if "gradients" in self.checks:
            self.gradients = one.gradients(self.batch)
        if "losses" in self.checks:
            trained = one.train(self.data, *self.rate)
            self.losses = os.path.join(trained, "metrics.jsonl")
            tool("losses.py", self.losses, "falls", "0.98")
        if not {"text", "logits"} & set(self.checks):
            return
        # For texts with some variety.
        self.last = os.path.join(one.train(self.data, "--steps", "100", name="longer"), "latest")
        self.ids = one.generate(self.last)
        if len(set(self.ids)) < 4:
            sys.exit("a text without variety shows nothing")
        if "logits" in self.checks:
            self.logits = one.logits(self.last, self.batch)

    def compare(self, mesh):
        other = Variant(mesh, self.options.family, self.options.work, self.options.settings,
                        self.options.target)
        other.compile()
        if "gradients" in self.checks:
            limits = (f"rel={GRADIENT_LIMIT}", f"rel={GRADIENT_LIMIT}") if self.exact else (
                f"abs={BF16_LOSS_LIMIT}", BF16_GRADIENTS)
            tool("compare.py", other.gradients(self.batch), self.gradients,
                 f"loss:{limits[0]}", f"grad.*:{limits[1]}")
        if "losses" in self.checks:
            loss = MUON_LOSS_LIMIT if self.options.optimizer == "muon" else LOSS_LIMIT
            limits = (loss, NORM_LIMIT) if self.exact else (BF16_LOSS_LIMIT, BF16_NORM_LIMIT)
            out = other.train(self.data, *self.rate)
            tool("losses.py", os.path.join(out, "metrics.jsonl"), "near", self.losses,
                 *map(str, limits))
        if "text" in self.checks or "logits" in self.checks:
            ids = other.generate(self.last)
            if "text" in self.checks and ids != self.ids:
                sys.exit(f"{mesh}: other ids")
        if "logits" in self.checks:
            tool("compare.py", other.logits(self.last, self.batch), self.logits,
                 f"logits:rel={LOGIT_LIMIT}" if self.exact else f"logits:{BF16_LOGITS}")


def main():
    options = parse_options()
    shutil.rmtree(options.work, ignore_errors=True)
    os.makedirs(options.work)
    comparison = Comparison(options)
    for mesh in options.meshes:
        comparison.compare(mesh)


if __name__ == "__main__":
    main()
