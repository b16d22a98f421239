#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""module_file.py MODULE PATH...: the symbols and libraries of a module are the
allowed ones, and no PATH (nor the home folder) occurs in it."""

import ctypes
import os
import subprocess
import sys

ALLOWED_LIBRARIES = {"libc.so.6", "libm.so.6"}
EXPORTED = {"qwen_module_query"}
# Weak symbols that any shared library refers to.
WEAK = {"__cxa_finalize", "__gmon_start__", "_ITM_registerTMCloneTable",
        "_ITM_deregisterTMCloneTable"}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def in_libc(name):
    for library in sorted(ALLOWED_LIBRARIES):
        try:
            getattr(ctypes.CDLL(library), name)
            return True
        except AttributeError:
            continue
    return False


def main():
    module, paths = sys.argv[1], sys.argv[2:]
    wrong = []
    with open(module, "rb") as file:
        data = file.read()
    for path in [*paths, os.path.expanduser("~"), "/tmp/"]:
        if path.encode() in data:
            wrong.append(f"holds the path {path}")
    undefined = {
        line.split()[-1].split("@")[0]
        for line in output("llvm-nm", "-D", "--undefined-only", module).splitlines()
    }
    wrong += [f"undefined symbol {name}" for name in sorted(undefined - WEAK)
              if not in_libc(name)]
    defined = {
        line.split()[-1]
        for line in output("llvm-nm", "-D", "--defined-only", module).splitlines()
    }
    if defined != EXPORTED:
        wrong.append(f"exports {sorted(defined)}")
    needed = {
        line.strip()
        for line in output("llvm-readobj", "--needed-libs", module).splitlines()
        if ".so" in line and ":" not in line
    }
    wrong += [f"needs {name}" for name in sorted(needed - ALLOWED_LIBRARIES)]
    sections = output("llvm-readobj", "--sections", module)
    if ".qwen.manifest" not in sections:
        wrong.append("has no section .qwen.manifest")
    for name in (".tdata", ".tbss"):
        if f"Name: {name} " in sections:
            wrong.append(f"has thread-local data ({name})")
    print(f"{len(data)} bytes, undefined: {sorted(undefined)}, needs: {sorted(needed)}")
    for text in wrong:
        print(text)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
