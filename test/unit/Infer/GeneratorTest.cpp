//===- GeneratorTest.cpp - Tests of generation --------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/infer/Generator.h"
#include "test/unit/Mesh/Helpers.h"

#include <cmath>

#include <gtest/gtest.h>

using namespace qrt;

namespace {

constexpr int64_t kVocab = 16, kContext = 32;

class GeneratorTest : public testing::Test {
protected:
  void SetUp() override {
    auto module = Module::open(TEST_MODULE_F32);
    ASSERT_TRUE(module) << module.error().str();
    devices = test::makeDevices(*module, 2);
    auto made = SessionGroup::create(*devices, {"prefill", "decode", "logits"});
    ASSERT_TRUE(made) << made.error().str();
    session = std::move(*made);
    for (int p = 0; p < 3; ++p) {
      auto *values =
          static_cast<float *>(session->first().parameter(p, "compute"));
      int64_t n = session->manifest().parameters[p].elements();
      for (int64_t i = 0; i < n; ++i)
        values[i] = 2 * std::sin(float(i * i + p));
    }
  }

  GenerateResult generate(const GenerateRequest &request) {
    auto generator = Generator::create(*session);
    EXPECT_TRUE(generator);
    auto result = generator->generate(request);
    EXPECT_TRUE(result) << result.error().str();
    return result ? *result : GenerateResult();
  }

  /// The most likely token behind `ids` by the entry that has no cache.
  int32_t greedy(std::vector<int32_t> ids) {
    auto call = session->prepare("logits");
    // The model looks at two tokens only.
    ids.erase(ids.begin(), ids.end() - std::min<size_t>(ids.size(), 2));
    std::vector<float> logits(ids.size() * kVocab);
    call->bindInput("tokens", ids.data());
    call->bindOutput("logits", logits.data());
    call->setExtent("batch", 1);
    call->setExtent("sequence", static_cast<int64_t>(ids.size()));
    EXPECT_TRUE(call->run());
    auto last = logits.end() - kVocab;
    return static_cast<int32_t>(std::max_element(last, logits.end()) - last);
  }

  std::unique_ptr<DeviceGroup> devices;
  std::unique_ptr<SessionGroup> session;
};

TEST_F(GeneratorTest, CacheAndChunksGiveWhatTheWholeModelGives) {
  // Prompts shorter than, equal to, and longer than a prefill of 4.
  for (int64_t length : {1, 2, 4, 5, 9, 17}) {
    GenerateRequest request;
    for (int64_t i = 0; i < length; ++i)
      request.prompt.push_back(static_cast<int32_t>(i * 7 % kVocab));
    request.sampling.temperature = 0;
    request.maxTokens = 10;
    GenerateResult result = generate(request);
    ASSERT_EQ(result.ids.size(), 10u);
    EXPECT_EQ(result.reason, StopReason::Length);
    std::vector<int32_t> all = request.prompt;
    for (int32_t id : result.ids) {
      ASSERT_EQ(id, greedy(all)) << "prompt of " << length;
      all.push_back(id);
    }
  }
}

TEST_F(GeneratorTest, EndsAtTheContext) {
  GenerateRequest request;
  request.prompt = {1, 2, 3};
  request.maxTokens = 1000;
  GenerateResult result = generate(request);
  EXPECT_EQ(result.reason, StopReason::Context);
  EXPECT_EQ(result.ids.size(), size_t(kContext - 3));
  request.context = 10;
  EXPECT_EQ(generate(request).ids.size(), 7u);
}

TEST_F(GeneratorTest, EndsAtAnyEndToken) {
  GenerateRequest request;
  request.prompt = {1, 2, 3};
  request.sampling.temperature = 0;
  request.maxTokens = 12;
  auto free = generate(request);
  request.eos = {free.ids[4], 15};
  auto ended = generate(request);
  EXPECT_EQ(ended.reason, StopReason::Eos);
  EXPECT_EQ(ended.ids.back(), free.ids[4]);
  EXPECT_LE(ended.ids.size(), 5u);
  request.ignoreEos = true;
  EXPECT_EQ(generate(request).ids, free.ids);
}

TEST_F(GeneratorTest, StopStringsMayLieAcrossTokens) {
  GenerateRequest request;
  request.prompt = {1, 2, 3};
  request.sampling.temperature = 0;
  request.maxTokens = 12;
  request.textOf = [](int32_t id) {
    return std::string(1, 'a' + char(id)) + "-";
  };
  std::string whole = generate(request).text;
  request.stop = {"zzz", whole.substr(5, 4)};
  auto result = generate(request);
  EXPECT_EQ(result.reason, StopReason::Stop);
  EXPECT_EQ(result.text, whole.substr(0, whole.find(whole.substr(5, 4))));
}

TEST_F(GeneratorTest, TheSameSeedGivesTheSameText) {
  GenerateRequest request;
  request.prompt = {4};
  request.maxTokens = 20;
  request.sampling.seed = 99;
  auto first = generate(request).ids;
  EXPECT_EQ(first, generate(request).ids);
  request.sampling.seed = 100;
  EXPECT_NE(first, generate(request).ids);
}

TEST_F(GeneratorTest, BadPromptsAreErrors) {
  auto generator = Generator::create(*session);
  ASSERT_TRUE(generator);
  GenerateRequest request;
  EXPECT_EQ(generator->generate(request).error().code, 7031);
  request.prompt = {16};
  EXPECT_EQ(generator->generate(request).error().code, 7031);
  request.prompt = {-1};
  EXPECT_EQ(generator->generate(request).error().code, 7031);
  request.prompt.assign(kContext + 1, 0);
  auto tooLong = generator->generate(request);
  EXPECT_EQ(tooLong.error().code, 7032);
  EXPECT_NE(tooLong.error().message.find("33"), std::string::npos);
  request.prompt = {1};
  request.context = kContext + 1;
  EXPECT_EQ(generator->generate(request).error().code, 7032);
}

} // namespace
