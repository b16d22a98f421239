//===- Error.h - Errors and results of the runtime --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The runtime's counterpart of std::expected: a function that can fail returns
// Expected<T> or Status; no exception crosses a public function.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_ERROR_H
#define QWEN_RUNTIME_CORE_ERROR_H

#include <cassert>
#include <string>
#include <utility>
#include <variant>

#include <fmt/format.h>

namespace qrt {

/// An error shown to the user: one line (further lines only to list things),
/// lower case, no final period, the offending value in it. `code` is a stable
/// `Qnnnn` with a page in docs/errors; `where` is `file[:line[:col]]` or empty.
struct Error {
  int code = 0;
  std::string message;
  std::string where;

  /// `where: error: message [Qnnnn]`.
  std::string str() const {
    std::string out = where.empty() ? "error: " : where + ": error: ";
    out += message;
    if (code)
      out += fmt::format(" [Q{:04d}]", code);
    return out;
  }
};

/// makeError(3001, "file.safetensors", "tensor {} is missing", name)
template <typename... Args>
Error makeError(int code, std::string where, fmt::format_string<Args...> format,
                Args &&...args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...),
               std::move(where)};
}

/// A value or an Error. Test with `if (!result)`, then `result.error()`.
template <typename T> class [[nodiscard]] Expected {
public:
  Expected(T value) : storage(std::in_place_index<0>, std::move(value)) {}
  Expected(Error error) : storage(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return storage.index() == 0; }
  T &operator*() { return std::get<0>(storage); }
  const T &operator*() const { return std::get<0>(storage); }
  T *operator->() { return &std::get<0>(storage); }
  const T *operator->() const { return &std::get<0>(storage); }
  Error &error() { return std::get<1>(storage); }
  const Error &error() const { return std::get<1>(storage); }

private:
  std::variant<T, Error> storage;
};

/// Success or an Error.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Error error) : failed(true), err(std::move(error)) {}
  static Status success() { return {}; }

  explicit operator bool() const { return !failed; }
  Error &error() { return err; }
  const Error &error() const { return err; }

private:
  bool failed = false;
  Error err;
};

/// Leaves the current function with the error of `status`, if it has one.
#define QRT_RETURN_IF_ERROR(expr)                                              \
  do {                                                                         \
    if (auto qrtStatus = (expr); !qrtStatus)                                   \
      return std::move(qrtStatus.error());                                     \
  } while (false)

/// QRT_ASSIGN_OR_RETURN(auto x, f()): unwraps or leaves with the error.
#define QRT_CONCAT_IMPL(a, b) a##b
#define QRT_CONCAT(a, b) QRT_CONCAT_IMPL(a, b)
#define QRT_ASSIGN_OR_RETURN(lhs, expr)                                        \
  auto QRT_CONCAT(qrtResult, __LINE__) = (expr);                               \
  if (!QRT_CONCAT(qrtResult, __LINE__))                                        \
    return std::move(QRT_CONCAT(qrtResult, __LINE__).error());                 \
  lhs = std::move(*QRT_CONCAT(qrtResult, __LINE__))

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_ERROR_H
