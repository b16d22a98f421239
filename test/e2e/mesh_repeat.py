#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Many short runs of 8 ranks, by processes and by threads in turn: none hangs,
and all give what the first one gave.

    mesh_repeat.py WORK_DIR RUNS
"""

import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import mesh  # noqa: E402

FAMILY, SECONDS = "qwen3", 60


def timed(words):
    """The output of a command and how long it ran."""
    begin = time.monotonic()
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, text=True, capture_output=True,
                              timeout=SECONDS)
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(words)}\nhangs: not over after {SECONDS} s")
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stderr}exit code {done.returncode}")
    return done.stdout, time.monotonic() - begin


def main():
    work, runs = sys.argv[1], int(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    batch, data = os.path.join(work, "batch.safetensors"), os.path.join(work, "train.bin")
    mesh.write_inputs(mesh.FAMILIES[FAMILY][1]["vocab"], batch, data)
    module = mesh.Variant("2x4", FAMILY, work)
    module.compile()
    first, times = {}, {"mpi": [], "threads": []}
    for number in range(runs):
        # By processes, by threads, and each half of the time training.
        backend = ("mpi", "threads")[number % 2]
        launcher = ["mpirun", "--bind-to", "none", "-n", "8"] if backend == "mpi" else []
        out = os.path.join(work, "run")
        shutil.rmtree(out, ignore_errors=True)
        if number // 2 % 2:
            words = ["train", module.module, "--data", data, "--data-type", "u32", "--steps", "1",
                     "--weights", "random:3", "--out", out]
        else:
            words = ["generate", module.module, "--weights", "random:3", "--prompt-ids",
                     "1,4,9,16", "-n", "4", "--temp", "0"]
        text, seconds = timed([*launcher, "qwen-rt", *words])
        if words[0] == "train":
            with open(os.path.join(out, "latest", "model.safetensors"), "rb") as file:
                text = file.read()
        if first.setdefault(words[0], text) != text:
            sys.exit(f"run {number + 1} ({words[0]}, {backend}) differs from the first one")
        times[backend].append(seconds)
    for backend, list_ in times.items():
        if list_:
            print(f"{backend}: {len(list_)} runs, {sum(list_):.0f} s, the longest "
                  f"{max(list_):.1f} s")


if __name__ == "__main__":
    main()
