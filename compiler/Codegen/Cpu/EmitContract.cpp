//===- EmitContract.cpp - Matrix products with an epilogue ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A unit of work is one block of the result. It multiplies into a tile of f32
// in the worker's scratch and applies the epilogue there; a bare product, or
// one that is only added to its own accumulator, goes to the result directly.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Emitters.h"
#include "compiler/Codegen/Cpu/GemmKernel.h"
#include "compiler/Codegen/Cpu/PackedWeights.h"
#include "compiler/Codegen/Epilogue.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

// Blocks of rows that one worker takes together at least.
static constexpr int64_t kSharingBlocks = 4;
// Of a block's weights, unpacked from a quantized form.
static constexpr int64_t kUnpackedBytes = 1 << 20;

namespace {
/// What the emitter needs to know about one kernel.
struct Contract : ContractForm {
  explicit Contract(const ContractForm &form) : ContractForm(form) {}

  GemmKind kind;
  /// The block of one unit.
  int64_t blockM, blockN;

  /// B stays packed from one block of rows to the next.
  bool reuses;

  int64_t panels() const { return llvm::divideCeil(n, blockN); }
  /// Bytes of a block's columns of the right operand, unpacked.
  int64_t unpackedBytes() const {
    if (weights == WeightForm::Plain)
      return 0;
    return llvm::alignTo(blockN * k * (kind.rhs.isF32() ? 4 : 2), 64);
  }
};
} // namespace

static FailureOr<Contract> analyze(kernel::FuncOp fn, const CpuTarget &target) {
  FailureOr<ContractForm> form = ContractForm::of(fn);
  if (failed(form))
    return failure();
  Contract c(*form);
  c.kind = {c.layout, c.lhsElement, c.rhsElement};
  // Enough units for some threads, large enough to pay for packing.
  bool fast = target.hasAmx() && c.kind.lhs.isBF16() && c.kind.rhs.isBF16();
  c.blockM = 128;
  c.blockN = fast ? 256 : 64;
  while (c.blockN > 128 && !gemmKeepsPacked(c.kind, target, c.blockN, c.k))
    c.blockN /= 2;
  if (!c.rowsOfResult()) {
    // Both operands are packed for every block: square ones, as large as
    // leaves four of them.
    int64_t side = 256;
    auto units = [&] {
      return llvm::divideCeil(c.m, side) * llvm::divideCeil(c.n, side);
    };
    while (side > 64 && units() < 4)
      side /= 2;
    c.blockM = c.blockN = side;
  }
  c.blockN = std::min<int64_t>(llvm::alignTo(c.n, 32), c.blockN);
  // What is unpacked stays in the second cache.
  while (c.blockN > 32 && c.unpackedBytes() > kUnpackedBytes)
    c.blockN /= 2;
  c.reuses = c.rowsOfResult() && gemmKeepsPacked(c.kind, target, c.blockN, c.k);
  return c;
}

/// The result that the product may be written to in place of a tile: its index
/// and whether what is there is added. -1: none.
static std::pair<int, bool> directResult(Contract &c) {
  if (c.results.getNumOperands() != 1)
    return {-1, false};
  Value value = c.results.getOperand(0);
  if (!getElementTypeOrSelf(value.getType()).isF32())
    return {-1, false};
  if (value == c.product.getResult())
    return {0, false};
  auto sum = value.getDefiningOp<arith::AddFOp>();
  int inplace = kernel::FuncOp(c.fn).getInplaceArgument(0);
  if (!sum || inplace < 0)
    return {-1, false};
  Value accumulator = c.fn.getBody().getArgument(inplace);
  Value product = c.product.getResult();
  bool adds = (sum.getLhs() == product && sum.getRhs() == accumulator) ||
              (sum.getRhs() == product && sum.getLhs() == accumulator);
  return adds ? std::pair<int, bool>{0, true} : std::pair<int, bool>{-1, false};
}

/// Applies the epilogue to the tile and stores the results of rows [0, rows)
/// and columns [0, columns) of a block at (row, column).
static LogicalResult emitEpilogue(SimdBuilder &b, Contract &c, Value tile,
                                  Value row0, Value column0, Value rows,
                                  Value columns) {
  Value present; // the lanes that are columns of the result; null: all
  Epilogue epilogue(b, c.product.getResult(), kLanes,
                    [&](Type element, Value pointer, Value offset) {
                      return b.loadV(element, b.at(pointer, offset, element),
                                     present);
                    });
  LogicalResult status = success();
  auto vectorAt = [&](Value i, Value j, Value mask) {
    Value row = b.add(row0, i), column = b.add(column0, j);
    present = mask;
    epilogue.moveTo(
        row, column,
        b.loadV(b.f32(), b.at(tile, b.add(b.mul(i, c.blockN), j)), mask));
    auto values = epilogue.evaluateAll(c.results.getOperands());
    if (failed(values)) {
      status = failure();
      return;
    }
    Value offset = b.add(b.mul(row, c.n), column);
    for (auto [i, value] : llvm::enumerate(*values)) {
      Type element = getElementTypeOrSelf(c.fn.getResultTypes()[i]);
      b.storeV(value, element, b.at(b.result(i), offset, element), mask);
    }
  };
  b.loop(rows, 1, [&](Value i) {
    b.lanes(columns, [&](Value j, Value mask) { vectorAt(i, j, mask); });
  });
  return status;
}

FailureOr<KernelCode>
cpu::emitContract(kernel::FuncOp fn, const CpuTarget &target, ModuleOp module) {
  FailureOr<Contract> analyzed = analyze(fn, target);
  if (failed(analyzed))
    return failure();
  Contract &c = *analyzed;
  int direct;
  bool accumulates;
  std::tie(direct, accumulates) = directResult(c);
  int64_t gemmBytes =
      llvm::alignTo(std::max(gemmScratchBytes(target),
                             packedGemvScratchBytes(c.weights, c.k)),
                    64);

  SimdBuilder b(fn, 0, target, module);
  auto pointer = [&](BlockArgument operand) {
    return b.argument(operand.getArgNumber());
  };
  auto size = [&](int64_t extent) {
    return ShapedType::isDynamic(extent) ? b.rows() : b.cst(extent);
  };
  Value m = size(c.m), n = b.cst(c.n), k = size(c.k);
  Value scratch = b.scratch();
  Value unpacked = b.advance(scratch, gemmBytes);
  Value tile = b.advance(unpacked, c.unpackedBytes());

  // Blocks of rows are innermost: those of one chunk share the packed B.
  Value rowBlocks = b.ceilDiv(m, c.blockM);
  LogicalResult status = success();
  b.loop(b.begin(), b.end(), 1, [&](Value unit) {
    Value rowBlock = b.rem(unit, rowBlocks);
    Value row = b.mul(rowBlock, c.blockM);
    Value column = b.mul(b.div(unit, rowBlocks), c.blockN);
    Value rows = b.min(b.sub(m, row), c.blockM);
    Value columns = b.min(b.sub(n, column), c.blockN);
    Value sameColumns = b.both(b.ne(unit, b.begin()), b.ne(rowBlock, b.cst(0)));
    Value reuse;
    if (c.reuses)
      reuse = b.select(sameColumns, b.cst(1), b.cst(0));
    // Where the block's rows of A and columns of B begin.
    Value lhsOffset =
        c.kind.form == GemmForm::TN ? row : b.mul(row, c.lhsColumns());
    Value rhsOffset =
        c.kind.form == GemmForm::NT ? b.mul(column, c.rhsColumns()) : column;
    Matrix lhs = {b.at(pointer(c.lhs), lhsOffset, c.kind.lhs),
                  b.cst(c.lhsColumns())};
    Matrix rhs;
    if (c.weights == WeightForm::Plain)
      rhs = {b.at(pointer(c.rhs), rhsOffset, c.kind.rhs),
             b.cst(c.rhsColumns())};
    Matrix out = {tile, b.cst(c.blockN)};
    if (direct >= 0)
      out = {b.at(b.result(direct), b.add(b.mul(row, c.n), column)),
             b.cst(c.n)};
    GemmCall call = {c.kind,  lhs,     rhs,  out,
                     rows,    columns, k,    b.cst(accumulates),
                     scratch, {},      reuse};
    if (c.weights != WeightForm::Plain) {
      PackedWeights packed = {c.weights, pointer(c.rhs),
                              c.steps ? pointer(c.steps) : Value(), column};
      b.when(
          b.le(m, b.cst(kFewRows)),
          [&] { emitPackedGemv(b, module, call, packed); },
          [&] {
            b.when(
                sameColumns, [] {},
                [&] {
                  emitUnpack(b, module, packed, c.kind.rhs, columns, k,
                             unpacked);
                });
            call.rhs = {unpacked, k};
            emitGemm(b, module, call);
          });
    } else if (c.kind.form == GemmForm::NT && c.rowsOfResult() && !accumulates)
      b.when(
          b.le(m, b.cst(kFewRows)), [&] { emitGemv(b, module, call); },
          [&] { emitGemm(b, module, call); });
    else
      emitGemm(b, module, call);
    if (direct < 0)
      status = emitEpilogue(b, c, tile, row, column, rows, columns);
  });
  if (failed(status))
    return failure();

  KernelCode code;
  MLIRContext *context = fn.getContext();
  AffineExpr blocks = getAffineConstantExpr(
      c.rowsOfResult() ? 1 : llvm::divideCeil(c.m, c.blockM), context);
  AffineMap grain = AffineMap::getConstantMap(1, context);
  if (c.rowsOfResult()) {
    blocks = getAffineSymbolExpr(2, context).ceilDiv(c.blockM);
    // Rows that share a packed block of B, but one panel of B at most.
    grain = AffineMap::get(
        0, 3, {blocks, getAffineConstantExpr(kSharingBlocks, context)},
        context);
  }
  code.tasks.push_back(
      b.task(AffineMap::get(0, 3, blocks * c.panels()), grain));
  code.scratchBytes = gemmBytes + c.unpackedBytes() +
                      (direct < 0 ? 4 * c.blockM * c.blockN : 0);
  return code;
}

int64_t cpu::workspaceContract(kernel::FuncOp, const CpuTarget &, int64_t) {
  return 0;
}
