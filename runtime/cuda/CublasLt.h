//===- CublasLt.h - NVIDIA's matrix products, found at run time -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Our own declarations of what is used of cuBLASLt, so that building needs no
// CUDA headers and running without the library only costs speed. Names and
// values are those of NVIDIA's cublasLt.h, the same in CUDA 12 and 13.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDA_CUBLASLT_H
#define QWEN_RUNTIME_CUDA_CUBLASLT_H

#include "runtime/cuda/Driver.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace qrt::cuda {

using cublasStatus_t = int;
using cublasLtHandle_t = struct cublasLtContext *;
using cublasLtMatmulDesc_t = struct cublasLtMatmulDesc *;
using cublasLtMatrixLayout_t = struct cublasLtMatrixLayout *;
using cublasLtMatmulPreference_t = struct cublasLtMatmulPreference *;
struct cublasLtMatmulAlgo_t {
  uint64_t data[8];
};
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  size_t workspaceSize;
  cublasStatus_t state;
  float wavesCount;
  int reserved[4];
};
static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == 96);

constexpr cublasStatus_t kCublasSuccess = 0, kCublasNotSupported = 15;
constexpr int kCompute32F = 68;               // cublasComputeType_t
constexpr int kCudaR32F = 0, kCudaR16BF = 14; // cudaDataType_t
constexpr int32_t kOpN = 0, kOpT = 1;         // cublasOperation_t
constexpr uint32_t kEpilogueDefault = 1, kEpilogueBias = 4;
constexpr int kDescTransA = 3, kDescTransB = 4, kDescEpilogue = 7,
              kDescBiasPointer = 8;
constexpr int kPreferMaxWorkspace = 1, kPreferAlignmentA = 5,
              kPreferAlignmentB = 6, kPreferAlignmentC = 7,
              kPreferAlignmentD = 8;

/// The functions of the library. It is never unloaded: graphs and queued work
/// hold its kernels.
struct CublasLt {
  /// Loads it. QWEN_CUBLASLT in the environment is the file to load, or "off";
  /// without it the newest version that dlopen finds is taken. Null, with
  /// `reason` told, where it is off or not there. Errors: Q6053 (not that file,
  /// or a library without a function).
  static Expected<std::shared_ptr<const CublasLt>> open(std::string &reason);

  /// "CUBLAS_STATUS_NOT_SUPPORTED".
  std::string describe(cublasStatus_t status) const;
  /// "cuBLASLt 13.0.2".
  std::string version() const;

  const char *(*statusName)(cublasStatus_t) = nullptr;
  size_t (*versionNumber)() = nullptr;
#define QRT_CUBLASLT_FUNCTION(member, symbol, parameters)                      \
  cublasStatus_t(*member) parameters = nullptr;
#include "runtime/cuda/CublasLtFunctions.def"
#undef QRT_CUBLASLT_FUNCTION

  void *handle = nullptr;
};

} // namespace qrt::cuda

#endif // QWEN_RUNTIME_CUDA_CUBLASLT_H
