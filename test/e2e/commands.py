#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""commands.py MODELS_DIR WORK_DIR: what users do wrong, and what they are told."""

import os
import re
import shutil
import subprocess
import sys

# Words, exit code, what stderr must contain (a regular expression).
CASES = [
    (["qwenc"], 2, r"MODEL|model"),
    (["qwenc", "{tiny}", "--targt", "cpu"], 2, r"--target"),
    (["qwenc", "{tiny}", "-o", "{out}", "--target", "cpo"], 2, r"cpu"),
    (["qwenc", "absent.yaml", "-o", "{out}"], 1, r"absent\.yaml"),
    (["qwenc", "{tiny}", "-o", "{out}", "--set", "dims.hiden=8"], 1, r"hidden"),
    (["qwenc", "{tiny}", "-o", "{out}", "--set", "dims.hidden=8.5"], 1, r"8\.5"),
    (["qwenc", "{tiny}", "-o", "no-such-folder/model.so"], 1, r"no-such-folder"),
    (["qwenc", "{tiny}", "--compile-to=modle"], 2, r"model"),
    (["qwen-rt"], 2, r"command|subcommand"),
    (["qwen-rt", "generat"], 2, r"generate"),
    (["qwen-rt", "generate", "absent.so", "-p", "x"], 1, r"absent\.so"),
    (["qwen-rt", "generate", "{tiny}", "-p", "x"], 1, r"tiny\.yaml"),
    (["qwen-rt", "train", "--stps", "5"], 2, r"--steps"),
    (["qwen-rt", "inspect", "absent.safetensors"], 1, r"absent"),
    (["qwen-rt", "data", "prepare", "absent.txt", "-o", "{out}", "--tokenizer",
      "absent.json"], 1, r"absent"),
]


def main():
    models, work = sys.argv[1:]
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    names = {"tiny": os.path.join(models, "tiny.yaml"),
             "out": os.path.join(work, "model.so")}
    wrong = 0
    for words, code, pattern in CASES:
        words = [word.format(**names) for word in words]
        result = subprocess.run(words, cwd=work, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=60)
        text = result.stderr
        found = []
        if result.returncode != code:
            found.append(f"exit code {result.returncode}, expected {code}")
        if not re.search(pattern, text):
            found.append(f"no '{pattern}' on stderr")
        if code == 1 and not re.search(r"error: [^A-Z].*\[Q\d{4}\]", text):
            found.append("no 'error: ... [Qnnnn]'")
        if re.search(r"Stack dump|terminate called|what\(\)|Assertion", text):
            found.append("a stack trace")
        if os.listdir(work):
            found.append(f"left behind: {os.listdir(work)}")
            shutil.rmtree(work)
            os.makedirs(work)
        for what in found:
            print(f"{' '.join(words)}: {what}\n    {text.strip()[:300]}")
            wrong += 1
    for program in ("qwenc", "qwen-rt"):
        for flag in ("--help", "--version"):
            result = subprocess.run([program, flag], capture_output=True, text=True)
            if result.returncode or not result.stdout.strip():
                print(f"{program} {flag}: exit code {result.returncode}")
                wrong += 1
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
