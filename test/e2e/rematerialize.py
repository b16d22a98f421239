#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Recomputation changes the memory of training and not one bit of it: a family's
tiny model is planned without a budget, a byte below what it needs, halfway and
as small as it gets, and compiled (but for the second); loss and all gradients must be equal bytes on one and two
threads.

    rematerialize.py NAME REFERENCE_DIR WORK_DIR
"""

import filecmp
import json
import os
import re
import shutil
import subprocess
import sys

# Long enough that what layers save matters, odd in every extent.
SET = ["train.batch=3", "train.sequence=11", "dims.layers=5"]


def run(*command, expect=0):
    print("$", " ".join(command), flush=True)
    result = subprocess.run(command, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True)
    if result.returncode != expect:
        sys.exit(f"exit code {result.returncode}\n{result.stderr}")
    return result


def compiled(model, dtype, budget, *more, expect=0):
    words = ["qwenc", model, "--for", "train", "--set", f"dtype={dtype}"]
    for key in SET + ([f"memory.budget={budget}"] if budget else []):
        words += ["--set", key]
    return run(*words, *more, expect=expect)


def train_bytes(model, dtype, budget=None):
    text = compiled(model, dtype, budget, "--plan", "--json").stdout
    return json.loads(text)["device"]["train"]


def smallest(model, dtype):
    """What is needed when everything is recomputed, as the error says."""
    error = compiled(model, dtype, 1, "--plan", expect=1).stderr
    notes = re.findall(r": note: \d+ bytes here", error)
    if "[Q2001]" not in error or not notes:
        sys.exit(f"not the error of a budget:\n{error}")
    return int(re.search(r"train needs (\d+)", error).group(1))


def main():
    name, reference, work = sys.argv[1:]
    model = os.path.join(reference, name)
    inputs = os.path.join(model, "inputs.safetensors")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    for dtype in ("f32", "bf16"):
        whole, least = train_bytes(model, dtype), smallest(model, dtype)
        peak = whole["peak_bytes"]
        if not least < peak:
            sys.exit(f"{dtype}: {least} bytes is not below {peak}")
        compiled(model, dtype, least - 1, "--plan", expect=1)
        budgets = [None, peak - 1, (peak + least) // 2, least]
        activations = []
        for i, budget in enumerate(budgets):
            plan = train_bytes(model, dtype, budget)
            if budget and plan["peak_bytes"] > budget:
                sys.exit(f"{plan['peak_bytes']} bytes planned, allowed {budget}")
            activations.append(plan["activations"])
            if i == 1:
                continue
            module = os.path.join(work, f"{dtype}-{i}.so")
            compiled(model, dtype, budget, "-o", module)
            for threads in ("1", "2"):
                got = os.path.join(work, f"{dtype}-{i}-{threads}.safetensors")
                run("qwen-rt", "run", module, "--entry", "loss_and_grad",
                    "--weights", "random:5", "--inputs", inputs, "-o", got,
                    "--threads", threads)
                if not filecmp.cmp(os.path.join(work, f"{dtype}-0-1.safetensors"),
                                   got, shallow=False):
                    sys.exit(f"{dtype}, budget {budget}, {threads} threads: other "
                             "bits than with everything saved")
        print(f"{dtype}: activations {activations}, peak {peak} to {least}", flush=True)
        if sorted(set(activations), reverse=True) != activations:
            sys.exit("expected less to be saved with every budget")


if __name__ == "__main__":
    main()
