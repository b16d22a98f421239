#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""stories260K against its reference.json.

    stories.py inputs MODEL_DIR OUT.safetensors   writes the greedy ids as tokens
    stories.py ids    MODEL_DIR GENERATED.json    `generate --json`'s ids
    stories.py text   MODEL_DIR GENERATED.json    ids and text
    stories.py logits MODEL_DIR GOT.safetensors   the stored positions, within 1e-4
"""

import json
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors  # noqa: E402

TOKENS = 256


def main():
    what, folder, path = sys.argv[1:]
    with open(os.path.join(folder, "reference.json"), encoding="utf-8") as file:
        reference = json.load(file)
    ids = reference["greedy_ids"]  # BOS, then 256 of them
    if what == "inputs":
        safetensors.save(path, {"tokens": ("I64", [1, TOKENS], ids[:TOKENS])})
    elif what in ("ids", "text"):
        with open(path, encoding="utf-8") as file:
            got = json.load(file)
        if got["prompt_ids"] != ids[:1] or got["ids"] != ids[1:]:
            sys.exit(f"ids differ: {got['prompt_ids']} {got['ids']}")
        if got["stop_reason"] != "length":
            sys.exit(f"stop reason {got['stop_reason']}")
        if what == "text" and got["text"].strip() != reference["greedy_text"].strip():
            sys.exit(f"text differs: {got['text']!r}")
    elif what == "logits":
        dtype, shape, values = safetensors.load(path)["logits"]
        vocab = len(reference["logits"]["0"])
        if dtype != "F32" or shape != [1, TOKENS, vocab]:
            sys.exit(f"logits are {dtype} {shape}")
        worst = 0.0
        for position, want in reference["logits"].items():
            row = values[int(position) * vocab : (int(position) + 1) * vocab]
            worst = max(worst, max(abs(a - b) for a, b in zip(row, want)))
        print(f"worst difference {worst:.3g}")
        if not (math.isfinite(worst) and worst <= 1e-4):
            sys.exit("above 1e-4")
        for position in range(TOKENS):
            row = values[position * vocab : (position + 1) * vocab]
            if row.index(max(row)) != reference["argmax_per_pos"][position]:
                sys.exit(f"argmax at position {position} differs")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
