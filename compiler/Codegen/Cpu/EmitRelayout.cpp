//===- EmitRelayout.cpp - Copies around collectives -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// dist.pack, dist.unpack and dist.slice: a tensor is [before][parts][piece], or
// with the parts in front. A unit is a block of one piece.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/KernelBuilder.h"
#include "compiler/Codegen/Cpu/Relayout.h"
#include "compiler/Codegen/RowEval.h"
#include "dialects/Dist/DistDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

/// Bytes of a block.
static constexpr int64_t kBlockBytes = 64 * 1024;

namespace {
/// What the three have in common.
struct Relayout {
  Operation *op;
  int64_t dim, parts;
  bool slices, toFront;
};
} // namespace

bool cpu::isRelayout(kernel::FuncOp kernel) {
  return blockIs<dist::SliceOp>(kernel) || blockIs<dist::PackOp>(kernel) ||
         blockIs<dist::UnpackOp>(kernel);
}

static Relayout describe(kernel::FuncOp kernel) {
  if (auto op = blockOp<dist::SliceOp>(kernel))
    return {op, static_cast<int64_t>(op.getDim()),
            static_cast<int64_t>(op.getParts()), true, false};
  if (auto op = blockOp<dist::PackOp>(kernel))
    return {op, static_cast<int64_t>(op.getDim()),
            static_cast<int64_t>(op.getParts()), false, true};
  auto op = blockOp<dist::UnpackOp>(kernel);
  return {op, static_cast<int64_t>(op.getDim()),
          static_cast<int64_t>(op.getParts()), false, false};
}

FailureOr<KernelCode> cpu::emitRelayout(kernel::FuncOp kernel,
                                        const CpuTarget &target,
                                        ModuleOp module) {
  Relayout what = describe(kernel);
  auto source = dyn_cast<BlockArgument>(what.op->getOperand(0));
  if (!source)
    return what.op->emitError("an operand is not an argument of the kernel");
  RankedTensorType type = tensorOf(source);
  bool hasRows = type.getRank() > 0 && type.isDynamicDim(0);
  int64_t dim = type.getRank() - 1 - what.dim;
  if (hasRows && dim < 1)
    return what.op->emitError("rows cannot be cut on the CPU");
  int64_t before = 1, piece = type.getElementType().getIntOrFloatBitWidth() / 8;
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
    Value apart =
        what.slices
            ? k.addI(k.mulI(row, piece), offset)
            : k.addI(k.mulI(k.addI(k.mulI(part, rows), row), piece), offset);
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
