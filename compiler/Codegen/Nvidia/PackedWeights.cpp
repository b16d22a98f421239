//===- PackedWeights.cpp - Weights of small integers on GPUs --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/PackedWeights.h"
#include "dialects/Qwen/Storage.h"
#include "runtime/abi/qwen_int4.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;

static_assert(kInt4Group == storage::kGroup);

/// Bits [low, low + count) of a word as a number with a sign, f32.
static Value bitsOf(KernelBuilder &k, Value word, int64_t low, int64_t count) {
  Value top = word;
  if (int64_t shift = 32 - low - count)
    top = arith::ShLIOp::create(k.b, k.loc, word, k.i32(shift));
  Value number = arith::ShRSIOp::create(k.b, k.loc, top, k.i32(32 - count));
  return arith::SIToFPOp::create(k.b, k.loc, k.f32(), number);
}

/// `count` words from byte `offset` on.
static SmallVector<Value> loadWords(KernelBuilder &k, Value bytes, Value offset,
                                    int64_t count) {
  Type i32 = k.b.getI32Type();
  Value address = k.pointerAt(bytes, k.b.getI8Type(), offset);
  if (count == 1)
    return {k.load(i32, address)};
  Value all = k.load(k.vectorType(i32, count), address);
  SmallVector<Value> words;
  for (int64_t i = 0; i < count; ++i)
    words.push_back(k.extract(all, i));
  return words;
}

int64_t nvidia::int8Lanes(int64_t columns) {
  int64_t lanes = kAccessBytes;
  while (columns % lanes != 0)
    lanes /= 2;
  return lanes;
}

SmallVector<Value> nvidia::loadInt8(KernelBuilder &k, Value bytes, Value offset,
                                    int64_t count) {
  SmallVector<Value> numbers;
  if (count < 4) {
    for (int64_t i = 0; i < count; ++i) {
      Value byte = k.load(k.b.getI8Type(), bytes, k.addI(offset, i));
      numbers.push_back(
          arith::SIToFPOp::create(k.b, k.loc, k.f32(), byte).getResult());
    }
    return numbers;
  }
  for (Value word : loadWords(k, bytes, offset, count / 4))
    for (int64_t i = 0; i < 4; ++i)
      numbers.push_back(bitsOf(k, word, 8 * i, 8));
  return numbers;
}

/// What a half byte from -8 to 7 stands for.
static Value numberOf(KernelBuilder &k, Value half) {
  Value curve = k.f32(static_cast<double>(QRT_INT4_CURVE));
  return k.mul(half, k.fma(half, half, curve));
}

SmallVector<Value> nvidia::loadInt4(KernelBuilder &k, Value bytes,
                                    Value group) {
  SmallVector<Value> low, high;
  for (Value word : loadWords(k, bytes, k.mulI(group, kInt4Group / 2), 4))
    for (int64_t i = 0; i < 4; ++i) {
      low.push_back(numberOf(k, bitsOf(k, word, 8 * i, 4)));
      high.push_back(numberOf(k, bitsOf(k, word, 8 * i + 4, 4)));
    }
  low.append(high);
  return low;
}

Value nvidia::loadStep(KernelBuilder &k, Value steps, Value group) {
  Value step = k.load(k.b.getI8Type(), steps, group);
  return arith::SIToFPOp::create(k.b, k.loc, k.f32(), step);
}
