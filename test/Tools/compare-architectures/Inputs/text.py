# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""text.py FOLDER: text and val, of enough different words for 8,192 tokens."""

import os
import random
import sys

random.seed(3)
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "is")]
WORDS = ["".join(random.choices(SYLLABLES, k=random.randint(1, 4))) for _ in range(12000)]
for name, count in (("text", 150000), ("val", 4000)):
    with open(os.path.join(sys.argv[1], name), "w", encoding="ascii") as file:
        file.write(" ".join(random.choices(WORDS, k=count)) + "\n")
