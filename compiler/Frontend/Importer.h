//===- Importer.h - A model as qwen ops -------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FRONTEND_IMPORTER_H
#define QWEN_COMPILER_FRONTEND_IMPORTER_H

#include "compiler/Frontend/Spec.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace qwen {

struct ImportOptions {
  bool train = true; // eval_loss, from which autodiff makes micro_step
  bool infer = true; // prefill, decode
};

/// Writes the model as `qwen.param` symbols and the entry points `eval_loss`,
/// `logits`, `prefill` and `decode` (dialects/Qwen/Entry.h), the layers rolled.
/// Every op is at its place in the model file (the file's name, no folder).
/// Loads the dialects it needs. Fails, with a diagnostic, only if the module
/// does not verify.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
importModel(mlir::MLIRContext &context, const ModelSpec &spec,
            const ImportOptions &options = {});

} // namespace qwen

#endif // QWEN_COMPILER_FRONTEND_IMPORTER_H
