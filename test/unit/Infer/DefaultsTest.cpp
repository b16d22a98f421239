//===- DefaultsTest.cpp - Tests of generation_config.json ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/infer/Defaults.h"

#include <gtest/gtest.h>

using namespace qrt;
using nlohmann::json;

TEST(GenerationDefaults, WithoutAFile) {
  auto defaults = readGenerationDefaults(nullptr, {{"eos_token_id", 7}}, "");
  ASSERT_TRUE(defaults);
  EXPECT_EQ(defaults->sampling.temperature, 1);
  EXPECT_EQ(defaults->sampling.topK, 0);
  EXPECT_EQ(defaults->eos, std::vector<int32_t>{7});
}

TEST(GenerationDefaults, FromAFile) {
  json config = {{"temperature", 0.6},
                 {"top_p", 0.95},
                 {"top_k", 20},
                 {"repetition_penalty", 1.05},
                 {"eos_token_id", {151645, 151643}},
                 {"do_sample", true}};
  auto defaults = readGenerationDefaults(config, {{"eos_token_id", 1}}, "");
  ASSERT_TRUE(defaults);
  EXPECT_EQ(defaults->sampling.temperature, 0.6);
  EXPECT_EQ(defaults->sampling.topK, 20);
  EXPECT_EQ(defaults->sampling.repetitionPenalty, 1.05);
  EXPECT_EQ(defaults->eos, (std::vector<int32_t>{151645, 151643}));
  config["do_sample"] = false;
  EXPECT_EQ(readGenerationDefaults(config, nullptr, "")->sampling.temperature,
            0);
}

TEST(GenerationDefaults, WrongKindsAreErrors) {
  for (json config : {json{{"temperature", "hot"}}, json{{"top_k", -3}},
                      json{{"eos_token_id", "end"}},
                      json{{"eos_token_id", {1, -1}}}, json{{"do_sample", 1}}})
    EXPECT_FALSE(readGenerationDefaults(config, nullptr, "dir")) << config;
}
