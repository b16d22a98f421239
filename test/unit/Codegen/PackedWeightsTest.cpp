//===- PackedWeightsTest.cpp - Products with weights of small integers ----===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <algorithm>
#include <cmath>
#include <random>

#include "gtest/gtest.h"

#include "test/unit/Codegen/Tensor.h"

using namespace qwen;
using namespace qwen::testing;

namespace {
/// A weight [n, k] and its numbers: what the bytes mean, by another way than
/// the kernels'.
struct Weight {
  std::vector<int8_t> bytes, steps;
  std::vector<int> numbers;

  static Weight int8(int64_t n, int64_t k, std::mt19937 &generator) {
    std::uniform_int_distribution<int> any(-127, 127);
    Weight weight;
    for (int64_t i = 0; i < n * k; ++i) {
      weight.numbers.push_back(any(generator));
      weight.bytes.push_back(static_cast<int8_t>(weight.numbers.back()));
    }
    return weight;
  }

  static Weight int4(int64_t n, int64_t k, std::mt19937 &generator) {
    std::uniform_int_distribution<int> half(-8, 7), step(1, 64), sign(0, 1);
    Weight weight;
    weight.bytes.resize(n * k / 2);
    for (int64_t g = 0; g < n * k / 32; ++g) {
      int size = sign(generator) ? step(generator) : -step(generator);
      weight.steps.push_back(static_cast<int8_t>(size));
      for (int64_t j = 0; j < 32; ++j) {
        int value = half(generator);
        weight.numbers.push_back(size * value * (value * value + 144));
        auto bits = static_cast<uint8_t>(value & 15);
        weight.bytes[g * 16 + j % 16] |=
            static_cast<int8_t>(j < 16 ? bits : bits << 4);
      }
    }
    return weight;
  }
};

std::string tensor(const std::string &shape, const char *element) {
  return "tensor<" + shape + "x" + element + ">";
}

/// scale (x q^T) + bias, rounded to x's type.
std::string kernelText(int64_t n, int64_t k, bool bf16, bool packed) {
  const char *element = bf16 ? "bf16" : "f32";
  std::string N = std::to_string(n), K = std::to_string(k);
  std::string x = tensor("?x" + K, element), y = tensor("?x" + N, element);
  std::string q = tensor(N + "x" + K, element), z = tensor("?x" + N, "f32");
  std::string row = tensor(N, "f32");
  std::string w = tensor(N + "x" + std::to_string(packed ? k / 2 : k), "i8");
  std::string s = tensor(N + "x" + std::to_string(k / 32), "i8");
  std::string text = "kernel.func contract @k(%x: " + x + ", %w: " + w +
                     (packed ? ", %s: " + s : "") + ", %scale: " + row +
                     ", %bias: " + row + ") -> " + y + " {\n";
  text += packed ? "  %q = kernel.unpack_int4 %w, %s : " + w + ", " + s +
                       " -> " + q + "\n"
                 : "  %q = arith.sitofp %w : " + w + " to " + q + "\n";
  text += "  %p = kernel.contract \"mk,nk->mn\" %x, %q : " + x + ", " + q +
          " -> " + z + "\n";
  for (const char *name : {"scale", "bias"})
    text += std::string("  %") + name[0] + "b = kernel.broadcast %" + name +
            " dims [1] : " + row + " -> " + z + "\n";
  text += "  %m = arith.mulf %p, %sb : " + z +
          "\n  %a = arith.addf %m, %bb : " + z + "\n";
  std::string result = "%a";
  if (bf16) {
    text += "  %o = arith.truncf %a : " + z + " to " + y + "\n";
    result = "%o";
  }
  return text + "  kernel.return " + result + " : " + y + "\n}\n";
}

void check(int64_t n, int64_t k, std::vector<int64_t> rowCounts, bool bf16,
           bool packed, const TestTarget &target) {
  std::string text = kernelText(n, k, bf16, packed);
  auto runner = KernelRunner::create(text, target, rowCounts.back());
  ASSERT_TRUE(bool(runner)) << llvm::toString(runner.takeError()) << text;
  std::mt19937 generator(11);
  Weight weight =
      packed ? Weight::int4(n, k, generator) : Weight::int8(n, k, generator);
  Tensor scale(n, false, 2), bias(n, false, 3);
  for (int64_t m : rowCounts) {
    Tensor x(m * k, bf16, 4), out(m * n, bf16), again(m * n, bf16);
    Launch launch{{x.data(), weight.bytes.data()}, {out.data()}, 1, m};
    if (packed)
      launch.arguments.push_back(weight.steps.data());
    launch.arguments.push_back(scale.data());
    launch.arguments.push_back(bias.data());
    (*runner)->run(launch);
    launch.results = {again.data()};
    (*runner)->run(launch, 3, /*reversed=*/true);
    EXPECT_EQ(out.bytes(), again.bytes());
    EXPECT_TRUE(out.isIntact());
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0, magnitude = 0;
        for (int64_t r = 0; r < k; ++r) {
          double number = weight.numbers[j * k + r];
          // Many rows are multiplied by numbers of x's type.
          if (bf16 && m > 8)
            number = fromBf16(toBf16(static_cast<float>(number)));
          double product = double(x.at(i * k + r)) * number;
          sum += product;
          magnitude += std::fabs(product);
        }
        double want = sum * scale.at(j) + bias.at(j);
        double limit = 1e-6 * magnitude * std::fabs(scale.at(j)) + 1e-5;
        if (bf16)
          limit += std::fabs(want) * 0x1p-8;
        ASSERT_NEAR(out.at(i * n + j), want, limit)
            << target.name() << (packed ? " int4 " : " int8 ") << bf16 << " "
            << m << " " << n << " " << k << " at " << i << " " << j;
      }
  }
}
} // namespace

/// The levels of the CPU.
static std::vector<TestTarget> cpuTargets() {
  std::vector<TestTarget> targets = runnableTargets();
  targets.erase(
      std::remove_if(targets.begin(), targets.end(),
                     [](const TestTarget &target) { return target.isGpu(); }),
      targets.end());
  return targets;
}

// Few rows are streamed, more are unpacked; several blocks of rows share what
// was unpacked.
TEST(PackedWeights, Int8) {
  for (const TestTarget &target : runnableTargets())
    for (bool bf16 : {false, true}) {
      if (target.isGpu()) {
        check(70, 64, {1, 8, 9, 70}, bf16, false, target);
        check(33, 17, {1, 7, 40}, bf16, false, target);
        check(5, 1100, {3, 17}, bf16, false, target);
        continue;
      }
      check(88, 64, {1, 8, 9, 300}, bf16, false, target);
      check(33, 17, {1, 7, 40}, bf16, false, target);
      check(130, 1100, {3, 70}, bf16, false, target);
      check(5, 1, {2, 17}, bf16, false, target);
    }
}

TEST(PackedWeights, Int4) {
  for (const TestTarget &target : runnableTargets())
    for (bool bf16 : {false, true}) {
      if (target.isGpu()) {
        check(70, 64, {1, 8, 9, 70}, bf16, true, target);
        check(5, 1120, {3, 17}, bf16, true, target);
        continue;
      }
      check(88, 64, {1, 8, 9, 300}, bf16, true, target);
      check(33, 32, {1, 7, 40}, bf16, true, target);
      check(130, 1120, {3, 70}, bf16, true, target);
    }
}

// A block of columns is narrowed until its unpacked weights fit.
TEST(PackedWeights, ManyInputs) {
  check(70, 20000, {1, 12}, true, false, cpuTargets().back());
}

TEST(PackedWeights, Errors) {
  std::string text =
      "kernel.func contract @k(%x: tensor<?x32xf32>, %w: tensor<32x8xi8>) -> "
      "tensor<?x8xf32> {\n"
      "  %q = arith.sitofp %w : tensor<32x8xi8> to tensor<32x8xf32>\n"
      "  %p = kernel.contract \"mk,kn->mn\" %x, %q : tensor<?x32xf32>, "
      "tensor<32x8xf32> -> tensor<?x8xf32>\n"
      "  kernel.return %p : tensor<?x8xf32>\n}\n";
  auto runner = KernelRunner::create(text, cpuTargets().front(), 1);
  ASSERT_FALSE(bool(runner));
  EXPECT_NE(llvm::toString(runner.takeError())
                .find("no code for packed weights in the product"),
            std::string::npos);
}
