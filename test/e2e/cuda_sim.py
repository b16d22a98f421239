#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A family's tiny model on the simulated GPU: entry points against the reference
values, training against the CPU's losses, greedy tokens against the CPU's. Both
targets come from one module.

    cuda_sim.py NAME f32|bf16 STEPS REFERENCE_DIR WORK_DIR
"""

import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from families import BATCH, HERE, LENGTH, compare, rules_for, run  # noqa: E402

NEW_TOKENS = 8
# Of the losses while training. Sums in another order flip roundings to bf16, and the
# first steps of AdamW take little but the gradient's sign.
LIMITS = {"f32": "1e-3", "bf16": "5e-3"}


def greedy(module, model, device):
    command = ["qwen-rt", "generate", module, "--device", device, "--weights", model,
               "--prompt-ids", "1,5,3,2,7", "--n-predict", str(NEW_TOKENS),
               "--temperature", "0", "--ignore-eos", "--json"]
    print("$", " ".join(command), flush=True)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)["ids"]


def main():
    name, dtype, steps, reference, work = sys.argv[1:]
    model = os.path.join(reference, name)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    module = os.path.join(work, "model.so")
    inputs = os.path.join(model, "inputs.safetensors")
    want = os.path.join(model, "reference.safetensors")
    rules = rules_for(name, dtype)
    run("qwenc", model, "-o", module, "--target", "cuda-sim", "--target", "cpu",
        "--set", f"dtype={dtype}", "--set", f"train.batch={BATCH}",
        "--set", f"train.sequence={LENGTH}")
    for entry, wanted in (
        ("loss_and_grad", [r for r in rules if not r.startswith("logits")]),
        ("logits", [r for r in rules if r.startswith("logits")]),
    ):
        got = os.path.join(work, entry + ".safetensors")
        run("qwen-rt", "run", module, "--device", "cuda-sim", "--entry", entry,
            "--weights", model, "--inputs", inputs, "-o", got)
        compare(got, want, wanted)

    metrics = {}
    for device in ("cpu", "cuda-sim"):
        out = os.path.join(work, "run-" + device)
        run("qwen-rt", "train", module, "--device", device, "--weights", model,
            "--steps", steps, "--data", os.path.join(model, "train.bin"),
            "--data-type", "u32", "--out", out, "--set", "train.accumulate=1",
            "--set", "train.optimizer.lr=1e-3", "--set", "log.every=1",
            "--set", "train.schedule.kind=constant", "--set", "train.schedule.warmup=0")
        metrics[device] = os.path.join(out, "metrics.jsonl")
    run(sys.executable, os.path.join(HERE, "losses.py"), metrics["cuda-sim"], "near",
        metrics["cpu"], LIMITS[dtype])

    ids = {device: greedy(module, model, device) for device in ("cpu", "cuda-sim")}
    print(ids)
    if ids["cpu"] != ids["cuda-sim"] or len(ids["cpu"]) != NEW_TOKENS:
        sys.exit("the tokens differ")


if __name__ == "__main__":
    main()
