//===- Optimizer.cpp - The optimizer and its parameter groups -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Resolver.h"
#include "llvm/Support/Regex.h"

using namespace qwen;

namespace {
constexpr double huge = 1e300;
/// As many as the manifest's reader takes.
constexpr size_t maxGroups = 64;
} // namespace

bool Optimizer::usesMuon() const {
  return llvm::any_of(groups, [](const OptimizerGroup &g) { return g.muon; });
}

std::pair<double, double> Resolver::readBetas(const Node &node,
                                              llvm::StringRef what) {
  if (!node.isList() || node.items.size() != 2) {
    error(1004, node.loc,
          "expected two numbers for '" + what + "', got " + node.describe());
    return {};
  }
  std::pair<double, double> betas{real(node.items[0], what, 0, 1),
                                  real(node.items[1], what, 0, 1)};
  if (!failed() && (betas.first == 1 || betas.second == 1))
    error(1004, node.loc, "'" + what + "' must be below 1");
  return betas;
}

void Resolver::readMuon(const Node *node) {
  MapReader map(*this, node, "train.optimizer.muon");
  Muon &muon = spec.optimizer.muon;
  auto read = [&](llvm::StringRef key, double &value, double high) {
    if (const Node *n = map.require(key))
      value = real(*n, map.pathOf(key), 0, high);
  };
  read("lr", muon.lr, huge);
  read("weight_decay", muon.weightDecay, huge);
  read("eps", muon.eps, huge);
  read("momentum", muon.momentum, 1);
  muon.momentumStart = muon.momentum;
  if (const Node *n = map.get("momentum_start"))
    muon.momentumStart = real(*n, map.pathOf("momentum_start"), 0, 1);
  if (!failed() && (muon.momentum == 1 || muon.momentumStart == 1))
    error(1004, node->loc,
          "'train.optimizer.muon.momentum' and momentum_start must be below 1");
  if (const Node *n = map.get("momentum_warmup"))
    muon.momentumWarmup =
        integer(*n, map.pathOf("momentum_warmup"), 0, int64_t(1) << 40);
  if (const Node *n = map.require("nesterov"))
    muon.nesterov = boolean(*n, map.pathOf("nesterov"));
  if (const Node *n = map.require("steps"))
    muon.steps = integer(*n, map.pathOf("steps"), 1, 20);
  static const llvm::StringRef scales[] = {"shape_scaling", "spectral",
                                           "unit_rms_norm", "match_rms_adamw"};
  if (const Node *n = map.require("scale"))
    muon.scale = scales[choice(*n, map.pathOf("scale"), scales)].str();
  map.finish();
}

/// One entry of `groups`: `groupOf` gets its number for every parameter that it
/// is the first to match.
void Resolver::readGroup(const Node &node, llvm::StringRef what,
                         std::vector<int> &groupOf) {
  Optimizer &optimizer = spec.optimizer;
  OptimizerGroup group;
  MapReader map(*this, &node, what);
  const Node *match = map.require("match");
  group.muon = optimizer.kind == "muon";
  const Node *kind = map.get("kind");
  if (kind)
    group.muon = choice(*kind, map.pathOf("kind"), {"adamw", "muon"}) == 1;
  if (const Node *n = map.get("lr_scale"))
    group.lrScale = real(*n, map.pathOf("lr_scale"), 0, huge);
  if (const Node *n = map.get("weight_decay"))
    group.weightDecay = real(*n, map.pathOf("weight_decay"), 0, huge);
  if (const Node *n = map.get("eps"))
    group.eps = real(*n, map.pathOf("eps"), 0, huge);
  const Node *betas = map.get("betas");
  if (betas)
    group.betas = readBetas(*betas, map.pathOf("betas"));
  map.finish();
  if (!match || failed())
    return;
  group.match = string(*match, map.pathOf("match"));
  llvm::Regex regex("^(" + group.match + ")$");
  std::string problem;
  if (!regex.isValid(problem))
    return error(1004, match->loc,
                 "'" + map.pathOf("match") +
                     "' is not a regular expression: " + problem);

  // Parameters of one group may differ in kind and decay: one row for each.
  bool matches = false;
  std::vector<std::string> names;
  for (auto [i, param] : llvm::enumerate(spec.params)) {
    names.push_back(param.name);
    if (!regex.match(param.name))
      continue;
    matches = true;
    if (groupOf[i] >= 0)
      continue; // an earlier group has it
    OptimizerGroup mine = group;
    bool isHidden = param.perLayer && param.matmul && !param.lookup;
    if (kind && group.muon && param.axes.size() != 2)
      return error(1004, match->loc,
                   "muon takes matrices, but '" + map.pathOf("match") +
                       "' matches the vector '" + param.name + "'");
    mine.muon = group.muon && (kind || (isHidden && param.axes.size() == 2));
    if (mine.muon && betas)
      return error(1004, betas->loc,
                   "'" + map.pathOf("betas") + "' is of adamw, and '" +
                       param.name +
                       "' is trained by muon; give the group "
                       "kind: adamw");
    if (!mine.muon && !param.decays && !mine.weightDecay)
      mine.weightDecay = 0;
    auto it = llvm::find(optimizer.groups, mine);
    groupOf[i] = it - optimizer.groups.begin();
    if (it == optimizer.groups.end())
      optimizer.groups.push_back(mine);
  }
  for (const std::string &name : inactiveParams)
    matches |= regex.match(name);
  for (const auto &[name, target] : tiedTo)
    matches |= regex.match(name);
  if (!matches)
    error(1015, match->loc,
          "'" + map.pathOf("match") + "' matches no parameter: " +
              match->describe() + suggestNearest(group.match, names));
}

void Resolver::readOptimizer() {
  const Node *train = root.find("train");
  MapReader map(*this, train->find("optimizer"), "train.optimizer");
  Optimizer &optimizer = spec.optimizer;
  if (const Node *n = map.get("kind"))
    optimizer.kind = choice(*n, "train.optimizer.kind", {"adamw", "muon"})
                         ? "muon"
                         : "adamw";
  auto read = [&](llvm::StringRef key, double &value) {
    if (const Node *n = map.require(key))
      value = real(*n, map.pathOf(key), 0, huge);
  };
  read("lr", optimizer.lr);
  read("eps", optimizer.eps);
  read("weight_decay", optimizer.weightDecay);
  read("clip", optimizer.clip);
  if (const Node *n = map.require("betas"))
    std::tie(optimizer.beta1, optimizer.beta2) =
        readBetas(*n, "train.optimizer.betas");
  readMuon(map.require("muon"));
  const Node *groups = map.get("groups");
  map.finish();
  if (failed())
    return;

  OptimizerGroup decayed, others, muon;
  others.weightDecay = 0;
  muon.muon = true;
  optimizer.groups = {decayed, others};
  std::vector<int> groupOf(spec.params.size(), -1);
  if (groups && !groups->isList())
    return error(1004, groups->loc,
                 "expected a list for 'train.optimizer.groups', got " +
                     groups->describe());
  if (groups)
    for (auto [i, node] : llvm::enumerate(groups->items))
      if (!failed())
        readGroup(node,
                  ("train.optimizer.groups[" + llvm::Twine(i) + "]").str(),
                  groupOf);
  for (auto [i, param] : llvm::enumerate(spec.params)) {
    bool isHidden = param.perLayer && param.matmul && !param.lookup &&
                    param.axes.size() == 2;
    if (groupOf[i] < 0 && optimizer.kind == "muon" && isHidden) {
      auto it = llvm::find(optimizer.groups, muon);
      groupOf[i] = it - optimizer.groups.begin();
      if (it == optimizer.groups.end())
        optimizer.groups.push_back(muon);
    }
    param.group = groupOf[i] >= 0 ? groupOf[i] : (param.decays ? 0 : 1);
  }
  if (optimizer.groups.size() > maxGroups)
    error(1004, groups->loc,
          "expected at most " + llvm::Twine(maxGroups) +
              " parameter groups, got " + llvm::Twine(optimizer.groups.size()));
}
