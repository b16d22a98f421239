//===- EmitAttention.cpp - Causal attention on GPUs -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/FlashAttention.h"
#include "compiler/Codegen/Nvidia/SharedMemory.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;

/// The matrix of one head of a tensor [B, T, H, D].
static GlobalMatrix headOf(KernelBuilder &b, Value tensor, Value batch,
                           Value head) {
  int64_t heads = dimOf(tensor, 2), headDim = dimOf(tensor, 3);
  Value row = b.mulI(b.mulI(batch, b.sequence()), heads);
  Value pointer = b.pointerAt(operandPointer(b, tensor), elementOf(tensor),
                              b.mulI(b.addI(row, head), headDim));
  return {pointer,           elementOf(tensor), heads * headDim,
          b.sequence(),      b.i64(headDim),    headDim,
          /*isAligned=*/true};
}

FailureOr<KernelCode> nvidia::emitAttention(kernel::FuncOp fn,
                                            const NvidiaTarget &target,
                                            gpu::GPUModuleOp module) {
  auto op = blockOp<AttentionOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  int64_t heads = dimOf(op.getQ(), 2), groups = dimOf(op.getK(), 2);
  KernelBuilder b(fn, 0, target, module, FlashForward::scores().threads());
  // Late tiles have the most keys: they go first.
  Value tiles = b.divI(b.addI(b.sequence(), kQueries - 1), b.i64(kQueries));
  Value tile = b.subI(b.subI(tiles, b.i64(1)), b.block(0));
  Value head = b.block(1), batch = b.block(2);
  Value group = b.divI(head, b.i64(heads / groups));
  FlashForward flash;
  flash.q = headOf(b, op.getQ(), batch, head);
  flash.k = headOf(b, op.getK(), batch, group);
  flash.v = headOf(b, op.getV(), batch, group);
  flash.headDim = dimOf(op.getQ(), 3);
  flash.scale = op.getScale().convertToDouble();
  flash.element = attentionElement({op.getQ(), op.getK(), op.getV()});
  flash.firstQuery = b.mulI(tile, kQueries);
  flash.position = b.i64(0);
  flash.window = op.getWindow();
  if (Value starts = op.getStarts())
    flash.starts = b.pointerAt(operandPointer(b, starts), elementOf(starts),
                               b.mulI(batch, b.sequence()));
  Value row = b.addI(b.mulI(b.mulI(batch, b.sequence()), heads), head);
  flash.outElement = elementOf(op.getResult());
  flash.out = b.pointerAt(resultPointer(b, op.getResult()), flash.outElement,
                          b.mulI(row, flash.headDim));
  flash.outStride = heads * flash.headDim;
  if (Value lse = resultPointer(b, op.getLse()))
    flash.lse = b.pointerAt(lse, b.f32(), row);
  flash.lseStride = heads;
  flash.emit(b);

  MLIRContext *context = fn.getContext();
  AffineExpr queries = getAffineSymbolExpr(1, context).ceilDiv(kQueries);
  Launch launch =
      b.launch(AffineMap::get(0, 3, queries), blocks(context, heads),
               AffineMap::get(0, 3, getAffineSymbolExpr(0, context)));
  if (failed(verifyShared(op, launch)))
    return failure();
  return KernelCode{launch};
}

int64_t nvidia::workspaceAttention(kernel::FuncOp, const NvidiaTarget &,
                                   int64_t) {
  return 0;
}
