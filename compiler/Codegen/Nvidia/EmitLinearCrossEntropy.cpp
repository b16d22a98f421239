//===- EmitLinearCrossEntropy.cpp - The head's loss and its gradients on GPUs
//---===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The gradient goes through the vocabulary in chunks: the logits' gradient of
// one chunk, rounded, lies in the workspace, where the products for the weight
// and for x read it. The number of the chunk is in the workspace too, so that
// all chunks run the same kernels.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/HeadLoss.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

/// The most columns of a chunk.
static constexpr int64_t kMostColumns = 4096;
static constexpr int64_t kDepth = 32, kStages = 3;

FailureOr<KernelCode> nvidia::emitLinearCrossEntropy(kernel::FuncOp fn,
                                                     const NvidiaTarget &target,
                                                     gpu::GPUModuleOp module) {
  auto op = blockOp<LinearCrossEntropyOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  HeadLoss head = {op,
                   op.getX(),
                   op.getWeight(),
                   op.getTargets(),
                   op.getCap().convertToDouble(),
                   op.getZWeight().convertToDouble()};
  KernelCode code;
  head.emit(op.getLoss(), op.getCount(), op.getCorrect(), target, module, code);
  return code;
}

int64_t nvidia::workspaceLinearCrossEntropy(kernel::FuncOp,
                                            const NvidiaTarget &,
                                            int64_t maxRows) {
  return HeadLoss::workspaceBytes(maxRows);
}

namespace {
/// The chunks of one gradient kernel.
struct Chunks {
  LinearCrossEntropyGradOp op;
  HeadLoss head;

  explicit Chunks(LinearCrossEntropyGradOp op)
      : op(op), head{op,
                     op.getX(),
                     op.getWeight(),
                     op.getTargets(),
                     op.getCap().convertToDouble(),
                     op.getZWeight().convertToDouble()} {}

  int64_t columns() const {
    return std::min(kMostColumns,
                    int64_t(llvm::alignTo(head.vocabulary(), 64)));
  }
  int64_t count() const {
    return llvm::divideCeil(head.vocabulary(), columns());
  }
  Type gradType() const { return elementOf(head.x); }
  Value counter(KernelBuilder &k) const { return head.behindStatistics(k); }
  /// The sums of dx so far, f32 [rows, hidden].
  Value sums(KernelBuilder &k) const { return k.advance(counter(k), 16); }
  /// The logits' gradient of the chunk [rows, columns()].
  Value grads(KernelBuilder &k) const {
    Value floats = k.mulI(k.rows(), llvm::alignTo(head.hidden(), 4));
    return k.pointerAt(sums(k), k.f32(), floats);
  }
  int64_t bytes(int64_t rows) const {
    return HeadLoss::workspaceBytes(rows) + 16 +
           rows * (4 * llvm::alignTo(head.hidden(), 4) +
                   columns() * elementBytes(gradType()));
  }
  Value chunk(KernelBuilder &k) const {
    return k.toI64(k.load(k.b.getI32Type(), counter(k)));
  }
  /// The chunk's first column of the vocabulary, and how many it has.
  std::pair<Value, Value> range(KernelBuilder &k) const {
    Value first = k.mulI(chunk(k), columns());
    return {first,
            k.minI(k.i64(columns()), k.subI(k.i64(head.vocabulary()), first))};
  }
  GlobalMatrix gradMatrix(KernelBuilder &k) const {
    return {grads(k),         gradType(), columns(), k.rows(),
            k.i64(columns()), columns(),  true};
  }
};
} // namespace

/// dz of the chunk. Blocks: rows, columns.
static Launch emitGrads(Chunks &c, int64_t index, const NvidiaTarget &target,
                        gpu::GPUModuleOp module) {
  const HeadLoss &head = c.head;
  TileShape shape = HeadLoss::tile();
  KernelBuilder k(c.op->getParentOfType<kernel::FuncOp>(), index, target,
                  module, shape.threads());
  StreamedProduct product(k, shape, head.element(), Stored::ByRows,
                          Stored::ByRows, kDepth, kStages);
  TilePlaces places(k, shape);
  Value row0 = k.mulI(k.block(0), shape.m);
  Value column0 = k.mulI(k.block(1), shape.n);
  Value first = c.range(k).first;
  Value vocabulary = k.i64(head.vocabulary());
  Sums sums = product.run(head.rowsOfX(k), head.rowsOfWeight(k), row0,
                          k.addI(first, column0), k.i64(head.hidden()),
                          zeroSums(k, shape));
  Value seed = k.load(k.f32(), operandPointer(k, c.op.getSeed()));
  Value lse = head.lse(k), grads = c.grads(k), zero = k.f32(0);
  for (int64_t half = 0; half < 2; ++half) {
    Value row = k.addI(row0, places.row(0, half));
    k.ifThen(k.cmpI(CmpIPredicate::slt, row, k.rows()), [&] {
      Value wanted = head.target(k, row);
      Value rowLse = k.load(k.f32(), lse, row);
      Value zFactor = k.fma(rowLse, k.f32(2 * head.zWeight), k.f32(1));
      // A row whose target does not count has no gradient at all, whatever its
      // logits are.
      Value counts = k.cmpI(CmpIPredicate::sge, wanted, k.i64(0));
      for (int64_t i = 0; i < shape.sums(); ++i) {
        TileShape::Place place = shape.place(i);
        if (place.half != half)
          continue;
        Value local = k.addI(column0, places.column(place));
        Value column = k.addI(first, local), slope;
        Value z = head.logit(k, sums[i], &slope);
        Value p = k.mul(k.exp(k.sub(z, rowLse)), zFactor);
        Value isTarget = k.cmpI(CmpIPredicate::eq, column, wanted);
        Value dz = k.mul(k.sub(p, k.select(isTarget, k.f32(1), zero)), seed);
        if (slope)
          dz = k.mul(dz, slope);
        // Columns behind the vocabulary are read by the products.
        Value isReal = arith::AndIOp::create(
            k.b, k.loc, counts, k.cmpI(CmpIPredicate::slt, column, vocabulary));
        k.store(k.narrow(k.select(isReal, dz, zero), c.gradType()), grads,
                k.addI(k.mulI(row, c.columns()), local));
      }
    });
  }
  MLIRContext *context = c.op.getContext();
  return k.launch(rowUnits(context, 1, shape.m),
                  blocks(context, llvm::divideCeil(c.columns(), shape.n)));
}

/// Visits the elements of a thread's tile that are inside of [0, rows) x [0,
/// columns).
static void
forEachInside(KernelBuilder &k, const TileShape &shape, Value row0,
              Value column0, Value rows, Value columns,
              function_ref<void(int64_t, Value row, Value column)> visit) {
  TilePlaces places(k, shape);
  for (int64_t i = 0; i < shape.sums(); ++i) {
    TileShape::Place place = shape.place(i);
    Value row = k.addI(row0, places.row(place));
    Value column = k.addI(column0, places.column(place));
    Value inside =
        arith::AndIOp::create(k.b, k.loc, k.cmpI(CmpIPredicate::slt, row, rows),
                              k.cmpI(CmpIPredicate::slt, column, columns));
    k.ifThen(inside, [&] { visit(i, row, column); });
  }
}

/// result += dz^T x. Blocks: columns of the chunk, hidden.
static Launch emitWeightGradient(Chunks &c, int64_t index,
                                 const NvidiaTarget &target,
                                 gpu::GPUModuleOp module) {
  const HeadLoss &head = c.head;
  TileShape shape = {64, 64, 2, 2};
  KernelBuilder k(c.op->getParentOfType<kernel::FuncOp>(), index, target,
                  module, shape.threads());
  StreamedProduct product(k, shape, c.gradType(), Stored::Transposed,
                          Stored::Transposed, kDepth, kStages);
  Value row0 = k.mulI(k.block(0), shape.m);
  Value column0 = k.mulI(k.block(1), shape.n);
  auto [first, count] = c.range(k);
  Sums sums = product.run(c.gradMatrix(k), head.rowsOfX(k), row0, column0,
                          k.rows(), zeroSums(k, shape));
  Value result = resultPointer(k, c.op.getResult());
  Value start = k.mulI(first, head.hidden());
  forEachInside(k, shape, row0, column0, count, k.i64(head.hidden()),
                [&](int64_t i, Value row, Value column) {
                  Value offset =
                      k.addI(start, k.addI(k.mulI(row, head.hidden()), column));
                  k.store(k.add(k.load(k.f32(), result, offset), sums[i]),
                          result, offset);
                });
  MLIRContext *context = c.op.getContext();
  return k.launch(blocks(context, llvm::divideCeil(c.columns(), shape.m)),
                  blocks(context, llvm::divideCeil(head.hidden(), shape.n)));
}

/// dx = (what chunks before gave) + dz weight. Blocks: rows, hidden.
static Launch emitInputGradient(Chunks &c, int64_t index,
                                const NvidiaTarget &target,
                                gpu::GPUModuleOp module) {
  const HeadLoss &head = c.head;
  TileShape shape = {64, 64, 2, 2};
  KernelBuilder k(c.op->getParentOfType<kernel::FuncOp>(), index, target,
                  module, shape.threads());
  Type element =
      StreamedProduct::commonElement(c.gradType(), elementOf(head.weight));
  StreamedProduct product(k, shape, element, Stored::ByRows, Stored::Transposed,
                          kDepth, kStages);
  Value row0 = k.mulI(k.block(0), shape.m);
  Value column0 = k.mulI(k.block(1), shape.n);
  auto [first, count] = c.range(k);
  GlobalMatrix weights = head.rowsOfWeight(k);
  weights.pointer = k.pointerAt(weights.pointer, weights.element,
                                k.mulI(first, head.hidden()));
  weights.rows = count;
  Sums sums = product.run(c.gradMatrix(k), weights, row0, column0, count,
                          zeroSums(k, shape));
  Value chunk = c.chunk(k), before = c.sums(k);
  Value dx = resultPointer(k, c.op.getDx());
  Type type = elementOf(c.op.getDx());
  Value isFirst = k.cmpI(CmpIPredicate::eq, chunk, k.i64(0));
  Value isLast = k.cmpI(CmpIPredicate::eq, chunk, k.i64(c.count() - 1));
  forEachInside(k, shape, row0, column0, k.rows(), k.i64(head.hidden()),
                [&](int64_t i, Value row, Value column) {
                  Value offset = k.addI(k.mulI(row, head.hidden()), column);
                  Value sum = sums[i];
                  if (c.count() > 1)
                    sum = k.ifElse(
                        isFirst, [&]() -> SmallVector<Value> { return {sum}; },
                        [&]() -> SmallVector<Value> {
                          return {k.add(k.load(k.f32(), before, offset), sum)};
                        })[0];
                  k.ifThen(
                      isLast, [&] { k.store(k.narrow(sum, type), dx, offset); },
                      [&] { k.store(sum, before, offset); });
                });
  MLIRContext *context = c.op.getContext();
  return k.launch(rowUnits(context, 1, shape.m),
                  blocks(context, llvm::divideCeil(head.hidden(), shape.n)));
}

/// To the next chunk.
static Launch emitNext(Chunks &c, int64_t index, const NvidiaTarget &target,
                       gpu::GPUModuleOp module) {
  KernelBuilder k(c.op->getParentOfType<kernel::FuncOp>(), index, target,
                  module, kWarp);
  Value counter = c.counter(k);
  k.ifThen(k.cmpI(CmpIPredicate::eq, k.thread(), k.i64(0)), [&] {
    Value next = arith::AddIOp::create(
        k.b, k.loc, k.load(k.b.getI32Type(), counter), k.i32(1));
    k.store(next, counter);
  });
  return k.launch(constantUnits(c.op.getContext(), 1));
}

FailureOr<KernelCode> nvidia::emitLinearCrossEntropyGrad(
    kernel::FuncOp fn, const NvidiaTarget &target, gpu::GPUModuleOp module) {
  auto op = blockOp<LinearCrossEntropyGradOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  Chunks c(op);
  KernelCode code;
  c.head.emit(op.getLoss(), {}, {}, target, module, code,
              [&](KernelBuilder &k) { k.store(k.i32(0), c.counter(k)); });
  int64_t index = code.size();
  Launch steps[] = {emitGrads(c, index, target, module),
                    emitWeightGradient(c, index + 1, target, module),
                    emitInputGradient(c, index + 2, target, module)};
  llvm::append_range(code, steps);
  if (c.count() == 1)
    return code;
  Launch next = emitNext(c, index + 3, target, module);
  for (int64_t chunk = 1; chunk < c.count(); ++chunk) {
    code.push_back(next);
    llvm::append_range(code, steps);
  }
  return code;
}

int64_t nvidia::workspaceLinearCrossEntropyGrad(kernel::FuncOp fn,
                                                const NvidiaTarget &,
                                                int64_t maxRows) {
  return Chunks(blockOp<LinearCrossEntropyGradOp>(fn)).bytes(maxRows);
}
