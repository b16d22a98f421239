#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Computes the tables of docs/scaling.md from `qwenc --plan --json`.

    scaling.py [--check]

Needs qwenc in PATH. Replaces the text between `<!-- table NAME -->` and
`<!-- end -->`, or with --check says which tables are stale. The machine and the
formulas are those that the page describes.
"""

import concurrent.futures
import functools
import json
import math
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "scaling.md")

# The machine: nodes of 8 H200. Bytes a second are those of one GPU, one way.
GPUS_PER_NODE = 8
FLOPS = 989e12
HBM = 4.8e12
HBM_BYTES = 141e9
NVLINK = 450e9
NETWORK = 400e9 / 8
NVLINK_LATENCY = 5e-6  # of one collective inside of a node
NETWORK_LATENCY = 10e-6  # of one hop of the tree between nodes

SEQUENCE = 4096
STRONG_TOKENS = 4 * 1024 * 1024  # of one optimizer step
WEAK_TOKENS = 8192  # the same, of each GPU
GPUS = [8, 64, 512, 4096]
# ZeRO splits one dimension of a parameter; 3584 = 2^9 x 7 of the smaller model.
MAX_DATA = 512


@functools.lru_cache(maxsize=None)
def plan(model, data, tensor, zero, batch):
    """The plan of `batch` sequences on each of the `data` groups."""
    command = ["qwenc", os.path.join(ROOT, "models", model + ".yaml"), "--plan", "--json",
               "--mesh", f"data={data},tensor={tensor}"]
    for setting in (f"parallel.zero={zero}", f"train.batch={batch * data}",
                    f"train.sequence={SEQUENCE}"):
        command += ["--set", setting]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def collective(kind, given, count, inner, outer):
    """Seconds of `count` collectives to which a device gives `given` bytes in
    all, among `inner` GPUs of a node and `outer` nodes. Nodes reduce inside
    first, so that between nodes every GPU moves its own part."""
    whole = given * inner * outer if kind == "all_gather" else given
    times = 2 if kind == "all_reduce" else 1
    inside = times * whole * (inner - 1) / inner / NVLINK
    between = times * whole / inner * (outer - 1) / outer / NETWORK
    latency = NVLINK_LATENCY * (inner > 1) + NETWORK_LATENCY * math.ceil(math.log2(outer))
    return inside + between + times * count * latency


class Step:
    """One optimizer step of `tokens` tokens on a mesh. With `half` gradients are
    added up in 16 bits, with `late` parameters are gathered beside the next
    step's forward pass."""

    def __init__(self, model, gpus, tensor, zero, tokens, half=False, late=False):
        self.gpus, self.tensor, self.data, self.zero = gpus, tensor, gpus // tensor, zero
        sequences = tokens // SEQUENCE // self.data
        self.possible = sequences > 0 and self.data <= MAX_DATA
        if not self.possible:
            return
        # A GPU computes on about one sequence at a time, or on what fits.
        self.batch = 2 * min(tensor, sequences)
        self.possible = False
        while self.batch > 1 and not self.possible:
            self.batch //= 2
            self.plan = plan(model, self.data, tensor, zero, self.batch)
            train = self.plan["device"]["train"]
            self.bytes = train["peak_bytes"]
            self.possible = self.bytes <= HBM_BYTES
        self.accumulate = sequences // self.batch
        self.tokens = self.batch * self.accumulate * self.data * SEQUENCE
        # Weights that a device multiplies with: those whose gradients it makes.
        split = self.data if zero >= 2 else 1
        weights = train["gradients"] / 4 * split - self.plan["parameters_embedding"] / tensor
        flops = self.plan["flops_per_token"]
        matmul = self.plan["parameters"] - self.plan["parameters_embedding"]
        attention = flops["train_causal"] - 6 * matmul
        rows = self.batch * SEQUENCE
        self.compute = self.accumulate * rows * (6 * weights + attention / tensor) / FLOPS
        # Weights forwards and twice backwards, sums read and written,
        # activations written and read.
        self.memory = (self.accumulate * (3 * 2 * weights + 2 * train["gradients"] +
                                          2 * train["activations"]) +
                       2 * (train["parameters"] + train["gradients"] + train["optimizer"])) / HBM
        work = max(self.compute, self.memory)
        self.communication = {"tensor": 0.0, "data": 0.0}
        collectives = self.plan["collectives"]
        sums_up = any(item["entry"] == "last_micro_step" for item in collectives)
        calls = {"micro_step": self.accumulate - sums_up, "last_micro_step": int(sums_up),
                 "optimizer_step": 1}
        # Of the data axis, of one call.
        beside = dict.fromkeys(calls, 0.0)
        for item in collectives:
            if not calls.get(item["entry"]):
                continue
            inner, outer = self.group(item["axes"])
            axis = "data" if "data" in item["axes"] else "tensor"
            given, count = item["bytes"], item["count"]
            if axis == "data" and half and item["kind"] != "all_gather":
                given /= 2
            cost = collective(item["kind"], given, count, inner, outer)
            self.communication[axis] += calls[item["entry"]] * cost
            if axis == "data":
                beside[item["entry"]] += cost
        # Of one micro step the backward pass is two thirds.
        room = {name: 2 / 3 * work / self.accumulate for name in calls}
        room["optimizer_step"] = 1 / 3 * work / self.accumulate if late else 0.0
        self.exposed = sum(calls[name] * max(0.0, beside[name] - room[name]) for name in calls)
        self.seconds = work + self.communication["tensor"] + self.exposed
        self.share = self.tokens * flops["train_causal"] / (self.seconds * gpus * FLOPS)

    def group(self, axes):
        """GPUs in a node and nodes of a group along `axes`; tensor is inner."""
        size = 1
        if "tensor" in axes:
            size *= self.tensor
        if "data" in axes:
            size *= self.data
        stride = 1 if "tensor" in axes else self.tensor
        inner = min(size, max(1, GPUS_PER_NODE // stride))
        return inner, size // inner


def steps(model, zeros, tensors, tokens_of):
    """Every mesh of every number of GPUs; plans are made in parallel."""
    jobs = [(model, gpus, tensor, zero, tokens_of(gpus))
            for gpus in GPUS for tensor in tensors for zero in zeros]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [step for step in pool.map(lambda job: Step(*job), jobs)]


def scaling_table(model, zeros, tensors, tokens_of, is_strong):
    lines = ["| GPUs | mesh | ZeRO | GB a GPU | work | tensor | data | exposed | step | "
             "share of peak | " + ("speed-up |" if is_strong else "efficiency |"),
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    every = steps(model, zeros, tensors, tokens_of)
    base = None
    for gpus in GPUS:
        here = [s for s in every if s.gpus == gpus and s.possible]
        if not here:
            lines.append(f"| {gpus:,} | none fits | | | | | | | | | |")
            continue
        best = max(here, key=lambda s: s.tokens / s.seconds)
        rate = best.tokens / best.seconds
        base = base or (gpus, rate)
        gain = rate / base[1]
        last = f"{gain:.1f} of {gpus // base[0]}" if is_strong else (
            f"{100 * gain * base[0] / gpus:.0f} %")
        lines.append(
            f"| {gpus:,} | {best.data}x{best.tensor} | {best.zero} | {best.bytes / 1e9:.1f} | "
            f"{seconds(max(best.compute, best.memory))} | "
            f"{seconds(best.communication['tensor'])} | {seconds(best.communication['data'])} | "
            f"{seconds(best.exposed)} | {seconds(best.seconds)} | {100 * best.share:.0f} % | "
            f"{last} |")
    return lines


def seconds(value):
    return f"{1000 * value:,.1f} ms" if value < 1 else f"{value:,.2f} s"


def tensor_table(model, gpus):
    """What each size of the tensor axis costs on a fixed number of GPUs."""
    lines = ["| mesh | GB a GPU | weights held more than once | work | tensor | data | exposed | "
             "share of peak |",
             "|---|---|---|---|---|---|---|---|"]
    for tensor in (1, 2, 4, 8):
        step = Step(model, gpus, tensor, 1, STRONG_TOKENS)
        if not hasattr(step, "plan"):
            continue
        copies = step.plan["replication"]["train"]["gradients"]
        share = copies["copies"].get("tensor", 0) / copies["global"] if tensor > 1 else 0
        lines.append(f"| {step.data}x{tensor} | {step.bytes / 1e9:.1f} | {100 * share:.1f} % | "
                     f"{seconds(max(step.compute, step.memory))} | "
                     f"{seconds(step.communication['tensor'])} | "
                     f"{seconds(step.communication['data'])} | {seconds(step.exposed)} | "
                     f"{100 * step.share:.0f} % |")
    return lines


def decode_table(model):
    """A token of one row: weights and cache are read, sums are small."""
    lines = ["| tensor | bytes read | reading | collectives | a token | tokens/s |",
             "|---|---|---|---|---|---|"]
    for tensor in (1, 2, 4, 8):
        document = plan(model, 1, tensor, 0, 1)
        infer = document["device"]["infer"]
        given = infer["parameters"] + infer["kv_cache"]
        reading = given / HBM
        sums = sum(collective(item["kind"], item["bytes"], item["count"], tensor, 1)
                   for item in document["collectives"] if item["entry"] == "decode")
        total = reading + sums
        lines.append(f"| {tensor} | {given / 1e9:.2f} GB | {seconds(reading)} | {seconds(sums)} | "
                     f"{seconds(total)} | {1 / total:,.0f} |")
    return lines


def remedies_table(model, gpus, tokens):
    """What each change would give where scaling ends."""
    lines = ["| change | work | tensor | data | exposed | step | share of peak |",
             "|---|---|---|---|---|---|---|"]
    for name, half, late in (("as planned", False, False),
                             ("gradients added up in 16 bits", True, False),
                             ("parameters gathered beside the next forward pass", False, True),
                             ("both", True, True)):
        step = Step(model, gpus, 8, 1, tokens, half, late)
        lines.append(f"| {name} | {seconds(max(step.compute, step.memory))} | "
                     f"{seconds(step.communication['tensor'])} | "
                     f"{seconds(step.communication['data'])} | {seconds(step.exposed)} | "
                     f"{seconds(step.seconds)} | {100 * step.share:.0f} % |")
    return lines


TABLES = {
    "weak 7b": lambda: scaling_table("qwen2.5-7b", [1], [1, 4, 8],
                                     lambda gpus: WEAK_TOKENS * gpus, False),
    "strong 7b": lambda: scaling_table("qwen2.5-7b", [1], [1, 4, 8],
                                       lambda gpus: STRONG_TOKENS, True),
    "tensor 7b": lambda: tensor_table("qwen2.5-7b", 64),
    "weak 70b": lambda: scaling_table("llama-3-70b", [1, 3], [8],
                                      lambda gpus: WEAK_TOKENS * gpus, False),
    "strong 70b": lambda: scaling_table("llama-3-70b", [1, 3], [8],
                                        lambda gpus: STRONG_TOKENS, True),
    "remedies 7b": lambda: remedies_table("qwen2.5-7b", 4096, STRONG_TOKENS),
    "remedies 70b": lambda: remedies_table("llama-3-70b", 4096, 4 * STRONG_TOKENS),
    "decode 7b": lambda: decode_table("qwen2.5-7b"),
}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    stale = []
    for name, make in TABLES.items():
        pattern = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        table = "\n".join(make()) + "\n"
        found = pattern.search(text)
        if not found:
            sys.exit(f"docs/scaling.md has no place for the table '{name}'")
        new = pattern.sub(lambda match: match.group(1) + table + match.group(2), text)
        if new != text:
            stale.append(name)
        text = new
    if check:
        if stale:
            sys.exit("stale, run docs/scaling.py: " + ", ".join(stale))
        return
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
