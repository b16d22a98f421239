//===- QwenDialect.h - The model-level dialect ------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_DIALECTS_QWEN_QWENDIALECT_H
#define QWEN_DIALECTS_QWEN_QWENDIALECT_H

#include "dialects/Interfaces/QwenInterfaces.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/Qwen/QwenDialect.h.inc"
#include "dialects/Qwen/QwenEnums.h.inc"

#define GET_OP_CLASSES
#include "dialects/Qwen/QwenOps.h.inc"

namespace qwen {
/// The polynomial of qwen.muon's iteration: a x + b x^3 + c x^5 on singular
/// values, which takes (0, 1] to around 1 fast.
inline constexpr double kMuonA = 3.4445, kMuonB = -4.7750, kMuonC = 2.0315;

/// The value that `value` is a view of: what lies before all qwen.reshape.
mlir::Value behindReshapes(mlir::Value value);
} // namespace qwen

#endif // QWEN_DIALECTS_QWEN_QWENDIALECT_H
