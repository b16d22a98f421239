//===- SettingsTest.cpp - Tests of --set --------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Settings.h"

#include <gtest/gtest.h>

using namespace qrt;

namespace {

Manifest manifest() {
  auto result = readManifest(TEST_MODULE_F32);
  EXPECT_TRUE(result) << result.error().str();
  return std::move(*result);
}

std::string messageOf(const std::string &assignment) {
  ManifestDefaults settings;
  auto status = applySetting(settings, assignment);
  return status ? "" : status.error().message;
}

TEST(Settings, RuntimeKeysAreApplied) {
  ManifestDefaults settings = manifest().defaults;
  for (const char *assignment : {"train.accumulate=4",
                                 "train.seed=18446744073709551615",
                                 "train.data=[\"a.bin\",\"b.bin\"]",
                                 "train.optimizer.lr=1e-3",
                                 "train.optimizer.betas=[0.8, 0.99]",
                                 "train.optimizer.eps=1e-6",
                                 "train.optimizer.weight_decay=0",
                                 "train.optimizer.clip=0.5",
                                 "train.schedule.kind=wsd",
                                 "train.schedule.warmup=7",
                                 "train.schedule.min_lr=1e-5",
                                 "checkpoint.every=1e3",
                                 "checkpoint.keep=0",
                                 "checkpoint.best=false",
                                 "eval.every=5",
                                 "eval.batches=6",
                                 "log.every=9",
                                 "train.schedule.decay=0.4",
                                 "train.nonfinite=skip",
                                 "train.max_skips=3",
                                 "train.skip_outliers=6",
                                 "train.document_mask=true",
                                 "checkpoint.keep_every=50",
                                 "checkpoint.async=false",
                                 "eval.sample_every=7",
                                 "eval.sample_tokens=8",
                                 "eval.sample_prompts=[\"A\",\"B\"]"}) {
    auto status = applySetting(settings, assignment);
    EXPECT_TRUE(status) << status.error().str();
  }
  EXPECT_EQ(settings.train.accumulate, 4);
  EXPECT_EQ(settings.train.seed, UINT64_MAX);
  ASSERT_EQ(settings.train.data.size(), 2u);
  EXPECT_EQ(settings.train.data[1].file, "b.bin");
  EXPECT_EQ(settings.train.optimizer.lr, 1e-3);
  EXPECT_EQ(settings.train.optimizer.beta2, 0.99);
  EXPECT_EQ(settings.train.schedule.kind, "wsd");
  EXPECT_EQ(settings.checkpoint.every, 1000);
  EXPECT_FALSE(settings.checkpoint.best);
  ASSERT_TRUE(applySetting(settings, "train.optimizer.betas=0.7,0.8"));
  EXPECT_EQ(settings.train.optimizer.beta1, 0.7);
  ASSERT_TRUE(applySetting(settings, "train.data=plain.bin"));
  ASSERT_EQ(settings.train.data.size(), 1u);
  EXPECT_EQ(settings.train.data[0].file, "plain.bin");
  ASSERT_TRUE(applySetting(
      settings, "train.data=[\"a\", {\"file\": \"b\", \"weight\": 3, "
                "\"type\": \"u16\"}]"));
  EXPECT_EQ(settings.train.data[1].weight, 3);
  EXPECT_EQ(settings.train.data[1].width, 2u);
  EXPECT_TRUE(checkSettings(settings));
}

TEST(Settings, OtherKeysAreRefused) {
  EXPECT_EQ(messageOf("train.batch=3"),
            "train.batch: compiled into model.so; recompile with --set "
            "train.batch=3");
  for (const char *key : {"dims.layers", "dtype", "rope.theta", "infer.context",
                          "parallel.mesh", "train.optimizer.kind"})
    EXPECT_NE(messageOf(std::string(key) + "=1").find("compiled into model.so"),
              std::string::npos)
        << key;
  EXPECT_NE(messageOf("train.optimizer.lrr=1")
                .find("did you mean 'train.optimizer.lr'"),
            std::string::npos);
  EXPECT_NE(messageOf("checkpoint").find("not of the form"), std::string::npos);
  EXPECT_NE(messageOf("=3").find("not of the form"), std::string::npos);
}

TEST(Settings, ValuesOfTheWrongKindAreRefused) {
  for (const char *assignment :
       {"train.accumulate=0", "train.accumulate=1.5", "train.accumulate=many",
        "train.seed=-1", "train.optimizer.lr=-1", "train.optimizer.lr=nan",
        "train.optimizer.betas=[0.9]", "train.optimizer.betas=[0.9,1]",
        "checkpoint.best=1", "log.every=0", "train.schedule.steps=0",
        "train.data=[1]", "train.data={\"weight\": 1}",
        "train.data={\"file\": \"a\", \"weight\": 0}", "train.nonfinite=go",
        "train.max_skips=0", "train.schedule.decay=1.5",
        "eval.sample_prompts=3", "train.accumulate=99999999999999999999"})
    EXPECT_NE(messageOf(assignment), "") << assignment;
  // A bomb of brackets is text like any other.
  EXPECT_NE(messageOf("train.seed=" + std::string(1 << 20, '[')), "");
}

TEST(Settings, OneHorizon) {
  Manifest m = manifest();
  ManifestDefaults settings = m.defaults; // 64 tokens a step
  EXPECT_EQ(*horizonSteps(settings, m), 24);
  ASSERT_TRUE(applySetting(settings, "train.schedule.tokens=1000"));
  EXPECT_EQ(*horizonSteps(settings, m), 16);
  ASSERT_TRUE(applySetting(settings, "train.schedule.tokens_per_parameter=2"));
  EXPECT_EQ(*horizonSteps(settings, m), 17); // 1088 / 64
  ASSERT_TRUE(applySetting(settings, "train.schedule.flops=38400"));
  EXPECT_EQ(*horizonSteps(settings, m), 2); // 300 a token
  settings.train.schedule = {};
  EXPECT_FALSE(horizonSteps(settings, m));
}

TEST(Settings, TwoHorizonsAreAConflict) {
  EXPECT_TRUE(checkHorizons(
      {"train.schedule.tokens=5", "log.every=1", "train.schedule.tokens=6"}));
  auto status =
      checkHorizons({"train.schedule.tokens=5", "train.schedule.steps=6"});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, 8002);
  EXPECT_NE(status.error().message.find(
                "train.schedule.tokens and train.schedule.steps"),
            std::string::npos);
}

TEST(Settings, MinimumAboveTheRateIsAnError) {
  ManifestDefaults settings = manifest().defaults;
  settings.train.schedule.minLr = 1;
  EXPECT_EQ(checkSettings(settings).error().code, 8001);
}

} // namespace
