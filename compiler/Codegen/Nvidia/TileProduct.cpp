//===- TileProduct.cpp - Products of tiles by a block -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/TileProduct.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

int64_t SharedMatrix::pitch() const {
  int64_t units = llvm::divideCeil(columns * elementBytes(element), 16);
  return 16 * (units | 1);
}

int64_t SharedMatrix::bytes() const { return rows * pitch(); }

SharedMatrix::SharedMatrix(KernelBuilder &k, Type element, int64_t rows,
                           int64_t columns, int64_t copies)
    : element(element), rows(rows), columns(columns) {
  base = k.shared(copies * bytes());
}

SharedMatrix SharedMatrix::copy(KernelBuilder &k, Value index) const {
  SharedMatrix result = *this;
  result.base = k.pointerAt(base, k.b.getI8Type(), k.mulI(index, bytes()));
  return result;
}

Value SharedMatrix::at(KernelBuilder &k, Value row, Value column) const {
  Value offset = k.addI(k.mulI(row, pitch()),
                        k.mulI(column, int64_t(elementBytes(element))));
  return k.pointerAt(base, k.b.getI8Type(), offset);
}

void nvidia::commitCopies(KernelBuilder &k) {
  NVVM::CpAsyncCommitGroupOp::create(k.b, k.loc);
}

void nvidia::waitForCopies(KernelBuilder &k, int64_t pending) {
  NVVM::CpAsyncWaitGroupOp::create(k.b, k.loc, pending);
}

static Value both(KernelBuilder &k, Value x, Value y) {
  return arith::AndIOp::create(k.b, k.loc, x, y);
}

void SharedMatrix::unpackFrom(KernelBuilder &k, const GlobalMatrix &source,
                              Value row, Value column) const {
  bool isInt4 = source.form == WeightForm::Int4;
  int64_t unit = isInt4
                     ? kInt4Group
                     : std::min(int8Lanes(source.stride), int8Lanes(columns));
  assert(columns % unit == 0);
  int64_t perRow = columns / unit;
  // Of a unit what one store takes.
  int64_t lanes = std::min(unit, kAccessBytes / elementBytes(element));
  k.forLoop(k.thread(), k.i64(rows * perRow), k.threads(), [&](Value item) {
    Value r = k.divI(item, k.i64(perRow));
    Value c = k.mulI(k.remI(item, k.i64(perRow)), unit);
    Value fromRow = k.addI(row, r), fromColumn = k.addI(column, c);
    Value inside = both(k, k.cmpI(CmpIPredicate::slt, fromRow, source.rows),
                        k.cmpI(CmpIPredicate::slt, fromColumn, source.columns));
    SmallVector<Value> numbers = k.ifElse(
        inside,
        [&] {
          Value offset = k.addI(k.mulI(fromRow, source.stride), fromColumn);
          if (!isInt4)
            return loadInt8(k, source.pointer, offset, unit);
          Value group = k.divI(offset, k.i64(unit));
          SmallVector<Value> result = loadInt4(k, source.pointer, group);
          Value step = loadStep(k, source.steps, group);
          for (Value &number : result)
            number = k.mul(number, step);
          return result;
        },
        [&] { return SmallVector<Value>(unit, k.f32(0)); });
    for (int64_t i = 0; i < unit; i += lanes) {
      Value part = numbers[i];
      if (lanes > 1)
        part = vector::FromElementsOp::create(
            k.b, k.loc, k.vectorType(k.f32(), lanes),
            ArrayRef(numbers).slice(i, lanes));
      k.store(k.narrow(part, element), at(k, r, k.addI(c, i)));
    }
  });
}

void SharedMatrix::copyFrom(KernelBuilder &k, const GlobalMatrix &source,
                            Value row, Value column) const {
  if (source.form != WeightForm::Plain)
    return unpackFrom(k, source, row, column);
  int64_t size = elementBytes(source.element);
  int64_t lanes = kAccessBytes / size;
  // Whole units or nothing: the row begins and ends at multiples of 16 bytes.
  bool isWide = source.element == element && source.isAligned &&
                source.stride % lanes == 0 &&
                source.staticColumns % lanes == 0 && source.staticColumns > 0 &&
                columns % lanes == 0;
  int64_t step = isWide ? lanes : 1;
  int64_t perRow = columns / step, count = rows * perRow;
  auto copyOne = [&](Value item) {
    Value r = k.divI(item, k.i64(perRow));
    Value c = k.mulI(k.remI(item, k.i64(perRow)), step);
    Value fromRow = k.addI(row, r), fromColumn = k.addI(column, c);
    Value inside = both(k, k.cmpI(CmpIPredicate::slt, fromRow, source.rows),
                        k.cmpI(CmpIPredicate::slt, fromColumn, source.columns));
    Value to = at(k, r, c);
    auto offset = [&] {
      return k.addI(k.mulI(fromRow, source.stride), fromColumn);
    };
    if (isWide) {
      Value from = k.pointerAt(source.pointer, source.element,
                               k.select(inside, offset(), k.i64(0)));
      Value bytes = k.select(inside, k.i32(kAccessBytes), k.i32(0));
      NVVM::CpAsyncOp::create(k.b, k.loc, to, from, kAccessBytes,
                              NVVM::LoadCacheModifierKind::CG, bytes);
      return;
    }
    auto value = k.ifElse(
        inside,
        [&]() -> SmallVector<Value> {
          return {k.widen(k.load(source.element, source.pointer, offset()))};
        },
        [&]() -> SmallVector<Value> { return {k.f32(0)}; });
    k.store(k.narrow(value[0], element), to);
  };
  int64_t threads = k.threads();
  if (isWide && count % threads == 0 && count / threads <= 8) {
    for (int64_t i = 0; i < count / threads; ++i)
      copyOne(k.addI(k.thread(), i * threads));
    return;
  }
  k.forLoop(k.thread(), k.i64(count), threads, copyOne);
}

void SharedMatrix::store(KernelBuilder &k, const TileShape &shape,
                         ArrayRef<Value> sums) const {
  TilePlaces places(k, shape);
  for (int64_t i = 0; i < shape.sums(); ++i) {
    TileShape::Place place = shape.place(i);
    k.store(k.narrow(sums[i], element),
            at(k, places.row(place), places.column(place)));
  }
}

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

/// The first row and column of the thread's warp.
static std::pair<Value, Value> warpOrigin(KernelBuilder &k,
                                          const TileShape &shape) {
  Value warpM = k.divI(k.warp(), k.i64(shape.warpsN));
  Value warpN = k.remI(k.warp(), k.i64(shape.warpsN));
  return {k.mulI(warpM, shape.warpRows()), k.mulI(warpN, shape.warpColumns())};
}

TilePlaces::TilePlaces(KernelBuilder &k, const TileShape &shape) : k(k) {
  auto [row, column] = warpOrigin(k, shape);
  firstRow = k.addI(row, k.divI(k.lane(), k.i64(4)));
  firstColumn = k.addI(column, k.mulI(k.remI(k.lane(), k.i64(4)), 2));
}

Value TilePlaces::row(int64_t fragment, int64_t half) const {
  return k.addI(firstRow, 16 * fragment + 8 * half);
}

Value TilePlaces::column(int64_t fragment, int64_t odd) const {
  return k.addI(firstColumn, 8 * fragment + odd);
}

Sums nvidia::zeroSums(KernelBuilder &k, const TileShape &shape) {
  k.takesRegisters();
  return Sums(shape.sums(), k.f32(0));
}

//===----------------------------------------------------------------------===//
// Tensor cores
//===----------------------------------------------------------------------===//

/// Four 8 x 8 matrices from the rows at `address`, one of each lane.
static SmallVector<Value> loadMatrices(KernelBuilder &k, Value address,
                                       bool transposed) {
  Type i32 = k.b.getI32Type();
  auto type =
      LLVM::LLVMStructType::getLiteral(k.b.getContext(), {i32, i32, i32, i32});
  Value loaded = NVVM::LdMatrixOp::create(
      k.b, k.loc, type, address, 4,
      transposed ? NVVM::MMALayout::col : NVVM::MMALayout::row,
      NVVM::LdStMatrixShapeAttr::get(k.b.getContext(), 8, 8),
      NVVM::LdStMatrixEltType::B16);
  SmallVector<Value> registers;
  for (int64_t i = 0; i < 4; ++i)
    registers.push_back(
        LLVM::ExtractValueOp::create(k.b, k.loc, loaded, ArrayRef<int64_t>{i}));
  return registers;
}

namespace {
/// Reads the fragments of one operand of the tensor cores.
class FragmentReader {
public:
  /// `origin` is the first of the warp's rows (or columns) of the sums.
  /// `isLhs`: what distinguishes the operands is whether the second matrix is
  /// the next 8 rows (a) or the next 8 of the summed index (b).
  FragmentReader(KernelBuilder &k, const SharedMatrix &matrix, Stored form,
                 Value origin, bool isLhs)
      : k(k), matrix(matrix), form(form) {
    Value r = k.remI(k.lane(), k.i64(8)), q = k.divI(k.lane(), k.i64(8));
    Value odd = k.mulI(k.remI(q, k.i64(2)), 8);
    Value high = k.mulI(k.divI(q, k.i64(2)), 8);
    bool isByRows = form == Stored::ByRows;
    Value outer = isLhs ? odd : high, inner = isLhs ? high : odd;
    // The lane's row of the matrix is along the sums, or along the summed
    // index.
    outer = k.addI(origin, isByRows ? k.addI(outer, r) : outer);
    inner = isByRows ? inner : k.addI(inner, r);
    first = isByRows ? matrix.at(k, outer, inner) : matrix.at(k, inner, outer);
  }

  /// Sixteen rows (columns) at `outer`, sixteen of the summed index at `inner`.
  SmallVector<Value> read(int64_t outer, int64_t inner) {
    bool isByRows = form == Stored::ByRows;
    int64_t pitch = matrix.bytes() / matrix.rows;
    int64_t bytes =
        isByRows ? outer * pitch + 2 * inner : inner * pitch + 2 * outer;
    return loadMatrices(k, k.advance(first, bytes), !isByRows);
  }

private:
  KernelBuilder &k;
  const SharedMatrix &matrix;
  Stored form;
  Value first;
};
} // namespace

static Sums multiplyBf16(KernelBuilder &k, const TileShape &shape,
                         const SharedMatrix &a, Stored formA,
                         const SharedMatrix &b, Stored formB, int64_t depth,
                         ArrayRef<Value> start) {
  auto [row, column] = warpOrigin(k, shape);
  FragmentReader readA(k, a, formA, row, /*isLhs=*/true);
  FragmentReader readB(k, b, formB, column, /*isLhs=*/false);
  Sums sums(start.begin(), start.end());
  Type f32 = k.f32();
  auto type =
      LLVM::LLVMStructType::getLiteral(k.b.getContext(), {f32, f32, f32, f32});
  int64_t columns = shape.columnFragments();
  for (int64_t inner = 0; inner < depth; inner += 16) {
    SmallVector<SmallVector<Value>> fragmentsA;
    for (int64_t i = 0; i < shape.rowFragments(); ++i)
      fragmentsA.push_back(readA.read(16 * i, inner));
    for (int64_t pair = 0; pair < columns / 2; ++pair) {
      SmallVector<Value> fragmentB = readB.read(16 * pair, inner);
      for (int64_t i = 0; i < shape.rowFragments(); ++i)
        for (int64_t side = 0; side < 2; ++side) {
          int64_t at = 4 * (i * columns + 2 * pair + side);
          ArrayRef<Value> c = ArrayRef<Value>(sums).slice(at, 4);
          Value product = NVVM::MmaOp::create(
              k.b, k.loc, type, fragmentsA[i],
              ArrayRef<Value>(fragmentB).slice(2 * side, 2), c,
              ArrayRef<int64_t>{16, 8, 16}, std::nullopt, std::nullopt,
              std::array<NVVM::MMATypes, 2>{NVVM::MMATypes::bf16,
                                            NVVM::MMATypes::bf16},
              std::array<NVVM::MMALayout, 2>{NVVM::MMALayout::row,
                                             NVVM::MMALayout::col});
          for (int64_t e = 0; e < 4; ++e)
            sums[at + e] = LLVM::ExtractValueOp::create(k.b, k.loc, product,
                                                        ArrayRef<int64_t>{e});
        }
    }
  }
  return sums;
}

//===----------------------------------------------------------------------===//
// Multiply-adds
//===----------------------------------------------------------------------===//

static Sums multiplyF32(KernelBuilder &k, const TileShape &shape,
                        const SharedMatrix &a, Stored formA,
                        const SharedMatrix &b, Stored formB, int64_t depth,
                        ArrayRef<Value> start) {
  TilePlaces places(k, shape);
  auto value = [&](const SharedMatrix &matrix, Stored form, Value outer,
                   Value inner) {
    return k.load(matrix.element, form == Stored::ByRows
                                      ? matrix.at(k, outer, inner)
                                      : matrix.at(k, inner, outer));
  };
  return k.forLoop(
      k.i64(0), k.i64(depth), 1, start,
      [&](Value inner, ValueRange carried) -> SmallVector<Value> {
        SmallVector<Value> rows, columns;
        for (int64_t i = 0; i < 2 * shape.rowFragments(); ++i)
          rows.push_back(value(a, formA, places.row(i / 2, i % 2), inner));
        for (int64_t i = 0; i < 2 * shape.columnFragments(); ++i)
          columns.push_back(
              value(b, formB, places.column(i / 2, i % 2), inner));
        SmallVector<Value> sums;
        for (int64_t i = 0; i < shape.sums(); ++i) {
          TileShape::Place place = shape.place(i);
          sums.push_back(k.fma(rows[2 * place.row + place.half],
                               columns[2 * place.column + place.odd],
                               carried[i]));
        }
        return sums;
      });
}

Sums nvidia::multiply(KernelBuilder &k, const TileShape &shape,
                      const SharedMatrix &a, Stored formA,
                      const SharedMatrix &b, Stored formB, int64_t depth,
                      ArrayRef<Value> sums) {
  return (a.element.isBF16() ? multiplyBf16 : multiplyF32)(
      k, shape, a, formA, b, formB, depth, sums);
}

//===----------------------------------------------------------------------===//
// Streams
//===----------------------------------------------------------------------===//

Type StreamedProduct::commonElement(Type lhs, Type rhs) {
  return lhs == rhs ? lhs : Float32Type::get(lhs.getContext());
}

static SharedMatrix makeStages(KernelBuilder &k, Type element, Stored form,
                               int64_t outer, int64_t depth, int64_t stages) {
  return form == Stored::ByRows
             ? SharedMatrix(k, element, outer, depth, stages)
             : SharedMatrix(k, element, depth, outer, stages);
}

StreamedProduct::StreamedProduct(KernelBuilder &k, const TileShape &shape,
                                 Type element, Stored formA, Stored formB,
                                 int64_t depth, int64_t stages)
    : k(k), shape(shape), formA(formA), formB(formB), depth(depth),
      stages(stages),
      stagesA(makeStages(k, element, formA, shape.m, depth, stages)),
      stagesB(makeStages(k, element, formB, shape.n, depth, stages)) {}

Sums StreamedProduct::run(const GlobalMatrix &a, const GlobalMatrix &b,
                          Value row, Value column, Value count,
                          ArrayRef<Value> start) {
  Value steps = k.divI(k.addI(count, depth - 1), k.i64(depth));
  auto copyStage = [&](Value step) {
    k.ifThen(k.cmpI(CmpIPredicate::slt, step, steps), [&] {
      Value inner = k.mulI(step, depth), stage = k.remI(step, k.i64(stages));
      auto copyOne = [&](const SharedMatrix &all, Stored form,
                         const GlobalMatrix &from, Value outer) {
        bool isByRows = form == Stored::ByRows;
        all.copy(k, stage).copyFrom(k, from, isByRows ? outer : inner,
                                    isByRows ? inner : outer);
      };
      copyOne(stagesA, formA, a, row);
      copyOne(stagesB, formB, b, column);
    });
    commitCopies(k);
  };
  for (int64_t i = 0; i < stages - 1; ++i)
    copyStage(k.i64(i));
  Sums sums =
      k.forLoop(k.i64(0), steps, 1, start,
                [&](Value step, ValueRange carried) -> SmallVector<Value> {
                  // Own copies of this step have arrived; after the barrier all
                  // have, and everyone has left the stage that is filled next.
                  waitForCopies(k, stages - 2);
                  k.barrier();
                  copyStage(k.addI(step, stages - 1));
                  Value stage = k.remI(step, k.i64(stages));
                  SmallVector<Value> before(carried);
                  // The hardware adds in its own order; sums of f32 are made of
                  // partial ones, which errs less.
                  bool isPartial = stagesA.element.isF32();
                  Sums next = multiply(k, shape, stagesA.copy(k, stage), formA,
                                       stagesB.copy(k, stage), formB, depth,
                                       isPartial ? zeroSums(k, shape) : before);
                  if (isPartial)
                    for (auto [sum, old] : llvm::zip(next, before))
                      sum = k.add(old, sum);
                  return next;
                });
  // Groups without copies are left; nothing is under way.
  waitForCopies(k, 0);
  k.barrier();
  return sums;
}
