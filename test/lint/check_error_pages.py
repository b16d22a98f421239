#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Holds the error codes in the sources against the pages in docs/errors."""

import os
import re
import subprocess
import sys

# A code is given as Q1234 in a text, or as a number to a function that makes an
# error; `makeError(/*code=*/1234` and a line break after the bracket count too.
CODE = re.compile(
    r"\bQ([1-9]\d{3})\b|[eE]rror\w*\(\s*(?:/\*\w+=\*/\s*)?([1-9]\d{3})\s*[,)]"
)
PLACES = ("compiler", "dialects", "runtime", "tools")


def main():
    source = sys.argv[1]
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", source, "ls-files", "-z", "--", *PLACES],
        check=True, capture_output=True,
    ).stdout
    files = [name.decode() for name in listing.split(b"\0") if name]
    used, text_of_all = {}, []
    for name in files:
        path = os.path.join(source, name)
        if not name.endswith((".cpp", ".h", ".td")) or not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text_of_all.append(text)
        for match in CODE.finditer(text):
            used.setdefault(match.group(1) or match.group(2), name)
    pages = {
        match.group(1)
        for name in os.listdir(os.path.join(source, "docs", "errors"))
        if (match := re.fullmatch(r"Q(\d{4})\.md", name))
    }
    bad = 0
    for code in sorted(set(used) - pages):
        print(f"{used[code]}: Q{code} has no page docs/errors/Q{code}.md")
        bad += 1
    everything = "\n".join(text_of_all)
    for code in sorted(pages):
        if not re.search(rf"(?<!\d){code}(?!\d)", everything):
            print(f"docs/errors/Q{code}.md: no source uses this code")
            bad += 1
    print(f"{len(used)} codes, {len(pages)} pages")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
