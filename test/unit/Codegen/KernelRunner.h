//===- KernelRunner.h - Compiles and runs one kernel ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_CODEGEN_KERNELRUNNER_H
#define QWEN_TEST_UNIT_CODEGEN_KERNELRUNNER_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/Codegen/Cpu/CpuTarget.h"
#include "llvm/Support/Error.h"

namespace qwen::testing {

/// What one launch works on. Results have their own entries; an argument and a
/// result in the same memory have the same pointer.
struct Launch {
  std::vector<void *> arguments, results;
  int64_t batch = 1, sequence = 1;
};

/// A CPU at one level, or GPU kernels run by the simulator.
struct TestTarget {
  std::optional<cpu::CpuTarget> cpu;

  bool isGpu() const { return !cpu; }
  bool hasAmx() const { return cpu && cpu->hasAmx(); }
  std::string name() const { return cpu ? cpu->name().str() : "cuda-sim"; }
};

/// One kernel, compiled for one target into this process.
class KernelRunner {
public:
  /// Compiles the only kernel.func of an MLIR text.
  static llvm::Expected<std::unique_ptr<KernelRunner>>
  create(const std::string &text, const TestTarget &target, int64_t maxRows);
  ~KernelRunner();

  /// Runs all tasks on this thread in chunks of `chunk` units (0: each task's
  /// own grain), backwards if `reversed`. Scratch and workspace start as NaNs.
  /// On a GPU everything is copied to aligned memory and back, `chunk` is the
  /// number of threads of the host (0: one), and a fault fails the test.
  void run(const Launch &launch, int64_t chunk = 0, bool reversed = false);
  /// Runs all tasks on `threads` threads, for measurements.
  void runParallel(const Launch &launch, unsigned threads);

  int64_t workspaceBytes() const;
  int64_t scratchBytes() const;

private:
  KernelRunner();
  struct State;
  std::unique_ptr<State> state;
};

/// The levels of the CPU that this machine can run, lowest first, then the GPU.
std::vector<TestTarget> runnableTargets();

/// bf16 as bits.
uint16_t toBf16(float value);
float fromBf16(uint16_t bits);

} // namespace qwen::testing

#endif // QWEN_TEST_UNIT_CODEGEN_KERNELRUNNER_H
