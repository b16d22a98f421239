#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""plan_mesh.py MODELS_DIR: the plans of qwen2.5-7b on meshes add up to that of
one device."""

import json
import os
import subprocess
import sys

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_DIM = 28, 3584, 28, 4, 128
MASTER, COMPUTE = 4, 2  # bytes of a parameter: f32 and bf16


def plan(models, mesh, *flags):
    model = os.path.join(models, "qwen2.5-7b.yaml")
    command = ["qwenc", model, "--plan", "--json", "--mesh", mesh, *flags]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def ways(parts, wanted):
    """How many of `wanted` (a power of two) divide `parts`."""
    while parts % wanted:
        wanted //= 2
    return wanted


def copied_by_tensor(tensor):
    """Elements that a tensor group holds more than once: norms are whole
    everywhere, heads are split as far as key heads go."""
    norms = (2 * LAYERS + 1) * HIDDEN
    attention = LAYERS * (2 * HEADS * HEAD_DIM * HIDDEN + 2 * KV_HEADS * HEAD_DIM * HIDDEN +
                          (HEADS + 2 * KV_HEADS) * HEAD_DIM)
    return norms * (tensor - 1) + attention * (tensor // ways(KV_HEADS, tensor) - 1)


def check(mesh, one, document, zero):
    data, tensor = mesh
    devices = data * tensor
    wrong = []

    def expect(what, got, want):
        if got != want:
            wrong.append(f"{data}x{tensor} {what}: {got}, expected {want}")

    expect("mesh", document["mesh"], {"data": data, "tensor": tensor})
    for purpose, kinds in document["replication"].items():
        for kind, stated in kinds.items():
            what = f"{purpose}.{kind}"
            local = document["device"][purpose][kind]
            expect(f"{what}: all devices", devices * local,
                   stated["global"] + sum(stated["copies"].values()))
            expect(f"{what}: one model", stated["global"], one["device"][purpose][kind])
    train = document["replication"]["train"]
    copies = copied_by_tensor(tensor)
    expect("copies of gradients over tensor", train["gradients"]["copies"]["tensor"], 4 * copies)
    expect("copies of moments over tensor", train["optimizer"]["copies"]["tensor"], 8 * copies)
    expect("copies of parameters over tensor", train["parameters"]["copies"]["tensor"],
           (MASTER + COMPUTE) * copies)
    if data > 1:
        # A whole group's bytes, as often as there are others.
        for kind, each in (("gradients", 4), ("optimizer", 8)):
            group = each * (document["parameters"] + copies)
            want = 0 if zero and kind == "optimizer" else group * (data - 1)
            expect(f"copies of {kind} over data", train[kind]["copies"]["data"], want)
        expect("copies of activations over data", train["activations"]["copies"]["data"], 0)
    return wrong


def main():
    models = sys.argv[1]
    wrong = []
    ones = {}
    for mesh, zero, batch in (((2, 4), 0, 8), ((1, 8), 0, 8), ((1, 32), 0, 8), ((8, 4), 0, 8),
                              ((8, 4), 1, 8)):
        flags = ["--set", f"train.batch={batch}", "--set", f"parallel.zero={zero}"]
        if batch not in ones:
            ones[batch] = plan(models, "1x1", "--set", f"train.batch={batch}")
        document = plan(models, "x".join(map(str, mesh)), *flags)
        wrong += check(mesh, ones[batch], document, zero)
    if "replication" in ones[8]:
        wrong.append("copies on one device")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
