//===- Passes.h - Passes of the codegen phase -------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_PASSES_H
#define QWEN_COMPILER_CODEGEN_PASSES_H

#include <string>

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace qwen {

/// On the module after lower-to-cpu: bytes of scratch that a worker needs.
inline constexpr llvm::StringLiteral kWorkerScratch =
    "qwen.worker_scratch_bytes";

/// On a kernel after nvvm-to-host: bytes of shared memory before the dynamic
/// one.
inline constexpr llvm::StringLiteral kStaticSharedBytes =
    "qwen.static_shared_bytes";

/// The gpu.module of the kernels, after lower-to-nvidia.
inline constexpr llvm::StringLiteral kKernels = "kernels";
/// On the module after lower-to-nvidia: an array with a dictionary for each GPU
/// kernel, in the order of their numbers: name, params, shared (bytes),
/// threads.
inline constexpr llvm::StringLiteral kKernelTable = "qwen.kernels";
/// As kKernelTable, of the products that a library may do instead: the fields
/// of qrt_product.
inline constexpr llvm::StringLiteral kProductTable = "qwen.products";

/// The symbol of an entry's code for one level of the CPU, or another target.
std::string entrySymbol(llvm::StringRef entry, llvm::StringRef level);

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/Codegen/Passes.h.inc"
} // namespace qwen

#endif // QWEN_COMPILER_CODEGEN_PASSES_H
