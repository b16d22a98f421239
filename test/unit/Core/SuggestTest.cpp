//===- SuggestTest.cpp - Tests of name suggestions --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Suggest.h"
#include "runtime/core/Progress.h"

#include <gtest/gtest.h>

using namespace qrt;

TEST(Suggest, CountsEdits) {
  EXPECT_EQ(editDistance("", "abc"), 3u);
  EXPECT_EQ(editDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(editDistance("wiehgt", "weight"), 2u);
  EXPECT_EQ(editDistance("ab", "ba"), 1u);
}

TEST(Suggest, NamesOnlyWhatIsNear) {
  std::vector<std::string> names = {"--weights", "--tokenizer", "--top-k"};
  EXPECT_EQ(nearestName("--wieghts", names), "--weights");
  EXPECT_EQ(nearestName("--tokeniser", names), "--tokenizer");
  EXPECT_EQ(nearestName("--frobnicate", names), "");
  EXPECT_EQ(didYouMean("--weight", names), "; did you mean '--weights'?");
}

TEST(Progress, Formats) {
  EXPECT_EQ(formatDuration(42.4), "42s");
  EXPECT_EQ(formatDuration(187), "3m07s");
  EXPECT_EQ(formatDuration(3720), "1h02m");
  EXPECT_EQ(formatCount(999), "999");
  EXPECT_EQ(formatCount(1234), "1.23k");
  EXPECT_EQ(formatCount(45600000), "45.6M");
  EXPECT_EQ(formatBytes(512), "512 B");
  EXPECT_EQ(formatBytes(1536), "1.5 KiB");
}
