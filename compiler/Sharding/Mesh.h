//===- Mesh.h - The device mesh of a module ---------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_SHARDING_MESH_H
#define QWEN_COMPILER_SHARDING_MESH_H

#include <string>
#include <utility>
#include <vector>

#include "dialects/Dist/Sharding.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"

namespace qwen {

/// Name of the module's attribute that holds the mesh.
inline constexpr llvm::StringLiteral kMeshAttr = "qwen.mesh";

/// Of the module: what the model file says under `parallel`, `{rules = {heads =
/// "tensor", ...}, zero = 0 : i64, dims = {heads = 16 : i64, ...}}`.
inline constexpr llvm::StringLiteral kParallelAttr = "qwen.parallel";
/// Of an entry point: the sub-axes that its batch is split over.
inline constexpr llvm::StringLiteral kBatchAttr = "dist.batch";
/// Of an entry point: the sub-axes that the residual stream's sequence is split
/// over.
inline constexpr llvm::StringLiteral kSequenceAttr = "dist.sequence";
/// Of a parameter: how ops read it.
inline constexpr llvm::StringLiteral kComputeAttr = "dist.compute";

/// Axes from outermost to innermost.
using Mesh = std::vector<std::pair<std::string, int64_t>>;

/// The prime factors of the axes, the larger ones of an axis first.
dist::SubAxes subAxesOf(const Mesh &mesh);
/// The numbers of the sub-axes of axis `name`; none if there is no such axis.
dist::Axes subAxesOf(llvm::StringRef name, const dist::SubAxes &axes);

/// Writes `mesh` to the module.
void setMesh(mlir::ModuleOp module, const Mesh &mesh);

/// Reads the module's mesh; an error at the module if there is none, or if it
/// is not a list of axes with distinct names and positive sizes.
mlir::FailureOr<Mesh> getMesh(mlir::ModuleOp module);

} // namespace qwen

#endif // QWEN_COMPILER_SHARDING_MESH_H
