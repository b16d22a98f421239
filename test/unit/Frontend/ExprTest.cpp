//===- ExprTest.cpp - Arithmetic of model files ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <cmath>

#include "compiler/Frontend/Expr.h"
#include "gtest/gtest.h"

using namespace qwen;

static llvm::Expected<Number> eval(llvm::StringRef text) {
  return evaluate(
      text, {"x.yaml", 1, 1},
      [](llvm::StringRef name, const SourceLoc &loc) -> llvm::Expected<Number> {
        if (name == "hidden")
          return Number::whole(768);
        return makeSpecError(1005, loc, "unknown " + name);
      });
}

static int64_t whole(llvm::StringRef text) {
  llvm::Expected<Number> value = eval(text);
  if (!value) {
    ADD_FAILURE() << llvm::toString(value.takeError());
    return -1;
  }
  EXPECT_TRUE(value->isWhole()) << text.str();
  return value->num;
}

static std::string message(llvm::StringRef text) {
  llvm::Expected<Number> value = eval(text);
  return value ? "no error" : llvm::toString(value.takeError());
}

TEST(Expr, Arithmetic) {
  EXPECT_EQ(whole("1 + 2 * 3"), 7);
  EXPECT_EQ(whole("(1 + 2) * 3"), 9);
  EXPECT_EQ(whole("10 - 3 - 2"), 5);
  EXPECT_EQ(whole("-3 + 5"), 2);
  EXPECT_EQ(whole("64 * 12"), 768);
  EXPECT_EQ(whole("hidden / 128"), 6);
  EXPECT_EQ(whole("1 / 3 * 3"), 1);
  EXPECT_EQ(whole("floor(2.7 * hidden)"), 2073);
  EXPECT_EQ(whole("floor(2.7 * 10)"), 27);
  EXPECT_EQ(whole("floor(-1/2)"), -1);
  EXPECT_EQ(whole("ceil(-1/2)"), 0);
  EXPECT_EQ(whole("ceil(hidden / 500)"), 2);
  EXPECT_EQ(whole("max(1, floor(1/2), 0)"), 1);
  EXPECT_EQ(whole("min(7, 3)"), 3);
  EXPECT_EQ(whole("1e3"), 1000);
  EXPECT_EQ(whole("1_000"), 1000);
  EXPECT_EQ(whole("9223372036854775807"), INT64_MAX);
}

TEST(Expr, Reals) {
  EXPECT_EQ(eval("3.0e-4")->real, 3e-4);
  EXPECT_EQ(eval("1e-8")->real, 1e-8);
  EXPECT_EQ(eval("1e-30")->real, 1e-30);
  EXPECT_DOUBLE_EQ(eval("0.02 / sqrt(2 * 12)")->real, 0.02 / std::sqrt(24.0));
  EXPECT_FALSE(eval("sqrt(4)")->isWhole());
  EXPECT_EQ(whole("floor(sqrt(17))"), 4);
}

TEST(Expr, Errors) {
  EXPECT_EQ(message("9223372036854775807 + 1"),
            "x.yaml:1:21: error: '9223372036854775807 + 1' overflows 64-bit "
            "arithmetic [Q1006]");
  EXPECT_EQ(message("99999999999999999999"),
            "x.yaml:1:1: error: '99999999999999999999' overflows 64-bit "
            "arithmetic [Q1006]");
  EXPECT_EQ(message("1 / (2 - 2)"),
            "x.yaml:1:3: error: division by zero in '1 / (2 - 2)' [Q1006]");
  EXPECT_EQ(message("3 $ 4"),
            "x.yaml:1:3: error: expected an operator, got '$ 4' [Q1006]");
  EXPECT_EQ(message("cos(1)"),
            "x.yaml:1:1: error: unknown function 'cos', known "
            "are ceil, floor, max, min, sqrt [Q1006]");
  EXPECT_EQ(message("max(1)"), "x.yaml:1:1: error: 'max' takes two or more "
                               "arguments, got 1 [Q1006]");
  EXPECT_EQ(message("hidden * hiden"),
            "x.yaml:1:10: error: unknown hiden [Q1005]");
  EXPECT_EQ(message("2 *"), "x.yaml:1:4: error: expected a number or a name at "
                            "the end of '2 *' [Q1006]");
  EXPECT_EQ(message("(1"), "x.yaml:1:3: error: expected ')' in '(1' [Q1006]");
  EXPECT_EQ(message("1e400"),
            "x.yaml:1:1: error: '1e400' is not a finite number [Q1006]");
}

TEST(Expr, HostileInputEnds) {
  EXPECT_NE(message(std::string(900, '(')), "no error");
  EXPECT_NE(message(std::string(900, '-') + "1"), "no error");
  EXPECT_NE(message(std::string(100000, '1')), "no error");
  EXPECT_NE(message(""), "no error");
  EXPECT_NE(message("."), "no error");
  EXPECT_NE(message("1e"), "no error");
}
