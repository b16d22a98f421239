//===- KernelOracle.h - A kernel's body, op by op ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs kernels of elementary ops on whole arrays in the simplest way: the
// reference for emitters.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_CODEGEN_KERNELORACLE_H
#define QWEN_TEST_UNIT_CODEGEN_KERNELORACLE_H

#include <cstdint>
#include <string>
#include <vector>

namespace qwen::testing {

/// Element types of arrays in memory.
enum class Element { F32, BF16, I32 };

/// A dense tensor; its numbers are exact in the element type.
struct Array {
  Element element = Element::F32;
  std::vector<int64_t> shape;
  std::vector<double> values;

  int64_t size() const { return values.size(); }
  /// The bytes in memory, and back.
  std::vector<char> pack() const;
  void unpack(const char *bytes);
};

/// The text of `kernel` with the ops of the model in it decomposed; what fusion
/// makes of them. Empty if it does not parse.
std::string decomposeKernel(const std::string &kernel);

/// The shapes of a kernel's arguments and results with `rows` for the first
/// dynamic dimension (batch and sequence if there are two), zeros inside.
struct Signature {
  std::vector<Array> arguments, results;
  /// For each result the argument in the same memory, or -1.
  std::vector<int> inplace;
};
Signature signatureOf(const std::string &kernel, int64_t batch,
                      int64_t sequence);

/// The results of the kernel: every op in f64, rounded to its element type,
/// sums in f64.
std::vector<Array> runOracle(const std::string &kernel,
                             const std::vector<Array> &arguments, int64_t rows);

} // namespace qwen::testing

#endif // QWEN_TEST_UNIT_CODEGEN_KERNELORACLE_H
