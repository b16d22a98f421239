//===- MuonTest.cpp - The kernels of Muon against the oracle --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/Codegen/KernelCheck.h"

#include "gtest/gtest.h"

using namespace qwen::testing;

static std::string sizes(int64_t rows, int64_t columns) {
  return std::to_string(rows) + "x" + std::to_string(columns);
}

/// A row of hyperparameters, and what the gradient is scaled with.
static std::function<void(std::vector<Array> &)> prepared(int hyper, int scale,
                                                          float value) {
  return [=](std::vector<Array> &inputs) {
    const float row[] = {0.02f, 0.95f, 0, 1e-7f, 0.1f, 1, 1, 1};
    for (int i = 0; i < 8; ++i)
      inputs[hyper].values[8 + i] = row[i];
    if (scale >= 0)
      inputs[scale].values[0] = value;
  };
}

TEST(Muon, Momentum) {
  std::string g = tensor("37x70", "f32"), h = tensor("2x8", "f32");
  std::string s = "tensor<f32>";
  for (const char *element : {"f32", "bf16"})
    for (float scale : {0.0f, 0.5f}) {
      CheckOptions options;
      options.prepare = prepared(2, 3, scale);
      std::string u = tensor("37x70", element);
      checkKernel(
          kernelText("rowwise",
                     "%g: " + g + " {kernel.inplace = 1 : i64}, %m: " + g +
                         " {kernel.inplace = 2 : i64}, %h: " + h + ", %s: " + s,
                     u + ", " + g + ", " + g,
                     "  %u, %a, %b = qwen.muon_momentum %g, %m, %h, %s {group "
                     "= 1 : i64, nesterov} : (" +
                         g + ", " + g + ", " + h + ", " + s + ") -> (" + u +
                         ", " + g + ", " + g +
                         ")\n  kernel.return %u, %a, %b "
                         ": " +
                         u + ", " + g + ", " + g + "\n"),
          1, 1, options);
    }
}

TEST(Muon, NormalizeAndUpdate) {
  std::string p = tensor("37x70", "f32"), h = tensor("2x8", "f32");
  std::string s = "tensor<f32>";
  for (const char *element : {"f32", "bf16"}) {
    std::string x = tensor("37x70", element);
    CheckOptions options;
    options.prepare = [](std::vector<Array> &inputs) {
      prepared(2, 1, 9.0f)(inputs);
    };
    checkKernel(kernelText("rowwise", "%u: " + x + ", %q: " + s + ", %h: " + h,
                           x,
                           "  %x = qwen.muon_normalize %u, %q, %h {group = 1 : "
                           "i64} : (" +
                               x + ", " + s + ", " + h + ") -> " + x +
                               "\n  kernel.return %x : " + x + "\n"),
                1, 1, options);
    for (float scale : {0.0f, 0.5f}) {
      options.prepare = prepared(2, 3, scale);
      checkKernel(
          kernelText("rowwise",
                     "%p: " + p + " {kernel.inplace = 0 : i64}, %x: " + x +
                         ", %h: " + h + ", %s: " + s,
                     p,
                     "  %a = qwen.muon_update %p, %x, %h, %s {factor = 1.5 : "
                     "f64, group = 1 : i64} : (" +
                         p + ", " + x + ", " + h + ", " + s + ") -> " + p +
                         "\n  kernel.return %a : " + p + "\n"),
          1, 1, options);
    }
  }
}

TEST(Muon, SumSquaresAlone) {
  for (const char *element : {"f32", "bf16"}) {
    std::string x = tensor("137x129", element), s = "tensor<f32>";
    checkKernel(kernelText("rowwise", "%x: " + x, s,
                           "  %y = qwen.sum_squares %x : " + x + " -> " + s +
                               "\n  kernel.return %y : " + s + "\n"),
                1, 1);
  }
}

/// One product of matrices that have no rows of tokens.
static void checkProduct(const std::string &form, const char *element,
                         int64_t m, int64_t n, int64_t k, bool adds) {
  std::string lhs = tensor(form == "tn" ? sizes(k, m) : sizes(m, k), element);
  std::string rhs = tensor(form == "nt" ? sizes(n, k) : sizes(k, n), element);
  std::string out = tensor(sizes(m, n), element);
  CheckOptions options;
  options.scale = 0.3;
  options.tolerance = 5e-6;
  // Sums in another order may round to the neighbour.
  options.bf16Tolerance = 1.01;
  options.expected = [=](const std::vector<Array> &in) {
    Array result;
    result.element = in[0].element;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t r = 0; r < k; ++r)
          sum += in[0].values[form == "tn" ? r * m + i : i * k + r] *
                 in[1].values[form == "nt" ? j * k + r : r * n + j];
        if (adds)
          sum = 2.0315 * sum - 4.775 * in[2].values[i * n + j];
        result.values.push_back(sum);
      }
    return std::vector<Array>{result};
  };
  std::string text = kernelText(
      "contract", "%l: " + lhs + ", %r: " + rhs + (adds ? ", %a: " + out : ""),
      out,
      "  %o = qwen.matmul " + form + " %l, %r " +
          (adds ? "plus %a {alpha = 2.0315 : f64, beta = -4.775 : "
                  "f64} "
                : "") +
          ": (" + lhs + ", " + rhs + (adds ? ", " + out : "") + ") -> " + out +
          "\n  kernel.return %o : " + out + "\n");
  checkKernel(decomposeKernel(text), 1, 1, options);
}

TEST(Muon, Products) {
  for (const char *element : {"f32", "bf16"})
    for (const char *form : {"nn", "nt", "tn"})
      for (bool adds : {false, true}) {
        checkProduct(form, element, 37, 70, 45, adds);
        checkProduct(form, element, 1, 5, 3, adds);
      }
  // More than one block each way.
  checkProduct("nt", "bf16", 300, 270, 130, false);
  checkProduct("tn", "f32", 270, 300, 130, true);
}
