//===- LibraryProduct.h - Products that a library may do ------- -*- C++
//-*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A contract kernel with `kernel.impl = "library"` is code of our own and the
// description of what cuBLASLt does instead, where the machine has it: the
// product and as much of the epilogue as the library computes exactly, with the
// roundings that the kernel's body says. What is left of the epilogue is a
// kernel of ours behind it.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_LIBRARYPRODUCT_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_LIBRARYPRODUCT_H

#include "compiler/Codegen/ContractForm.h"
#include "compiler/Codegen/Nvidia/NvidiaKernels.h"

namespace qwen::nvidia {

/// On a contract kernel: "library" or "generated".
inline constexpr llvm::StringLiteral kImplAttr = "kernel.impl";
inline constexpr llvm::StringLiteral kLibrary = "library";
inline constexpr llvm::StringLiteral kGenerated = "generated";

/// The part of a contract kernel that the library does:
///   value = round(lhs rhs + addend + bias), in f32 and rounded once.
struct LibraryProduct {
  mlir::Value value;
  /// Number of the kernel's result whose memory takes it.
  unsigned result;
  mlir::BlockArgument addend, bias; ///< null: none
};

/// The largest part that the library computes exactly; none if it has no exact
/// form of the product, or no fast one (rows that are not aligned to 16 bytes).
std::optional<LibraryProduct>
findLibraryProduct(const codegen::ContractForm &form);

/// What the runtime needs to know of it.
qrt_product describeLibraryProduct(const codegen::ContractForm &form,
                                   const LibraryProduct &product);

/// Sets `kernel.impl` of a contract kernel that has none: the library wherever
/// it can, since it reaches the tensor cores' full rate and our tiles do not.
void chooseImplementation(kernel::FuncOp kernel);

/// Whether the kernel is to be done by the library where there is one.
bool usesLibrary(kernel::FuncOp kernel);

/// Workspace for a library's product with at most `maxRows` rows.
int64_t libraryWorkspaceBytes(const codegen::ContractForm &form,
                              int64_t maxRows);

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_LIBRARYPRODUCT_H
