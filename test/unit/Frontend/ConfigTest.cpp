//===- ConfigTest.cpp - Hugging Face directories --------------------------===//
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

namespace {

class Config : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("model", folder));
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  llvm::Expected<ModelSpec> load(llvm::StringRef json,
                                 std::vector<std::string> overrides = {}) {
    llvm::SmallString<128> path(folder);
    llvm::sys::path::append(path, "config.json");
    {
      std::error_code ec;
      llvm::raw_fd_ostream os(path, ec);
      os << json;
    }
    return loadModel(folder, {overrides});
  }

  ModelSpec read(llvm::StringRef json) {
    llvm::Expected<ModelSpec> spec = load(json);
    if (!spec) {
      ADD_FAILURE() << llvm::toString(spec.takeError());
      return {};
    }
    return std::move(*spec);
  }

  /// The message without the folder.
  std::string failure(llvm::StringRef json) {
    llvm::Expected<ModelSpec> spec = load(json);
    if (spec)
      return "no error";
    std::string message = llvm::toString(spec.takeError());
    size_t at = message.find(folder.str().str() + "/");
    if (at != std::string::npos)
      message.erase(at, folder.size() + 1);
    return message;
  }

  llvm::SmallString<128> folder;
};

/// A config.json of Qwen3 with one more line.
std::string qwen3(const std::string &more) {
  return R"({
  "architectures": ["Qwen3ForCausalLM"],
  "model_type": "qwen3", "vocab_size": 256, "hidden_size": 64,
  "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "max_position_embeddings": 128,
  "rms_norm_eps": 1e-06, "hidden_act": "silu")" +
         (more.empty() ? "" : ",\n  " + more) + "\n}\n";
}

} // namespace

TEST_F(Config, Transformers5) {
  ModelSpec spec = read(qwen3(
      R"("head_dim": 32, "tie_word_embeddings": true, "dtype": "float32",
      "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
      "layer_types": ["full_attention", "full_attention"], "sliding_window": null,
      "use_sliding_window": false, "max_window_layers": 28, "eos_token_id": [1, 2],
      "transformers_version": "5.23.0", "use_cache": true)"));
  EXPECT_EQ(spec.family, "qwen3");
  EXPECT_EQ(spec.dim("hidden"), 64);
  EXPECT_EQ(spec.dim("head_dim"), 32);
  EXPECT_EQ(spec.rope.theta, 1e6);
  EXPECT_TRUE(spec.tieEmbeddings);
  EXPECT_EQ(spec.dtype, DType::F32);
  EXPECT_EQ(spec.eos, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(spec.name, llvm::sys::path::filename(folder));
}

TEST_F(Config, Transformers4) {
  ModelSpec spec = read(
      R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
  "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
  "vocab_size": 256, "hidden_act": "silu", "torch_dtype": "float16",
  "rope_theta": 500000.0, "pretraining_tp": 1, "max_position_embeddings": 131072,
  "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
  "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "eos_token_id": 2})");
  // What is absent: as many KV heads as heads, hidden / heads, transformers'
  // epsilon.
  EXPECT_EQ(spec.dim("kv_heads"), 4);
  EXPECT_EQ(spec.dim("head_dim"), 16);
  EXPECT_EQ(spec.normEps, 1e-6);
  EXPECT_FALSE(spec.tieEmbeddings);
  EXPECT_EQ(spec.dtype, DType::BF16);
  EXPECT_EQ(spec.rope.theta, 5e5);
  EXPECT_EQ(spec.rope.scaling.kind, RopeScaling::Kind::Llama3);
  EXPECT_EQ(spec.rope.scaling.originalContext, 8192);
  EXPECT_EQ(spec.eos, (std::vector<int64_t>{2}));
}

TEST_F(Config, HeadDim) {
  EXPECT_EQ(read(qwen3("")).dim("head_dim"), 128);
  EXPECT_EQ(read(qwen3(R"("head_dim": null)")).dim("head_dim"), 16);
}

TEST_F(Config, YarnInBothSpellings) {
  ModelSpec a = read(qwen3(
      R"("rope_theta": 1000000, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32})"));
  ModelSpec b = read(qwen3(
      R"("rope_parameters": {"rope_theta": 1000000, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32})"));
  EXPECT_EQ(a.rope.scaling.kind, RopeScaling::Kind::Yarn);
  EXPECT_EQ(a.rope.inverseFrequencies(128), b.rope.inverseFrequencies(128));
  EXPECT_NEAR(a.rope.scaling.attentionFactor, 1.1386294361119891, 1e-15);
}

TEST_F(Config, GPT2) {
  ModelSpec spec = read(
      R"({"architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": 2,
  "n_head": 4, "n_positions": 128, "n_ctx": 128, "vocab_size": 256, "n_inner": null,
  "activation_function": "gelu_new", "attn_pdrop": 0.1, "layer_norm_epsilon": 1e-05})");
  EXPECT_EQ(spec.dim("ffn"), 256);
  EXPECT_EQ(spec.dim("context"), 128);
  EXPECT_TRUE(spec.tieEmbeddings);
}

TEST_F(Config, NanoChat) {
  const char *text =
      R"({"architectures": ["NanoChatForCausalLM"], "hidden_size": 64,
  "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
  "vocab_size": 256, "hidden_act": "relu2", "final_logit_softcapping": %s})";
  char buffer[1000];
  snprintf(buffer, sizeof buffer, text, "7.5");
  EXPECT_EQ(read(buffer).model.ops.back().value, 7.5);
  snprintf(buffer, sizeof buffer, text, "null");
  EXPECT_EQ(read(buffer).model.ops.back().kind, OpKind::Linear);
}

TEST_F(Config, ModelTypeAlone) {
  std::string text = qwen3("");
  text.erase(text.find("\"architectures\""), 40);
  EXPECT_EQ(read(text).family, "qwen3");
}

TEST_F(Config, Overrides) {
  llvm::Expected<ModelSpec> spec =
      load(qwen3(""), {"dtype=f32", "train.batch=2"});
  ASSERT_TRUE(bool(spec)) << llvm::toString(spec.takeError());
  EXPECT_EQ(spec->trainBatch, 2);
}

TEST_F(Config, WhatIsNotImplementedIsNamed) {
  auto error = [&](const std::string &line) { return failure(qwen3(line)); };
  EXPECT_EQ(error(R"("use_sliding_window": true)"),
            "config.json:7:3: error: the setting 'use_sliding_window: true' is "
            "not implemented, only false [Q1013]");
  EXPECT_EQ(error(R"("attention_bias": true)"),
            "config.json:7:3: error: the setting 'attention_bias: true' is not "
            "implemented, only false [Q1013]");
  EXPECT_EQ(
      error(R"("quantization_config": {"quant_method": "fp8"})"),
      "config.json:7:3: error: the setting 'quantization_config: "
      "{\"quant_method\":\"fp8\"}' is not implemented, only null [Q1013]");
  EXPECT_EQ(error(R"("rope_scaling": {"rope_type": "longrope", "factor": 2})"),
            "config.json:7:33: error: the setting 'rope_type: longrope' is not "
            "implemented, known are default, linear, llama3, yarn [Q1013]");
  EXPECT_EQ(error(R"("rope_parameters": {"rope_theta": 1, "beta": 2})"),
            "config.json:7:40: error: the setting 'beta: 2' is not implemented "
            "in rope_parameters [Q1013]");
  EXPECT_EQ(error(R"("layer_types": ["full_attention", "sliding_attention"])"),
            "config.json:7:3: error: the setting 'layer_types: "
            "[\"full_attention\",\"sliding_attention\"]' is not implemented, "
            "only \"full_attention\" [Q1013]");
  EXPECT_EQ(error(R"("dtype": "float64")"),
            "config.json:7:3: error: the setting 'dtype: \"float64\"' is not "
            "implemented, known are float32, bfloat16 and float16 [Q1013]");
  EXPECT_EQ(error(R"("use_cach": 1)"),
            "config.json:7:3: error: the setting 'use_cach: 1' is not "
            "implemented, did you mean 'use_cache'? [Q1013]");
  EXPECT_EQ(error(R"("some_new_feature": false)"), "no error");
  std::string gelu = qwen3("");
  gelu.replace(gelu.find("silu"), 4, "gelu");
  EXPECT_EQ(
      failure(gelu),
      "config.json:6:26: error: the setting 'hidden_act: \"gelu\"' is not "
      "implemented, only \"silu\" [Q1013]");
}

TEST_F(Config, WhatTheUserAllowsIsIgnored) {
  std::string text = qwen3(R"("some_marker": 7)");
  EXPECT_NE(failure(text), "no error");
  llvm::Expected<ModelSpec> spec = load(text, {"hf.accept.some_marker=any"});
  EXPECT_TRUE(bool(spec)) << llvm::toString(spec.takeError());
}

TEST_F(Config, WrongValues) {
  auto error = [&](const std::string &line) { return failure(qwen3(line)); };
  EXPECT_EQ(failure(R"({"architectures": ["T5Model"]})"),
            "config.json:1:20: error: the setting 'architectures: T5Model' is "
            "not implemented, known are GPT2LMHeadModel, LlamaForCausalLM, "
            "NanoChatForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM [Q1014]");
  EXPECT_EQ(failure("{}"), "config.json:1:1: error: missing key "
                           "'architectures' and 'model_type' [Q1014]");
  EXPECT_EQ(error(R"("head_dim": "32")"),
            "config.json:7:15: error: expected a number or a boolean for "
            "'head_dim', got '32' [Q1004]");
  EXPECT_EQ(error(R"("head_dim": 0)"),
            "config.json:7:15: error: dim 'head_dim' must be between 1 and "
            "2147483647, got 0 [Q1004]");
  EXPECT_EQ(error(R"("head_dim": -8)"),
            "config.json:7:15: error: dim 'head_dim' must be between 1 and "
            "2147483647, got -8 [Q1004]");
  EXPECT_EQ(error(R"("vocab_size": 300)"),
            "config.json:7:3: error: duplicate key 'vocab_size', first at line "
            "3 [Q1002]");
  EXPECT_EQ(failure("{\"a\": }").substr(0, 40),
            "config.json:1:7: error: not valid JSON: ");
  EXPECT_NE(failure(std::string(1000, '[')).find("[Q1009]"), std::string::npos);
  EXPECT_EQ(failure("[]"),
            "config.json:1:1: error: expected a map of keys, got "
            "a list [Q1004]");
  std::string missing = qwen3("");
  missing.erase(missing.find("\"hidden_size\": 64,"), 18);
  EXPECT_EQ(failure(missing),
            "config.json:1:1: error: missing dim 'dims.hidden' [Q1005]");
  std::string heads = qwen3("");
  heads.replace(heads.find("heads\": 2"), 9, "heads\": 3");
  EXPECT_EQ(failure(heads), "config.json:5:26: error: heads must be a multiple "
                            "of kv_heads, got 4 and 3 [Q1007]");
}

TEST_F(Config, NoConfig) {
  llvm::Expected<ModelSpec> spec = loadModel(folder);
  ASSERT_FALSE(bool(spec));
  EXPECT_EQ(llvm::toString(spec.takeError()),
            folder.str().str() +
                ": error: the directory has no config.json [Q1010]");
}

TEST_F(Config, WhatIsWrittenReadsBack) {
  for (const char *name : {"tiny", "qwen2.5-0.5b", "llama-3.2-1b", "gpt2",
                           "nanochat", "qwen25-small"}) {
    llvm::Expected<ModelSpec> first = loadModelFromString(
        std::string("extends: ") + name + "\n", "x.yaml", {{"infer.eos=7"}});
    ASSERT_TRUE(bool(first)) << llvm::toString(first.takeError());
    std::string text;
    llvm::raw_string_ostream(text)
        << llvm::json::Value(llvm::json::Object(first->hfConfig));
    ModelSpec second = read(text);
    EXPECT_EQ(first->numParameters(), second.numParameters()) << name;
    EXPECT_EQ(first->normEps, second.normEps) << name;
    EXPECT_EQ(first->rope.inverseFrequencies(64),
              second.rope.inverseFrequencies(64))
        << name;
    EXPECT_EQ(first->eos, second.eos) << name;
    EXPECT_EQ(first->hfConfig, second.hfConfig) << name;
    EXPECT_EQ(second.dtype, DType::F32) << name;
  }
}

TEST_F(Config, WindowsAreWritten) {
  auto config = [&](const char *preset, const char *window) {
    LoadOptions options;
    options.overrides = {std::string("attention.window=") + window};
    auto spec = loadModelFromString(std::string("extends: ") + preset, "m.yaml",
                                    options);
    EXPECT_TRUE(bool(spec)) << llvm::toString(spec.takeError());
    std::string text;
    llvm::raw_string_ostream(text)
        << llvm::json::Value(llvm::json::Object(spec->hfConfig));
    return text;
  };
  auto has = [](const std::string &text, const char *part) {
    return text.find(part) != std::string::npos;
  };
  std::string qwen3 = config("tiny", "9");
  EXPECT_TRUE(has(qwen3, "\"sliding_window\":9"));
  EXPECT_TRUE(has(qwen3, "\"use_sliding_window\":true"));
  EXPECT_TRUE(has(qwen3, "\"max_window_layers\":0"));
  EXPECT_TRUE(has(config("llama-2-7b", "9"), "MistralForCausalLM"));
  EXPECT_TRUE(has(config("llama-2-7b", "none"), "LlamaForCausalLM"));
  EXPECT_FALSE(has(config("tiny", "none"), "sliding_window\":9"));
}
