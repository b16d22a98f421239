//===- DistOps.cpp - Collectives ------------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/DecomposeBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

#define GET_OP_CLASSES
#include "dialects/Dist/DistOps.cpp.inc"

bool dist::isCollective(Operation *op) {
  return isa<AllReduceOp, AllGatherOp, ReduceScatterOp, AllToAllOp>(op);
}

ArrayRef<int64_t> dist::axesOf(Operation *collective) {
  return collective->getAttrOfType<DenseI64ArrayAttr>("axes").asArrayRef();
}

FailureOr<SmallVector<Value>> LocalIdsOp::decompose(OpBuilder &b,
                                                    ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value offset = d.everywhere(in[1], in[0]);
  return SmallVector<Value>{
      arith::AddIOp::create(b, getLoc(), in[0], offset).getResult()};
}
