//===- Node.cpp - A tree of YAML values with places -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Node.h"

#include "compiler/Frontend/Yaml.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace qwen;

// A model file is a few kilobytes.
static constexpr uint64_t maxFileBytes = 1 << 20;

const Node *Node::find(llvm::StringRef key) const {
  for (const NodeEntry &entry : entries)
    if (entry.key == key)
      return &entry.value;
  return nullptr;
}

Node *Node::find(llvm::StringRef key) {
  return const_cast<Node *>(static_cast<const Node *>(this)->find(key));
}

const Node *Node::findPath(llvm::StringRef path) const {
  const Node *node = this;
  while (node && !path.empty()) {
    auto [head, tail] = path.split('.');
    node = node->find(head);
    path = tail;
  }
  return node;
}

Node &Node::getOrInsert(llvm::StringRef key, const SourceLoc &keyLoc) {
  if (Node *node = find(key))
    return *node;
  entries.push_back({key.str(), keyLoc, Node{}});
  entries.back().value.loc = keyLoc;
  return entries.back().value;
}

void Node::erase(llvm::StringRef key) {
  llvm::erase_if(entries, [&](const NodeEntry &e) { return e.key == key; });
}

Node Node::scalar(std::string text, const SourceLoc &loc) {
  Node node;
  node.kind = Kind::Scalar;
  node.text = std::move(text);
  node.loc = loc;
  return node;
}

Node Node::map(const SourceLoc &loc) {
  Node node;
  node.kind = Kind::Map;
  node.loc = loc;
  return node;
}

std::string Node::describe() const {
  switch (kind) {
  case Kind::Null:
    return "nothing";
  case Kind::List:
    return "a list";
  case Kind::Map:
    return "a map";
  case Kind::Scalar:
    break;
  }
  std::string shown = llvm::StringRef(text).take_front(80).str();
  return "'" + shown + (shown.size() < text.size() ? "...'" : "'");
}

static Node fromRaw(RawNode raw, const std::string &file) {
  Node node;
  node.kind = static_cast<Node::Kind>(raw.kind);
  node.loc = {file, raw.line, raw.col};
  node.text = std::move(raw.text);
  node.quoted = raw.quoted;
  if (raw.kind == RawNode::List)
    for (RawNode &child : raw.children)
      node.items.push_back(fromRaw(std::move(child), file));
  if (raw.kind == RawNode::Map)
    for (size_t i = 0; i < raw.keys.size(); ++i)
      node.entries.push_back({std::move(raw.keys[i].name),
                              {file, raw.keys[i].line, raw.keys[i].col},
                              i < raw.children.size()
                                  ? fromRaw(std::move(raw.children[i]), file)
                                  : Node{}});
  return node;
}

llvm::Expected<Node> qwen::parseYaml(llvm::StringRef text,
                                     llvm::StringRef file) {
  RawNode root;
  if (text.size() > maxFileBytes)
    return makeSpecError(1009, {file.str()},
                         "the file is larger than 1 MiB, got " +
                             llvm::Twine(text.size()) + " bytes");
  if (size_t bad; !llvm::json::isUTF8(text, &bad))
    return makeSpecError(
        1001, {file.str(), unsigned(text.take_front(bad).count('\n')) + 1, 1},
        "not valid UTF-8");
  if (std::optional<RawError> error = parseRawYaml(text.str(), root))
    return makeSpecError(error->code, {file.str(), error->line, error->col},
                         error->message);
  return fromRaw(std::move(root), file.str());
}

llvm::Expected<Node> qwen::parseJson(llvm::StringRef text,
                                     llvm::StringRef file) {
  // LLVM's reader recurses, so nesting is bounded first.
  unsigned depth = 0, line = 1;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '\n')
      ++line;
    if (inString) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        inString = false;
      continue;
    }
    if (c == '"')
      inString = true;
    else if (c == '{' || c == '[')
      ++depth;
    else if ((c == '}' || c == ']') && depth)
      --depth;
    if (depth > 64)
      return makeSpecError(1009, {file.str(), line, 1},
                           "nested deeper than 64 levels");
  }
  llvm::Expected<llvm::json::Value> strict = llvm::json::parse(text);
  if (!strict) {
    // LLVM writes `[line:column, byte=offset]: message`.
    std::string message = llvm::toString(strict.takeError());
    SourceLoc loc{file.str()};
    llvm::StringRef rest(message);
    if (rest.consume_front("[") && !rest.consumeInteger(10, loc.line) &&
        rest.consume_front(":") && !rest.consumeInteger(10, loc.col))
      message = "not valid JSON: " + rest.split("]: ").second.str();
    return makeSpecError(1001, loc, message);
  }
  // JSON is YAML, and the YAML reader knows the places.
  return parseYaml(text, file);
}

llvm::Expected<std::string> qwen::readTextFile(llvm::StringRef path) {
  llvm::sys::fs::file_status status;
  if (std::error_code ec = llvm::sys::fs::status(path, status))
    return makeSpecError(1010, {path.str()},
                         "cannot read the file: " + ec.message());
  if (status.type() != llvm::sys::fs::file_type::regular_file)
    return makeSpecError(1010, {path.str()},
                         "cannot read the file: not a regular file");
  if (status.getSize() > maxFileBytes)
    return makeSpecError(1009, {path.str()},
                         "the file is larger than 1 MiB, got " +
                             llvm::Twine(status.getSize()) + " bytes");
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false,
                                            /*IsVolatile=*/true);
  if (!buffer)
    return makeSpecError(1010, {path.str()},
                         "cannot read the file: " +
                             buffer.getError().message());
  return (*buffer)->getBuffer().str();
}

std::optional<bool> qwen::parseBool(const Node &node) {
  if (!node.isScalar() || node.quoted)
    return std::nullopt;
  if (node.text == "true" || node.text == "True" || node.text == "TRUE")
    return true;
  if (node.text == "false" || node.text == "False" || node.text == "FALSE")
    return false;
  return std::nullopt;
}

llvm::json::Value qwen::nodeToJson(const Node &node) {
  switch (node.kind) {
  case Node::Kind::Null:
    return nullptr;
  case Node::Kind::List: {
    llvm::json::Array array;
    for (const Node &item : node.items)
      array.push_back(nodeToJson(item));
    return array;
  }
  case Node::Kind::Map: {
    llvm::json::Object object;
    for (const NodeEntry &entry : node.entries)
      object[llvm::json::fixUTF8(entry.key)] = nodeToJson(entry.value);
    return object;
  }
  case Node::Kind::Scalar:
    break;
  }
  if (std::optional<bool> flag = parseBool(node))
    return *flag;
  if (!node.quoted) {
    int64_t whole;
    double real;
    llvm::StringRef text(node.text);
    if (llvm::to_integer(text, whole, 10))
      return whole;
    if (!text.empty() &&
        text.find_first_not_of("0123456789.eE+-") == llvm::StringRef::npos &&
        llvm::to_float(text, real))
      return real;
  }
  return llvm::json::fixUTF8(node.text);
}

std::string qwen::suggestNearest(llvm::StringRef word,
                                 llvm::ArrayRef<std::string> candidates) {
  // About a third of the word may differ; a swap of letters counts two.
  unsigned best = (word.size() + 2) / 3 + 1;
  llvm::StringRef nearest;
  for (const std::string &candidate : candidates) {
    unsigned distance = word.edit_distance(candidate, true, best);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  if (nearest.empty())
    return "";
  return (", did you mean '" + nearest + "'?").str();
}
