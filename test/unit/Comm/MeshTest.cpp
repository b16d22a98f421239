//===- MeshTest.cpp - Groups of a mesh ------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectiveCases.h"

#include <gtest/gtest.h>

using namespace qrt;
using namespace qrt::test;

TEST(Mesh, GroupsOf2x4) {
  Mesh mesh = makeMesh(2, 4); // sub-axes: data, tensor major, tensor minor
  EXPECT_EQ(mesh.ranks(), 8);
  EXPECT_EQ(mesh.str(), "data=2,tensor=4");
  EXPECT_EQ(mesh.group(6, 1).ranks, (std::vector<int>{2, 6}));
  EXPECT_EQ(mesh.group(6, 1).index, 1);
  EXPECT_EQ(mesh.group(6, 6).ranks, (std::vector<int>{4, 5, 6, 7}));
  EXPECT_EQ(mesh.group(6, 2).ranks, (std::vector<int>{4, 6}));
  EXPECT_EQ(mesh.group(6, 4).ranks, (std::vector<int>{6, 7}));
  EXPECT_EQ(mesh.group(6, 5).ranks, (std::vector<int>{2, 3, 6, 7}));
  EXPECT_EQ(mesh.group(6, 0).ranks, (std::vector<int>{6}));
  EXPECT_EQ(mesh.indexOn(6, {0, 1, 2}), 6);
  EXPECT_EQ(mesh.indexOn(6, {2, 1}), 1);
  EXPECT_EQ(mesh.sizeOf({0, 2}), 4);
}

TEST(Mesh, Text) {
  Mesh mesh = makeMesh(2, 12);
  EXPECT_EQ(mesh.str(), "data=2,tensor=12");
  EXPECT_EQ(mesh.describe(0), "no axis");
  EXPECT_EQ(mesh.describe(mesh.allAxes()), "data,tensor");
  EXPECT_EQ(mesh.describe(0b1010), "tensor[0,2]");
  EXPECT_EQ(Mesh().str(), "1");
  EXPECT_EQ(Mesh().ranks(), 1);
}
