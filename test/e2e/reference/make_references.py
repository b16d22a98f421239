#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes the reference values of the end-to-end tests with an independent
implementation: `transformers` on `torch`, f32, one thread.

For each family a tiny random model: a Hugging Face directory (config.json,
model.safetensors) with beside it
  inputs.safetensors     tokens, targets i64 [B, T]; some targets are -1 (ignored)
  reference.safetensors  logits [B, T, V]; loss (mean over the targets that
                         count); grad.<name> for every named_parameters() name;
                         adamw.losses, adamw.grad_norms [10] of ten steps
  train.bin              u32, B * T + 1 tokens: the batch of the ten steps is its
                         B windows of T tokens, whatever their order

The sizes let transposes show: no two of a model's dims are equal where its
family permits, vocabularies and lengths are odd, norm weights are away from 1,
biases from 0. Needs torch, transformers and safetensors:

    python3 make_references.py            # writes all folders beside this file
    python3 make_references.py qwen3      # only this one
    python3 make_references.py --bf16     # only prints what bf16 costs in torch
"""

import json
import os
import sys

import numpy
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH, LENGTH, STEPS = 3, 11, 10

# Tokens that a tiny vocabulary has, so that configurations are consistent.
SPECIAL = dict(bos_token_id=1, eos_token_id=2, pad_token_id=None)

FAMILIES = {
    "qwen3": lambda: transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=163, hidden_size=40, intermediate_size=88,
            num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            head_dim=24, max_position_embeddings=64, rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
            tie_word_embeddings=True, **SPECIAL)),
    "qwen2": lambda: transformers.Qwen2ForCausalLM(
        transformers.Qwen2Config(
            vocab_size=171, hidden_size=48, intermediate_size=100,
            num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
            max_position_embeddings=64, rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1e4},
            use_sliding_window=False, tie_word_embeddings=False, **SPECIAL)),
    "llama": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=165, hidden_size=40, intermediate_size=76,
            num_hidden_layers=2, num_attention_heads=5, num_key_value_heads=5,
            max_position_embeddings=64, rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 1e4},
            tie_word_embeddings=False, **SPECIAL)),
    # Wavelengths on both sides of, and between, the two bounds 16 and 64.
    "llama3-rope": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=177, hidden_size=56, intermediate_size=92,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
            head_dim=16, max_position_embeddings=256, rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "llama3", "rope_theta": 1e4,
                             "factor": 8.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0,
                             "original_max_position_embeddings": 64},
            tie_word_embeddings=True, **SPECIAL)),
    "qwen3-yarn": lambda: transformers.Qwen3ForCausalLM(
        transformers.Qwen3Config(
            vocab_size=101, hidden_size=28, intermediate_size=52,
            num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
            head_dim=24, max_position_embeddings=128, rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "yarn", "rope_theta": 1e4,
                             "factor": 4.0,
                             "original_max_position_embeddings": 32},
            tie_word_embeddings=True, **SPECIAL)),
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=161, n_embd=36, n_layer=2, n_head=3, n_positions=48,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **SPECIAL)),
    "nanochat": lambda: transformers.NanoChatForCausalLM(
        transformers.NanoChatConfig(
            vocab_size=167, hidden_size=40, intermediate_size=160,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=64, rms_norm_eps=1e-6,
            rope_parameters={"rope_type": "default", "rope_theta": 1e4},
            final_logit_softcapping=15.0, **SPECIAL)),
}


def make_model(name):
    """The family's model with weights that hide no mistake."""
    torch.manual_seed(sum(name.encode()))
    model = FAMILIES[name]().float()
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("bias"):
                parameter.normal_(0.0, 0.1)
            elif parameter.dim() == 1:
                parameter.normal_(1.0, 0.25)
            else:
                parameter.normal_(0.0, 0.15)
    return model.eval()


def mean_loss(model, tokens, targets):
    logits = model(input_ids=tokens, use_cache=False).logits
    loss = F.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=-1)
    return logits, loss


def gradients(model, tokens, targets):
    model.zero_grad(set_to_none=True)
    logits, loss = mean_loss(model, tokens, targets)
    loss.backward()
    grads = {key: p.grad.float().clone() for key, p in model.named_parameters()}
    return logits.detach().float(), loss.detach().float(), grads


def adamw_steps(model, tokens, targets):
    """Ten steps on one batch: losses before each update, norms before clipping."""
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1},
         {"params": others, "weight_decay": 0.0}],
        lr=1e-3, betas=(0.9, 0.95), eps=1e-8, foreach=False)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = mean_loss(model, tokens, targets)[1]
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return torch.tensor(losses), torch.tensor(norms)


def make(name):
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    model = make_model(name)
    vocab = model.config.vocab_size
    generator = torch.Generator().manual_seed(7)

    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    if name in ("qwen2", "llama3-rope"):
        spell_as_version_4(os.path.join(folder, "config.json"))

    # The same id twice in a row and the last id of the vocabulary do occur.
    tokens = torch.randint(0, vocab, (BATCH, LENGTH), generator=generator)
    tokens[0, 1] = tokens[0, 0]
    tokens[1, 3] = vocab - 1
    targets = torch.randint(0, vocab, (BATCH, LENGTH), generator=generator)
    targets[0, :4] = -1
    targets[2, 7] = -1
    targets[1, 2] = vocab - 1
    save_file({"tokens": tokens, "targets": targets},
              os.path.join(folder, "inputs.safetensors"))

    # As a user would open it: what is stored is what is computed with.
    again = type(model).from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()
    logits, loss, grads = gradients(again, tokens, targets)
    assert torch.equal(logits, gradients(model, tokens, targets)[0]), name

    stream = torch.randint(0, vocab, (BATCH * LENGTH + 1,), generator=generator)
    stream.numpy().astype("<u4").tofile(os.path.join(folder, "train.bin"))
    losses, norms = adamw_steps(
        again, stream[:-1].view(BATCH, LENGTH), stream[1:].view(BATCH, LENGTH))

    reference = {"grad." + key: grad for key, grad in grads.items()}
    reference.update(
        {"logits": logits, "loss": loss, "adamw.losses": losses,
         "adamw.grad_norms": norms})
    save_file({key: value.contiguous() for key, value in reference.items()},
              os.path.join(folder, "reference.safetensors"))
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters, "
          f"loss {loss:.4f}, ten steps {losses[0]:.4f} -> {losses[-1]:.4f}, "
          f"{size} bytes")


def spell_as_version_4(path):
    """config.json as transformers 4 wrote it: the reader takes both."""
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.0"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2, sort_keys=True)
        file.write("\n")


def print_bf16(name):
    """How far torch's own bf16 run is from the f32 one: what to expect."""
    from safetensors.torch import load_file

    folder = os.path.join(HERE, name)
    inputs = load_file(os.path.join(folder, "inputs.safetensors"))
    reference = load_file(os.path.join(folder, "reference.safetensors"))
    model = make_model(name).bfloat16()
    logits, loss, grads = gradients(model, inputs["tokens"], inputs["targets"])
    cosine = lambda a, b: F.cosine_similarity(a.flatten(), b.flatten(), 0).item()
    worst = min((cosine(g, reference["grad." + k]), k) for k, g in grads.items())
    norm = max(abs(g.norm() / reference["grad." + k].norm() - 1).item()
               for k, g in grads.items())
    print(f"{name}: bf16 logits cosine {cosine(logits, reference['logits']):.6f}, "
          f"loss {loss - reference['loss']:+.2e}, worst gradient cosine "
          f"{worst[0]:.5f} ({worst[1]}), worst norm error {norm:.2%}")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.enabled = False  # plain loops: the same on every machine
    names = [a for a in sys.argv[1:] if not a.startswith("-")] or list(FAMILIES)
    for name in names:
        (print_bf16 if "--bf16" in sys.argv else make)(name)


if __name__ == "__main__":
    main()
