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
// delta is the mean of dp under p, not grad . out, which is the same but for
// out's rounding: so each row of ds adds up to zero, and the gradient of a bias
// of keys is what the positions leave of it, not noise. Rows with more keys
// than one block holds find delta in a pass of its own.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Cpu/AttentionTile.h"
#include "compiler/Codegen/Cpu/Emitters.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

// Queries and keys of one step.
static constexpr int64_t kQueries = 64, kKeys = 512;

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
  /// Scores and dp of one pair of blocks: keys from `s0`.
  void emitProducts(Value queries, Value s0, Value keys);
  /// p in place of its scores; `findsDelta`: adds p dp to delta, p to sums.
  void emitProbabilities(Value q0, Value queries, Value s0, Value keys,
                         bool findsDelta);
  /// ds in place of dp, and p in the type of its products.
  void emitScoreGrads(Value q0, Value queries, Value s0, Value keys);
  /// The products of p and ds.
  void addGradients(Value queries, Value s0, Value keys);
  /// Calls `row` for each query with a function that zeros the lanes of the 16
  /// keys from s on that it does not see.
  using Visible = llvm::function_ref<Value(Value s, Value lanes)>;
  void forEachQuery(Value q0, Value queries, Value s0,
                    llvm::function_ref<void(Value t, Visible only)> row);
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
  Type f32, tGrad, tQ, tK, tV;
  /// What p and ds are rounded to for their products, as FlashAttention does:
  /// bf16 if all else is.
  Type tP;
  // Scratch.
  Value scores, dScores, dQuery, delta, sums, gemm;
  // The unit's sequence: its first row, its k and v, and their gradients.
  Value firstRow, headDimValue;
  Matrix k, v, dKey, dValue;
  // The current head's queries from q0.
  Matrix q, grad;
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
      tP(tGrad == tQ && tQ == tK ? tQ : f32) {
  scores = b.scratch();
  dScores = b.advance(scores, 4 * kQueries * kKeys);
  dQuery = b.advance(dScores, 4 * kQueries * kKeys);
  delta = b.advance(dQuery, 4 * kQueries * paddedDim(op));
  sums = b.advance(delta, 4 * kQueries);
  gemm = b.advance(sums, 4 * kQueries);
  headDimValue = b.cst(headDim);
}

int64_t AttentionGradEmitter::scratchBytes(AttentionGradOp op,
                                           const CpuTarget &target) {
  return 4 * kQueries * (2 * kKeys + paddedDim(op) + 2) +
         gemmScratchBytes(target);
}

void AttentionGradEmitter::forEachQuery(
    Value q0, Value queries, Value s0,
    llvm::function_ref<void(Value t, Visible only)> row) {
  Value zero = b.splat(0.0);
  b.loop(queries, 1, [&](Value t) {
    Value last = b.add(q0, t), visible = b.add(b.sub(last, s0), 1);
    auto seen = [&](Value s, Value lanes) {
      return b.select(b.mask(b.sub(visible, s)), lanes, zero);
    };
    if (!firstKeys.any())
      return row(t, seen);
    Value hidden = b.sub(firstKeys.of(b, t, last), s0);
    auto both = [&](Value s, Value lanes) {
      return b.select(b.mask(b.sub(hidden, s)), zero, seen(s, lanes));
    };
    b.when(
        b.le(hidden, b.cst(0)), [&] { row(t, seen); }, [&] { row(t, both); });
  });
}

// p = exp(scale score - lse).
void AttentionGradEmitter::emitProbabilities(Value q0, Value queries, Value s0,
                                             Value keys, bool findsDelta) {
  Value scales = b.splat(scale);
  forEachQuery(q0, queries, s0, [&](Value t, Visible only) {
    Value lses = b.splat(b.load(f32, b.at(lse, b.mul(t, heads))));
    Value row = b.mul(t, kKeys);
    auto found =
        b.loop(b.cst(0), keys, kLanes, ValueRange{b.splat(0.0), b.splat(0.0)},
               [&](Value s, ValueRange carried) {
                 Value at = b.at(scores, b.add(row, s));
                 Value score = b.mulF(b.loadV(f32, at), scales);
                 Value p = only(s, b.exp(b.subF(score, lses)));
                 b.storeV(p, f32, at);
                 if (!findsDelta)
                   return SimdBuilder::Values(carried);
                 Value dp = only(s, b.loadV(f32, b.at(dScores, b.add(row, s))));
                 return SimdBuilder::Values{b.fma(p, dp, carried[0]),
                                            b.addF(p, carried[1])};
               });
    if (!findsDelta)
      return;
    for (auto [lanes, line] : {std::pair(found[0], delta), {found[1], sums}}) {
      Value at = b.at(line, t);
      b.store(b.addF(b.load(f32, at), b.sumLanes(lanes)), at);
    }
  });
}

// ds = p (dp - delta / sum) scale. A narrower type never overtakes what is
// still read.
void AttentionGradEmitter::emitScoreGrads(Value q0, Value queries, Value s0,
                                          Value keys) {
  Value scales = b.splat(scale);
  forEachQuery(q0, queries, s0, [&](Value t, Visible only) {
    Value deltas = b.splat(
        b.divF(b.load(f32, b.at(delta, t)), b.load(f32, b.at(sums, t))));
    Value row = b.mul(t, kKeys);
    Value pRow = b.at(scores, row), dsRow = b.at(dScores, row);
    b.loop(keys, kLanes, [&](Value s) {
      Value p = b.loadV(f32, b.at(pRow, s));
      Value dp = only(s, b.loadV(f32, b.at(dsRow, s)));
      Value ds = b.mulF(p, b.mulF(b.subF(dp, deltas), scales));
      b.storeV(p, tP, b.at(pRow, s, tP));
      b.storeV(ds, tP, b.at(dsRow, s, tP));
    });
  });
}

void AttentionGradEmitter::emitProducts(Value queries, Value s0, Value keys) {
  auto multiply = [&](Matrix lhs, Type left, Matrix rhs, Type right,
                      Value out) {
    emitGemm(b, module,
             {{GemmForm::NT, left, right},
              lhs,
              rhs,
              {out, b.cst(kKeys)},
              queries,
              keys,
              headDimValue,
              b.cst(0),
              gemm});
  };
  multiply(q, tQ, advance(k, s0, tK), tK, scores);
  multiply(grad, tGrad, advance(v, s0, tV), tV, dScores);
}

void AttentionGradEmitter::addGradients(Value queries, Value s0, Value keys) {
  // Rows keep their places when they become narrower.
  Value stride = b.cst(32 / tP.getIntOrFloatBitWidth() * kKeys);
  auto add = [&](GemmForm form, Value lhs, Matrix rhs, Type right, Matrix out,
                 Value m, Value k) {
    emitGemm(b, module,
             {{form, tP, right},
              {lhs, stride},
              rhs,
              out,
              m,
              headDimValue,
              k,
              b.cst(1),
              gemm});
  };
  add(GemmForm::TN, scores, grad, tGrad, advance(dValue, s0, f32), keys,
      queries);
  add(GemmForm::TN, dScores, q, tQ, advance(dKey, s0, f32), keys, queries);
  add(GemmForm::NN, dScores, advance(k, s0, tK), tK,
      {dQuery, b.cst(paddedDim(op))}, queries, keys);
}

void AttentionGradEmitter::emitQueries(Value head, Value q0) {
  Value sequence = b.sequence();
  Value queries = b.min(b.sub(sequence, q0), kQueries);
  Value index = b.add(b.mul(b.add(firstRow, q0), heads), head);
  Value offset = b.mul(index, headDim), stride = b.cst(heads * headDim);
  q = {b.at(operandPointer(b, op.getQ()), offset, tQ), stride};
  grad = {b.at(operandPointer(b, op.getGrad()), offset, tGrad), stride};
  lse = b.at(operandPointer(b, op.getLse()), index);
  firstKeys.window = op.getWindow();
  if (op.getStarts())
    firstKeys.starts = operandPointer(b, op.getStarts());
  firstKeys = firstKeys.from(b, b.add(firstRow, q0));
  b.fill(delta, queries, 0);
  b.fill(sums, queries, 0);
  b.fill(dQuery, b.mul(queries, paddedDim(op)), 0);
  Value visible = b.add(q0, queries);
  // No query sees a key before the first query's.
  Value begin = firstKeys.of(b, b.cst(0), q0);
  auto blocks = [&](llvm::function_ref<void(Value, Value)> body) {
    b.loop(begin, visible, kKeys,
           [&](Value s0) { body(s0, b.min(b.sub(visible, s0), kKeys)); });
  };
  Value isOneBlock = b.le(b.sub(visible, begin), b.cst(kKeys));
  b.when(
      isOneBlock, [] {},
      [&] {
        blocks([&](Value s0, Value keys) {
          emitProducts(queries, s0, keys);
          emitProbabilities(q0, queries, s0, keys, /*findsDelta=*/true);
        });
      });
  blocks([&](Value s0, Value keys) {
    emitProducts(queries, s0, keys);
    auto probabilities = [&](bool findsDelta) {
      emitProbabilities(q0, queries, s0, keys, findsDelta);
    };
    b.when(
        isOneBlock, [&] { probabilities(true); },
        [&] { probabilities(false); });
    emitScoreGrads(q0, queries, s0, keys);
    addGradients(queries, s0, keys);
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
