#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training that must agree to the bit: twice with one seed, with 1, 2 and 3
threads, killed at several places and resumed, interrupted politely and resumed.
The data is so short that epochs end in all parts of the run, inside of steps too.

    training.py MODULE TRAIN.BIN WORK_DIR
"""

import filecmp
import glob
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, EVERY = 200, 10
STATE = ("model.safetensors", "optimizer.safetensors")
# Windows of 64 tokens; a step takes four.
WINDOWS = 53


def command(module, data, out, *more):
    return [
        "qwen-rt", "train", module, "--data", data, "--data-type", "u32",
        "--steps", str(STEPS),
        "--out", out, "--set", "log.every=1", "--set", "train.seed=7",
        "--set", f"checkpoint.every={EVERY}", "--set", "checkpoint.keep=3", *more,
    ]


def run(*words, expect=0):
    print("$", " ".join(words), flush=True)
    result = subprocess.run(words, stdin=subprocess.DEVNULL)
    if result.returncode != expect:
        sys.exit(f"exit code {result.returncode}, expected {expect}")


def same(one, two):
    """Last weights and optimizer state, and every logged step."""
    run(sys.executable, os.path.join(HERE, "losses.py"),
        os.path.join(one, "metrics.jsonl"), "same", os.path.join(two, "metrics.jsonl"))
    for name in STATE:
        paths = [os.path.join(d, f"step-{STEPS:06d}", name) for d in (one, two)]
        if not filecmp.cmp(*paths, shallow=False):
            sys.exit(f"{paths[0]} and {paths[1]} differ")
    print(f"same: {one} {two}", flush=True)


def complete_steps(out):
    return sorted(
        int(path.split("-")[-1].split("/")[0])
        for path in glob.glob(os.path.join(out, "step-*", "COMPLETE"))
    )


def stop_after(words, out, checkpoints, number, delay=0.0):
    """Starts the command; sends the signal `delay` seconds after that many
    checkpoints were there, one of them new. Returns the exit code."""
    before = complete_steps(out)
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        done = complete_steps(out)
        if done and done[-1] >= checkpoints * EVERY and done != before:
            time.sleep(delay)
            process.send_signal(number)
            break
        time.sleep(0.002)
    else:
        process.kill()
        sys.exit("the training ended, or hung, before it could be stopped")
    return process.wait(timeout=60)


def main():
    module, whole_data, work = sys.argv[1:]
    data = os.path.join(work, "short.bin")
    with open(whole_data, "rb") as file, open(data, "wb") as short:
        short.write(file.read(4 * (64 * WINDOWS + 1)))
    whole = os.path.join(work, "whole")
    run(*command(module, data, whole, "--threads", "2"))
    run(sys.executable, os.path.join(HERE, "losses.py"),
        os.path.join(whole, "metrics.jsonl"), "falls", "0.98")

    for threads in ("2", "1", "3"):
        out = os.path.join(work, "threads-" + threads)
        run(*command(module, data, out, "--threads", threads))
        same(whole, out)

    killed = os.path.join(work, "killed")
    resume = command(module, data, killed, "--resume", "auto")
    for checkpoints, delay in ((1, 0), (3, 0.02), (5, 0.05), (7, 0.09)):
        code = stop_after(resume, killed, checkpoints, signal.SIGKILL, delay)
        print(f"killed with checkpoints at {complete_steps(killed)}: {code}", flush=True)
        if code != -signal.SIGKILL:
            sys.exit(f"exit code {code}")
    run(*resume)
    same(whole, killed)
    left = [n for n in os.listdir(killed) if n.startswith(".")]
    if left:
        sys.exit(f"left behind: {left}")

    # Interrupted politely: 130, and what it saved on the way out resumes.
    interrupted = os.path.join(work, "interrupted")
    resume = command(module, data, interrupted, "--resume", "auto")
    code = stop_after(resume, interrupted, 2, signal.SIGINT)
    if code != 130:
        sys.exit(f"exit code {code} after SIGINT, expected 130")
    run(*resume)
    same(whole, interrupted)

    # A run that is there is not overwritten unasked.
    run(*command(module, data, whole), expect=1)


if __name__ == "__main__":
    main()
