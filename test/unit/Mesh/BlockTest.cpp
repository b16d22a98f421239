//===- BlockTest.cpp - Blocks of tensors and of weights -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/mesh/Block.h"
#include "runtime/weights/Parameters.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace qrt;

namespace {

TEST(Block, TakeAndPut) {
  // Rows 2..3 and columns 3..5 of 4 x 6 x 2.
  TensorBlock block{{4, 6, 2}, {2, 3, 0}, {2, 3, 2}};
  std::vector<int> whole(48), part(12), back(48, -1);
  for (int i = 0; i < 48; ++i)
    whole[i] = i;
  takeBlock(block, whole.data(), part.data(), sizeof(int));
  for (int i = 0; i < 12; ++i)
    EXPECT_EQ(part[i], (2 + i / 6) * 12 + (3 + i / 2 % 3) * 2 + i % 2);
  putBlock(block, part.data(), back.data(), sizeof(int));
  for (int i = 0; i < 48; ++i)
    EXPECT_TRUE(back[i] == whole[i] || back[i] == -1);
  EXPECT_EQ(std::count(back.begin(), back.end(), -1), 36);
}

TEST(Block, PaddingRepeatsTheLastRow) {
  // The second block of two rows, of three rows in all: one row of padding.
  TensorBlock block{{3, 2}, {2, 0}, {2, 2}};
  std::vector<int> whole = {1, 2, 3, 4, 5, 6}, part(4);
  takeBlock(block, whole.data(), part.data(), sizeof(int));
  EXPECT_EQ(part, (std::vector<int>{5, 6, 5, 6}));
  int none = -1;
  takeBlock(block, whole.data(), part.data(), sizeof(int), &none);
  EXPECT_EQ(part, (std::vector<int>{5, 6, -1, -1}));
  std::vector<int> back(6, 0);
  putBlock(block, part.data(), back.data(), sizeof(int));
  EXPECT_EQ(back, (std::vector<int>{0, 0, 0, 0, 5, 6}));
}

/// A parameter of 16 x 12 with a view of each kind.
ParameterInfo makeParameter(bool transpose, bool slice,
                            std::optional<int64_t> heads) {
  ParameterInfo info;
  info.name = "w";
  info.shape = {16, 12};
  info.init.kind = InitInfo::Kind::Normal;
  info.init.std = 1;
  FileView view;
  view.name = "w.weight";
  view.transpose = transpose;
  view.fileShape =
      transpose ? std::vector<int64_t>{12, 16} : std::vector<int64_t>{16, 12};
  view.permuteHeads = heads;
  if (slice) {
    int64_t axis = transpose ? 1 : 0;
    view.fileShape[axis] += 10;
    view.slice = {axis, 7};
  }
  info.views["hf"] = {view};
  return info;
}

/// All ways to cut the parameter read what cutting the whole one gives, from a
/// random source and from a file.
void checkBlocks(const ParameterInfo &info, const WeightSource &source) {
  std::vector<ParameterInfo> parameters = {info};
  std::vector<float> whole(16 * 12);
  ASSERT_TRUE(loadParameters(source, parameters,
                             [&](size_t, int64_t) { return whole.data(); }));
  for (int64_t rows : {16, 8, 4, 2, 1})
    for (int64_t cols : {12, 6, 3})
      for (int64_t row = 0; row < 16; row += rows)
        for (int64_t col = 0; col < 12; col += cols) {
          std::vector<float> part(rows * cols);
          ParameterTarget target;
          target.data = part.data();
          target.block = MatrixBlock{row, rows, col, cols};
          auto status =
              loadTargetSets(source, parameters,
                             {{"", [&](size_t, int64_t) { return target; }}});
          ASSERT_TRUE(status) << status.error().str();
          for (int64_t i = 0; i < rows * cols; ++i)
            ASSERT_EQ(part[i], whole[(row + i / cols) * 12 + col + i % cols]);
        }
}

TEST(Block, RandomWeights) {
  auto source = WeightSource::open("random:7");
  ASSERT_TRUE(source);
  for (bool transpose : {false, true})
    for (bool slice : {false, true})
      for (std::optional<int64_t> heads :
           {std::optional<int64_t>(), std::optional<int64_t>(2)})
        if (!slice || !heads)
          checkBlocks(makeParameter(transpose, slice, heads), **source);
}

TEST(Block, FilesAndBytesRead) {
  std::string path = (std::filesystem::path(testing::TempDir()) /
                      fmt::format("block-{}.safetensors", getpid()))
                         .string();
  std::vector<float> values(16 * 12);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = float(i);
  OutputTensor tensor;
  tensor.name = "w.weight";
  tensor.dtype = "F32";
  tensor.shape = {16, 12};
  tensor.data = values.data();
  ASSERT_TRUE(writeSafetensors(path, {tensor}, {}));
  std::vector<ParameterInfo> parameters = {makeParameter(false, false, {})};
  {
    auto source = WeightSource::open(path);
    ASSERT_TRUE(source);
    checkBlocks(parameters[0], **source);
  }
  auto source = WeightSource::open(path);
  ASSERT_TRUE(source);
  uint64_t header = (*source)->bytesRead();
  std::vector<float> part(4 * 6);
  ParameterTarget target;
  target.data = part.data();
  target.block = MatrixBlock{8, 4, 6, 6};
  ASSERT_TRUE(loadTargetSets(**source, parameters,
                             {{"", [&](size_t, int64_t) { return target; }}}));
  EXPECT_EQ((*source)->bytesRead() - header, 4u * 6 * 4);
  std::filesystem::remove(path);
}

} // namespace
