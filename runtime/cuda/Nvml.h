//===- Nvml.h - How busy a GPU is -------------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDA_NVML_H
#define QWEN_RUNTIME_CUDA_NVML_H

#include <memory>
#include <optional>
#include <string>

namespace qrt::cuda {

/// libnvidia-ml.so.1, found at run time. Metrics are never worth an error:
/// without the library there are none.
class Nvml {
public:
  /// Null without the library or the GPU.
  static std::unique_ptr<Nvml> open(const std::string &pciBusId);
  ~Nvml();
  Nvml(const Nvml &) = delete;
  Nvml &operator=(const Nvml &) = delete;

  /// Percent of the last sample period in which a kernel ran.
  std::optional<double> utilization() const;

private:
  Nvml() = default;
  void *handle = nullptr;
  void *device = nullptr;
};

} // namespace qrt::cuda

#endif // QWEN_RUNTIME_CUDA_NVML_H
