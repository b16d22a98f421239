#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A family's tiny model against the reference values, by the commands a user
has: compile, run entry points, train ten steps, read the checkpoint back.

    families.py NAME f32|bf16 REFERENCE_DIR WORK_DIR
"""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# The reference batch (make_references.py).
BATCH, LENGTH = 3, 11

F32 = ["logits:abs=1e-4", "loss:abs=1e-5", "grad.*:rel=1e-4"]
BF16 = [
    "logits:cos=0.999",
    "loss:abs=5e-3",
    "grad.*norm*:cos=0.95,norm=0.02",
    "grad.*ln_*:cos=0.95,norm=0.02",
    "grad.*:cos=0.99,norm=0.02",
]
# What each family's rules are held against; the others match nothing in it.
NORM_RULES = {
    "gpt2": "grad.*ln_*",
    "nanochat": None,  # its norms have no weight
}


def run(*command):
    print("$", " ".join(command), flush=True)
    code = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if code:
        sys.exit(f"exit code {code}")


def compare(got, want, rules):
    run(sys.executable, os.path.join(HERE, "compare.py"), got, want, *rules)


def rules_for(name, dtype):
    if dtype == "f32":
        return F32
    keep = NORM_RULES.get(name, "grad.*norm*")
    return [
        rule
        for rule in BF16
        if not (rule.startswith(("grad.*norm", "grad.*ln"))
                and rule.rpartition(":")[0] != keep)
    ]


def main():
    name, dtype, reference, work = sys.argv[1:]
    model = os.path.join(reference, name)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    module = os.path.join(work, "model.so")
    inputs = os.path.join(model, "inputs.safetensors")
    want = os.path.join(model, "reference.safetensors")
    rules = rules_for(name, dtype)

    run("qwenc", model, "-o", module, "--set", f"dtype={dtype}",
        "--set", f"train.batch={BATCH}", "--set", f"train.sequence={LENGTH}")
    for entry, wanted in (
        ("loss_and_grad", [r for r in rules if not r.startswith("logits")]),
        ("logits", [r for r in rules if r.startswith("logits")]),
    ):
        got = os.path.join(work, entry + ".safetensors")
        run("qwen-rt", "run", module, "--entry", entry, "--weights", model,
            "--inputs", inputs, "-o", got)
        compare(got, want, wanted)
    # Ten steps on the same batch: the data file holds just its windows.
    out = os.path.join(work, "run")
    settings = {
        "train.accumulate": "1", "train.optimizer.lr": "1e-3",
        "train.optimizer.betas": "[0.9, 0.95]", "train.optimizer.eps": "1e-8",
        "train.optimizer.weight_decay": "0.1", "train.optimizer.clip": "1.0",
        "train.schedule.kind": "constant", "train.schedule.warmup": "0",
        "log.every": "1",
    }
    run("qwen-rt", "train", module, "--weights", model, "--steps", "10",
        "--data", os.path.join(model, "train.bin"), "--data-type", "u32",
        "--out", out,
        *(part for key, value in settings.items()
          for part in ("--set", f"{key}={value}")))
    run(sys.executable, os.path.join(HERE, "losses.py"),
        os.path.join(out, "metrics.jsonl"), "reference", want,
        "1e-4" if dtype == "f32" else "0.05")
    if dtype != "f32":
        return

    # The checkpoint is a model directory: the next step's forward runs from it,
    # and shapes below the compiled ones give the same.
    last = os.path.join(out, "step-000010")
    got = os.path.join(work, "trained.safetensors")
    run("qwen-rt", "run", module, "--entry", "loss_and_grad", "--weights", last,
        "--inputs", inputs, "-o", got)
    larger = os.path.join(work, "larger.so")
    run("qwenc", last, "-o", larger, "--set", "dtype=f32",
        "--set", f"train.batch={BATCH + 1}", "--set", f"train.sequence={LENGTH + 5}")
    got_larger = os.path.join(work, "trained-larger.safetensors")
    run("qwen-rt", "run", larger, "--entry", "loss_and_grad", "--weights", last,
        "--inputs", inputs, "-o", got_larger)
    compare(got_larger, got, ["loss:abs=1e-6", "grad.*:rel=1e-5"])


if __name__ == "__main__":
    main()
