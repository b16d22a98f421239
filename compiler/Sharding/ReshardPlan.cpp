//===- ReshardPlan.cpp - From one sharding to another ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/ReshardPlan.h"

#include "llvm/ADT/STLExtras.h"

using namespace qwen;
using namespace qwen::dist;
using Step = ReshardStep;

namespace {
class Planner {
public:
  Planner(const Sharding &from, const Sharding &to) : now(from), to(to) {}

  std::optional<llvm::SmallVector<Step>> run();

private:
  bool isPrefix(size_t dim) const {
    llvm::ArrayRef<int64_t> have = now.dims[dim], want = to.dims[dim];
    return have.size() <= want.size() && have == want.take_front(have.size());
  }
  /// The dimension whose next wanted sub-axis is `axis`, or -1.
  int64_t wantedBy(int64_t axis) const {
    for (size_t d = 0; d < now.dims.size(); ++d)
      if (isPrefix(d) && now.dims[d].size() < to.dims[d].size() &&
          to.dims[d][now.dims[d].size()] == axis)
        return d;
    return -1;
  }
  /// The next step, or nothing at the end.
  std::optional<Step> next();
  bool isWantedAnywhere(int64_t axis) const {
    return llvm::any_of(to.dims, [&](const Axes &axes) {
      return llvm::is_contained(axes, axis);
    });
  }
  void add(Step step);

  Sharding now;
  const Sharding &to;
  llvm::SmallVector<Step> steps;
};
} // namespace

std::optional<Step> Planner::next() {
  for (int64_t axis : now.partial)
    if (int64_t dim = wantedBy(axis); dim >= 0) {
      llvm::erase(now.partial, axis);
      now.dims[dim].push_back(axis);
      return Step{Step::ReduceScatter, {axis}, dim};
    }
  for (size_t from = 0; from < now.dims.size(); ++from) {
    if (isPrefix(from))
      continue;
    int64_t axis = now.dims[from].back(), dim = wantedBy(axis);
    if (dim < 0)
      continue;
    now.dims[from].pop_back();
    now.dims[dim].push_back(axis);
    return Step{Step::AllToAll, {axis}, static_cast<int64_t>(from), dim};
  }
  for (size_t d = 0; d < now.dims.size(); ++d) {
    if (!isPrefix(d) || now.dims[d].size() == to.dims[d].size())
      continue;
    int64_t axis = to.dims[d][now.dims[d].size()];
    if (now.uses(axis))
      continue;
    now.dims[d].push_back(axis);
    return Step{Step::Slice, {axis}, static_cast<int64_t>(d)};
  }
  auto reduce = [&](int64_t axis) {
    llvm::erase(now.partial, axis);
    return Step{Step::AllReduce, {axis}};
  };
  for (int64_t axis : now.partial)
    if (!llvm::is_contained(to.partial, axis) && !isWantedAnywhere(axis))
      return reduce(axis);
  for (size_t d = 0; d < now.dims.size(); ++d)
    if (!isPrefix(d))
      return Step{Step::AllGather,
                  {now.dims[d].pop_back_val()},
                  static_cast<int64_t>(d)};
  for (int64_t axis : now.partial)
    if (!llvm::is_contained(to.partial, axis))
      return reduce(axis);
  return std::nullopt;
}

/// Appends `step`, to the last one if the two are one collective.
void Planner::add(Step step) {
  int64_t axis = step.axes.front();
  if (!steps.empty()) {
    Step &last = steps.back();
    bool same = last.kind == step.kind && last.dim == step.dim;
    switch (step.kind) {
    case Step::AllReduce:
      if (same) {
        last.axes.insert(llvm::upper_bound(last.axes, axis), axis);
        return;
      }
      break;
    case Step::ReduceScatter:
      if (same && last.axes.back() < axis) {
        last.axes.push_back(axis);
        return;
      }
      break;
    case Step::Slice:
      if (same) {
        last.axes.push_back(axis);
        return;
      }
      break;
    case Step::AllGather:
      if (same && axis < last.axes.front()) {
        last.axes.insert(last.axes.begin(), axis);
        return;
      }
      break;
    case Step::AllToAll:
      break;
    }
  }
  steps.push_back(std::move(step));
}

std::optional<llvm::SmallVector<Step>> Planner::run() {
  for (int64_t axis : to.partial)
    if (!llvm::is_contained(now.partial, axis))
      return std::nullopt;
  while (std::optional<Step> step = next())
    add(std::move(*step));
  return std::move(steps);
}

std::optional<llvm::SmallVector<Step>> qwen::planReshard(const Sharding &from,
                                                         const Sharding &to) {
  return Planner(from, to).run();
}
