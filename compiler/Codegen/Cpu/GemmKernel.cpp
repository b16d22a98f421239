//===- GemmKernel.cpp - Matrix products of any size -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The loops of Goto and van de Geijn: a block of B (blockK x blockN) is packed
// into panels of `tileN` columns, a block of A (blockM x blockK) into rows of
// f32, and a register tile of tileM x tileN walks over them with one fused
// multiply-add per broadcast element of A and vector of B.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/GemmBlocks.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

namespace {
/// Sizes of the blocks, in elements.
struct Blocking {
  int64_t tileM, vectorsN, blockM, blockN, blockK;
  int64_t tileN() const { return vectorsN * kLanes; }
  // Rows of packed A lie 64 bytes off a power of two: no conflict misses.
  int64_t strideAByRow() const { return blockK + kLanes; }
  int64_t strideAByK() const { return blockM + kLanes; }
  int64_t bytesA() const {
    return 4 *
           std::max((blockM + kLanes) * strideAByRow(), blockK * strideAByK());
  }
  int64_t bytesB() const { return 4 * blockN * blockK; }
};

/// Emits the body of one function.
class GemmEmitter {
public:
  GemmEmitter(SimdBuilder &b, const GemmKind &kind, const Blocking &blocking)
      : b(b), kind(kind), blocking(blocking) {}
  void emit(const GemmOperands &operands);

private:
  void packB(Value j0, Value k0, Value nc, Value kc);
  void packBTransposed(Value j0, Value k0, Value nc, Value kc);
  void packA(Value i0, Value k0, Value mc, Value kc);
  void tile(Value ir, Value jr, Value row, Value column, Value mc, Value nc,
            Value kc, Value add);

  SimdBuilder &b;
  const GemmKind &kind;
  const Blocking &blocking;
  Matrix lhs, rhs, out;
  Value packedA, packedB;
};
} // namespace

static Blocking blockingFor(const CpuTarget &target) {
  // 16 accumulators of 32 zmm registers, or 12 of 16 ymm registers.
  if (target.level == CpuTarget::V3)
    return {6, 1, 96, 256, 256};
  return {8, 2, 64, 256, 256};
}

static int64_t packedABytes(const CpuTarget &target) {
  int64_t bytes = blockingFor(target).bytesA();
  if (target.hasAmx())
    bytes = std::max(bytes, amxBlocking().bytesA);
  return llvm::alignTo(bytes, 64);
}

int64_t cpu::gemmPackedBytes(const CpuTarget &target) {
  int64_t bytes = blockingFor(target).bytesB();
  if (target.hasAmx())
    bytes = std::max(bytes, amxBlocking().bytesB);
  return llvm::alignTo(bytes, 64);
}

int64_t cpu::gemmScratchBytes(const CpuTarget &target) {
  return packedABytes(target) + gemmPackedBytes(target);
}

/// Tiles multiply bf16 only: no operand is ever rounded for them.
static bool usesAmx(const GemmKind &kind, const CpuTarget &target) {
  return target.hasAmx() && kind.lhs.isBF16() && kind.rhs.isBF16();
}

bool cpu::gemmKeepsPacked(const GemmKind &kind, const CpuTarget &target,
                          int64_t n, int64_t k) {
  if (usesAmx(kind, target))
    return amxKeepsPacked(n, k);
  Blocking blocking = blockingFor(target);
  return n <= blocking.blockN && k <= blocking.blockK;
}

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

// Rows of B are contiguous: [panel][k][tileN].
void GemmEmitter::packB(Value j0, Value k0, Value nc, Value kc) {
  Type f32 = b.f32();
  b.loop(nc, blocking.tileN(), [&](Value j) {
    Value panel = b.at(packedB, b.mul(j, blocking.blockK));
    SmallVector<Value> masks, columns;
    for (int64_t v = 0; v < blocking.vectorsN; ++v) {
      Value column = b.add(j, v * kLanes);
      masks.push_back(b.mask(b.sub(nc, column)));
      // A fully masked load touches nothing, wherever it points.
      columns.push_back(b.add(j0, column));
    }
    b.loop(kc, 1, [&](Value r) {
      Value row = b.mul(b.add(k0, r), rhs.stride);
      Value target = b.at(panel, b.mul(r, blocking.tileN()));
      for (int64_t v = 0; v < blocking.vectorsN; ++v) {
        Value address = b.at(rhs.base, b.add(row, columns[v]), kind.rhs);
        b.storeV(b.loadV(kind.rhs, address, masks[v]), f32,
                 b.at(target, v * kLanes, f32));
      }
    });
  });
}

// Columns of B are contiguous: transposed in blocks of 16 x 16. Columns past
// the end repeat the last one; the product's columns there are never stored.
void GemmEmitter::packBTransposed(Value j0, Value k0, Value nc, Value kc) {
  Type f32 = b.f32();
  Value last = b.add(b.add(j0, nc), -1);
  b.loop(nc, kLanes, [&](Value j) {
    Value panel = b.at(packedB, b.add(b.mul(b.div(j, blocking.tileN()),
                                            blocking.blockK * blocking.tileN()),
                                      b.rem(j, blocking.tileN())));
    SmallVector<Value> columns;
    for (int64_t i = 0; i < kLanes; ++i) {
      Value column = b.min(b.add(b.add(j0, j), i), last);
      columns.push_back(
          b.at(rhs.base, b.add(b.mul(column, rhs.stride), k0), kind.rhs));
    }
    auto block = [&](Value r, Value mask) {
      SmallVector<Value> rows;
      for (Value column : columns)
        rows.push_back(b.loadV(kind.rhs, b.at(column, r, kind.rhs), mask));
      b.transpose(rows);
      Value target = b.at(panel, b.mul(r, blocking.tileN()));
      for (int64_t i = 0; i < kLanes; ++i)
        b.storeV(rows[i], f32, b.at(target, i * blocking.tileN(), f32));
    };
    b.lanes(kc, block);
  });
}

// Row-major [row][k] when A's rows are contiguous, else [k][row]. Rows past
// the end repeat the last one, or are zero.
void GemmEmitter::packA(Value i0, Value k0, Value mc, Value kc) {
  Type f32 = b.f32();
  if (kind.form == GemmForm::TN) {
    b.loop(kc, 1, [&](Value r) {
      Value row =
          b.at(lhs.base, b.add(b.mul(b.add(k0, r), lhs.stride), i0), kind.lhs);
      Value target = b.at(packedA, b.mul(r, blocking.strideAByK()));
      b.loop(mc, kLanes, [&](Value i) {
        Value mask = b.mask(b.sub(mc, i));
        b.storeV(b.loadV(kind.lhs, b.at(row, i, kind.lhs), mask), f32,
                 b.at(target, i));
      });
    });
    return;
  }
  Value padded = b.roundUp(mc, blocking.tileM);
  b.loop(padded, 1, [&](Value i) {
    Value source = b.min(i, b.add(mc, -1));
    Value row = b.at(lhs.base, b.add(b.mul(b.add(i0, source), lhs.stride), k0),
                     kind.lhs);
    Value target = b.at(packedA, b.mul(i, blocking.strideAByRow()));
    b.lanes(kc, [&](Value r, Value mask) {
      b.storeV(b.loadV(kind.lhs, b.at(row, r, kind.lhs), mask), f32,
               b.at(target, r));
    });
  });
}

//===----------------------------------------------------------------------===//
// The register tile
//===----------------------------------------------------------------------===//

// Rows [ir, ir + tileM) and columns [jr, jr + tileN) of the packed blocks into
// C at (row, column); `add`: C already holds something to add to.
void GemmEmitter::tile(Value ir, Value jr, Value row, Value column, Value mc,
                       Value nc, Value kc, Value add) {
  Type f32 = b.f32();
  bool byK = kind.form == GemmForm::TN;
  int64_t rowStep = byK ? 1 : blocking.strideAByRow();
  int64_t kStep = byK ? blocking.strideAByK() : 1;
  Value a = b.at(packedA, b.mul(ir, rowStep));
  Value panel = b.at(packedB, b.mul(jr, blocking.blockK));

  SmallVector<Value> zeros(blocking.tileM * blocking.vectorsN, b.splat(0.0));
  auto sums = b.loop(b.cst(0), kc, 1, zeros, [&](Value r, ValueRange acc) {
    SmallVector<Value> next(acc.begin(), acc.end()), columns;
    Value bRow = b.at(panel, b.mul(r, blocking.tileN()));
    for (int64_t v = 0; v < blocking.vectorsN; ++v)
      columns.push_back(b.loadV(f32, b.at(bRow, v * kLanes, f32)));
    Value aRow = b.at(a, b.mul(r, kStep));
    for (int64_t i = 0; i < blocking.tileM; ++i) {
      Value x = b.splat(b.load(f32, b.at(aRow, i * rowStep, f32)));
      for (int64_t v = 0; v < blocking.vectorsN; ++v) {
        Value &sum = next[i * blocking.vectorsN + v];
        sum = b.fma(x, columns[v], sum);
      }
    }
    return next;
  });

  Value c = b.at(out.base, b.add(b.mul(row, out.stride), column));
  auto write = [&](bool accumulating, bool masked) {
    Value rowsLeft = b.sub(mc, ir), columnsLeft = b.sub(nc, jr);
    SmallVector<Value> masks(blocking.vectorsN);
    if (masked)
      for (int64_t v = 0; v < blocking.vectorsN; ++v)
        masks[v] = b.mask(b.add(columnsLeft, -v * kLanes));
    for (int64_t i = 0; i < blocking.tileM; ++i) {
      Value line = b.at(c, b.mul(out.stride, i));
      auto writeRow = [&] {
        for (int64_t v = 0; v < blocking.vectorsN; ++v) {
          Value address = b.at(line, v * kLanes, f32);
          Value sum = sums[i * blocking.vectorsN + v];
          if (accumulating)
            sum = b.addF(b.loadV(f32, address, masks[v]), sum);
          b.storeV(sum, f32, address, masks[v]);
        }
      };
      if (masked)
        b.when(b.lt(b.cst(i), rowsLeft), writeRow);
      else
        writeRow();
    }
  };
  Value whole = b.both(b.le(b.add(ir, blocking.tileM), mc),
                       b.le(b.add(jr, blocking.tileN()), nc));
  b.when(
      whole,
      [&] {
        b.when(add, [&] { write(true, false); }, [&] { write(false, false); });
      },
      [&] {
        b.when(add, [&] { write(true, true); }, [&] { write(false, true); });
      });
}

void GemmEmitter::emit(const GemmOperands &operands) {
  lhs = operands.lhs;
  rhs = operands.rhs;
  out = operands.out;
  Value m = operands.m, n = operands.n, k = operands.k;
  packedA = operands.packedA;
  packedB = operands.packedB;

  b.loop(n, blocking.blockN, [&](Value j0) {
    Value nc = b.min(b.sub(n, j0), blocking.blockN);
    b.loop(k, blocking.blockK, [&](Value k0) {
      Value kc = b.min(b.sub(k, k0), blocking.blockK);
      Value add = b.ne(b.add(operands.accumulate, k0), b.cst(0));
      b.when(b.eq(operands.reuse, b.cst(0)), [&] {
        if (kind.form == GemmForm::NT)
          packBTransposed(j0, k0, nc, kc);
        else
          packB(j0, k0, nc, kc);
      });
      b.loop(m, blocking.blockM, [&](Value i0) {
        Value mc = b.min(b.sub(m, i0), blocking.blockM);
        packA(i0, k0, mc, kc);
        b.loop(nc, blocking.tileN(), [&](Value jr) {
          b.loop(mc, blocking.tileM, [&](Value ir) {
            tile(ir, jr, b.add(i0, ir), b.add(j0, jr), mc, nc, kc, add);
          });
        });
      });
    });
  });
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

static StringRef formName(GemmForm form) {
  return form == GemmForm::NT ? "nt" : form == GemmForm::NN ? "nn" : "tn";
}

void cpu::emitGemm(SimdBuilder &b, ModuleOp module, const GemmCall &call) {
  const GemmKind &kind = call.kind;
  std::string name;
  llvm::raw_string_ostream(name)
      << "gemm_" << formName(kind.form) << "_" << kind.lhs << "_" << kind.rhs;
  Value packed = call.packed;
  if (!packed)
    packed = b.advance(call.scratch, packedABytes(b.target));
  Value reuse = call.reuse ? call.reuse : b.cst(0);
  SmallVector<Value> operands = {
      call.lhs.base, call.lhs.stride, call.rhs.base, call.rhs.stride,
      call.out.base, call.out.stride, call.m,        call.n,
      call.k,        call.accumulate, reuse,         call.scratch,
      packed};
  auto [fn, isNew] = getOrCreateHelper(module, b.target, name,
                                       ValueRange(operands).getTypes());
  if (isNew) {
    SimdBuilder inner(fn, b.target);
    auto argument = [fn = fn](unsigned i) -> Value {
      return func::FuncOp(fn).getArgument(i);
    };
    GemmOperands arguments = {{argument(0), argument(1)},
                              {argument(2), argument(3)},
                              {argument(4), argument(5)},
                              argument(6),
                              argument(7),
                              argument(8),
                              argument(9),
                              argument(10),
                              argument(11),
                              argument(12)};
    if (usesAmx(kind, b.target))
      emitAmxGemm(inner, kind.form, arguments);
    else
      GemmEmitter(inner, kind, blockingFor(b.target)).emit(arguments);
  }
  func::CallOp::create(b.b, b.loc, fn, operands);
}
