//===- EmitAttention.cpp - Causal attention -------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A unit is one head of one sequence and a block of its queries. It goes over
// blocks of keys with the running maximum and denominator of Milakov and
// Gimelshein (arXiv 1805.02867), so no row of probabilities is ever whole. Keys
// before the first that its first query sees are not touched.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Cpu/AttentionTile.h"
#include "compiler/Codegen/Cpu/Emitters.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

FailureOr<KernelCode> cpu::emitAttention(kernel::FuncOp fn,
                                         const CpuTarget &target,
                                         ModuleOp module) {
  auto op = blockOp<AttentionOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  int64_t heads = dimOf(op.getQ(), 2), groups = dimOf(op.getK(), 2);
  int64_t headDim = dimOf(op.getQ(), 3);
  AttentionTile tile = {headDim,
                        op.getScale().convertToDouble(),
                        elementOf(op.getQ()),
                        elementOf(op.getK()),
                        elementOf(op.getV()),
                        elementOf(op.getResult())};

  SimdBuilder b(fn, 0, target, module);
  Value q = operandPointer(b, op.getQ()), k = operandPointer(b, op.getK());
  Value v = operandPointer(b, op.getV());
  Value result = resultPointer(b, op.getResult());
  Value lse = resultPointer(b, op.getLse());
  FirstKeys firstKeys = {static_cast<int64_t>(op.getWindow())};
  if (op.getStarts())
    firstKeys.starts = operandPointer(b, op.getStarts());
  Value sequence = b.sequence();
  Value blocks = b.ceilDiv(sequence, AttentionTile::kQueries);
  b.loop(b.begin(), b.end(), 1, [&](Value unit) {
    Value first = b.mul(b.rem(unit, blocks), AttentionTile::kQueries);
    Value headOf = b.div(unit, blocks);
    Value head = b.rem(headOf, heads);
    Value row = b.mul(b.div(headOf, heads), sequence);
    Value group = b.div(head, heads / groups);

    Value queryRow = b.add(row, first);
    Value queryOffset = b.add(b.mul(queryRow, heads), head);
    Value keyOffset = b.mul(b.add(b.mul(row, groups), group), headDim);
    Value queryStride = b.cst(heads * headDim);
    Value keyStride = b.cst(groups * headDim);
    AttentionTile::Operands operands;
    operands.q = {b.at(q, b.mul(queryOffset, headDim), tile.q), queryStride};
    operands.k = {b.at(k, keyOffset, tile.k), keyStride};
    operands.v = {b.at(v, keyOffset, tile.v), keyStride};
    operands.out = {b.at(result, b.mul(queryOffset, headDim), tile.out),
                    queryStride};
    if (lse)
      operands.lse = {b.at(lse, queryOffset), b.cst(heads)};
    operands.first = first;
    operands.queries = b.min(b.sub(sequence, first), AttentionTile::kQueries);
    operands.keys = b.add(first, operands.queries);
    operands.firstKeys = firstKeys.from(b, queryRow);
    emitAttentionTile(b, module, tile, operands, b.scratch());
  });

  MLIRContext *context = fn.getContext();
  AffineExpr units =
      getAffineSymbolExpr(0, context) *
      getAffineSymbolExpr(1, context).ceilDiv(AttentionTile::kQueries) * heads;
  KernelCode code;
  code.tasks.push_back(b.task(AffineMap::get(0, 3, units), /*grain=*/1));
  code.scratchBytes = attentionScratchBytes(tile, target);
  return code;
}

int64_t cpu::workspaceAttention(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}
