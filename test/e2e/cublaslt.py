#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A family's tiny model on device cuda, its products done by a double of
cuBLASLt: entry points against the reference values and against the module's own
kernels, training against theirs, and everything without the library.

    cublaslt.py NAME f32|bf16 STEPS BUILD_DIR REFERENCE_DIR WORK_DIR

The driver is a double too: it runs the kernels as target cuda-sim does, on memory
that the host cannot touch, and captures graphs (test/unit/Cuda).
"""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from families import BATCH, HERE, LENGTH, compare, rules_for, run  # noqa: E402

# Between two orders of the same sums, as in cuda_sim.py.
LIMITS = {"f32": "1e-3", "bf16": "5e-3"}
SAME = {"f32": ["loss:abs=1e-6", "grad.*:rel=2e-5"],
        "bf16": ["loss:abs=2e-3", "grad.*:cos=0.99,norm=0.02"]}
SAME_LOGITS = {"f32": ["logits:rel=2e-5"], "bf16": ["logits:rel=2e-2"]}


class Gpu:
    """Runs qwen-rt on the doubles."""

    def __init__(self, build, module, log):
        self.log = log
        common = dict(os.environ, LD_LIBRARY_PATH=os.path.join(build, "fake-cuda"),
                      QWEN_CUDASIM_RACES="0",
                      FAKE_CUDA=f"module={module};lt-log={log}")
        self.environments = {"library": common,
                             "own": dict(common, QWEN_CUBLASLT="off")}
        self.module = module

    def run(self, kind, command, *arguments):
        """Its stderr, and what the library did: lines of the log."""
        if os.path.exists(self.log):
            os.remove(self.log)
        line = ["qwen-rt", command, self.module, "--device", "cuda", *arguments]
        print("$", kind, " ".join(line), flush=True)
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, env=self.environments[kind])
        if done.returncode or "fake driver:" in done.stderr:
            sys.exit(f"exit code {done.returncode}: {done.stderr}")
        products = []
        if os.path.exists(self.log):
            with open(self.log, encoding="utf-8") as file:
                products = file.read().splitlines()
        if bool(products) != (kind == "library"):
            sys.exit(f"{len(products)} products by the library")
        if ("kernels of the module" in done.stderr) != (kind == "own"):
            sys.exit(f"not said, or said without need: {done.stderr}")
        return products


def main():
    name, dtype, steps, build, reference, work = sys.argv[1:]
    model = os.path.join(reference, name)
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    module = os.path.join(work, "model.so")
    inputs = os.path.join(model, "inputs.safetensors")
    want = os.path.join(model, "reference.safetensors")
    rules = rules_for(name, dtype)
    run("qwenc", model, "-o", module, "--target", "cuda", "--target", "cuda-sim",
        "--set", f"dtype={dtype}", "--set", f"train.batch={BATCH}",
        "--set", f"train.sequence={LENGTH}")
    gpu = Gpu(build, module, os.path.join(work, "products.txt"))

    def entry(kind, entry):
        got = os.path.join(work, f"{entry}-{kind}.safetensors")
        products = gpu.run(kind, "run", "--entry", entry, "--weights", model,
                           "--inputs", inputs, "-o", got)
        return got, products

    for entry_name, wanted, same in (
        ("loss_and_grad", [r for r in rules if not r.startswith("logits")],
         SAME[dtype]),
        ("logits", [r for r in rules if r.startswith("logits")],
         SAME_LOGITS[dtype]),
    ):
        got, products = entry("library", entry_name)
        own, _ = entry("own", entry_name)
        compare(got, want, wanted)
        compare(got, own, same)
        for text in sorted(set(products)):
            print(f"  {products.count(text)} x {text}")
        if entry_name != "loss_and_grad":
            continue
        # Forward, gradients of inputs, and sums of gradients of weights in f32.
        for form in ("TN", "NN", "NT"):
            if not any(text.startswith(form) for text in products):
                sys.exit(f"no product of the form {form}")
        wrong = [text for text in products
                 if text.startswith("NT") and not re.search("->f32 beta 1$", text)]
        if wrong:
            sys.exit(f"gradients of weights are not added up: {wrong}")

    # A product that fails is named by its kernel and the kernel's place.
    command = ["qwen-rt", "run", module, "--device", "cuda", "--entry", "logits",
               "--weights", model, "--inputs", inputs, "-o", got]
    environment = dict(gpu.environments["library"])
    environment["FAKE_CUDA"] += ";fail=cublasLtMatmul:13@5"
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, env=environment)
    print(done.stderr, end="")
    if done.returncode != 1 or not re.search(
            r"error: .*cuda:0 \(Fake GPU 0\): the product of kernel '\w+\$\d+' of "
            r"\S+:\d+:\d+ for 33 rows: cublasLtMatmul of cuBLASLt 13.0.2 failed: "
            r"CUBLAS_STATUS_EXECUTION_FAILED \[Q6053\]", done.stderr):
        sys.exit("the error does not say what failed")

    metrics, counts = {}, {}
    for kind in ("library", "own"):
        out = os.path.join(work, "run-" + kind)
        products = gpu.run(
            kind, "train", "--weights", model, "--steps", steps,
            "--data", os.path.join(model, "train.bin"), "--data-type", "u32",
            "--out", out, "--set", "train.accumulate=1",
            "--set", "train.optimizer.lr=1e-3", "--set", "log.every=1",
            "--set", "train.schedule.kind=constant",
            "--set", "train.schedule.warmup=0")
        metrics[kind] = os.path.join(out, "metrics.jsonl")
        counts[kind] = len(products)
    # Replays of a graph do the same work as the calls before.
    print(f"{counts['library']} products in {steps} steps")
    if counts["library"] % int(steps):
        sys.exit("steps have different products")
    run(sys.executable, os.path.join(HERE, "losses.py"), metrics["library"], "near",
        metrics["own"], LIMITS[dtype])


if __name__ == "__main__":
    main()
