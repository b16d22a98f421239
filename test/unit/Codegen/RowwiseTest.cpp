//===- RowwiseTest.cpp - Row-wise kernels against the oracle --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

#include "test/unit/Codegen/KernelCheck.h"

using namespace qwen::testing;

/// An op with one f32 or bf16 tensor in and out: `qwen.<op>`.
static std::string unary(const std::string &op, const std::string &type) {
  return kernelText("rowwise", "%x: " + type, type,
                    "  %y = " + op + " : " + type + " -> " + type +
                        "\n  kernel.return %y : " + type + "\n");
}

static const int64_t kWidths[] = {1, 4, 7, 33, 160};
static const char *kElements[] = {"f32", "bf16"};

TEST(Rowwise, Activations) {
  for (const char *kind : {"silu", "gelu", "gelu_tanh", "relu2"})
    for (const char *element : kElements) {
      std::string x = tensor("?x33", element);
      std::string name = kind;
      CheckOptions wide;
      wide.scale = 4;
      checkKernel(unary("qwen.activation " + name + " %x", x), 1, 137, wide);
      checkKernel(kernelText("rowwise", "%g: " + x + ", %x: " + x, x,
                             "  %y = qwen.activation_grad " + name +
                                 " %g, %x : (" + x + ", " + x + ") -> " + x +
                                 "\n  kernel.return %y : " + x + "\n"),
                  2, 40, wide);
    }
}

TEST(Rowwise, Functions) {
  // Relative to each result, over the whole range and at the special values.
  struct {
    const char *op;
    double low, high;
  } const cases[] = {{"math.exp", -110, 90},   {"math.log", 1e-44, 1e38},
                     {"math.tanh", -12, 12},   {"math.erf", -6, 6},
                     {"math.rsqrt", 1e-30, 9}, {"math.sqrt", 0, 1e9},
                     {"math.cos", -900, 900},  {"math.sin", -900, 900},
                     {"math.absf", -3, 3}};
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto &c : cases) {
    std::string name = c.op;
    // One number a row: no large result hides the error of a small one.
    std::string x = tensor("?x1", "f32");
    std::string text = kernelText("rowwise", "%x: " + x, x,
                                  "  %y = " + name + " %x : " + x +
                                      "\n  kernel.return %y : " + x + "\n");
    const int64_t count = 4111;
    CheckOptions options;
    options.prepare = [&](std::vector<Array> &inputs) {
      for (int64_t i = 0; i < count; ++i) {
        double t = double(i) / (count - 1);
        bool isLog = name == "math.log";
        double value = isLog ? c.low * std::pow(c.high / c.low, t)
                             : c.low + (c.high - c.low) * t;
        inputs[0].values[i] = static_cast<float>(value);
      }
      const double special[] = {0, inf, -inf, std::nan(""), 1, -1, 1e-40};
      for (int64_t i = 0; i < 7; ++i)
        inputs[0].values[i] = static_cast<float>(special[i]);
    };
    options.expected = [&](const std::vector<Array> &inputs) {
      return runOracle(text, inputs, count);
    };
    options.tolerance = 3e-7;
    options.isRelative = true;
    checkKernel(text, 1, count, options);
  }
}

TEST(Rowwise, GatedUnits) {
  for (const char *element : kElements)
    for (int64_t width : kWidths) {
      std::string x = tensor("?x" + std::to_string(width), element);
      std::string two = "(" + x + ", " + x + ") -> ";
      checkKernel(kernelText("rowwise", "%g: " + x + ", %u: " + x, x,
                             "  %y = qwen.glu silu %g, %u : " + two + x +
                                 "\n  kernel.return %y : " + x + "\n"),
                  1, 37);
      checkKernel(
          kernelText("rowwise", "%d: " + x + ", %g: " + x + ", %u: " + x,
                     x + ", " + x,
                     "  %a, %b = qwen.glu_grad silu %d, %g, %u : (" + x + ", " +
                         x + ", " + x + ") -> (" + x + ", " + x +
                         ")\n  kernel.return %a, %b : " + x + ", " + x + "\n"),
          1, 70);
    }
}

TEST(Rowwise, AddInPlaceAndCast) {
  std::string x = tensor("?x100", "bf16"), y = tensor("?x100", "f32");
  checkKernel(kernelText("rowwise",
                         "%x: " + x + " {kernel.inplace = 0 : i64}, %r: " + x,
                         x + ", " + y,
                         "  %s = qwen.add %x, %r : " + x + ", " + x + " -> " +
                             x + "\n  %c = qwen.cast %s : " + x + " -> " + y +
                             "\n  kernel.return %s, %c : " + x + ", " + y +
                             "\n"),
              3, 41);
  checkKernel(unary("qwen.softcap %x {cap = 3.0 : f64}", y), 1, 3);
  // One layer of a parameter, which begins where another one ends.
  for (const char *sizes : {"1", "36", "37x3", "700"}) {
    std::string from = tensor(sizes, "f32"), to = tensor(sizes, "bf16");
    checkKernel(kernelText("rowwise", "%x: " + from, to,
                           "  %c = qwen.cast %x : " + from + " -> " + to +
                               "\n  kernel.return %c : " + to + "\n"),
                1, 1);
  }
}

TEST(Rowwise, RmsNorm) {
  for (const char *element : kElements)
    for (int64_t width : kWidths)
      for (bool heads : {false, true}) {
        std::string n = std::to_string(width), rows = heads ? "?x3" : "?";
        std::string x = tensor(rows + "x" + n, element);
        std::string w = tensor(n, element), s = tensor(rows, "f32");
        checkKernel(
            kernelText("rowwise", "%x: " + x + ", %w: " + w, x + ", " + s,
                       "  %y, %s = qwen.rms_norm %x weight %w {eps = 1.0e-6 : "
                       "f64} : (" +
                           x + ", " + w + ") -> (" + x + ", " + s +
                           ")\n  kernel.return %y, %s : " + x + ", " + s +
                           "\n"),
            1, 19);
        checkKernel(
            kernelText("rowwise",
                       "%g: " + x + ", %x: " + x + ", %s: " + s + ", %w: " + w,
                       x,
                       "  %y = qwen.rms_norm_input_grad %g, %x, %s weight %w : "
                       "(" +
                           x + ", " + x + ", " + s + ", " + w + ") -> " + x +
                           "\n  kernel.return %y : " + x + "\n"),
            1, 19);
      }
}

TEST(Rowwise, AddRmsNorm) {
  // The sum is a result of its own, in the residual's memory.
  std::string x = tensor("?x208", "bf16"), w = tensor("208", "bf16");
  checkKernel(
      kernelText("rowwise",
                 "%x: " + x + " {kernel.inplace = 0 : i64}, %r: " + x +
                     ", %w: " + w,
                 x + ", " + x,
                 "  %h = qwen.add %x, %r : " + x + ", " + x + " -> " + x +
                     "\n  %y = qwen.rms_norm %h weight %w {eps = 1.0e-6 : f64} "
                     ": (" +
                     x + ", " + w + ") -> " + x +
                     "\n  kernel.return %h, %y : " + x + ", " + x + "\n"),
      2, 33);
}

TEST(Rowwise, LayerNorm) {
  for (const char *element : kElements)
    for (int64_t width : kWidths) {
      if (width == 1) // no variance: all digits of x - mean are lost
        continue;
      std::string n = std::to_string(width);
      std::string x = tensor("?x" + n, element), w = tensor(n, element);
      std::string s = tensor("?", "f32");
      checkKernel(
          kernelText("rowwise", "%x: " + x + ", %w: " + w + ", %b: " + w,
                     x + ", " + s + ", " + s,
                     "  %y, %m, %s = qwen.layer_norm %x weight %w bias %b {eps "
                     "= 1.0e-5 : f64} : (" +
                         x + ", " + w + ", " + w + ") -> (" + x + ", " + s +
                         ", " + s + ")\n  kernel.return %y, %m, %s : " + x +
                         ", " + s + ", " + s + "\n"),
          1, 11);
      CheckOptions loose;
      loose.tolerance = 1e-5;
      checkKernel(
          kernelText("rowwise",
                     "%g: " + x + ", %x: " + x + ", %m: " + s + ", %s: " + s +
                         ", %w: " + w,
                     x,
                     "  %y = qwen.layer_norm_input_grad %g, %x, %m, %s weight "
                     "%w : (" +
                         x + ", " + x + ", " + s + ", " + s + ", " + w +
                         ") -> " + x + "\n  kernel.return %y : " + x + "\n"),
          1, 11, loose);
    }
}

TEST(Rowwise, Rope) {
  std::string p = tensor("?", "i32"), c = tensor("?x4", "f32");
  CheckOptions positions;
  positions.highest = 40000;
  checkKernel(
      kernelText("rowwise", "%p: " + p, c + ", " + c,
                 "  %c, %s = qwen.rope_table %p {inv_freq = array<f32: 1.0, "
                 "0.1, 0.01, 0.003>, factor = 0.9 : f64} : (" +
                     p + ") -> (" + c + ", " + c +
                     ")\n  kernel.return %c, %s "
                     ": " +
                     c + ", " + c + "\n"),
      1, 29, positions);
  for (const char *element : kElements)
    for (int64_t half : {1, 4, 24, 80})
      for (const char *inverse : {"", "inverse "})
        for (bool inPlace : {false, true}) {
          if (inPlace && half == 24)
            continue;
          std::string x = tensor("?x3x" + std::to_string(2 * half), element);
          std::string t = tensor("?x" + std::to_string(half), "f32");
          checkKernel(
              kernelText(
                  "rowwise",
                  "%x: " + x + (inPlace ? " {kernel.inplace = 0 : i64}" : "") +
                      ", %c: " + t + ", %s: " + t,
                  x,
                  "  %y = qwen.rope " + std::string(inverse) +
                      "%x, %c, %s : (" + x + ", " + t + ", " + t + ") -> " + x +
                      "\n  kernel.return %y : " + x + "\n"),
              1, 9);
        }
}

TEST(Rowwise, NormThenRope) {
  std::string x = tensor("?x4x16", "bf16"), w = tensor("16", "bf16");
  std::string t = tensor("?x8", "f32");
  checkKernel(
      kernelText("rowwise",
                 "%x: " + x + ", %w: " + w + ", %c: " + t + ", %s: " + t, x,
                 "  %n = qwen.rms_norm %x weight %w {eps = 1.0e-6 : f64} : (" +
                     x + ", " + w + ") -> " + x +
                     "\n  %y = qwen.rope %n, %c, "
                     "%s : (" +
                     x + ", " + t + ", " + t + ") -> " + x +
                     "\n  kernel.return %y : " + x + "\n"),
      1, 21);
}

TEST(Rowwise, RopeThenNormGradient) {
  // Rope's result is stored while its reduction is computed, in two segments.
  for (int64_t half : {4, 40}) {
    std::string n = std::to_string(2 * half);
    std::string x = tensor("?x2x" + n, "bf16"), w = tensor(n, "bf16");
    std::string t = tensor("?x" + std::to_string(half), "f32");
    std::string s = tensor("?x2", "f32");
    checkKernel(
        kernelText(
            "rowwise",
            "%g: " + x + ", %c: " + t + ", %s: " + t + ", %x: " + x +
                ", %r: " + s + ", %w: " + w,
            x + ", " + x,
            "  %d = qwen.rope inverse %g, %c, %s : (" + x + ", " + t + ", " +
                t + ") -> " + x +
                "\n  %y = qwen.rms_norm_input_grad %d, %x, %r weight %w : (" +
                x + ", " + x + ", " + s + ", " + w + ") -> " + x +
                "\n  kernel.return %d, %y : " + x + ", " + x + "\n"),
        1, 21);
  }
}

TEST(Rowwise, UnequalConcat) {
  // Sides of different widths, and a slice across them that is reduced.
  std::string a = tensor("?x5", "f32"), b = tensor("?x40", "f32");
  std::string c = tensor("?x45", "f32"), d = tensor("?x30", "f32");
  std::string r = tensor("?", "f32");
  checkKernel(
      kernelText("rowwise", "%a: " + a + ", %b: " + b, c + ", " + r + ", " + r,
                 "  %c = kernel.concat %b, %a : " + b + ", " + a + " -> " + c +
                     "\n  %d = kernel.slice %c from 13 : " + c + " -> " + d +
                     "\n  %r = kernel.reduce add %d dims [1] : " + d + " -> " +
                     r + "\n  %m = kernel.reduce max %d dims [1] : " + d +
                     " -> " + r + "\n  kernel.return %c, %r, %m : " + c + ", " +
                     r + ", " + r + "\n"),
      1, 7);
}

TEST(Rowwise, Embedding) {
  for (const char *element : kElements) {
    std::string t = tensor("11x36", element), i = tensor("?", "i32");
    std::string y = tensor("?x36", element);
    CheckOptions outside;
    outside.lowest = -3;
    outside.highest = 13;
    checkKernel(kernelText("rowwise", "%i: " + i + ", %t: " + t, y,
                           "  %y = qwen.embedding %i, %t : " + i + ", " + t +
                               " -> " + y + "\n  kernel.return %y : " + y +
                               "\n"),
                2, 17, outside);
  }
}

TEST(Rowwise, AdamW) {
  std::string p = tensor("37x70", "f32"), h = tensor("2x8", "f32");
  std::string s = "tensor<f32>";
  std::string text =
      kernelText("rowwise",
                 "%p: " + p + " {kernel.inplace = 0 : i64}, %g: " + p +
                     " {kernel.inplace = 1 : i64}, %m: " + p +
                     " {kernel.inplace = 2 : i64}, %v: " + p +
                     " {kernel.inplace = 3 : i64}, %h: " + h + ", %s: " + s,
                 p + ", " + p + ", " + p + ", " + p,
                 "  %a, %b, %c, %d = qwen.adamw %p, %g, %m, %v, %h, %s {group "
                 "= 1 : i64} : (" +
                     p + ", " + p + ", " + p + ", " + p + ", " + h + ", " + s +
                     ") -> (" + p + ", " + p + ", " + p + ", " + p +
                     ")\n  kernel.return %a, %b, %c, "
                     "%d : " +
                     p + ", " + p + ", " + p + ", " + p + "\n");
  for (float scale : {0.0f, 0.5f}) {
    CheckOptions options;
    options.prepare = [scale](std::vector<Array> &inputs) {
      const float row[] = {0.01f, 0.9f, 0.95f, 1e-8f, 0.1f, 1, 0.19f, 0.0975f};
      for (int i = 0; i < 8; ++i)
        inputs[4].values[8 + i] = row[i];
      for (double &value : inputs[3].values)
        value = std::fabs(value);
      inputs[5].values[0] = scale;
    };
    checkKernel(text, 1, 1, options);
  }
}

TEST(Rowwise, SumSquaresAndClip) {
  std::string s = "tensor<f32>", i = "tensor<i32>", h = tensor("2x8", "f32");
  for (const char *sizes : {"1", "63", "37x70", "300x129"}) {
    std::string x = tensor(sizes, "f32");
    checkKernel(kernelText("rowwise", "%x: " + x + ", %a: " + s, s,
                           "  %y = qwen.sum_squares %x into %a : " + x + ", " +
                               s + " -> " + s + "\n  kernel.return %y : " + s +
                               "\n"),
                1, 1);
  }
  const double inf = std::numeric_limits<double>::infinity();
  for (double sum : {0.0, 0.25, 100.0, inf, std::nan("")})
    for (double limit : {0.0, 1.0})
      for (int64_t skip : {0, 1}) {
        CheckOptions options;
        options.prepare = [=](std::vector<Array> &inputs) {
          inputs[0].values[0] = sum;
          inputs[1].values[5] = limit;
          inputs[2].values[0] = skip;
        };
        checkKernel(
            kernelText("rowwise", "%q: " + s + ", %h: " + h + ", %s: " + i,
                       s + ", " + i + ", " + s,
                       "  %n, %f, %c = qwen.clip %q, %h, %s : (" + s + ", " +
                           h + ", " + i + ") -> (" + s + ", " + i + ", " + s +
                           ")\n  kernel.return %n, %f, %c : " + s + ", " + i +
                           ", " + s + "\n"),
            1, 1, options);
      }
}
