//===- CublasLt.cpp - NVIDIA's matrix products, found at run time ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/CublasLt.h"

#include <cstdlib>
#include <dlfcn.h>

using namespace qrt;
using namespace qrt::cuda;

/// Newest first; the interface that is used is the same in all of them.
static constexpr const char *kLibraries[] = {"libcublasLt.so.13",
                                             "libcublasLt.so.12"};

std::string CublasLt::describe(cublasStatus_t status) const {
  const char *name = statusName(status);
  return name ? name : fmt::format("status {}", status);
}

std::string CublasLt::version() const {
  // 130002 is 13.0.2, and so was 120103 before it 12.1.3.
  size_t number = versionNumber();
  return fmt::format("cuBLASLt {}.{}.{}", number / 10000, number / 100 % 100,
                     number % 100);
}

/// Loads one file; null if there is none.
static std::shared_ptr<CublasLt> load(const char *file, std::string &reason) {
  auto library = std::make_shared<CublasLt>();
  library->handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library->handle)
    return library;
  const char *text = dlerror();
  reason = text ? text : file;
  return nullptr;
}

Expected<std::shared_ptr<const CublasLt>> CublasLt::open(std::string &reason) {
  const char *wanted = std::getenv("QWEN_CUBLASLT");
  std::shared_ptr<CublasLt> library;
  if (wanted && std::string_view(wanted) == "off") {
    reason = "QWEN_CUBLASLT is off";
    return std::shared_ptr<const CublasLt>();
  }
  if (wanted && *wanted) {
    library = load(wanted, reason);
    if (!library)
      return makeError(6053, "", "QWEN_CUBLASLT names no library: {}", reason);
  }
  for (const char *file : kLibraries)
    if (!library)
      library = load(file, reason);
  if (!library)
    return std::shared_ptr<const CublasLt>();

  const char *missing = nullptr;
  auto find = [&](auto &function, const char *symbol) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(
        dlsym(library->handle, symbol));
    if (!function && !missing)
      missing = symbol;
  };
  find(library->statusName, "cublasLtGetStatusName");
  find(library->versionNumber, "cublasLtGetVersion");
#define QRT_CUBLASLT_FUNCTION(member, symbol, parameters)                      \
  find(library->member, symbol);
#include "runtime/cuda/CublasLtFunctions.def"
#undef QRT_CUBLASLT_FUNCTION
  if (missing)
    return makeError(6053, "",
                     "this cuBLASLt has no {}: it is none of CUDA 12 or newer; "
                     "QWEN_CUBLASLT=off runs the module's own kernels",
                     missing);
  return std::shared_ptr<const CublasLt>(std::move(library));
}
