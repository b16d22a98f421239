//===- EmitScatter.cpp - Adding rows to a table, on GPUs ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The gradient of an embedding. The first kernel links the rows: a warp looks
// backwards whether an earlier row has the same id, and forwards for the next
// one that has it. In the second kernel the first row of each id goes along its
// links and adds the rows in their order: the same sum as row by row, whatever
// runs first.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/RowThreads.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

/// Threads of a block that links rows: a row for each warp.
static constexpr int64_t kLinkThreads = 128;
/// Links other than rows: the end of a list; a row that is not the first of its
/// id, or has an id outside of the table.
static constexpr int32_t kEnd = -1;

namespace {
/// A kernel that has passed the checks.
struct Scatter {
  kernel::ScatterAddOp op;
  BlockArgument accumulator;
  int64_t count, width; ///< of the table
  RankedTensorType rows;
};
} // namespace

static FailureOr<Scatter> match(kernel::FuncOp kernel) {
  if (failed(checkBody(kernel)))
    return failure();
  auto scatters = kernel.getBody().front().getOps<kernel::ScatterAddOp>();
  kernel::ReturnOp results = returnOf(kernel);
  if (!llvm::hasSingleElement(scatters) || results.getNumOperands() != 1 ||
      results.getOperand(0) != (*scatters.begin()).getResult())
    return kernel.emitError("expected one scatter_add that is the result");
  Scatter scatter;
  scatter.op = *scatters.begin();
  scatter.accumulator = dyn_cast<BlockArgument>(scatter.op.getAcc());
  RankedTensorType table = tensorOf(scatter.op.getResult());
  if (!scatter.accumulator || table.getRank() != 2 || !table.hasStaticShape() ||
      !table.getElementType().isF32())
    return scatter.op.emitError("expected an argument of type f32 with static "
                                "rows and columns as accumulator, got ")
           << table;
  scatter.rows = tensorOf(scatter.op.getRows());
  if (scatter.rows.getRank() != 2)
    return scatter.op.emitError("expected rows and columns, got ")
           << scatter.rows;
  for (Operation &op : kernel.getBody().front())
    if (isa<kernel::ReduceOp, kernel::ConcatOp>(op))
      return op.emitError("the rows of a scatter cannot hold this op: ")
             << op.getName();
  scatter.count = table.getDimSize(0);
  scatter.width = table.getDimSize(1);
  return scatter;
}

static Value rowsOf(KernelBuilder &k, Scatter scatter) {
  return scatter.rows.isDynamicDim(0) ? k.rows()
                                      : k.i64(scatter.rows.getDimSize(0));
}

/// The id of a row, as i64.
static Value idOf(KernelBuilder &k, RowEval &eval, Scatter scatter, Value row) {
  Value id = eval.scalar(scatter.op.getIds(), {row});
  return id.getType().isInteger(64) ? id : k.toI64(id);
}

/// The workspace is two numbers (i32) a row: whether it is the first of its id,
/// and the next row with it.
static void emitLinks(KernelBuilder &k, kernel::FuncOp kernel,
                      Scatter scatter) {
  RowThreads eval(k, kernel);
  Value rows = rowsOf(k, scatter);
  Value own = k.addI(k.mulI(k.block(), kLinkThreads / kWarp), k.warp());
  // Warps behind the last row do it again.
  Value row = k.minI(own, k.subI(rows, k.i64(1)));
  Value id = idOf(k, eval, scatter, row);
  // The rows of the 32 lanes whose id is the same, as bits. Lanes outside of
  // [0, rows) look at row `row`, and do not count.
  auto sameAt = [&](Value at) {
    Value inside = k.cmpI(CmpIPredicate::ult, at, rows);
    Value same;
    eval.scope([&] {
      Value other = idOf(k, eval, scatter, k.select(inside, at, row));
      same = k.cmpI(CmpIPredicate::eq, id, other);
    });
    return k.ballot(arith::AndIOp::create(k.b, k.loc, inside, same));
  };
  Value zero = k.i32(0);
  // Backwards from row - 1, until something is found.
  auto isOpen = [&](Value found, Value condition) {
    return arith::AndIOp::create(
        k.b, k.loc, k.cmpI(CmpIPredicate::eq, found, zero), condition);
  };
  SmallVector<Value> before = k.whileLoop(
      {k.addI(row, -1), zero},
      [&](ValueRange state) -> Value {
        return isOpen(state[1], k.cmpI(CmpIPredicate::sge, state[0], k.i64(0)));
      },
      [&](ValueRange state) {
        // As unsigned, rows before the first are behind the last.
        Value found = sameAt(k.subI(state[0], k.lane()));
        return SmallVector<Value>{k.addI(state[0], -kWarp), found};
      });
  SmallVector<Value> after = k.whileLoop(
      {k.addI(row, 1), zero},
      [&](ValueRange state) -> Value {
        return isOpen(state[1], k.cmpI(CmpIPredicate::slt, state[0], rows));
      },
      [&](ValueRange state) {
        Value found = sameAt(k.addI(state[0], k.lane()));
        return SmallVector<Value>{k.addI(state[0], kWarp), found};
      });
  Value valid = k.cmpI(CmpIPredicate::ult, id, k.i64(scatter.count));
  Value isFirst = arith::AndIOp::create(
      k.b, k.loc, valid, k.cmpI(CmpIPredicate::eq, before[1], zero));
  Value bit = LLVM::CountTrailingZerosOp::create(
      k.b, k.loc, k.b.getI32Type(), after[1], /*is_zero_poison=*/false);
  Value next =
      k.addI(k.addI(after[0], -kWarp),
             Value(arith::ExtUIOp::create(k.b, k.loc, k.b.getI64Type(), bit)));
  next = arith::TruncIOp::create(k.b, k.loc, k.b.getI32Type(), next);
  next = k.select(k.cmpI(CmpIPredicate::eq, after[1], zero), k.i32(kEnd), next);
  k.ifThen(k.cmpI(CmpIPredicate::eq, k.lane(), k.i64(0)), [&] {
    Value first = arith::ExtUIOp::create(k.b, k.loc, k.b.getI32Type(), isFirst);
    k.store(first, k.workspace(), k.mulI(row, 2));
    k.store(next, k.workspace(), k.addI(k.mulI(row, 2), 1));
  });
}

/// A block is one row and some columns.
static void emitAdd(KernelBuilder &k, kernel::FuncOp kernel, Scatter scatter,
                    int64_t lanes) {
  RowThreads eval(k, kernel);
  Type i32 = k.b.getI32Type();
  Value row = k.block();
  auto link = [&](Value of, int64_t which) {
    return k.load(i32, k.workspace(), k.addI(k.mulI(of, 2), which));
  };
  Value column =
      k.mulI(k.addI(k.mulI(k.block(1), k.threads()), k.thread()), lanes);
  Value inside = k.cmpI(CmpIPredicate::slt, column, k.i64(scatter.width));
  Value takesPart = arith::AndIOp::create(
      k.b, k.loc, inside, k.cmpI(CmpIPredicate::ne, link(row, 0), k.i32(0)));
  k.ifThen(takesPart, [&] {
    Value place =
        k.addI(k.mulI(idOf(k, eval, scatter, row), scatter.width), column);
    Type type = lanes > 1 ? Type(k.vectorType(k.f32(), lanes)) : k.f32();
    Value from = k.argument(scatter.accumulator.getArgNumber());
    Value sum = k.load(type, from, place);
    SmallVector<Value> state = k.whileLoop(
        {row, sum},
        [&](ValueRange state) -> Value {
          return k.cmpI(CmpIPredicate::sge, state[0], k.i64(0));
        },
        [&](ValueRange state) {
          // The link first: the next row need not wait for the sum.
          Value next = k.toI64(link(state[0], 1));
          Value sum;
          eval.scope([&] {
            Column at{column, 0, 0, scatter.width};
            sum = k.add(state[1], eval.lanes(scatter.op.getRows(), {state[0]},
                                             at, lanes > 1 ? lanes : 0));
          });
          return SmallVector<Value>{next, sum};
        });
    k.store(state[1], k.result(0), place);
  });
}

/// The accumulator elsewhere: all of it first.
static Launch emitCopy(kernel::FuncOp kernel, const NvidiaTarget &target,
                       gpu::GPUModuleOp module, Scatter scatter) {
  KernelBuilder k(kernel, 2, target, module, 256);
  int64_t count = scatter.count * scatter.width;
  int64_t lanes = count % 4 == 0 ? 4 : 1;
  Value at = k.mulI(k.addI(k.mulI(k.block(), k.threads()), k.thread()), lanes);
  k.ifThen(k.cmpI(CmpIPredicate::slt, at, k.i64(count)), [&] {
    Type type = lanes > 1 ? Type(k.vectorType(k.f32(), lanes)) : k.f32();
    k.store(k.load(type, k.argument(scatter.accumulator.getArgNumber()), at),
            k.result(0), at);
  });
  return k.launch(constantUnits(kernel.getContext(),
                                llvm::divideCeil(count, k.threads() * lanes)));
}

FailureOr<KernelCode> nvidia::emitScatter(kernel::FuncOp kernel,
                                          const NvidiaTarget &target,
                                          gpu::GPUModuleOp module) {
  FailureOr<Scatter> scatter = match(kernel);
  if (failed(scatter))
    return failure();
  MLIRContext *context = kernel.getContext();
  auto rowBlocks = [&](int64_t rows) {
    return scatter->rows.isDynamicDim(0)
               ? rowUnits(context, 1, rows)
               : constantUnits(context, llvm::divideCeil(
                                            scatter->rows.getDimSize(0), rows));
  };
  KernelCode code;
  bool isInPlace = kernel.getInplaceArgument(0) ==
                   static_cast<int>(scatter->accumulator.getArgNumber());
  if (!isInPlace)
    code.push_back(emitCopy(kernel, target, module, *scatter));

  KernelBuilder links(kernel, 0, target, module, kLinkThreads);
  emitLinks(links, kernel, *scatter);
  code.push_back(links.launch(rowBlocks(kLinkThreads / kWarp)));

  int64_t lanes = std::min<int64_t>(
      4, lanesFor(kernel, ShapedType::kDynamic, {scatter->width}));
  int64_t vectors = llvm::divideCeil(scatter->width, lanes);
  int64_t threads = std::clamp<int64_t>(
      llvm::bit_ceil(static_cast<uint64_t>(vectors)), kWarp, 256);
  KernelBuilder add(kernel, 1, target, module, threads);
  emitAdd(add, kernel, *scatter, lanes);
  code.push_back(
      add.launch(rowBlocks(1),
                 constantUnits(context, llvm::divideCeil(vectors, threads))));
  return code;
}

int64_t nvidia::workspaceScatter(kernel::FuncOp kernel, const NvidiaTarget &,
                                 int64_t maxRows) {
  auto scatters = kernel.getBody().front().getOps<kernel::ScatterAddOp>();
  if (scatters.empty())
    return 0;
  RankedTensorType rows = tensorOf((*scatters.begin()).getRows());
  int64_t count = rows.isDynamicDim(0) ? maxRows : rows.getDimSize(0);
  return count * 2 * sizeof(int32_t);
}
