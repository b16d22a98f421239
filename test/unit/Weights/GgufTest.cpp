//===- GgufTest.cpp - Tests of the GGUF reader ----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Gguf.h"
#include "Helpers.h"

#include <gtest/gtest.h>
#include <limits>

using namespace qrt;
using namespace qrt::test;

namespace {

Expected<GgufFile> open(const std::string &bytes) {
  return GgufFile::open(RandomAccessFile::fromMemory(bytes, "test.gguf"));
}

/// A file with a bit of everything.
GgufBuilder sample() {
  GgufBuilder b;
  b.string("general.architecture", "llama")
      .scalar<uint32_t>("u32", 4, 7)
      .scalar<int8_t>("i8", 1, -3)
      .scalar<uint64_t>("u64", 10, std::numeric_limits<uint64_t>::max())
      .scalar<float>("f32", 6, 0.5f)
      .scalar<double>("f64", 12, 0.25)
      .scalar<uint8_t>("bool", 7, 1)
      .strings("tokens", {"a", "", "b c"})
      .value("numbers", raw<uint32_t>(9) + raw<uint32_t>(3) + raw<uint64_t>(2) +
                            raw<int16_t>(-5) + raw<int16_t>(6))
      .tensor("m", {4, 3}, 0, 48)
      .tensor("q", {32, 2}, 8, 68)
      .tensor("empty", {0, 5}, 0, 0)
      .tensor("v", {5}, 1, 10);
  return b;
}

/// Expects that the bytes are refused with a message that has `part` in it.
void refused(const std::string &bytes, const std::string &part) {
  auto file = open(bytes);
  ASSERT_FALSE(file) << "accepted: " << part;
  EXPECT_NE(file.error().message.find(part), std::string::npos)
      << file.error().str();
}

TEST(Gguf, ReadsEverything) {
  for (uint32_t version : {2u, 3u}) {
    GgufBuilder b = sample();
    b.version = version;
    auto file = open(b.build());
    ASSERT_TRUE(file) << file.error().str();
    EXPECT_EQ(file->version(), version);
    EXPECT_EQ(**file->getString("general.architecture"), "llama");
    EXPECT_EQ(**file->getUInt("u32"), 7u);
    EXPECT_EQ(**file->getInt("i8"), -3);
    EXPECT_EQ(**file->getUInt("u64"), std::numeric_limits<uint64_t>::max());
    EXPECT_EQ(**file->getFloat("f32"), 0.5);
    EXPECT_EQ(**file->getFloat("f64"), 0.25);
    EXPECT_TRUE(**file->getBool("bool"));
    EXPECT_FALSE(*file->getUInt("absent"));
    EXPECT_FALSE(file->getUInt("i8"));
    EXPECT_FALSE(file->getUInt("f32"));
    EXPECT_FALSE(file->getInt("u64"));
    EXPECT_FALSE(file->getString("tokens"));
    EXPECT_EQ(*file->find("tokens")->asStrings(),
              (std::vector<std::string>{"a", "", "b c"}));
    EXPECT_EQ(file->find("numbers")->asInt(0), -5);
    EXPECT_EQ(file->find("numbers")->asUInt(0), std::nullopt);
    EXPECT_EQ(file->find("numbers")->asUInt(1), 6u);
    EXPECT_EQ(file->find("numbers")->asInt(2), std::nullopt);
    const GgufTensor *m = file->findTensor("m");
    ASSERT_TRUE(m);
    EXPECT_EQ(m->shape, (std::vector<int64_t>{3, 4}));
    EXPECT_EQ(m->bytes, 48u);
    EXPECT_EQ(m->offset % 32, 0u);
    EXPECT_STREQ(file->findTensor("q")->typeName(), "Q8_0");
  }
}

TEST(Gguf, RefusesTruncationAtEveryByte) {
  std::string whole = sample().build();
  ASSERT_TRUE(open(whole));
  for (size_t n = 0; n < whole.size(); ++n) {
    auto file = open(whole.substr(0, n));
    EXPECT_FALSE(file) << "accepted after " << n << " of " << whole.size();
  }
}

TEST(Gguf, SurvivesEveryChangedByte) {
  // Whatever one wrong byte does, nothing may be read outside the file.
  std::string whole = sample().build();
  for (size_t i = 0; i < whole.size(); ++i)
    for (int bit : {0, 3, 7}) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      if (auto file = open(bytes))
        for (const GgufTensor &t : file->tensors()) {
          ASSERT_LE(t.offset, bytes.size());
          ASSERT_LE(t.bytes, bytes.size() - t.offset);
        }
    }
}

TEST(Gguf, Header) {
  GgufBuilder b = sample();
  b.magic = "GGML";
  refused(b.build(), "GGUF");
  for (uint32_t version : {0u, 1u, 4u, 1000u}) {
    b = sample();
    b.version = version;
    refused(b.build(), "version");
  }
  b = sample();
  b.version = 0x03000000;
  refused(b.build(), "big endian");
  for (uint64_t count :
       {uint64_t(1) << 40, uint64_t(1) << 63, ~uint64_t(0), uint64_t(1000)}) {
    b = sample();
    b.numValues = count;
    refused(b.build(), "do not fit");
    b = sample();
    b.numTensors = count;
    refused(b.build(), "do not fit");
  }
  refused("", "ends");
}

TEST(Gguf, Values) {
  refused(GgufBuilder().string("", "x").build(), "empty key");
  refused(GgufBuilder().string("a", "x").string("a", "y").build(), "twice");
  refused(
      GgufBuilder().value("a", raw<uint32_t>(13) + raw<uint64_t>(0)).build(),
      "unknown type 13");
  refused(
      GgufBuilder()
          .value("a", raw<uint32_t>(9) + raw<uint32_t>(77) + raw<uint64_t>(0))
          .build(),
      "unknown type 77");
  refused(GgufBuilder()
              .value("a", raw<uint32_t>(9) + raw<uint32_t>(9) +
                              raw<uint64_t>(1) + raw<uint32_t>(4))
              .build(),
          "array of arrays");
  refused(GgufBuilder().scalar<uint8_t>("a", 7, 2).build(), "truth value 2");
  for (uint64_t length :
       {uint64_t(100), uint64_t(1) << 40, ~uint64_t(0), ~uint64_t(0) - 7}) {
    refused(GgufBuilder()
                .value("a", raw<uint32_t>(8) + raw<uint64_t>(length) + "x")
                .build(),
            "does not fit");
    refused(GgufBuilder()
                .value("a", raw<uint32_t>(9) + raw<uint32_t>(8) +
                                raw<uint64_t>(length) + "x")
                .build(),
            "does not fit");
    refused(GgufBuilder()
                .value("a", raw<uint32_t>(9) + raw<uint32_t>(12) +
                                raw<uint64_t>(length) + "x")
                .build(),
            "does not fit");
  }
  // A key longer than the file, and one longer than any key.
  std::string head =
      "GGUF" + raw<uint32_t>(3) + raw<uint64_t>(0) + raw<uint64_t>(1);
  refused(head + raw<uint64_t>(~uint64_t(0)) + std::string(20, 'k'),
          "does not fit");
  refused(GgufBuilder().string(std::string(70000, 'k'), "x").build(),
          "longer than the allowed");
}

TEST(Gguf, DeepNestingEndsAtOnce) {
  std::string nested;
  for (int i = 0; i < 100000; ++i)
    nested += raw<uint32_t>(9) + raw<uint64_t>(1);
  refused(GgufBuilder().value("a", raw<uint32_t>(9) + nested).build(),
          "array of arrays");
}

TEST(Gguf, Alignment) {
  for (uint32_t bad : {0u, 3u, 13u, 48u, 0xFFFFFFFFu})
    refused(GgufBuilder().scalar<uint32_t>("general.alignment", 4, bad).build(),
            "power of two");
  refused(GgufBuilder().scalar<uint64_t>("general.alignment", 10, 32).build(),
          "not a u32");
  GgufBuilder b;
  b.alignment = 64;
  b.scalar<uint32_t>("general.alignment", 4, 64)
      .tensor("a", {1}, 0, 4)
      .tensor("b", {1}, 0, 4);
  auto file = open(b.build());
  ASSERT_TRUE(file) << file.error().str();
  EXPECT_EQ(file->tensors()[1].offset - file->tensors()[0].offset, 64u);
  // The offsets are for another alignment than the file claims.
  b = GgufBuilder();
  b.scalar<uint32_t>("general.alignment", 4, 64)
      .tensor("a", {1}, 0, 4)
      .tensor("b", {1}, 0, 4);
  refused(b.build() + std::string(200, '\0'), "begins at");
}

TEST(Gguf, Tensors) {
  auto one = [](std::vector<int64_t> dims, uint32_t type, uint64_t bytes,
                std::optional<uint64_t> offset = std::nullopt,
                std::optional<uint32_t> n = std::nullopt) {
    return GgufBuilder().tensor("t", dims, type, bytes, offset, n).build();
  };
  ASSERT_TRUE(open(one({4}, 0, 16)));
  ASSERT_TRUE(open(one({1, 1, 1, 1}, 24, 1)));
  refused(one({}, 0, 64), "0 dimensions");
  refused(one({1, 1, 1, 1, 1}, 0, 4), "5 dimensions");
  refused(one({4}, 0, 16, {}, 1u << 31), "dimensions");
  refused(one({-1}, 0, 16), "size -1");
  int64_t huge = std::numeric_limits<int64_t>::max();
  refused(one({huge, 2}, 24, 16), "overflows");
  refused(one({huge}, 0, 16), "overflows");
  refused(one({0, huge, huge}, 0, 0), "overflows");
  refused(one({int64_t(1) << 32, int64_t(1) << 32}, 0, 16), "overflows");
  refused(one({huge}, 24, 16), "behind the end");
  for (uint32_t type : {4u, 5u, 31u, 33u, 36u, 42u, 255u, ~0u})
    refused(one({32}, type, 64), "unknown type");
  refused(one({31}, 8, 34), "multiple of 32");
  refused(one({128}, 12, 144), "multiple of 256");
  refused(one({4}, 0, 16, 32), "begins at 32, not at 0");
  refused(one({4}, 0, 16, ~uint64_t(0)), "begins at");
  refused(one({4}, 0, 12), "behind the end");

  refused(GgufBuilder().tensor("t", {4}, 0, 16).tensor("t", {4}, 0, 16).build(),
          "twice");
  refused(GgufBuilder().tensor("", {4}, 0, 16).build(), "empty name");
  refused(GgufBuilder().tensor(std::string(64, 'n'), {4}, 0, 16).build(),
          "longer than the allowed 63");
  ASSERT_TRUE(
      open(GgufBuilder().tensor(std::string(63, 'n'), {4}, 0, 16).build()));
  // The second lies over the first.
  refused(GgufBuilder()
              .tensor("a", {16}, 0, 64)
              .tensor("b", {16}, 0, 64, 32)
              .build(),
          "begins at 32, not at 64");
}

TEST(Gguf, MessagesAreSafeForTerminals) {
  auto file = open(GgufBuilder()
                       .string("a\x1b[2J\n", "x")
                       .string("a\x1b[2J\n", "x")
                       .build());
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().message.find('\x1b'), std::string::npos);
  EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
}

TEST(Gguf, RealFiles) {
  std::string shared = sharedData();
  if (shared.empty())
    GTEST_SKIP() << "needs the shared data";
  auto file = GgufFile::open(shared + "/models/stories260K/stories260K.gguf");
  ASSERT_TRUE(file) << file.error().str();
  EXPECT_EQ(file->tensors().size(), 48u);
  EXPECT_EQ(file->find("tokenizer.ggml.tokens")->size(), 512u);
  file = GgufFile::open(shared + "/tokenizer/ggml/ggml-vocab-gpt-2.gguf");
  ASSERT_TRUE(file) << file.error().str();
  EXPECT_EQ(file->tensors().size(), 0u);
  EXPECT_EQ(file->find("tokenizer.ggml.tokens")->size(), 50257u);
  EXPECT_EQ(file->find("tokenizer.ggml.merges")->size(), 50000u);
}

} // namespace
