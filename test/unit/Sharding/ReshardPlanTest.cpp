//===- ReshardPlanTest.cpp - Every reshard of a matrix, executed ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// On a mesh of 2x4 (three sub-axes of size 2) every device holds its block of a
// matrix; the steps of a plan are carried out on all of them, and every device
// must end with its block of the same matrix.
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/ReshardPlan.h"

#include "gtest/gtest.h"

#include <map>

using namespace qwen;
using namespace qwen::dist;

namespace {

constexpr int64_t kRows = 8, kColumns = 8;
const SubAxes kMesh = {{"data", 2}, {"tensor", 2}, {"tensor", 2}};

struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<double> values;

  Matrix(int64_t rows, int64_t columns)
      : rows(rows), columns(columns), values(rows * columns) {}
  double &at(int64_t i, int64_t j) { return values[i * columns + j]; }
  int64_t size(int64_t dim) const { return dim ? columns : rows; }
  /// Block `index` of `parts` along `dim`.
  Matrix block(int64_t dim, int64_t index, int64_t parts) {
    Matrix out(dim ? rows : rows / parts, dim ? columns / parts : columns);
    for (int64_t i = 0; i < out.rows; ++i)
      for (int64_t j = 0; j < out.columns; ++j)
        out.at(i, j) = at(i + (dim ? 0 : index * out.rows),
                          j + (dim ? index * out.columns : 0));
    return out;
  }
};

Matrix join(std::vector<Matrix> parts, int64_t dim) {
  Matrix &first = parts.front();
  Matrix out(dim ? first.rows : first.rows * parts.size(),
             dim ? first.columns * parts.size() : first.columns);
  for (size_t p = 0; p < parts.size(); ++p)
    for (int64_t i = 0; i < first.rows; ++i)
      for (int64_t j = 0; j < first.columns; ++j)
        out.at(i + (dim ? 0 : p * first.rows),
               j + (dim ? p * first.columns : 0)) = parts[p].at(i, j);
  return out;
}

/// What the device at `coordinates` holds of `whole`.
Matrix take(Matrix whole, const Sharding &sharding,
            llvm::ArrayRef<int64_t> coordinates) {
  for (int64_t dim = 0; dim < 2; ++dim)
    whole = whole.block(dim, placeAlong(sharding.dims[dim], coordinates, kMesh),
                        numParts(sharding.dims[dim], kMesh));
  return whole;
}

/// The devices that differ from `rank` along `axes` alone, in rank order.
std::vector<int64_t> groupOf(int64_t rank, const Axes &axes) {
  std::vector<int64_t> group;
  auto mine = coordinatesOf(rank, kMesh);
  for (int64_t other = 0; other < numDevices(kMesh); ++other) {
    auto theirs = coordinatesOf(other, kMesh);
    bool same = true;
    for (size_t a = 0; a < kMesh.size(); ++a)
      same &= llvm::is_contained(axes, a) || mine[a] == theirs[a];
    if (same)
      group.push_back(other);
  }
  return group;
}

Matrix sumOf(const std::vector<Matrix> &all,
             const std::vector<int64_t> &group) {
  Matrix sum = all[group.front()];
  for (size_t i = 1; i < group.size(); ++i)
    for (size_t k = 0; k < sum.values.size(); ++k)
      sum.values[k] += all[group[i]].values[k];
  return sum;
}

std::vector<Matrix> execute(const ReshardStep &step, std::vector<Matrix> all) {
  std::vector<Matrix> out;
  for (int64_t rank = 0; rank < numDevices(kMesh); ++rank) {
    std::vector<int64_t> group = groupOf(rank, step.axes);
    int64_t place = llvm::find(group, rank) - group.begin();
    int64_t parts = group.size();
    std::vector<Matrix> pieces;
    switch (step.kind) {
    case ReshardStep::AllReduce:
      out.push_back(sumOf(all, group));
      break;
    case ReshardStep::ReduceScatter:
      out.push_back(sumOf(all, group).block(step.dim, place, parts));
      break;
    case ReshardStep::AllGather:
      for (int64_t other : group)
        pieces.push_back(all[other]);
      out.push_back(join(pieces, step.dim));
      break;
    case ReshardStep::AllToAll:
      for (int64_t other : group)
        pieces.push_back(all[other].block(step.split, place, parts));
      out.push_back(join(pieces, step.dim));
      break;
    case ReshardStep::Slice:
      out.push_back(all[rank].block(
          step.dim, placeAlong(step.axes, coordinatesOf(rank, kMesh), kMesh),
          parts));
      break;
    }
  }
  return out;
}

/// All ways to give some of the three sub-axes to two dimensions, in any order,
/// and some of the others to the partial axes.
std::vector<Sharding> allShardings(bool withPartial) {
  std::vector<Sharding> result;
  std::vector<Axes> lists = {{}};
  for (size_t i = 0; i < lists.size(); ++i)
    for (int64_t axis = 0; axis < 3; ++axis)
      if (!llvm::is_contained(lists[i], axis)) {
        Axes longer = lists[i];
        longer.push_back(axis);
        lists.push_back(longer);
      }
  for (const Axes &first : lists)
    for (const Axes &second : lists) {
      Sharding sharding(2);
      sharding.dims = {first, second};
      Axes rest;
      bool good = true;
      for (int64_t axis = 0; axis < 3; ++axis) {
        bool one = llvm::is_contained(first, axis);
        bool two = llvm::is_contained(second, axis);
        good &= !(one && two);
        if (!one && !two)
          rest.push_back(axis);
      }
      if (!good)
        continue;
      for (unsigned mask = 0; mask < (withPartial ? 1u << rest.size() : 1u);
           ++mask) {
        Sharding partial = sharding;
        for (size_t i = 0; i < rest.size(); ++i)
          if (mask >> i & 1)
            partial.partial.push_back(rest[i]);
        result.push_back(partial);
      }
    }
  return result;
}

} // namespace

TEST(ReshardPlan, AllPairsOnTwoByFour) {
  Matrix whole(kRows, kColumns);
  for (size_t i = 0; i < whole.values.size(); ++i)
    whole.values[i] = i + 1;
  std::vector<Sharding> sources = allShardings(true);
  std::vector<Sharding> targets = allShardings(false);
  ASSERT_EQ(targets.size(), 49u);
  ASSERT_EQ(sources.size(), 92u);
  size_t longest = 0;
  for (const Sharding &from : sources) {
    std::vector<Matrix> start;
    for (int64_t rank = 0; rank < numDevices(kMesh); ++rank) {
      auto coordinates = coordinatesOf(rank, kMesh);
      Matrix local = take(whole, from, coordinates);
      // Summands that differ and add up to the whole: of n devices the i-th
      // has (2 i + 1) / n^2 of it.
      int64_t n = numParts(from.partial, kMesh);
      int64_t i = placeAlong(from.partial, coordinates, kMesh);
      for (double &value : local.values)
        value *= double(2 * i + 1) / (n * n);
      start.push_back(local);
    }
    for (const Sharding &to : targets) {
      auto plan = planReshard(from, to);
      ASSERT_TRUE(plan) << from.str() << " to " << to.str();
      longest = std::max(longest, plan->size());
      std::vector<Matrix> all = start;
      for (const ReshardStep &step : *plan) {
        if (step.kind != ReshardStep::Slice) {
          EXPECT_TRUE(llvm::is_sorted(step.axes));
        }
        all = execute(step, std::move(all));
      }
      for (int64_t rank = 0; rank < numDevices(kMesh); ++rank) {
        Matrix expected = take(whole, to, coordinatesOf(rank, kMesh));
        ASSERT_EQ(all[rank].values, expected.values)
            << from.str() << " to " << to.str() << ", device " << rank;
      }
    }
  }
  EXPECT_LE(longest, 6u);
}

TEST(ReshardPlan, PartialStaysWhereItIsWanted) {
  Sharding from(2), to(2);
  from.partial = {0, 1};
  to.partial = {0};
  auto plan = planReshard(from, to);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->size(), 1u);
  EXPECT_EQ(plan->front().kind, ReshardStep::AllReduce);
  EXPECT_EQ(plan->front().axes, Axes({1}));
  EXPECT_FALSE(planReshard(to, from));
}

TEST(ReshardPlan, NeighboursAreOneCollective) {
  Sharding from(2), to(2);
  from.partial = {0, 1, 2};
  to.dims[0] = {0, 1, 2};
  auto plan = planReshard(from, to);
  ASSERT_EQ(plan->size(), 1u);
  EXPECT_EQ(plan->front().kind, ReshardStep::ReduceScatter);
  plan = planReshard(to, Sharding(2));
  ASSERT_EQ(plan->size(), 1u);
  EXPECT_EQ(plan->front().kind, ReshardStep::AllGather);
  plan = planReshard(from, Sharding(2));
  ASSERT_EQ(plan->size(), 1u);
  EXPECT_EQ(plan->front().kind, ReshardStep::AllReduce);
}
