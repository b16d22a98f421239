//===- CacheTest.cpp - Kernels around the cache ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "gtest/gtest.h"

#include "test/unit/Codegen/KernelCheck.h"

using namespace qwen::testing;

static const char *kElements[] = {"f32", "bf16"};

TEST(Cache, Append) {
  const int64_t batch = 3, sequence = 4, heads = 2, size = 9, width = 21;
  for (std::string element : kElements)
    for (bool inPlace : {false, true}) {
      std::string x = "tensor<?x?x2x21x" + element + ">";
      std::string c = "tensor<3x2x9x21x" + element + ">";
      CheckOptions options;
      // Some tokens are beyond the cache, some before it.
      options.prepare = [](std::vector<Array> &inputs) {
        inputs[1].values = {0, 7, -2};
      };
      options.expected = [&](const std::vector<Array> &inputs) {
        Array cache = inputs[2];
        for (int64_t b = 0; b < batch; ++b)
          for (int64_t t = 0; t < sequence; ++t)
            for (int64_t g = 0; g < heads; ++g)
              for (int64_t d = 0; d < width; ++d) {
                int64_t at = inputs[1].values[b] + t;
                if (at >= 0 && at < size)
                  cache.values[((b * heads + g) * size + at) * width + d] =
                      inputs[0]
                          .values[((b * sequence + t) * heads + g) * width + d];
              }
        return std::vector<Array>{cache};
      };
      checkKernel("kernel.func block @k(%x: " + x +
                      ", %s: tensor<?xi32>, %c: " + c +
                      (inPlace ? " {kernel.inplace = 0 : i64}" : "") + ") -> " +
                      c + " {\n  %r = qwen.kv_append %x, %s into %c : (" + x +
                      ", tensor<?xi32>, " + c + ") -> " + c +
                      "\n  kernel.return %r : " + c + "\n}\n",
                  batch, sequence, options);
    }
}

TEST(Cache, LastToken) {
  const int64_t batch = 4, sequence = 5;
  for (std::string element : kElements)
    for (int64_t width : {3, 300}) {
      std::string n = std::to_string(width);
      std::string x = "tensor<?x?x" + n + "x" + element + ">";
      std::string y = "tensor<?x1x" + n + "x" + element + ">";
      CheckOptions options;
      options.prepare = [](std::vector<Array> &inputs) {
        inputs[1].values = {5, 1, 0, 6};
      };
      options.expected = [&](const std::vector<Array> &inputs) {
        Array last;
        last.element = inputs[0].element;
        for (int64_t b = 0; b < batch; ++b)
          for (int64_t c = 0; c < width; ++c) {
            int64_t t = inputs[1].values[b] - 1;
            bool valid = t >= 0 && t < sequence;
            last.values.push_back(
                valid ? inputs[0].values[(b * sequence + t) * width + c] : 0);
          }
        return std::vector<Array>{last};
      };
      checkKernel("kernel.func block @k(%x: " + x + ", %l: tensor<?xi32>) -> " +
                      y + " {\n  %r = qwen.last_token %x, %l : " + x +
                      ", tensor<?xi32> -> " + y +
                      "\n  kernel.return %r : " + y + "\n}\n",
                  batch, sequence, options);
    }
}

TEST(Cache, Positions) {
  const int64_t batch = 3, sequence = 5;
  for (int kind : {0, 1, 2}) {
    CheckOptions options;
    options.expected = [&](const std::vector<Array> &inputs) {
      Array positions;
      positions.element = Element::I32;
      for (int64_t b = 0; b < batch; ++b)
        for (int64_t t = 0; t < sequence; ++t)
          positions.values.push_back(
              kind == 0   ? t
              : kind == 1 ? t + inputs[0].values[b]
                          : t - inputs[0].values[b * sequence + t]);
      return std::vector<Array>{positions};
    };
    static const char *arguments[] = {"", "%s: tensor<?xi32>",
                                      "%s: tensor<?x?xi32>"};
    static const char *operands[] = {"", "%s : tensor<?xi32>",
                                     "starts %s : tensor<?x?xi32>"};
    std::string argument = arguments[kind], operand = operands[kind];
    checkKernel("kernel.func block @k(" + argument +
                    ") -> tensor<?x?xi32> {\n  %r = qwen.positions " + operand +
                    " -> tensor<?x?xi32>\n  kernel.return %r : "
                    "tensor<?x?xi32>\n}\n",
                batch, sequence, options);
  }
}

TEST(Cache, DocumentStarts) {
  const int64_t batch = 3, sequence = 37;
  CheckOptions options;
  options.lowest = -1;
  options.highest = 1;
  options.expected = [&](const std::vector<Array> &inputs) {
    Array starts;
    starts.element = Element::I32;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t t = 0, start = 0; t < sequence; ++t) {
        const double *ids = &inputs[0].values[b * sequence];
        if (t > 0 && ids[t] != ids[t - 1])
          start = t;
        starts.values.push_back(start);
      }
    return std::vector<Array>{starts};
  };
  const std::string kernel =
      "kernel.func block @k(%d: tensor<?x?xi32>) -> tensor<?x?xi32> {\n"
      "  %r = qwen.document_starts %d : tensor<?x?xi32> -> tensor<?x?xi32>\n"
      "  kernel.return %r : tensor<?x?xi32>\n}\n";
  checkKernel(kernel, batch, sequence, options);

  // Without ids every row is one document.
  for (const TestTarget &target : runnableTargets()) {
    // What stands in for a GPU's memory here copies all operands.
    if (target.isGpu())
      continue;
    auto runner = KernelRunner::create(kernel, target, batch * sequence);
    ASSERT_TRUE(bool(runner)) << llvm::toString(runner.takeError());
    std::vector<int32_t> starts(batch * sequence, -7);
    (*runner)->run(Launch{{nullptr}, {starts.data()}, batch, sequence});
    for (int32_t start : starts)
      ASSERT_EQ(start, 0);
  }
}
