//===- Manifest.h - What a module says about itself -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The document of runtime/abi/manifest.md. It grows with the phases, as JSON in
// a resource of the module, so that --compile-from finds all of it in the IR:
// `import` writes what the model file says, `memory` adds the entry points and
// the plan, `codegen` the code's variants.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MODULE_MANIFEST_H
#define QWEN_COMPILER_MODULE_MANIFEST_H

#include <string>
#include <vector>

#include "compiler/Frontend/Spec.h"
#include "compiler/Module/ModuleTables.h"
#include "mlir/IR/BuiltinOps.h"

namespace qwen {

/// Name of the module's attribute that holds the document.
inline constexpr llvm::StringLiteral kManifestAttr = "qwen.manifest";

/// After `import`: writes what the model file says, and the mesh.
void attachModel(mlir::ModuleOp module, const ModelSpec &spec);

/// After `memory`: adds the entry points, in the module's order, and the memory
/// plan. A diagnostic at the module if the attribute is missing or damaged.
mlir::LogicalResult attachEntries(mlir::ModuleOp module);

/// Before `codegen`: notes for which of --cpu's values code is emitted.
void attachCpu(mlir::ModuleOp module, llvm::StringRef cpu);

/// The document as far as it is known.
mlir::FailureOr<llvm::json::Object> getManifest(mlir::ModuleOp module);

/// After `codegen`: the whole document as text, keys sorted, and the variants
/// in its order. `modules` are those of the targets; the images are not there
/// yet. What targets have in common is taken from the first.
struct FinishedManifest {
  std::string text;
  std::vector<ModuleVariant> variants;
};
mlir::FailureOr<FinishedManifest>
finishManifest(llvm::ArrayRef<mlir::ModuleOp> modules);

} // namespace qwen

#endif // QWEN_COMPILER_MODULE_MANIFEST_H
