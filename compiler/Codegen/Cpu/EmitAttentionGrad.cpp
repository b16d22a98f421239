//===- EmitAttentionGrad.cpp - The gradients of attention -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A unit is one key/value head of one sequence with all query heads of its
// group: it alone adds to its keys' and values' gradients, block by block in a
// fixed order, in f32. Probabilities are recomputed from the saved log-sum-exp.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Cpu/AttentionTile.h"
#include "compiler/Codegen/Cpu/Emitters.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

// Queries and keys of one step.
static constexpr int64_t kQueries = 64, kKeys = 128;

namespace {
/// Emits the one task.
class AttentionGradEmitter {
public:
  AttentionGradEmitter(AttentionGradOp op, SimdBuilder &b, ModuleOp module);
  void emit();
  static int64_t scratchBytes(AttentionGradOp op, const CpuTarget &target);

private:
  /// One block of queries (from `q0`) of one head.
  void emitQueries(Value head, Value q0);
  /// One pair of blocks: keys from `s0`.
  void emitPair(Value q0, Value queries, Value s0, Value keys);
  void emitDelta(Value queries);
  /// ds from p's scores and dp, in place.
  void emitScores(Value q0, Value queries, Value s0, Value keys);
  /// One row of them: `visible` keys from s0 on, without the first `hidden` if
  /// that is not null.
  void emitScoreRow(Value t, Value keys, Value visible, Value hidden);
  void convert(Value accumulator, Value result, Type element);

  Matrix advance(Matrix matrix, Value row, Type element) {
    return {b.at(matrix.base, b.mul(row, matrix.stride), element),
            matrix.stride};
  }
  static int64_t paddedDim(AttentionGradOp op) {
    return llvm::alignTo(dimOf(op.getQ(), 3), kLanes);
  }

  AttentionGradOp op;
  SimdBuilder &b;
  ModuleOp module;
  int64_t heads, groups, headDim;
  double scale;
  Type f32, tGrad, tQ, tK, tV, tOut;
  // Scratch.
  Value scores, dScores, dQuery, delta, gemm;
  // The unit's sequence: its first row, its k and v, and their gradients.
  Value firstRow, headDimValue;
  Matrix k, v, dKey, dValue;
  // The current head's queries from q0.
  Matrix q, grad, out;
  Value lse;
  FirstKeys firstKeys;
};
} // namespace

AttentionGradEmitter::AttentionGradEmitter(AttentionGradOp op, SimdBuilder &b,
                                           ModuleOp module)
    : op(op), b(b), module(module), heads(dimOf(op.getQ(), 2)),
      groups(dimOf(op.getK(), 2)), headDim(dimOf(op.getQ(), 3)),
      scale(op.getScale().convertToDouble()), f32(b.f32()),
      tGrad(elementOf(op.getGrad())), tQ(elementOf(op.getQ())),
      tK(elementOf(op.getK())), tV(elementOf(op.getV())),
      tOut(elementOf(op.getOut())) {
  scores = b.scratch();
  dScores = b.advance(scores, 4 * kQueries * kKeys);
  dQuery = b.advance(dScores, 4 * kQueries * kKeys);
  delta = b.advance(dQuery, 4 * kQueries * paddedDim(op));
  gemm = b.advance(delta, 4 * kQueries);
  headDimValue = b.cst(headDim);
}

int64_t AttentionGradEmitter::scratchBytes(AttentionGradOp op,
                                           const CpuTarget &target) {
  return 4 * kQueries * (2 * kKeys + paddedDim(op) + 1) +
         gemmScratchBytes(target);
}

// delta[t] = grad . out
void AttentionGradEmitter::emitDelta(Value queries) {
  b.loop(queries, 1, [&](Value t) {
    Matrix gradRow = advance(grad, t, tGrad), outRow = advance(out, t, tOut);
    Value end = headDimValue;
    auto sum =
        b.loop(b.cst(0), end, kLanes, ValueRange{b.splat(0.0)},
               [&](Value d, ValueRange carried) {
                 Value mask = b.mask(b.sub(end, d));
                 Value x = b.loadV(tGrad, b.at(gradRow.base, d, tGrad), mask);
                 Value y = b.loadV(tOut, b.at(outRow.base, d, tOut), mask);
                 return SimdBuilder::Values{b.fma(x, y, carried[0])};
               });
    b.store(b.sumLanes(sum[0]), b.at(delta, t));
  });
}

// p = exp(scale score - lse), ds = p (dp - delta) scale; both 0 where the key
// is not visible.
void AttentionGradEmitter::emitScoreRow(Value t, Value keys, Value visible,
                                        Value hidden) {
  Value zero = b.splat(0.0), scales = b.splat(scale);
  Value lses = b.splat(b.load(f32, b.at(lse, b.mul(t, heads))));
  Value deltas = b.splat(b.load(f32, b.at(delta, t)));
  Value row = b.mul(t, kKeys);
  b.loop(keys, kLanes, [&](Value s) {
    Value offset = b.add(row, s);
    Value pAt = b.at(scores, offset), dsAt = b.at(dScores, offset);
    Value mask = b.mask(b.sub(visible, s));
    auto only = [&](Value lanes) {
      lanes = b.select(mask, lanes, zero);
      return hidden ? b.select(b.mask(b.sub(hidden, s)), zero, lanes) : lanes;
    };
    Value score = b.mulF(b.loadV(f32, pAt), scales);
    Value p = only(b.exp(b.subF(score, lses)));
    Value ds = b.mulF(p, b.mulF(b.subF(b.loadV(f32, dsAt), deltas), scales));
    b.storeV(p, f32, pAt);
    b.storeV(only(ds), f32, dsAt);
  });
}

void AttentionGradEmitter::emitScores(Value q0, Value queries, Value s0,
                                      Value keys) {
  b.loop(queries, 1, [&](Value t) {
    Value last = b.add(q0, t), visible = b.add(b.sub(last, s0), 1);
    if (!firstKeys.any())
      return emitScoreRow(t, keys, visible, {});
    Value hidden = b.sub(firstKeys.of(b, t, last), s0);
    b.when(
        b.le(hidden, b.cst(0)), [&] { emitScoreRow(t, keys, visible, {}); },
        [&] { emitScoreRow(t, keys, visible, hidden); });
  });
}

void AttentionGradEmitter::emitPair(Value q0, Value queries, Value s0,
                                    Value keys) {
  Matrix kBlock = advance(k, s0, tK), vBlock = advance(v, s0, tV);
  Matrix p = {scores, b.cst(kKeys)}, ds = {dScores, b.cst(kKeys)};
  Value zero = b.cst(0), one = b.cst(1);
  emitGemm(b, module,
           {{GemmForm::NT, tQ, tK},
            q,
            kBlock,
            p,
            queries,
            keys,
            headDimValue,
            zero,
            gemm});
  emitGemm(b, module,
           {{GemmForm::NT, tGrad, tV},
            grad,
            vBlock,
            ds,
            queries,
            keys,
            headDimValue,
            zero,
            gemm});
  emitScores(q0, queries, s0, keys);
  emitGemm(b, module,
           {{GemmForm::TN, f32, tGrad},
            p,
            grad,
            advance(dValue, s0, f32),
            keys,
            headDimValue,
            queries,
            one,
            gemm});
  emitGemm(b, module,
           {{GemmForm::TN, f32, tQ},
            ds,
            q,
            advance(dKey, s0, f32),
            keys,
            headDimValue,
            queries,
            one,
            gemm});
  emitGemm(b, module,
           {{GemmForm::NN, f32, tK},
            ds,
            kBlock,
            {dQuery, b.cst(paddedDim(op))},
            queries,
            headDimValue,
            keys,
            one,
            gemm});
}

void AttentionGradEmitter::emitQueries(Value head, Value q0) {
  Value sequence = b.sequence();
  Value queries = b.min(b.sub(sequence, q0), kQueries);
  Value index = b.add(b.mul(b.add(firstRow, q0), heads), head);
  Value offset = b.mul(index, headDim), stride = b.cst(heads * headDim);
  q = {b.at(operandPointer(b, op.getQ()), offset, tQ), stride};
  grad = {b.at(operandPointer(b, op.getGrad()), offset, tGrad), stride};
  out = {b.at(operandPointer(b, op.getOut()), offset, tOut), stride};
  lse = b.at(operandPointer(b, op.getLse()), index);
  firstKeys.window = op.getWindow();
  if (op.getStarts())
    firstKeys.starts = operandPointer(b, op.getStarts());
  firstKeys = firstKeys.from(b, b.add(firstRow, q0));
  emitDelta(queries);
  b.fill(dQuery, b.mul(queries, paddedDim(op)), 0);
  Value visible = b.add(q0, queries);
  // No query sees a key before the first query's.
  Value begin = firstKeys.of(b, b.cst(0), q0);
  b.loop(begin, visible, kKeys, [&](Value s0) {
    emitPair(q0, queries, s0, b.min(b.sub(visible, s0), kKeys));
  });
  Type tDq = elementOf(op.getDq());
  Value dq = b.at(resultPointer(b, op.getDq()), offset, tDq);
  b.loop(queries, 1, [&](Value t) {
    Value from = b.at(dQuery, b.mul(t, paddedDim(op)));
    Value to = b.at(dq, b.mul(t, stride), tDq);
    b.lanes(headDimValue, [&](Value d, Value mask) {
      b.storeV(b.loadV(f32, b.at(from, d), mask), tDq, b.at(to, d, tDq), mask);
    });
  });
}

// The unit's rows of an f32 accumulator, rounded into the result.
void AttentionGradEmitter::convert(Value accumulator, Value result,
                                   Type element) {
  if (accumulator == result)
    return;
  b.loop(b.sequence(), 1, [&](Value s) {
    Value row = b.mul(s, groups * headDim);
    Value from = b.at(accumulator, row), to = b.at(result, row, element);
    b.lanes(headDimValue, [&](Value d, Value mask) {
      b.storeV(b.loadV(f32, b.at(from, d), mask), element, b.at(to, d, element),
               mask);
    });
  });
}

void AttentionGradEmitter::emit() {
  Type tDk = elementOf(op.getDk()), tDv = elementOf(op.getDv());
  Value sequence = b.sequence();
  b.loop(b.begin(), b.end(), 1, [&](Value unit) {
    Value group = b.rem(unit, groups);
    firstRow = b.mul(b.div(unit, groups), sequence);
    Value offset = b.mul(b.add(b.mul(firstRow, groups), group), headDim);
    Value stride = b.cst(groups * headDim);
    k = {b.at(operandPointer(b, op.getK()), offset, tK), stride};
    v = {b.at(operandPointer(b, op.getV()), offset, tV), stride};
    Value dkResult = b.at(resultPointer(b, op.getDk()), offset, tDk);
    Value dvResult = b.at(resultPointer(b, op.getDv()), offset, tDv);
    // f32 results are their own accumulators; others are in the workspace,
    // laid out as the results.
    Value elements = b.mul(b.rows(), groups * headDim);
    Value dk = dkResult, dv = dvResult, free = b.workspace();
    if (!tDk.isF32()) {
      dk = b.at(free, offset);
      free = b.at(free, elements);
    }
    if (!tDv.isF32())
      dv = b.at(free, offset);
    dKey = {dk, stride};
    dValue = {dv, stride};
    b.loop(sequence, 1, [&](Value s) {
      b.fill(b.at(dk, b.mul(s, stride)), headDimValue, 0);
      b.fill(b.at(dv, b.mul(s, stride)), headDimValue, 0);
    });
    Value firstHead = b.mul(group, heads / groups);
    b.loop(firstHead, b.add(firstHead, heads / groups), 1, [&](Value head) {
      b.loop(sequence, kQueries, [&](Value q0) { emitQueries(head, q0); });
    });
    convert(dk, dkResult, tDk);
    convert(dv, dvResult, tDv);
  });
}

FailureOr<KernelCode> cpu::emitAttentionGrad(kernel::FuncOp fn,
                                             const CpuTarget &target,
                                             ModuleOp module) {
  auto op = blockOp<AttentionGradOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  SimdBuilder b(fn, 0, target, module);
  AttentionGradEmitter(op, b, module).emit();
  MLIRContext *context = fn.getContext();
  AffineExpr units = getAffineSymbolExpr(0, context) * dimOf(op.getK(), 2);
  KernelCode code;
  code.tasks.push_back(b.task(AffineMap::get(0, 3, units), /*grain=*/1));
  code.scratchBytes = AttentionGradEmitter::scratchBytes(op, target);
  return code;
}

int64_t cpu::workspaceAttentionGrad(kernel::FuncOp fn, const CpuTarget &,
                                    int64_t maxRows) {
  auto op = blockOp<AttentionGradOp>(fn);
  int64_t accumulators = !elementOf(op.getDk()).isF32();
  accumulators += !elementOf(op.getDv()).isF32();
  return 4 * accumulators * maxRows * dimOf(op.getK(), 2) * dimOf(op.getK(), 3);
}
