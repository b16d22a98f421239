//===- EmitCache.cpp - Copies around the cache of keys and values ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// qwen.kv_append, qwen.last_token, qwen.positions and qwen.document_starts: a
// unit is one token (of last_token and document_starts: one sequence).
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/RowLoops.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;
using arith::CmpIPredicate;

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

/// One unit for each sequence of the batch.
static AffineMap batchUnits(MLIRContext *context) {
  return AffineMap::get(0, 3, getAffineSymbolExpr(0, context));
}

/// An i32 number of an argument, as i64.
static Value loadNumber(KernelBuilder &k, unsigned argument, Value index) {
  return k.toI64(k.load(k.b.getI32Type(), k.argument(argument), index));
}

/// Copies `width` elements from one row to another, rounding where the types
/// differ.
static void copyRow(KernelBuilder &k, Value to, Type toElement, Value from,
                    Type fromElement, int64_t width) {
  int64_t at = 0;
  auto piece = [&](Value variable, int64_t offset, int64_t lanes) {
    auto place = [&](Value pointer, Type element) {
      return variable ? k.pointerAt(pointer, element, variable) : pointer;
    };
    Value value = k.load(k.vectorType(fromElement, lanes),
                         place(from, fromElement), k.i64(offset));
    if (fromElement != toElement)
      value = k.narrow(k.widen(value), toElement);
    k.store(value, place(to, toElement), k.i64(offset));
  };
  if (width >= 8 * kLanes) {
    at = width / (4 * kLanes) * (4 * kLanes);
    k.forLoop(k.i64(0), k.i64(at), 4 * kLanes, [&](Value variable) {
      for (int64_t u = 0; u < 4; ++u)
        piece(variable, u * kLanes, kLanes);
    });
  }
  for (int64_t size = kLanes; at < width; at += size) {
    while (size > width - at)
      size /= 2;
    piece({}, at, size);
  }
}

//===----------------------------------------------------------------------===//
// kv_append
//===----------------------------------------------------------------------===//

FailureOr<KernelCode> cpu::emitKvAppend(kernel::FuncOp kernel,
                                        const CpuTarget &target,
                                        ModuleOp module) {
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
  int64_t width = to.getDimSize(3), bytes = staticBytes(to);
  MLIRContext *context = kernel.getContext();
  KernelCode code;
  int64_t task = 0;
  if (kernel.getInplaceArgument(0) != static_cast<int>(*cache)) {
    // One unit for each sequence of the cache.
    KernelBuilder k(kernel, task++, target, module);
    AffineMap units = batchUnits(context);
    int64_t batchBytes = bytes;
    if (!to.isDynamicDim(0)) {
      units = constantUnits(context, to.getDimSize(0));
      batchBytes /= to.getDimSize(0);
    }
    Value first = k.mulI(k.begin(), batchBytes);
    Value count = k.subI(k.mulI(k.end(), batchBytes), first);
    Type byte = k.b.getI8Type();
    k.copy(k.pointerAt(k.result(0), byte, first),
           k.pointerAt(k.argument(*cache), byte, first), count);
    code.tasks.push_back(k.task(units, 1));
  }

  KernelBuilder k(kernel, task, target, module);
  Type fromElement = from.getElementType(), toElement = to.getElementType();
  k.forLoop(k.begin(), k.end(), 1, [&](Value token) {
    Value row = k.divI(token, k.sequence()), t = k.remI(token, k.sequence());
    Value position = k.addI(loadNumber(k, *start, row), t);
    // As unsigned, a negative position is beyond the cache too.
    Value fits = k.cmpI(CmpIPredicate::ult, position, k.i64(size));
    k.ifThen(fits, [&] {
      k.forLoop(k.i64(0), k.i64(heads), 1, [&](Value head) {
        Value source = k.addI(k.mulI(token, heads), head);
        Value place = k.addI(k.mulI(row, heads), head);
        place = k.addI(k.mulI(place, size), position);
        copyRow(k, k.pointerAt(k.result(0), toElement, k.mulI(place, width)),
                toElement,
                k.pointerAt(k.argument(*x), fromElement, k.mulI(source, width)),
                fromElement, width);
      });
    });
  });
  code.tasks.push_back(k.task(rowUnits(context), grainFor(heads * width * 4)));
  return code;
}

int64_t cpu::workspaceKvAppend(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}

//===----------------------------------------------------------------------===//
// last_token
//===----------------------------------------------------------------------===//

FailureOr<KernelCode> cpu::emitLastToken(kernel::FuncOp kernel,
                                         const CpuTarget &target,
                                         ModuleOp module) {
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

  KernelBuilder k(kernel, 0, target, module);
  k.forLoop(k.begin(), k.end(), 1, [&](Value row) {
    Value place = k.pointerAt(k.result(0), toElement, k.mulI(row, width));
    Value last = k.addI(loadNumber(k, *length, row), -1);
    Value valid = k.cmpI(CmpIPredicate::ult, last, k.sequence());
    k.ifThen(
        valid,
        [&] {
          Value token = k.addI(k.mulI(row, k.sequence()), last);
          copyRow(
              k, place, toElement,
              k.pointerAt(k.argument(*x), fromElement, k.mulI(token, width)),
              fromElement, width);
        },
        [&] {
          // No such token: the decomposition's empty sum.
          Value zero = k.constant(toElement, 0);
          k.forLoop(k.i64(0), k.i64(width), 1,
                    [&](Value i) { k.store(zero, place, i); });
        });
  });
  return KernelCode{
      {k.task(batchUnits(kernel.getContext()), grainFor(2 * width * 4))}, 0};
}

int64_t cpu::workspaceLastToken(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}

//===----------------------------------------------------------------------===//
// positions
//===----------------------------------------------------------------------===//

FailureOr<KernelCode> cpu::emitPositions(kernel::FuncOp kernel,
                                         const CpuTarget &target,
                                         ModuleOp module) {
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

  KernelBuilder k(kernel, 0, target, module);
  Value sequence =
      type.isDynamicDim(1) ? k.sequence() : k.i64(type.getDimSize(1));
  k.forLoop(k.begin(), k.end(), 1, [&](Value token) {
    Value position = k.remI(token, sequence);
    if (op.getStart())
      position =
          k.addI(position, loadNumber(k, *start, k.divI(token, sequence)));
    if (op.getStarts())
      position = k.subI(position, loadNumber(k, *starts, token));
    Value number =
        arith::TruncIOp::create(k.b, k.loc, k.b.getI32Type(), position);
    k.store(number, k.result(0), token);
  });
  AffineMap units = type.hasStaticShape() ? constantUnits(kernel.getContext(),
                                                          type.getNumElements())
                                          : rowUnits(kernel.getContext());
  return KernelCode{{k.task(units, 4096)}, 0};
}

int64_t cpu::workspacePositions(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}

//===----------------------------------------------------------------------===//
// document_starts
//===----------------------------------------------------------------------===//

FailureOr<KernelCode> cpu::emitDocumentStarts(kernel::FuncOp kernel,
                                              const CpuTarget &target,
                                              ModuleOp module) {
  auto op = blockOp<DocumentStartsOp>(kernel);
  auto documents = argumentOf(op, op.getDocuments());
  if (failed(documents) || failed(isOnlyResult(kernel, op.getResult())))
    return failure();
  KernelBuilder k(kernel, 0, target, module);
  Type i32 = k.b.getI32Type();
  Value given = LLVM::ICmpOp::create(
      k.b, k.loc, LLVM::ICmpPredicate::ne, k.argument(*documents),
      LLVM::ZeroOp::create(k.b, k.loc, k.argument(*documents).getType()));
  k.forLoop(k.begin(), k.end(), 1, [&](Value row) {
    Value first = k.mulI(row, k.sequence());
    auto store = [&](Value start, Value t) {
      Value number = arith::TruncIOp::create(k.b, k.loc, i32, start);
      k.store(number, k.result(0), k.addI(first, t));
    };
    k.ifThen(
        given,
        [&] {
          SmallVector<Value> none = {
              k.i64(0), k.load(i32, k.argument(*documents), first)};
          k.forLoop(k.i64(0), k.sequence(), 1, none,
                    [&](Value t, ValueRange before) {
                      Value id =
                          k.load(i32, k.argument(*documents), k.addI(first, t));
                      Value same = k.cmpI(CmpIPredicate::eq, id, before[1]);
                      Value start = k.select(same, before[0], t);
                      store(start, t);
                      return SmallVector<Value>{start, id};
                    });
        },
        [&] {
          k.forLoop(k.i64(0), k.sequence(), 1,
                    [&](Value t) { store(k.i64(0), t); });
        });
  });
  return KernelCode{{k.task(batchUnits(kernel.getContext()), 1)}, 0};
}

int64_t cpu::workspaceDocumentStarts(kernel::FuncOp, const CpuTarget &,
                                     int64_t) {
  return 0;
}
