//===- Nvml.cpp - How busy a GPU is ---------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/Nvml.h"

#include <dlfcn.h>

using namespace qrt::cuda;

namespace {

struct Utilization {
  unsigned gpu, memory;
};

template <typename Function> Function *find(void *handle, const char *symbol) {
  return reinterpret_cast<Function *>(dlsym(handle, symbol));
}

} // namespace

std::unique_ptr<Nvml> Nvml::open(const std::string &pciBusId) {
  std::unique_ptr<Nvml> nvml(new Nvml);
  void *handle = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return nullptr;
  auto *init = find<int()>(handle, "nvmlInit_v2");
  auto *byBus = find<int(const char *, void **)>(
      handle, "nvmlDeviceGetHandleByPciBusId_v2");
  if (!init || !byBus || init() != 0) {
    dlclose(handle);
    return nullptr;
  }
  nvml->handle = handle;
  if (byBus(pciBusId.c_str(), &nvml->device) != 0)
    return nullptr;
  return nvml;
}

Nvml::~Nvml() {
  if (!handle)
    return;
  if (auto *shutdown = find<int()>(handle, "nvmlShutdown"))
    shutdown();
  dlclose(handle);
}

std::optional<double> Nvml::utilization() const {
  auto *rates =
      find<int(void *, Utilization *)>(handle, "nvmlDeviceGetUtilizationRates");
  Utilization value{};
  if (!rates || rates(device, &value) != 0)
    return std::nullopt;
  return value.gpu;
}
