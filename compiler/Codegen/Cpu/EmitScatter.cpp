//===- EmitScatter.cpp - Adding rows to a table ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The gradient of an embedding. A unit is a strip of columns, which goes
// through all rows in order: whatever the ids, no two units touch the same
// element.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/RowLoops.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

/// Columns of a strip: at least a cache line of f32; more where that leaves
/// enough strips for many threads.
static int64_t stripOf(int64_t width) { return width >= 1024 ? 32 : 16; }

/// Rows of the table that one unit of the copying task takes.
static constexpr int64_t kCopyRows = 16;

FailureOr<KernelCode> cpu::emitScatter(kernel::FuncOp kernel,
                                       const CpuTarget &target,
                                       ModuleOp module) {
  if (failed(checkBody(kernel)))
    return failure();
  auto scatters = kernel.getBody().front().getOps<kernel::ScatterAddOp>();
  kernel::ReturnOp results = returnOf(kernel);
  if (!llvm::hasSingleElement(scatters) || results.getNumOperands() != 1 ||
      results.getOperand(0) != (*scatters.begin()).getResult())
    return kernel.emitError("expected one scatter_add that is the result");
  kernel::ScatterAddOp scatter = *scatters.begin();
  auto accumulator = dyn_cast<BlockArgument>(scatter.getAcc());
  RankedTensorType table = tensorOf(scatter.getResult());
  if (!accumulator || table.getRank() != 2 || !table.hasStaticShape() ||
      !table.getElementType().isF32())
    return scatter.emitError(
               "expected an argument of type f32 with static rows "
               "and columns as accumulator, got ")
           << table;
  RankedTensorType rowsType = tensorOf(scatter.getRows());
  if (rowsType.getRank() != 2)
    return scatter.emitError("expected rows and columns, got ") << rowsType;
  for (Operation &op : kernel.getBody().front())
    if (isa<kernel::ReduceOp, kernel::ConcatOp>(op))
      return op.emitError("the rows of a scatter cannot hold this op: ")
             << op.getName();

  MLIRContext *context = kernel.getContext();
  KernelCode code;
  int64_t width = table.getDimSize(1), count = table.getDimSize(0);
  int64_t task = 0;
  int inPlace = kernel.getInplaceArgument(0);
  if (inPlace != static_cast<int>(accumulator.getArgNumber())) {
    KernelBuilder k(kernel, task++, target, module);
    Value first = k.mulI(k.begin(), kCopyRows * width);
    Value last =
        k.minI(k.mulI(k.end(), kCopyRows * width), k.i64(count * width));
    Value from = k.argument(accumulator.getArgNumber());
    k.copy(k.pointerAt(k.result(0), k.f32(), first),
           k.pointerAt(from, k.f32(), first),
           k.mulI(k.subI(last, first), sizeof(float)));
    code.tasks.push_back(
        k.task(constantUnits(context, llvm::divideCeil(count, kCopyRows)),
               grainFor(kCopyRows * width * 8)));
  }

  KernelBuilder k(kernel, task, target, module);
  RowLoops eval(k, kernel);
  Value rows =
      rowsType.isDynamicDim(0) ? k.rows() : k.i64(rowsType.getDimSize(0));
  int64_t strip = stripOf(width);
  // One strip of `size` columns from `begin` on.
  auto emitStrip = [&](Value begin, int64_t size) {
    k.forLoop(k.i64(0), rows, 1, [&](Value row) {
      eval.scope([&] {
        Value id = eval.scalar(scatter.getIds(), {row});
        if (!id.getType().isInteger(64))
          id = k.toI64(id);
        Value valid = k.cmpI(arith::CmpIPredicate::ult, id, k.i64(count));
        k.ifThen(valid, [&] {
          eval.scope([&] {
            Value place = k.pointerAt(k.result(0), k.f32(),
                                      k.addI(k.mulI(id, width), begin));
            eval.hoist(scatter.getRows(), {row});
            eval.forColumns(
                size, std::max<int64_t>(1, size / kLanes),
                [&](Column column, int64_t lanes) {
                  // The strip's beginning is the variable.
                  Column at{begin, column.offset, 0, width};
                  Value value = eval.lanes(scatter.getRows(), {row}, at, lanes);
                  Value offset = k.i64(column.offset);
                  Value old = k.load(value.getType(), place, offset);
                  k.store(k.add(old, value), place, offset);
                });
          });
        });
      });
    });
  };
  int64_t whole = width / strip;
  k.forLoop(k.begin(), k.minI(k.end(), k.i64(whole)), 1,
            [&](Value unit) { emitStrip(k.mulI(unit, strip), strip); });
  if (width % strip != 0)
    k.ifThen(k.cmpI(arith::CmpIPredicate::sgt, k.end(), k.i64(whole)),
             [&] { emitStrip(k.i64(whole * strip), width % strip); });
  code.tasks.push_back(
      k.task(constantUnits(context, llvm::divideCeil(width, strip)), 1));
  return code;
}

int64_t cpu::workspaceScatter(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}
