//===- Yaml.cpp - YAML text to a tree -------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The only file that calls yaml-cpp, which throws; nothing leaves this file as
// an exception. The event interface is used, not YAML::Load, so that limits
// hold before anything is built.
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Yaml.h"

#include <map>
#include <sstream>

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

using namespace qwen;

namespace {

// Far above any model file, far below what could hurt.
constexpr unsigned maxNodes = 50000;
constexpr unsigned maxDepth = 64;
constexpr size_t maxTextBytes = 4 << 20; // of all scalars

struct Failure {
  int code;
  YAML::Mark mark;
  std::string message;
};

class TreeBuilder : public YAML::EventHandler {
public:
  std::vector<RawNode> roots;

  void OnDocumentStart(const YAML::Mark &mark) override {
    if (++documents > 1)
      throw Failure{1001, mark, "expected one document, got a second one"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark &mark, YAML::anchor_t anchor) override {
    add(make(RawNode::Null, mark), anchor, mark);
  }
  void OnScalar(const YAML::Mark &mark, const std::string &tag,
                YAML::anchor_t anchor, const std::string &value) override {
    RawNode node = make(RawNode::Scalar, mark);
    node.text = value;
    node.quoted = tag == "!";
    checkTag(tag, mark);
    if (!node.quoted && (value == "~" || value == "null" || value == "Null" ||
                         value == "NULL" || value.empty())) {
      node.kind = RawNode::Null;
      node.wasNullText = value;
    }
    add(std::move(node), anchor, mark);
  }
  void OnAlias(const YAML::Mark &mark, YAML::anchor_t anchor) override {
    auto it = anchors.find(anchor);
    // An alias inside its own anchor would be infinite.
    if (it == anchors.end())
      throw Failure{1009, mark, "an alias refers to a node that contains it"};
    countNodes(it->second.size, it->second.bytes, mark);
    if (stack.size() + it->second.height > maxDepth)
      tooDeep(mark);
    RawNode copy = it->second.node;
    copy.line = mark.line + 1;
    copy.col = mark.column + 1;
    attach(std::move(copy), mark, it->second);
  }
  void OnSequenceStart(const YAML::Mark &mark, const std::string &tag,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(RawNode::List, tag, mark, anchor);
  }
  void OnMapStart(const YAML::Mark &mark, const std::string &tag,
                  YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(RawNode::Map, tag, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

private:
  struct Extent {
    unsigned size = 1; // nodes
    unsigned height = 1;
    size_t bytes = 0; // of scalars
  };
  struct Open : Extent {
    RawNode node;
    YAML::anchor_t anchor = 0;
    YAML::Mark mark;
    bool haveKey = false;
    std::map<std::string, unsigned> keyLines;
  };
  struct Anchored : Extent {
    RawNode node;
  };

  static void tooDeep(const YAML::Mark &mark) {
    throw Failure{1009, mark,
                  "nested deeper than " + std::to_string(maxDepth) + " levels"};
  }

  static void checkTag(const std::string &tag, const YAML::Mark &mark) {
    if (!tag.empty() && tag != "?" && tag != "!")
      throw Failure{1001, mark, "tags are not supported, got '" + tag + "'"};
  }

  static RawNode make(RawNode::Kind kind, const YAML::Mark &mark) {
    RawNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.col = mark.column + 1;
    return node;
  }

  void countNodes(unsigned n, size_t bytes, const YAML::Mark &mark) {
    nodes += n;
    textBytes += bytes;
    if (nodes > maxNodes || textBytes > maxTextBytes)
      throw Failure{1009, mark,
                    "more than " + std::to_string(maxNodes) +
                        " values or too much text (aliases count each time)"};
  }

  void open(RawNode::Kind kind, const std::string &tag, const YAML::Mark &mark,
            YAML::anchor_t anchor) {
    checkTag(tag, mark);
    countNodes(1, 0, mark);
    if (stack.size() >= maxDepth)
      tooDeep(mark);
    stack.emplace_back();
    stack.back().node = make(kind, mark);
    stack.back().anchor = anchor;
    stack.back().mark = mark;
  }

  void close() {
    Open top = std::move(stack.back());
    stack.pop_back();
    if (top.anchor)
      anchors[top.anchor] = {top, top.node};
    attach(std::move(top.node), top.mark, top);
  }

  void add(RawNode node, YAML::anchor_t anchor, const YAML::Mark &mark) {
    Extent extent;
    extent.bytes = node.text.size();
    countNodes(1, extent.bytes, mark);
    if (anchor)
      anchors[anchor] = {extent, node};
    attach(std::move(node), mark, extent);
  }

  void attach(RawNode node, const YAML::Mark &mark, const Extent &extent) {
    if (stack.empty()) {
      roots.push_back(std::move(node));
      return;
    }
    Open &parent = stack.back();
    parent.size += extent.size;
    parent.bytes += extent.bytes;
    parent.height = std::max(parent.height, extent.height + 1);
    if (parent.node.kind == RawNode::List) {
      parent.node.children.push_back(std::move(node));
      return;
    }
    if (parent.haveKey) {
      parent.node.children.push_back(std::move(node));
      parent.haveKey = false;
      return;
    }
    if (node.kind == RawNode::Null && !node.wasNullText.empty())
      node.text = node.wasNullText; // `null: 1` is the key "null"
    else if (node.kind != RawNode::Scalar)
      throw Failure{1001, mark, "expected a plain key"};
    RawNode::Key key{node.text, node.line, node.col};
    auto [it, isNew] = parent.keyLines.emplace(key.name, key.line);
    if (!isNew)
      throw Failure{1002, mark,
                    "duplicate key '" + key.name + "', first at line " +
                        std::to_string(it->second)};
    parent.node.keys.push_back(std::move(key));
    parent.haveKey = true;
  }

  std::vector<Open> stack;
  std::map<YAML::anchor_t, Anchored> anchors;
  unsigned documents = 0;
  unsigned nodes = 0;
  size_t textBytes = 0;
};

} // namespace

std::optional<RawError> qwen::parseRawYaml(const std::string &text,
                                           RawNode &root) {
  auto fail = [](int code, const YAML::Mark &mark, std::string message) {
    RawError error{code, 0, 0, std::move(message)};
    if (!mark.is_null()) {
      error.line = mark.line + 1;
      error.col = mark.column + 1;
    }
    return error;
  };
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    TreeBuilder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    if (builder.roots.empty())
      return RawError{1001, 1, 1, "the file is empty"};
    root = std::move(builder.roots.front());
    return std::nullopt;
  } catch (const Failure &failure) {
    return fail(failure.code, failure.mark, failure.message);
  } catch (const YAML::DeepRecursion &e) {
    return fail(1009, e.mark,
                "nested deeper than " + std::to_string(maxDepth) + " levels");
  } catch (const YAML::Exception &e) {
    return fail(1001, e.mark, e.msg);
  } catch (const std::exception &e) {
    return fail(1001, YAML::Mark::null_mark(), e.what());
  }
}
