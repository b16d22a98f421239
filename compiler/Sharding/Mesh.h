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

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLExtras.h"

namespace qwen {

/// Name of the module's attribute that holds the mesh.
inline constexpr llvm::StringLiteral kMeshAttr = "qwen.mesh";

/// Axes from outermost to innermost.
using Mesh = std::vector<std::pair<std::string, int64_t>>;

/// Writes `mesh` to the module.
void setMesh(mlir::ModuleOp module, const Mesh &mesh);

/// Reads the module's mesh; an error at the module if there is none, or if it
/// is not a list of axes with distinct names and positive sizes.
mlir::FailureOr<Mesh> getMesh(mlir::ModuleOp module);

} // namespace qwen

#endif // QWEN_COMPILER_SHARDING_MESH_H
