//===- Reduce.cpp - Sums and maxima of several ranks ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/comm/Reduce.h"
#include "runtime/weights/Convert.h"

#include <type_traits>

using namespace qrt;

namespace {

/// How a type is read, added up and written.
struct F32 {
  using Stored = float;
  using Sum = float;
  static Sum load(Stored value) { return value; }
  static Stored store(Sum value) { return value; }
};
struct BF16 {
  using Stored = uint16_t;
  using Sum = float;
  static Sum load(Stored value) { return bf16ToF32(value); }
  static Stored store(Sum value) { return f32ToBf16(value); }
};
struct F16 {
  using Stored = _Float16;
  using Sum = float;
  static Sum load(Stored value) { return value; }
  static Stored store(Sum value) { return static_cast<Stored>(value); }
};
/// Unsigned sums, since those of signed integers may not overflow.
template <typename T> struct Whole {
  using Stored = T;
  using Sum = T;
  static Sum load(Stored value) { return value; }
  static Stored store(Sum value) { return value; }
};

template <typename Sum> inline Sum add(Sum a, Sum b) {
  if constexpr (std::is_floating_point_v<Sum>)
    return a + b;
  else
    return static_cast<Sum>(static_cast<std::make_unsigned_t<Sum>>(a) +
                            static_cast<std::make_unsigned_t<Sum>>(b));
}

template <typename Sum> inline Sum larger(Sum a, Sum b) {
  return b > a || b != b ? b : a;
}

template <typename Type>
void reduceAs(bool isSum, const std::vector<const void *> &ins, int64_t count,
              void *out) {
  using Stored = typename Type::Stored;
  using Sum = typename Type::Sum;
  // Small enough for the first cache; the loops over it become vectors.
  constexpr int64_t kBlock = 1024;
  Sum sums[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    int64_t n = std::min(kBlock, count - begin);
    const auto *first = static_cast<const Stored *>(ins[0]) + begin;
    for (int64_t i = 0; i < n; ++i)
      sums[i] = Type::load(first[i]);
    for (size_t rank = 1; rank < ins.size(); ++rank) {
      const auto *next = static_cast<const Stored *>(ins[rank]) + begin;
      if (isSum)
        for (int64_t i = 0; i < n; ++i)
          sums[i] = add<Sum>(sums[i], Type::load(next[i]));
      else
        for (int64_t i = 0; i < n; ++i)
          sums[i] = larger<Sum>(sums[i], Type::load(next[i]));
    }
    auto *to = static_cast<Stored *>(out) + begin;
    for (int64_t i = 0; i < n; ++i)
      to[i] = Type::store(sums[i]);
  }
}

constexpr const char *kKindNames[] = {"all_reduce", "all_gather",
                                      "reduce_scatter", "all_to_all"};

} // namespace

void qrt::reduceInOrder(DType type, qrt_reduction reduction,
                        const std::vector<const void *> &ins, int64_t count,
                        void *out) {
  bool isSum = reduction == QRT_SUM;
  switch (type) {
  case DType::F32:
    return reduceAs<F32>(isSum, ins, count, out);
  case DType::BF16:
    return reduceAs<BF16>(isSum, ins, count, out);
  case DType::F16:
    return reduceAs<F16>(isSum, ins, count, out);
  case DType::I32:
    return reduceAs<Whole<int32_t>>(isSum, ins, count, out);
  case DType::I64:
    return reduceAs<Whole<int64_t>>(isSum, ins, count, out);
  case DType::I8:
    return reduceAs<Whole<int8_t>>(isSum, ins, count, out);
  case DType::U8:
    return reduceAs<Whole<uint8_t>>(isSum, ins, count, out);
  }
}

std::string qrt::describe(const qrt_collective &c, const std::string &axes) {
  bool known = c.kind >= 0 && c.kind <= QRT_ALL_TO_ALL && c.dtype >= 0 &&
               c.dtype <= QRT_U8;
  if (!known)
    return fmt::format("collective #{} of kind {} and type {}", c.id, c.kind,
                       c.dtype);
  bool reduces = c.kind == QRT_ALL_REDUCE || c.kind == QRT_REDUCE_SCATTER;
  return fmt::format("{}{} #{} of {} {} over {}", kKindNames[c.kind],
                     reduces && c.reduction == QRT_MAX ? "(max)" : "", c.id,
                     c.count, nameOf(static_cast<DType>(c.dtype)), axes);
}

Status qrt::checkCollective(const qrt_collective &c, int size) {
  bool splits = c.kind == QRT_REDUCE_SCATTER || c.kind == QRT_ALL_TO_ALL;
  if (c.kind < 0 || c.kind > QRT_ALL_TO_ALL || c.dtype < 0 ||
      c.dtype > QRT_U8 || c.count < 0 || c.count > int64_t(1) << 44 ||
      (c.reduction != QRT_SUM && c.reduction != QRT_MAX) ||
      (splits && c.count % size != 0))
    return makeError(9011, "",
                     "damaged module: collective #{} has kind {}, reduction "
                     "{}, type {} and {} elements among {} ranks",
                     c.id, c.kind, c.reduction, c.dtype, c.count, size);
  return Status::success();
}

int64_t qrt::outputCount(const qrt_collective &c, int size) {
  if (c.kind == QRT_ALL_GATHER)
    return c.count * size;
  return c.kind == QRT_REDUCE_SCATTER ? c.count / size : c.count;
}
