//===- TokenizerTest.cpp - Encoding, decoding, added tokens ---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Helpers.h"

#include "runtime/tokenizer/Bpe.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>
#include <filesystem>

using namespace qrt;
using namespace qrt::test;
using nlohmann::json;

json qrt::test::smallJson() {
  json vocab = json::object();
  for (int b = 0; b < 256; ++b)
    vocab[bytesToText(std::string(1, char(b)))] = b;
  json merges = json::array();
  int next = 256;
  for (auto [left, right] :
       {std::make_pair("h", "e"), std::make_pair("l", "l"),
        std::make_pair("he", "ll"), std::make_pair("hell", "o"),
        std::make_pair("\xc4\xa0", "w")}) {
    vocab[std::string(left) + right] = next++;
    merges.push_back(std::string(left) + " " + right);
  }
  auto added = [](int id, const char *content, bool special) {
    return json{{"id", id},
                {"content", content},
                {"special", special},
                {"normalized", false},
                {"lstrip", false},
                {"rstrip", false},
                {"single_word", false}};
  };
  json level = {{"type", "ByteLevel"},
                {"add_prefix_space", false},
                {"trim_offsets", true},
                {"use_regex", true}};
  return {{"version", "1.0"},
          {"added_tokens", json::array({added(261, "<|endoftext|>", true),
                                        added(262, "<think>", false)})},
          {"normalizer", nullptr},
          {"pre_tokenizer", level},
          {"post_processor", level},
          {"decoder", level},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
}

namespace {

TEST(Tokenizer, BothSpellingsOfMerges) {
  json spaced = smallJson(), arrays = spaced;
  for (json &merge : arrays["model"]["merges"]) {
    std::string text = merge;
    size_t space = text.find(' ');
    merge = json::array({text.substr(0, space), text.substr(space + 1)});
  }
  std::vector<TokenId> expected = {259, 260, 'o', 'r', 'l', 'd', '!'};
  EXPECT_EQ(ids(*fromJson(spaced), "hello world!"), expected);
  EXPECT_EQ(ids(*fromJson(arrays), "hello world!"), expected);
}

TEST(Tokenizer, AddedTokens) {
  auto t = fromJson(smallJson());
  std::vector<TokenId> expected = {259, 261, 262, 'x'};
  EXPECT_EQ(ids(*t, "hello<|endoftext|><think>x"), expected);
  EXPECT_EQ(t->decode(expected), "hello<|endoftext|><think>x");
  DecodeOptions skip;
  skip.skipSpecial = true;
  EXPECT_EQ(t->decode(expected, skip), "hello<think>x");
  EncodeOptions literal;
  literal.parseSpecial = false;
  auto parts = ids(*t, "hello<|endoftext|><think>", literal);
  EXPECT_EQ(std::count(parts.begin(), parts.end(), 261), 0);
  EXPECT_EQ(std::count(parts.begin(), parts.end(), 262), 1);
  EXPECT_EQ(t->decode(parts), "hello<|endoftext|><think>");
}

TEST(Tokenizer, AnswersQuestions) {
  auto t = fromJson(smallJson());
  EXPECT_EQ(t->vocabSize(), 263u);
  EXPECT_EQ(t->eosId(), 261);
  EXPECT_FALSE(t->bosId());
  EXPECT_FALSE(t->addsBos());
  EXPECT_EQ(t->idOf("hello"), 259);
  EXPECT_FALSE(t->idOf("nope"));
  EXPECT_EQ(t->tokenFor(260), "\xc4\xa0w");
  EXPECT_EQ(t->bytesOf(260), " w");
  EXPECT_EQ(t->byteLength(259), 5u);
  EXPECT_EQ(t->byteLength(261), 0u);
  EXPECT_EQ(t->byteLength(262), 7u);
  for (TokenId id : {-1, 263, 1 << 30}) {
    EXPECT_FALSE(t->hasToken(id));
    EXPECT_FALSE(t->isSpecial(id));
    EXPECT_EQ(t->byteLength(id), 0u);
    EXPECT_EQ(t->decode({id}), "");
  }
}

TEST(Tokenizer, HolesHaveNoToken) {
  json j = smallJson();
  j["added_tokens"][1]["id"] = 300;
  auto t = fromJson(j);
  EXPECT_EQ(t->vocabSize(), 301u);
  EXPECT_TRUE(t->hasToken(300));
  EXPECT_FALSE(t->hasToken(262));
  EXPECT_FALSE(t->hasToken(299));
}

TEST(Tokenizer, KeepsBytesThatAreNoText) {
  auto t = fromJson(smallJson());
  std::mt19937 random(5);
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (unsigned n = random() % 40; n > 0; --n)
      bytes += random() % 2 ? char(random() % 256) : "he llo"[random() % 6];
    auto whole = ids(*t, bytes);
    EXPECT_EQ(t->decodeBytes(whole), bytes);
    EXPECT_EQ(idsInParts(*t, bytes, 3, unsigned(round)), whole);
  }
}

TEST(Tokenizer, StreamingHoldsBackIncompleteCharacters) {
  auto t = fromJson(smallJson());
  StreamDecoder stream(*t);
  EXPECT_EQ(stream.push(0xf0), "");
  EXPECT_EQ(stream.push(0x9f), "");
  EXPECT_EQ(stream.push(0x99), "");
  EXPECT_EQ(stream.push(0x82), "\xf0\x9f\x99\x82");
  EXPECT_EQ(stream.push(0xe2), "");
  EXPECT_EQ(stream.push('a'), "\xef\xbf\xbd"
                              "a");
  EXPECT_EQ(stream.push(0xc3), "");
  EXPECT_EQ(stream.finish(), "\xef\xbf\xbd");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Tokenizer, LongRunsTakeLinearTime) {
  auto t = fromJson(smallJson());
  auto start = std::chrono::steady_clock::now();
  for (const char *unit : {" ", "a", "hello", "\n", "<", "!"}) {
    std::string text;
    while (text.size() < (size_t(2) << 20))
      text += unit;
    EXPECT_EQ(t->decodeBytes(ids(*t, text)), text);
  }
  std::string spaces(size_t(16) << 20, ' ');
  EXPECT_EQ(t->decodeBytes(ids(*t, spaces)), spaces);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(Tokenizer, ToJsonIsTheFile) {
  json j = smallJson();
  auto t = fromJson(j);
  auto text = t->toJson();
  ASSERT_TRUE(bool(text));
  EXPECT_EQ(*text, j.dump());
}

TEST(Tokenizer, BosFromTheTemplate) {
  json j = smallJson();
  j["post_processor"] = json::parse(R"({"type":"TemplateProcessing","single":[
    {"SpecialToken":{"id":"<|endoftext|>","type_id":0}},
    {"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{}})");
  auto t = fromJson(j);
  EXPECT_TRUE(t->addsBos());
  EncodeOptions bos;
  bos.addBos = true;
  EXPECT_EQ(ids(*t, "he", bos), (std::vector<TokenId>{261, 256}));
  EXPECT_EQ(ids(*t, "he"), (std::vector<TokenId>{256}));
}

TEST(Tokenizer, DirectoryAndItsConfiguration) {
  namespace fs = std::filesystem;
  fs::path folder = fs::path(::testing::TempDir()) / "tokenizer-directory";
  fs::create_directories(folder);
  EXPECT_EQ(loadTokenizer(folder).error().code, 4001);
  std::ofstream(folder / "tokenizer.json") << smallJson().dump();
  EXPECT_EQ(load(folder)->eosId(), 261);
  std::ofstream(folder / "meta.json") << R"({"eos_id": 7})";
  EXPECT_EQ(load(folder)->eosId(), 7);
  std::ofstream(folder / "tokenizer_config.json")
      << R"({"eos_token": {"content": "<think>"}, "bos_token": "hello"})";
  EXPECT_EQ(load(folder)->eosId(), 262);
  EXPECT_EQ(load(folder)->bosId(), 259);
  fs::remove_all(folder);
  EXPECT_FALSE(bool(loadTokenizer(folder)));
}

// Both ways to merge do the same on any word.
TEST(Bpe, LongAndShortWordsAgree) {
  std::mt19937 random(6);
  std::vector<Merge> merges;
  TokenId next = 4;
  for (uint32_t rank = 0; rank < 60; ++rank)
    merges.push_back({TokenId(random() % unsigned(next)),
                      TokenId(random() % unsigned(next)), next++, rank / 3});
  MergeTable table;
  table.build(merges);
  PairMerger merger;
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> word;
    for (unsigned n = 2 + random() % 40; n > 0; --n)
      word.push_back(TokenId(random() % 4));
    // The definition: the best pair of all, the leftmost of equals.
    std::vector<TokenId> expected = word;
    for (;;) {
      size_t best = 0;
      const MergeTable::Found *found = nullptr;
      for (size_t i = 0; i + 1 < expected.size(); ++i)
        if (auto *f = table.find(expected[i], expected[i + 1]))
          if (!found || f->rank < found->rank)
            found = f, best = i;
      if (!found)
        break;
      expected[best] = found->result;
      expected.erase(expected.begin() + ptrdiff_t(best) + 1);
    }
    merger.merge(table, word);
    ASSERT_EQ(word, expected);
  }
}

TEST(Bpe, CacheForgetsButNeverLies) {
  WordCache cache;
  for (TokenId i = 0; i < 400000; ++i) {
    std::string word = "w" + std::to_string(i);
    const TokenId *found;
    size_t count;
    ASSERT_FALSE(cache.find(word, found, count));
    TokenId value[2] = {i, -i};
    cache.insert(word, value, 2);
    ASSERT_TRUE(cache.find(word, found, count));
    ASSERT_EQ(count, 2u);
    ASSERT_EQ(found[0], i);
  }
}

} // namespace
