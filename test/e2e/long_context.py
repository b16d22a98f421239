#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training steps of `tiny` on long rows.

    long_context.py MODELS_DIR LENGTH WORK_DIR
        a row of documents of 256 tokens gives the loss and the gradients of a
        batch of short rows; and two steps of training on whole rows run, within
        what is planned
    long_context.py MODELS_DIR LENGTH WORK_DIR --transformers PYTHON
        one document as long as the row: loss, every gradient and the losses of
        three steps of AdamW are those of `transformers`, whose attention is
        torch's
"""

import json
import os
import random
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import safetensors  # noqa: E402

SHORT, VOCAB, STEPS = 256, 1024, 3

# Run by the interpreter that has transformers: MODEL INPUTS OUT.
THEIRS = """
import sys, torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(
    sys.argv[1], dtype=torch.float32, attn_implementation="sdpa")
inputs = load_file(sys.argv[2])
tokens, targets = inputs["tokens"].long(), inputs["targets"].long()
decayed = [p for p in model.parameters() if p.dim() >= 2]
others = [p for p in model.parameters() if p.dim() < 2]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
    lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
losses, found = [], {}
for step in range(3):
    optimizer.zero_grad()
    logits = model(input_ids=tokens, use_cache=False).logits
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
    loss.backward()
    if step == 0:
        found = {"grad." + k: p.grad.clone() for k, p in model.named_parameters()}
        found["loss"] = loss.detach().clone()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    losses.append((loss.item(), norm.item()))
    optimizer.step()
found["adamw.losses"] = torch.tensor([l for l, n in losses])
found["adamw.grad_norms"] = torch.tensor([n for l, n in losses])
save_file(found, sys.argv[3])
"""


def run(*words):
    print("$", *words[:6], flush=True)
    result = subprocess.run(words, stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode:
        sys.exit(f"{result.stdout[-2000:]}{result.stderr[-3000:]}\n"
                 f"exit code {result.returncode}")
    return result.stdout


def main():
    models, length, work = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    path = lambda name: os.path.join(work, name)

    def compiled(name, batch, sequence, *more):
        words = ["qwenc", os.path.join(models, "tiny.yaml"), "--for", "train"]
        for setting in ("dtype=f32", f"dims.context={length}", f"train.batch={batch}",
                        f"train.sequence={sequence}", f"dims.vocab={VOCAB}"):
            words += ["--set", setting]
        run(*words, "-o", path(name))
        return json.loads(run(*words, "--plan", "--json"))["device"]["train"]

    def gradients(module, weights, inputs, out):
        run("qwen-rt", "run", path(module), "--entry", "loss_and_grad", "--weights",
            weights, "--inputs", inputs, "-o", path(out))

    compare = [sys.executable, os.path.join(HERE, "compare.py")]
    plan = compiled("long.so", 1, length)
    print(f"{plan['peak_bytes']} bytes for a row of {length}", flush=True)
    rng = random.Random(8)
    # Text in which far words matter: every token repeats one from up to a whole
    # row before, or is new.
    tokens = []
    for i in range(length + 1):
        new = i == 0 or rng.random() < 0.3
        tokens.append(rng.randrange(VOCAB) if new else tokens[rng.randrange(i)])
    targets = [-1 if rng.random() < 0.1 else t for t in tokens[1:]]
    data = path("train.bin")
    with open(data, "wb") as file:
        for token in tokens:
            file.write(token.to_bytes(4, "little"))

    def train(weights, out, steps):
        words = []
        for setting in ("train.optimizer.lr=1e-3", "train.schedule.kind=constant",
                        "train.schedule.min_lr=0", "train.schedule.warmup=0",
                        "train.optimizer.betas=[0.9,0.95]", "log.every=1",
                        "eval.every=0"):
            words += ["--set", setting]
        run("qwen-rt", "train", path("long.so"), "--weights", weights, "--data", data,
            "--data-type", "u32", "--steps", str(steps), "--out", path(out), *words)
        return path(out)

    if len(sys.argv) <= 4:
        rows = length // SHORT
        compiled("short.so", rows, SHORT)
        one, many = path("one.safetensors"), path("many.safetensors")
        fields = {"tokens": tokens[:-1], "targets": targets,
                  "documents": [i // SHORT for i in range(length)]}
        safetensors.save(one, {k: ("I32", [1, length], v) for k, v in fields.items()})
        del fields["documents"]
        safetensors.save(many, {k: ("I32", [rows, SHORT], v) for k, v in fields.items()})
        gradients("long.so", "random:4", one, "got.safetensors")
        gradients("short.so", "random:4", many, "want.safetensors")
        run(*compare, path("got.safetensors"), path("want.safetensors"),
            "loss:abs=1e-5", "grad.*:rel=1e-4")
        train("random:4", "run", 2)
        return

    # Trained for a step, so that the weights are a model directory.
    start = os.path.join(train("random:4", "start", 1), "step-000001")
    inputs = path("inputs.safetensors")
    for fields in ({"tokens": tokens[:-1], "targets": tokens[1:]},):
        safetensors.save(inputs, {k: ("I32", [1, length], v) for k, v in fields.items()})
    gradients("long.so", start, inputs, "got.safetensors")
    run(sys.argv[5], "-c", THEIRS, start, inputs, path("want.safetensors"))
    print(run(*compare, path("got.safetensors"), path("want.safetensors"),
              "loss:abs=1e-5", "grad.*:rel=1e-4"))
    out = train(start, "run", STEPS)
    print(run(sys.executable, os.path.join(HERE, "losses.py"),
              os.path.join(out, "metrics.jsonl"), "reference", path("want.safetensors"), "1e-4"))


if __name__ == "__main__":
    main()
