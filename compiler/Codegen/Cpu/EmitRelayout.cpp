//===- EmitRelayout.cpp - Copies around collectives -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A unit is a block of one piece (compiler/Codegen/RelayoutForm.h).
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/KernelBuilder.h"
#include "dialects/Dist/HeadOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

/// Bytes of a block.
static constexpr int64_t kBlockBytes = 64 * 1024;

/// A unit is a piece of one group: zeros, a part of the operand's group, zeros.
static FailureOr<KernelCode>
emitPadGroups(kernel::FuncOp kernel, const CpuTarget &target, ModuleOp module) {
  FailureOr<PadForm> form = padForm(kernel);
  if (failed(form))
    return failure();
  int64_t before = form->groups, width = form->width, size = form->size;
  int64_t entry = form->entry * form->element.getIntOrFloatBitWidth() / 8;
  int64_t perPiece = std::max<int64_t>(1, kBlockBytes / entry);
  int64_t pieces = llvm::divideCeil(size, perPiece);

  KernelBuilder k(kernel, 0, target, module);
  Type byte = k.b.getI8Type();
  Value start = k.i64(0);
  if (form->start)
    start = k.toI64(k.load(k.b.getI32Type(), k.argument(*form->start)));
  Value to = k.result(0), from = k.argument(form->source);
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

/// A unit is a token.
static KernelCode emitTokens(const RelayoutForm &what, kernel::FuncOp kernel,
                             const CpuTarget &target, ModuleOp module) {
  KernelBuilder k(kernel, 0, target, module);
  Type byte = k.b.getI8Type();
  int64_t bytes =
      what.piece * what.type.getElementType().getIntOrFloatBitWidth() / 8;
  Value place;
  if (what.place)
    place = k.toI64(k.load(k.b.getI32Type(), k.argument(*what.place)));
  k.forLoop(k.begin(), k.end(), 1, [&](Value unit) {
    TokenNumbers at = tokenNumbers(k, what, unit, place);
    bool reads = what.readsTogether();
    Value to = reads ? at.apart : at.together;
    Value from = reads ? at.together : at.apart;
    k.copy(k.pointerAt(k.result(0), byte, k.mulI(to, bytes)),
           k.pointerAt(k.argument(what.source), byte, k.mulI(from, bytes)),
           k.i64(bytes));
  });
  AffineMap units =
      rowUnits(kernel.getContext(), 1, what.place ? what.parts : 1);
  return {{k.task(units, grainFor(2 * bytes))}, 0};
}

FailureOr<KernelCode> cpu::emitRelayout(kernel::FuncOp kernel,
                                        const CpuTarget &target,
                                        ModuleOp module) {
  if (blockIs<dist::PadGroupsOp>(kernel))
    return emitPadGroups(kernel, target, module);
  FailureOr<RelayoutForm> form = relayoutForm(kernel);
  if (failed(form))
    return failure();
  RelayoutForm what = *form;
  if (what.cutsTokens)
    return emitTokens(what, kernel, target, module);
  int64_t width = what.type.getElementType().getIntOrFloatBitWidth() / 8;
  int64_t before = what.before, piece = what.piece * width;
  int64_t blocks = llvm::divideCeil(piece, kBlockBytes);

  KernelBuilder k(kernel, 0, target, module);
  Type byte = k.b.getI8Type();
  Value rows = what.hasRows ? k.mulI(k.rows(), before) : k.i64(before);
  Value place;
  if (what.place)
    place = k.toI64(k.load(k.b.getI32Type(), k.argument(*what.place)));
  int64_t units = (what.place ? 1 : what.parts) * blocks;
  k.forLoop(k.begin(), k.end(), 1, [&](Value unit) {
    // unit = (row, part, block).
    Value block = k.remI(unit, k.i64(blocks));
    Value rest = k.divI(unit, k.i64(blocks));
    Value row = rest, part = place;
    if (!what.place) {
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
    else if (!what.place)
      apart = k.addI(apart, k.mulI(k.mulI(part, rows), piece));
    bool reads = what.readsTogether();
    k.copy(k.pointerAt(k.result(0), byte, reads ? apart : together),
           k.pointerAt(k.argument(what.source), byte, reads ? together : apart),
           bytes);
  });
  AffineMap count = what.hasRows
                        ? rowUnits(kernel.getContext(), before * units)
                        : constantUnits(kernel.getContext(), before * units);
  return KernelCode{{k.task(count, grainFor(2 * std::min(piece, kBlockBytes)))},
                    0};
}

int64_t cpu::workspaceRelayout(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}
