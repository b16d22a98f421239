#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes a batch and a token file for the hand-written modules.

    tokens.py BATCH.safetensors TRAIN.bin
"""

import json
import random
import struct
import sys

random.seed(1)
tokens = [random.randrange(16) for _ in range(32)]
# Some targets are masked, and all of the last row.
targets = [-1 if i % 7 == 2 or i >= 24 else random.randrange(16) for i in range(32)]
header = json.dumps({
    "tokens": {"dtype": "I32", "shape": [4, 8], "data_offsets": [0, 128]},
    "targets": {"dtype": "I32", "shape": [4, 8], "data_offsets": [128, 256]},
}).encode()
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<Q", len(header)) + header + struct.pack("<64i", *tokens, *targets))
with open(sys.argv[2], "wb") as out:
    out.write(struct.pack("<4000I", *(random.randrange(16) for _ in range(4000))))
