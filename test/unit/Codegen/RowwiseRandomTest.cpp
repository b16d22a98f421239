//===- RowwiseRandomTest.cpp - Random row-wise kernels --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <random>

#include "gtest/gtest.h"

#include "test/unit/Codegen/KernelCheck.h"

using namespace qwen::testing;

namespace {
/// Writes a kernel of random elementary ops on rows of several widths.
class RandomKernel {
public:
  explicit RandomKernel(unsigned seed) : generator(seed) {
    if (draw(2))
      rows += "x" + std::to_string(1 + draw(4));
    widths = {1 + draw(40), 1 + draw(40), 16 * (1 + draw(8))};
  }

  std::string text() {
    for (int i = 0; i < 4; ++i)
      argument(width(), draw(2));
    for (int i = 0; i < 2; ++i)
      vectors.push_back(plain(std::to_string(width())));
    perRow.push_back(plain(rows));
    scalars.push_back(plain(""));
    for (int i = 0; i < 14; ++i)
      step();
    std::string types, names;
    auto result = [&](const Number &value) {
      types += (types.empty() ? "" : ", ") + value.type;
      names += (names.empty() ? "" : ", ") + value.name;
    };
    result(full.back());
    if (draw(2))
      result(full[full.size() - 2]);
    if (draw(2))
      result(perRow.back());
    return "kernel.func rowwise @k(" + arguments + ") -> (" + types + ") {\n" +
           body + "  kernel.return " + names + " : " + types + "\n}\n";
  }

private:
  struct Number {
    std::string name, type;
    int64_t width = 0;
  };

  int64_t draw(int64_t below) { return generator() % below; }
  int64_t width() { return widths[draw(widths.size())]; }
  std::string fullType(int64_t width, const char *element = "f32") {
    return "tensor<" + rows + "x" + std::to_string(width) + "x" + element + ">";
  }
  /// An argument with the rows, widened if it is bf16.
  void argument(int64_t width, bool bf16) {
    std::string type = fullType(width, bf16 ? "bf16" : "f32");
    std::string name = addArgument(type);
    if (!bf16) {
      full.push_back({name, type, width});
      return;
    }
    full.push_back(
        emit("arith.extf " + name + " : " + type + " to " + fullType(width),
             fullType(width), width));
  }
  std::string addArgument(const std::string &type) {
    std::string name = "%a" + std::to_string(count++);
    arguments += (arguments.empty() ? "" : ", ") + name + ": " + type;
    return name;
  }
  Number plain(const std::string &sizes) {
    std::string type = "tensor<" + sizes + (sizes.empty() ? "" : "x") + "f32>";
    bool isVector = !sizes.empty() && sizes[0] != '?';
    return {addArgument(type), type, isVector ? std::stoll(sizes) : 0};
  }
  Number emit(const std::string &op, const std::string &type,
              int64_t width = 0) {
    Number value{"%v" + std::to_string(count++), type, width};
    body += "  " + value.name + " = " + op + "\n";
    return value;
  }
  const Number &any(const std::vector<Number> &from) {
    return from[draw(from.size())];
  }
  /// Some value of the width of `like`, or a broadcast to it.
  Number partner(const Number &like) {
    int64_t rank = rows == "?" ? 2 : 3;
    std::string last = std::to_string(rank - 1);
    auto broadcast = [&](const Number &value, const std::string &dims) {
      return emit("kernel.broadcast " + value.name + " dims [" + dims +
                      "] : " + value.type + " -> " + like.type,
                  like.type, like.width);
    };
    switch (draw(4)) {
    case 0:
      return broadcast(any(perRow), rank == 2 ? "0" : "0, 1");
    case 1:
      for (const Number &vector : vectors)
        if (vector.width == like.width || vector.width == 1)
          return broadcast(vector, last);
      return broadcast(any(scalars), "");
    case 2:
      return broadcast(any(scalars), "");
    default:
      std::vector<Number> same;
      for (const Number &value : full)
        if (value.width == like.width)
          same.push_back(value);
      return any(same);
    }
  }

  void step() {
    const Number x = any(full);
    switch (draw(8)) {
    case 0: { // a range of columns
      int64_t begin = draw(x.width), size = 1 + draw(x.width - begin);
      full.push_back(emit("kernel.slice " + x.name + " from " +
                              std::to_string(begin) + " : " + x.type + " -> " +
                              fullType(size),
                          fullType(size), size));
      return;
    }
    case 1: { // two ranges of columns
      const Number y = any(full);
      int64_t size = x.width + y.width;
      if (size > 300)
        return;
      full.push_back(emit("kernel.concat " + x.name + ", " + y.name + " : " +
                              x.type + ", " + y.type + " -> " + fullType(size),
                          fullType(size), size));
      return;
    }
    case 2: { // a mean or the largest
      std::string type = "tensor<" + rows + "xf32>";
      std::string dims = rows == "?" ? "[1]" : "[2]";
      std::string kind = draw(2) ? "add " : "max ";
      Number total = emit("kernel.reduce " + kind + x.name + " dims " + dims +
                              " : " + x.type + " -> " + type,
                          type);
      perRow.push_back(emit("math.tanh " + total.name + " : " + type, type));
      return;
    }
    case 3: {
      const Number y = partner(x);
      Number larger = emit(
          "arith.cmpf ogt, " + x.name + ", " + y.name + " : " + x.type, "");
      std::string mask = x.type.substr(0, x.type.size() - 4) + "i1>";
      full.push_back(emit("arith.select " + larger.name + ", " + y.name + ", " +
                              x.name + " : " + mask + ", " + x.type,
                          x.type, x.width));
      return;
    }
    default: {
      const char *ops[] = {"addf", "subf", "mulf", "maximumf"};
      const Number y = partner(x);
      full.push_back(emit("arith." + std::string(ops[draw(4)]) + " " + x.name +
                              ", " + y.name + " : " + x.type,
                          x.type, x.width));
    }
    }
  }

  std::mt19937 generator;
  std::string rows = "?", arguments, body;
  std::vector<int64_t> widths;
  std::vector<Number> full, vectors, perRow, scalars;
  int count = 0;
};
} // namespace

TEST(RowwiseRandom, AgainstTheOracle) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    CheckOptions options;
    options.scale = 0.5;
    options.tolerance = 2e-5;
    // Such a thread would need more registers than it has.
    options.gpuRefusal = "too wide for a row-wise kernel of a GPU";
    std::string text = RandomKernel(seed).text();
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + text);
    checkKernel(text, 1, 5, options);
    if (::testing::Test::HasFailure())
      return;
  }
}
