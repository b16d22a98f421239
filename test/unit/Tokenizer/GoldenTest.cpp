//===- GoldenTest.cpp - Ids of independent implementations ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Helpers.h"

#include "runtime/data/Sha256.h"

#include <chrono>
#include <sstream>

using namespace qrt;
using namespace qrt::test;
using nlohmann::json;

namespace {

std::vector<std::string> lines(const std::string &text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    if (!line.empty())
      out.push_back(line);
  return out;
}

// Small tokenizers of every kind, ids by the `tokenizers` package
// (Inputs/make_golden.py).
TEST(Golden, SmallTokenizers) {
  std::string file =
      readFile(QWEN_SOURCE_DIR "/test/unit/Tokenizer/Inputs/golden.jsonl");
  auto all = lines(file);
  ASSERT_GE(all.size(), 16u);
  for (const std::string &line : all) {
    json golden = json::parse(line);
    SCOPED_TRACE(golden["name"].get<std::string>());
    auto tokenizer = fromJson(golden["tokenizer"]);
    ASSERT_TRUE(tokenizer);
    for (const json &one : golden["cases"]) {
      std::string text = one["text"];
      auto expected = one["ids"].get<std::vector<TokenId>>();
      EXPECT_EQ(ids(*tokenizer, text), expected) << one["text"];
      EXPECT_EQ(idsInParts(*tokenizer, text, 3, 1), expected) << one["text"];
      EXPECT_EQ(tokenizer->decode(expected), one["decoded"].get<std::string>())
          << one["text"];
    }
  }
}

TEST(Golden, Qwen3Cases) {
  QWEN_NEED_SHARED(path, "tokenizer/qwen3/tokenizer.json");
  auto tokenizer = load(path);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->vocabSize(), 151669u);
  auto cases = lines(readFile(sharedData("tokenizer/qwen3/cases.jsonl")));
  EXPECT_EQ(cases.size(), 742u);
  for (const std::string &line : cases) {
    json one = json::parse(line);
    std::string text = one["text"];
    auto expected = one["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(ids(*tokenizer, text), expected) << line;
    EXPECT_EQ(idsInParts(*tokenizer, text, 5, 2), expected) << line;
    EXPECT_EQ(tokenizer->decode(expected), one.value("decoded", text)) << line;
    StreamDecoder stream(*tokenizer);
    std::string decoded;
    for (TokenId id : expected)
      decoded += stream.push(id);
    EXPECT_EQ(decoded + stream.finish(), one.value("decoded", text)) << line;
  }
}

/// NAME.inp holds strings between separator lines, NAME.out their ids.
void checkGgml(const Tokenizer &tokenizer, const std::string &name) {
  std::string input = readFile(sharedData("tokenizer/ggml/" + name + ".inp"));
  std::istringstream output(
      readFile(sharedData("tokenizer/ggml/" + name + ".out")));
  const std::string separator = "\n__ggml_vocab_test__\n";
  size_t count = 0;
  for (size_t at = 0; at != std::string::npos; ++count) {
    size_t end = input.find(separator, at);
    std::string text = input.substr(at, end - at);
    at = end == std::string::npos ? end : end + separator.size();
    std::string line;
    std::getline(output, line);
    std::istringstream numbers(line);
    std::vector<TokenId> expected;
    for (TokenId id; numbers >> id;)
      expected.push_back(id);
    EXPECT_EQ(ids(tokenizer, text), expected) << text;
    EXPECT_EQ(tokenizer.decode(expected), text);
  }
  EXPECT_EQ(count, 47u);
}

TEST(Golden, GgmlQwen2) {
  QWEN_NEED_SHARED(path, "tokenizer/qwen3/tokenizer.json");
  if (auto tokenizer = load(path))
    checkGgml(*tokenizer, "ggml-vocab-qwen2.gguf");
}

TEST(Golden, GgmlGpt2) {
  QWEN_NEED_SHARED(path, "tokenizer/ggml/ggml-vocab-gpt-2.gguf");
  auto tokenizer = load(path);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->vocabSize(), 50257u);
  EXPECT_EQ(tokenizer->eosId(), 50256);
  EXPECT_FALSE(tokenizer->addsBos());
  checkGgml(*tokenizer, "ggml-vocab-gpt-2.gguf");
}

TEST(Golden, GgmlLlama) {
  QWEN_NEED_SHARED(path, "tokenizer/ggml/ggml-vocab-llama-spm.gguf");
  auto tokenizer = load(path);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->bosId(), 1);
  EXPECT_TRUE(tokenizer->addsBos());
  checkGgml(*tokenizer, "ggml-vocab-llama-spm.gguf");
}

/// The hash of a whole file's ids; the file is fed in blocks.
void checkWholeFiles(const Tokenizer &tokenizer, const std::string &list) {
  for (const json &entry : json::parse(readFile(sharedData(list)))) {
    std::string name = entry["file"];
    std::string text = readFile(sharedData(name));
    ASSERT_FALSE(text.empty());
    auto start = std::chrono::steady_clock::now();
    std::vector<TokenId> all = ids(tokenizer, text);
    std::chrono::duration<double> seconds =
        std::chrono::steady_clock::now() - start;
    EXPECT_EQ(all.size(), entry["tokens"].get<size_t>()) << name;
    std::string_view bytes(reinterpret_cast<const char *>(all.data()),
                           all.size() * sizeof(TokenId));
    EXPECT_EQ(sha256Hex(bytes), entry["sha256_u32le"]) << name;
    EXPECT_EQ(idsInParts(tokenizer, text, 100000, 3), all) << name;
    std::printf("%s: %.1f MB/s\n", name.c_str(),
                double(text.size()) / seconds.count() / 1e6);
  }
}

TEST(Golden, WholeFilesQwen3) {
  QWEN_NEED_SHARED(path, "tokenizer/qwen3");
  if (auto tokenizer = load(path))
    checkWholeFiles(*tokenizer, "tokenizer/whole-file-qwen3.json");
}

TEST(Golden, WholeFilesGpt2) {
  QWEN_NEED_SHARED(path, "tokenizer/ggml/ggml-vocab-gpt-2.gguf");
  if (auto tokenizer = load(path))
    checkWholeFiles(*tokenizer, "tokenizer/whole-file-gpt-2.json");
}

TEST(Golden, WholeFilesLlama) {
  QWEN_NEED_SHARED(path, "tokenizer/ggml/ggml-vocab-llama-spm.gguf");
  if (auto tokenizer = load(path))
    checkWholeFiles(*tokenizer, "tokenizer/whole-file-llama-spm.json");
}

// A tokenizer.json made from a GGUF file gives the same ids.
TEST(Golden, WrittenFromGguf) {
  for (const char *name : {"tokenizer/ggml/ggml-vocab-gpt-2.gguf",
                           "tokenizer/ggml/ggml-vocab-llama-spm.gguf",
                           "models/stories260K/stories260K.gguf"}) {
    QWEN_NEED_SHARED(path, name);
    auto original = load(path);
    ASSERT_TRUE(original);
    auto text = original->toJson();
    ASSERT_TRUE(bool(text)) << text.error().str();
    auto again = tokenizerFromJson(*text, "written");
    ASSERT_TRUE(bool(again)) << again.error().str();
    EXPECT_EQ((*again)->vocabSize(), original->vocabSize());
    EXPECT_EQ((*again)->addsBos(), original->addsBos());
    EXPECT_EQ((*again)->eosId(), original->eosId());
    for (const char *file :
         {"text/wikitext-2-valid.txt", "text/udhr-30-languages.txt"}) {
      std::string corpus = readFile(sharedData(file));
      auto expected = ids(*original, corpus);
      EXPECT_EQ(ids(**again, corpus), expected);
      EXPECT_EQ((*again)->decode(expected), original->decode(expected));
    }
    std::mt19937 random(4);
    for (int round = 0; round < 300; ++round) {
      std::string spaces;
      for (unsigned n = random() % 70; n > 0; --n)
        spaces += random() % 8 ? " " : "a";
      EXPECT_EQ(ids(**again, spaces), ids(*original, spaces)) << spaces;
    }
  }
}

TEST(Golden, Stories260K) {
  QWEN_NEED_SHARED(path, "models/stories260K/stories260K.gguf");
  auto tokenizer = load(path);
  ASSERT_TRUE(tokenizer);
  json reference =
      json::parse(readFile(sharedData("models/stories260K/reference.json")));
  auto greedy = reference["greedy_ids"].get<std::vector<TokenId>>();
  DecodeOptions skip;
  skip.skipSpecial = true;
  EXPECT_EQ(tokenizer->decode(greedy, skip),
            reference["greedy_text"].get<std::string>());
  EncodeOptions bos;
  bos.addBos = true;
  for (const json &one : reference["tokenizer_cases"])
    EXPECT_EQ(ids(*tokenizer, one["text"].get<std::string>(), bos),
              one["ids_with_bos"].get<std::vector<TokenId>>());
}

} // namespace
