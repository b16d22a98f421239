#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiles models of random small dims and compares what the machine code gives
with what the oracle gives.

    compiled.py MODELS --count N --seed S --work DIR [--cpu LEVEL | --device cuda-sim]

Loss, gradients and logits, the last at fewer rows and shorter ones too than the
module was compiled for; rows hold several documents or are given none. Differences are relative to the largest element: the order
of sums differs, and in bf16 that now and then rounds to the neighbour.
"""

import argparse
import json
import os
import random
import shlex
import struct
import sys

from sweep import choose, model_file, run


def write_safetensors(path, tensors):
    """tensors: name -> (dtype, shape, flat numbers)."""
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}{'f' if dtype == 'F32' else 'i'}", *values)
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        assert info["dtype"] == "F32", info
        tensors[name] = struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])
    return tensors


def count(shape):
    size = 1
    for dim in shape:
        size *= dim
    return size


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


class View:
    """One parameter of one layer inside of a file's tensor."""

    def __init__(self, parameter, layer):
        view = next(v for v in parameter["views"]["hf"] if not v["alias"])
        self.name = view["name"].replace("{i}", str(layer))
        self.shape = parameter["shape"]
        self.file_shape = view["file_shape"]
        self.transpose = view["transpose"]
        self.slice = view["slice"]
        assert not view["permute"]

    def indices(self):
        """The index in the file's tensor of each element of the parameter."""
        if len(self.shape) == 1:
            begin = self.slice["begin"] if self.slice else 0
            return [begin + i for i in range(self.shape[0])]
        result = []
        for r in range(self.shape[0]):
            for c in range(self.shape[1]):
                at = [c, r] if self.transpose else [r, c]
                if self.slice:
                    at[self.slice["axis"]] += self.slice["begin"]
                result.append(at[0] * self.file_shape[1] + at[1])
        return result


def parse_values(text):
    """The oracle's results in order."""
    results = []
    for line in text.splitlines():
        values = line.split(" = ")[1].strip("[]")
        results.append([float(x) for x in values.split(", ")])
    return results


def difference(expected, actual, least):
    """The largest difference, relative to the largest element or `least`."""
    largest = max([least] + [abs(x) for x in expected])
    assert len(expected) == len(actual)
    worst = max(abs(x - y) for x, y in zip(expected, actual))
    if any(x != x for x in list(expected) + list(actual)):
        return float("inf")
    return worst / largest


def check(command, dtype, rng, work, cpu, device):
    so = os.path.join(work, "model.so")
    run(command + [f"--cpu={cpu}", f"--target={device}", "-o", so])
    manifest = json.loads(run(["qwen-rt", "inspect", so, "--json"]))
    train = manifest["defaults"]["train"]
    batch, sequence = train["batch"], train["sequence"]
    vocab = manifest["architecture"]["dims"]["vocab"]
    given, files, owners = {}, {}, []
    for parameter in manifest["parameters"]:
        given[parameter["name"]] = []
        for layer in range(parameter["layers"] or 1):
            view = View(parameter, layer)
            shape, values = view.file_shape, None
            if view.name not in files:
                files[view.name] = ("F32", shape, [0.0] * count(shape))
            values = files[view.name][2]
            indices = view.indices()
            for i in indices:
                values[i] = single(rng.uniform(-1, 1))
            given[parameter["name"]] += [values[i] for i in indices]
            owners.append((parameter["name"], view.name, indices))
    weights = os.path.join(work, "weights.safetensors")
    write_safetensors(weights, files)

    b, s = batch, sequence
    tokens = [rng.randrange(vocab) for _ in range(b * s)]
    targets = [rng.randrange(-1, vocab) for _ in range(b * s)]
    targets[0] = 0
    # Ids that are repeated for a while; none at all is one document a row.
    packed = rng.random() < 0.7
    documents = [0] * (b * s)
    for i in range(1, b * s):
        new = packed and rng.random() < 0.2
        documents[i] = rng.randrange(5) if new else documents[i - 1]
    inputs = os.path.join(work, "inputs.safetensors")
    ids = {"tokens": ("I32", [b, s], tokens), "targets": ("I32", [b, s], targets)}
    if packed:
        ids["documents"] = ("I32", [b, s], documents)
    write_safetensors(inputs, ids)
    counted = sum(t >= 0 for t in targets)
    given["tokens"], given["targets"] = tokens, targets
    given["documents"] = documents
    given["inv_count"] = [single(1 / counted)]
    for parameter in manifest["parameters"]:
        given["gradient." + parameter["name"]] = [0]
    oracle = os.path.join(work, "inputs.json")
    with open(oracle, "w", encoding="utf-8") as out:
        json.dump(given, out)

    module = run(command + ["--compile-to=autodiff"])
    expected = parse_values(
        run(["qwen-exec", "--function=micro_step", f"--inputs={oracle}"], module)
    )
    out = os.path.join(work, "out.safetensors")
    machine = ["qwen-rt", "run", so, "--device", device, "--weights", weights,
               "--inputs", inputs]
    run(machine + ["--entry", "loss_and_grad", "-o", out])
    got = read_safetensors(out)
    # Deep models amplify the roundings of bf16: a coarse check beside f32.
    tolerance = 1e-4 if dtype == "f32" else 1e-1
    problems, differences = [], []

    def compare(what, x, y, least=1e-3):
        d = difference(x, y, least)
        differences.append(d)
        if d > tolerance:
            problems.append(f"{what}: relative difference {d:.2e}")

    loss = got["loss"][0]
    compare("loss", [expected[0][0] / counted], [loss])
    at = {}
    names = [p["name"] for p in manifest["parameters"]]
    # Some gradients are 0 but for rounding, as that of a key's bias.
    least = 0.01 * max(abs(x) for values in expected[1:] for x in values)
    for name, file, indices in owners:
        values = expected[1 + names.index(name)]
        begin = at.get(name, 0)
        at[name] = begin + len(indices)
        gradient = got.get("grad." + file)
        if gradient is None:
            problems.append(f"no grad.{file}: {sorted(got)[:5]}")
            continue
        part = [gradient[i] for i in indices]
        compare(f"grad.{file} ({name})", values[begin : at[name]], part, least)

    # Fewer rows and shorter ones than compiled: the oracle's causal logits.
    module = run(command + ["--compile-to=model"])
    entry = next(e for e in manifest["entries"] if e["name"] == "logits")
    maxima = {e["name"]: e["max"] for e in entry["extents"]}
    rows, length = maxima["batch"], maxima["sequence"]
    tokens = [rng.randrange(vocab) for _ in range(rows * length)]
    given["tokens"] = tokens
    given["documents"] = [0]
    with open(oracle, "w", encoding="utf-8") as f:
        json.dump(given, f)
    full = parse_values(
        run(["qwen-exec", "--function=logits", f"--inputs={oracle}"], module)
    )[0]
    for r, n in {(rows, length), (1, length), (rows, max(1, length - 1)), (1, 1)}:
        part = [t for i in range(r) for t in tokens[i * length : i * length + n]]
        write_safetensors(inputs, {"tokens": ("I32", [r, n], part)})
        run(machine + ["--entry", "logits", "-o", out])
        want = [
            full[(i * length + t) * vocab + v]
            for i in range(r)
            for t in range(n)
            for v in range(vocab)
        ]
        compare(f"logits {r}x{n}", want, read_safetensors(out)["logits"])
    if problems:
        raise RuntimeError("\n".join(problems))
    return max(differences)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", required=True)
    parser.add_argument("--cpu", default="native")
    parser.add_argument("--device", default="cpu", help="and target")
    parser.add_argument("--family", help="this one only")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    rng = random.Random(args.seed)
    failures = 0
    for _ in range(args.count):
        family, sets = choose(rng, large=True, family=args.family)
        dtype = sets[-1].split("=")[-1]
        command = ["qwenc", model_file(args.models, family), *sets]
        try:
            largest = check(command, dtype, rng, args.work, args.cpu, args.device)
            print(f"{family} {dtype}: relative difference {largest:.1e}", flush=True)
        except RuntimeError as error:
            failures += 1
            print(f"FAILED: {shlex.join(command)}\n{error}", flush=True)
    print(f"{args.count - failures} of {args.count} models passed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
