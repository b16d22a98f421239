//===- ImagesTest.cpp - Tests of choosing GPU code ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/Images.h"

#include <gtest/gtest.h>

using namespace qrt;
using namespace qrt::cuda;

namespace {

std::string choices(uint32_t arch) {
  static const qrt_image images[] = {
      {QRT_PTX, 80, 0, 0, "", 1},   {QRT_PTX, 90, 0, 0, "", 1},
      {QRT_PTX, 90, 1, 0, "", 1},   {QRT_CUBIN, 90, 1, 0, "", 1},
      {QRT_CUBIN, 80, 0, 0, "", 1}, {QRT_CUBIN, 86, 0, 0, "", 1},
  };
  qrt_variant variant{};
  variant.images = images;
  variant.num_images = sizeof images / sizeof *images;
  std::string names;
  for (const qrt_image *image : imagesFor(variant, arch))
    names += nameOf(*image) + ", ";
  return names;
}

TEST(Images, OwnCodeComesFirstAndNothingNewerRuns) {
  EXPECT_EQ(choices(90), "sm_90a cubin, sm_90a PTX, sm_90 PTX, sm_80 PTX, ");
  EXPECT_EQ(choices(89), "sm_86 cubin, sm_80 cubin, sm_80 PTX, ");
  EXPECT_EQ(choices(80), "sm_80 cubin, sm_80 PTX, ");
  // sm_90a is for 9.0 alone.
  EXPECT_EQ(choices(100), "sm_90 PTX, sm_80 PTX, ");
  EXPECT_EQ(choices(75), "");
}

TEST(Images, SerialisedCodeIsFoundInTheLog) {
  EXPECT_EQ(serialisation(""), "");
  EXPECT_EQ(serialisation("info: 0 bytes gmem\ninfo: C7519 injected\n"), "");
  EXPECT_EQ(serialisation("a\nwarning C7512: wgmma serialized\nC7504 ignored"),
            "warning C7512: wgmma serialized; C7504 ignored");
  EXPECT_EQ(serialisation("C7510"), "C7510");
}

} // namespace
