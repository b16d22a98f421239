//===- ContractTest.cpp - Matrix products against a reference -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <cmath>
#include <random>

#include "gtest/gtest.h"

#include "test/unit/Codegen/Tensor.h"

using namespace qwen;
using namespace qwen::testing;

namespace {
/// One product with sizes m (rows for two of the forms), n, k.
struct Case {
  const char *spec;
  bool bf16;
  int64_t m, n, k;
};
} // namespace

static std::string type(const char *rows, int64_t columns, bool bf16) {
  return std::string("tensor<") + rows + "x" + std::to_string(columns) + "x" +
         (bf16 ? "bf16" : "f32") + ">";
}

/// The product in f64 from the elements as stored.
static std::vector<double> reference(const Case &c, const Tensor &lhs,
                                     const Tensor &rhs) {
  std::string spec = c.spec;
  std::vector<double> out(c.m * c.n);
  for (int64_t i = 0; i < c.m; ++i)
    for (int64_t j = 0; j < c.n; ++j) {
      double sum = 0;
      for (int64_t r = 0; r < c.k; ++r) {
        double x =
            spec == "mn,mk->nk" ? lhs.at(r * c.m + i) : lhs.at(i * c.k + r);
        double y =
            spec == "mk,nk->mn" ? rhs.at(j * c.k + r) : rhs.at(r * c.n + j);
        sum += x * y;
      }
      out[i * c.n + j] = sum;
    }
  return out;
}

static double magnitude(const std::vector<double> &values) {
  double largest = 1;
  for (double value : values)
    largest = std::max(largest, std::fabs(value));
  return largest;
}

static void runForward(const Case &c, KernelRunner &runner,
                       const TestTarget &target);

/// Rows of x W^T + bias, rounded, plus a residual: one kernel, run with several
/// numbers of rows.
static void checkForward(const Case &c, std::vector<int64_t> rows,
                         const TestTarget &target) {
  std::string x = type("?", c.k, c.bf16), y = type("?", c.n, c.bf16);
  std::string z = type("?", c.n, false);
  bool isNN = std::string(c.spec) == "mk,kn->mn";
  std::string w = isNN ? type(std::to_string(c.k).c_str(), c.n, c.bf16)
                       : type(std::to_string(c.n).c_str(), c.k, c.bf16);
  std::string columns = "tensor<" + std::to_string(c.n);
  std::string bias = columns + (c.bf16 ? "xbf16>" : "xf32>");
  std::string wide = columns + "xf32>";
  std::string widen =
      c.bf16 ? "  %v = arith.extf %bias : " + bias + " to " + wide + "\n" : "";
  std::string round =
      c.bf16 ? "  %t = arith.truncf %b : " + z + " to " + y +
                   "\n  %e = arith.extf %t : " + y + " to " + z +
                   "\n  %f = arith.extf %r : " + y + " to " + z +
                   "\n  %s = arith.addf %e, %f : " + z +
                   "\n  %o = arith.truncf %s : " + z + " to " + y + "\n"
             : "  %o = arith.addf %b, %r : " + z + "\n";
  std::string text = "kernel.func contract @k(%x: " + x + ", %w: " + w +
                     ", %bias: " + bias + ", %r: " + y + ") -> " + y +
                     " {\n  %p = kernel.contract \"" + c.spec +
                     "\" %x, %w : " + x + ", " + w + " -> " + z + "\n" + widen +
                     "  %bb = kernel.broadcast " + (c.bf16 ? "%v" : "%bias") +
                     " dims [1] : " + wide + " -> " + z +
                     "\n  %b = arith.addf %p, %bb : " + z + "\n" + round +
                     "  kernel.return %o : " + y + "\n}\n";
  auto runner = KernelRunner::create(text, target, rows.back());
  ASSERT_TRUE(bool(runner)) << llvm::toString(runner.takeError()) << text;
  for (int64_t m : rows)
    runForward({c.spec, c.bf16, m, c.n, c.k}, **runner, target);
}

static void runForward(const Case &c, KernelRunner &runner,
                       const TestTarget &target) {
  Tensor lhs(c.m * c.k, c.bf16, 1), rhs(c.n * c.k, c.bf16, 2);
  Tensor offset(c.n, c.bf16, 3), residual(c.m * c.n, c.bf16, 4);
  Tensor out(c.m * c.n, c.bf16), again(c.m * c.n, c.bf16);
  Launch launch{{lhs.data(), rhs.data(), offset.data(), residual.data()},
                {out.data()},
                1,
                c.m};
  runner.run(launch);
  launch.results = {again.data()};
  runner.run(launch, 3, /*reversed=*/true);
  EXPECT_EQ(out.bytes(), again.bytes());
  EXPECT_TRUE(out.isIntact()) << target.name() << " " << c.spec << " " << c.bf16
                              << " " << c.m << " " << c.n << " " << c.k;

  std::vector<double> expected = reference(c, lhs, rhs);
  double tolerance = magnitude(expected) * (c.bf16 ? 1e-2 : 1e-6) + 1e-5;
  for (int64_t i = 0; i < c.m * c.n; ++i) {
    double value = expected[i] + offset.at(i % c.n);
    if (c.bf16)
      value = fromBf16(toBf16(value));
    value += residual.at(i);
    ASSERT_NEAR(out.at(i), value, tolerance)
        << c.spec << " " << c.m << " " << c.n << " " << c.k << " at " << i;
  }
}

/// acc += lhs^T rhs in place.
static void checkWeightGrad(const Case &c, const TestTarget &target) {
  std::string dy = type("?", c.m, c.bf16), x = type("?", c.n, c.bf16);
  std::string acc = type(std::to_string(c.m).c_str(), c.n, false);
  std::string text =
      "kernel.func contract @k(%dy: " + dy + ", %x: " + x + ", %acc: " + acc +
      " {kernel.inplace = 0 : i64}) -> " + acc +
      " {\n  %p = kernel.contract \"mn,mk->nk\" %dy, %x : " + dy + ", " + x +
      " -> " + acc + "\n  %s = arith.addf %acc, %p : " + acc +
      "\n  kernel.return %s : " + acc + "\n}\n";
  auto runner = KernelRunner::create(text, target, c.k);
  ASSERT_TRUE(bool(runner)) << llvm::toString(runner.takeError()) << text;
  Tensor lhs(c.m * c.k, c.bf16, 1), rhs(c.n * c.k, c.bf16, 2);
  Tensor start(c.m * c.n, false, 3), out = start, again = start;
  Launch launch{{lhs.data(), rhs.data(), out.data()}, {out.data()}, 1, c.k};
  (*runner)->run(launch);
  launch.arguments[2] = launch.results[0] = again.data();
  (*runner)->run(launch, 2, /*reversed=*/true);
  EXPECT_EQ(out.bytes(), again.bytes());
  EXPECT_TRUE(out.isIntact()) << target.name() << " " << c.spec << " " << c.bf16
                              << " " << c.m << " " << c.n << " " << c.k;
  std::vector<double> expected = reference(c, lhs, rhs);
  double tolerance = magnitude(expected) * 2e-6;
  for (int64_t i = 0; i < c.m * c.n; ++i)
    ASSERT_NEAR(out.at(i), expected[i] + start.at(i), tolerance)
        << c.m << " " << c.n << " " << c.k << " at " << i;
}

namespace {
struct Shapes {
  int64_t n, k;
  std::vector<int64_t> rows;
};

/// f32 and bf16; the tiles change only what happens to bf16.
std::vector<bool> elementKinds(const TestTarget &target) {
  return target.hasAmx() ? std::vector<bool>{true}
                         : std::vector<bool>{false, true};
}
} // namespace

TEST(Contract, Forward) {
  const Shapes shapes[] = {{88, 64, {1, 9, 64, 300}},
                           {33, 17, {1, 7, 40}},
                           {130, 1100, {3, 70}},
                           {5, 1, {2, 17}}};
  for (const TestTarget &target : runnableTargets())
    for (bool bf16 : elementKinds(target)) {
      if (target.isGpu()) {
        // Few rows, odd sizes, and, of bf16, the larger tile.
        checkForward({"mk,nk->mn", bf16, 0, 88, 64}, {1, 8, 9, 70}, target);
        checkForward({"mk,nk->mn", bf16, 0, 33, 17}, {1, 7, 40}, target);
        checkForward({"mk,nk->mn", bf16, 0, 5, 1}, {2, 17}, target);
        checkForward({"mk,nk->mn", bf16, 0, 520, 72}, {3, 130}, target);
        checkForward({"mk,kn->mn", bf16, 0, 88, 300}, {9, 70}, target);
        continue;
      }
      for (const auto &[n, k, rows] : shapes)
        checkForward({"mk,nk->mn", bf16, 0, n, k}, rows, target);
      for (const auto &[n, k, rows] : {shapes[0], shapes[2]})
        checkForward({"mk,kn->mn", bf16, 0, n, k}, rows, target);
    }
}

TEST(Contract, WeightGrad) {
  for (const TestTarget &target : runnableTargets())
    for (bool bf16 : elementKinds(target))
      for (auto [m, n, k] : std::vector<std::array<int64_t, 3>>{
               {5, 7, 3}, {88, 64, 33}, {130, 300, target.isGpu() ? 70 : 600}})
        checkWeightGrad({"mn,mk->nk", bf16, m, n, k}, target);
}

/// The diagnostic for a kernel that has no code.
static std::string diagnosticOf(const std::string &text) {
  auto runner = KernelRunner::create(text, runnableTargets().front(), 1);
  return runner ? "" : llvm::toString(runner.takeError());
}

TEST(Contract, Errors) {
  const std::string head =
      "kernel.func contract @k(%x: tensor<?x4xf32>, %w: tensor<4x4xf32>) -> "
      "tensor<?x4xf32> {\n";
  const std::string types =
      " : tensor<?x4xf32>, tensor<4x4xf32> -> tensor<?x4xf32>\n";
  EXPECT_NE(diagnosticOf(head + "%p = kernel.contract \"mk,nk->mn\" %x, %w" +
                         types + "%q = kernel.contract \"mk,nk->mn\" %x, %w" +
                         types + "kernel.return %q : tensor<?x4xf32>\n}")
                .find("a contract kernel has one product"),
            std::string::npos);
  EXPECT_NE(diagnosticOf(head + "%y = arith.addf %x, %x : tensor<?x4xf32>\n" +
                         "%p = kernel.contract \"mk,nk->mn\" %y, %w" + types +
                         "kernel.return %p : tensor<?x4xf32>\n}")
                .find("operands must be in memory"),
            std::string::npos);
}
