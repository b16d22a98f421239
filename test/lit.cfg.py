# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The configuration of all lit tests. CONTRIBUTING.md lists the substitutions
and features; test/unit's binaries are found by test/unit/lit.cfg.py."""

import os
import platform
import shutil
import subprocess

import lit.formats

config.name = "qwen"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".yaml", ".test"]
config.excludes = ["Inputs", "reference", "unit", "corpus"]
config.test_source_root = os.path.dirname(os.path.abspath(__file__))
config.test_exec_root = os.path.join(config.build_dir, "test")

bin_dir = os.path.join(config.build_dir, "bin")
llvm_bin = "/usr/lib/llvm-22/bin"
shared = os.path.join(os.path.dirname(config.source_dir), "shared", "data")

config.environment["PATH"] = os.pathsep.join(
    [bin_dir, llvm_bin, config.environment.get("PATH", "")]
)
# Tests see no settings of the machine that could change a result.
for name in ("LC_ALL", "LANG"):
    config.environment[name] = "C.UTF-8"
config.environment["PYTHONDONTWRITEBYTECODE"] = "1"
config.environment["QWEN_SHARED_DATA"] = shared
for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "HOME", "CI"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

# The configured programs, then what the machine has.
for tool in ("qwenc", "qwen-opt", "qwen-exec", "qwen-rt"):
    if os.path.exists(os.path.join(bin_dir, tool)):
        config.available_features.add(tool)
if os.path.exists(os.path.join(bin_dir, "libqwen-comm-mpi.so")) and shutil.which("mpirun"):
    config.available_features.add("mpi")
    for name in ("ALLOW_RUN_AS_ROOT", "ALLOW_RUN_AS_ROOT_CONFIRM", "MCA_rmaps_base_oversubscribe"):
        config.environment["OMPI_" + name] = "1"
if os.path.isdir(shared):
    config.available_features.add("shared-data")
if lit_config.params.get("long") == "1":
    config.available_features.add("long")
for program in ("clang-format-22", "git"):
    if shutil.which(program):
        config.available_features.add(program)
if os.path.exists(os.path.join(config.source_dir, ".git")):
    config.available_features.add("checkout")

# An interpreter that has torch and transformers: QWEN_REFERENCE_PYTHON, or ours.
reference_python = os.environ.get("QWEN_REFERENCE_PYTHON", "python3")
try:
    find = "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"
    command = [reference_python, "-c", find, "torch", "transformers", "safetensors"]
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0:
        config.available_features.add("transformers")
except OSError:
    lit_config.note(f"QWEN_REFERENCE_PYTHON: no program {reference_python}")

try:
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        flags = next(l for l in cpuinfo if l.startswith("flags")).split()
except (OSError, StopIteration):
    flags = []
for feature, flag in (("avx2", "avx2"), ("avx512", "avx512f"), ("amx", "amx_tile")):
    if flag in flags:
        config.available_features.add(feature)
config.available_features.add(platform.machine())

# The sanitizers slow things down; LLVM's libraries are not instrumented, so what
# its headers poison here is never unpoisoned there.
for sanitizer in config.sanitize.split(","):
    if sanitizer:
        config.available_features.add("sanitize-" + sanitizer)
config.environment.setdefault(
    "ASAN_OPTIONS", "detect_container_overflow=0:allow_user_poisoning=0")
config.environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
if not config.sanitize:
    config.available_features.add("unsanitized")

fuzz_dir = os.path.join(config.build_dir + "-fuzz", "bin", "fuzz")
if not config.sanitize and os.path.isdir(fuzz_dir):
    for name in os.listdir(fuzz_dir):
        config.available_features.add(name)

# What every fuzzer runs with: bounded time and memory, the same start each time.
fuzz_seconds = 300 if "long" in config.available_features else 20
fuzz_flags = (
    f"-max_total_time={fuzz_seconds} -seed=1 -timeout=10 -rss_limit_mb=2048 "
    "-malloc_limit_mb=1024 -print_final_stats=1 -verbosity=0"
)

config.substitutions += [
    ("%{fuzz-flags}", fuzz_flags),
    ("%mpirun", "mpirun --bind-to none"),
    ("%launch", "python3 " + os.path.join(config.test_source_root, "Comm/Inputs/launch.py")),
    ("%modules", os.path.join(config.build_dir, "test", "unit", "TestModule")),
    ("%python", "python3"),
    ("%{transformers-python}", reference_python),
    ("%source", config.source_dir),
    ("%models", os.path.join(config.source_dir, "models")),
    ("%shared", shared),
    ("%fuzz", fuzz_dir),
    ("%bin", bin_dir),
    ("%compare", "python3 " + os.path.join(config.test_source_root, "e2e/compare.py")),
    ("%reference", os.path.join(config.test_source_root, "e2e/reference")),
]

try:
    import psutil  # noqa: F401  lit needs it for its time limit

    lit_config.maxIndividualTestTime = 1800 if config.sanitize else 600
except ImportError:
    lit_config.note("python3-psutil is not installed: tests have no time limit")
