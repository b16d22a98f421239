//===- RelayoutForm.cpp - Copies around collectives -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/RelayoutForm.h"
#include "dialects/Dist/HeadOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

bool codegen::isRelayout(kernel::FuncOp kernel) {
  return blockIs<dist::PadGroupsOp>(kernel) || blockIs<dist::SliceOp>(kernel) ||
         blockIs<dist::PackOp>(kernel) || blockIs<dist::UnpackOp>(kernel);
}

static FailureOr<unsigned> argumentOf(Operation *op, Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return argument.getArgNumber();
  return op->emitError("an operand is not an argument of the kernel");
}

static LogicalResult fill(RelayoutForm &form, int64_t dimFromLast) {
  FailureOr<unsigned> source = argumentOf(form.op, form.op->getOperand(0));
  if (failed(source))
    return failure();
  form.source = *source;
  RankedTensorType type = form.type;
  form.hasRows = type.getRank() > 0 && type.isDynamicDim(0);
  int64_t dim = type.getRank() - 1 - dimFromLast;
  form.cutsTokens = dim == 1 && type.isDynamicDim(1);
  if (form.hasRows && dim < 1)
    return form.op->emitError("rows cannot be cut");
  form.before = form.piece = 1;
  for (auto [i, size] : llvm::enumerate(type.getShape()))
    if (!ShapedType::isDynamic(size))
      (static_cast<int64_t>(i) < dim ? form.before : form.piece) *= size;
  if (!form.cutsTokens)
    form.piece /= form.parts;
  return success();
}

FailureOr<RelayoutForm> codegen::relayoutForm(kernel::FuncOp kernel) {
  RelayoutForm form = {};
  auto inBucket = [&](Value bucket, int64_t offset) {
    auto type = cast<RankedTensorType>(bucket.getType());
    if (type.hasStaticShape())
      form.row = type.getNumElements() / form.parts;
    form.offset = offset;
  };
  auto common = [&](auto op, Value together) {
    form.op = op;
    form.type = cast<RankedTensorType>(together.getType());
    form.parts = static_cast<int64_t>(op.getParts());
    return fill(form, static_cast<int64_t>(op.getDim()));
  };
  if (auto op = blockOp<dist::SliceOp>(kernel)) {
    FailureOr<unsigned> place = argumentOf(op, op->getOperand(1));
    if (failed(place) || failed(common(op, op.getOperand())))
      return failure();
    form.place = *place;
  } else if (auto op = blockOp<dist::PackOp>(kernel)) {
    if (failed(common(op, op.getOperand())))
      return failure();
    form.toFront = true;
    inBucket(op.getResult(), op.getOffset());
  } else {
    auto unpack = blockOp<dist::UnpackOp>(kernel);
    if (failed(common(unpack, unpack.getResult())))
      return failure();
    inBucket(unpack.getOperand(), unpack.getOffset());
  }
  return form;
}

TokenNumbers codegen::tokenNumbers(ElementBuilder &k, const RelayoutForm &form,
                                   Value token, Value place) {
  Value tokens = k.sequence();
  Value own = k.divI(tokens, k.i64(form.parts));
  if (form.place) {
    Value row = k.divI(token, own), rest = k.remI(token, own);
    Value part = k.addI(k.mulI(row, form.parts), place);
    return {k.addI(k.mulI(part, own), rest), token};
  }
  Value row = k.divI(token, tokens), inRow = k.remI(token, tokens);
  Value part = k.divI(inRow, own), rest = k.remI(inRow, own);
  Value block = k.addI(k.mulI(part, k.batch()), row);
  return {token, k.addI(k.mulI(block, own), rest)};
}

FailureOr<PadForm> codegen::padForm(kernel::FuncOp kernel) {
  auto op = blockOp<dist::PadGroupsOp>(kernel);
  PadForm form = {};
  FailureOr<unsigned> source = argumentOf(op, op.getOperand());
  if (failed(source))
    return failure();
  form.source = *source;
  if (op.getStart()) {
    FailureOr<unsigned> start = argumentOf(op, op.getStart());
    if (failed(start))
      return failure();
    form.start = *start;
  }
  auto type = cast<RankedTensorType>(op.getOperand().getType());
  if (!type.hasStaticShape())
    return op.emitError("rows have no groups");
  form.element = type.getElementType();
  form.groups = op.getGroups();
  form.entry = 1;
  for (auto [i, size] : llvm::enumerate(type.getShape())) {
    if (static_cast<int64_t>(i) < op.position())
      form.groups *= size;
    if (static_cast<int64_t>(i) > op.position())
      form.entry *= size;
  }
  form.width = op.width();
  form.size = op.size();
  return form;
}
