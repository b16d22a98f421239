#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A checkpoint of training is a model directory of Hugging Face's form.

    export.py NAME REFERENCE_DIR WORK_DIR
        one step at a learning rate of 0 from the reference's weights: the
        checkpoint holds the reference's tensors (names, shapes, bits) and means
        the same in config.json; so what `transformers` makes of it is reference.safetensors
    export.py NAME REFERENCE_DIR WORK_DIR --transformers PYTHON
        and ten steps later: its logits, by `transformers`, are ours within 1e-4,
        and of the first checkpoint the reference's
"""

import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import safetensors  # noqa: E402

BATCH, LENGTH = 3, 11

# Run by the interpreter that has transformers.
THEIRS = """
import sys, torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
torch.set_num_threads(1)
for pair in range(2, len(sys.argv), 2):
    folder, out = sys.argv[pair:pair + 2]
    model, told = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager",
        output_loading_info=True)
    assert not told["unexpected_keys"] and not told["mismatched_keys"], told
    assert not set(told["missing_keys"]) - {"lm_head.weight"}, told
    with torch.no_grad():
        tokens = load_file(sys.argv[1])["tokens"]
        logits = model.eval()(input_ids=tokens, use_cache=False).logits
    save_file({"logits": logits.float().contiguous()}, out)
"""

# What a config.json says besides the model: who wrote it, and what is not ours.
NOT_THE_MODEL = {
    "transformers_version", "torch_dtype", "dtype", "use_cache", "_name_or_path",
    "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id",
    "attn_pdrop", "embd_pdrop", "resid_pdrop", "attention_dropout",
    "pretraining_tp", "summary_activation", "summary_first_dropout",
    "summary_proj_to_labels", "summary_type", "summary_use_proj",
    "reorder_and_upcast_attn", "scale_attn_by_inverse_layer_idx",
    "scale_attn_weights", "add_cross_attention", "layer_types",
    "max_window_layers", "sliding_window",
}

# May be left out where they are what transformers takes then.
DEFAULTED = ("head_dim", "tie_word_embeddings", "n_inner", "final_logit_softcapping")


def run(*words):
    print("$", *words[:8], flush=True)
    result = subprocess.run(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            text=True)
    if result.returncode:
        sys.exit(f"{result.stderr[-3000:]}\nexit code {result.returncode}")


def meaning(folder):
    """config.json without what is not the model, rotary settings in one spelling."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    rope = dict(config.pop("rope_parameters", None) or config.pop("rope_scaling", None) or {})
    config.pop("rope_scaling", None)
    theta = config.pop("rope_theta", None)
    if theta is not None:
        rope["rope_theta"] = theta
    kind = rope.pop("rope_type", rope.pop("type", "default"))
    found = {k: v for k, v in config.items()
             if k not in NOT_THE_MODEL and v is not None and v is not False}
    if found.get("hidden_act") or found.get("activation_function"):
        found["activation"] = found.pop("hidden_act", None) or found.pop("activation_function")
    found["rope"] = {"kind": kind, **rope}
    return found


def check_export(folder, model):
    ours = safetensors.load(os.path.join(folder, "model.safetensors"))
    theirs = safetensors.load(os.path.join(model, "model.safetensors"))
    if sorted(ours) != sorted(theirs):
        sys.exit(f"names differ: {sorted(set(ours) ^ set(theirs))}")
    for name, (dtype, shape, values) in theirs.items():
        if (dtype, list(shape), list(values)) != (ours[name][0], list(ours[name][1]),
                                                  list(ours[name][2])):
            sys.exit(f"{name} differs")
    got, want = meaning(folder), meaning(model)
    for key in sorted(set(want) - {"rope", *DEFAULTED}):
        if got.get(key) != want[key]:
            sys.exit(f"config.json: {key} is {got.get(key)}, expected {want[key]}")
    for key in DEFAULTED:
        if key in got and key in want and got[key] != want[key]:
            sys.exit(f"config.json: {key} is {got[key]}, expected {want[key]}")
    if got["rope"]["kind"] != want["rope"]["kind"]:
        sys.exit(f"config.json: rope {got['rope']}, expected {want['rope']}")
    for key, value in want["rope"].items():
        if key in got["rope"] and got["rope"][key] != value:
            sys.exit(f"config.json: rope {key} is {got['rope'][key]}, expected {value}")
    print(f"{len(ours)} tensors and config.json: the same")


def main():
    name, reference, work = sys.argv[1:4]
    model = os.path.join(reference, name)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    module = os.path.join(work, "model.so")
    run("qwenc", model, "-o", module, "--set", "dtype=f32",
        "--set", f"train.batch={BATCH}", "--set", f"train.sequence={LENGTH}")

    def train(out, lr, steps):
        run("qwen-rt", "train", module, "--weights", model, "--steps", str(steps),
            "--data", os.path.join(model, "train.bin"), "--data-type", "u32",
            "--out", os.path.join(work, out), "--threads", "1",
            *(word for setting in (
                f"train.optimizer.lr={lr}", "train.schedule.kind=constant",
                "train.schedule.min_lr=0", "train.schedule.warmup=0")
              for word in ("--set", setting)))
        return os.path.join(work, out, f"step-{steps:06d}")

    same = train("same", 0, 1)
    check_export(same, model)
    if len(sys.argv) <= 4:
        return

    moved = train("moved", 1e-2, 10)
    inputs = os.path.join(model, "inputs.safetensors")
    files = {key: os.path.join(work, key + ".safetensors")
             for key in ("theirs-same", "theirs-moved", "ours-moved")}
    run(sys.argv[5], "-c", THEIRS, inputs, same, files["theirs-same"], moved,
        files["theirs-moved"])
    run("qwen-rt", "run", module, "--entry", "logits", "--weights", moved,
        "--inputs", inputs, "-o", files["ours-moved"])
    compare = [sys.executable, os.path.join(HERE, "compare.py")]
    run(*compare, files["theirs-same"], os.path.join(model, "reference.safetensors"),
        "logits:abs=1e-4")
    run(*compare, files["ours-moved"], files["theirs-moved"], "logits:abs=1e-4")


if __name__ == "__main__":
    main()
