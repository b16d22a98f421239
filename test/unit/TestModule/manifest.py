#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the manifest of TestModule.c, or of MeshModule.c on a mesh.

    manifest.py f32|bf16 OUT.json [TARGET...] [DATAxTENSOR]
"""

import json
import sys

VOCAB, LAYERS, BATCH, SEQUENCE = 16, 2, 4, 8
CONTEXT, PREFILL, ROWS = 32, 4, 2
compute = sys.argv[1]
meshes = [word for word in sys.argv[3:] if word[0].isdigit()]
data, tensor = map(int, meshes[0].split("x")) if meshes else (1, 1)
on_mesh = bool(meshes)

# Sub-axes of size 2, major first, and their indices by axis.
mesh_axes, D, T = [], [], []
for axis, size, indices in (("data", data, D), ("tensor", tensor, T)):
    while size > 1:
        indices.append(len(mesh_axes))
        mesh_axes.append({"axis": axis, "size": 2})
        size //= 2


def cut(dims, sharding):
    """The shape of a block."""
    sizes = [2 ** len(axes) for axes in sharding]
    return [d // n if isinstance(d, int) else d for d, n in zip(dims, sizes)]


def sharded(name, kept):
    """The sharding of a parameter as it is computed with, or kept."""
    return [T] if name == "bias" else [D if kept else [], T]

PARAMETERS = [("table", None), ("before", None), ("bias", LAYERS)]


def shape(name):
    return [VOCAB] if name == "bias" else [VOCAB, VOCAB]


def parameter(name, layers):
    file = {"table": "model.embed_tokens.weight", "before": "model.before.weight",
            "bias": "model.layers.{i}.bias"}[name]
    return {
        "name": name, "layers": layers, "shape": shape(name),
        "axes": ["vocab"] if name == "bias" else ["vocab", "hidden"],
        "init": {"kind": "zeros"} if name == "bias"
        else {"kind": "normal", "mean": 0.0, "std": 0.5},
        "group": 1 if name == "bias" else 0,
        "storages": {"master": {"dtype": "f32"}, "compute": {"dtype": compute}},
        "views": {
            "hf": [{"name": file, "file_shape": shape(name), "transpose": name == "before",
                    "slice": None, "permute": None, "alias": False}],
            "gguf": [],
        },
    }


class Entry:
    def __init__(self, name, extents, arena):
        self.value = {
            "name": name, "arena_bytes": arena, "arena": {"activations": 0, "workspace": arena},
            "extents": [{"name": n, "max": m} for n, m in extents], "slots": 0, "args": [],
        }

    def add(self, name, role, dtype, dims, count=1, **more):
        self.value["args"].append({
            "name": name, "role": role, "dtype": dtype, "shape": dims,
            "slot": self.value["slots"], "count": count, **more})
        if on_mesh and more.get("sharding"):
            self.value["args"][-1]["shape"] = cut(dims, more["sharding"])
        self.value["slots"] += count
        return self

    def parameters(self, role, dtype, **more):
        kept = role in ("moment1", "moment2") or more.get("storage") == "master"
        for name, layers in PARAMETERS:
            mesh = {"sharding": sharded(name, kept)} if on_mesh else {}
            if on_mesh and role == "gradient":
                mesh["partial"] = D
            self.add(name, role, dtype, shape(name), layers or 1, **more, **mesh)
        return self

    def column(self):
        """On a mesh: the first column of the device."""
        if on_mesh:
            self.add("column", "mesh", "i32", [], axes=T, scale=VOCAB // tensor)
        return self


ids = ["batch", "sequence"]
extents = [("batch", BATCH // data), ("sequence", SEQUENCE)]
rows = {"sharding": [D, []]} if on_mesh else {}
columns = {"sharding": [D, [], T]} if on_mesh else {}


def step(name, extents, arena=0):
    return (Entry(name, extents, arena).column().add("tokens", "input", "i32", ids, **rows)
            .add("targets", "input", "i32", ids, **rows))


def generate(name, extents, tokens):
    return (Entry(name, extents, 0).add("tokens", "input", "i32", tokens)
            .add("start", "input", "i32", ["batch"]).add("length", "input", "i32", ["batch"])
            .parameters("parameter", compute, storage="compute")
            .add("k", "cache", "f32", [ROWS, 1, CONTEXT, 1], LAYERS, donated=True)
            .add("logits", "output", "f32", ["batch", VOCAB],
                 **({"sharding": [[], T]} if on_mesh else {})))


entries = [
    step("micro_step", extents, BATCH * SEQUENCE * (VOCAB + 3) * 4)
    .add("inv_count", "input", "f32", [])
    .parameters("parameter", compute, storage="compute")
    .parameters("gradient", "f32", donated=True).add("loss", "output", "f32", []),
    Entry("optimizer_step", [], 4 * VOCAB * VOCAB * 4).add("hyper", "input", "f32", [2, 8])
    .add("skip", "input", "i32", [])
    .parameters("parameter", "f32", storage="master", donated=True)
    .parameters("gradient", "f32", donated=True)
    .parameters("moment1", "f32", donated=True).parameters("moment2", "f32", donated=True)
    .add("grad_norm", "output", "f32", []).add("nonfinite", "output", "i32", [])
    .parameters("parameter", compute, storage="compute", donated=True),
    Entry("convert_storage", [], 0).parameters("parameter", "f32", storage="master")
    .parameters("parameter", compute, storage="compute", donated=True),
    step("eval_loss", extents, BATCH * SEQUENCE * (VOCAB + 4) * 4).parameters("parameter", compute, storage="compute")
    .add("loss", "output", "f32", []).add("count", "output", "i32", [])
    .add("correct", "output", "i32", []),
    Entry("logits", extents, 0).add("tokens", "input", "i32", ids, **rows)
    .parameters("parameter", compute, storage="compute")
    .add("logits", "output", "f32", ids + [VOCAB], **columns),
    generate("prefill", [("batch", ROWS), ("sequence", PREFILL)], ids),
    generate("decode", [("batch", ROWS)], ["batch", 1]),
]

manifest = {
    "format": 1, "abi": 4, "name": "test-" + compute, "compiler": "by hand", "build_id": "0",
    "dtype": compute, "mesh": {"data": data, "tensor": tensor}, "mesh_axes": mesh_axes,
    "architecture": {
        "family": "test",
        "dims": {"layers": LAYERS, "vocab": VOCAB, "context": CONTEXT},
        "hf_config": {"architectures": ["Test"], "model_type": "test", "vocab_size": VOCAB},
    },
    "defaults": {
        "train": {
            "batch": BATCH, "sequence": SEQUENCE, "accumulate": 2, "seed": 3, "data": [],
            "optimizer": {"kind": "adamw", "lr": 0.05, "betas": [0.9, 0.95], "eps": 1e-8,
                          "weight_decay": 0.01, "clip": 1.0},
            "schedule": {"kind": "cosine", "warmup": 4, "min_lr": 0.005, "steps": 24},
        },
        "checkpoint": {"every": 8, "keep": 2, "best": True},
        "eval": {"every": 8, "batches": 4}, "log": {"every": 1},
        "infer": {"batch": ROWS, "context": CONTEXT, "prefill": PREFILL},
    },
    "flops_per_token": {"forward": 100, "train": 300, "train_causal": 250},
    "targets": [{"target": "cpu", "worker_scratch_bytes": VOCAB * 4,
                 "variants": [{"level": "x86-64-v3", "features": ["sse2"]}]}],
    "parameters": [parameter(name, layers) for name, layers in PARAMETERS],
    "entries": [entry.value for entry in entries],
    "memory": {"train": {}, "infer": {}, "host": 0},
}
for target in sys.argv[3 : len(sys.argv) - len(meshes)]:
    manifest["targets"].append({
        "target": target, "worker_scratch_bytes": 0,
        "kernel_locations": {"micro_step": "test.yaml:3:5"},
        "variants": [{"level": "", "features": []}]})
with open(sys.argv[2], "w", encoding="utf-8") as out:
    json.dump(manifest, out, sort_keys=True)
