//===- BlockOperands.cpp - Memory of a block op's operands --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/BlockOperands.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;

LogicalResult nvidia::verifyBlock(Operation *op) {
  for (Value operand : op->getOperands()) {
    if (!isa<BlockArgument>(operand))
      return op->emitError("operands of a block op must be in memory");
    Type element = elementOf(operand);
    if (isa<FloatType>(element) && !element.isF32() && !element.isBF16())
      return op->emitError("no GPU code for operands of ") << element;
  }
  return success();
}

Value nvidia::operandPointer(KernelBuilder &k, Value operand) {
  return k.argument(cast<BlockArgument>(operand).getArgNumber());
}

Value nvidia::resultPointer(KernelBuilder &k, Value result) {
  if (!result)
    return {};
  Operation *terminator = result.getDefiningOp()->getBlock()->getTerminator();
  for (OpOperand &returned : terminator->getOpOperands())
    if (returned.get() == result)
      return k.result(returned.getOperandNumber());
  return {};
}

LogicalResult nvidia::verifyShared(Operation *op, const Launch &launch) {
  if (launch.sharedBytes <= kMaxSharedBytes)
    return success();
  return op->emitError("needs ")
         << launch.sharedBytes << " bytes of shared memory, a GPU has "
         << kMaxSharedBytes;
}
