#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A family's tiny model on `data synth`, 200 steps: what training plans in memory
is what smoke.json says, to the byte, and what it learns lies in the band there.

    smoke.py FAMILY MODELS_DIR WORK_DIR
    smoke.py --measure MODELS_DIR WORK_DIR    writes smoke.json anew: look at what
                                              changed before it is committed

Compiled for one level of the CPU, so that another machine has the same kernels.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "smoke.json")
# Of the mean loss of the last 20 steps and of the validation loss, in nats.
BAND = 0.03

COMMON = [
    "dims.layers=2", "dims.hidden=64", "dims.heads=4", "dims.vocab=512",
    "dims.context=128", "dtype=bf16", "train.batch=4", "train.sequence=64",
    "train.optimizer.lr=3e-3", "train.schedule.kind=cosine",
    "train.schedule.warmup=10", "train.schedule.min_lr=3e-4",
    "train.schedule.steps=200",
]
FAMILIES = {
    "gpt2": ("gpt2", []),
    "llama": ("llama-3.2-1b", ["dims.kv_heads=2", "dims.head_dim=16", "dims.ffn=160"]),
    "qwen2": ("qwen2.5-0.5b", ["dims.kv_heads=2", "dims.ffn=160"]),
    "qwen3": ("tiny", ["dims.kv_heads=2", "dims.head_dim=32", "dims.ffn=160"]),
    "nanochat": ("nanochat", ["dims.depth=null", "train.optimizer.kind=muon"]),
    "qwen25-small": ("qwen25-small", ["dims.depth=null", "dims.kv_heads=2",
                                      "dims.ffn=160"]),
}


def run(*words):
    result = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True,
                            text=True)
    if result.returncode:
        sys.exit(f"{' '.join(words)}\n{result.stderr[-3000:]}\n"
                 f"exit code {result.returncode}")
    return result.stdout


def measure(family, models, work):
    """Bytes of the plan, and losses of the run."""
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    preset, settings = FAMILIES[family]
    words = ["qwenc", os.path.join(models, preset + ".yaml"), "--cpu", "x86-64-v3"]
    for setting in COMMON + settings:
        words += ["--set", setting]
    device = json.loads(run(*words, "--plan", "--json"))["device"]
    module, data, out = (os.path.join(work, n) for n in ("model.so", "data", "run"))
    run(*words, "-o", module)
    run("qwen-rt", "data", "synth", "-o", data)
    run("qwen-rt", "train", module, "--data", os.path.join(data, "train.bin"),
        "--out", out, "--threads", "1", "--set", "log.every=1", "--set",
        "eval.every=200", "--set", "train.seed=11")
    with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    losses = [e["loss"] for e in events if e["type"] == "step"]
    assert len(losses) == 200, len(losses)
    return {"bytes": {kind: device[kind] for kind in ("train", "infer")},
            "loss": {"first": round(losses[0], 4),
                     "last": round(statistics.mean(losses[-20:]), 4),
                     "validation": round(events[-2]["loss"], 4)}}


def main():
    family, models, work = sys.argv[1:]
    if family == "--measure":
        golden = {name: measure(name, models, work) for name in FAMILIES}
        with open(GOLDEN, "w", encoding="utf-8") as file:
            json.dump(golden, file, indent=1, sort_keys=True)
            file.write("\n")
        return
    with open(GOLDEN, encoding="utf-8") as file:
        want = json.load(file)[family]
    got = measure(family, models, work)
    print(json.dumps(got))
    wrong = []
    if got["bytes"] != want["bytes"]:
        wrong.append(f"bytes: {got['bytes']}, expected {want['bytes']}")
    for key, loss in want["loss"].items():
        if not abs(got["loss"][key] - loss) <= BAND:
            wrong.append(f"loss, {key}: {got['loss'][key]}, expected {loss} +- {BAND}")
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
