//===- EmitRelayout.cpp - Copies around collectives, on GPUs --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A thread moves one access of at most 16 bytes
// (compiler/Codegen/RelayoutForm.h).
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/KernelBuilder.h"
#include "dialects/Dist/HeadOps.h"

#include <numeric>

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

static constexpr int64_t kThreads = 256;

/// The most lanes of an access to operand and result of `kernel`, such that all
/// multiples of `lengths` (0: none) are places of accesses.
static int64_t lanesOf(kernel::FuncOp kernel, unsigned source, Type element,
                       ArrayRef<int64_t> lengths) {
  int64_t bytes = std::min(alignmentOf(kernel.getArgumentTypes()[source]),
                           alignmentOf(kernel.getResultTypes()[0]));
  int64_t lanes =
      std::max<int64_t>(1, bytes * 8 / element.getIntOrFloatBitWidth());
  for (int64_t length : lengths)
    lanes = std::gcd(lanes, length);
  return lanes;
}

static Type accessType(KernelBuilder &k, Type element, int64_t lanes) {
  return lanes > 1 ? Type(k.vectorType(element, lanes)) : element;
}

/// `body` with the number of the thread in the grid, if that is below `count`.
static void forThread(KernelBuilder &k, Value count,
                      function_ref<void(Value)> body) {
  Value number = k.addI(k.mulI(k.block(), kThreads), k.thread());
  k.ifThen(k.cmpI(CmpIPredicate::slt, number, count), [&] { body(number); });
}

static FailureOr<KernelCode> emitPadGroups(kernel::FuncOp kernel,
                                           const NvidiaTarget &target,
                                           gpu::GPUModuleOp module) {
  FailureOr<PadForm> form = padForm(kernel);
  if (failed(form))
    return failure();
  int64_t lanes = lanesOf(kernel, form->source, form->element, {form->entry});
  int64_t pieces = form->entry / lanes; // of an entry
  int64_t count = form->groups * form->size * pieces;

  KernelBuilder k(kernel, 0, target, module, kThreads);
  Type access = accessType(k, form->element, lanes);
  forThread(k, k.i64(count), [&](Value number) {
    Value piece = k.remI(number, k.i64(pieces));
    Value place = k.divI(number, k.i64(pieces));
    Value group = k.divI(place, k.i64(form->size));
    Value entry = k.remI(place, k.i64(form->size));
    if (form->start)
      entry = k.addI(
          entry, k.toI64(k.load(k.b.getI32Type(), k.argument(*form->start))));
    Value to = k.mulI(number, lanes);
    // As unsigned, an entry before the first one is behind the last one too.
    k.ifThen(
        k.cmpI(CmpIPredicate::ult, entry, k.i64(form->width)),
        [&] {
          Value from = k.addI(k.mulI(group, form->width), entry);
          from = k.addI(k.mulI(from, pieces), piece);
          k.store(k.load(access, k.argument(form->source), k.mulI(from, lanes)),
                  k.result(0), to);
        },
        [&] { k.store(k.constant(access, 0), k.result(0), to); });
  });
  return KernelCode{k.launch(
      constantUnits(kernel.getContext(), llvm::divideCeil(count, kThreads)))};
}

/// A thread moves an access of a token.
static KernelCode emitTokens(const RelayoutForm &form, kernel::FuncOp kernel,
                             const NvidiaTarget &target,
                             gpu::GPUModuleOp module) {
  Type element = form.type.getElementType();
  int64_t lanes = lanesOf(kernel, form.source, element, {form.piece});
  int64_t accesses = form.piece / lanes;
  int64_t cut = form.place ? form.parts : 1;
  KernelBuilder k(kernel, 0, target, module, kThreads);
  Type access = accessType(k, element, lanes);
  Value tokens = k.divI(k.rows(), k.i64(cut));
  forThread(k, k.mulI(tokens, accesses), [&](Value number) {
    Value inPiece = k.mulI(k.remI(number, k.i64(accesses)), lanes);
    Value place;
    if (form.place)
      place = k.toI64(k.load(k.b.getI32Type(), k.argument(*form.place)));
    TokenNumbers at =
        tokenNumbers(k, form, k.divI(number, k.i64(accesses)), place);
    auto offset = [&](Value token) {
      return k.addI(k.mulI(token, form.piece), inPiece);
    };
    bool reads = form.readsTogether();
    k.store(k.load(access, k.argument(form.source),
                   offset(reads ? at.together : at.apart)),
            k.result(0), offset(reads ? at.apart : at.together));
  });
  return KernelCode{
      k.launch(rowUnits(kernel.getContext(), accesses, kThreads * cut))};
}

FailureOr<KernelCode> nvidia::emitRelayout(kernel::FuncOp kernel,
                                           const NvidiaTarget &target,
                                           gpu::GPUModuleOp module) {
  if (blockIs<dist::PadGroupsOp>(kernel))
    return emitPadGroups(kernel, target, module);
  FailureOr<RelayoutForm> form = relayoutForm(kernel);
  if (failed(form))
    return failure();
  if (form->cutsTokens)
    return emitTokens(*form, kernel, target, module);
  Type element = form->type.getElementType();
  int64_t lanes = lanesOf(kernel, form->source, element,
                          {form->piece, form->row, form->offset});
  int64_t accesses = form->piece / lanes;
  int64_t parts = form->place ? 1 : form->parts;
  int64_t units = form->before * parts * accesses;

  KernelBuilder k(kernel, 0, target, module, kThreads);
  Type access = accessType(k, element, lanes);
  Value count = form->hasRows ? k.mulI(k.rows(), units) : k.i64(units);
  Value rows =
      form->hasRows ? k.mulI(k.rows(), form->before) : k.i64(form->before);
  forThread(k, count, [&](Value number) {
    // number = (row, part, access).
    Value inPiece = k.mulI(k.remI(number, k.i64(accesses)), lanes);
    Value rest = k.divI(number, k.i64(accesses));
    Value part =
        form->place
            ? k.toI64(k.load(k.b.getI32Type(), k.argument(*form->place)))
            : k.remI(rest, k.i64(parts));
    Value row = k.divI(rest, k.i64(parts));
    Value together = k.addI(k.mulI(row, form->parts), part);
    together = k.addI(k.mulI(together, form->piece), inPiece);
    Value apart = k.addI(k.mulI(row, form->piece), inPiece);
    if (form->row)
      apart = k.addI(k.addI(apart, k.mulI(part, form->row)), form->offset);
    else if (!form->place)
      apart = k.addI(apart, k.mulI(k.mulI(part, rows), form->piece));
    bool reads = form->readsTogether();
    k.store(k.load(access, k.argument(form->source), reads ? together : apart),
            k.result(0), reads ? apart : together);
  });
  MLIRContext *context = kernel.getContext();
  return KernelCode{k.launch(
      form->hasRows
          ? rowUnits(context, units, kThreads)
          : constantUnits(context, llvm::divideCeil(units, kThreads)))};
}

int64_t nvidia::workspaceRelayout(kernel::FuncOp, const NvidiaTarget &,
                                  int64_t) {
  return 0;
}
