#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""large_model.py MODEL.yaml WORK_DIR: processor time and memory of qwenc for 28
and for 56 layers; two runs give the same bytes."""

import filecmp
import os
import resource
import shutil
import subprocess
import sys

SECONDS, BYTES, DEEPER = 30, 2e9, 1.10


def cost(*words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = lambda usage: usage.ru_utime + usage.ru_stime
    return used(after) - used(before), after.ru_maxrss * 1024


def main():
    model, work = sys.argv[1:]
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    times, files = {}, {}
    for layers in (28, 56, 28, 56, 28, 56):
        path = os.path.join(work, f"{layers}-{len(times.get(layers, []))}.so")
        seconds, peak = cost("qwenc", model, "-o", path, "--set", f"dims.layers={layers}")
        times.setdefault(layers, []).append(seconds)
        files.setdefault(layers, []).append(path)
        print(f"{layers} layers: {seconds:.2f} s of processor time, "
              f"{os.path.getsize(path)} bytes, peak so far {peak / 1e6:.0f} MB",
              flush=True)
    wrong = []
    # The least of three: what else the machine does only adds.
    if min(times[28]) > SECONDS:
        wrong.append(f"{min(times[28]):.1f} s, limit {SECONDS}")
    if peak > BYTES:
        wrong.append(f"{peak} bytes of memory, limit {BYTES:.0f}")
    if min(times[56]) > DEEPER * min(times[28]):
        wrong.append("twice the layers cost over a tenth more")
    for paths in files.values():
        if not all(filecmp.cmp(paths[0], path, shallow=False) for path in paths):
            wrong.append("two runs give different bytes")
    for text in wrong:
        print(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
