#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A run that is killed at random moments, saves included, and resumed each time
ends with the bits of one that was left alone; so does one whose disk was full
for a while. What cannot be resumed is refused with a list of what differs.

    kills.py MODULE DATA_DIR WORK_DIR NUMBER_OF_KILLS
"""

import filecmp
import glob
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

STEPS, EVERY = 400, 10
STATE = ("model.safetensors", "optimizer.safetensors", "trainer.json")


def command(module, data, out, *more):
    return [
        "qwen-rt", "train", module, "--data", os.path.join(data, "train.bin"),
        "--steps", str(STEPS), "--out", out, "--resume", "auto", "--threads", "1",
        "--set", "log.every=10", "--set", f"checkpoint.every={EVERY}",
        "--set", "checkpoint.keep=3", "--set", "eval.every=60",
        "--set", "eval.batches=2", *more,
    ]


def run(words, expect, **more):
    result = subprocess.run(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            text=True, **more)
    if result.returncode != expect:
        sys.exit(f"{' '.join(words)}\n{result.stderr[-3000:]}\n"
                 f"exit code {result.returncode}, expected {expect}")
    return result.stderr


def losses(out):
    found = {}
    with open(os.path.join(out, "metrics.jsonl"), encoding="utf-8") as file:
        for event in map(json.loads, file):
            if event["type"] in ("step", "eval"):
                found[event["type"], event["step"]] = event["loss"]
    return found


def check_same(one, two):
    for name in STATE:
        paths = [os.path.join(d, f"step-{STEPS:06d}", name) for d in (one, two)]
        if not filecmp.cmp(*paths, shallow=False):
            sys.exit(f"{paths[0]} and {paths[1]} differ")
    # A start logs its first step, so there may be more of them.
    ours, theirs = losses(one), losses(two)
    for key, loss in ours.items():
        if theirs.get(key) != loss:
            sys.exit(f"{key}: {loss} and {theirs.get(key)}")
    left = [n for n in os.listdir(two) if n.startswith(".")]
    if left:
        sys.exit(f"left behind: {left}")


def newest_write(out):
    """When something was last written into a checkpoint that is not complete."""
    times = [0]
    for path in glob.glob(os.path.join(out, ".step-*.tmp", "*")):
        try:
            times.append(os.stat(path).st_mtime_ns)
        except FileNotFoundError:
            pass  # complete by now
    return max(times)


def stop_in_save(out, process, before, seconds):
    """Stops the process in the middle of a save: whether that was possible.
    A process that is stopped cannot end its save before it is killed, however
    long this one has to wait for a processor."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        if newest_write(out) > before:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if newest_write(out) > before:
                return True
            process.send_signal(signal.SIGCONT)
        time.sleep(0.0005)
    return False


def kill_often(module, data, out, kills, seconds):
    """How often the run was killed before it ended, and how often in a save."""
    inside = 0
    for number in range(kills):
        # Half of the kills wait for a save that is under way; all delays together
        # are shorter than the run.
        delay = random.uniform(0, 0.8 * seconds / kills)
        before = newest_write(out)
        process = subprocess.Popen(command(module, data, out), stdin=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        begun = time.monotonic()
        time.sleep(min(delay, 0.02) if number % 2 else delay)
        torn = number % 2 == 1 and stop_in_save(out, process, before, delay + 5)
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        if code == 0:
            print(f"finished after {number} kills")
            return number, inside
        if code != -signal.SIGKILL:
            sys.exit(f"exit code {code}")
        inside += torn
        print(f"kill {number + 1} after {time.monotonic() - begun:.2f} s"
              f"{', in a save' if torn else ''}", flush=True)
    return kills, inside


def stop_early(module, data, out):
    """Ends a run by SIGTERM after its first checkpoint; False: it was faster."""
    process = subprocess.Popen(command(module, data, out), stdin=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while process.poll() is None and not glob.glob(os.path.join(out, "step-*", "COMPLETE")):
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    if code not in (0, 143):
        sys.exit(f"exit code {code} after SIGTERM")
    return code == 143


def attempts(path):
    """What has to come at the right moment may come too late on a busy machine."""
    for _ in range(5):
        shutil.rmtree(path, ignore_errors=True)
        yield path
    sys.exit(f"{path}: the run always ended too early")


def limit_file_size():
    """Files of more than 64 KiB cannot be written: a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))


def main():
    module, data, work, kills = *sys.argv[1:4], int(sys.argv[4])
    whole = os.path.join(work, "whole")
    begun = time.monotonic()
    run(command(module, data, whole), 0)
    seconds = time.monotonic() - begun

    random.seed(20)
    for killed in attempts(os.path.join(work, "killed")):
        count, inside = kill_often(module, data, killed, kills, seconds)
        run(command(module, data, killed), 0)
        check_same(whole, killed)
        print(f"{count} kills, {inside} of them in a save: the same bits")
        if count == kills and inside > 0:
            break

    # A full disk: the checkpoint that is there stays, and the run goes on from it.
    for full in attempts(os.path.join(work, "full")):
        if stop_early(module, data, full):
            break
    before = sorted(glob.glob(os.path.join(full, "step-*", "*")))
    text = run(command(module, data, full), 1, preexec_fn=limit_file_size)
    if "[Q3030]" not in text.strip().splitlines()[-1]:
        sys.exit(f"not the error of a full disk:\n{text}")
    if sorted(glob.glob(os.path.join(full, "step-*", "*"))) != before:
        sys.exit("the full disk changed the checkpoints")
    run(command(module, data, full), 0)
    check_same(whole, full)
    print("a full disk: the same bits")

    # Another seed, other data: refused, with what differs; the length is free.
    other = os.path.join(work, "other.bin")
    with open(os.path.join(data, "train.bin"), "rb") as file:
        tokens = file.read()
    with open(other, "wb") as file:
        file.write(tokens[4:])
    words = command(module, data, full, "--set", "train.seed=99", "--data-type", "u32")
    words[words.index("--data") + 1] = other
    text = run(words, 1)
    for part in ("[Q8010]", "data: other token files", "train.seed: 0 in the checkpoint, 99"):
        if part not in text:
            sys.exit(f"'{part}' is not in\n{text}")
    words = command(module, data, full)
    words[words.index("--steps") + 1] = str(STEPS + 3)
    run(words, 0)


if __name__ == "__main__":
    main()
