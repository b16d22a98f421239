//===- CollectiveCases.cpp - Collectives with known results ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectiveCases.h"
#include "runtime/comm/Reduce.h"

#include <cmath>
#include <cstring>
#include <limits>

using namespace qrt;

Mesh qrt::test::makeMesh(int data, int tensor) {
  std::vector<MeshAxisInfo> axes;
  for (auto [name, size] : {std::pair("data", data), {"tensor", tensor}})
    for (int rest = size, prime = 2; rest > 1;)
      if (rest % prime == 0) {
        axes.push_back({name, prime});
        rest /= prime;
      } else {
        ++prime;
      }
  return Mesh(axes);
}

namespace {

uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

float widen(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

/// To nearest, ties to even, by trying the two neighbours.
uint16_t narrow(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  auto low = static_cast<uint16_t>(bits >> 16);
  auto high = static_cast<uint16_t>(low + 1);
  double down = std::fabs(double(value) - widen(low));
  double up = std::fabs(double(value) - widen(high));
  if (down == up)
    return low & 1 ? high : low;
  return down < up ? low : high;
}

/// Element `i` of the input of `rank` in case `number`: some hundreds, with
/// fractions in floating types so that the order of a sum shows.
void element(DType type, uint64_t seed, int rank, int64_t i, char *to) {
  uint64_t random = mix(mix(seed * 1000 + rank) + i);
  double value = double(int64_t(random >> 40)) / 16777216.0 * 400 - 200;
  switch (type) {
  case DType::F32: {
    auto x = static_cast<float>(value);
    std::memcpy(to, &x, 4);
    break;
  }
  case DType::BF16: {
    uint16_t x = narrow(static_cast<float>(value));
    std::memcpy(to, &x, 2);
    break;
  }
  default: {
    int64_t x = static_cast<int64_t>(random);
    std::memcpy(to, &x, bytesOf(type));
  }
  }
}

std::vector<char> input(const qrt_collective &c, uint64_t seed, int rank) {
  auto type = static_cast<DType>(c.dtype);
  std::vector<char> data(c.count * bytesOf(type));
  for (int64_t i = 0; i < c.count; ++i)
    element(type, seed, rank, i, data.data() + i * bytesOf(type));
  return data;
}

/// One element reduced in the order of ranks.
template <typename T>
void reduceOne(bool isSum, const std::vector<std::vector<char>> &ins, int64_t i,
               char *to) {
  T result;
  std::memcpy(&result, ins[0].data() + i * sizeof(T), sizeof(T));
  for (size_t r = 1; r < ins.size(); ++r) {
    T next;
    std::memcpy(&next, ins[r].data() + i * sizeof(T), sizeof(T));
    if constexpr (std::is_same_v<T, float>)
      result = isSum ? result + next : std::max(result, next);
    else
      result = isSum ? static_cast<T>(uint64_t(result) + uint64_t(next))
                     : std::max(result, next);
  }
  std::memcpy(to, &result, sizeof(T));
}

void reduceBf16(bool isSum, const std::vector<std::vector<char>> &ins,
                int64_t i, char *to) {
  float result = 0;
  for (size_t r = 0; r < ins.size(); ++r) {
    uint16_t bits;
    std::memcpy(&bits, ins[r].data() + i * 2, 2);
    if (r == 0)
      result = widen(bits);
    else
      result = isSum ? result + widen(bits) : std::max(result, widen(bits));
  }
  uint16_t bits = narrow(result);
  std::memcpy(to, &bits, 2);
}

std::vector<char> expected(const qrt_collective &c, uint64_t seed,
                           const RankGroup &group) {
  auto type = static_cast<DType>(c.dtype);
  int64_t width = bytesOf(type), size = group.size();
  std::vector<std::vector<char>> ins;
  for (int rank : group.ranks)
    ins.push_back(input(c, seed, rank));
  std::vector<char> out(outputCount(c, group.size()) * width);
  int64_t block = c.count / size;
  for (int64_t i = 0, n = outputCount(c, group.size()); i < n; ++i) {
    char *to = out.data() + i * width;
    if (c.kind == QRT_ALL_GATHER) {
      std::memcpy(to, ins[i / c.count].data() + i % c.count * width, width);
    } else if (c.kind == QRT_ALL_TO_ALL) {
      std::memcpy(
          to, ins[i / block].data() + (group.index * block + i % block) * width,
          width);
    } else {
      int64_t at = c.kind == QRT_ALL_REDUCE ? i : group.index * block + i;
      bool isSum = c.reduction == QRT_SUM;
      switch (type) {
      case DType::F32:
        reduceOne<float>(isSum, ins, at, to);
        break;
      case DType::BF16:
        reduceBf16(isSum, ins, at, to);
        break;
      case DType::I32:
        reduceOne<int32_t>(isSum, ins, at, to);
        break;
      case DType::I64:
        reduceOne<int64_t>(isSum, ins, at, to);
        break;
      default:
        reduceOne<uint8_t>(isSum, ins, at, to);
      }
    }
  }
  return out;
}

struct Pending {
  qrt_collective collective;
  uint64_t seed;
  std::vector<char> in, out;
  char *at;
};

} // namespace

std::string qrt::test::runCollectiveCases(Collectives &comm, const Mesh &mesh,
                                          int rank, uint64_t seed,
                                          int64_t largest) {
  std::vector<Pending> pending;
  auto finish = [&]() -> std::string {
    for (Pending &p : pending) {
      RankGroup group = mesh.group(rank, p.collective.axes);
      std::string what =
          describe(p.collective, mesh.describe(p.collective.axes));
      if (Status status = comm.wait(); !status)
        return what + ": " + status.error().str();
      std::vector<char> want = expected(p.collective, p.seed, group);
      if (std::memcmp(p.at, want.data(), want.size()) != 0)
        return fmt::format("rank {}: {} gives wrong values", rank, what);
    }
    pending.clear();
    return "";
  };
  uint64_t number = 0;
  for (uint64_t axes = 0; axes <= mesh.allAxes(); ++axes)
    for (int kind = 0; kind <= QRT_ALL_TO_ALL; ++kind)
      for (DType type : {DType::F32, DType::BF16, DType::I32}) {
        uint64_t random = mix(seed + ++number);
        RankGroup group = mesh.group(rank, axes);
        Pending p;
        qrt_collective &c = p.collective;
        c = {};
        c.kind = kind;
        c.reduction = random & 1 ? QRT_MAX : QRT_SUM;
        // The other integer types in turn.
        if (type == DType::I32 && random >> 1 & 1)
          type = random >> 2 & 1 ? DType::I64 : DType::U8;
        c.dtype = static_cast<int32_t>(type);
        c.id = static_cast<int32_t>(number);
        c.axes = axes;
        c.count = 1 + static_cast<int64_t>(random >> 8) % largest;
        if (kind == QRT_REDUCE_SCATTER || kind == QRT_ALL_TO_ALL)
          c.count = (c.count + group.size() - 1) / group.size() * group.size();
        p.seed = seed * 7919 + number;
        p.in = input(c, p.seed, rank);
        p.out.resize(outputCount(c, group.size()) * bytesOf(type));
        bool inPlace = random >> 4 & 1;
        if (inPlace && p.in.size() < p.out.size())
          p.in.resize(p.out.size());
        p.at = inPlace ? p.in.data() : p.out.data();
        if (Status status = comm.start(c, p.in.data(), p.at); !status)
          return status.error().str();
        pending.push_back(std::move(p));
        if (pending.size() == 1 + (random >> 5) % 4)
          if (std::string wrong = finish(); !wrong.empty())
            return wrong;
      }
  return finish();
}
