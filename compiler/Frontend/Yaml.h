//===- Yaml.h - YAML text to a plain tree -----------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The border to the file that is compiled with exceptions: standard types only,
// so that it shares no class with code built without RTTI.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FRONTEND_YAML_H
#define QWEN_COMPILER_FRONTEND_YAML_H

#include <optional>
#include <string>
#include <vector>

namespace qwen {

struct RawNode {
  enum Kind { Null, Scalar, List, Map };
  struct Key {
    std::string name;
    unsigned line, col;
  };
  Kind kind = Null;
  unsigned line = 0, col = 0;
  std::string text;
  std::string wasNullText; // how a null was written
  bool quoted = false;
  std::vector<Key> keys; // of a map, beside `children`
  std::vector<RawNode> children;
};

struct RawError {
  int code;
  unsigned line, col;
  std::string message;
};

/// Parses one document into `root`, or says what is wrong.
std::optional<RawError> parseRawYaml(const std::string &text, RawNode &root);

} // namespace qwen

#endif // QWEN_COMPILER_FRONTEND_YAML_H
