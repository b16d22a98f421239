#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Two results of `qwen-rt generate --json` must have the same ids."""

import json
import sys

first, second = (json.load(open(path, encoding="utf-8"))["ids"] for path in sys.argv[1:])
assert first and first == second, (first, second)
