//===- ReduceTest.cpp - Sums over rows and scatters
//-------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "gtest/gtest.h"

#include "test/unit/Codegen/KernelCheck.h"

using namespace qwen::testing;

static const char *kElements[] = {"f32", "bf16"};

TEST(ColumnReduce, BiasAndNormGradients) {
  // A sum is near zero next to its terms.
  CheckOptions sums;
  sums.tolerance = 2e-5;
  for (const char *element : kElements)
    for (int64_t width : {1, 7, 64, 300})
      for (int64_t rows : {1, 64, 150}) {
        std::string n = std::to_string(width);
        std::string x = tensor("?x" + n, element), a = tensor(n, "f32");
        std::string s = tensor("?", "f32");
        std::string inPlace = " {kernel.inplace = 0 : i64}";
        checkKernel(
            kernelText("column_reduce", "%g: " + x + ", %a: " + a + inPlace, a,
                       "  %y = qwen.bias_grad %g into %a : " + x + ", " + a +
                           " -> " + a + "\n  kernel.return %y : " + a + "\n"),
            1, rows, sums);
        checkKernel(
            kernelText("column_reduce",
                       "%g: " + x + ", %x: " + x + ", %m: " + s + ", %s: " + s +
                           ", %a: " + a,
                       a,
                       "  %y = qwen.layer_norm_weight_grad %g, %x, %m, %s into "
                       "%a : (" +
                           x + ", " + x + ", " + s + ", " + s + ", " + a +
                           ") -> " + a + "\n  kernel.return %y : " + a + "\n"),
            1, rows, sums);
      }
  for (int64_t heads : {1, 3, 8}) {
    std::string rows = "?x" + std::to_string(heads);
    std::string x = tensor(rows + "x24", "bf16"), s = tensor(rows, "f32");
    std::string a = tensor("24", "f32");
    checkKernel(
        kernelText("column_reduce",
                   "%g: " + x + ", %x: " + x + ", %s: " + s + ", %a: " + a +
                       " {kernel.inplace = 0 : i64}",
                   a,
                   "  %y = qwen.rms_norm_weight_grad %g, %x, %s into %a "
                   ": (" +
                       x + ", " + x + ", " + s + ", " + a + ") -> " + a +
                       "\n  kernel.return %y : " + a + "\n"),
        1, 70, sums);
  }
}

TEST(Scatter, EmbeddingGrad) {
  for (const char *element : kElements)
    for (int64_t width : {1, 16, 37, 64, 1030})
      for (bool inPlace : {false, true}) {
        std::string n = std::to_string(width);
        std::string g = tensor("?x" + n, element), i = tensor("?", "i32");
        std::string t = tensor("19x" + n, "f32");
        CheckOptions outside;
        outside.lowest = -2;
        outside.highest = 20;
        checkKernel(
            kernelText("scatter",
                       "%g: " + g + ", %i: " + i + ", %a: " + t +
                           (inPlace ? " {kernel.inplace = 0 : i64}" : ""),
                       t,
                       "  %y = qwen.embedding_grad %g, %i into %a : " + g +
                           ", " + i + ", " + t + " -> " + t +
                           "\n  kernel.return %y : " + t + "\n"),
            1, 90, outside);
      }
}
