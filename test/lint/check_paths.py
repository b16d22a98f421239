#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Names the lines of tracked files that hold an absolute path of this machine."""

import os
import re
import subprocess
import sys


def main():
    source = os.path.abspath(sys.argv[1])
    places = {source, os.path.dirname(source), os.path.expanduser("~")}
    # Folders that every machine has name none.
    places -= {"", "/", "/home", "/mnt", "/opt", "/srv", "/tmp", "/usr", "/var/tmp"}
    pattern = re.compile(
        rb"(?<![\w.~$%{}-])(" + b"|".join(re.escape(p.encode()) for p in places) + rb")/"
    )
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", source, "ls-files", "-z"], check=True, capture_output=True
    ).stdout
    files = [name.decode() for name in listing.split(b"\0") if name]
    bad = 0
    for name in files:
        path = os.path.join(source, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if pattern.search(line):
                    print(f"{name}:{number}: names a path of this machine")
                    bad += 1
    print(f"{len(files)} files looked at")
    sys.exit(1 if bad or not files else 0)


if __name__ == "__main__":
    main()
