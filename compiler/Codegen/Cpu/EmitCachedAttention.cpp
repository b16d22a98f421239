//===- EmitCachedAttention.cpp - Attention over a cache -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A unit is one head of one sequence and a block of its queries: matrix
// products for a prompt, dot products for the few queries of a decoding step.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Cpu/AttentionTile.h"
#include "compiler/Codegen/Cpu/Emitters.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

// Below so many queries packing the keys would cost more than it gains.
static constexpr int64_t kFewQueries = 6;

FailureOr<KernelCode> cpu::emitCachedAttention(kernel::FuncOp fn,
                                               const CpuTarget &target,
                                               ModuleOp module) {
  auto op = blockOp<CachedAttentionOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  int64_t heads = dimOf(op.getQ(), 2), headDim = dimOf(op.getQ(), 3);
  int64_t groups = dimOf(op.getK(), 1), length = dimOf(op.getK(), 2);
  AttentionTile tile = {headDim,
                        op.getScale().convertToDouble(),
                        elementOf(op.getQ()),
                        elementOf(op.getK()),
                        elementOf(op.getV()),
                        elementOf(op.getResult())};

  SimdBuilder b(fn, 0, target, module);
  Value q = operandPointer(b, op.getQ()), k = operandPointer(b, op.getK());
  Value v = operandPointer(b, op.getV());
  Value start = operandPointer(b, op.getStart());
  Value result = resultPointer(b, op.getResult());
  int64_t fixed = dimOf(op.getQ(), 1);
  bool isDynamic = ShapedType::isDynamic(fixed);
  Value sequence = isDynamic ? b.sequence() : b.cst(fixed);
  Value blocks = b.ceilDiv(sequence, AttentionTile::kQueries);
  b.loop(b.begin(), b.end(), 1, [&](Value unit) {
    Value first = b.mul(b.rem(unit, blocks), AttentionTile::kQueries);
    Value headOf = b.div(unit, blocks);
    Value head = b.rem(headOf, heads), item = b.div(headOf, heads);
    Value group = b.div(head, heads / groups);

    Value queryRow = b.add(b.mul(item, sequence), first);
    Value queryOffset = b.mul(b.add(b.mul(queryRow, heads), head), headDim);
    Value keyOffset =
        b.mul(b.add(b.mul(item, groups), group), length * headDim);
    Value queryStride = b.cst(heads * headDim), keyStride = b.cst(headDim);
    Value begin =
        b.toI64(b.load(b.b.getI32Type(), b.at(start, item, b.b.getI32Type())));
    AttentionTile::Operands operands;
    operands.q = {b.at(q, queryOffset, tile.q), queryStride};
    operands.k = {b.at(k, keyOffset, tile.k), keyStride};
    operands.v = {b.at(v, keyOffset, tile.v), keyStride};
    operands.out = {b.at(result, queryOffset, tile.out), queryStride};
    operands.first = b.add(begin, first);
    operands.queries = b.min(b.sub(sequence, first), AttentionTile::kQueries);
    // What is written past the cache's end is not there to be read.
    operands.keys = b.min(b.add(operands.first, operands.queries), length);
    operands.firstKeys = {static_cast<int64_t>(op.getWindow())};
    auto few = [&] { emitAttentionRows(b, tile, operands, b.scratch()); };
    if (!isDynamic && fixed < kFewQueries)
      few();
    else
      b.when(b.lt(operands.queries, b.cst(kFewQueries)), few, [&] {
        emitAttentionTile(b, module, tile, operands, b.scratch());
      });
  });

  MLIRContext *context = fn.getContext();
  AffineExpr blocksOf =
      isDynamic
          ? getAffineSymbolExpr(1, context).ceilDiv(AttentionTile::kQueries)
          : getAffineConstantExpr(
                llvm::divideCeil(fixed, AttentionTile::kQueries), context);
  AffineExpr units = getAffineSymbolExpr(0, context) * blocksOf * heads;
  KernelCode code;
  code.tasks.push_back(b.task(AffineMap::get(0, 3, units), /*grain=*/1));
  code.scratchBytes = attentionScratchBytes(tile, target);
  return code;
}

int64_t cpu::workspaceCachedAttention(kernel::FuncOp, const CpuTarget &,
                                      int64_t) {
  return 0;
}
