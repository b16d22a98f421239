//===- EmitCache.cpp - Copies around the cache, on GPUs -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// qwen.kv_append, qwen.last_token and qwen.positions: a thread moves one piece
// of at most 16 bytes of a row. qwen.document_starts: a warp goes along a row.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/RowThreads.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

static constexpr int64_t kThreads = 256;

/// The argument that `value` is, or an error at `op`.
static FailureOr<unsigned> argumentOf(Operation *op, Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return argument.getArgNumber();
  return op->emitError("an operand is not an argument of the kernel");
}

static LogicalResult isOnlyResult(kernel::FuncOp kernel, Value result) {
  if (returnOf(kernel).getNumOperands() == 1 &&
      returnOf(kernel).getOperand(0) == result)
    return success();
  return kernel.emitError("expected the block op's result as the only result");
}

/// An i32 number of an argument, as i64.
static Value loadNumber(KernelBuilder &k, unsigned argument, Value index) {
  return k.toI64(k.load(k.b.getI32Type(), k.argument(argument), index));
}

/// The most lanes of both types in 16 bytes that divide `width`.
static int64_t lanesOf(int64_t width, Type from, Type to) {
  int64_t lanes =
      kAccessBytes / std::min<int64_t>(elementBytes(from), elementBytes(to));
  while (width % lanes != 0)
    lanes /= 2;
  return lanes;
}

static Type pieceType(KernelBuilder &k, Type element, int64_t lanes) {
  return lanes > 1 ? Type(k.vectorType(element, lanes)) : element;
}

/// Moves a piece, rounding where the types differ.
static void copyPiece(KernelBuilder &k, int64_t lanes, Value to, Value toOffset,
                      Type toElement, Value from, Value fromOffset,
                      Type fromElement) {
  Value value = k.load(pieceType(k, fromElement, lanes), from, fromOffset);
  if (fromElement != toElement)
    value = k.narrow(k.widen(value), toElement);
  k.store(value, to, toOffset);
}

/// The number of the thread in the grid, if it is below `count`.
static void forThread(KernelBuilder &k, Value count,
                      function_ref<void(Value)> body) {
  Value number = k.addI(k.mulI(k.block(), kThreads), k.thread());
  k.ifThen(k.cmpI(CmpIPredicate::slt, number, count), [&] { body(number); });
}

/// Blocks for `scale` threads for each sequence of the batch.
static AffineMap batchBlocks(MLIRContext *context, int64_t scale) {
  AffineExpr batch = getAffineSymbolExpr(0, context);
  return AffineMap::get(0, 3, (batch * scale).ceilDiv(kThreads));
}

//===----------------------------------------------------------------------===//
// kv_append
//===----------------------------------------------------------------------===//

FailureOr<KernelCode> nvidia::emitKvAppend(kernel::FuncOp kernel,
                                           const NvidiaTarget &target,
                                           gpu::GPUModuleOp module) {
  auto op = blockOp<KvAppendOp>(kernel);
  auto x = argumentOf(op, op.getX()), start = argumentOf(op, op.getStart());
  auto cache = argumentOf(op, op.getCache());
  if (failed(x) || failed(start) || failed(cache) ||
      failed(isOnlyResult(kernel, op.getResult())))
    return failure();
  RankedTensorType from = tensorOf(op.getX()), to = tensorOf(op.getCache());
  if (from.getRank() != 4 || to.getRank() != 4 || to.isDynamicDim(1) ||
      to.isDynamicDim(2) || to.isDynamicDim(3))
    return op.emitError(
               "expected x [B, T, G, D] and a cache [B, G, S, D], got ")
           << from << " and " << to;
  int64_t heads = to.getDimSize(1), size = to.getDimSize(2);
  int64_t width = to.getDimSize(3);
  Type fromElement = from.getElementType(), toElement = to.getElementType();
  MLIRContext *context = kernel.getContext();
  KernelCode code;
  if (kernel.getInplaceArgument(0) != static_cast<int>(*cache)) {
    // The cache elsewhere: all of it first.
    KernelBuilder k(kernel, 1, target, module, kThreads);
    int64_t lanes = lanesOf(width, toElement, toElement);
    int64_t pieces = heads * size * width / lanes;
    Value count = to.isDynamicDim(0) ? k.mulI(k.batch(), pieces)
                                     : k.i64(to.getDimSize(0) * pieces);
    forThread(k, count, [&](Value number) {
      Value at = k.mulI(number, lanes);
      copyPiece(k, lanes, k.result(0), at, toElement, k.argument(*cache), at,
                toElement);
    });
    code.push_back(k.launch(
        to.isDynamicDim(0)
            ? batchBlocks(context, pieces)
            : constantUnits(context, llvm::divideCeil(to.getDimSize(0) * pieces,
                                                      kThreads))));
  }

  KernelBuilder k(kernel, 0, target, module, kThreads);
  int64_t lanes = lanesOf(width, fromElement, toElement);
  int64_t pieces = width / lanes, perToken = heads * pieces;
  forThread(k, k.mulI(k.rows(), perToken), [&](Value number) {
    Value token = k.divI(number, k.i64(perToken));
    Value head = k.remI(k.divI(number, k.i64(pieces)), k.i64(heads));
    Value column = k.mulI(k.remI(number, k.i64(pieces)), lanes);
    Value row = k.divI(token, k.sequence()), t = k.remI(token, k.sequence());
    Value position = k.addI(loadNumber(k, *start, row), t);
    // As unsigned, a negative position is beyond the cache too.
    Value fits = k.cmpI(CmpIPredicate::ult, position, k.i64(size));
    k.ifThen(fits, [&] {
      Value place = k.addI(k.mulI(row, heads), head);
      place = k.addI(k.mulI(place, size), position);
      copyPiece(k, lanes, k.result(0), k.addI(k.mulI(place, width), column),
                toElement, k.argument(*x), k.mulI(number, lanes), fromElement);
    });
  });
  code.push_back(k.launch(rowUnits(context, perToken, kThreads)));
  return code;
}

int64_t nvidia::workspaceKvAppend(kernel::FuncOp, const NvidiaTarget &,
                                  int64_t) {
  return 0;
}

//===----------------------------------------------------------------------===//
// last_token
//===----------------------------------------------------------------------===//

FailureOr<KernelCode> nvidia::emitLastToken(kernel::FuncOp kernel,
                                            const NvidiaTarget &target,
                                            gpu::GPUModuleOp module) {
  auto op = blockOp<LastTokenOp>(kernel);
  auto x = argumentOf(op, op.getX()), length = argumentOf(op, op.getLength());
  if (failed(x) || failed(length) ||
      failed(isOnlyResult(kernel, op.getResult())))
    return failure();
  RankedTensorType from = tensorOf(op.getX()), to = tensorOf(op.getResult());
  if (from.getRank() != 3 || from.isDynamicDim(2) ||
      to.getShape().back() != from.getDimSize(2))
    return op.emitError("expected x [B, T, C], got ") << from;
  int64_t width = from.getDimSize(2);
  Type fromElement = from.getElementType(), toElement = to.getElementType();
  int64_t lanes = lanesOf(width, fromElement, toElement);
  int64_t pieces = width / lanes;

  KernelBuilder k(kernel, 0, target, module, kThreads);
  forThread(k, k.mulI(k.batch(), pieces), [&](Value number) {
    Value row = k.divI(number, k.i64(pieces));
    Value column = k.mulI(k.remI(number, k.i64(pieces)), lanes);
    Value place = k.mulI(number, lanes);
    Value last = k.addI(loadNumber(k, *length, row), -1);
    Value valid = k.cmpI(CmpIPredicate::ult, last, k.sequence());
    k.ifThen(
        valid,
        [&] {
          Value token = k.addI(k.mulI(row, k.sequence()), last);
          copyPiece(k, lanes, k.result(0), place, toElement, k.argument(*x),
                    k.addI(k.mulI(token, width), column), fromElement);
        },
        [&] {
          // No such token: the decomposition's empty sum.
          k.store(k.constant(pieceType(k, toElement, lanes), 0), k.result(0),
                  place);
        });
  });
  return KernelCode{k.launch(batchBlocks(kernel.getContext(), pieces))};
}

int64_t nvidia::workspaceLastToken(kernel::FuncOp, const NvidiaTarget &,
                                   int64_t) {
  return 0;
}

//===----------------------------------------------------------------------===//
// positions
//===----------------------------------------------------------------------===//

FailureOr<KernelCode> nvidia::emitPositions(kernel::FuncOp kernel,
                                            const NvidiaTarget &target,
                                            gpu::GPUModuleOp module) {
  auto op = blockOp<PositionsOp>(kernel);
  FailureOr<unsigned> start = 0, starts = 0;
  if (op.getStart())
    start = argumentOf(op, op.getStart());
  if (op.getStarts())
    starts = argumentOf(op, op.getStarts());
  if (failed(start) || failed(starts) ||
      failed(isOnlyResult(kernel, op.getResult())))
    return failure();
  RankedTensorType type = tensorOf(op.getResult());
  if (type.getRank() != 2 || !type.getElementType().isInteger(32))
    return op.emitError("expected positions [B, T] in i32, got ") << type;

  KernelBuilder k(kernel, 0, target, module, kThreads);
  Value sequence =
      type.isDynamicDim(1) ? k.sequence() : k.i64(type.getDimSize(1));
  Value count = type.hasStaticShape() ? k.i64(type.getNumElements()) : k.rows();
  forThread(k, count, [&](Value token) {
    Value position = k.remI(token, sequence);
    if (op.getStart())
      position =
          k.addI(position, loadNumber(k, *start, k.divI(token, sequence)));
    if (op.getStarts())
      position = k.subI(position, loadNumber(k, *starts, token));
    k.store(arith::TruncIOp::create(k.b, k.loc, k.b.getI32Type(), position),
            k.result(0), token);
  });
  MLIRContext *context = kernel.getContext();
  return KernelCode{k.launch(
      type.hasStaticShape()
          ? constantUnits(context,
                          llvm::divideCeil(type.getNumElements(), kThreads))
          : rowUnits(context, 1, kThreads))};
}

int64_t nvidia::workspacePositions(kernel::FuncOp, const NvidiaTarget &,
                                   int64_t) {
  return 0;
}

//===----------------------------------------------------------------------===//
// document_starts
//===----------------------------------------------------------------------===//

/// Threads of a block, a row for each warp.
static constexpr int64_t kRowThreads = 128;

/// The document of token t begins at the last token up to t whose id is not
/// that of the one before it; among 32 tokens that is one of a ballot's bits.
static void emitDocuments(KernelBuilder &k, unsigned documents, Value first,
                          Value isRow) {
  Type i32 = k.b.getI32Type();
  // The number of the highest bit that is set.
  auto highest = [&](Value bits) {
    Value zeros = LLVM::CountLeadingZerosOp::create(k.b, k.loc, i32, bits,
                                                    /*is_zero_poison=*/false);
    return k.subI(k.i64(kWarp - 1), k.toI64(zeros));
  };
  auto isSet = [&](Value bits) {
    return k.cmpI(CmpIPredicate::ne, bits, k.i32(0));
  };
  auto both = [&](Value lhs, Value rhs) -> Value {
    return arith::AndIOp::create(k.b, k.loc, lhs, rhs);
  };
  // The bits of lanes up to the own one.
  Value upTo = arith::ShRUIOp::create(
      k.b, k.loc, k.i32(-1),
      Value(arith::TruncIOp::create(k.b, k.loc, i32,
                                    k.subI(k.i64(kWarp - 1), k.lane()))));
  k.forLoop(k.i64(0), k.sequence(), kWarp, k.i64(0),
            [&](Value base, ValueRange carried) {
              Value t = k.addI(base, k.lane());
              Value inside = k.cmpI(CmpIPredicate::slt, t, k.sequence());
              t = k.select(inside, t, k.i64(0));
              auto id = [&](Value at) {
                return k.load(i32, k.argument(documents), k.addI(first, at));
              };
              Value before = k.maxI(k.addI(t, -1), k.i64(0));
              Value begins =
                  both(inside, k.cmpI(CmpIPredicate::ne, id(t), id(before)));
              Value bits = k.ballot(begins);
              Value own = arith::AndIOp::create(k.b, k.loc, bits, upTo);
              Value start =
                  k.select(isSet(own), k.addI(base, highest(own)), carried[0]);
              k.ifThen(both(inside, isRow), [&] {
                k.store(arith::TruncIOp::create(k.b, k.loc, i32, start),
                        k.result(0), k.addI(first, t));
              });
              return SmallVector<Value>{k.select(
                  isSet(bits), k.addI(base, highest(bits)), carried[0])};
            });
}

FailureOr<KernelCode> nvidia::emitDocumentStarts(kernel::FuncOp kernel,
                                                 const NvidiaTarget &target,
                                                 gpu::GPUModuleOp module) {
  auto op = blockOp<DocumentStartsOp>(kernel);
  auto documents = argumentOf(op, op.getDocuments());
  if (failed(documents) || failed(isOnlyResult(kernel, op.getResult())))
    return failure();
  KernelBuilder k(kernel, 0, target, module, kRowThreads);
  Value pointer = k.argument(*documents);
  Value given =
      LLVM::ICmpOp::create(k.b, k.loc, LLVM::ICmpPredicate::ne, pointer,
                           LLVM::ZeroOp::create(k.b, k.loc, pointer.getType()));
  constexpr int64_t rowsPerBlock = kRowThreads / kWarp;
  Value row = k.addI(k.mulI(k.block(), rowsPerBlock), k.warp());
  Value isRow = k.cmpI(CmpIPredicate::slt, row, k.batch());
  // Warps behind the last row take that again, and store nothing.
  Value first = k.mulI(k.minI(row, k.subI(k.batch(), k.i64(1))), k.sequence());
  k.ifThen(
      given, [&] { emitDocuments(k, *documents, first, isRow); },
      [&] {
        Value end = k.select(isRow, k.sequence(), k.i64(0));
        k.forLoop(k.lane(), end, kWarp, [&](Value t) {
          k.store(k.i32(0), k.result(0), k.addI(first, t));
        });
      });
  AffineExpr batch = getAffineSymbolExpr(0, kernel.getContext());
  return KernelCode{
      k.launch(AffineMap::get(0, 3, batch.ceilDiv(rowsPerBlock)))};
}

int64_t nvidia::workspaceDocumentStarts(kernel::FuncOp, const NvidiaTarget &,
                                        int64_t) {
  return 0;
}
