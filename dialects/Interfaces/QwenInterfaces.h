//===- QwenInterfaces.h - Interfaces of the model ops -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_DIALECTS_INTERFACES_QWENINTERFACES_H
#define QWEN_DIALECTS_INTERFACES_QWENINTERFACES_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/OpDefinition.h"

namespace qwen {
/// Bytes of a dense tensor of a static shape; 0 for any other type.
int64_t tensorBytes(mlir::Type type);
/// Bytes of all tensor operands and results of `op`.
int64_t defaultBytes(mlir::Operation *op);
} // namespace qwen

#include "dialects/Interfaces/QwenInterfaces.h.inc"

#endif // QWEN_DIALECTS_INTERFACES_QWENINTERFACES_H
