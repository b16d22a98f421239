#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A double of ptxas: writes no machine code, and says of the first kernel that its
registers spill; not under the demand for blocks that SPILLS_NOT_AT names."""

import os
import re
import sys

arguments = sys.argv[1:]
with open(arguments[-1], encoding="utf-8") as file:
    entry = re.search(r"\.entry (\S+)\(.*?\n{", file.read(), re.DOTALL)
kernel = entry.group(1)
demand = re.search(r"\.minnctapersm (\d+)", entry.group())
spills = not demand or demand.group(1) != os.environ.get("SPILLS_NOT_AT")
with open(arguments[arguments.index("-o") + 1], "wb") as file:
    file.write(b"no machine code")
print(f"ptxas info    : Compiling entry function '{kernel}' for 'sm_90a'")
print(f"ptxas info    : Function properties for {kernel}")
if spills:
    print("    8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads")
else:
    print("    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads")
