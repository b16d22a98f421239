#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Holds the tensors of one safetensors file against those of another.

    compare.py GOT WANT RULE...

A rule is PATTERN:LIMIT[,LIMIT...]: a tensor belongs to the first rule whose
pattern (as in a shell) its name matches; tensors without a rule are not looked
at. Limits, per tensor:
  abs=X   largest absolute difference
  rel=X   norm of the difference over the norm of WANT's, and the largest
          difference over WANT's largest value
  cos=X   least cosine
  norm=X  largest relative difference of the norms
Fails when a limit is exceeded, a number is not finite, a shape differs, a
tensor with a rule is in one file only, or a rule matches nothing.
"""

import fnmatch
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors  # noqa: E402


def parse_rule(text):
    pattern, _, limits = text.rpartition(":")
    limits = dict(part.split("=") for part in limits.split(","))
    unknown = set(limits) - {"abs", "rel", "cos", "norm"}
    if not pattern or unknown:
        sys.exit(f"compare.py: bad rule '{text}'")
    return pattern, {key: float(value) for key, value in limits.items()}


def measure(got, want):
    difference = [g - w for g, w in zip(got, want)]
    norm = lambda v: math.sqrt(math.fsum(x * x for x in v))
    largest = lambda v: max((abs(x) for x in v), default=0.0)
    ratio = lambda a, b: a / b if b else (0.0 if a == 0 else math.inf)
    norm_got, norm_want = norm(got), norm(want)
    dot = math.fsum(g * w for g, w in zip(got, want))
    return {
        "abs": largest(difference),
        "rel": max(
            ratio(norm(difference), norm_want),
            ratio(largest(difference), largest(want)),
        ),
        "cos": ratio(dot, norm_got * norm_want) if norm_want else 1.0,
        "norm": ratio(abs(norm_got - norm_want), norm_want),
    }


def compare(name, got, want, limits):
    """What is wrong with one tensor, as texts; and its measures."""
    if list(got[1]) != list(want[1]):
        return [f"shape {got[1]}, expected {want[1]}"], {}
    if not all(map(math.isfinite, got[2])):
        return ["not all finite"], {}
    found = measure(got[2], want[2])
    wrong = []
    for key, limit in limits.items():
        value = found[key]
        if not (value >= limit if key == "cos" else value <= limit):
            wrong.append(f"{key} {value:.3g}, limit {limit:.3g}")
    return wrong, found


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    got, want = safetensors.load(sys.argv[1]), safetensors.load(sys.argv[2])
    rules = [parse_rule(text) for text in sys.argv[3:]]
    used, failures, worst = set(), 0, {}
    for name in sorted(set(got) | set(want)):
        for rule in rules:
            if fnmatch.fnmatchcase(name, rule[0]):
                break
        else:
            continue
        used.add(rule[0])
        if name not in got or name not in want:
            wrong = ["missing" if name not in got else "not expected"]
        else:
            wrong, found = compare(name, got[name], want[name], rule[1])
            for key, value in found.items():
                pair = worst.setdefault((rule[0], key), (value, name))
                pick = min if key == "cos" else max
                worst[(rule[0], key)] = pick(pair, (value, name))
        for text in wrong:
            print(f"{name}: {text}")
            failures += 1
    for (pattern, key), (value, name) in worst.items():
        print(f"{pattern}: worst {key} {value:.6g} ({name})")
    for pattern, _ in rules:
        if pattern not in used:
            print(f"{pattern}: no such tensor")
            failures += 1
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
