#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes values/*.mlir: what an op gives by its decomposition beside what
PyTorch and transformers give (in f64) for the same inputs. Run it with these two
installed; the results are committed.

    python3 test/Exec/make_values.py
"""

import math
import os

import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))

HEADER = """// REQUIRES: qwen-exec
// RUN: qwen-exec %s --check-values --tolerance={tolerance} | FileCheck %s

// Made by make_values.py: expected values from PyTorch.

"""


def kind(t):
    return {torch.int32: "i32", torch.float32: "f32", torch.float64: "f64"}[t.dtype]


def mlir_type(t):
    return "tensor<" + "x".join([str(d) for d in t.shape] + [kind(t)]) + ">"


def literal(t):
    def number(x):
        if kind(t) == "i32":
            return str(int(x))
        if not x.isfinite():
            return "0x7FF8000000000000" if x.isnan() else "0x7FF0000000000000"
        return f"{float(x):.17e}"

    def nested(x):
        if x.dim() == 0:
            return number(x)
        return "[" + ", ".join(nested(y) for y in x) + "]"

    return f"dense<{nested(t)}>"


class File:
    """One test file; `case` adds a function."""

    def __init__(self, name, tolerance="1e-12"):
        self.name = name
        self.text = HEADER.format(tolerance=tolerance)

    def case(self, name, inputs, op, expected, attrs="", operands=None):
        """`op` has {names} of its operands filled in; its types are those of
        the tensors."""
        lines = []
        for key, tensor in list(inputs.items()) + [
            (f"expected{i}", e) for i, e in enumerate(expected)
        ]:
            lines.append(
                f"  %{key} = arith.constant {literal(tensor)} : {mlir_type(tensor)}"
            )
        ins = ", ".join(mlir_type(t) for t in inputs.values())
        outs = [mlir_type(e) for e in expected]
        names = [f"%result{i}" for i in range(len(outs))]
        out_types = outs[0] if len(outs) == 1 else "(" + ", ".join(outs) + ")"
        lines.append(
            f"  {', '.join(names)} = "
            + op.format(ins=ins, functional=f"({ins}) -> {out_types}", outs=out_types)
        )
        names += [f"%expected{i}" for i in range(len(outs))]
        types = ", ".join(outs + outs)
        lines.append(f"  return {', '.join(names)} : {types}")
        body = "\n".join(lines)
        self.text += (
            f"// CHECK: {name}: ok\nfunc.func @{name}() -> ({types}) {{\n{body}\n}}\n\n"
        )

    def write(self):
        path = os.path.join(HERE, "values", self.name + ".mlir")
        with open(path, "w", encoding="utf-8") as out:
            out.write(self.text.rstrip("\n") + "\n")


def random(*shape):
    return torch.randn(*shape)


def norms():
    f = File("norms")
    x, w, b = random(2, 2, 5), random(5), random(5)
    f.case(
        "rms_norm",
        {"x": x, "w": w},
        "qwen.rms_norm %x weight %w {{eps = 1.0e-5 : f64}} : {functional}",
        [F.rms_norm(x, (5,), w, 1e-5)],
    )
    f.case(
        "rms_norm_saved",
        {"x": x},
        "qwen.rms_norm %x {{eps = 1.0e-2 : f64}} : {functional}",
        [F.rms_norm(x, (5,), None, 1e-2), (x.square().mean(-1) + 1e-2).rsqrt()],
    )
    mean, var = x.mean(-1), x.var(-1, unbiased=False)
    f.case(
        "layer_norm",
        {"x": x, "w": w, "b": b},
        "qwen.layer_norm %x weight %w bias %b {{eps = 1.0e-5 : f64}} : {functional}",
        [F.layer_norm(x, (5,), w, b, 1e-5), mean, (var + 1e-5).rsqrt()],
    )
    f.write()


def linear():
    f = File("linear")
    x, w, b = random(2, 2, 3), random(4, 3), random(4)
    f.case(
        "linear",
        {"x": x, "w": w, "b": b},
        "qwen.linear %x, %w bias %b : {functional}",
        [F.linear(x, w, b)],
    )
    ids = torch.tensor([[0, 3, 1], [3, 3, 2]], dtype=torch.int32)
    table = random(4, 2)
    f.case(
        "embedding",
        {"ids": ids, "table": table},
        "qwen.embedding %ids, %table : {ins} -> {outs}",
        [F.embedding(ids, table)],
    )
    grad, acc = random(2, 3, 2), random(4, 2)
    expected = acc.index_add(0, ids.flatten(), grad.reshape(6, 2))
    f.case(
        "embedding_grad",
        {"grad": grad, "ids": ids, "acc": acc},
        "qwen.embedding_grad %grad, %ids into %acc : {ins} -> {outs}",
        [expected],
    )
    length = torch.tensor([2, 1], dtype=torch.int32)
    f.case(
        "last_token",
        {"x": x, "length": length},
        "qwen.last_token %x, %length : {ins} -> {outs}",
        [torch.stack([x[0, 1:2], x[1, 0:1]])],
    )
    start = torch.tensor([0, 7], dtype=torch.int32)
    f.case(
        "positions",
        {"start": start},
        "qwen.positions %start : {ins} -> {outs}",
        [torch.tensor([[0, 1, 2], [7, 8, 9]], dtype=torch.int32)],
    )
    f.write()


def attention():
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    f = File("attention")
    for heads, groups, dim in ((2, 2, 3), (4, 2, 4), (3, 1, 5)):
        q = random(2, 4, heads, dim)
        k, v = random(2, 4, groups, dim), random(2, 4, groups, dim)
        out = F.scaled_dot_product_attention(
            *(t.transpose(1, 2) for t in (q, k, v)),
            is_causal=True,
            enable_gqa=True,
            scale=0.6,
        )
        f.case(
            f"attention_{heads}_{groups}",
            {"q": q, "k": k, "v": v},
            "qwen.attention %q, %k, %v {{scale = 0.6 : f64}} : {functional}",
            [out.transpose(1, 2)],
        )
    q = random(2, 2, 4, 3)
    k, v = random(2, 2, 6, 3), random(2, 2, 6, 3)
    start = torch.tensor([3, 0], dtype=torch.int32)
    position = start[:, None] + torch.arange(2)
    mask = torch.arange(6)[None, None, :] <= position[:, :, None]
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k, v, attn_mask=mask[:, None], enable_gqa=True, scale=0.5
    )
    f.case(
        "cached_attention",
        {"q": q, "k": k, "v": v, "start": start},
        "qwen.cached_attention %q, %k, %v, %start {{scale = 0.5 : f64}} : {functional}",
        [out.transpose(1, 2)],
    )
    # The second row's last token lies beyond the cache.
    x, cache = random(2, 3, 2, 2), random(2, 2, 5, 2)
    start = torch.tensor([1, 3], dtype=torch.int32)
    expected = cache.clone()
    expected[0, :, 1:4] = x[0].transpose(0, 1)
    expected[1, :, 3:5] = x[1, :2].transpose(0, 1)
    f.case(
        "kv_append",
        {"x": x, "start": start, "cache": cache},
        "qwen.kv_append %x, %start into %cache : {functional}",
        [expected],
    )
    x, angle = random(2, 3, 2, 6), random(2, 3, 3)
    cos, sin = angle.cos(), angle.sin()
    both = [torch.cat([t, t], -1) for t in (cos, sin)]
    expected, _ = apply_rotary_pos_emb(x, x, *both, unsqueeze_dim=2)
    f.case(
        "rope",
        {"x": x, "cos": cos, "sin": sin},
        "qwen.rope %x, %cos, %sin : {functional}",
        [expected],
    )
    f.case(
        "rope_inverse",
        {"y": expected, "cos": cos, "sin": sin},
        "qwen.rope inverse %y, %cos, %sin : {functional}",
        [x],
    )
    f.write()

    f = File("rope_table", tolerance="1e-6")
    positions = torch.tensor([[0, 1, 500]], dtype=torch.int32)
    freq = torch.tensor([1.0, 0.125, 0.0078125])
    angle = positions[..., None].float() * freq.float()
    f.case(
        "rope_table",
        {"p": positions},
        "qwen.rope_table %p {{inv_freq = array<f32: 1.0, 0.125, 0.0078125>, "
        "factor = 1.5 : f64}} : {functional}",
        [(1.5 * angle.cos()).float(), (1.5 * angle.sin()).float()],
    )
    f.write()


def activations():
    f = File("activations")
    x, up = 2 * random(1, 2, 4), random(1, 2, 4)
    table = {
        "silu": F.silu,
        "gelu": F.gelu,
        "gelu_tanh": lambda t: F.gelu(t, approximate="tanh"),
        "relu2": lambda t: F.relu(t).square(),
    }
    for name, function in table.items():
        f.case(
            name,
            {"x": x},
            f"qwen.activation {name} %x : {{ins}} -> {{outs}}",
            [function(x)],
        )
        f.case(
            f"glu_{name}",
            {"gate": x, "up": up},
            f"qwen.glu {name} %gate, %up : {{functional}}",
            [function(x) * up],
        )
    f.case(
        "softcap",
        {"x": x},
        "qwen.softcap %x {{cap = 1.5 : f64}} : {ins} -> {outs}",
        [1.5 * torch.tanh(x / 1.5)],
    )
    f.write()


def losses():
    f = File("losses")
    # -1 and 5 are no tokens: they do not count.
    targets = torch.tensor([[1, -1, 0], [4, 2, 5]], dtype=torch.int32)
    counted = torch.where(targets < 5, targets, -1)
    x, w = random(2, 3, 4), random(5, 4)
    logits = F.linear(x, w)
    logits[0, 0, 1] = logits[0, 0].max() + 1  # right
    logits[0, 2] = 0.25  # a tie of all: the first is the target
    logits[1, 0, :] = logits[1, 0, 4]  # a tie: the target is the last

    def expected(z):
        flat, t = z.reshape(-1, 5), counted.flatten().long()
        loss = F.cross_entropy(flat, t, ignore_index=-1, reduction="sum")
        # torch does not say which of equal maxima argmax takes.
        first = torch.tensor([int((row == row.max()).nonzero()[0]) for row in flat])
        valid = t >= 0
        correct = ((first == t) & valid).sum().int()
        return [loss, valid.sum().int(), correct]

    f.case(
        "cross_entropy",
        {"logits": logits, "targets": targets},
        "qwen.cross_entropy %logits, %targets : {functional}",
        expected(logits),
    )
    z = F.linear(x, w)
    f.case(
        "linear_cross_entropy",
        {"x": x, "w": w, "targets": targets},
        "qwen.linear_cross_entropy %x, %w, %targets : {functional}",
        expected(z),
    )
    capped = 2 * torch.tanh(z / 2)
    f.case(
        "capped",
        {"x": x, "w": w, "targets": targets},
        "qwen.linear_cross_entropy %x, %w, %targets {{cap = 2.0 : f64}} : {functional}",
        expected(capped),
    )
    xg, wg = x.clone().requires_grad_(), w.clone().requires_grad_()
    z = 2 * torch.tanh(F.linear(xg, wg) / 2)
    loss = F.cross_entropy(
        z.reshape(-1, 5), counted.flatten().long(), ignore_index=-1, reduction="sum"
    )
    seed, acc = torch.tensor(0.3), random(5, 4)
    (seed * loss).backward()
    f.case(
        "linear_cross_entropy_grad",
        {"x": x, "w": w, "targets": targets, "seed": seed, "acc": acc},
        "qwen.linear_cross_entropy_grad %x, %w, %targets, %seed into %acc "
        "{{cap = 2.0 : f64}} : {functional}",
        [loss.detach(), xg.grad, acc + wg.grad],
    )
    f.write()


def optimizer():
    f = File("optimizer")
    beta1, beta2 = 0.9, 0.95
    lr, eps, decay, step = 0.01, 1e-8, 0.1, 3
    p = random(2, 3).requires_grad_()
    optimizer = torch.optim.AdamW(
        [p], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay
    )
    for _ in range(step - 1):
        p.grad = random(2, 3)
        optimizer.step()
    state = optimizer.state[p]
    before = [t.detach().clone() for t in (p, state["exp_avg"], state["exp_avg_sq"])]
    grad, scale = random(2, 3), torch.tensor(0.7)
    p.grad = grad * scale
    optimizer.step()
    after = [p.detach(), state["exp_avg"], state["exp_avg_sq"]]
    row = [lr, beta1, beta2, eps, decay, 1.0, 1 - beta1**step, 1 - beta2**step]
    hyper = torch.tensor([[0.5] * 8, row])
    for name, s, out in (("adamw", scale, after), ("skipped", 0 * scale, before)):
        f.case(
            name,
            {
                "p": before[0],
                "grad": grad,
                "m": before[1],
                "v": before[2],
                "hyper": hyper,
                "scale": s,
            },
            "qwen.adamw %p, %grad, %m, %v, %hyper, %scale {{group = 1 : i64}} "
            ": {functional}",
            [out[0], torch.zeros_like(grad), out[1], out[2]],
        )
    x, acc = random(3, 2), torch.tensor(2.0)
    f.case(
        "sum_squares",
        {"x": x, "acc": acc},
        "qwen.sum_squares %x into %acc : {ins} -> {outs}",
        [acc + x.square().sum()],
    )
    cases = {
        "clipped": (9.0, 1.5, 0, 0, 1.5 / (3 + 1e-6)),
        "below": (9.0, 4.0, 0, 0, 1.0),
        "unlimited": (9.0, 0.0, 0, 0, 1.0),
        "skip": (9.0, 4.0, 1, 0, 0.0),
        "infinite": (math.inf, 4.0, 0, 1, 0.0),
        "nan": (math.nan, 4.0, 0, 1, 0.0),
    }
    for name, (squares, clip, skip, nonfinite, scale) in cases.items():
        f.case(
            name,
            {
                "squares": torch.tensor(squares),
                "hyper": torch.tensor([[0.0] * 5 + [clip, 1.0, 1.0]]),
                "skip": torch.tensor(skip, dtype=torch.int32),
            },
            "qwen.clip %squares, %hyper, %skip : {functional}",
            [
                torch.tensor(squares).sqrt(),
                torch.tensor(nonfinite, dtype=torch.int32),
                torch.tensor(scale),
            ],
        )
    f.write()


def attention_masks():
    f = File("attention_masks")
    documents = torch.tensor(
        [[3, 3, 1, 1, 1, 3, 0], [5, 5, 5, 5, 5, 5, 2]], dtype=torch.int32
    )
    starts = torch.tensor(
        [[0, 0, 2, 2, 2, 5, 6], [0, 0, 0, 0, 0, 0, 6]], dtype=torch.int32
    )
    f.case(
        "document_starts",
        {"documents": documents},
        "qwen.document_starts %documents : {ins} -> {outs}",
        [starts],
    )
    f.case(
        "positions",
        {"starts": starts},
        "qwen.positions starts %starts : {ins} -> {outs}",
        [torch.arange(7, dtype=torch.int32) - starts],
    )
    t, s = torch.arange(7)[:, None], torch.arange(7)[None, :]
    for window in (0, 1, 3):
        for packed in (False, True):
            if not window and not packed:
                continue
            mask = (s <= t) & (s > t - (window or 7))
            mask = mask & (s >= starts[:, :, None]) if packed else mask[None]
            q = random(2, 7, 4, 3).requires_grad_()
            k, v = (random(2, 7, 2, 3).requires_grad_() for _ in range(2))
            out = F.scaled_dot_product_attention(
                *(x.transpose(1, 2) for x in (q, k, v)),
                attn_mask=mask[:, None],
                enable_gqa=True,
                scale=0.7,
            ).transpose(1, 2)
            grad = random(2, 7, 4, 3)
            (grad * out).sum().backward()
            scores = torch.einsum("bthd,bshd->bths", q, k.repeat_interleave(2, 2))
            scores = (0.7 * scores).masked_fill(~mask[:, :, None], -torch.inf)
            lse = scores.logsumexp(-1).detach()
            inputs = {"q": q.detach(), "k": k.detach(), "v": v.detach()}
            more = {"starts": starts} if packed else {}
            using = " starts %starts" if packed else ""
            attrs = f" {{{{scale = 0.7 : f64, window = {window} : i64}}}}"
            name = f"window_{window}" + ("_packed" if packed else "")
            f.case(
                name,
                inputs | more,
                "qwen.attention %q, %k, %v" + using + attrs + " : {functional}",
                [out.detach(), lse],
            )
            f.case(
                name + "_grad",
                {"grad": grad} | inputs | {"out": out.detach(), "lse": lse} | more,
                "qwen.attention_grad %grad, %q, %k, %v, %out, %lse"
                + using
                + attrs
                + " : {functional}",
                [q.grad, k.grad, v.grad],
            )
    # The second row's last token lies beyond the cache.
    q = random(2, 3, 4, 3)
    k, v = random(2, 2, 6, 3), random(2, 2, 6, 3)
    start = torch.tensor([1, 4], dtype=torch.int32)
    position = (start[:, None] + torch.arange(3)).clamp(max=5)[:, :, None]
    s = torch.arange(6)[None, None, :]
    mask = (s <= position) & (s > position - 2)
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k, v, attn_mask=mask[:, None], enable_gqa=True, scale=0.5
    )
    f.case(
        "cached_attention",
        {"q": q, "k": k, "v": v, "start": start},
        "qwen.cached_attention %q, %k, %v, %start "
        "{{scale = 0.5 : f64, window = 2 : i64}} : {functional}",
        [out.transpose(1, 2)],
    )
    f.write()


def z_loss():
    f = File("z_loss")
    targets = torch.tensor([[1, -1, 0], [4, 2, 5]], dtype=torch.int32)
    valid = (targets >= 0) & (targets < 5)
    x, w = random(2, 3, 4).requires_grad_(), random(5, 4).requires_grad_()
    seed, acc, weight = torch.tensor(0.3), random(5, 4), 0.125
    attrs = "{{cap = 2.0 : f64, z_weight = 0.125 : f64}}"
    # The logits of a leaf, so that their gradient is to be had.
    for capped in (False, True):
        z = F.linear(x, w)
        z = 2 * torch.tanh(z / 2) if capped else z.detach().requires_grad_()
        lse = z.logsumexp(-1)
        chosen = z.gather(-1, targets.clamp(0, 4).long()[..., None])[..., 0]
        loss = ((lse - chosen + weight * lse**2) * valid).sum()
        correct = ((z.argmax(-1) == targets) & valid).sum().int()
        results = [loss.detach(), valid.sum().int(), correct]
        (seed * loss).backward()
        if capped:
            inputs = {"x": x.detach(), "w": w.detach(), "targets": targets}
            f.case(
                "linear_cross_entropy",
                inputs,
                "qwen.linear_cross_entropy %x, %w, %targets " + attrs + " : {functional}",
                results,
            )
            f.case(
                "linear_cross_entropy_grad",
                inputs | {"seed": seed, "acc": acc},
                "qwen.linear_cross_entropy_grad %x, %w, %targets, %seed into %acc "
                + attrs
                + " : {functional}",
                [loss.detach(), x.grad, acc + w.grad],
            )
        else:
            inputs = {"logits": z.detach(), "targets": targets}
            attrs_only = "{{z_weight = 0.125 : f64}}"
            f.case(
                "cross_entropy",
                inputs,
                f"qwen.cross_entropy %logits, %targets {attrs_only} : {{functional}}",
                results,
            )
            f.case(
                "cross_entropy_grad",
                inputs | {"seed": seed},
                "qwen.cross_entropy_grad %logits, %targets, %seed "
                + attrs_only
                + " : {functional}",
                [z.grad],
            )
    f.write()


def orthogonalized(x, steps):
    """zeropower_via_newtonschulz5 of github.com/KellerJordan/Muon without its
    cast to bf16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.size(0) > x.size(1)
    x = x.mT if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def muon_step(p, grad, m, lr, mu, decay, factor, nesterov, steps):
    """Muon's muon_update and step of that repository, as pure functions."""
    m = m.lerp(grad, 1 - mu)
    update = grad.lerp(m, mu) if nesterov else m
    return p * (1 - lr * decay) - lr * factor * orthogonalized(update, steps), m


def muon():
    # Ten steps are the bar; eps is relative to norms far above it.
    f = File("muon", tolerance="1e-11")
    lr, mu, decay = 0.02, 0.95, 0.1
    hyper = torch.tensor([[0.5] * 8, [lr, mu, 0.0, 1e-7, decay, 1.0, 1.0, 1.0]])
    scale = torch.tensor(0.7)
    shapes = {"wide": (3, 5), "tall": (6, 4), "square": (3, 3), "row": (1, 4)}
    for name, shape in shapes.items():
        for nesterov in (True, False):
            p, grad, m = random(*shape), random(*shape), random(*shape)
            factor = max(1, shape[0] / shape[1]) ** 0.5
            after = muon_step(
                p, scale * grad, m, lr, mu, decay, factor, nesterov, 5)
            attrs = f"group = 1 : i64, steps = 5 : i64, factor = {factor} : f64"
            attrs += ", nesterov" if nesterov else ""
            f.case(
                name + ("" if nesterov else "_plain"),
                {"p": p, "grad": grad, "m": m, "hyper": hyper, "scale": scale},
                "qwen.muon %p, %grad, %m, %hyper, %scale {{" + attrs + "}} "
                ": {functional}",
                [after[0], torch.zeros_like(grad), after[1]],
            )
    f.case(
        "skipped_muon",
        {"p": p, "grad": grad, "m": m, "hyper": hyper, "scale": 0 * scale},
        "qwen.muon %p, %grad, %m, %hyper, %scale {{group = 1 : i64, steps = 5 : i64, "
        "factor = 1.0 : f64}} : {functional}",
        [p, torch.zeros_like(grad), m],
    )
    x, y, z = random(3, 4), random(4, 5), random(3, 5)
    f.case(
        "matmul_nn",
        {"x": x, "y": y, "z": z},
        "qwen.matmul nn %x, %y plus %z {{alpha = 2.0 : f64, beta = -0.5 : f64}} "
        ": {functional}",
        [2 * x @ y - 0.5 * z],
    )
    f.case(
        "matmul_nt",
        {"x": x, "y": y.mT.contiguous()},
        "qwen.matmul nt %x, %y : {functional}",
        [x @ y],
    )
    f.case(
        "matmul_tn",
        {"x": x.mT.contiguous(), "y": y},
        "qwen.matmul tn %x, %y {{alpha = -1.5 : f64}} : {functional}",
        [-1.5 * x @ y],
    )
    # The step of a first gradient at rate 1 from zeros: singular values from 0.002 of
    # the norm on come to [0.682, 1.202].
    sigma = torch.tensor([1.0, 0.5, 0.1, 0.02, 0.005, 0.0023])
    u, v = (torch.linalg.qr(torch.cos(torch.arange(36.0).view(6, 6) * c))[0]
            for c in (1.7, 2.3))
    grad, zeros = u @ sigma.diag() @ v.mT, torch.zeros(6, 6)
    after = muon_step(zeros, grad, zeros, 1.0, mu, 0.0, 1.0, True, 5)
    found = torch.linalg.svdvals(after[0])
    assert 0.682 <= found.min() and found.max() <= 1.202, found
    f.case(
        "singular_values",
        {"p": zeros, "grad": grad, "m": zeros,
         "hyper": torch.tensor([[0.5] * 8, [1.0, mu, 0.0, 1e-7, 0.0, 1.0, 1.0, 1.0]]),
         "scale": torch.tensor(1.0)},
        "qwen.muon %p, %grad, %m, %hyper, %scale {{group = 1 : i64, steps = 5 : i64, "
        "factor = 1.0 : f64, nesterov}} : {functional}",
        [after[0], zeros, after[1]],
    )
    f.write()


def main():
    os.makedirs(os.path.join(HERE, "values"), exist_ok=True)
    for make in (
        norms,
        linear,
        attention,
        activations,
        losses,
        optimizer,
        attention_masks,
        z_loss,
        muon,
    ):
        make()


if __name__ == "__main__":
    main()
