//===- Driver.cpp - The CUDA driver, found at run time --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/Driver.h"

#include <dlfcn.h>

using namespace qrt;
using namespace qrt::cuda;

Driver::~Driver() {
  if (handle)
    dlclose(handle);
}

std::string Driver::describe(CUresult result) const {
  const char *name = nullptr, *text = nullptr;
  if (errorName(result, &name) != kSuccess || !name)
    return fmt::format("error {}", result);
  if (errorString(result, &text) != kSuccess || !text)
    return name;
  return fmt::format("{} ({})", name, text);
}

Expected<std::shared_ptr<const Driver>>
Driver::open(const std::string &library) {
  auto driver = std::make_shared<Driver>();
  driver->handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!driver->handle) {
    const char *reason = dlerror();
    return makeError(6050, "",
                     "there is no NVIDIA driver on this machine ({}); install "
                     "it, or choose --device cpu",
                     reason ? reason : library);
  }
  const char *missing = nullptr;
#define QRT_CUDA_FUNCTION(member, symbol, parameters)                          \
  driver->member =                                                             \
      reinterpret_cast<CUresult(*) parameters>(dlsym(driver->handle, symbol)); \
  if (!driver->member && !missing)                                             \
    missing = symbol;
#include "runtime/cuda/DriverFunctions.def"
#undef QRT_CUDA_FUNCTION
  if (missing)
    return makeError(6050, "",
                     "the NVIDIA driver is too old: it has no {}; install one "
                     "for CUDA 12 or newer, or choose --device cpu",
                     missing);
  if (CUresult result = driver->init(0); result != kSuccess)
    return makeError(6050, "",
                     "the NVIDIA driver does not start: {}; check it with "
                     "nvidia-smi, or choose --device cpu",
                     driver->describe(result));
  return std::shared_ptr<const Driver>(std::move(driver));
}
