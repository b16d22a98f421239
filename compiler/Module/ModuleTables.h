//===- ModuleTables.h - What the loader sees of a module --------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MODULE_MODULETABLES_H
#define QWEN_COMPILER_MODULE_MODULETABLES_H

#include <string>
#include <vector>

#include "compiler/Module/ObjectFile.h"
#include "runtime/abi/qwen_module.h"

namespace qwen {

/// A kernel of a GPU (qrt_kernel).
struct ModuleKernel {
  std::string name;
  uint32_t threads = 0, sharedBytes = 0, params = 0;
  std::string thread; // symbol of its host code; empty: none
};

/// Code of a GPU (qrt_image).
struct ModuleImage {
  uint32_t kind = 0, arch = 0;
  bool archSpecific = false;
  std::string bytes; // PTX without the zero byte at its end
};

/// The code of one target at one instruction-set level.
struct ModuleVariant {
  std::string target;               // "cpu", "cuda", "cuda-sim"
  std::string level;                // "amx", "x86-64-v4", "x86-64-v3"
  std::vector<std::string> entries; // symbols, in the manifest's order
  std::vector<ModuleKernel> kernels;
  std::vector<ModuleImage> images;
  std::vector<qrt_product> products;
};

/// The object that makes the others a module of runtime/abi/qwen_module.h: the
/// exported query function, the tables it returns and the manifest's section.
/// All variants have the same number of entries; the first is tried first.
llvm::Expected<ObjectBytes>
emitModuleTables(llvm::ArrayRef<ModuleVariant> variants,
                 llvm::StringRef manifest);

} // namespace qwen

#endif // QWEN_COMPILER_MODULE_MODULETABLES_H
