//===- AlgorithmFile.h - The fastest algorithms of products -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDA_ALGORITHMFILE_H
#define QWEN_RUNTIME_CUDA_ALGORITHMFILE_H

#include "runtime/core/Error.h"
#include "runtime/cuda/CublasLt.h"

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace qrt::cuda {

/// Which of cuBLASLt's algorithms was the fastest for a product, measured
/// before: a JSON file
///
///   {"cuBLASLt 13.1.0, NVIDIA H200": {"TN 1024x32768x3072 bf16->bf16":
///       {"algorithm": [8 numbers], "microseconds": 271.5}}}
///
/// An algorithm holds for one version of the library and one kind of GPU, so
/// only those of `place` (the outer key) are used; the others stay.
class AlgorithmFile {
public:
  /// Reads the file if it is there. Errors: Q3001, Q3005, Q6053 (no such file).
  static Expected<AlgorithmFile> open(std::string path, std::string place);

  std::optional<cublasLtMatmulAlgo_t> find(const std::string &product) const;
  /// Adds what was measured, and writes the file. Errors: Q6053.
  Status add(const std::string &product, const cublasLtMatmulAlgo_t &algorithm,
             double microseconds);

private:
  std::string path, place;
  nlohmann::json content = nlohmann::json::object();
};

} // namespace qrt::cuda

#endif // QWEN_RUNTIME_CUDA_ALGORITHMFILE_H
