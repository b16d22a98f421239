//===- EmitRowwise.cpp - Row-wise kernels on GPUs -------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Two forms. Bodies whose values all have one shape go through their elements,
// several 16-byte accesses of each tensor in flight. In all others some threads
// share a row (RowThreads.h): a part of a warp, a warp, or a block.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/RowThreads.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

//===----------------------------------------------------------------------===//
// All elements
//===----------------------------------------------------------------------===//

/// Threads of a block of a flat kernel.
static constexpr int64_t kFlatThreads = 256;

/// Vectors that a thread takes of each tensor, so that about four loads are in
/// flight.
static int64_t vectorsFor(kernel::FuncOp kernel) {
  int64_t loads = llvm::count_if(kernel.getArgumentTypes(), [](Type type) {
    return cast<RankedTensorType>(type).getRank() > 0;
  });
  return loads <= 1 ? 4 : loads <= 3 ? 2 : 1;
}

static KernelCode emitFlat(kernel::FuncOp kernel, const NvidiaTarget &target,
                           gpu::GPUModuleOp module) {
  KernelBuilder k(kernel, 0, target, module, kFlatThreads);
  RowThreads eval(k, kernel, /*flat=*/true);
  ValueRange roots = returnOf(kernel).getOperands();
  RankedTensorType type = tensorOf(roots.front());
  int64_t size = staticElements(type);
  bool isDynamic = !type.hasStaticShape();
  Value count = isDynamic ? k.mulI(k.rows(), size) : k.i64(size);
  for (Value root : roots)
    eval.hoist(root, {});

  SmallVector<Type> tensors(kernel.getArgumentTypes());
  llvm::append_range(tensors, kernel.getResultTypes());
  int64_t lanes = flatLanes(tensors), vectors = vectorsFor(kernel);
  int64_t whole = lanes > 1 ? lanes : 0; // 0: scalars
  int64_t stretch = kFlatThreads * lanes, chunk = stretch * vectors;
  auto store = [&](Column column, ArrayRef<Value> values) {
    for (auto [i, value] : llvm::enumerate(values))
      k.store(value,
              k.pointerAt(k.result(i), k.elementType(value), column.variable),
              k.i64(column.offset));
  };
  auto compute = [&](Column column, int64_t width) {
    SmallVector<Value> values;
    for (Value root : roots)
      values.push_back(eval.lanes(root, {}, column, width));
    return values;
  };
  Value first = k.mulI(k.block(), chunk);
  Value at = k.addI(first, k.mulI(k.thread(), lanes));
  Value isWhole = k.cmpI(CmpIPredicate::sle, k.addI(first, chunk), count);
  // All loads before the first store.
  auto emitWhole = [&] {
    SmallVector<SmallVector<Value>> values;
    for (int64_t v = 0; v < vectors; ++v)
      values.push_back(compute({at, v * stretch, 0, 0}, whole));
    for (int64_t v = 0; v < vectors; ++v)
      store({at, v * stretch, 0, 0}, values[v]);
  };
  auto emitPart = [&] {
    k.forLoop(k.i64(0), k.i64(vectors), 1, [&](Value v) {
      Value begin = k.addI(at, k.mulI(v, stretch));
      Value end = k.minI(k.addI(begin, lanes), count);
      bool hasRest = size % lanes != 0;
      auto vector = [&] {
        eval.scope([&] {
          Column column{begin, 0, 0, 0};
          store(column, compute(column, whole));
        });
      };
      auto rest = [&] {
        k.forLoop(begin, end, 1, [&](Value element) {
          eval.scope([&] {
            Column column{element, 0, 0, 0};
            store(column, compute(column, 0));
          });
        });
      };
      Value fits = k.cmpI(CmpIPredicate::sle, k.addI(begin, lanes), count);
      if (hasRest)
        k.ifThen(fits, vector, rest);
      else
        k.ifThen(fits, vector);
    });
  };
  k.ifThen(isWhole, [&] { eval.scope(emitWhole); }, emitPart);

  MLIRContext *context = kernel.getContext();
  AffineMap blocks =
      isDynamic ? rowUnits(context, size, chunk)
                : constantUnits(context, llvm::divideCeil(size, chunk));
  return {k.launch(blocks)};
}

//===----------------------------------------------------------------------===//
// Row by row
//===----------------------------------------------------------------------===//

namespace {
/// Builds one row of each group of threads.
class RowKernel {
public:
  RowKernel(kernel::FuncOp kernel, KernelBuilder &k, const RowForm &form,
            const RowLayout &layout)
      : kernel(kernel), k(k), form(form), layout(layout), eval(k, kernel),
        roots(returnOf(kernel).getOperands()) {}

  void emit();

private:
  /// A vector of a result that is ready to be stored.
  struct Store {
    unsigned result;
    RowThreads::Piece piece;
    Value value;
  };
  void locate();
  void evaluate(const RowForm::Group &group, SmallVectorImpl<Store> &stores);
  void store(const Store &store);
  /// Builds `body` for the threads for which both conditions (null: true) hold.
  void guarded(Value first, Value second, function_ref<void()> body);

  kernel::FuncOp kernel;
  KernelBuilder &k;
  const RowForm &form;
  const RowLayout &layout;
  RowThreads eval;
  ValueRange roots;
  SmallVector<Value, 3> index;
  Value isRow; // null: every thread has a row
};
} // namespace

/// The thread's row. Threads behind the last one take that again, and store
/// nothing.
void RowKernel::locate() {
  if (form.rows.empty()) {
    if (layout.rowsPerBlock() > 1)
      isRow = k.cmpI(CmpIPredicate::ult, k.thread(), k.i64(layout.group));
    return;
  }
  int64_t inner = 1;
  for (int64_t size : ArrayRef(form.rows).drop_front())
    inner *= size;
  bool isDynamic = ShapedType::isDynamic(form.rows.front());
  Value total =
      isDynamic ? k.mulI(k.rows(), inner) : k.i64(form.rows.front() * inner);
  Value row = k.block();
  if (layout.rowsPerBlock() > 1) {
    row = k.addI(k.mulI(row, layout.rowsPerBlock()),
                 k.divI(k.thread(), k.i64(layout.group)));
    isRow = k.cmpI(CmpIPredicate::slt, row, total);
    row = k.minI(row, k.subI(total, k.i64(1)));
  }
  SmallVector<Value, 3> reversed;
  for (int64_t size : llvm::reverse(ArrayRef(form.rows).drop_front())) {
    reversed.push_back(k.remI(row, k.i64(size)));
    row = k.divI(row, k.i64(size));
  }
  index = {row};
  index.append(reversed.rbegin(), reversed.rend());
}

void RowKernel::guarded(Value first, Value second, function_ref<void()> body) {
  Value condition =
      first && second ? Value(arith::AndIOp::create(k.b, k.loc, first, second))
                      : (first ? first : second);
  if (condition)
    k.ifThen(condition, body);
  else
    body();
}

void RowKernel::evaluate(const RowForm::Group &group,
                         SmallVectorImpl<Store> &stores) {
  int64_t lanes = layout.lanes > 1 ? layout.lanes : 0;
  auto add = [&](const RowThreads::Piece &piece, int64_t edge) {
    for (unsigned result : group.results) {
      RowThreads::Piece moved{piece.column.shifted(edge), piece.inside};
      stores.push_back({result, moved,
                        eval.lanes(roots[result], index, moved.column, lanes)});
    }
  };
  // Segments of one size side by side: they share operands.
  if (group.isUniform()) {
    for (const RowThreads::Piece &piece : eval.pieces(group.edges[1]))
      for (int64_t s = 0; s < group.segments(); ++s)
        add(piece, group.edges[s]);
    return;
  }
  for (int64_t s = 0; s < group.segments(); ++s)
    for (const RowThreads::Piece &piece :
         eval.pieces(group.edges[s + 1] - group.edges[s]))
      add(piece, group.edges[s]);
}

void RowKernel::store(const Store &store) {
  guarded(isRow, store.piece.inside, [&] {
    RankedTensorType type = tensorOf(roots[store.result]);
    Value row = k.pointerAt(k.result(store.result), type.getElementType(),
                            eval.rowOffset(type, index));
    const Column &column = store.piece.column;
    row = k.pointerAt(row, type.getElementType(), column.variable);
    k.store(store.value, row, k.i64(column.offset));
  });
}

void RowKernel::emit() {
  eval.setLayout(layout, form);
  locate();
  // Everything is computed before anything is stored: results may be in place,
  // and loads need not wait.
  SmallVector<Value> numbers;
  for (unsigned result : form.perRow)
    numbers.push_back(eval.scalar(roots[result], index));
  SmallVector<Store> stores;
  for (const RowForm::Group &group : form.groups) {
    for (unsigned result : group.results)
      eval.hoist(roots[result], index);
    evaluate(group, stores);
  }
  for (const Store &each : stores)
    store(each);
  if (numbers.empty())
    return;
  Value isFirst = k.cmpI(CmpIPredicate::eq, eval.threadOfRow(), k.i64(0));
  guarded(isRow, layout.group > 1 ? isFirst : Value(), [&] {
    for (auto [result, number] : llvm::zip(form.perRow, numbers)) {
      RankedTensorType type = tensorOf(roots[result]);
      k.store(number, k.pointerAt(k.result(result), type.getElementType(),
                                  eval.rowOffset(type, index)));
    }
  });
}

FailureOr<KernelCode> nvidia::emitRowwise(kernel::FuncOp kernel,
                                          const NvidiaTarget &target,
                                          gpu::GPUModuleOp module) {
  if (failed(checkBody(kernel)))
    return failure();
  if (isFlat(returnOf(kernel).getOperands()))
    return emitFlat(kernel, target, module);
  RowForm form;
  if (failed(form.analyze(kernel)))
    return failure();
  FailureOr<RowLayout> layout = layoutOf(kernel, form);
  if (failed(layout))
    return failure();
  KernelBuilder k(kernel, 0, target, module, layout->block);
  RowKernel(kernel, k, form, *layout).emit();
  MLIRContext *context = kernel.getContext();
  if (form.rows.empty())
    return KernelCode{k.launch(constantUnits(context, 1))};
  int64_t inner = 1;
  for (int64_t size : ArrayRef(form.rows).drop_front())
    inner *= size;
  int64_t front = form.rows.front();
  AffineMap blocks =
      ShapedType::isDynamic(front)
          ? rowUnits(context, inner, layout->rowsPerBlock())
          : constantUnits(context, llvm::divideCeil(front * inner,
                                                    layout->rowsPerBlock()));
  return KernelCode{k.launch(blocks)};
}

int64_t nvidia::workspaceRowwise(kernel::FuncOp, const NvidiaTarget &,
                                 int64_t) {
  return 0;
}
