#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""check_json.py GENERATED AGAIN EVAL: the documents of `generate --json` (twice
with one seed) and `eval --json` have the promised keys and agree."""

import json
import math
import sys


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    generated, again, evaluated = map(load, sys.argv[1:])
    assert set(generated) == {
        "prompt_ids", "ids", "text", "stop_reason", "seed", "timings"}, set(generated)
    assert set(generated["timings"]) == {
        "prompt_tokens_per_s", "decode_tokens_per_s", "first_token_s"}
    assert generated["ids"] == again["ids"] and generated["seed"] == 1
    assert 1 <= len(generated["ids"]) <= 16 and generated["prompt_ids"]
    assert isinstance(generated["text"], str)
    assert set(evaluated) == {
        "loss", "accuracy", "perplexity", "bits_per_byte", "tokens"}, set(evaluated)
    assert 0 < evaluated["loss"] < 20 and evaluated["tokens"] > 0
    assert 0 <= evaluated["accuracy"] <= 1
    assert math.isclose(
        evaluated["perplexity"], math.exp(evaluated["loss"]), rel_tol=1e-4)


if __name__ == "__main__":
    main()
