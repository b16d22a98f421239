//===- TreeTest.cpp - extends and overrides -------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Spec.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace qwen;

static llvm::Expected<ModelSpec> tiny(std::vector<std::string> overrides) {
  return loadModelFromString("extends: tiny\n", "x.yaml", {overrides});
}

static std::string failure(std::vector<std::string> overrides) {
  llvm::Expected<ModelSpec> spec = tiny(overrides);
  return spec ? "no error" : llvm::toString(spec.takeError());
}

static ModelSpec load(std::vector<std::string> overrides) {
  llvm::Expected<ModelSpec> spec = tiny(overrides);
  if (!spec) {
    ADD_FAILURE() << llvm::toString(spec.takeError());
    return {};
  }
  return std::move(*spec);
}

TEST(Overrides, EveryKindOfKey) {
  ModelSpec spec = load(
      {"dims.layers=3", "dims.ffn=floor(2.7 * hidden)", "dtype=bf16",
       "tie_embeddings=false", "norm_eps=1e-5", "rope.theta=500000",
       "rope.scaling={type: yarn, factor: 4}", "parallel.mesh=2x4",
       "parallel.rules.sequence=data", "memory.budget=2 GiB", "train.batch=6",
       "train.data=[a.bin, b.bin]", "train.optimizer.betas=[0.8, 0.95]",
       "train.schedule.tokens=1e6", "checkpoint.best=false", "eval.every=7",
       "infer.eos=[1, 2]", "block.params.q_proj.init={normal: 0.5}"});
  EXPECT_EQ(spec.dim("layers"), 3);
  EXPECT_EQ(spec.dim("ffn"), 172);
  EXPECT_EQ(spec.dtype, DType::BF16);
  EXPECT_NE(spec.findParam("head"), nullptr);
  EXPECT_EQ(spec.block.ops[0].eps, 1e-5);
  EXPECT_EQ(spec.rope.theta, 5e5);
  EXPECT_EQ(spec.rope.scaling.kind, RopeScaling::Kind::Yarn);
  EXPECT_EQ(spec.rope.scaling.originalContext, 256);
  using Mesh = std::vector<std::pair<std::string, int64_t>>;
  EXPECT_EQ(spec.mesh, (Mesh{{"data", 2}, {"tensor", 4}}));
  EXPECT_EQ(spec.rules["sequence"], "data");
  EXPECT_EQ(spec.rules["vocab"], "tensor");
  EXPECT_EQ(spec.memoryBudget, int64_t(2) << 30);
  EXPECT_EQ(spec.trainBatch, 6);
  EXPECT_EQ(*spec.defaults.getObject("train")->getArray("data"),
            llvm::json::Array({"a.bin", "b.bin"}));
  EXPECT_EQ(spec.optimizer.beta1, 0.8);
  EXPECT_EQ(spec.schedule.horizon, "tokens");
  EXPECT_EQ(spec.schedule.length, 1e6);
  EXPECT_EQ(spec.eos, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(spec.param("q_proj").init.second, 0.5);
}

TEST(Overrides, LaterOnesWin) {
  EXPECT_EQ(load({"dims.layers=3", "dims.layers=5"}).dim("layers"), 5);
}

TEST(Overrides, OfADimThatOthersUse) {
  llvm::Expected<ModelSpec> spec = loadModelFromString(
      "extends: nanochat\n", "x.yaml", {{"dims.depth=4", "dims.hidden=128"}});
  ASSERT_TRUE(bool(spec)) << llvm::toString(spec.takeError());
  EXPECT_EQ(spec->dim("ffn"), 512);
  // `depth` has lost its last use: still no error.
  spec = loadModelFromString(
      "extends: nanochat\n", "x.yaml",
      {{"dims.layers=2", "dims.hidden=128", "train.sequence=64"}});
  EXPECT_TRUE(bool(spec)) << llvm::toString(spec.takeError());
}

TEST(Overrides, Errors) {
  EXPECT_EQ(failure({"dims.layer=3"}),
            "--set dims.layer=3: error: unknown key 'dims.layer', did you mean "
            "'layers'? [Q1003]");
  EXPECT_EQ(failure({"train.bach=3"}),
            "--set train.bach=3: error: unknown key 'train.bach', did you mean "
            "'batch'? [Q1003]");
  EXPECT_EQ(failure({"dims.layers"}), "--set dims.layers: error: expected "
                                      "key=value, got 'dims.layers' [Q1011]");
  EXPECT_EQ(failure({"dtype.x=1"}),
            "--set dtype.x=1: error: 'dtype' is not a map but 'f32', set it as "
            "a whole [Q1011]");
  EXPECT_EQ(failure({"dims..x=1"}),
            "--set dims..x=1: error: a key has an empty part [Q1011]");
  EXPECT_EQ(
      failure({"dims.heads=3"}),
      "--set dims.heads=3: error: heads must be a multiple of kv_heads, got "
      "3 and 2 [Q1007]");
  EXPECT_EQ(failure({"dims.ffn=1.5"}),
            "--set dims.ffn=1.5: error: dim 'ffn' must be a whole number, got "
            "'1.5' = 3/2, use floor or ceil [Q1006]");
  EXPECT_EQ(failure({"dims.layers=0"}),
            "--set dims.layers=0: error: dim 'layers' must be between 1 and "
            "2147483647, got 0 [Q1004]");
  EXPECT_EQ(
      failure({"train.optimizer.kind=sgd"}),
      "--set train.optimizer.kind=sgd: error: 'train.optimizer.kind' must "
      "be one of adamw, muon, got 'sgd' [Q1004]");
  EXPECT_EQ(failure({"dims.layers=[1"}).substr(0, 28),
            "--set dims.layers=[1: error:");
  EXPECT_EQ(failure({"extends=x"}),
            "--set extends=x: error: 'extends' cannot be overridden [Q1011]");
}

namespace {

/// A folder of model files that goes away at the end.
class Extends : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("frontend", folder));
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  std::string write(llvm::StringRef name, llvm::StringRef text) {
    llvm::SmallString<128> path(folder);
    llvm::sys::path::append(path, name);
    std::error_code ec;
    llvm::raw_fd_ostream os(path, ec);
    os << text;
    return path.str().str();
  }

  llvm::SmallString<128> folder;
};

} // namespace

TEST_F(Extends, FilesBesideAndPresets) {
  write("base.yaml", "extends: tiny\ndims: {layers: 4, ffn: 2 * hidden}\n"
                     "train: {schedule: {steps: 9}}\n");
  std::string path =
      write("model.yaml", "extends: base.yaml\ndims: {hidden: 128}\n"
                          "train: {schedule: {tokens: 4096}}\n");
  llvm::Expected<ModelSpec> spec = loadModel(path);
  ASSERT_TRUE(bool(spec)) << llvm::toString(spec.takeError());
  EXPECT_EQ(spec->name, "model");
  EXPECT_EQ(spec->dim("layers"), 4);
  EXPECT_EQ(spec->dim("ffn"), 256);
  EXPECT_EQ(spec->dim("heads"), 4);
  // A horizon replaces the horizon of the base.
  EXPECT_EQ(spec->schedule.horizon, "tokens");
}

TEST_F(Extends, Cycle) {
  write("a.yaml", "extends: b.yaml\n");
  write("b.yaml", "\nextends: c\n");
  std::string path = write("c.yaml", "extends: a.yaml\n");
  llvm::Expected<ModelSpec> spec = loadModel(path);
  ASSERT_FALSE(bool(spec));
  std::string message = llvm::toString(spec.takeError());
  EXPECT_NE(message.find("b.yaml:2:10: error: 'extends' goes in a circle: "
                         "c.yaml -> a.yaml -> b.yaml -> c.yaml [Q1008]"),
            std::string::npos)
      << message;
}

TEST_F(Extends, Itself) {
  std::string path = write("self.yaml", "extends: self\n");
  llvm::Expected<ModelSpec> spec = loadModel(path);
  ASSERT_FALSE(bool(spec));
  EXPECT_NE(llvm::toString(spec.takeError()).find("[Q1008]"),
            std::string::npos);
}

TEST_F(Extends, NotThere) {
  std::string path = write("x.yaml", "extends: qwen3-0.7b\n");
  llvm::Expected<ModelSpec> spec = loadModel(path);
  ASSERT_FALSE(bool(spec));
  EXPECT_EQ(llvm::toString(spec.takeError()),
            path + ":1:10: error: cannot find the preset 'qwen3-0.7b', did you "
                   "mean 'qwen3-0.6b'? [Q1010]");
}

TEST_F(Extends, NoFile) {
  llvm::Expected<ModelSpec> spec = loadModel("none.yaml");
  ASSERT_FALSE(bool(spec));
  EXPECT_EQ(llvm::toString(spec.takeError()),
            "none.yaml: error: cannot read the file: No such file or directory "
            "[Q1010]");
}
