//===- EmitRelayout.cpp - Copies around collectives -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// dist.pack, dist.unpack and dist.slice: a tensor is [before][parts][piece], or
// with the parts in front, each a range of a bucket's row. A unit is a block of
// one piece.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/KernelBuilder.h"
#include "compiler/Codegen/Cpu/Relayout.h"
#include "compiler/Codegen/RowEval.h"
#include "dialects/Dist/HeadOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

/// Bytes of a block.
static constexpr int64_t kBlockBytes = 64 * 1024;

namespace {
/// What the three have in common.
struct Relayout {
  Operation *op;
  RankedTensorType type; // of the tensor whose dimension is cut
  int64_t dim, parts;
  bool slices = false, toFront = false;
  int64_t row = 0, offset = 0; // of a bucket, in elements; 0: no bucket
};
} // namespace

bool cpu::isRelayout(kernel::FuncOp kernel) {
  return blockIs<dist::PadGroupsOp>(kernel) || blockIs<dist::SliceOp>(kernel) ||
         blockIs<dist::PackOp>(kernel) || blockIs<dist::UnpackOp>(kernel);
}

static Relayout describe(kernel::FuncOp kernel) {
  auto common = [](auto op, Value tensor) {
    return Relayout{op, cast<RankedTensorType>(tensor.getType()),
                    static_cast<int64_t>(op.getDim()),
                    static_cast<int64_t>(op.getParts())};
  };
  auto inBucket = [](Relayout &what, Value bucket, int64_t offset) {
    auto type = cast<RankedTensorType>(bucket.getType());
    if (type.hasStaticShape())
      what.row = type.getNumElements() / what.parts;
    what.offset = offset;
  };
  if (auto op = blockOp<dist::SliceOp>(kernel)) {
    Relayout what = common(op, op.getOperand());
    what.slices = true;
    return what;
  }
  if (auto op = blockOp<dist::PackOp>(kernel)) {
    Relayout what = common(op, op.getOperand());
    what.toFront = true;
    inBucket(what, op.getResult(), op.getOffset());
    return what;
  }
  auto op = blockOp<dist::UnpackOp>(kernel);
  Relayout what = common(op, op.getResult());
  inBucket(what, op.getOperand(), op.getOffset());
  return what;
}

/// A unit is a piece of one group: zeros, a part of the operand's group, zeros.
static FailureOr<KernelCode>
emitPadGroups(kernel::FuncOp kernel, const CpuTarget &target, ModuleOp module) {
  auto op = blockOp<dist::PadGroupsOp>(kernel);
  auto source = dyn_cast<BlockArgument>(op.getOperand());
  if (!source)
    return op.emitError("an operand is not an argument of the kernel");
  RankedTensorType type = tensorOf(source);
  if (!type.hasStaticShape())
    return op.emitError("rows have no groups");
  int64_t before = op.getGroups();
  int64_t entry = type.getElementType().getIntOrFloatBitWidth() / 8;
  for (auto [i, size] : llvm::enumerate(type.getShape())) {
    if (static_cast<int64_t>(i) < op.position())
      before *= size;
    if (static_cast<int64_t>(i) > op.position())
      entry *= size;
  }
  int64_t width = op.width(), size = op.size();
  int64_t perPiece = std::max<int64_t>(1, kBlockBytes / entry);
  int64_t pieces = llvm::divideCeil(size, perPiece);

  KernelBuilder k(kernel, 0, target, module);
  Type byte = k.b.getI8Type();
  Value start = k.i64(0);
  if (op.getStart()) {
    auto index = cast<BlockArgument>(op.getStart());
    start = k.toI64(k.load(k.b.getI32Type(), k.argument(index.getArgNumber())));
  }
  Value to = k.result(0), from = k.argument(source.getArgNumber());
  k.forLoop(k.begin(), k.end(), 1, [&](Value unit) {
    Value group = k.divI(unit, k.i64(pieces));
    Value first = k.mulI(k.remI(unit, k.i64(pieces)), perPiece);
    Value last = k.minI(k.addI(first, k.i64(perPiece)), k.i64(size));
    // Entries [low, high) of the result's group are the operand's.
    auto within = [&](Value value) {
      return k.minI(k.maxI(value, first), last);
    };
    Value low = within(k.subI(k.i64(0), start));
    Value high = k.maxI(within(k.subI(k.i64(width), start)), low);
    Value row = k.mulI(group, size);
    auto clear = [&](Value begin, Value end) {
      Value place = k.pointerAt(to, byte, k.mulI(k.addI(row, begin), entry));
      Value zero = arith::ConstantIntOp::create(k.b, k.loc, 0, 8);
      LLVM::MemsetOp::create(k.b, k.loc, place, zero,
                             k.mulI(k.subI(end, begin), entry),
                             /*isVolatile=*/false);
    };
    clear(first, low);
    clear(high, last);
    Value read = k.addI(k.mulI(group, width), k.addI(low, start));
    k.copy(k.pointerAt(to, byte, k.mulI(k.addI(row, low), entry)),
           k.pointerAt(from, byte, k.mulI(read, entry)),
           k.mulI(k.subI(high, low), entry));
  });
  return KernelCode{{k.task(constantUnits(kernel.getContext(), before * pieces),
                            grainFor(2 * perPiece * entry))},
                    0};
}

FailureOr<KernelCode> cpu::emitRelayout(kernel::FuncOp kernel,
                                        const CpuTarget &target,
                                        ModuleOp module) {
  if (blockIs<dist::PadGroupsOp>(kernel))
    return emitPadGroups(kernel, target, module);
  Relayout what = describe(kernel);
  auto source = dyn_cast<BlockArgument>(what.op->getOperand(0));
  if (!source)
    return what.op->emitError("an operand is not an argument of the kernel");
  RankedTensorType type = what.type;
  bool hasRows = type.getRank() > 0 && type.isDynamicDim(0);
  int64_t dim = type.getRank() - 1 - what.dim;
  if (hasRows && dim < 1)
    return what.op->emitError("rows cannot be cut on the CPU");
  int64_t width = type.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t before = 1, piece = width;
  for (auto [i, size] : llvm::enumerate(type.getShape())) {
    if (ShapedType::isDynamic(size))
      continue;
    (static_cast<int64_t>(i) < dim ? before : piece) *= size;
  }
  piece /= what.parts;
  int64_t blocks = llvm::divideCeil(piece, kBlockBytes);

  KernelBuilder k(kernel, 0, target, module);
  Type byte = k.b.getI8Type();
  Value rows = hasRows ? k.mulI(k.rows(), before) : k.i64(before);
  Value place;
  if (what.slices) {
    auto index = cast<BlockArgument>(what.op->getOperand(1));
    place = k.toI64(k.load(k.b.getI32Type(), k.argument(index.getArgNumber())));
  }
  int64_t units = (what.slices ? 1 : what.parts) * blocks;
  k.forLoop(k.begin(), k.end(), 1, [&](Value unit) {
    // unit = (row, part, block).
    Value block = k.remI(unit, k.i64(blocks));
    Value rest = k.divI(unit, k.i64(blocks));
    Value row = rest, part = place;
    if (!what.slices) {
      part = k.remI(rest, k.i64(what.parts));
      row = k.divI(rest, k.i64(what.parts));
    }
    Value offset = k.mulI(block, kBlockBytes);
    Value bytes = k.minI(k.i64(kBlockBytes), k.subI(k.i64(piece), offset));
    Value together =
        k.addI(k.mulI(k.addI(k.mulI(row, what.parts), part), piece), offset);
    Value apart = k.addI(k.mulI(row, piece), offset);
    if (what.row)
      apart = k.addI(apart, k.addI(k.mulI(part, what.row * width),
                                   k.i64(what.offset * width)));
    else if (!what.slices)
      apart = k.addI(apart, k.mulI(k.mulI(part, rows), piece));
    bool readsTogether = what.slices || what.toFront;
    k.copy(k.pointerAt(k.result(0), byte, readsTogether ? apart : together),
           k.pointerAt(k.argument(source.getArgNumber()), byte,
                       readsTogether ? together : apart),
           bytes);
  });
  AffineMap count = hasRows
                        ? rowUnits(kernel.getContext(), before * units)
                        : constantUnits(kernel.getContext(), before * units);
  return KernelCode{{k.task(count, grainFor(2 * std::min(piece, kBlockBytes)))},
                    0};
}

int64_t cpu::workspaceRelayout(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}
