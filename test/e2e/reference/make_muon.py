#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes <family>/muon.safetensors: ten steps of Muon with AdamW for the rest, by
`torch` from the published definition (github.com/KellerJordan/Muon), in f32 but for
its iteration, which is in f64 and not in bf16. Starts from the folder that
make_references.py has written, on its ten steps' batch:

    muon.losses, muon.grad_norms   [10], as adamw.* of make_references.py
    <name>                         every parameter after the last step

SETTINGS of test/e2e/muon.py are those of here: an embedding and two matrices have
groups of their own, all other matrices of layers are Muon's. Matrices that lie in
one tensor (GPT-2's c_attn) are orthogonalized one by one.

    python3 make_muon.py
"""

import os

import numpy
import torch
from make_references import BATCH, FAMILIES, HERE, LENGTH, STEPS, mean_loss
from safetensors.torch import save_file

NAMES = ("gpt2", "qwen3")
LR, BETAS, EPS, DECAY, CLIP = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0
MUON_LR, MOMENTUM, MUON_DECAY, SCALE = 0.02, 0.95, 0.01, "shape_scaling"


def newton_schulz(update):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = update.double()
    tall = x.size(0) > x.size(1)
    x = x.mT if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()


class Muon:
    """One logical (out, in) matrix: a view of the parameter."""

    def __init__(self, view):
        self.view = view
        self.momentum = None

    def step(self, parameter):
        p, grad = self.view(parameter.data), self.view(parameter.grad)
        if self.momentum is None:
            self.momentum = torch.zeros_like(grad)
        self.momentum.lerp_(grad, 1 - MOMENTUM)
        update = newton_schulz(grad.lerp(self.momentum, MOMENTUM))
        p.mul_(1 - MUON_LR * MUON_DECAY)
        p.add_(update, alpha=-MUON_LR * max(1, p.size(0) / p.size(1)) ** 0.5)


def split(model):
    """Parameters by the part that trains them: (AdamW groups, Muon matrices)."""
    decayed, others, embedding, half = [], [], [], []
    matrices = []
    hidden = model.config.hidden_size

    def muon(p, view):
        matrices.append((p, Muon(view)))

    for name, p in model.named_parameters():
        # GPT-2's Conv1D holds (in, out).
        transposed = ".c_" in name
        if p.dim() < 2:
            others.append(p)
        elif "wte" in name or "embed_tokens" in name:
            embedding.append(p)
        elif "wpe" in name:
            decayed.append(p)
        elif "k_proj" in name or "o_proj" in name or "mlp.c_proj" in name:
            half.append(p)
        elif "c_attn" in name:
            for i in range(3):
                muon(p, lambda t, i=i: t[:, i * hidden:(i + 1) * hidden].mT)
        elif transposed:
            muon(p, lambda t: t.mT)
        else:
            muon(p, lambda t: t)
    groups = [
        {"params": decayed, "weight_decay": DECAY},
        {"params": others, "weight_decay": 0.0},
        {"params": embedding, "weight_decay": 0.0, "lr": 2 * LR, "betas": (0.8, 0.95)},
        {"params": half, "weight_decay": DECAY, "lr": 0.5 * LR},
    ]
    return [group for group in groups if group["params"]], matrices


def make(name):
    folder = os.path.join(HERE, name)
    model = type(FAMILIES[name]()).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()
    stream = torch.from_numpy(
        numpy.fromfile(os.path.join(folder, "train.bin"), "<u4").astype("int64"))
    tokens = stream[:-1].view(BATCH, LENGTH)
    targets = stream[1:].view(BATCH, LENGTH)
    groups, matrices = split(model)
    adamw = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS, foreach=False)
    losses, norms = [], []
    for _ in range(STEPS):
        model.zero_grad(set_to_none=True)
        loss = mean_loss(model, tokens, targets)[1]
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item())
        losses.append(loss.item())
        adamw.step()
        for parameter, matrix in matrices:
            matrix.step(parameter)
    values = {key: p.detach().float().contiguous()
              for key, p in model.named_parameters()}
    values["muon.losses"] = torch.tensor(losses)
    values["muon.grad_norms"] = torch.tensor(norms)
    save_file(values, os.path.join(folder, "muon.safetensors"))
    print(f"{name}: {len(matrices)} matrices of Muon, {losses[0]:.4f} -> {losses[-1]:.4f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.enabled = False
    for family in NAMES:
        make(family)
