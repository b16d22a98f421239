//===- Expr.h - Arithmetic of model files -----------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Numbers, names, + - * / ( ), floor, ceil, min, max, sqrt. Exact in 64-bit
// fractions as long as no sqrt and no far exponent occurs: floor(2.7 * 10) is
// 27 on every machine.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FRONTEND_EXPR_H
#define QWEN_COMPILER_FRONTEND_EXPR_H

#include <functional>

#include "compiler/Frontend/Spec.h"

namespace qwen {

/// The value of an expression.
struct Number {
  bool exact = true;
  int64_t num = 0, den = 1; // lowest terms, den > 0; meaningful if exact
  double real = 0;

  bool isWhole() const { return exact && den == 1; }
  static Number whole(int64_t value) {
    return {true, value, 1, static_cast<double>(value)};
  }
};

/// Gives the value of a name, or fails with an error at `loc`.
using NameResolver = std::function<llvm::Expected<Number>(
    llvm::StringRef name, const SourceLoc &loc)>;

/// Evaluates `text`, which begins at `loc`.
llvm::Expected<Number> evaluate(llvm::StringRef text, const SourceLoc &loc,
                                const NameResolver &resolve);

} // namespace qwen

#endif // QWEN_COMPILER_FRONTEND_EXPR_H
