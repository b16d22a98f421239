//===- AttentionTest.cpp - Attention against a reference ------------------===//
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
struct Shape {
  int64_t batch, sequence, heads, groups, headDim;
  bool bf16;
  /// Keys that a query sees; 0: all.
  int64_t window = 0;
  /// Tokens of a document; 0: the rows are not divided.
  int64_t document = 0;
  int64_t queries() const { return batch * sequence * heads * headDim; }
  int64_t keys() const { return batch * sequence * groups * headDim; }
  /// Where the document of token t begins; those of later rows begin later.
  int64_t start(int64_t b, int64_t t) const {
    return document ? std::max<int64_t>(t - (t + 3 * b) % document, 0) : 0;
  }
  int64_t firstKey(int64_t b, int64_t t) const {
    return std::max(start(b, t), window ? t + 1 - window : 0);
  }
};

std::string tensor(std::string shape, bool bf16) {
  return "tensor<" + shape + "x" + (bf16 ? "bf16" : "f32") + ">";
}
std::string number(int64_t value) { return std::to_string(value); }

/// Softmax of one row in f64: the scores of keys first .. count - 1, the
/// probability 0 of those before.
struct Row {
  std::vector<double> p;
  double lse;
};

template <typename Key>
Row softmax(const Tensor &q, int64_t qAt, const Tensor &k, int64_t first,
            int64_t count, int64_t headDim, double scale, Key keyAt) {
  Row row;
  row.p.assign(first, -INFINITY);
  double largest = -INFINITY, sum = 0;
  for (int64_t s = first; s < count; ++s) {
    double score = 0;
    for (int64_t d = 0; d < headDim; ++d)
      score += double(q.at(qAt + d)) * k.at(keyAt(s) + d);
    row.p.push_back(score * scale);
    largest = std::max(largest, score * scale);
  }
  for (double &p : row.p)
    sum += p = std::exp(p - largest);
  for (double &p : row.p)
    p /= sum;
  row.lse = largest + std::log(sum);
  return row;
}
} // namespace

/// Forward and gradient of one shape at one level.
static void check(const Shape &shape, const TestTarget &target) {
  SCOPED_TRACE(target.name() + " T " + number(shape.sequence) + " D " +
               number(shape.headDim) + (shape.bf16 ? " bf16" : " f32") +
               " window " + number(shape.window) + " document " +
               number(shape.document));
  auto [batch, sequence, heads, groups, headDim, bf16, window, document] =
      shape;
  double scale = 1 / std::sqrt(double(headDim));
  std::string tq = tensor("?x?x" + number(heads) + "x" + number(headDim), bf16);
  std::string tk =
      tensor("?x?x" + number(groups) + "x" + number(headDim), bf16);
  std::string tl = tensor("?x?x" + number(heads), false);
  std::string attribute = " {scale = " + std::to_string(scale) +
                          " : f64, window = " + number(window) + " : i64}";
  std::string ts = "tensor<?x?xi32>", moreType, moreArg, moreOperand;
  if (document) {
    moreType = ", " + ts;
    moreArg = ", %s: " + ts;
    moreOperand = " starts %s";
  }
  std::vector<int32_t> starts;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t t = 0; t < sequence; ++t)
      starts.push_back(shape.start(b, t));
  scale = std::stod(std::to_string(scale));
  int64_t rows = batch * sequence;

  auto forward = KernelRunner::create(
      "kernel.func block @k(%q: " + tq + ", %k: " + tk + ", %v: " + tk +
          moreArg + ") -> (" + tq + ", " + tl +
          ") {\n  %o, %l = qwen.attention %q, " + "%k, %v" + moreOperand +
          attribute + " : (" + tq + ", " + tk + ", " + tk + moreType +
          ") -> (" + tq + ", " + tl + ")\n  kernel.return %o, %l : " + tq +
          ", " + tl + "\n}",
      target, rows);
  ASSERT_TRUE(bool(forward)) << llvm::toString(forward.takeError());
  Tensor q(shape.queries(), bf16, 1), k(shape.keys(), bf16, 2);
  Tensor v(shape.keys(), bf16, 3), out(shape.queries(), bf16), again = out;
  Tensor lse(rows * heads, false);
  Launch launch{{q.data(), k.data(), v.data()},
                {out.data(), lse.data()},
                batch,
                sequence};
  if (document)
    launch.arguments.push_back(starts.data());
  (*forward)->run(launch);
  launch.results[0] = again.data();
  (*forward)->run(launch, 3, /*reversed=*/true);
  EXPECT_EQ(out.bytes(), again.bytes());
  EXPECT_TRUE(out.isIntact() && lse.isIntact());

  auto gradient = KernelRunner::create(
      "kernel.func block @k(%g: " + tq + ", %q: " + tq + ", %k: " + tk +
          ", %v: " + tk + ", %o: " + tq + ", %l: " + tl + moreArg + ") -> (" +
          tq + ", " + tk + ", " + tk +
          ") {\n  %dq, %dk, %dv = qwen.attention_grad %g, %q, %k, %v, %o, %l" +
          moreOperand + attribute + " : (" + tq + ", " + tq + ", " + tk + ", " +
          tk + ", " + tq + ", " + tl + moreType + ") -> (" + tq + ", " + tk +
          ", " + tk + ")\n  kernel.return %dq, %dk, %dv : " + tq + ", " + tk +
          ", " + tk + "\n}",
      target, rows);
  ASSERT_TRUE(bool(gradient)) << llvm::toString(gradient.takeError());
  Tensor grad(shape.queries(), bf16, 4), dq(shape.queries(), bf16);
  Tensor dk(shape.keys(), bf16), dv = dk, dkAgain = dk;
  Launch backward{
      {grad.data(), q.data(), k.data(), v.data(), out.data(), lse.data()},
      {dq.data(), dk.data(), dv.data()},
      batch,
      sequence};
  if (document)
    backward.arguments.push_back(starts.data());
  (*gradient)->run(backward);
  backward.results[1] = dkAgain.data();
  (*gradient)->run(backward, 3, /*reversed=*/true);
  EXPECT_EQ(dk.bytes(), dkAgain.bytes());
  EXPECT_TRUE(dq.isIntact() && dk.isIntact() && dv.isIntact());

  std::vector<double> rdq(shape.queries()), rdk(shape.keys()), rdv = rdk;
  double tolerance = bf16 ? 2e-2 : 3e-6;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t t = 0; t < sequence; ++t)
      for (int64_t h = 0; h < heads; ++h) {
        int64_t qAt = ((b * sequence + t) * heads + h) * headDim;
        auto keyAt = [&](int64_t s) {
          return ((b * sequence + s) * groups + h / (heads / groups)) * headDim;
        };
        Row row = softmax(q, qAt, k, shape.firstKey(b, t), t + 1, headDim,
                          scale, keyAt);
        ASSERT_NEAR(lse.at(qAt / headDim), row.lse, 3e-6);
        double delta = 0;
        for (int64_t d = 0; d < headDim; ++d) {
          double sum = 0;
          for (int64_t s = 0; s <= t; ++s)
            sum += row.p[s] * v.at(keyAt(s) + d);
          ASSERT_NEAR(out.at(qAt + d), sum, tolerance);
          delta += double(grad.at(qAt + d)) * out.at(qAt + d);
        }
        for (int64_t s = 0; s <= t; ++s) {
          double dp = 0;
          for (int64_t d = 0; d < headDim; ++d)
            dp += double(grad.at(qAt + d)) * v.at(keyAt(s) + d);
          double ds = row.p[s] * (dp - delta) * scale;
          for (int64_t d = 0; d < headDim; ++d) {
            rdq[qAt + d] += ds * k.at(keyAt(s) + d);
            rdk[keyAt(s) + d] += ds * q.at(qAt + d);
            rdv[keyAt(s) + d] += row.p[s] * grad.at(qAt + d);
          }
        }
      }
  auto compare = [&](const Tensor &actual, const std::vector<double> &values) {
    for (int64_t i = 0; i < actual.size(); ++i)
      ASSERT_NEAR(actual.at(i), values[i],
                  tolerance * std::max(1.0, std::fabs(values[i])));
  };
  compare(dq, rdq);
  compare(dk, rdk);
  compare(dv, rdv);
}

TEST(Attention, ForwardAndGradient) {
  for (const TestTarget &target : runnableTargets()) {
    check({2, 5, 4, 2, 8, false}, target);
    check({1, 130, 3, 1, 20, false}, target);
    check({1, 70, 2, 2, 64, true}, target);
    // The simulator takes its time.
    check({1, target.isGpu() ? 135 : 300, 2, 1, 32, true}, target);
    // The gradient finds delta in a pass of its own.
    if (!target.isGpu())
      check({1, 1040, 2, 1, 12, false}, target);
  }
}

TEST(Attention, WindowAndDocuments) {
  for (const TestTarget &target : runnableTargets()) {
    check({2, 9, 4, 2, 8, false, 1}, target);
    check({2, 7, 2, 2, 8, false, 0, 3}, target);
    if (target.isGpu()) {
      check({1, 150, 1, 1, 20, true, 17}, target);
      check({1, 140, 2, 1, 24, true, 0, 90}, target);
      check({1, 100, 2, 2, 12, false, 40, 77}, target);
      continue;
    }
    check({1, 600, 3, 1, 20, true, 17}, target);
    check({2, 333, 2, 1, 24, false, 0, 90}, target);
    check({1, 530, 2, 1, 32, true, 0, 301}, target);
    check({2, 201, 4, 2, 12, false, 40, 77}, target);
  }
}

/// Prompts and single queries over a cache longer than what is visible.
static void checkCached(const Shape &shape, int64_t length, int64_t start,
                        const TestTarget &target) {
  SCOPED_TRACE(target.name() + " T " + number(shape.sequence) + " D " +
               number(shape.headDim) + (shape.bf16 ? " bf16" : " f32") +
               " window " + number(shape.window) + " document " +
               number(shape.document));
  auto [batch, sequence, heads, groups, headDim, bf16, window, document] =
      shape;
  std::string extent = sequence == 1 ? "1" : "?";
  std::string tq =
      tensor("?x" + extent + "x" + number(heads) + "x" + number(headDim), bf16);
  std::string tk = tensor(number(batch) + "x" + number(groups) + "x" +
                              number(length) + "x" + number(headDim),
                          bf16);
  auto runner = KernelRunner::create(
      "kernel.func block @k(%q: " + tq + ", %k: " + tk + ", %v: " + tk +
          ", %s: tensor<?xi32>) -> " + tq +
          " {\n  %o = qwen.cached_attention %q, %k, %v, %s " +
          "{scale = 0.25 : f64, window = " + number(window) + " : i64} : (" +
          tq + ", " + tk + ", " + tk + ", tensor<?xi32>) -> " + tq +
          "\n  kernel.return %o : " + tq + "\n}",
      target, batch * sequence);
  ASSERT_TRUE(bool(runner)) << llvm::toString(runner.takeError());
  int64_t cached = batch * groups * length * headDim;
  Tensor q(shape.queries(), bf16, 1), k(cached, bf16, 2), v(cached, bf16, 3);
  Tensor out(shape.queries(), bf16), again = out;
  std::vector<int32_t> starts;
  for (int64_t b = 0; b < batch; ++b)
    starts.push_back(std::max<int64_t>(start - 3 * b, 0));
  // What lies beyond the visible keys must not matter.
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t s = starts[b] + sequence; s < length; ++s)
        for (int64_t d = 0; d < headDim; ++d) {
          k.set(((b * groups + g) * length + s) * headDim + d, NAN);
          v.set(((b * groups + g) * length + s) * headDim + d, NAN);
        }
  Launch launch{{q.data(), k.data(), v.data(), starts.data()},
                {out.data()},
                batch,
                sequence};
  (*runner)->run(launch);
  launch.results[0] = again.data();
  (*runner)->run(launch, 3, /*reversed=*/true);
  EXPECT_EQ(out.bytes(), again.bytes());
  EXPECT_TRUE(out.isIntact());
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t t = 0; t < sequence; ++t)
      for (int64_t h = 0; h < heads; ++h) {
        int64_t qAt = ((b * sequence + t) * heads + h) * headDim;
        auto keyAt = [&](int64_t s) {
          return ((b * groups + h / (heads / groups)) * length + s) * headDim;
        };
        int64_t count = std::min(starts[b] + t + 1, length);
        int64_t first = window ? std::max<int64_t>(count - window, 0) : 0;
        Row row = softmax(q, qAt, k, first, count, headDim, 0.25, keyAt);
        for (int64_t d = 0; d < headDim; ++d) {
          double sum = 0;
          for (int64_t s = first; s < count; ++s)
            sum += row.p[s] * v.at(keyAt(s) + d);
          ASSERT_NEAR(out.at(qAt + d), sum, bf16 ? 2e-2 : 3e-6)
              << b << " " << t << " " << h << " " << d;
        }
      }
}

TEST(Attention, Cached) {
  for (const TestTarget &target : runnableTargets()) {
    checkCached({2, 1, 4, 2, 8, false}, 40, 0, target);
    checkCached({2, 1, 4, 2, 20, true}, 700, 600, target);
    checkCached({2, 3, 2, 1, 32, false}, 20, 10, target);
    checkCached({1, 70, 2, 1, 64, true}, 512, 300, target);
    checkCached({2, 1, 4, 2, 20, false, 100}, 700, 600, target);
    checkCached({2, 1, 4, 2, 8, true, 300}, 40, 39, target);
    checkCached({2, 70, 2, 1, 32, false, 33}, 512, 300, target);
    // The last queries lie behind the cache's end.
    checkCached({1, 80, 2, 1, 16, false, 5}, 100, 50, target);
  }
}
