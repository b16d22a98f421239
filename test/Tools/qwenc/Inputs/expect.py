# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""expect.py CODE PATTERN COMMAND...: the command ends with the code, prints
nothing on stdout and one error that matches and has a code on stderr."""

import re
import subprocess
import sys

code, pattern, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
result = subprocess.run(command, capture_output=True, text=True, timeout=60)
wrong = []
if result.returncode != code:
    wrong.append(f"exit code {result.returncode}, expected {code}")
if result.stdout:
    wrong.append("something on stdout")
first = (result.stderr.splitlines() or [""])[0]
if not re.search(pattern, first):
    wrong.append(f"the first line does not match {pattern}")
if not re.search(r"error: .*\[Q\d{4}\]$", first):
    wrong.append("the first line is not `error: ... [Qnnnn]`")
if wrong:
    print(f"{' '.join(command)}: {'; '.join(wrong)}\n{result.stderr}")
    sys.exit(1)
