//===- Node.h - A tree of YAML values with places ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a YAML or JSON text says, before anything is known about its keys.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FRONTEND_NODE_H
#define QWEN_COMPILER_FRONTEND_NODE_H

#include "compiler/Frontend/Spec.h"

namespace qwen {

struct NodeEntry;

/// One value. Maps keep the order of the text.
struct Node {
  enum class Kind { Null, Scalar, List, Map };

  Kind kind = Kind::Null;
  SourceLoc loc;
  std::string text;    // of a scalar
  bool quoted = false; // a scalar in quotes: never a number or a boolean
  std::vector<Node> items;
  std::vector<NodeEntry> entries;

  bool isNull() const { return kind == Kind::Null; }
  bool isScalar() const { return kind == Kind::Scalar; }
  bool isList() const { return kind == Kind::List; }
  bool isMap() const { return kind == Kind::Map; }

  /// The value of `key`, or null.
  const Node *find(llvm::StringRef key) const;
  Node *find(llvm::StringRef key);
  /// The value at a dotted path, or null.
  const Node *findPath(llvm::StringRef path) const;
  /// The value of `key`, created as null at `keyLoc` if it is not there.
  Node &getOrInsert(llvm::StringRef key, const SourceLoc &keyLoc);
  void erase(llvm::StringRef key);

  static Node scalar(std::string text, const SourceLoc &loc);
  static Node map(const SourceLoc &loc);

  /// For messages: `a map`, `a list`, `nothing` or the scalar's text.
  std::string describe() const;
};

struct NodeEntry {
  std::string key;
  SourceLoc loc; // of the key
  Node value;
};

/// Parses one YAML document. Aliases are expanded within a fixed budget of
/// nodes; duplicate keys are an error.
llvm::Expected<Node> parseYaml(llvm::StringRef text, llvm::StringRef file);

/// Parses JSON (strictly) into the same tree.
llvm::Expected<Node> parseJson(llvm::StringRef text, llvm::StringRef file);

/// Reads a file of bounded size.
llvm::Expected<std::string> readTextFile(llvm::StringRef path);

/// A node as JSON: numbers, booleans and null are recognized in plain scalars.
llvm::json::Value nodeToJson(const Node &node);

/// Whether a plain scalar is a YAML boolean, and which.
std::optional<bool> parseBool(const Node &node);

/// `, did you mean 'x'?`, or nothing when no candidate is near.
std::string suggestNearest(llvm::StringRef word,
                           llvm::ArrayRef<std::string> candidates);

} // namespace qwen

#endif // QWEN_COMPILER_FRONTEND_NODE_H
