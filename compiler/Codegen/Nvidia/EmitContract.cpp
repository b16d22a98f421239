//===- EmitContract.cpp - Matrix products with an epilogue on GPUs --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Two kernels for products by rows of activations, of which the extents choose
// one (the other has an empty grid): tiles, and for up to eight rows one that
// streams the weights once. Where a library may do what the tiles do, a third
// one does what is left of the epilogue.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/ContractForm.h"
#include "compiler/Codegen/Epilogue.h"
#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/LibraryProduct.h"
#include "compiler/Codegen/Nvidia/TileProduct.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

/// Threads of a block that streams, one warp for a column at a time.
static constexpr int64_t kFewThreads = 128;
/// Threads of a block behind a library's product.
static constexpr int64_t kRestThreads = 128;

namespace {
/// What the emitter needs to know about one kernel.
struct Contract : ContractForm {
  Stored formA, formB;

  Value size(KernelBuilder &b, int64_t extent) const {
    return ShapedType::isDynamic(extent) ? b.rows() : b.i64(extent);
  }
  Value pointer(KernelBuilder &b, BlockArgument operand) const {
    return b.argument(operand.getArgNumber());
  }
  GlobalMatrix matrix(KernelBuilder &b, BlockArgument operand) const {
    auto type = cast<RankedTensorType>(operand.getType());
    int64_t columns = type.getDimSize(1);
    return {pointer(b, operand),         type.getElementType(), columns,
            size(b, type.getDimSize(0)), b.i64(columns),        columns,
            /*isAligned=*/true};
  }
  GlobalMatrix rhsMatrix(KernelBuilder &b) const {
    if (weights == WeightForm::Plain)
      return matrix(b, rhs);
    return {
        pointer(b, rhs),    rhsElement, k,
        size(b, n),         b.i64(k),   k,
        /*isAligned=*/true, weights,    steps ? pointer(b, steps) : Value()};
  }
};
} // namespace

static FailureOr<Contract> analyze(kernel::FuncOp fn) {
  FailureOr<ContractForm> form = ContractForm::of(fn);
  if (failed(form))
    return failure();
  auto stored = [](bool isTransposed) {
    return isTransposed ? Stored::Transposed : Stored::ByRows;
  };
  return Contract{*form, stored(form->layout == ContractForm::Layout::TN),
                  stored(form->layout != ContractForm::Layout::NT)};
}

/// Stores all results at a row and `lanes` columns (0: one).
static LogicalResult storeResults(KernelBuilder &k, const Contract &c,
                                  Epilogue &epilogue, Value row, Value column,
                                  Value sums) {
  epilogue.moveTo(row, column, sums);
  auto values = epilogue.evaluateAll(kernel::ReturnOp(c.results).getOperands());
  if (failed(values))
    return failure();
  Value offset = k.addI(k.mulI(row, c.n), column);
  for (auto [i, value] : llvm::enumerate(*values))
    k.storeF32(value,
               getElementTypeOrSelf(kernel::FuncOp(c.fn).getResultTypes()[i]),
               k.result(i), offset);
  return success();
}

static TileShape shapeFor(const Contract &c) {
  // Large tiles where there are enough of them.
  bool isLarge = c.lhsElement.isBF16() && c.rhsElement.isBF16() && c.n >= 512 &&
                 (ShapedType::isDynamic(c.m) || c.m >= 512);
  return isLarge ? TileShape{128, 128, 2, 4} : TileShape{64, 64, 2, 2};
}

static FailureOr<Launch> emitTiles(const Contract &c, int64_t index,
                                   const NvidiaTarget &target,
                                   gpu::GPUModuleOp module, bool isForMany) {
  TileShape shape = shapeFor(c);
  KernelBuilder k(c.fn, index, target, module, shape.threads());
  Type element = StreamedProduct::commonElement(c.lhsElement, c.rhsElement);
  StreamedProduct product(k, shape, element, c.formA, c.formB, /*depth=*/32,
                          /*stages=*/3);
  kernel::ContractOp op = c.product;
  int64_t tilesN = llvm::divideCeil(c.n, shape.n);
  // Neighbouring blocks share rows of the activations.
  Value row = k.mulI(k.divI(k.block(), k.i64(tilesN)), shape.m);
  Value column = k.mulI(k.remI(k.block(), k.i64(tilesN)), shape.n);
  Value m = c.size(k, c.m), n = k.i64(c.n);
  Sums sums = product.run(c.matrix(k, c.lhs), c.rhsMatrix(k), row, column,
                          c.size(k, c.k), zeroSums(k, shape));

  TilePlaces places(k, shape);
  bool isPaired = c.n % 2 == 0;
  Epilogue epilogue(k, op.getResult(), isPaired ? 2 : 0);
  LogicalResult status = success();
  for (int64_t i = 0; i < shape.sums(); i += isPaired ? 2 : 1) {
    TileShape::Place place = shape.place(i);
    Value atRow = k.addI(row, places.row(place));
    Value atColumn = k.addI(column, places.column(place));
    Value inside =
        arith::AndIOp::create(k.b, k.loc, k.cmpI(CmpIPredicate::slt, atRow, m),
                              k.cmpI(CmpIPredicate::slt, atColumn, n));
    k.ifThen(inside, [&] {
      Value value = sums[i];
      if (isPaired)
        value =
            vector::FromElementsOp::create(k.b, k.loc, k.vectorType(k.f32(), 2),
                                           ValueRange{sums[i], sums[i + 1]});
      if (failed(storeResults(k, c, epilogue, atRow, atColumn, value)))
        status = failure();
    });
  }
  if (failed(status))
    return failure();

  MLIRContext *context = op.getContext();
  AffineExpr rows = getAffineSymbolExpr(2, context);
  AffineExpr tiles =
      ShapedType::isDynamic(c.m)
          ? rows.ceilDiv(shape.m)
          : getAffineConstantExpr(llvm::divideCeil(c.m, shape.m), context);
  AffineMap grid = AffineMap::get(0, 3, tiles * tilesN);
  // One if there are more rows than the other kernel takes, else none.
  int64_t many = int64_t(1) << 40;
  AffineMap isTaken =
      AffineMap::get(0, 3, (rows + (many - kFewRows - 1)).floorDiv(many));
  return k.launch(grid, {}, isForMany ? isTaken : AffineMap());
}

/// Columns of the weight that a lane takes at once.
static int64_t dotLanes(const Contract &c) {
  if (c.weights == WeightForm::Int4)
    return kInt4Group;
  if (c.weights == WeightForm::Int8)
    return int8Lanes(c.k);
  int64_t bytes =
      std::max(elementBytes(c.lhsElement), elementBytes(c.rhsElement));
  int64_t lanes = kAccessBytes / bytes;
  while (c.k % lanes != 0)
    lanes /= 2;
  return lanes;
}

/// The weight's numbers from element `offset` on, those of int4 before their
/// step.
static SmallVector<Value> loadWeights(KernelBuilder &k, const Contract &c,
                                      Value offset, int64_t lanes) {
  Value w = c.pointer(k, c.rhs);
  if (c.weights == WeightForm::Int8)
    return loadInt8(k, w, offset, lanes);
  if (c.weights == WeightForm::Int4)
    return loadInt4(k, w, k.divI(offset, k.i64(kInt4Group)));
  Value all = k.loadF32(c.rhsElement, lanes, w, offset);
  SmallVector<Value> numbers;
  for (int64_t i = 0; i < lanes; ++i)
    numbers.push_back(k.extract(all, i));
  return numbers;
}

/// Sums of `rows` rows of lhs with the column's row of rhs, by one warp.
static SmallVector<Value> emitDots(KernelBuilder &k, const Contract &c,
                                   Value column, int64_t rows) {
  Value x = c.pointer(k, c.lhs);
  int64_t lanes = dotLanes(c);
  Value last = k.subI(k.rows(), k.i64(1));
  Value weights = k.mulI(column, c.k);
  SmallVector<Value> offsets;
  for (int64_t r = 0; r < rows; ++r)
    offsets.push_back(k.mulI(k.minI(k.i64(r), last), c.k));
  SmallVector<Value> sums =
      k.forLoop(k.mulI(k.lane(), lanes), k.i64(c.k), kWarp * lanes,
                SmallVector<Value>(rows, k.f32(0)),
                [&](Value at, ValueRange carried) -> SmallVector<Value> {
                  Value from = k.addI(weights, at);
                  SmallVector<Value> weight = loadWeights(k, c, from, lanes);
                  Value step;
                  if (c.steps)
                    step = loadStep(k, c.pointer(k, c.steps),
                                    k.divI(from, k.i64(kInt4Group)));
                  SmallVector<Value> next;
                  for (int64_t r = 0; r < rows; ++r) {
                    Value value = k.loadF32(c.lhsElement, lanes, x,
                                            k.addI(offsets[r], at));
                    Value sum = step ? k.f32(0) : carried[r];
                    for (int64_t i = 0; i < lanes; ++i)
                      sum = k.fma(k.extract(value, i), weight[i], sum);
                    next.push_back(step ? k.fma(sum, step, carried[r]) : sum);
                  }
                  return next;
                });
  for (Value &sum : sums)
    sum = k.combineGroup(sum, kWarp,
                         [&](Value x, Value y) { return k.add(x, y); });
  return sums;
}

static FailureOr<Launch> emitFewRows(const Contract &c, int64_t index,
                                     const NvidiaTarget &target,
                                     gpu::GPUModuleOp module) {
  KernelBuilder k(c.fn, index, target, module, kFewThreads);
  kernel::ContractOp op = c.product;
  Epilogue epilogue(k, op.getResult(), 0);
  LogicalResult status = success();
  Value column = k.addI(k.mulI(k.block(), kFewThreads / kWarp), k.warp());
  auto emitRows = [&](int64_t rows) {
    SmallVector<Value> sums = emitDots(k, c, column, rows);
    // Lane r finishes row r.
    Value mine = sums[0];
    for (int64_t r = 1; r < rows; ++r)
      mine = k.select(k.cmpI(CmpIPredicate::eq, k.lane(), k.i64(r)), sums[r],
                      mine);
    k.ifThen(k.cmpI(CmpIPredicate::slt, k.lane(), k.rows()), [&] {
      if (failed(storeResults(k, c, epilogue, k.lane(), column, mine)))
        status = failure();
    });
  };
  k.ifThen(k.cmpI(CmpIPredicate::slt, column, k.i64(c.n)), [&] {
    k.ifThen(
        k.cmpI(CmpIPredicate::eq, k.rows(), k.i64(1)), [&] { emitRows(1); },
        [&] { emitRows(kFewRows); });
  });
  if (failed(status))
    return failure();
  MLIRContext *context = op.getContext();
  AffineExpr rows = getAffineSymbolExpr(2, context);
  int64_t many = int64_t(1) << 40;
  AffineMap isTaken =
      AffineMap::get(0, 3,
                     getAffineConstantExpr(1, context) -
                         (rows + (many - kFewRows - 1)).floorDiv(many));
  return k.launch(blocks(context, llvm::divideCeil(c.n, kFewThreads / kWarp)),
                  {}, isTaken);
}

/// What the library leaves of the kernel: nothing if its value is the only
/// result, else all other results from it. A thread has some columns of a row.
static FailureOr<std::optional<Launch>>
emitRest(const Contract &c, const LibraryProduct &library, int64_t index,
         const NvidiaTarget &target, gpu::GPUModuleOp module) {
  kernel::ReturnOp results = c.results;
  if (llvm::all_of(results.getOperands(),
                   [&](Value value) { return value == library.value; }))
    return std::optional<Launch>();
  kernel::FuncOp fn = c.fn;
  KernelBuilder k(fn, index, target, module, kRestThreads);
  Type element = getElementTypeOrSelf(library.value.getType());
  // Its rows are aligned to the widest access.
  int64_t lanes = kAccessBytes / elementBytes(element);
  int64_t blocksOfRow = llvm::divideCeil(c.n, lanes * kRestThreads);
  Value row = k.divI(k.block(), k.i64(blocksOfRow));
  Value chunk = k.addI(
      k.mulI(k.remI(k.block(), k.i64(blocksOfRow)), kRestThreads), k.thread());
  Value column = k.mulI(chunk, lanes);
  Epilogue epilogue(k, library.value, lanes);
  LogicalResult status = success();
  k.ifThen(k.cmpI(CmpIPredicate::slt, column, k.i64(c.n)), [&] {
    Value offset = k.addI(k.mulI(row, c.n), column);
    epilogue.moveTo(
        row, column,
        k.loadF32(element, lanes, k.result(library.result), offset));
    auto values = epilogue.evaluateAll(results.getOperands());
    status = success(succeeded(values));
    if (failed(status))
      return;
    for (auto [i, value] : llvm::enumerate(*values))
      if (results.getOperand(i) != library.value || i != library.result)
        k.storeF32(value, getElementTypeOrSelf(fn.getResultTypes()[i]),
                   k.result(i), offset);
  });
  if (failed(status))
    return failure();
  MLIRContext *context = fn.getContext();
  AffineExpr rows = c.rowsOfResult() ? getAffineSymbolExpr(2, context)
                                     : getAffineConstantExpr(c.m, context);
  Launch launch = k.launch(AffineMap::get(0, 3, rows * blocksOfRow));
  launch.followsLibrary = true;
  return std::optional<Launch>(launch);
}

/// Lets a library do the first launch of `code` where there is one.
static LogicalResult addLibrary(KernelCode &code, const Contract &c,
                                const NvidiaTarget &target,
                                gpu::GPUModuleOp module) {
  std::optional<LibraryProduct> library = findLibraryProduct(c);
  if (!library) {
    kernel::FuncOp fn = c.fn;
    return fn.emitError("no library computes exactly what ")
           << fn.getSymName() << " does";
  }
  code.front().library = describeLibraryProduct(c, *library);
  FailureOr<std::optional<Launch>> rest =
      emitRest(c, *library, code.size(), target, module);
  if (failed(rest))
    return failure();
  if (*rest)
    code.insert(code.begin() + 1, **rest);
  return success();
}

FailureOr<KernelCode> nvidia::emitContract(kernel::FuncOp fn,
                                           const NvidiaTarget &target,
                                           gpu::GPUModuleOp module) {
  FailureOr<Contract> c = analyze(fn);
  if (failed(c))
    return failure();
  bool hasFew = ShapedType::isDynamic(c->m) && c->formA == Stored::ByRows &&
                c->formB == Stored::ByRows;
  FailureOr<Launch> tiles = emitTiles(*c, 0, target, module, hasFew);
  if (failed(tiles))
    return failure();
  KernelCode code = {*tiles};
  if (hasFew) {
    FailureOr<Launch> few = emitFewRows(*c, 1, target, module);
    if (failed(few))
      return failure();
    code.push_back(*few);
  }
  if (usesLibrary(fn) && failed(addLibrary(code, *c, target, module)))
    return failure();
  return code;
}

int64_t nvidia::workspaceContract(kernel::FuncOp fn, const NvidiaTarget &,
                                  int64_t maxRows) {
  FailureOr<ContractForm> form = ContractForm::of(fn);
  if (failed(form) || !usesLibrary(fn))
    return 0;
  return libraryWorkspaceBytes(*form, maxRows);
}
