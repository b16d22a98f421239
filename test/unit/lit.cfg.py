# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""All GoogleTest binaries of this build, each of their tests counted."""

import os

import lit.formats
import lit.util


class UnitTests(lit.formats.GoogleTest):
    """Takes every executable in the folder, whatever its name."""

    def getTestsInDirectory(self, suite, path_in_suite, lit_config, local_config):
        folder = suite.getSourcePath(path_in_suite)
        if not os.path.isdir(folder):
            return
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                self.test_suffixes = {name}
                self.test_prefixes = {name}
                yield from super().getTestsInDirectory(
                    suite, path_in_suite, lit_config, local_config
                )


config.name = "qwen-unit"
config.test_source_root = os.path.join(config.build_dir, "bin", "tests")
config.test_exec_root = config.test_source_root
config.test_format = UnitTests(".", "")

shared = os.path.join(os.path.dirname(config.source_dir), "shared", "data")
config.environment["LC_ALL"] = "C.UTF-8"
config.environment["QWEN_SOURCE_DIR"] = config.source_dir
config.environment["QWEN_SHARED_DATA"] = shared
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "HOME", "CI"):
    if name in os.environ:
        config.environment[name] = os.environ[name]
config.environment.setdefault("ASAN_OPTIONS", "detect_container_overflow=0")
config.environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")

try:
    import psutil  # noqa: F401  lit needs it for its time limit

    lit_config.maxIndividualTestTime = 1800 if config.sanitize else 600
except ImportError:
    pass
