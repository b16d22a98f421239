#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""plan.py MODELS_DIR: `qwenc --plan --json` of the presets."""

import json
import os
import subprocess
import sys

PARAMETERS = [
    ("qwen3-0.6b", [], 596_049_920),
    ("qwen3-1.7b", [], 1_720_574_976),
    ("qwen3-4b", [], 4_022_468_096),
    ("qwen3-8b", [], 8_190_735_360),
    ("qwen3-14b", [], 14_768_307_200),
    ("qwen3-32b", [], 32_762_123_264),
    ("qwen3-1.5b", [], 2_031_739_904),
    ("qwen3-2b", [], 2_434_342_144),
    ("qwen3-7m", [], 7_029_824),
    ("qwen2.5-0.5b", [], 494_032_768),
    ("qwen2.5-1.5b", [], 1_543_714_304),
    ("qwen2.5-3b", [], 3_085_938_688),
    ("qwen2.5-7b", [], 7_615_616_512),
    ("qwen2.5-14b", [], 14_770_033_664),
    ("qwen2.5-32b", [], 32_763_876_352),
    ("qwen2.5-72b", [], 72_706_203_648),
    ("qwen2.5-coder-1.5b", [], 1_543_714_304),
    ("qwen2.5-coder-7b", [], 7_615_616_512),
    ("llama-2-7b", [], 6_738_415_616),
    ("llama-3-8b", [], 8_030_261_248),
    ("llama-3.2-1b", [], 1_235_814_400),
    ("llama-3.2-3b", [], 3_212_749_824),
    ("gpt2", [], 124_439_808),
    ("gpt2-xl", [], 1_557_611_200),
    ("nanochat", ["dims.depth=20"], 560_988_160),
    ("qwen25-small", ["dims.depth=12"], 155_833_344),
]
# Offered without a published number here: that they plan at all.
OTHERS = ["llama-2-13b", "llama-2-70b", "llama-3-70b", "gpt2-medium", "gpt2-large",
          "tiny"]

KEYS = {"model", "parameters", "parameters_embedding", "flops_per_token", "mesh",
        "device", "collectives"}
FLOPS = {"forward", "train", "train_causal"}
TRAIN = {"peak_bytes", "parameters", "gradients", "optimizer", "activations",
         "packed", "workspace"}
INFER = {"peak_bytes", "parameters", "packed", "kv_cache", "workspace"}


def plan(models, name, overrides):
    command = ["qwenc", os.path.join(models, name + ".yaml"), "--plan", "--json"]
    for override in overrides:
        command += ["--set", override]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if result.returncode:
        return None, result.stderr.decode(errors="replace").strip()
    return json.loads(result.stdout), None


def check_form(document):
    device = document.get("device", {})
    for what, got, want in (
        ("keys", set(document), KEYS),
        ("flops_per_token", set(document.get("flops_per_token", {})), FLOPS),
        ("device", set(device), {"train", "infer", "host"}),
        ("device.train", set(device.get("train", {})), TRAIN),
        ("device.infer", set(device.get("infer", {})), INFER),
    ):
        if got != want:
            return f"{what}: {sorted(got ^ want)} too many or missing"
    if document["collectives"]:
        return "collectives on one device"
    return None


def main():
    models = sys.argv[1]
    wrong = 0
    for name, overrides, want in PARAMETERS + [(n, [], None) for n in OTHERS]:
        document, failure = plan(models, name, overrides)
        if not failure:
            failure = check_form(document)
        if not failure and want and document["parameters"] != want:
            failure = f"{document['parameters']} parameters, expected {want}"
        if failure:
            print(f"{name}: {failure}")
            wrong += 1
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
