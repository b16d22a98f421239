//===- Parallel.cpp - The mesh, and how tensors are split over it ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Resolver.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Regex.h"

using namespace qwen;

/// Reads logical axis: mesh axis pairs over what `rules` has; null takes away.
void Resolver::readRules(const Node &node, llvm::StringRef what,
                         std::map<std::string, std::string> &rules) {
  if (!node.isMap())
    return error(1004, node.loc,
                 "expected a map for '" + what + "', got " + node.describe());
  std::vector<std::string> logical = {"batch", "sequence"};
  // --mesh may still name these two.
  std::vector<std::string> axes = {"data", "tensor"};
  for (llvm::StringRef dim : standardDims())
    logical.push_back(dim.str());
  for (const auto &dim : spec.dims)
    logical.push_back(dim.first);
  for (const auto &axis : spec.mesh)
    axes.push_back(axis.first);
  for (const NodeEntry &entry : node.entries) {
    if (!llvm::is_contained(logical, entry.key))
      error(1003, entry.loc,
            "unknown logical axis '" + entry.key + "' in " + what +
                suggestNearest(entry.key, logical));
    if (entry.value.isNull()) {
      rules.erase(entry.key);
      continue;
    }
    if (llvm::is_contained({"layers", "head_dim", "context"}, entry.key))
      error(1004, entry.loc,
            "the logical axis '" + entry.key +
                "' cannot be split over devices");
    std::string axis = string(entry.value, (what + "." + entry.key).str());
    if (llvm::is_contained(axes, axis))
      rules[entry.key] = axis;
    else
      error(1004, entry.value.loc,
            "unknown mesh axis '" + axis + "' in " + what +
                suggestNearest(axis, axes));
  }
}

void Resolver::readMesh() {
  MapReader parallel(*this, root.find("parallel"), "parallel");
  const Node *mesh = parallel.get("mesh");
  auto add = [&](llvm::StringRef name, int64_t size, const SourceLoc &loc) {
    for (const auto &axis : spec.mesh)
      if (axis.first == name)
        error(1002, loc,
              "the mesh axis '" + name + "' is named twice in parallel.mesh");
    spec.mesh.push_back({name.str(), size});
  };
  if (mesh && mesh->isMap()) {
    for (const NodeEntry &entry : mesh->entries)
      add(entry.key,
          integer(entry.value, "parallel.mesh." + entry.key, 1, 65536),
          entry.loc);
  } else if (mesh) {
    // `2x4` means data=2,tensor=4.
    std::string text = string(*mesh, "parallel.mesh");
    bool named = llvm::StringRef(text).contains('=');
    llvm::SmallVector<llvm::StringRef> parts;
    llvm::StringRef(text).split(parts, named ? ',' : 'x');
    static const llvm::StringRef positional[] = {"data", "tensor"};
    for (size_t i = 0; i < parts.size(); ++i) {
      auto [name, value] =
          named ? parts[i].split('=')
                : std::make_pair(positional[std::min<size_t>(i, 1)], parts[i]);
      if (!named && i == 2) {
        error(1004, mesh->loc,
              "the mesh " + mesh->describe() +
                  " has more than two numbers: name its axes, as "
                  "data=2,tensor=4");
        break;
      }
      int64_t size = 0;
      if (name.trim().empty() || !llvm::to_integer(value.trim(), size, 10) ||
          size < 1 || size > 65536) {
        error(1004, mesh->loc,
              "expected 'parallel.mesh' as data=2,tensor=4 or 2x4, got " +
                  mesh->describe());
        break;
      }
      add(name.trim(), size, mesh->loc);
    }
  }
  if (const Node *rules = parallel.get("rules"))
    readRules(*rules, "parallel.rules", spec.rules);
  parallel.get("parameters"); // read when parameters are known
  if (const Node *n = parallel.get("zero"))
    spec.zero = integer(*n, "parallel.zero", 0, 3);
  spec.reduceDType = spec.dtype;
  if (const Node *n = parallel.get("reduce_dtype"))
    spec.reduceDType = dtype(*n, "parallel.reduce_dtype");
  if (const Node *n = parallel.get("pad_heads"))
    spec.padHeads = boolean(*n, "parallel.pad_heads");
  if (const Node *n = parallel.get("sequence_residual")) {
    spec.sequenceResidual = boolean(*n, "parallel.sequence_residual");
    auto batch = spec.rules.find("batch"), rows = spec.rules.find("sequence");
    if (spec.sequenceResidual && batch != spec.rules.end() &&
        rows != spec.rules.end() && batch->second == rows->second)
      error(1004, n->loc,
            "'parallel.sequence_residual' splits the sequence over '" +
                rows->second + "', which parallel.rules give to the batch");
  }
  parallel.finish();
}

/// One entry of `parallel.parameters`: the rules of the parameters that it is
/// the first to match.
void Resolver::readParameterRules(const Node &node, llvm::StringRef what) {
  MapReader map(*this, &node, what);
  const Node *match = map.require("match");
  const Node *own = map.require("rules");
  map.finish();
  if (failed())
    return;
  std::string name = string(*match, map.pathOf("match")), problem;
  llvm::Regex regex("^(" + name + ")$");
  if (!regex.isValid(problem))
    return error(1004, match->loc,
                 "'" + map.pathOf("match") +
                     "' is not a regular expression: " + problem);
  std::map<std::string, std::string> rules = spec.rules;
  readRules(*own, map.pathOf("rules"), rules);

  bool matches = false;
  std::vector<std::string> names, axes;
  for (Param &param : spec.params) {
    names.push_back(param.name);
    if (!regex.match(param.name))
      continue;
    matches = true;
    for (const Axis &axis : param.axes)
      axes.push_back(axis.major());
    if (!param.rules)
      param.rules = rules;
  }
  for (const std::string &other : inactiveParams)
    matches |= regex.match(other);
  for (const auto &[other, target] : tiedTo)
    if (regex.match(other) && !regex.match(target))
      return error(1016, match->loc,
                   "'" + map.pathOf("match") + "' matches '" + other +
                       "', which is tied to '" + target +
                       "': match that one, they are one parameter");
  if (!matches)
    return error(1016, match->loc,
                 "'" + map.pathOf("match") + "' matches no parameter: " +
                     match->describe() + suggestNearest(name, names));
  for (const NodeEntry &entry : own->entries)
    if (!axes.empty() && !llvm::is_contained(axes, entry.key))
      error(1016, entry.loc,
            "no parameter that '" + map.pathOf("match") +
                "' matches has a dimension of " + entry.key +
                suggestNearest(entry.key, axes));
}

/// Every mesh axis may split one dimension of a parameter, and not the batch's.
void Resolver::checkRules(const Param &param, const Node &written) {
  auto placeOf = [&](llvm::StringRef axis) {
    for (const NodeEntry &entry : written.entries)
      if (entry.key == axis)
        return entry.value.loc;
    return written.loc;
  };
  const auto &rules = param.rules ? *param.rules : spec.rules;
  auto batch = rules.find("batch");
  std::map<std::string, std::string> used; // mesh axis -> logical axis
  for (const Axis &axis : param.axes) {
    auto rule = rules.find(axis.major());
    if (rule == rules.end())
      continue;
    if (batch != rules.end() && rule->second == batch->second)
      return error(1016, placeOf(axis.major()),
                   "the mesh axis '" + rule->second + "' cannot split '" +
                       axis.major() + "' of parameter '" + param.name +
                       "': it splits the batch, and parameters by "
                       "parallel.zero");
    auto [it, isNew] = used.try_emplace(rule->second, axis.major());
    if (!isNew)
      return error(1016, placeOf(axis.major()),
                   "the mesh axis '" + rule->second +
                       "' is used twice in "
                       "parameter '" +
                       param.name + "': for '" + it->second + "' and for '" +
                       axis.major() + "'");
  }
}

void Resolver::readOverrides() {
  const Node *parallel = root.find("parallel");
  const Node *list = parallel ? parallel->find("parameters") : nullptr;
  if (list && !list->isNull() && !list->isList())
    return error(1004, list->loc,
                 "expected a list for 'parallel.parameters', got " +
                     list->describe());
  if (list)
    for (auto [i, node] : llvm::enumerate(list->items)) {
      if (failed())
        return;
      readParameterRules(node,
                         ("parallel.parameters[" + llvm::Twine(i) + "]").str());
      for (const Param &param : spec.params)
        if (!failed() && param.rules)
          checkRules(param, *node.find("rules"));
    }
  const Node *rules = parallel ? parallel->find("rules") : nullptr;
  for (const Param &param : spec.params)
    if (!failed() && rules)
      checkRules(param, *rules);
}
