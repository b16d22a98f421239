#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Several documents in a row give what each gives in a row of its own: loss,
gradients and logits. What one holds changes no bit of what the others give.

    documents.py MODEL.so WORK

The module takes rows of 24 tokens, two at a time.
"""

import math
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors  # noqa: E402

LIMIT = 1e-5
# Lengths of the documents of each row.
ROWS = [[11, 13], [5, 1, 18]]
LENGTH = 24


def run(model, work, entry, tensors):
    inputs, output = (os.path.join(work, n) for n in ("in.safetensors", "out.safetensors"))
    shape = tensors.pop("shape")
    safetensors.save(inputs, {k: ("I32", shape, v) for k, v in tensors.items()})
    command = ["qwen-rt", "run", model, "--weights", "random:5", "--entry", entry]
    subprocess.run(command + ["--inputs", inputs, "-o", output], check=True)
    return {k: list(v[2]) for k, v in safetensors.load(output).items()}


def difference(got, want):
    largest = max(abs(x) for x in want)
    worst = max(abs(x - y) for x, y in zip(got, want))
    return worst / largest if largest else worst


def main():
    model, work = sys.argv[1:]
    rng = random.Random(3)
    count = 2 * LENGTH
    vocab = 256
    tokens = [rng.randrange(vocab) for _ in range(count)]
    targets = [rng.randrange(-1, vocab) for _ in range(count)]

    def packed(entry, first_ids):
        """With ids that begin with those given and rise by one."""
        documents = []
        for lengths, first in zip(ROWS, first_ids):
            for i, n in enumerate(lengths):
                documents += [first + i] * n
        return run(model, work, entry, {"shape": [2, LENGTH], "tokens": tokens,
                                        "targets": targets, "documents": documents})

    def whole(entry, **more):
        return run(model, work, entry, {"shape": [2, LENGTH], "tokens": tokens,
                                        "targets": targets, **more})

    # Each document alone, its mean weighted by its targets.
    spans, begin = [], 0
    for lengths in ROWS:
        for n in lengths:
            spans.append((begin, begin + n))
            begin += n
    sums, logits, total = {}, [], sum(t >= 0 for t in targets)
    for begin, end in spans:
        part = {"shape": [1, end - begin], "tokens": tokens[begin:end]}
        logits += run(model, work, "logits", dict(part))["logits"]
        counted = sum(t >= 0 for t in targets[begin:end])
        if not counted:
            continue
        part["targets"] = targets[begin:end]
        for name, values in run(model, work, "loss_and_grad", part).items():
            sums.setdefault(name, [0.0] * len(values))
            for i, x in enumerate(values):
                sums[name][i] += x * counted / total

    wrong = []

    def expect(what, condition):
        if not condition:
            wrong.append(what)

    got = packed("loss_and_grad", [0, 7])
    expect("the gradients' names", sorted(got) == sorted(sums))
    differences = {name: difference(got[name], sums[name]) for name in sums}
    differences["logits"] = difference(packed("logits", [0, 7])["logits"], logits)
    name = max(differences, key=differences.get)
    print(f"{len(differences)} tensors; largest difference {differences[name]:.1e} ({name})")
    expect(f"{name} differs by {differences[name]:.1e}", differences[name] <= LIMIT)
    # eval_loss is the sum.
    evaluated = packed("eval_loss", [0, 7])["loss"][0] / total
    expect("eval_loss", math.isclose(evaluated, sums["loss"][0], rel_tol=LIMIT))
    # Ids are names; without them, or with one for all, a row is one document.
    expect("other ids", packed("loss_and_grad", [-5, 1000]) == got)
    alone = whole("loss_and_grad")
    expect("one id", whole("loss_and_grad", documents=[9] * count) == alone)
    apart = max(difference(alone[name], got[name]) for name in got)
    expect("no ids", apart > 100 * LIMIT)

    # Targets in one document only: other ids in all the others change neither its
    # loss nor any gradient, to the bit, wherever it stands; without the documents
    # they do (but in a first one).
    names = [[0, 7], [3, 100]]
    for number, (begin, end) in enumerate(spans):
        inside = [begin <= i < end for i in range(count)]
        kept = targets[begin:end] if any(t >= 0 for t in targets[begin:end]) else [1] * (end - begin)
        only = [-1] * begin + kept + [-1] * (count - end)
        other = [t if here else rng.randrange(vocab) for t, here in zip(tokens, inside)]

        def given(ids, with_documents):
            part = {"shape": [2, LENGTH], "tokens": ids, "targets": only}
            if with_documents:
                part["documents"] = [first + i for lengths, first in zip(ROWS, names[number % 2])
                                     for i, n in enumerate(lengths) for _ in range(n)]
            return run(model, work, "loss_and_grad", part)

        one, two = given(tokens, True), given(other, True)
        expect(f"document {number} depends on others: "
               f"{[n for n in one if one[n] != two[n]]}", one == two)
        # A lone token attends to itself, whatever its query and key are.
        alone = [n for n in one if end - begin == 1
                 and re.search("[qk]_(proj|norm)", n)]
        expect(f"document {number} has no gradient",
               all(any(values) for n, values in one.items() if n not in alone))
        if begin % LENGTH:
            expect(f"document {number} without documents",
                   given(tokens, False) != given(other, False))
    for text in wrong:
        print(f"WRONG: {text}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
