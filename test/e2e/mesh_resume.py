#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A checkpoint of one mesh goes on on others: the same data follow, and the
losses are those of the run that was not interrupted.

    mesh_resume.py FAMILY WORK_DIR FROM TO...      meshes as in mesh.py, or "one"
"""

import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mesh  # noqa: E402

MIDDLE, LAST = 6, 12


def losses(out):
    with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    return {e["step"]: e["loss"] for e in events if e["type"] == "step"}


def state(out):
    """The place in the data of the last checkpoint, and what the data are."""
    with open(os.path.join(out, "latest", "trainer.json"), encoding="utf-8") as file:
        text = json.load(file)
    return [text[key] for key in ("step", "sequences", "tokens", "seed")], text["trainer"]["identity"]


def main():
    family, work, *names = sys.argv[1:]
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    batch, data = os.path.join(work, "batch.safetensors"), os.path.join(work, "train.bin")
    mesh.write_inputs(mesh.FAMILIES[family][1]["vocab"], batch, data)
    variants = [mesh.Variant("" if name == "one" else name, family, work) for name in names]
    for variant in variants:
        variant.compile()
    settings = ["--steps", str(LAST), "--set", "train.schedule.kind=constant", "--set",
                f"checkpoint.every={MIDDLE}", "--set", "checkpoint.async=false"]
    whole = variants[0].train(data, *settings)
    want = losses(whole)
    checkpoint = os.path.join(whole, f"step-{MIDDLE:06d}")
    wrong = []
    for variant in variants[1:]:
        out = variant.train(data, *settings, "--resume", checkpoint)
        got = losses(out)
        if sorted(got) != list(range(MIDDLE + 1, LAST + 1)):
            wrong.append(f"{variant.name}: steps {sorted(got)}")
            continue
        for step, loss in got.items():
            error = abs(loss - want[step])
            print(f"{variant.name}: step {step}: loss {loss:.6f}, off by {error:.2e}")
            if not error <= mesh.LOSS_LIMIT:
                wrong.append(f"{variant.name}: step {step} is off")
        ours, theirs = state(out), state(whole)
        if ours != theirs:
            wrong.append(f"{variant.name}: at {ours}, not at {theirs}")
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
