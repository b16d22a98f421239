#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Holds the steps of a metrics.jsonl against something.

    losses.py METRICS reference FILE.safetensors LIMIT [OPTIMIZER]
                                    OPTIMIZER.losses (absolute; default adamw)
                                    and .grad_norms (relative), each in turn
    losses.py METRICS same OTHER    bitwise: step, loss, grad_norm, lr, tokens
    losses.py METRICS near OTHER LIMIT [NORM_LIMIT]
                                    losses, absolute, each in turn; and the first
                                    step's norm of all gradients, relative
    losses.py METRICS falls RATIO   the last loss is below RATIO times the first
"""

import json
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors  # noqa: E402


def steps(path):
    with open(path, encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    found = {}
    for event in events:
        if event["type"] == "step":
            found[event["step"]] = event  # a resumed run may repeat one
    if sorted(found) != list(range(1, len(found) + 1)) or not found:
        sys.exit(f"{path}: steps {sorted(found)}")
    return [found[number] for number in sorted(found)]


def main():
    ours = steps(sys.argv[1])
    wrong = []
    if sys.argv[2] == "reference":
        reference, limit = safetensors.load(sys.argv[3]), float(sys.argv[4])
        optimizer = (sys.argv[5:] or ["adamw"])[0]
        losses = reference[optimizer + ".losses"][2]
        norms = reference[optimizer + ".grad_norms"][2]
        if len(losses) != len(ours):
            wrong.append(f"{len(ours)} steps, expected {len(losses)}")
        for step, loss, norm in zip(ours, losses, norms):
            error = abs(step["loss"] - loss)
            norm_error = abs(step["grad_norm"] - norm) / norm
            print(f"step {step['step']}: loss {step['loss']:.6f}, off by {error:.2e}; "
                  f"norm {step['grad_norm']:.6f}, off by {norm_error:.2e}")
            if not (error <= limit and norm_error <= 10 * limit):
                wrong.append(f"step {step['step']} is off")
    elif sys.argv[2] == "same":
        keys = ("step", "loss", "grad_norm", "lr", "tokens")
        theirs = steps(sys.argv[3])
        if len(ours) != len(theirs):
            wrong.append(f"{len(ours)} and {len(theirs)} steps")
        for a, b in zip(ours, theirs):
            if [a[key] for key in keys] != [b[key] for key in keys]:
                wrong.append(f"{[a[k] for k in keys]} and {[b[k] for k in keys]}")
    elif sys.argv[2] == "near":
        theirs, limit = steps(sys.argv[3]), float(sys.argv[4])
        if len(ours) != len(theirs):
            wrong.append(f"{len(ours)} and {len(theirs)} steps")
        for a, b in zip(ours, theirs):
            error = abs(a["loss"] - b["loss"])
            print(f"step {a['step']}: loss {a['loss']:.6f}, off by {error:.2e}")
            if not error <= limit:
                wrong.append(f"step {a['step']} is off")
        if len(sys.argv) > 5:
            norms = ours[0]["grad_norm"], theirs[0]["grad_norm"]
            error = abs(norms[0] - norms[1]) / norms[1]
            print(f"norm {norms[0]:.6f}, off by {error:.2e}")
            if not error <= float(sys.argv[5]):
                wrong.append("the norm is off")
    elif sys.argv[2] == "falls":
        first, last = ours[0]["loss"], ours[-1]["loss"]
        print(f"{first} -> {last} in {len(ours)} steps")
        if not last < float(sys.argv[3]) * first:
            wrong.append("the loss does not fall")
    else:
        sys.exit(__doc__)
    if not all(math.isfinite(step["loss"]) for step in ours):
        wrong.append("a loss is not finite")
    for text in wrong:
        print(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
