//===- BlockOperands.cpp - Operands of block ops in memory ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"

using namespace mlir;
using namespace qwen;

LogicalResult qwen::verifyBlock(Operation *op) {
  for (Value operand : op->getOperands()) {
    if (!isa<BlockArgument>(operand))
      return op->emitError("operands of a block op must be in memory");
    Type element = elementOf(operand);
    if (isa<FloatType>(element) && !element.isF32() && !element.isBF16())
      return op->emitError("no code for operands of ") << element;
  }
  return success();
}

int qwen::returnedNumber(Value result) {
  if (!result)
    return -1;
  Operation *terminator = result.getDefiningOp()->getBlock()->getTerminator();
  for (OpOperand &returned : terminator->getOpOperands())
    if (returned.get() == result)
      return returned.getOperandNumber();
  return -1;
}
