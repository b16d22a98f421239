//===- Tree.cpp - Merging of model files ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Tree.h"

#include "compiler/Frontend/Presets.h"
#include "compiler/Frontend/Resolver.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace qwen;

static const char *const defaultsName = "families/defaults.yaml";

//===----------------------------------------------------------------------===//
// Merging
//===----------------------------------------------------------------------===//

/// Maps that are one value: merging `{type: yarn}` into `{type: llama3}` would
/// mix their keys.
static bool isAtomic(llvm::StringRef path) {
  llvm::StringRef last = path.rsplit('.').second;
  if (path == "rope.scaling" || path == "parallel.mesh")
    return true;
  bool inParam =
      path.starts_with("params.") || path.starts_with("block.params.");
  return inParam && (last == "init" || last == "hf" || last == "gguf" ||
                     last == "original" || last == "tied");
}

/// At most one horizon: a later one replaces an earlier one.
static void dropOtherHorizons(Node &base, const Node &overlay) {
  static const char *const horizons[] = {"steps", "tokens", "flops",
                                         "tokens_per_parameter"};
  bool any = llvm::any_of(horizons, [&](const char *h) {
    const Node *node = overlay.find(h);
    return node && !node->isNull();
  });
  if (any)
    for (const char *horizon : horizons)
      base.erase(horizon);
}

static void mergeAt(Node &base, Node overlay, const std::string &path) {
  if (!base.isMap() || !overlay.isMap() || isAtomic(path)) {
    base = std::move(overlay);
    return;
  }
  if (path == "train.schedule")
    dropOtherHorizons(base, overlay);
  base.loc = overlay.loc; // where something absent is missed
  for (NodeEntry &entry : overlay.entries) {
    if (entry.value.isNull()) {
      base.erase(entry.key);
      continue;
    }
    bool isNew = !base.find(entry.key);
    Node &target = base.getOrInsert(entry.key, entry.loc);
    if (isNew)
      target = std::move(entry.value);
    else
      mergeAt(target, std::move(entry.value),
              path.empty() ? entry.key : path + "." + entry.key);
  }
}

void qwen::mergeTree(Node &base, Node overlay) {
  mergeAt(base, std::move(overlay), "");
}

llvm::Error qwen::setPath(Node &root, llvm::StringRef path, Node value) {
  Node *node = &root;
  std::string done;
  SourceLoc loc = value.loc;
  while (true) {
    auto [head, tail] = path.split('.');
    if (head.empty())
      return makeSpecError(1011, loc, "a key has an empty part");
    if (!node->isMap()) {
      if (!node->isNull())
        return makeSpecError(1011, loc,
                             "'" + done + "' is not a map but " +
                                 node->describe() + ", set it as a whole");
      *node = Node::map(loc);
    }
    // Free-form maps have no schema that would catch a misspelling.
    bool known = node->find(head);
    if (!known &&
        (done == "dims" || done == "options" || done == "params" ||
         done == "block.params") &&
        !(done == "dims" && llvm::is_contained(standardDims(), head))) {
      std::vector<std::string> names;
      for (const NodeEntry &entry : node->entries)
        names.push_back(entry.key);
      if (done == "dims")
        for (llvm::StringRef name : standardDims())
          names.push_back(name.str());
      return makeSpecError(1003, loc,
                           "unknown key '" + done + "." + head.str() + "'" +
                               suggestNearest(head, names));
    }
    if (done == "train.schedule") {
      Node overlay = Node::map(loc);
      overlay.getOrInsert(head, loc) = value;
      dropOtherHorizons(*node, overlay);
    }
    if (tail.empty() && value.isNull()) {
      node->erase(head);
      return llvm::Error::success();
    }
    node = &node->getOrInsert(head, loc);
    done += (done.empty() ? "" : ".") + head.str();
    if (tail.empty())
      break;
    path = tail;
  }
  mergeAt(*node, std::move(value), done);
  return llvm::Error::success();
}

static void relocate(Node &node, const SourceLoc &loc) {
  node.loc = loc;
  for (Node &item : node.items)
    relocate(item, loc);
  for (NodeEntry &entry : node.entries) {
    entry.loc = loc;
    relocate(entry.value, loc);
  }
}

llvm::Error qwen::applyOverride(Node &root, llvm::StringRef text) {
  SourceLoc loc{("--set " + text.take_front(200)).str()};
  auto [key, value] = text.split('=');
  key = key.trim();
  if (key.empty() || !text.contains('='))
    return makeSpecError(1011, loc, "expected key=value, got '" + text + "'");
  Node node;
  if (!value.trim().empty()) {
    llvm::Expected<Node> parsed = parseYaml(value, loc.file);
    if (!parsed)
      return llvm::handleErrors(parsed.takeError(), [&](SpecError &e) {
        return makeSpecError(e.code, loc, e.message);
      });
    node = std::move(*parsed);
  }
  relocate(node, loc);
  if (key == "extends")
    return makeSpecError(1011, loc, "'extends' cannot be overridden");
  return setPath(root, key, std::move(node));
}

//===----------------------------------------------------------------------===//
// extends
//===----------------------------------------------------------------------===//

static const Preset *findPreset(llvm::StringRef name) {
  for (const std::string &candidate :
       {name.str(), name.str() + ".yaml", "families/" + name.str(),
        "families/" + name.str() + ".yaml"})
    for (const Preset &preset : builtinPresets())
      if (candidate == preset.name)
        return &preset;
  return nullptr;
}

namespace {

/// A place that text comes from.
struct Origin {
  std::string id;   // unique, to find cycles
  std::string file; // as messages show it
  bool onDisk = false;
};

class Loader {
public:
  llvm::Expected<Node> load(llvm::StringRef text, const Origin &origin) {
    if (llvm::is_contained(chain, origin.id)) {
      std::vector<std::string> names;
      for (const std::string &id : chain)
        names.push_back(llvm::sys::path::filename(id).str());
      return makeSpecError(
          1008, extendsLoc,
          "'extends' goes in a circle: " + llvm::join(names, " -> ") + " -> " +
              llvm::sys::path::filename(origin.id));
    }
    chain.push_back(origin.id);
    if (chain.size() > 16)
      return makeSpecError(1009, extendsLoc,
                           "'extends' goes over more than 16 files");
    llvm::Expected<Node> tree = parseYaml(text, origin.file);
    if (!tree)
      return tree;
    if (!tree->isMap())
      return makeSpecError(1004, tree->loc,
                           "expected a map of keys, got " + tree->describe());
    const Node *extends = tree->find("extends");
    if (!extends) {
      llvm::StringRef name(defaultsName);
      if (origin.id == name)
        return tree;
      return over(findPreset(name)->text, {name.str(), name.str()},
                  std::move(*tree));
    }
    if (!extends->isScalar() || extends->text.empty())
      return makeSpecError(1004, extends->loc,
                           "expected the name of a preset for 'extends', got " +
                               extends->describe());
    extendsLoc = extends->loc;
    std::string target = extends->text;
    Node overlay = std::move(*tree);
    overlay.erase("extends");
    if (origin.onDisk)
      for (const std::string &name : {target, target + ".yaml"}) {
        llvm::SmallString<256> path(name);
        if (!llvm::sys::path::is_absolute(name)) {
          path = llvm::sys::path::parent_path(origin.file);
          llvm::sys::path::append(path, name);
        }
        if (!llvm::sys::fs::is_regular_file(path))
          continue;
        llvm::Expected<std::string> base = readTextFile(path);
        if (!base)
          return base.takeError();
        return over(*base, diskOrigin(path), std::move(overlay));
      }
    if (const Preset *preset = findPreset(target))
      return over(preset->text, {preset->name, preset->name},
                  std::move(overlay));
    std::vector<std::string> names;
    for (const Preset &preset : builtinPresets())
      names.push_back(llvm::sys::path::stem(preset.name).str());
    return makeSpecError(1010, extendsLoc,
                         "cannot find the preset '" + target + "'" +
                             suggestNearest(target, names));
  }

  static Origin diskOrigin(llvm::StringRef path) {
    llvm::SmallString<256> real;
    if (llvm::sys::fs::real_path(path, real))
      real = path;
    return {real.str().str(), path.str(), true};
  }

private:
  llvm::Expected<Node> over(llvm::StringRef base, const Origin &origin,
                            Node overlay) {
    SourceLoc loc = overlay.loc;
    llvm::Expected<Node> tree = load(base, origin);
    if (!tree)
      return tree;
    mergeTree(*tree, std::move(overlay));
    tree->loc = loc;
    return tree;
  }

  std::vector<std::string> chain;
  SourceLoc extendsLoc;
};

} // namespace

llvm::Expected<Node> qwen::loadTree(llvm::StringRef path) {
  llvm::Expected<std::string> text = readTextFile(path);
  if (!text)
    return text.takeError();
  return Loader().load(*text, Loader::diskOrigin(path));
}

llvm::Expected<Node> qwen::loadTreeFromString(llvm::StringRef text,
                                              llvm::StringRef file) {
  return Loader().load(text, {"<" + file.str() + ">", file.str()});
}

llvm::Expected<Node> qwen::loadPresetTree(llvm::StringRef name) {
  const Preset *preset = findPreset(name);
  if (!preset)
    return makeSpecError(1010, {}, "cannot find the preset '" + name + "'");
  return Loader().load(preset->text, {preset->name, preset->name});
}

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

void qwen::collectNames(const Node &node, std::set<std::string> &names) {
  llvm::StringRef text(node.text);
  while (!text.empty()) {
    text = text.drop_until([](char c) { return llvm::isAlpha(c) || c == '_'; });
    llvm::StringRef name =
        text.take_while([](char c) { return llvm::isAlnum(c) || c == '_'; });
    names.insert(name.str());
    text = text.drop_front(name.size());
  }
  for (const Node &item : node.items)
    collectNames(item, names);
  for (const NodeEntry &entry : node.entries)
    collectNames(entry.value, names);
}

static llvm::Expected<ModelSpec> resolve(Node tree, llvm::StringRef name,
                                         const LoadOptions &options,
                                         std::set<std::string> mentioned = {}) {
  collectNames(tree, mentioned);
  for (const std::string &text : options.overrides)
    if (llvm::Error error = applyOverride(tree, text))
      return std::move(error);
  return Resolver(tree, std::move(mentioned)).run(name);
}

llvm::Expected<ModelSpec> qwen::loadModel(llvm::StringRef path,
                                          const LoadOptions &options) {
  llvm::SmallString<256> config(path);
  bool isDirectory = llvm::sys::fs::is_directory(path);
  if (isDirectory)
    llvm::sys::path::append(config, "config.json");
  if (isDirectory || llvm::sys::path::filename(path) == "config.json") {
    if (isDirectory && !llvm::sys::fs::exists(config))
      return makeSpecError(1010, {path.str()},
                           "the directory has no config.json");
    std::set<std::string> mentioned;
    llvm::Expected<Node> tree = loadHfTree(config, options, mentioned);
    if (!tree)
      return tree.takeError();
    llvm::SmallString<256> real;
    if (llvm::sys::fs::real_path(config, real))
      real = config;
    return resolve(
        std::move(*tree),
        llvm::sys::path::filename(llvm::sys::path::parent_path(real)), options,
        std::move(mentioned));
  }
  llvm::Expected<Node> tree = loadTree(path);
  if (!tree)
    return tree.takeError();
  return resolve(std::move(*tree), llvm::sys::path::stem(path), options);
}

llvm::Expected<ModelSpec>
qwen::loadModelFromString(llvm::StringRef text, llvm::StringRef file,
                          const LoadOptions &options) {
  llvm::Expected<Node> tree = loadTreeFromString(text, file);
  if (!tree)
    return tree.takeError();
  return resolve(std::move(*tree), llvm::sys::path::stem(file), options);
}
