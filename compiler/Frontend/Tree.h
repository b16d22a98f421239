//===- Tree.h - Merging of model files --------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Private to the front end: `extends` and overrides.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FRONTEND_TREE_H
#define QWEN_COMPILER_FRONTEND_TREE_H

#include <set>

#include "compiler/Frontend/Node.h"

namespace qwen {

/// Reads a file and everything it extends into one tree, without `extends`.
/// Every model extends families/defaults.yaml in the end.
llvm::Expected<Node> loadTree(llvm::StringRef path);

/// The same for a text that is not a file.
llvm::Expected<Node> loadTreeFromString(llvm::StringRef text,
                                        llvm::StringRef file);

/// The same for a built-in preset, as `families/llama.yaml`.
llvm::Expected<Node> loadPresetTree(llvm::StringRef name);

/// Lays `overlay` over `base`: maps merge, all else replaces; null removes.
void mergeTree(Node &base, Node overlay);

/// Sets a dotted path to a value.
llvm::Error setPath(Node &root, llvm::StringRef path, Node value);

/// Applies `key=value`, the value read as YAML.
llvm::Error applyOverride(Node &root, llvm::StringRef text);

/// Reads a config.json and returns its family's tree with the dims and settings
/// of the config. `mentioned` gets the names in the family's values. Of the
/// overrides, those of the section `hf` count here.
llvm::Expected<Node> loadHfTree(llvm::StringRef configPath,
                                const LoadOptions &options,
                                std::set<std::string> &mentioned);

/// The names in all values of a tree.
void collectNames(const Node &node, std::set<std::string> &names);

} // namespace qwen

#endif // QWEN_COMPILER_FRONTEND_TREE_H
