# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""All GoogleTest binaries of this build, each of their tests counted."""

import os

import lit.formats

config.name = "qwen-unit"
config.test_source_root = os.path.join(config.build_dir, "bin", "tests")
config.test_exec_root = config.test_source_root
config.test_format = lit.formats.GoogleTest(".", "")
# Every executable there, whatever its name (but not what lit writes beside it).
folder = config.test_source_root
config.test_format.test_suffixes = {
    name
    for name in (os.listdir(folder) if os.path.isdir(folder) else ())
    if os.access(os.path.join(folder, name), os.X_OK) and "." not in name
} or {"no binary was built"}

shared = os.path.join(os.path.dirname(config.source_dir), "shared", "data")
config.environment["LC_ALL"] = "C.UTF-8"
config.environment["QWEN_SOURCE_DIR"] = config.source_dir
config.environment["QWEN_SHARED_DATA"] = shared
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "HOME", "CI"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
config.environment.setdefault(
    "ASAN_OPTIONS", "detect_container_overflow=0:allow_user_poisoning=0")
config.environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")

try:
    import psutil  # noqa: F401  lit needs it for its time limit

    lit_config.maxIndividualTestTime = 1800 if config.sanitize else 600
except ImportError:
    pass
