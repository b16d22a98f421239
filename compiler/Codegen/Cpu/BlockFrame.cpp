//===- BlockFrame.cpp - Memory of a block op's operands -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/BlockFrame.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

LogicalResult cpu::verifyBlock(Operation *op) {
  for (Value operand : op->getOperands()) {
    if (!isa<BlockArgument>(operand))
      return op->emitError("operands of a block op must be in memory");
    Type element = elementOf(operand);
    if (isa<FloatType>(element) && !element.isF32() && !element.isBF16())
      return op->emitError("no CPU code for operands of ") << element;
  }
  return success();
}

Value cpu::operandPointer(KernelBuilder &b, Value operand) {
  return b.argument(cast<BlockArgument>(operand).getArgNumber());
}

Value cpu::resultPointer(KernelBuilder &b, Value result) {
  if (!result)
    return {};
  Operation *terminator = result.getDefiningOp()->getBlock()->getTerminator();
  for (OpOperand &returned : terminator->getOpOperands())
    if (returned.get() == result)
      return b.result(returned.getOperandNumber());
  return {};
}
