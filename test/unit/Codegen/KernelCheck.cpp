//===- KernelCheck.cpp - Holds kernels against the oracle -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/Codegen/KernelCheck.h"

#include <cmath>
#include <cstring>
#include <random>

#include "gtest/gtest.h"

using namespace qwen;
using namespace qwen::testing;

namespace {
/// An array in memory between guards, at an address that is no multiple of more
/// than its element's size.
struct Guarded {
  static constexpr size_t kGuard = 100;
  static constexpr char kPattern = 0x5a;
  std::vector<char> memory;

  explicit Guarded(const Array &array) {
    std::vector<char> bytes = array.pack();
    memory.assign(kGuard, kPattern);
    memory.insert(memory.end(), bytes.begin(), bytes.end());
    memory.insert(memory.end(), kGuard, kPattern);
  }
  char *data() { return memory.data() + kGuard; }
  bool isIntact() const {
    for (size_t i = 0; i < kGuard; ++i)
      if (memory[i] != kPattern || memory[memory.size() - 1 - i] != kPattern)
        return false;
    return true;
  }
};
} // namespace

static std::vector<Array> makeInputs(const Signature &signature,
                                     const CheckOptions &options) {
  std::vector<Array> inputs = signature.arguments;
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(0, options.scale);
  std::uniform_int_distribution<int64_t> integers(options.lowest,
                                                  options.highest);
  for (Array &array : inputs) {
    for (double &value : array.values)
      value = array.element == Element::I32 ? integers(generator)
                                            : normal(generator);
    // To what is in memory.
    array.unpack(array.pack().data());
  }
  if (options.prepare)
    options.prepare(inputs);
  return inputs;
}

static void compare(const Array &actual, const Array &expected,
                    const CheckOptions &options, const std::string &what) {
  double largest = 1e-30;
  for (double value : expected.values)
    if (std::isfinite(value))
      largest = std::max(largest, std::fabs(value));
  for (int64_t i = 0; i < expected.size(); ++i) {
    double x = actual.values[i], y = expected.values[i];
    if (std::isnan(y)) {
      ASSERT_TRUE(std::isnan(x)) << what << " at " << i << ": " << x;
      continue;
    }
    if (std::isinf(y) || expected.element == Element::I32) {
      ASSERT_EQ(x, y) << what << " at " << i;
      continue;
    }
    double allowed = options.tolerance * largest;
    if (options.isRelative)
      // And one subnormal number.
      allowed = options.tolerance * std::fabs(y) + 1.5e-45;
    if (expected.element == Element::BF16)
      // One step where the f32 values straddle a tie.
      allowed =
          std::max(allowed, std::fabs(y) * 2 * options.bf16Tolerance / 128);
    ASSERT_NEAR(x, y, allowed) << what << " at " << i;
  }
}

void qwen::testing::checkKernel(const std::string &text, int64_t batch,
                                int64_t sequence, const CheckOptions &options) {
  bool isBlock = static_cast<bool>(options.expected);
  std::string kernel = isBlock ? text : decomposeKernel(text);
  ASSERT_FALSE(kernel.empty()) << text;
  Signature signature = signatureOf(kernel, batch, sequence);
  std::vector<Array> inputs = makeInputs(signature, options);
  std::vector<Array> expected =
      isBlock ? options.expected(inputs)
              : runOracle(kernel, inputs, batch * sequence);

  for (const TestTarget &target : runnableTargets()) {
    std::string what = "level " + target.name();
    // Room for more rows than there are.
    auto runner = KernelRunner::create(kernel, target, 2 * batch * sequence);
    if (!runner && target.isGpu() && !options.gpuRefusal.empty()) {
      std::string error = llvm::toString(runner.takeError());
      ASSERT_NE(error.find(options.gpuRefusal), std::string::npos) << error;
      continue;
    }
    ASSERT_TRUE(bool(runner)) << llvm::toString(runner.takeError()) << kernel;
    std::vector<std::vector<char>> first;
    // The task's own grain, then single units backwards, then threes.
    for (auto [chunk, reversed] :
         {std::pair<int64_t, bool>{0, false}, {1, true}, {3, false}}) {
      std::vector<Guarded> arguments, results;
      for (const Array &input : inputs)
        arguments.emplace_back(input);
      for (size_t r = 0; r < signature.results.size(); ++r)
        results.emplace_back(signature.results[r]);
      Launch launch;
      launch.batch = batch;
      launch.sequence = sequence;
      for (Guarded &argument : arguments)
        launch.arguments.push_back(argument.data());
      for (size_t r = 0; r < results.size(); ++r) {
        int shared = signature.inplace[r];
        launch.results.push_back(shared >= 0 ? arguments[shared].data()
                                             : results[r].data());
      }
      (*runner)->run(launch, chunk, reversed);
      for (const auto *list : {&arguments, &results})
        for (const Guarded &guarded : *list)
          ASSERT_TRUE(guarded.isIntact()) << what;
      for (size_t r = 0; r < results.size(); ++r) {
        Array actual = signature.results[r];
        actual.unpack(static_cast<char *>(launch.results[r]));
        std::vector<char> bytes = actual.pack();
        if (first.size() == r) {
          compare(actual, expected[r], options,
                  what + ", result " + std::to_string(r));
          first.push_back(bytes);
        } else {
          ASSERT_EQ(first[r], bytes) << what << ": bits depend on the chunks";
        }
      }
    }
  }
}
