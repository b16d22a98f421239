//===- PresetsTest.cpp - Every preset of models/ --------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <chrono>
#include <cmath>
#include <set>

#include "compiler/Frontend/Spec.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"

using namespace qwen;

static std::string pathOf(const std::string &name) {
  return std::string(QWEN_MODELS_DIR) + "/" + name + ".yaml";
}

static ModelSpec load(const std::string &name,
                      std::vector<std::string> overrides = {}) {
  llvm::Expected<ModelSpec> spec = loadModel(pathOf(name), {overrides});
  if (!spec) {
    ADD_FAILURE() << name << ": " << llvm::toString(spec.takeError());
    return {};
  }
  return std::move(*spec);
}

TEST(Presets, ParameterCounts) {
  struct Row {
    const char *name;
    int64_t parameters;
    std::vector<std::string> overrides;
  };
  // The published sizes; for those of our own, counted by hand.
  const Row rows[] = {
      {"qwen3-0.6b", 596049920, {}},
      {"qwen3-1.7b", 1720574976, {}},
      {"qwen3-4b", 4022468096, {}},
      {"qwen3-8b", 8190735360, {}},
      {"qwen3-14b", 14768307200, {}},
      {"qwen3-32b", 32762123264, {}},
      {"qwen3-1.5b", 2031739904, {}},
      {"qwen3-2b", 2434342144, {}},
      {"qwen2.5-0.5b", 494032768, {}},
      {"qwen2.5-1.5b", 1543714304, {}},
      {"qwen2.5-coder-1.5b", 1543714304, {}},
      {"qwen2.5-3b", 3085938688, {}},
      {"qwen2.5-7b", 7615616512, {}},
      {"qwen2.5-coder-7b", 7615616512, {}},
      {"qwen2.5-14b", 14770033664, {}},
      {"qwen2.5-32b", 32763876352, {}},
      {"qwen2.5-72b", 72706203648, {}},
      {"llama-2-7b", 6738415616, {}},
      {"llama-2-13b", 13015864320, {}},
      {"llama-2-70b", 68976648192, {}},
      {"llama-3-8b", 8030261248, {}},
      {"llama-3-70b", 70553706496, {}},
      {"llama-3.2-1b", 1235814400, {}},
      {"llama-3.2-3b", 3212749824, {}},
      {"gpt2", 124439808, {}},
      {"gpt2-medium", 354823168, {}},
      {"gpt2-large", 774030080, {}},
      {"gpt2-xl", 1557611200, {}},
      {"gpt2-1.3b", 1281828096, {}},
      {"llama-3-1.5b", 1553681664, {}},
      {"nanochat", 560988160, {"dims.depth=20", "dims.vocab=65536"}},
      {"qwen25-small", 155833344, {"dims.depth=12", "dims.vocab=50304"}},
      {"qwen3-7m", 7029824, {}},
  };
  for (const Row &row : rows)
    EXPECT_EQ(load(row.name, row.overrides).numParameters(), row.parameters)
        << row.name;
}

TEST(Presets, AllLoadFastAndAreComplete) {
  std::error_code ec;
  int count = 0;
  for (llvm::sys::fs::directory_iterator it(QWEN_MODELS_DIR, ec), end;
       it != end && !ec; it.increment(ec)) {
    if (llvm::sys::path::extension(it->path()) != ".yaml")
      continue;
    ++count;
    auto start = std::chrono::steady_clock::now();
    llvm::Expected<ModelSpec> spec = loadModel(it->path());
    double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    ASSERT_TRUE(bool(spec)) << llvm::toString(spec.takeError());
    EXPECT_LT(seconds, 0.2) << it->path();
    // Every preset can be trained and saved as it is.
    EXPECT_FALSE(spec->schedule.horizon.empty()) << it->path();
    EXPECT_TRUE(spec->hfConfig.get("architectures")) << it->path();
    EXPECT_GT(spec->flopsPerToken().train, 0);
    std::set<std::string> names;
    for (const Param &param : spec->params) {
      EXPECT_TRUE(param.views.count("hf"));
      for (const FileView &view : param.views.at("hf"))
        if (!view.slice) {
          EXPECT_TRUE(names.insert(view.name).second) << view.name;
        }
    }
  }
  EXPECT_GE(count, 32);
}

TEST(Presets, Qwen3) {
  ModelSpec spec = load("qwen3-0.6b");
  EXPECT_EQ(spec.name, "qwen3-0.6b");
  EXPECT_EQ(spec.family, "qwen3");
  EXPECT_EQ(spec.dim("head_dim"), 128);
  EXPECT_EQ(spec.normEps, 1e-6);
  EXPECT_EQ(spec.rope.theta, 1e6);
  EXPECT_TRUE(spec.tieEmbeddings);
  EXPECT_EQ(spec.dtype, DType::BF16);
  EXPECT_EQ(spec.numEmbeddingParameters(), 151936 * 1024);
  // Tied: the head is the embedding, and reads the head's name as an alias.
  EXPECT_EQ(spec.findParam("head"), nullptr);
  const Param &embed = spec.param("embed");
  ASSERT_EQ(embed.views.at("hf").size(), 2u);
  EXPECT_EQ(embed.views.at("hf")[1].name, "lm_head.weight");
  EXPECT_TRUE(embed.views.at("hf")[1].alias);
  EXPECT_EQ(spec.model.ops.back().weight, "embed");
  const Param &q = spec.param("q_proj");
  EXPECT_EQ(q.axes[0].str(), "heads*head_dim");
  EXPECT_EQ(q.shape(), (std::vector<int64_t>{2048, 1024}));
  EXPECT_EQ(q.group, 0u);
  EXPECT_EQ(spec.param("q_norm").group, 1u);
  // norm, q, k, v, q_norm, k_norm, rope, rope, attention, o, add, ...
  ASSERT_EQ(spec.block.ops.size(), 17u);
  EXPECT_EQ(spec.block.ops[4].kind, OpKind::RmsNorm);
  EXPECT_TRUE(spec.block.ops[4].perHead);
  EXPECT_EQ(spec.block.ops[8].kind, OpKind::Attention);
  EXPECT_EQ(spec.block.ops[8].kvHeads, 8);
  EXPECT_DOUBLE_EQ(spec.block.ops[8].scale, 1 / std::sqrt(128.0));
  EXPECT_EQ(spec.block.ops[10].kind, OpKind::Add);
  EXPECT_EQ(spec.block.ops[10].inputs, (std::vector<unsigned>{0, 10}));
  // Every op knows its line in the family's file.
  EXPECT_GT(spec.block.ops[4].loc.line, 1u);
  EXPECT_EQ(llvm::sys::path::filename(spec.block.ops[4].loc.file),
            "qwen3.yaml");
}

TEST(Presets, Flops) {
  // 6 N_mm + 12 L H Q T, the head counted once, the lookup not.
  ModelSpec spec = load("qwen3-0.6b", {"train.sequence=2048"});
  int64_t layer = 2048 * 1024 * 2 + 1024 * 1024 * 2 + 3 * 3072 * 1024;
  int64_t matmul = 28 * layer + 151936 * int64_t(1024);
  int64_t attention = int64_t(28) * 2048 * 2048;
  FlopCounts flops = spec.flopsPerToken();
  EXPECT_EQ(flops.train, 6 * matmul + 12 * attention);
  EXPECT_EQ(flops.trainCausal, 6 * matmul + 6 * attention);
  EXPECT_EQ(flops.forward, 2 * matmul + 4 * attention);
  EXPECT_NEAR(double(flops.trainCausal), 4.28e9, 0.01e9);
}

TEST(Presets, GPT2FilesHoldTransposedSlices) {
  ModelSpec spec = load("gpt2");
  const FileView &k = spec.param("k_proj").views.at("hf").front();
  EXPECT_EQ(k.name, "transformer.h.{i}.attn.c_attn.weight");
  EXPECT_TRUE(k.transpose);
  EXPECT_EQ(k.fileShape, (std::vector<int64_t>{768, 2304}));
  EXPECT_EQ(k.slice->axis, 1u);
  EXPECT_EQ(k.slice->begin, 768);
  EXPECT_NEAR(spec.param("o_proj").init.second, 0.02 / std::sqrt(24.0), 1e-15);
}

TEST(Presets, Nanochat) {
  ModelSpec spec = load("nanochat", {"dims.depth=4"});
  EXPECT_EQ(spec.dim("hidden"), 256);
  EXPECT_EQ(spec.dim("heads"), 2);
  EXPECT_EQ(spec.model.ops.back().kind, OpKind::Softcap);
  EXPECT_EQ(spec.model.ops.back().value, 15);
  // N(0, min(1, sqrt(out / in)) / sqrt(in)).
  EXPECT_DOUBLE_EQ(spec.param("q_proj").init.second, 1 / 16.0);
  EXPECT_DOUBLE_EQ(spec.param("up_proj").init.second, 1 / 16.0);
  EXPECT_EQ(spec.param("o_proj").init.kind, Init::Kind::Zeros);
  EXPECT_EQ(spec.param("q_proj").views.at("original").front().name,
            "transformer.h.{i}.attn.c_q.weight");
  bool inverse = false;
  for (const GraphOp &op : spec.block.ops)
    inverse |= op.kind == OpKind::Rope && op.inverse;
  EXPECT_TRUE(inverse);
}

TEST(Presets, Qwen25SmallHasNoNormWeights) {
  ModelSpec spec = load("qwen25-small");
  EXPECT_EQ(spec.dim("ffn"), 2073);
  EXPECT_EQ(spec.findParam("attn_norm"), nullptr);
  EXPECT_EQ(spec.block.ops.front().kind, OpKind::RmsNorm);
  EXPECT_EQ(spec.block.ops.front().weight, "");
}

TEST(Presets, RopeScaling) {
  // The frequencies (number, value) and the factor that transformers 5.23 gives
  // in float32.
  struct Case {
    const char *preset;
    int64_t headDim;
    std::vector<std::string> overrides;
    double factor;
    std::vector<std::pair<int, double>> frequencies;
  };
  const Case cases[] = {
      {"llama-3.2-1b",
       64,
       {},
       1.0,
       {{0, 1.0},
        {14, 0.0032114461064338684},
        {15, 0.0012905480107292533},
        {17, 9.708286233944818e-05},
        {31, 9.418306490260875e-08}}},
      {"qwen2.5-7b",
       128,
       {"rope.scaling={type: yarn, factor: 4, original_context: 32768}"},
       1.138629436111989,
       {{16, 0.03162277862429619},
        {30, 0.0010643609566614032},
        {31, 0.000802959781140089}}},
      {"qwen2.5-7b",
       128,
       {"rope.scaling={type: yarn, factor: 8, original_context: 4096, "
        "beta_fast: 16, beta_slow: 2, truncate: false, mscale: 0.7, "
        "mscale_all_dim: 1.3}"},
       0.9017839869787123,
       {{17, 0.025482967495918274},
        {20, 0.009912078268826008},
        {31, 0.00015511723177041858}}},
      {"llama-2-7b",
       128,
       {"rope.scaling={type: linear, factor: 3}"},
       1.0,
       {{0, 0.3333333432674408}, {31, 0.0038492733146995306}}},
  };
  for (const Case &c : cases) {
    ModelSpec spec = load(c.preset, c.overrides);
    std::vector<double> f = spec.rope.inverseFrequencies(c.headDim);
    EXPECT_EQ(int64_t(f.size()), c.headDim / 2);
    EXPECT_NEAR(spec.rope.scaling.attentionFactor, c.factor, 1e-12);
    for (auto [i, value] : c.frequencies)
      EXPECT_NEAR(f[i] / value, 1, 1e-6) << c.preset << " " << i;
  }
}

TEST(Presets, SameBytesTwice) {
  auto text = [] {
    ModelSpec spec = load("qwen3-0.6b");
    std::string out;
    llvm::raw_string_ostream os(out);
    os << llvm::json::Value(manifestArchitecture(spec))
       << llvm::json::Value(manifestDefaults(spec))
       << llvm::json::Value(manifestParameters(spec));
    return out;
  };
  EXPECT_EQ(text(), text());
}
