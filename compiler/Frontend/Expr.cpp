//===- Expr.cpp - Arithmetic of model files -------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Expr.h"

#include <cmath>
#include <numeric>

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace qwen;

namespace {

using Wide = __int128;

class Parser {
public:
  Parser(llvm::StringRef text, const SourceLoc &loc,
         const NameResolver &resolve)
      : text(text), start(loc), resolve(resolve) {}

  llvm::Expected<Number> run() {
    if (text.size() > 1000)
      return fail(0, "an expression is longer than 1000 characters");
    llvm::Expected<Number> value = parseSum();
    if (!value)
      return value;
    skipSpace();
    if (pos != text.size())
      return fail(pos, "expected an operator, got '" +
                           text.substr(pos).take_front(20) + "'");
    return value;
  }

private:
  llvm::Error fail(size_t at, const llvm::Twine &message) {
    SourceLoc loc = start;
    if (loc.line)
      loc.col += at;
    return makeSpecError(1006, loc, message);
  }

  void skipSpace() {
    while (pos < text.size() && (text[pos] == ' ' || text[pos] == '\t'))
      ++pos;
  }

  bool consume(char c) {
    skipSpace();
    if (pos < text.size() && text[pos] == c) {
      ++pos;
      return true;
    }
    return false;
  }

  llvm::Expected<Number> reduced(Wide num, Wide den, size_t at) {
    if (den < 0) {
      num = -num;
      den = -den;
    }
    Wide a = num < 0 ? -num : num, b = den;
    while (b) {
      Wide t = a % b;
      a = b;
      b = t;
    }
    if (a > 1) {
      num /= a;
      den /= a;
    }
    if (num > INT64_MAX || num < INT64_MIN || den > INT64_MAX)
      return fail(at,
                  "'" + text.take_front(60) + "' overflows 64-bit arithmetic");
    Number result;
    result.num = static_cast<int64_t>(num);
    result.den = static_cast<int64_t>(den);
    result.real =
        static_cast<double>(result.num) / static_cast<double>(result.den);
    return result;
  }

  llvm::Expected<Number> inexact(double value, size_t at) {
    if (!std::isfinite(value))
      return fail(at, "'" + text.take_front(60) + "' is not a finite number");
    return Number{false, 0, 1, value};
  }

  llvm::Expected<Number> apply(char op, const Number &a, const Number &b,
                               size_t at) {
    if (op == '/' && b.real == 0)
      return fail(at, "division by zero in '" + text.take_front(60) + "'");
    if (!a.exact || !b.exact) {
      switch (op) {
      case '+':
        return inexact(a.real + b.real, at);
      case '-':
        return inexact(a.real - b.real, at);
      case '*':
        return inexact(a.real * b.real, at);
      default:
        return inexact(a.real / b.real, at);
      }
    }
    Wide an = a.num, ad = a.den, bn = b.num, bd = b.den;
    switch (op) {
    case '+':
    case '-': {
      // Each product is below 2^126, their sum below 2^127.
      Wide left = an * bd, right = bn * ad;
      return reduced(op == '+' ? left + right : left - right, ad * bd, at);
    }
    case '*':
      return reduced(an * bn, ad * bd, at);
    default:
      return reduced(an * bd, ad * bn, at);
    }
  }

  llvm::Expected<Number> parseSum() {
    llvm::Expected<Number> left = parseProduct();
    while (left) {
      skipSpace();
      size_t at = pos;
      char op = consume('+') ? '+' : consume('-') ? '-' : 0;
      if (!op)
        break;
      llvm::Expected<Number> right = parseProduct();
      if (!right)
        return right;
      left = apply(op, *left, *right, at);
    }
    return left;
  }

  llvm::Expected<Number> parseProduct() {
    llvm::Expected<Number> left = parseUnary();
    while (left) {
      skipSpace();
      size_t at = pos;
      char op = consume('*') ? '*' : consume('/') ? '/' : 0;
      if (!op)
        break;
      llvm::Expected<Number> right = parseUnary();
      if (!right)
        return right;
      left = apply(op, *left, *right, at);
    }
    return left;
  }

  llvm::Expected<Number> parseUnary() {
    // All recursion passes here.
    if (++depth > 64)
      return fail(pos, "an expression is nested deeper than 64 levels");
    llvm::Expected<Number> value = parsePrimary();
    --depth;
    return value;
  }

  llvm::Expected<Number> parsePrimary() {
    skipSpace();
    size_t at = pos;
    if (consume('-')) {
      llvm::Expected<Number> value = parseUnary();
      if (!value)
        return value;
      return apply('-', Number::whole(0), *value, at);
    }
    if (consume('(')) {
      llvm::Expected<Number> value = parseSum();
      if (value && !consume(')'))
        return fail(pos, "expected ')' in '" + text.take_front(60) + "'");
      return value;
    }
    if (pos == text.size())
      return fail(at, "expected a number or a name at the end of '" +
                          text.take_front(60) + "'");
    char c = text[pos];
    if (llvm::isDigit(c) || c == '.')
      return parseNumber();
    if (llvm::isAlpha(c) || c == '_')
      return parseName();
    return fail(at, "expected a number or a name, got '" +
                        text.substr(pos).take_front(20) + "'");
  }

  llvm::Expected<Number> parseNumber() {
    size_t at = pos;
    Wide digits = 0;
    int scale = 0;
    bool exact = true, point = false, any = false;
    for (; pos < text.size(); ++pos) {
      char c = text[pos];
      if (c == '_')
        continue;
      if (c == '.' && !point) {
        point = true;
        continue;
      }
      if (!llvm::isDigit(c))
        break;
      any = true;
      if (digits > INT64_MAX / 10)
        exact = false;
      else {
        digits = digits * 10 + (c - '0');
        scale -= point;
      }
    }
    bool exponent = false;
    if (pos < text.size() && (text[pos] == 'e' || text[pos] == 'E')) {
      size_t p = pos + 1;
      bool negative = p < text.size() && text[p] == '-';
      if (p < text.size() && (text[p] == '-' || text[p] == '+'))
        ++p;
      int value = 0;
      size_t first = p;
      for (; p < text.size() && llvm::isDigit(text[p]); ++p)
        value = std::min(value * 10 + (text[p] - '0'), 10000);
      if (p > first) {
        exponent = true;
        scale += negative ? -value : value;
        pos = p;
      }
    }
    std::string literal = text.slice(at, pos).str();
    llvm::erase(literal, '_');
    double real;
    if (!any || !llvm::to_float(literal, real))
      return fail(at, "'" + literal + "' is not a number");
    if (!exact && !point && !exponent)
      return fail(at, "'" + literal + "' overflows 64-bit arithmetic");
    if (exact && scale >= -18 && scale <= 18) {
      Wide num = digits, den = 1;
      for (; scale > 0; --scale)
        num *= 10;
      for (; scale < 0; ++scale)
        den *= 10;
      if (num <= INT64_MAX) {
        llvm::Expected<Number> value = reduced(num, den, at);
        if (value)
          value->real = real;
        return value;
      }
    }
    return inexact(real, at);
  }

  llvm::Expected<Number> parseName() {
    size_t at = pos;
    while (pos < text.size() && (llvm::isAlnum(text[pos]) || text[pos] == '_'))
      ++pos;
    llvm::StringRef name = text.slice(at, pos);
    skipSpace();
    if (pos < text.size() && text[pos] == '(')
      return parseCall(name, at);
    SourceLoc loc = start;
    if (loc.line)
      loc.col += at;
    return resolve(name, loc);
  }

  llvm::Expected<Number> parseCall(llvm::StringRef name, size_t at) {
    bool variadic = name == "min" || name == "max";
    if (!variadic && name != "floor" && name != "ceil" && name != "sqrt")
      return fail(at, "unknown function '" + name +
                          "', known are ceil, floor, max, min, sqrt");
    consume('(');
    std::vector<Number> args;
    do {
      llvm::Expected<Number> arg = parseSum();
      if (!arg)
        return arg;
      args.push_back(*arg);
    } while (consume(','));
    if (!consume(')'))
      return fail(pos, "expected ')' after the arguments of '" + name + "'");
    if (variadic ? args.size() < 2 : args.size() != 1)
      return fail(at,
                  "'" + name + "' takes " +
                      (variadic ? "two or more arguments" : "one argument") +
                      ", got " + llvm::Twine(args.size()));
    if (variadic) {
      const Number *best = &args[0];
      for (const Number &arg : args)
        if (name == "min" ? less(arg, *best) : less(*best, arg))
          best = &arg;
      return *best;
    }
    const Number &x = args[0];
    if (name == "sqrt")
      return x.real < 0 ? llvm::Expected<Number>(
                              fail(at, "square root of a negative number"))
                        : inexact(std::sqrt(x.real), at);
    bool down = name == "floor";
    if (x.exact) {
      int64_t q = x.num / x.den, r = x.num % x.den;
      if (r && (down ? x.num < 0 : x.num > 0))
        q += down ? -1 : 1;
      return Number::whole(q);
    }
    double rounded = down ? std::floor(x.real) : std::ceil(x.real);
    if (std::fabs(rounded) >= 9007199254740992.0)
      return fail(at,
                  "'" + text.take_front(60) + "' overflows exact arithmetic");
    return Number::whole(static_cast<int64_t>(rounded));
  }

  static bool less(const Number &a, const Number &b) {
    if (a.exact && b.exact)
      return Wide(a.num) * b.den < Wide(b.num) * a.den;
    return a.real < b.real;
  }

  llvm::StringRef text;
  SourceLoc start;
  const NameResolver &resolve;
  size_t pos = 0;
  unsigned depth = 0;
};

} // namespace

llvm::Expected<Number> qwen::evaluate(llvm::StringRef text,
                                      const SourceLoc &loc,
                                      const NameResolver &resolve) {
  return Parser(text, loc, resolve).run();
}
