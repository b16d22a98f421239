//===- GemmAmx.cpp - Products of bf16 matrices in AMX tiles ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Four accumulators of 16 x 16 make a block of 32 x 32. B is packed into blocks
// of blockN x blockK, each of panels of 32 columns, [k / 32][2 tiles][16 pairs
// of k][16 columns][2]; a B of up to kPackedB elements stays packed. A is read
// where it is if its rows are whole tiles of contiguous numbers, and else
// copied to rows padded with zeros.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/GemmBlocks.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

// A tile's rows, and elements of k that one multiplication sums.
static constexpr int64_t kRows = 16, kDepth = 32, kBlock = 2 * kRows;
static constexpr int64_t kTileBytes = 1024;
// Elements of A that stay in the first cache beside a panel of B.
static constexpr int64_t kCachedA = 16384;
// Elements of packed B that share the second cache with blocks of A and C.
static constexpr int64_t kPackedB = 768 << 10;

namespace {
class AmxGemmEmitter {
public:
  AmxGemmEmitter(SimdBuilder &b, GemmForm form, const GemmBlocking &blocking)
      : b(b), form(form), blocking(blocking), i16(b.b.getI16Type()),
        i32(b.b.getI32Type()), bf16(b.b.getBF16Type()) {}
  void emit(const GemmOperands &operands);

private:
  // Packing. `depth` is kc rounded up to whole tiles.
  void packBTransposed(Value j0, Value k0, Value nc, Value kc);
  void packBPairs(Value j0, Value k0, Value nc, Value kc);
  void packARows(Value i0, Value k0, Value mc, Value kc);
  void packATransposed(Value i0, Value k0, Value mc, Value kc);
  /// Rows `row` and `row` + 1 of a matrix as pairs in 16 dwords from `column`.
  Value loadPairs(const Matrix &matrix, Value row, Value column);
  /// The same with zeros for columns from `columns` on and rows from `rows` on.
  Value loadPairs(const Matrix &matrix, Value row, Value rows, Value column,
                  Value columns);
  Value joinPairs(Value low, Value high);
  /// Where columns j to j + 16 of the current block begin.
  Value panelAt(Value j, Value depth);

  // Tiles.
  Value intrinsic(StringRef name, Type result, ValueRange operands);
  Value loadTile(Value address, Value stride);
  void storeTile(Value address, Value stride, Value tile);
  SmallVector<Value> zeroTiles();
  SmallVector<Value> multiply(Value a, Value stride, Value panel, Value depth,
                              ArrayRef<Value> start);
  void block(Value a, Value stride, Value panel, Value depth, Value c,
             Value rows, Value columns, Value add);
  Value short16(int64_t value) { return b.constant(i16, value); }
  int64_t strideA() const { return blocking.blockK + kDepth; }

  SimdBuilder &b;
  GemmForm form;
  const GemmBlocking &blocking;
  Type i16, i32, bf16;
  GemmOperands o;
  Value buffer;
  /// The current block of packed B.
  Value packedBlock;
};
} // namespace

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

Value AmxGemmEmitter::panelAt(Value j, Value depth) {
  return b.at(packedBlock,
              b.add(b.mul(b.roundDown(j, kBlock), depth),
                    b.mul(b.rem(j, kBlock), kDepth)),
              bf16);
}

// Columns of B are contiguous: dwords of two k, transposed 16 x 16.
void AmxGemmEmitter::packBTransposed(Value j0, Value k0, Value nc, Value kc) {
  Value last = b.add(b.add(j0, nc), -1);
  Value padded = b.roundUp(nc, kBlock), depth = b.roundUp(kc, kDepth);
  b.loop(padded, kRows, [&](Value j) {
    Value panel = panelAt(j, depth);
    SmallVector<Value> columns;
    for (int64_t i = 0; i < kRows; ++i) {
      Value column = b.min(b.add(b.add(j0, j), i), last);
      columns.push_back(
          b.at(o.rhs.base, b.add(b.mul(column, o.rhs.stride), k0), bf16));
    }
    auto chunk = [&](Value k, Value mask) {
      SmallVector<Value> rows;
      for (Value column : columns) {
        Value address = b.at(column, k, bf16);
        if (!mask) {
          rows.push_back(b.load(b.vec(i32), address));
          continue;
        }
        Value halves =
            b.maskedLoad(b.vectorType(i16, kDepth), address, {}, mask);
        rows.push_back(LLVM::BitcastOp::create(b.b, b.loc, b.vec(i32), halves));
      }
      b.transpose(rows);
      Value tile = b.at(panel, b.mul(k, kBlock), bf16);
      for (int64_t i = 0; i < kRows; ++i)
        b.store(rows[i], b.advance(tile, i * 64));
    };
    Value whole = b.roundDown(kc, kDepth);
    b.loop(whole, kDepth, [&](Value k) { chunk(k, {}); });
    b.when(b.lt(whole, kc),
           [&] { chunk(whole, b.tailMask(b.sub(kc, whole), kDepth)); });
  });
}

Value AmxGemmEmitter::joinPairs(Value low, Value high) {
  low = arith::ExtUIOp::create(b.b, b.loc, b.vec(i32), low);
  high = arith::ExtUIOp::create(b.b, b.loc, b.vec(i32), high);
  high = arith::ShLIOp::create(b.b, b.loc, high, b.constant(b.vec(i32), 16));
  return arith::OrIOp::create(b.b, b.loc, low, high);
}

Value AmxGemmEmitter::loadPairs(const Matrix &matrix, Value row, Value column) {
  Value low = b.at(matrix.base, b.add(b.mul(row, matrix.stride), column), bf16);
  Value high = b.at(low, matrix.stride, bf16);
  return joinPairs(b.load(b.vec(i16), low), b.load(b.vec(i16), high));
}

Value AmxGemmEmitter::loadPairs(const Matrix &matrix, Value row, Value rows,
                                Value column, Value columns) {
  auto half = [&](int64_t offset) -> Value {
    Value r = b.add(row, offset);
    Value count = b.select(b.lt(r, rows), b.sub(columns, column), b.cst(0));
    Value address =
        b.at(matrix.base, b.add(b.mul(r, matrix.stride), column), bf16);
    return b.maskedLoad(b.vec(i16), address, {}, b.mask(count));
  };
  Value low = half(0);
  return joinPairs(low, half(1));
}

// Rows of B are contiguous: two of them interleave.
void AmxGemmEmitter::packBPairs(Value j0, Value k0, Value nc, Value kc) {
  Matrix block = {b.at(o.rhs.base, b.add(b.mul(k0, o.rhs.stride), j0), bf16),
                  o.rhs.stride};
  Value depth = b.roundUp(kc, kDepth);
  // Along the rows first: a line of memory holds two groups of columns.
  b.loop(depth, kDepth, [&](Value k) {
    b.loop(b.roundUp(nc, kBlock), kRows, [&](Value j) {
      Value tile = b.at(panelAt(j, depth), b.mul(k, kBlock), bf16);
      Value inside =
          b.both(b.le(b.add(k, kDepth), kc), b.le(b.add(j, kRows), nc));
      b.when(
          inside,
          [&] {
            for (int64_t p = 0; p < kRows; ++p)
              b.store(loadPairs(block, b.add(k, 2 * p), j),
                      b.advance(tile, p * 64));
          },
          [&] {
            b.loop(b.cst(kRows), 1, [&](Value p) {
              Value pairs = loadPairs(block, b.add(k, b.mul(p, 2)), kc, j, nc);
              b.store(pairs, b.at(tile, b.mul(p, kDepth), bf16));
            });
          });
    });
  });
}

// Rows of A are contiguous, but end inside a tile: zeros behind. Rows past
// the end repeat the last one.
void AmxGemmEmitter::packARows(Value i0, Value k0, Value mc, Value kc) {
  b.loop(b.roundUp(mc, kBlock), 1, [&](Value i) {
    Value source = b.add(i0, b.min(i, b.add(mc, -1)));
    Value from = b.at(o.lhs.base, b.add(b.mul(source, o.lhs.stride), k0), bf16);
    Value to = b.at(o.packedA, b.mul(i, strideA()), bf16);
    b.loop(kc, kDepth, [&](Value k) {
      Value mask = b.tailMask(b.sub(kc, k), kDepth);
      Value bits = b.maskedLoad(b.vectorType(i16, kDepth), b.at(from, k, bf16),
                                {}, mask);
      b.store(bits, b.at(to, k, bf16));
    });
  });
}

// Columns of A are contiguous: pairs of k in dwords, transposed 16 x 16.
void AmxGemmEmitter::packATransposed(Value i0, Value k0, Value mc, Value kc) {
  Matrix block = {b.at(o.lhs.base, b.add(b.mul(k0, o.lhs.stride), i0), bf16),
                  o.lhs.stride};
  b.loop(kc, kDepth, [&](Value k) {
    b.loop(b.roundUp(mc, kBlock), kRows, [&](Value i) {
      Value target = b.at(o.packedA, b.mul(i, strideA()), bf16);
      auto pack = [&](llvm::function_ref<Value(Value)> pairsOf) {
        SmallVector<Value> rows;
        for (int64_t p = 0; p < kRows; ++p)
          rows.push_back(pairsOf(b.add(k, 2 * p)));
        b.transpose(rows);
        Value line = b.at(target, k, bf16);
        for (int64_t r = 0; r < kRows; ++r)
          b.store(rows[r], b.at(line, r * strideA(), bf16));
      };
      Value inside =
          b.both(b.le(b.add(k, kDepth), kc), b.le(b.add(i, kRows), mc));
      b.when(
          inside,
          [&] { pack([&](Value r) { return loadPairs(block, r, i); }); },
          [&] {
            pack([&](Value r) { return loadPairs(block, r, kc, i, mc); });
          });
    });
  });
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

Value AmxGemmEmitter::intrinsic(StringRef name, Type result,
                                ValueRange operands) {
  StringAttr symbol = b.b.getStringAttr(name);
  if (!result) {
    LLVM::CallIntrinsicOp::create(b.b, b.loc, symbol, operands);
    return {};
  }
  return LLVM::CallIntrinsicOp::create(b.b, b.loc, result, symbol, operands)
      .getResult(0);
}

Value AmxGemmEmitter::loadTile(Value address, Value stride) {
  return intrinsic("llvm.x86.tileloadd64.internal",
                   LLVM::LLVMX86AMXType::get(b.b.getContext()),
                   {short16(kRows), short16(64), address, stride});
}

void AmxGemmEmitter::storeTile(Value address, Value stride, Value tile) {
  intrinsic("llvm.x86.tilestored64.internal", {},
            {short16(kRows), short16(64), address, stride, tile});
}

SmallVector<Value> AmxGemmEmitter::zeroTiles() {
  SmallVector<Value> tiles;
  // One zero for each: a shared one is copied through memory.
  for (int i = 0; i < 4; ++i)
    tiles.push_back(intrinsic("llvm.x86.tilezero.internal",
                              LLVM::LLVMX86AMXType::get(b.b.getContext()),
                              {short16(kRows), short16(64)}));
  return tiles;
}

SmallVector<Value> AmxGemmEmitter::multiply(Value a, Value stride, Value panel,
                                            Value depth,
                                            ArrayRef<Value> start) {
  Type tile = LLVM::LLVMX86AMXType::get(b.b.getContext());
  Value second = b.mul(stride, kRows), dense = b.cst(64);
  return b.loop(b.cst(0), depth, kDepth, start, [&](Value k, ValueRange sums) {
    Value left = b.at(a, k, bf16), right = b.at(panel, b.mul(k, kBlock), bf16);
    Value a0 = loadTile(left, stride);
    Value a1 = loadTile(b.at(left, second, b.b.getI8Type()), stride);
    Value b0 = loadTile(right, dense);
    Value b1 = loadTile(b.advance(right, kTileBytes), dense);
    auto product = [&](Value sum, Value x, Value y) {
      return intrinsic("llvm.x86.tdpbf16ps.internal", tile,
                       {short16(kRows), short16(64), short16(64), sum, x, y});
    };
    return SimdBuilder::Values{
        product(sums[0], a0, b0), product(sums[1], a0, b1),
        product(sums[2], a1, b0), product(sums[3], a1, b1)};
  });
}

// 32 x 32 of C at `c`, of which `rows` x `columns` exist.
void AmxGemmEmitter::block(Value a, Value stride, Value panel, Value depth,
                           Value c, Value rows, Value columns, Value add) {
  Type f32 = b.f32();
  Value cStride = b.mul(o.out.stride, 4);
  auto corner = [&](Value base, Value bytes, int i) {
    Value at = i < 2 ? base : b.at(base, b.mul(bytes, kRows), b.b.getI8Type());
    return b.advance(at, i % 2 ? 64 : 0);
  };
  auto store = [&](Value base, Value bytes, ArrayRef<Value> sums) {
    for (int i = 0; i < 4; ++i)
      storeTile(corner(base, bytes, i), bytes, sums[i]);
  };
  Value whole = b.both(b.ge(rows, b.cst(kBlock)), b.ge(columns, b.cst(kBlock)));
  b.when(
      whole,
      [&] {
        b.when(
            add,
            [&] {
              SmallVector<Value> start;
              for (int i = 0; i < 4; ++i)
                start.push_back(loadTile(corner(c, cStride, i), cStride));
              store(c, cStride, multiply(a, stride, panel, depth, start));
            },
            [&] {
              store(c, cStride, multiply(a, stride, panel, depth, zeroTiles()));
            });
      },
      [&] {
        Value bytes = b.cst(4 * kBlock);
        store(buffer, bytes, multiply(a, stride, panel, depth, zeroTiles()));
        b.loop(b.min(rows, kBlock), 1, [&](Value i) {
          for (int64_t v = 0; v < kBlock; v += kLanes) {
            Value mask = b.mask(b.add(columns, -v));
            Value from = b.at(buffer, b.add(b.mul(i, kBlock), v));
            Value to = b.at(c, b.add(b.mul(i, o.out.stride), v));
            Value sum = b.loadV(f32, from);
            Value old = b.select(b.KernelBuilder::splat(add, kLanes),
                                 b.loadV(f32, to, mask), b.splat(0.0));
            b.storeV(b.addF(sum, old), f32, to, mask);
          }
        });
      });
}

void AmxGemmEmitter::emit(const GemmOperands &operands) {
  o = operands;
  buffer = b.advance(o.packedA, blocking.bytesA - 4 * kBlock * kBlock);
  Value paddedK = b.roundUp(o.k, kDepth);
  Value stays = b.le(b.mul(b.roundUp(o.n, kBlock), paddedK), b.cst(kPackedB));
  b.loop(o.n, blocking.blockN, [&](Value j0) {
    Value nc = b.min(b.sub(o.n, j0), blocking.blockN);
    b.loop(o.k, blocking.blockK, [&](Value k0) {
      Value kc = b.min(b.sub(o.k, k0), blocking.blockK);
      Value depth = b.roundUp(kc, kDepth);
      Value add = b.ne(b.add(o.accumulate, k0), b.cst(0));
      Value place = b.add(b.mul(j0, paddedK), b.mul(k0, b.roundUp(nc, kBlock)));
      packedBlock = b.at(o.packedB, b.select(stays, place, b.cst(0)), bf16);
      b.when(b.eq(o.reuse, b.cst(0)), [&] {
        if (form == GemmForm::NT)
          packBTransposed(j0, k0, nc, kc);
        else
          packBPairs(j0, k0, nc, kc);
      });
      // As many rows as leave a block of A in the first cache.
      Value step = b.roundDown(b.div(b.cst(kCachedA), depth), kBlock);
      step = b.max(b.min(step, blocking.blockM), b.cst(2 * kBlock));
      Value blocks = b.div(b.add(o.m, b.add(step, -1)), step);
      b.loop(blocks, 1, [&](Value index) {
        Value i0 = b.mul(index, step);
        Value mc = b.min(b.sub(o.m, i0), step);
        Value a = o.packedA, stride = b.cst(2 * strideA());
        if (form == GemmForm::TN) {
          packATransposed(i0, k0, mc, kc);
        } else {
          Value whole = b.both(b.eq(b.rem(kc, kDepth), b.cst(0)),
                               b.eq(b.rem(mc, kBlock), b.cst(0)));
          b.when(whole, [] {}, [&] { packARows(i0, k0, mc, kc); });
          Value there =
              b.at(o.lhs.base, b.add(b.mul(i0, o.lhs.stride), k0), bf16);
          a = b.select(whole, there, a);
          stride = b.select(whole, b.mul(o.lhs.stride, 2), stride);
        }
        b.loop(nc, kBlock, [&](Value jr) {
          Value panel = panelAt(jr, depth);
          b.loop(mc, kBlock, [&](Value ir) {
            Value c = b.at(o.out.base, b.add(b.mul(b.add(i0, ir), o.out.stride),
                                             b.add(j0, jr)));
            Value left = b.at(a, b.mul(ir, stride), b.b.getI8Type());
            block(left, stride, panel, depth, c, b.sub(mc, ir), b.sub(nc, jr),
                  add);
          });
        });
      });
    });
  });
}

bool cpu::amxKeepsPacked(int64_t n, int64_t k) {
  return llvm::alignTo(n, kBlock) * llvm::alignTo(k, kDepth) <= kPackedB;
}

GemmBlocking cpu::amxBlocking() {
  GemmBlocking blocking;
  blocking.blockM = 256;
  blocking.blockN = 256;
  blocking.blockK = 1024;
  blocking.bytesA =
      2 * blocking.blockM * (blocking.blockK + kDepth) + 4 * kBlock * kBlock;
  blocking.bytesB = 2 * kPackedB;
  return blocking;
}

void cpu::emitAmxGemm(SimdBuilder &b, GemmForm form,
                      const GemmOperands &operands) {
  GemmBlocking blocking = amxBlocking();
  AmxGemmEmitter(b, form, blocking).emit(operands);
}
