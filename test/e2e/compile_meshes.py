#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""compile_meshes.py MODELS_DIR OUT.so: compiles qwen2.5-7b for meshes of 8 and 32
devices, in less than 60 s of processor time and 2 GB each."""

import os
import resource
import subprocess
import sys


def main():
    models, output = sys.argv[1:]
    spent = 0.0
    for mesh in ("2x4", "1x8", "1x32", "8x4"):
        subprocess.run(["qwenc", os.path.join(models, "qwen2.5-7b.yaml"), "--mesh", mesh,
                        "--set", "train.batch=8", "--cpu", "x86-64-v3", "-o", output], check=True)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = usage.ru_utime + usage.ru_stime - spent
        spent += seconds
        print(f"{mesh}: {seconds:.1f} s, {usage.ru_maxrss / 1e6:.2f} GB, "
              f"{os.path.getsize(output)} bytes")
        if seconds > 60 or usage.ru_maxrss > 2e6:
            sys.exit("too much")
        os.remove(output)


if __name__ == "__main__":
    main()
