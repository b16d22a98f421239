//===- KernelCheck.h - Holds kernels against the oracle ---------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_CODEGEN_KERNELCHECK_H
#define QWEN_TEST_UNIT_CODEGEN_KERNELCHECK_H

#include <functional>

#include "test/unit/Codegen/KernelOracle.h"
#include "test/unit/Codegen/KernelRunner.h"

namespace qwen::testing {

/// How inputs are made and results compared.
struct CheckOptions {
  /// Integer arguments are drawn from [lowest, highest].
  int64_t lowest = 0, highest = 9;
  /// Floats are normals with this deviation.
  double scale = 1;
  /// Allowed error relative to the largest number of a result (f32), and in
  /// units of a bf16 number's last place.
  double tolerance = 2e-6;
  double bf16Tolerance = 0.51;
  /// The error is relative to each number, not to the largest.
  bool isRelative = false;
  /// Part of the error with which a GPU may refuse the kernel.
  std::string gpuRefusal;
  /// Changes the inputs after they are drawn.
  std::function<void(std::vector<Array> &)> prepare;
  /// Computes what is expected, instead of the oracle.
  std::function<std::vector<Array>(const std::vector<Array> &)> expected;
};

/// `tensor<SIZESxELEMENT>`; without sizes a scalar.
inline std::string tensor(const std::string &sizes,
                          const std::string &element) {
  return "tensor<" + (sizes.empty() ? "" : sizes + "x") + element + ">";
}

/// A kernel @k of `root`.
inline std::string kernelText(const std::string &root,
                              const std::string &arguments,
                              const std::string &results,
                              const std::string &body) {
  return "kernel.func " + root + " @k(" + arguments + ") -> (" + results +
         ") {\n" + body + "}\n";
}

/// Compiles `kernel` (its model ops decomposed) for every level this machine
/// can run, and checks results, guards around buffers, and that the bits do not
/// depend on how the work is divided.
void checkKernel(const std::string &kernel, int64_t batch, int64_t sequence,
                 const CheckOptions &options = {});

} // namespace qwen::testing

#endif // QWEN_TEST_UNIT_CODEGEN_KERNELCHECK_H
