//===- InspectTest.cpp - Tests of describing weights ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Inspect.h"
#include "Helpers.h"
#include "runtime/core/Json.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace qrt;
using namespace qrt::test;

namespace {

struct GgufCase {
  GgufBuilder builder;
  uint32_t layers = 1, heads = 4, kvHeads = 2, width = 8, eos = 2;
  float eps = 1e-5f;
  std::vector<std::string> tokens = {"a", "b", "c"};
  uint64_t scores = 3, types = 3;
  bool withTensors = true;
  std::string family = "llama";

  std::string bytes() {
    GgufBuilder b = builder;
    b.string("general.architecture", family);
    b.scalar<uint32_t>(family + ".block_count", 4, layers)
        .scalar<uint32_t>(family + ".context_length", 4, 32)
        .scalar<uint32_t>(family + ".embedding_length", 4, width)
        .scalar<uint32_t>(family + ".attention.head_count", 4, heads)
        .scalar<uint32_t>(family + ".attention.head_count_kv", 4, kvHeads)
        .scalar<float>(family + ".attention.layer_norm_rms_epsilon", 6, eps)
        .strings("tokenizer.ggml.tokens", tokens)
        .scalar<uint32_t>("tokenizer.ggml.eos_token_id", 4, eos);
    std::string list = raw<uint32_t>(9) + raw<uint32_t>(6) + raw(scores);
    for (uint64_t i = 0; i < scores; ++i)
      list += raw<float>(0);
    b.value("tokenizer.ggml.scores", list);
    list = raw<uint32_t>(9) + raw<uint32_t>(5) + raw(types);
    for (uint64_t i = 0; i < types; ++i)
      list += raw<int32_t>(1);
    b.value("tokenizer.ggml.token_type", list);
    if (withTensors)
      b.tensor("token_embd.weight", {8, 3}, 0, 96)
          .tensor("blk.0.ffn_up.weight", {32, 2}, 8, 68);
    return b.build();
  }
};

/// The error of describing these bytes, or "valid".
std::string verdict(const std::string &bytes) {
  TempDir dir;
  writeFile(dir / "m.gguf", bytes);
  auto result = describeWeights(dir / "m.gguf");
  return result ? "valid" : result.error().message;
}

template <typename Change> std::string changed(Change change) {
  GgufCase c;
  change(c);
  return verdict(c.bytes());
}

TEST(Inspect, Gguf) {
  TempDir dir;
  GgufCase good;
  writeFile(dir / "m.gguf", good.bytes());
  auto d = describeWeights(dir / "m.gguf");
  ASSERT_TRUE(d) << d.error().str();
  EXPECT_EQ((*d)["format"], "gguf");
  EXPECT_EQ((*d)["elements"], 24 + 64);
  EXPECT_EQ((*d)["bytes"], 96 + 68);
  EXPECT_EQ((*d)["tensors"][1]["dtype"], "Q8_0");
  EXPECT_EQ((*d)["tensors"][1]["shape"], (std::vector<int>{2, 32}));
  EXPECT_EQ((*d)["metadata"]["llama.block_count"], 1);
  EXPECT_EQ((*d)["metadata"]["tokenizer.ggml.tokens"],
            (std::vector<std::string>{"a", "b", "c"}));
  std::string text = weightsText(*d);
  EXPECT_NE(text.find("blk.0.ffn_up.weight"), std::string::npos);
  EXPECT_NE(text.find("[2, 32]"), std::string::npos);
}

TEST(Inspect, AVocabularyWithoutTensorsIsValid) {
  EXPECT_EQ(changed([](GgufCase &c) { c.withTensors = false; }), "valid");
  EXPECT_EQ(verdict(GgufBuilder()
                        .strings("tokenizer.ggml.tokens", {"a"})
                        .string("general.architecture", "llama")
                        .build()),
            "valid");
  EXPECT_EQ(verdict(GgufBuilder().build()), "valid");
}

TEST(Inspect, BadHyperparametersOfGguf) {
  auto has = [](const std::string &text, const char *part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  for (bool tensors : {true, false}) {
    auto bad = [&](auto change) {
      return changed([&](GgufCase &c) {
        c.withTensors = tensors;
        change(c);
      });
    };
    has(bad([](GgufCase &c) { c.heads = 0; }), "llama.attention.head_count");
    has(bad([](GgufCase &c) { c.kvHeads = 0; }), "head_count_kv");
    has(bad([](GgufCase &c) { c.kvHeads = 3; }), "not a multiple");
    has(bad([](GgufCase &c) { c.heads = 3, c.kvHeads = 3; }), "not a multiple");
    has(bad([](GgufCase &c) { c.layers = 0; }), "block_count");
    has(bad([](GgufCase &c) { c.width = 0; }), "embedding_length");
    has(bad([](GgufCase &c) { c.width = 0xFFFFFFFF; }), "embedding_length");
    has(bad([](GgufCase &c) { c.eps = std::nanf(""); }), "epsilon");
    has(bad([](GgufCase &c) { c.eps = INFINITY; }), "epsilon");
    has(bad([](GgufCase &c) { c.eps = -1; }), "epsilon");
    has(bad([](GgufCase &c) { c.eos = 3; }), "eos_token_id is 3");
    has(bad([](GgufCase &c) { c.eos = 0xFFFFFFFF; }), "eos_token_id");
    has(bad([](GgufCase &c) { c.scores = 2; }), "2 scores for 3 tokens");
    has(bad([](GgufCase &c) { c.scores = 0; }), "0 scores");
    has(bad([](GgufCase &c) { c.types = 4; }), "4 token types");
    has(bad([](GgufCase &c) { c.tokens = {"a", "b", "a"}; }), "twice");
    has(bad([](GgufCase &c) { c.tokens = {}; }), "empty");
    has(bad([](GgufCase &c) {
          c.builder.scalar<float>("llama.rope.freq_base", 6, -1);
        }),
        "freq_base");
    has(bad([](GgufCase &c) {
          c.builder.string("llama.context_length_x", "?")
              .scalar<uint32_t>("llama.rope.dimension_count", 4, 5);
        }),
        "rotary");
    has(bad([](GgufCase &c) {
          c.builder.scalar<uint32_t>("llama.vocab_size", 4, 2);
        }),
        "vocab_size is 2");
  }
  has(changed([](GgufCase &c) { c.width = 16; }), "token_embd.weight");
  has(changed([](GgufCase &c) { c.layers = 2; }), "block_count is 2");
  has(changed([](GgufCase &c) { c.tokens = {"a", "b", "c", "d"}; }), "rows");
  has(changed([](GgufCase &c) { c.heads = 0, c.eos = 9, c.scores = 1; }),
      "3 findings");
  has(verdict(GgufBuilder().tensor("a", {1}, 0, 4).build()),
      "general.architecture is missing");
  has(verdict(GgufBuilder()
                  .string("general.architecture", "llama")
                  .tensor("a", {1}, 0, 4)
                  .build()),
      "block_count is missing");
}

TEST(Inspect, OtherFamiliesAreHeldToLess) {
  EXPECT_EQ(changed([](GgufCase &c) { c.family = "mamba", c.heads = 0; }),
            "valid");
  EXPECT_NE(
      changed([](GgufCase &c) { c.family = "mamba", c.eps = std::nanf(""); }),
      "valid");
}

TEST(Inspect, HuggingFaceDirectory) {
  TempDir dir;
  std::vector<float> data(100);
  ASSERT_TRUE(writeSafetensors(dir / "model.safetensors",
                               {f32("model.embed_tokens.weight", {5, 8}, data)},
                               {{"format", "pt"}}));
  nlohmann::json good = {{"model_type", "qwen3"},    {"hidden_size", 8},
                         {"num_hidden_layers", 2},   {"num_attention_heads", 4},
                         {"num_key_value_heads", 2}, {"head_dim", nullptr},
                         {"vocab_size", 5},          {"rms_norm_eps", 1e-6},
                         {"eos_token_id", {1, 2}}};
  auto describe = [&](const nlohmann::json &config) {
    writeFile(dir / "config.json", config.dump());
    return describeWeights(dir.path());
  };
  auto d = describe(good);
  ASSERT_TRUE(d) << d.error().str();
  EXPECT_EQ((*d)["config"]["model_type"], "qwen3");
  EXPECT_EQ((*d)["metadata"]["format"], "pt");
  for (auto [key, value] :
       {std::pair<const char *, nlohmann::json>("hidden_size", 0),
        {"hidden_size", -8},
        {"hidden_size", "8"},
        {"hidden_size", 9},
        {"hidden_size", 16},
        {"num_hidden_layers", 0},
        {"num_hidden_layers", 1e30},
        {"num_attention_heads", 3},
        {"num_attention_heads", 0},
        {"num_key_value_heads", 3},
        {"head_dim", 0},
        {"vocab_size", 6},
        {"vocab_size", 0},
        {"rms_norm_eps", -1},
        {"rms_norm_eps", "x"},
        {"eos_token_id", 5},
        {"eos_token_id", -1},
        {"eos_token_id", {1, 5}},
        {"eos_token_id", "</s>"}}) {
    nlohmann::json bad = good;
    bad[key] = value;
    auto result = describe(bad);
    ASSERT_FALSE(result) << bad.dump();
    EXPECT_EQ(result.error().code, 3012);
    EXPECT_EQ(result.error().where, dir / "config.json");
  }
  EXPECT_FALSE(describe(nlohmann::json::array()));
}

TEST(Inspect, TextIsSafeForTerminals) {
  TempDir dir;
  std::vector<float> data(1);
  ASSERT_TRUE(writeSafetensors(dir / "m.safetensors",
                               {f32("a\x1b[2J\nb", {1}, data)},
                               {{"k\x1b", "v\x07"}}));
  auto d = describeWeights(dir / "m.safetensors");
  ASSERT_TRUE(d) << d.error().str();
  for (char c : weightsText(*d))
    EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

TEST(Inspect, RealFiles) {
  std::string shared = sharedData();
  if (shared.empty())
    GTEST_SKIP() << "needs the shared data";
  for (const char *w :
       {"/models/stories260K", "/models/stories260K/model.safetensors",
        "/models/stories260K/stories260K.gguf",
        "/tokenizer/ggml/ggml-vocab-gpt-2.gguf",
        "/tokenizer/ggml/ggml-vocab-llama-spm.gguf"}) {
    auto d = describeWeights(shared + w);
    EXPECT_TRUE(d) << d.error().str();
  }
  auto d = describeWeights("random:5");
  ASSERT_TRUE(d);
  EXPECT_EQ(weightsText(*d), "random weights of seed 5\n");
}

} // namespace
