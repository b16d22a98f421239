//===- Driver.h - The CUDA driver, found at run time ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Our own declarations of the few entry points of libcuda.so.1 that are used,
// so that building needs no CUDA headers and running without a GPU needs no
// library. Names and values are those of NVIDIA's driver API.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDA_DRIVER_H
#define QWEN_RUNTIME_CUDA_DRIVER_H

#include "runtime/core/Error.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace qrt::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st *;
using CUstream = struct CUstream_st *;
using CUevent = struct CUevent_st *;
using CUmodule = struct CUmod_st *;
using CUfunction = struct CUfunc_st *;
using CUgraph = struct CUgraph_st *;
using CUgraphExec = struct CUgraphExec_st *;

constexpr CUresult kSuccess = 0, kOutOfMemory = 2;
constexpr int kComputeMajor = 75, kComputeMinor = 76; // device attributes
constexpr int kMaxSharedOptin = 97;
constexpr int kMaxDynamicShared = 8;           // function attribute
constexpr unsigned kNonBlocking = 1;           // stream
constexpr unsigned kTiming = 0, kNoTiming = 2; // event
constexpr int kCaptureThreadLocal = 1;
constexpr int kJitInfoLog = 3, kJitInfoLogBytes = 4, kJitErrorLog = 5,
              kJitErrorLogBytes = 6, kJitLogVerbose = 12;

/// The functions of the driver.
struct Driver {
  /// Loads the library (libcuda.so.1) and starts it. Errors: Q6050 with what to
  /// do: no driver, one that is too old, no GPU.
  static Expected<std::shared_ptr<const Driver>>
  open(const std::string &library = "libcuda.so.1");
  ~Driver();

  /// "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)".
  std::string describe(CUresult result) const;

#define QRT_CUDA_FUNCTION(member, symbol, parameters)                          \
  CUresult(*member) parameters = nullptr;
#include "runtime/cuda/DriverFunctions.def"
#undef QRT_CUDA_FUNCTION

  void *handle = nullptr;
};

} // namespace qrt::cuda

#endif // QWEN_RUNTIME_CUDA_DRIVER_H
