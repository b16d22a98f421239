//===- Params.cpp - The parameters of a model file ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Resolver.h"

using namespace qwen;

Init Resolver::readInit(const Node *node, llvm::StringRef what,
                        const Param &param) {
  Init init;
  if (!node) {
    // As most models: matrices random, vectors at rest.
    if (param.axes.size() == 2)
      return {Init::Kind::Normal, 0, 0.02};
    return init;
  }
  if (node->isScalar()) {
    init.kind = choice(*node, what, {"zeros", "ones"}) ? Init::Kind::Ones
                                                       : Init::Kind::Zeros;
    return init;
  }
  std::map<std::string, int64_t> extra;
  if (param.axes.size() == 2) {
    extra["fan_out"] = param.axes[0].size;
    extra["fan_in"] = param.axes[1].size;
  }
  auto number = [&](const Node &n) {
    return real(n, what, -1e30, 1e30, &extra);
  };
  MapReader map(*this, node, what);
  const Node *normal = map.get("normal"), *uniform = map.get("uniform"),
             *constant = map.get("constant");
  map.finish();
  if (!!normal + !!uniform + !!constant != 1) {
    error(1004, node->loc,
          "expected one of normal, uniform, constant for '" + what + "'");
    return init;
  }
  auto pair = [&](const Node &n) {
    if (n.isList() && n.items.size() == 2) {
      init.first = number(n.items[0]);
      init.second = number(n.items[1]);
      return true;
    }
    return false;
  };
  if (constant) {
    init.kind = Init::Kind::Constant;
    init.first = number(*constant);
  } else if (uniform) {
    init.kind = Init::Kind::Uniform;
    if (!pair(*uniform))
      error(1004, uniform->loc,
            "expected [low, high] for '" + what + ".uniform', got " +
                uniform->describe());
    else if (!failed() && init.first > init.second)
      error(1004, uniform->loc, "'" + what + ".uniform' has low above high");
  } else {
    init.kind = Init::Kind::Normal;
    if (!pair(*normal))
      init.second = number(*normal);
    if (!failed() && init.second < 0)
      error(1004, normal->loc,
            "'" + what + ".normal' has a negative deviation");
  }
  return init;
}

FileView Resolver::readView(const Node &node, const Param &param,
                            const SourceLoc &loc) {
  FileView view;
  auto setName = [&](const Node &n) {
    view.name = string(n, "name");
    size_t mark = view.name.find("{i}");
    bool hasLayer = mark != std::string::npos;
    if (!failed() && (view.name.empty() || hasLayer != param.perLayer))
      error(1012, n.loc,
            llvm::Twine("expected a file name ") +
                (param.perLayer ? "with" : "without") + " {i} for '" +
                param.name + "', got " + n.describe());
  };
  view.fileShape = param.shape();
  if (node.isScalar()) {
    setName(node);
    return view;
  }
  MapReader map(*this, &node, "a file view");
  if (const Node *n = map.require("name"))
    setName(*n);
  if (const Node *n = map.get("transpose"))
    view.transpose = boolean(*n, "transpose");
  if (const Node *n = map.get("alias"))
    view.alias = boolean(*n, "alias");
  if (view.transpose && view.fileShape.size() != 2) {
    error(1012, node.loc, "only a matrix can be transposed");
    view.transpose = false;
  }
  if (view.transpose)
    std::swap(view.fileShape[0], view.fileShape[1]);
  if (const Node *n = map.get("permute")) {
    view.permuteHeads = integer(*n, "permute", 1, INT32_MAX);
    if (!failed() && param.axes[0].size % (*view.permuteHeads * 2))
      error(1012, n->loc,
            "expected pairs of rows for every head of 'permute', got " +
                llvm::Twine(param.axes[0].size) + " rows and " +
                llvm::Twine(*view.permuteHeads) + " heads");
  }
  if (const Node *n = map.get("slice")) {
    MapReader slice(*this, n, "slice");
    FileView::Slice s;
    int64_t of = 0;
    if (const Node *m = slice.require("axis"))
      s.axis = integer(*m, "slice.axis", 0, view.fileShape.size() - 1);
    if (const Node *m = slice.require("begin"))
      s.begin = integer(*m, "slice.begin", 0, INT32_MAX);
    if (const Node *m = slice.require("of"))
      of = integer(*m, "slice.of", 1, INT32_MAX);
    slice.finish();
    if (!failed()) {
      if (s.begin + view.fileShape[s.axis] > of)
        error(1012, n->loc,
              "a slice of " + llvm::Twine(view.fileShape[s.axis]) + " from " +
                  llvm::Twine(s.begin) + " does not fit into " +
                  llvm::Twine(of));
      view.fileShape[s.axis] = of;
    }
    view.slice = s;
  }
  map.finish();
  return view;
}

void Resolver::readViews(const Node &node, llvm::StringRef format,
                         Param &param) {
  std::vector<FileView> &views = param.views[format.str()];
  if (node.isList())
    for (const Node &item : node.items)
      views.push_back(readView(item, param, item.loc));
  else
    views.push_back(readView(node, param, node.loc));
}

void Resolver::readParam(const NodeEntry &entry, llvm::StringRef path,
                         bool perLayer) {
  if (entry.value.isNull())
    return; // removed by a preset that extends another
  Param param;
  param.name = entry.key;
  param.perLayer = perLayer;
  param.loc = entry.loc;
  std::string what = (path + "." + entry.key).str();
  MapReader map(*this, &entry.value, what);
  const Node *axes = map.require("axes");
  const Node *init = map.get("init");
  const Node *decay = map.get("decay");
  const Node *tied = map.get("tied");
  const Node *when = map.get("when");
  // Kinds of files; `original`: as first published.
  static const char *const formats[] = {"hf", "gguf", "original"};
  std::vector<std::pair<const char *, const Node *>> views;
  for (const char *format : formats)
    if (const Node *n = map.get(format))
      views.push_back({format, n});
  map.finish();
  for (const Param &other : spec.params)
    if (other.name == param.name)
      error(1002, entry.loc, "duplicate parameter '" + param.name + "'");
  for (char c : param.name)
    if (!isalnum(static_cast<unsigned char>(c)) && c != '_')
      error(1004, entry.loc,
            "a parameter's name must consist of letters, digits and _, got '" +
                param.name + "'");
  if (failed())
    return;
  if (!condition(when)) {
    inactiveParams.insert(param.name);
    return;
  }
  if (axes->isList())
    for (const Node &item : axes->items)
      param.axes.push_back(axis(item));
  if (!failed() && (param.axes.empty() || param.axes.size() > 2))
    error(1004, axes->loc,
          "expected one or two axes for '" + what + "', got " +
              axes->describe());
  if (failed())
    return;
  param.init = readInit(init, what + ".init", param);
  param.decays = param.axes.size() == 2;
  if (decay)
    param.decays = boolean(*decay, what + ".decay");
  for (auto [format, node] : views)
    readViews(*node, format, param);
  if (!param.views.count("hf")) {
    FileView view;
    view.name = perLayer ? "layers.{i}." + param.name : param.name;
    view.fileShape = param.shape();
    param.views["hf"].push_back(view);
  }

  if (tied) {
    MapReader map(*this, tied, what + ".tied");
    const Node *to = map.require("to");
    bool active = condition(map.get("when"));
    map.finish();
    if (failed())
      return;
    if (active) {
      std::string name = string(*to, what + ".tied.to");
      auto target = llvm::find_if(
          spec.params, [&](const Param &p) { return p.name == name; });
      if (target == spec.params.end()) {
        std::vector<std::string> names;
        for (const Param &p : spec.params)
          names.push_back(p.name);
        return error(1012, to->loc,
                     "unknown parameter '" + name +
                         "' (it must come before the one tied to it)" +
                         suggestNearest(name, names));
      }
      if (target->axes != param.axes || target->perLayer != perLayer)
        return error(1012, to->loc,
                     "'" + param.name + "' cannot be tied to '" + name +
                         "', their axes differ");
      for (auto &[format, list] : param.views)
        for (FileView view : list) {
          view.alias = true;
          target->views[format].push_back(std::move(view));
        }
      tiedTo[param.name] = name;
      return;
    }
  }
  spec.params.push_back(std::move(param));
}

void Resolver::readParamMap(const Node *params, llvm::StringRef path,
                            bool perLayer) {
  if (!params || params->isNull())
    return;
  if (!params->isMap())
    return error(1004, params->loc,
                 "expected a map for '" + path + "', got " +
                     params->describe());
  for (const NodeEntry &entry : params->entries)
    readParam(entry, path, perLayer);
}

void Resolver::readParams() {
  readParamMap(root.find("params"), "params", false);
  if (const Node *block = root.find("block"))
    readParamMap(block->find("params"), "block.params", true);
  if (failed())
    return;

  // A file's tensor holds one parameter, or slices of several.
  struct Seen {
    const Param *param;
    bool sliced;
  };
  std::map<std::pair<std::string, std::string>, Seen> seen;
  int64_t total = 0;
  for (const Param &param : spec.params) {
    for (const auto &[format, views] : param.views)
      for (const FileView &view : views) {
        auto [it, isNew] = seen.insert(
            {{format, view.name}, {&param, view.slice.has_value()}});
        if (!isNew && (!it->second.sliced || !view.slice))
          error(1012, param.loc,
                "'" + param.name + "' and '" + it->second.param->name +
                    "' have the same name in " + format +
                    " files: " + view.name);
      }
    int64_t layers = param.perLayer ? spec.dims["layers"].value : 1, count;
    if (__builtin_mul_overflow(param.numElements(), layers, &count) ||
        __builtin_add_overflow(total, count, &total) ||
        total > (int64_t(1) << 56))
      return error(1006, param.loc,
                   "the number of parameters overflows at '" + param.name +
                       "'");
  }
}
