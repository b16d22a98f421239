//===- Json.h - JSON from files that are not trusted ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_JSON_H
#define QWEN_RUNTIME_CORE_JSON_H

#include "runtime/core/Error.h"

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace qrt {

/// Parses strict JSON (RFC 8259): no comments, no byte order mark, nothing
/// behind the value, valid UTF-8, no key twice in an object, no more than
/// `maxDepth` nested arrays and objects, finite numbers. The error (Q3005) is
/// at `where:line:col`.
Expected<nlohmann::json> parseJson(std::string_view text,
                                   const std::string &where,
                                   size_t maxDepth = 64);

/// Reads and parses a file of at most `maxBytes` bytes. Errors: Q3001, Q3005.
Expected<nlohmann::json> readJsonFile(const std::string &path,
                                      uint64_t maxBytes = uint64_t(64) << 20,
                                      size_t maxDepth = 64);

/// Receives the events of parseJsonEvents in the order of the text. A function
/// returns an empty string to go on or a message (without place) to stop.
/// Containers are announced by their brackets; a key precedes its value.
class JsonHandler {
public:
  virtual ~JsonHandler() = default;
  virtual std::string null() = 0;
  virtual std::string boolean(bool value) = 0;
  virtual std::string integer(int64_t value) = 0;
  /// An integer that is not negative.
  virtual std::string natural(uint64_t value) = 0;
  virtual std::string real(double value) = 0;
  virtual std::string string(std::string &value) = 0;
  virtual std::string key(std::string &value) = 0;
  virtual std::string beginObject() = 0;
  virtual std::string endObject() = 0;
  virtual std::string beginArray() = 0;
  virtual std::string endArray() = 0;
};

/// As parseJson, but builds no tree: for documents of many megabytes whose
/// tree would be many times larger. Messages of the handler get `code`.
Status parseJsonEvents(std::string_view text, const std::string &where,
                       size_t maxDepth, int code, JsonHandler &handler);

/// The JSON text of a value on one line or with `indent` spaces a level. Bytes
/// that are not UTF-8 become U+FFFD, so that writing never fails.
std::string jsonText(const nlohmann::json &value, int indent = -1);

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_JSON_H
