#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Names the tracked C++ files that clang-format-22 would change."""

import subprocess
import sys


def main():
    source = sys.argv[1]
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", source, "ls-files", "-z", "--", "*.cpp", "*.h", "*.cc"],
        check=True,
        capture_output=True,
    ).stdout
    files = [name.decode() for name in listing.split(b"\0") if name]
    bad = []
    for begin in range(0, len(files), 50):
        run = subprocess.run(
            ["clang-format-22", "--dry-run", "-Werror"] + files[begin : begin + 50],
            cwd=source,
            capture_output=True,
            text=True,
        )
        if run.returncode:
            lines = run.stderr.splitlines()
            bad += [line.split(":")[0] for line in lines if ": error: " in line]
            if not bad:  # not a matter of format: say what it was
                sys.exit(run.stderr)
    for name in sorted(set(bad)):
        print(f"{name}: not formatted; run clang-format-22 -i {name}")
    print(f"{len(files)} files looked at")
    sys.exit(1 if bad or not files else 0)


if __name__ == "__main__":
    main()
