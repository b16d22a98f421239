#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One model on several meshes: gradients, losses and greedy text must be those
of one device.

    mesh.py FAMILY WORK_DIR MESH[,zero=N][,mpi]...

The shapes are chosen for what goes wrong: key heads that do not divide, a
vocabulary that is uneven, masked targets, a row (with 8 devices along data: a
device) without any target, prompts longer than a chunk, accumulation.
"""

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
STEPS, BATCH, LENGTH = 20, 8, 16
LOSS_LIMIT, GRADIENT_LIMIT = 1e-4, 1e-5

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

    def __init__(self, text, family, work):
        words = text.split(",") if text else []
        self.name = text.replace(",", "-") or "one"
        self.mesh = words[0] if words else ""
        self.zero = next((w[5:] for w in words if w.startswith("zero=")), None)
        self.family = family
        self.out = os.path.join(work, self.name)
        self.module = os.path.join(self.out, "m.so")
        self.launcher = []
        if "mpi" in words:
            rows, _, columns = self.mesh.partition("x")
            self.launcher = ["timeout", "120", "mpirun", "--bind-to", "none", "-n",
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
        run("qwenc", os.path.join(MODELS, preset + ".yaml"), "-o", self.module,
            *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
            *(["--mesh", self.mesh] if self.mesh else []))

    def run(self, *words, capture=False):
        return run(*self.launcher, "qwen-rt", *words, capture=capture)

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


def main():
    family, work, *meshes = sys.argv[1:]
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    batch, data = os.path.join(work, "batch.safetensors"), os.path.join(work, "train.bin")
    write_inputs(FAMILIES[family][1]["vocab"], batch, data)
    one = Variant("", family, work)
    one.compile()
    gradients, trained = one.gradients(batch), one.train(data)
    losses = os.path.join(trained, "metrics.jsonl")
    tool("losses.py", losses, "falls", "0.98")
    # For texts with some variety.
    last = os.path.join(one.train(data, "--steps", "100", name="longer"), "latest")
    ids = one.generate(last)
    if len(set(ids)) < 4:
        sys.exit("a text without variety shows nothing")
    for mesh in meshes:
        other = Variant(mesh, family, work)
        other.compile()
        tool("compare.py", other.gradients(batch), gradients, f"loss:rel={GRADIENT_LIMIT}",
             f"grad.*:rel={GRADIENT_LIMIT}")
        out = other.train(data)
        tool("losses.py", os.path.join(out, "metrics.jsonl"), "near", losses, str(LOSS_LIMIT))
        if other.generate(last) != ids:
            sys.exit(f"{mesh}: other ids")


if __name__ == "__main__":
    main()
