//===- JsonReader.h - Typed access to a JSON document -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_JSONREADER_H
#define QWEN_RUNTIME_CORE_JSONREADER_H

#include "runtime/core/DType.h"

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace qrt {

/// A value with its path in the document. The first error of a whole document
/// is kept in `error`; after it every getter returns a harmless value,
/// so callers need not check each step.
class JsonReader {
public:
  JsonReader(const nlohmann::json &value, std::string path, std::string &error)
      : value(value), path(std::move(path)), error(error) {}

  JsonReader at(const char *key) const {
    static const nlohmann::json null;
    if (!value.is_object())
      fail("is not an object");
    else if (auto it = value.find(key); it != value.end())
      return JsonReader(*it, path.empty() ? key : path + "." + key, error);
    else
      fail(fmt::format("has no key '{}'", key));
    return JsonReader(null, path + "." + key, error);
  }
  JsonReader at(size_t i) const {
    return JsonReader(value[i], fmt::format("{}[{}]", path, i), error);
  }
  bool has(const char *key) const {
    if (!value.is_object())
      return false;
    auto it = value.find(key);
    return it != value.end() && !it->is_null();
  }
  bool isNull() const { return value.is_null(); }
  const nlohmann::json &raw() const { return value; }

  std::string str() const {
    if (value.is_string())
      return value.get<std::string>();
    fail("is not a string");
    return "";
  }
  int64_t integer(int64_t low, int64_t high) const {
    if (value.is_number_integer() &&
        !(value.is_number_unsigned() &&
          value.get<uint64_t>() >
              uint64_t(std::numeric_limits<int64_t>::max()))) {
      int64_t result = value.get<int64_t>();
      if (result >= low && result <= high)
        return result;
      fail(fmt::format("is {}, not in {}..{}", result, low, high));
    } else {
      fail("is not an integer");
    }
    return low;
  }
  uint64_t unsignedInteger() const {
    if (value.is_number_unsigned() ||
        (value.is_number_integer() && value.get<int64_t>() >= 0))
      return value.get<uint64_t>();
    fail("is not an unsigned integer");
    return 0;
  }
  double number() const {
    if (value.is_number()) {
      double result = value.get<double>();
      if (std::isfinite(result))
        return result;
    }
    fail("is not a finite number");
    return 0;
  }
  bool boolean() const {
    if (value.is_boolean())
      return value.get<bool>();
    fail("is not true or false");
    return false;
  }
  /// Number of elements; 0 after an error.
  size_t size(size_t most = 1 << 20) const {
    if (!value.is_array())
      fail("is not a list");
    else if (value.size() > most)
      fail(fmt::format("has {} elements, more than {}", value.size(), most));
    else
      return value.size();
    return 0;
  }
  bool expectObject() const {
    if (value.is_object())
      return true;
    fail("is not an object");
    return false;
  }
  DType dtype() const {
    std::string name = str();
    if (auto type = parseDType(name))
      return *type;
    fail(fmt::format("names an unknown type '{}'", name));
    return DType::F32;
  }
  template <typename T>
  T oneOf(std::initializer_list<std::pair<const char *, T>> choices) const {
    std::string name = str();
    for (auto &[key, result] : choices)
      if (name == key)
        return result;
    fail(fmt::format("is '{}', which is not known", name));
    return choices.begin()->second;
  }
  void fail(const std::string &what) const {
    if (error.empty())
      error =
          fmt::format("'{}' {}", path.empty() ? "the document" : path, what);
  }

private:
  const nlohmann::json &value;
  std::string path;
  std::string &error;
};

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_JSONREADER_H
