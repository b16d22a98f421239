//===- ContractForm.cpp - What a kernel of a product multiplies -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/ContractForm.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

static int64_t dim(Value value, unsigned index) {
  return cast<RankedTensorType>(value.getType()).getDimSize(index);
}

FailureOr<ContractForm> ContractForm::of(kernel::FuncOp kernel) {
  ContractForm form;
  form.fn = kernel;
  form.product = nullptr;
  for (auto op : kernel.getBody().getOps<kernel::ContractOp>()) {
    if (form.product)
      return op.emitError("a contract kernel has one product"), failure();
    form.product = op;
  }
  if (!form.product)
    return kernel.emitError("a contract kernel needs a product"), failure();
  kernel::ContractOp op = form.product;
  form.results =
      cast<kernel::ReturnOp>(kernel.getBody().front().getTerminator());

  Value lhs = op.getLhs(), rhs = op.getRhs(), rhsMemory = rhs;
  bool inMemory = true;
  if (auto bytes = rhs.getDefiningOp<arith::SIToFPOp>()) {
    form.weights = WeightForm::Int8;
    rhsMemory = bytes.getIn();
  } else if (auto packed = rhs.getDefiningOp<kernel::UnpackInt4Op>()) {
    form.weights = WeightForm::Int4;
    rhsMemory = packed.getPacked();
    form.steps = dyn_cast<BlockArgument>(packed.getSteps());
    inMemory = static_cast<bool>(form.steps);
  }
  form.lhs = dyn_cast<BlockArgument>(lhs);
  form.rhs = dyn_cast<BlockArgument>(rhsMemory);
  if (!inMemory || !form.lhs || !form.rhs)
    return op.emitError("a product's operands must be in memory"), failure();

  form.lhsElement = getElementTypeOrSelf(lhs.getType());
  form.rhsElement = getElementTypeOrSelf(rhs.getType());
  for (Type type : {form.lhsElement, form.rhsElement})
    if (!type.isF32() && !type.isBF16())
      return op.emitError("no code for products of ") << type, failure();

  StringRef spec = op.getSpec();
  if (spec == "mk,nk->mn") {
    form.layout = Layout::NT;
    form.m = dim(lhs, 0), form.n = dim(rhs, 0), form.k = dim(lhs, 1);
  } else if (spec == "mk,kn->mn") {
    form.layout = Layout::NN;
    form.m = dim(lhs, 0), form.n = dim(rhs, 1), form.k = dim(lhs, 1);
  } else if (spec == "mn,mk->nk") {
    form.layout = Layout::TN;
    form.m = dim(lhs, 1), form.n = dim(rhs, 1), form.k = dim(lhs, 0);
  } else {
    return op.emitError("no code for the product \"") << spec << '"', failure();
  }
  if (form.weights != WeightForm::Plain && form.layout != Layout::NT)
    return op.emitError("no code for packed weights in the product \"")
               << spec << '"',
           failure();
  return form;
}
