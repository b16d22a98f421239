//===- CrossEntropyTest.cpp - The head's loss against a reference ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <cmath>

#include "gtest/gtest.h"

#include "test/unit/Codegen/Tensor.h"

using namespace qwen;
using namespace qwen::testing;

namespace {
struct Case {
  int64_t rows, hidden, vocabulary;
  double cap;
  bool bf16;
  double zWeight = 0;
};

std::string tensor(std::string shape, bool bf16) {
  return "tensor<" + shape + "x" + (bf16 ? "bf16" : "f32") + ">";
}
} // namespace

static void check(const Case &c, const TestTarget &target) {
  SCOPED_TRACE(target.name() + " V " + std::to_string(c.vocabulary) +
               (c.bf16 ? " bf16" : " f32"));
  std::string hidden = std::to_string(c.hidden);
  std::string vocabulary = std::to_string(c.vocabulary);
  std::string tx = tensor("?x" + hidden, c.bf16);
  std::string tw = tensor(vocabulary + "x" + hidden, c.bf16);
  std::string ta = tensor(vocabulary + "x" + hidden, false);
  std::string cap = " {cap = " + std::to_string(c.cap) +
                    " : f64, z_weight = " + std::to_string(c.zWeight) +
                    " : f64}";

  Tensor x(c.rows * c.hidden, c.bf16, 1);
  Tensor w(c.vocabulary * c.hidden, c.bf16, 2, 0.5);
  std::vector<int32_t> targets;
  for (int64_t i = 0; i < c.rows; ++i)
    targets.push_back(i % 5 == 3 ? -1 : (i * 7919 + 11) % c.vocabulary);
  targets[0] = c.vocabulary - 1;

  // The reference, and targets that are the largest logit in some rows.
  std::vector<double> dx(c.rows * c.hidden), dw(c.vocabulary * c.hidden);
  const float seed = 0.37f;
  double loss = 0;
  int64_t count = 0, correct = 0;
  for (int64_t i = 0; i < c.rows; ++i) {
    std::vector<double> z(c.vocabulary), slope(c.vocabulary, 1);
    double largest = -INFINITY, sum = 0;
    int64_t best = 0;
    for (int64_t v = 0; v < c.vocabulary; ++v) {
      for (int64_t d = 0; d < c.hidden; ++d)
        z[v] += double(x.at(i * c.hidden + d)) * w.at(v * c.hidden + d);
      if (c.cap != 0) {
        double t = std::tanh(z[v] / c.cap);
        z[v] = c.cap * t;
        slope[v] = 1 - t * t;
      }
      if (z[v] > largest) {
        largest = z[v];
        best = v;
      }
    }
    if (i % 5 == 1)
      targets[i] = best;
    for (double value : z)
      sum += std::exp(value - largest);
    if (targets[i] < 0)
      continue;
    double lse = largest + std::log(sum);
    loss += lse - z[targets[i]] + c.zWeight * lse * lse;
    ++count;
    correct += best == targets[i];
    for (int64_t v = 0; v < c.vocabulary; ++v) {
      double dz = std::exp(z[v] - largest) / sum;
      dz = dz * (1 + 2 * c.zWeight * lse) - (v == targets[i]);
      dz *= seed * slope[v];
      if (c.bf16)
        dz = fromBf16(toBf16(dz));
      for (int64_t d = 0; d < c.hidden; ++d) {
        dx[i * c.hidden + d] += dz * w.at(v * c.hidden + d);
        dw[v * c.hidden + d] += dz * x.at(i * c.hidden + d);
      }
    }
  }

  auto forward = KernelRunner::create(
      "kernel.func block @k(%x: " + tx + ", %w: " + tw +
          ", %t: tensor<?xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) " +
          "{\n  %l, %n, %c = qwen.linear_cross_entropy %x, %w, %t" + cap +
          " : (" + tx + ", " + tw +
          ", tensor<?xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)\n" +
          "  kernel.return %l, %n, %c : tensor<f32>, tensor<i32>, " +
          "tensor<i32>\n}",
      target, c.rows);
  ASSERT_TRUE(bool(forward)) << llvm::toString(forward.takeError());
  float actualLoss = 0;
  int32_t actualCount = 0, actualCorrect = 0;
  Launch launch{{x.data(), w.data(), targets.data()},
                {&actualLoss, &actualCount, &actualCorrect},
                1,
                c.rows};
  (*forward)->run(launch);
  EXPECT_NEAR(actualLoss, loss, 2e-6 * std::fabs(loss));
  EXPECT_EQ(actualCount, count);
  EXPECT_EQ(actualCorrect, correct);

  auto gradient = KernelRunner::create(
      "kernel.func block @k(%x: " + tx + ", %w: " + tw +
          ", %t: tensor<?xi32>, %s: tensor<f32>, %a: " + ta +
          " {kernel.inplace = 2 : i64}) -> (tensor<f32>, " + tx + ", " + ta +
          ") {\n  %l, %dx, %r = qwen.linear_cross_entropy_grad %x, %w, %t, " +
          "%s into %a" + cap + " : (" + tx + ", " + tw +
          ", tensor<?xi32>, tensor<f32>, " + ta + ") -> (tensor<f32>, " + tx +
          ", " + ta + ")\n  kernel.return %l, %dx, %r : tensor<f32>, " + tx +
          ", " + ta + "\n}",
      target, c.rows);
  ASSERT_TRUE(bool(gradient)) << llvm::toString(gradient.takeError());
  Tensor start(c.vocabulary * c.hidden, false, 3);
  Tensor sum = start, sumAgain = start;
  Tensor out(c.rows * c.hidden, c.bf16), outAgain = out;
  float scalar = seed;
  Launch backward{{x.data(), w.data(), targets.data(), &scalar, sum.data()},
                  {&actualLoss, out.data(), sum.data()},
                  1,
                  c.rows};
  actualLoss = 0;
  (*gradient)->run(backward);
  EXPECT_NEAR(actualLoss, loss, 2e-6 * std::fabs(loss));
  backward.arguments[4] = backward.results[2] = sumAgain.data();
  backward.results[1] = outAgain.data();
  (*gradient)->run(backward, 3, /*reversed=*/true);
  EXPECT_EQ(sum.bytes(), sumAgain.bytes());
  EXPECT_EQ(out.bytes(), outAgain.bytes());
  EXPECT_TRUE(sum.isIntact() && out.isIntact());
  double tolerance = c.bf16 ? 1e-2 : 5e-6;
  for (int64_t i = 0; i < out.size(); ++i)
    ASSERT_NEAR(out.at(i), dx[i], tolerance * std::max(1.0, std::fabs(dx[i])))
        << "dx " << i;
  for (int64_t i = 0; i < sum.size(); ++i)
    ASSERT_NEAR(sum.at(i) - start.at(i), dw[i],
                tolerance * std::max(1.0, std::fabs(dw[i])))
        << "dw " << i;
}

TEST(CrossEntropy, LossAndGradient) {
  for (const TestTarget &target : runnableTargets()) {
    check({7, 24, 50, 0, false}, target);
    if (target.isGpu()) {
      check({70, 20, 200, 0, false}, target);
      check({65, 32, 130, 15, false, 0.125}, target);
      // Two chunks of the vocabulary.
      check({9, 24, 4150, 0, true}, target);
      check({33, 48, 213, 15, true, 0.03125}, target);
      continue;
    }
    check({300, 20, 1237, 0, false}, target);
    check({65, 32, 700, 15, false}, target);
    check({270, 64, 1100, 0, true}, target);
    check({33, 48, 513, 15, true}, target);
    check({65, 32, 701, 0, false, 0.125}, target);
    check({33, 48, 513, 15, true, 0.03125}, target);
  }
}

/// Loss and gradient of logits in memory.
static void checkLogits(const Case &c, const TestTarget &target) {
  SCOPED_TRACE(target.name() + " V " + std::to_string(c.vocabulary) +
               (c.bf16 ? " bf16" : " f32"));
  std::string tz = tensor("?x" + std::to_string(c.vocabulary), c.bf16);
  std::string weight = " {z_weight = " + std::to_string(c.zWeight) + " : f64}";
  Tensor z(c.rows * c.vocabulary, c.bf16, 1, 3);
  std::vector<int32_t> targets;
  for (int64_t i = 0; i < c.rows; ++i)
    targets.push_back(i % 5 == 3 ? -1 : (i * 7919 + 11) % c.vocabulary);
  targets[0] = c.vocabulary;
  const float seed = 0.37f;
  std::vector<double> dz(c.rows * c.vocabulary);
  double loss = 0;
  int64_t count = 0, correct = 0;
  for (int64_t i = 0; i < c.rows; ++i) {
    auto at = [&](int64_t v) { return double(z.at(i * c.vocabulary + v)); };
    int64_t best = 0;
    for (int64_t v = 0; v < c.vocabulary; ++v)
      best = at(v) > at(best) ? v : best;
    if (i % 5 == 1)
      targets[i] = best;
    if (targets[i] < 0 || targets[i] >= c.vocabulary)
      continue;
    double sum = 0;
    for (int64_t v = 0; v < c.vocabulary; ++v)
      sum += std::exp(at(v) - at(best));
    double lse = at(best) + std::log(sum);
    loss += lse - at(targets[i]) + c.zWeight * lse * lse;
    ++count;
    correct += best == targets[i];
    for (int64_t v = 0; v < c.vocabulary; ++v)
      dz[i * c.vocabulary + v] =
          seed * (std::exp(at(v) - lse) * (1 + 2 * c.zWeight * lse) -
                  (v == targets[i]));
  }

  auto forward = KernelRunner::create(
      "kernel.func block @k(%z: " + tz +
          ", %t: tensor<?xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>) " +
          "{\n  %l, %n, %c = qwen.cross_entropy %z, %t" + weight + " : (" + tz +
          ", tensor<?xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)\n" +
          "  kernel.return %l, %n, %c : tensor<f32>, tensor<i32>, " +
          "tensor<i32>\n}",
      target, c.rows);
  ASSERT_TRUE(bool(forward)) << llvm::toString(forward.takeError());
  float actualLoss = 0;
  int32_t actualCount = 0, actualCorrect = 0;
  Launch launch{{z.data(), targets.data()},
                {&actualLoss, &actualCount, &actualCorrect},
                1,
                c.rows};
  (*forward)->run(launch);
  EXPECT_NEAR(actualLoss, loss, 2e-6 * std::fabs(loss));
  EXPECT_EQ(actualCount, count);
  EXPECT_EQ(actualCorrect, correct);

  auto gradient = KernelRunner::create(
      "kernel.func block @k(%z: " + tz +
          ", %t: tensor<?xi32>, %s: tensor<f32>) -> " + tz +
          " {\n  %r = qwen.cross_entropy_grad %z, %t, %s" + weight + " : (" +
          tz + ", tensor<?xi32>, tensor<f32>) -> " + tz +
          "\n  kernel.return %r : " + tz + "\n}",
      target, c.rows);
  ASSERT_TRUE(bool(gradient)) << llvm::toString(gradient.takeError());
  Tensor out(z.size(), c.bf16), outAgain = out;
  float scalar = seed;
  Launch backward{{z.data(), targets.data(), &scalar}, {out.data()}, 1, c.rows};
  (*gradient)->run(backward);
  backward.results[0] = outAgain.data();
  (*gradient)->run(backward, 3, /*reversed=*/true);
  EXPECT_EQ(out.bytes(), outAgain.bytes());
  EXPECT_TRUE(out.isIntact());
  for (int64_t i = 0; i < out.size(); ++i)
    ASSERT_NEAR(out.at(i), dz[i],
                (c.bf16 ? 4e-3 : 2e-6) *
                    std::max(c.bf16 ? 0.1 : 1.0, std::fabs(dz[i])))
        << i;
}

TEST(CrossEntropy, LogitsInMemory) {
  for (const TestTarget &target : runnableTargets()) {
    checkLogits({1, 0, 3, 0, false}, target);
    checkLogits({7, 0, 50, 0, false}, target);
    checkLogits({130, 0, 1237, 0, false, 0.125}, target);
    checkLogits({66, 0, 700, 0, true, 0.0625}, target);
    checkLogits({3, 0, 4104, 0, true}, target);
  }
}

/// A row that does not count has no gradient even where its logits are no
/// numbers; one that counts makes the loss no number.
TEST(CrossEntropy, NonFinite) {
  for (const TestTarget &target : runnableTargets()) {
    auto runner = KernelRunner::create(
        "kernel.func block @k(%x: tensor<?x8xf32>, %w: tensor<20x8xf32>, "
        "%t: tensor<?xi32>, %s: tensor<f32>, %a: tensor<20x8xf32> "
        "{kernel.inplace = 2 : i64}) -> (tensor<f32>, tensor<?x8xf32>, "
        "tensor<20x8xf32>) {\n  %l, %dx, %r = qwen.linear_cross_entropy_grad "
        "%x, %w, %t, %s into %a : (tensor<?x8xf32>, tensor<20x8xf32>, "
        "tensor<?xi32>, tensor<f32>, tensor<20x8xf32>) -> (tensor<f32>, "
        "tensor<?x8xf32>, tensor<20x8xf32>)\n  kernel.return %l, %dx, %r : "
        "tensor<f32>, tensor<?x8xf32>, tensor<20x8xf32>\n}",
        target, 3);
    ASSERT_TRUE(bool(runner)) << llvm::toString(runner.takeError());
    Tensor x(3 * 8, false, 1), w(20 * 8, false, 2), acc(20 * 8, false);
    Tensor dx(3 * 8, false);
    for (float bad : {float(NAN), float(INFINITY)}) {
      x.set(8 + 3, bad);
      float seed = 1, loss = 0;
      std::vector<int32_t> targets = {4, -1, 7};
      Launch launch{{x.data(), w.data(), targets.data(), &seed, acc.data()},
                    {&loss, dx.data(), acc.data()},
                    1,
                    3};
      (*runner)->run(launch);
      EXPECT_TRUE(std::isfinite(loss));
      for (int64_t c = 0; c < 8; ++c)
        EXPECT_EQ(dx.at(8 + c), 0);
      targets[1] = 5;
      (*runner)->run(launch);
      EXPECT_FALSE(std::isfinite(loss));
    }
  }
}
