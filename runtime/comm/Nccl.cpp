//===- Nccl.cpp - NVIDIA's library of collectives, found at run time ------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Nccl.h"

#include <dlfcn.h>

using namespace qrt;
using namespace qrt::nccl;

int nccl::typeOf(DType type) {
  // F32, BF16, F16, I32, I64, I8, U8
  static constexpr int kTypes[] = {7, 9, 6, 2, 4, 0, 1};
  return kTypes[static_cast<int>(type)];
}

Expected<std::shared_ptr<const Library>>
Library::open(const std::string &file) {
  auto library = std::make_shared<Library>();
  library->handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library->handle) {
    const char *why = dlerror();
    return makeError(9023, "",
                     "cannot load {}, which the backend nccl needs: {}; "
                     "install NCCL 2.18 or newer (package libnccl2)",
                     file, why ? why : "");
  }
  const char *missing = nullptr;
  auto find = [&](auto &function, const char *symbol) {
    using Function = std::remove_reference_t<decltype(function)>;
    function = reinterpret_cast<Function>(dlsym(library->handle, symbol));
    if (!function && !missing)
      missing = symbol;
  };
#define QRT_NCCL_FUNCTION(member, symbol, parameters)                          \
  find(library->member, symbol);
#include "runtime/comm/NcclFunctions.def"
#undef QRT_NCCL_FUNCTION
  find(library->errorString, "ncclGetErrorString");
  find(library->lastError, "ncclGetLastError");
  int version = 0;
  bool isKnown = library->version && library->version(&version) == kSuccess;
  if (missing || !isKnown || version < kOldestVersion)
    return makeError(9023, "",
                     "{} is NCCL {}.{}.{}, the backend nccl needs 2.18 or "
                     "newer{}{}",
                     file, version / 10000, version / 100 % 100, version % 100,
                     missing ? ": it lacks " : "", missing ? missing : "");
  return std::shared_ptr<const Library>(std::move(library));
}

std::string Library::describe(Result result) const {
  const char *text = errorString(result), *detail = lastError(nullptr);
  std::string message = text ? text : fmt::format("code {}", result);
  if (detail && *detail)
    message += fmt::format(" ({})", detail);
  return message;
}
