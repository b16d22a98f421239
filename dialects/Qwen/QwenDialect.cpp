//===- QwenDialect.cpp - The model-level dialect --------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/QwenDialect.h"

#include "dialects/Kernel/KernelDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include "dialects/Qwen/QwenDialect.cpp.inc"
#include "dialects/Qwen/QwenEnums.cpp.inc"

void qwen::QwenDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Qwen/QwenOps.cpp.inc"
      >();
}
