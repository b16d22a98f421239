//===- WeightSourceTest.cpp - Tests of opening weights --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/WeightSource.h"
#include "Helpers.h"

#include <filesystem>
#include <gtest/gtest.h>

using namespace qrt;
using namespace qrt::test;

namespace {

void refused(const std::string &w, int code, const std::string &part = "") {
  auto source = WeightSource::open(w);
  ASSERT_FALSE(source) << w;
  EXPECT_EQ(source.error().code, code) << source.error().str();
  EXPECT_NE(source.error().str().find(part), std::string::npos)
      << source.error().str();
}

/// A file with the tensors `names`, each of two elements.
std::string model(const std::vector<std::string> &names) {
  std::string header = "{", data;
  for (const std::string &name : names) {
    header += fmt::format(
        R"({}"{}":{{"dtype":"F32","shape":[2],"data_offsets":[{},{}]}})",
        data.empty() ? "" : ",", name, data.size(), data.size() + 8);
    data += raw<float>(1) + raw<float>(static_cast<float>(data.size()));
  }
  return safetensorsBytes(header + "}", data);
}

TEST(WeightSource, Random) {
  auto source = WeightSource::open("random:18446744073709551615");
  ASSERT_TRUE(source);
  EXPECT_EQ((*source)->format(), WeightFormat::Random);
  EXPECT_EQ((*source)->seed(), ~uint64_t(0));
  EXPECT_EQ((*source)->directory(), "");
  for (const char *w : {"random:", "random:x", "random:-1", "random:1.5",
                        "random: 1", "random:18446744073709551616"})
    refused(w, 3020, w);
}

TEST(WeightSource, Index) {
  TempDir dir;
  writeFile(dir / "1.safetensors", model({"a", "b"}));
  writeFile(dir / "2.safetensors", model({"c"}));
  std::string path = dir / "model.safetensors.index.json";
  auto index = [&](const std::string &text) { writeFile(path, text); };
  index(R"({"metadata":{"total_size":24},"weight_map":{"a":"1.safetensors",)"
        R"("b":"1.safetensors","c":"2.safetensors"}})");
  for (const std::string &w : {path, dir.path(), dir.path() + "/"}) {
    auto source = WeightSource::open(w);
    ASSERT_TRUE(source) << source.error().str();
    EXPECT_EQ((*source)->tensors().size(), 3u);
    float value;
    ASSERT_TRUE((*source)->readF32(*(*source)->find("b"), 1, 1, &value));
    EXPECT_EQ(value, 8.0f);
    EXPECT_FALSE((*source)->readF32(*(*source)->find("b"), 1, 2, &value));
  }
  writeFile(dir.path() + "x.safetensors", model({"a", "b"}));
  std::string outside = dir.path() + "x.safetensors";
  std::string leaf = std::filesystem::path(outside).filename();
  for (std::string shard :
       {"../" + leaf, outside, std::string("./1.safetensors"),
        std::string(".."), std::string("."), std::string(),
        std::string("1.safetensors\\u0000"), std::string("..\\\\x")}) {
    index("{\"weight_map\":{\"a\":\"" + shard + "\",\"b\":\"" + shard + "\"}}");
    refused(dir.path(), 3004, "is not the name of a file beside the index");
  }
  std::filesystem::remove(outside);
  index(R"({"weight_map":{"a":"3.safetensors"}})");
  refused(dir.path(), 3004, "missing");
  index(R"({"weight_map":{"a":"1.safetensors"}})");
  refused(dir.path(), 3004,
          "tensor 'b' of '1.safetensors' is not in the index");
  index(
      R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}})");
  refused(dir.path(), 3004);
  index(
      R"({"weight_map":{"a":"1.safetensors","b":"1.safetensors","d":"2.safetensors"}})");
  refused(dir.path(), 3004, "tensor 'd' is not in '2.safetensors'");
  writeFile(dir / "2.safetensors", model({"a"}));
  index(R"({"weight_map":{"a":"2.safetensors","b":"1.safetensors"}})");
  refused(dir.path(), 3004);
  for (const char *text :
       {"{}", "[]", "1", R"({"weight_map":[]})", R"({"weight_map":{}})",
        R"({"weight_map":{"a":1}})"}) {
    index(text);
    refused(dir.path(), 3004);
  }
  index("{");
  refused(dir.path(), 3005);
  std::string many = R"({"weight_map":{)";
  for (int i = 0; i < 5000; ++i)
    many += fmt::format(R"({}"t{}":"s{}")", i ? "," : "", i, i);
  index(many + "}}");
  refused(dir.path(), 3004, "5000 files");
}

TEST(WeightSource, Directories) {
  TempDir dir;
  refused(dir / "none", 3001);
  refused(dir.path(), 3020, "neither model.safetensors nor");
  writeFile(dir / "pytorch_model.bin", "x");
  refused(dir.path(), 3020, "pytorch_model.bin is not read");
  refused(dir / "pytorch_model.bin", 3020);
  writeFile(dir / "m.gguf", "GGUF");
  refused(dir / "m.gguf", 3010);
  writeFile(dir / "other.safetensors", model({"a"}));
  EXPECT_TRUE(WeightSource::open(dir.path()));
  writeFile(dir / "model.safetensors", model({"a", "b"}));
  auto source = WeightSource::open(dir.path());
  ASSERT_TRUE(source);
  EXPECT_EQ((*source)->tensors().size(), 2u);
  EXPECT_EQ((*source)->directory(), dir.path());
  writeFile(dir / "trainer.json", "{}");
  refused(dir.path(), 3031, "COMPLETE");
  writeFile(dir / "COMPLETE", "");
  EXPECT_TRUE(WeightSource::open(dir.path()));
}

TEST(WeightSource, Gguf) {
  TempDir dir;
  writeFile(dir / "m", GgufBuilder()
                           .tensor("a", {2, 3}, 0, 24)
                           .tensor("b", {32}, 8, 34)
                           .build());
  auto source = WeightSource::open(dir / "m");
  ASSERT_TRUE(source) << source.error().str();
  EXPECT_EQ((*source)->format(), WeightFormat::Gguf);
  ASSERT_TRUE((*source)->gguf());
  EXPECT_EQ((*source)->tensors()[0].shape, (std::vector<int64_t>{3, 2}));
  float values[32];
  EXPECT_TRUE((*source)->readF32(0, 0, 6, values));
  Status status = (*source)->readF32(1, 0, 32, values);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, 3022);
  EXPECT_NE(status.error().message.find("Q8_0"), std::string::npos);
  writeFile(dir / "m",
            GgufBuilder().scalar<uint16_t>("split.count", 2, 3).build());
  refused(dir / "m", 3020, "one of 3 parts");
}

TEST(WeightSource, KnownBuffers) {
  for (const char *name :
       {"h.0.attn.bias", "transformer.h.11.attn.masked_bias",
        "model.rotary_emb.inv_freq",
        "model.layers.0.self_attn.rotary_emb.inv_freq", "rope_freqs.weight"})
    EXPECT_TRUE(isKnownBuffer(name)) << name;
  for (const char *name : {"h.0.attn.c_attn.bias", "h.0.attn.c_proj.bias",
                           "blk.0.attn_q.bias", "model.norm.weight", ""})
    EXPECT_FALSE(isKnownBuffer(name)) << name;
}

} // namespace
