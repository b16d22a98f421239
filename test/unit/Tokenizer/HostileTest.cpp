//===- HostileTest.cpp - Vocabularies that are wrong ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Helpers.h"

#include "runtime/tokenizer/GgufTokenizer.h"

#include <functional>

using namespace qrt;
using namespace qrt::test;
using nlohmann::json;

namespace {

/// The code of the error that a changed file gives; 0 if it is accepted.
int codeOf(const std::function<void(json &)> &change,
           const std::string &mention = "") {
  json j = smallJson();
  change(j);
  auto tokenizer = tokenizerFromJson(j.dump(), "t.json");
  if (tokenizer)
    return 0;
  EXPECT_NE(tokenizer.error().message.find(mention), std::string::npos)
      << tokenizer.error().message;
  EXPECT_EQ(tokenizer.error().where, "t.json");
  return tokenizer.error().code;
}

TEST(HostileJson, Merges) {
  auto merge = [](json value) {
    return [value](json &j) { j["model"]["merges"].push_back(value); };
  };
  EXPECT_EQ(codeOf(merge("h e")), 0); // again
  EXPECT_EQ(codeOf(merge("q zz"), "'zz'"), 4004);
  EXPECT_EQ(codeOf(merge("q q"), "'qq'"), 4004);
  EXPECT_EQ(codeOf(merge("qq"), "qq"), 4004);
  EXPECT_EQ(codeOf(merge("a b c")), 4004);
  EXPECT_EQ(codeOf(merge(5)), 4004);
  EXPECT_EQ(codeOf(merge(json::array({"h"}))), 4004);
  EXPECT_EQ(codeOf(merge(json::array({"h", 1}))), 4004);
  EXPECT_EQ(codeOf([](json &j) { j["model"].erase("merges"); }), 4004);
  EXPECT_EQ(codeOf([](json &j) { j["model"]["merges"] = "x"; }), 4004);
}

TEST(HostileJson, Ids) {
  auto id = [](const char *token, json value) {
    return [=](json &j) { j["model"]["vocab"][token] = value; };
  };
  EXPECT_EQ(codeOf(id("new", 5), "same id 5"), 4003);
  EXPECT_EQ(codeOf(id("new", 4000000000u), "4000000000"), 4003);
  EXPECT_EQ(codeOf(id("new", 18446744073709551615u)), 4003);
  EXPECT_EQ(codeOf(id("new", -1)), 4003);
  EXPECT_EQ(codeOf(id("new", 1.5)), 4003);
  EXPECT_EQ(codeOf(id("new", "1")), 4003);
  EXPECT_EQ(codeOf(id("", 500)), 4003);
  EXPECT_EQ(codeOf([](json &j) { j["model"]["vocab"] = json::array(); }), 4003);
  EXPECT_EQ(codeOf([](json &j) { j["model"]["vocab"] = json::object(); }),
            4003);
  EXPECT_EQ(codeOf([](json &j) { j["model"]["unk_token"] = "nope"; }, "nope"),
            4003);
}

TEST(HostileJson, AddedTokens) {
  auto added = [](const char *key, json value) {
    return [=](json &j) { j["added_tokens"][0][key] = value; };
  };
  EXPECT_EQ(codeOf(added("id", 3), "same id 3"), 4003);
  EXPECT_EQ(codeOf(added("id", 1u << 31)), 4003);
  EXPECT_EQ(codeOf(added("id", nullptr)), 4005);
  EXPECT_EQ(codeOf(added("content", "")), 4005);
  EXPECT_EQ(codeOf(added("content", 1)), 4003);
  EXPECT_EQ(codeOf(added("special", "yes")), 4003);
  EXPECT_EQ(codeOf(added("content", "<think>"), "<think>"), 4003);
  EXPECT_EQ(codeOf([](json &j) { j["added_tokens"] = 1; }), 4005);
  EXPECT_EQ(codeOf([](json &j) { j["added_tokens"].push_back(1); }), 4005);
  EXPECT_EQ(codeOf([](json &j) {
              j["added_tokens"].push_back(j["added_tokens"][0]);
            }),
            4005);
}

TEST(HostileJson, UnsupportedPartsAreNamed) {
  auto set = [](const char *pointer, const char *value) {
    return
        [=](json &j) { j[json::json_pointer(pointer)] = json::parse(value); };
  };
  EXPECT_EQ(codeOf(set("/normalizer", R"({"type":"NFKC"})"), "'NFKC'"), 4002);
  EXPECT_EQ(codeOf(set("/normalizer", R"({"type":"Replace","pattern":
      {"Regex":" "},"content":""})"),
                   "'Replace'"),
            4002);
  EXPECT_EQ(
      codeOf(set("/pre_tokenizer", R"({"type":"Whitespace"})"), "'Whitespace'"),
      4002);
  EXPECT_EQ(codeOf(set("/pre_tokenizer", R"({"type":"Sequence","pretokenizers":[
      {"type":"ByteLevel"},{"type":"Digits"}]})"),
                   "'Digits'"),
            4002);
  EXPECT_EQ(codeOf(set("/pre_tokenizer", R"({"type":"Split","pattern":
      {"Regex":"("},"behavior":"Isolated"})"),
                   "("),
            4006);
  EXPECT_EQ(codeOf(set("/pre_tokenizer", R"({"type":"Split","pattern":
      {"String":"a"},"behavior":"MergedWithNext"})"),
                   "MergedWithNext"),
            4002);
  EXPECT_EQ(codeOf(set("/decoder", R"({"type":"WordPiece"})"), "'WordPiece'"),
            4002);
  EXPECT_EQ(codeOf(set("/post_processor", R"({"type":"BertProcessing"})"),
                   "'BertProcessing'"),
            4002);
  EXPECT_EQ(codeOf(set("/model/type", R"("Unigram")"), "'Unigram'"), 4002);
  EXPECT_EQ(codeOf(set("/model/dropout", "0.1"), "dropout"), 4002);
  EXPECT_EQ(codeOf(set("/model/continuing_subword_prefix", R"("##")"),
                   "continuing_subword_prefix"),
            4002);
  EXPECT_EQ(codeOf(set("/truncation", "{}"), "truncation"), 4002);
  EXPECT_EQ(codeOf(set("/padding", "{}"), "padding"), 4002);
}

TEST(HostileJson, NeitherObjectsNorJson) {
  for (const char *text : {"", "{", "null", "[]", "{}", "5", "{\"model\":1}",
                           "{\"model\":{}}", "\xff\xfe"})
    EXPECT_FALSE(bool(tokenizerFromJson(text, "t.json"))) << text;
  std::string deep(1000000, '[');
  EXPECT_FALSE(bool(tokenizerFromJson(deep, "t.json")));
  deep = "{\"normalizer\":";
  for (int i = 0; i < 40; ++i)
    deep += "{\"type\":\"Sequence\",\"normalizers\":[";
  EXPECT_FALSE(bool(tokenizerFromJson(deep, "t.json")));
}

TEST(HostileJson, Truncated) {
  std::string text = smallJson().dump();
  for (size_t n = 0; n < text.size(); n += 7)
    EXPECT_FALSE(bool(tokenizerFromJson(text.substr(0, n), "t.json"))) << n;
}

// Any change of one byte is accepted or refused, but survived.
TEST(HostileJson, ChangedBytes) {
  std::string text = smallJson().dump();
  std::mt19937 random(8);
  for (int round = 0; round < 2000; ++round) {
    std::string changed = text;
    for (unsigned n = 1 + random() % 3; n > 0; --n)
      changed[random() % changed.size()] = "0\"{}[],:a-\\ \xff"[random() % 14];
    auto tokenizer = tokenizerFromJson(changed, "t.json");
    if (tokenizer)
      (void)(*tokenizer)->encode("hello world <|endoftext|>");
  }
}

GgufVocabulary scored() {
  GgufVocabulary v;
  v.model = "llama";
  v.tokens = {"<unk>", "<s>", "</s>"};
  v.types = {2, 3, 3};
  for (int b = 0; b < 256; ++b) {
    v.tokens.push_back(fmt::format("<0x{:02X}>", b));
    v.types.push_back(6);
  }
  for (const char *token : {"\xe2\x96\x81", "a", "b", "ab",
                            "\xe2\x96\x81"
                            "ab"}) {
    v.tokens.push_back(token);
    v.types.push_back(1);
  }
  v.scores.assign(v.tokens.size(), 0);
  v.scores[262] = -1;
  v.scores[263] = -2;
  v.bos = 1;
  v.eos = 2;
  v.unknown = 0;
  return v;
}

int codeOf(const std::function<void(GgufVocabulary &)> &change) {
  GgufVocabulary v = scored();
  change(v);
  auto tokenizer = tokenizerFromVocabulary(std::move(v), "t.gguf");
  return tokenizer ? 0 : tokenizer.error().code;
}

TEST(Gguf, Scored) {
  auto tokenizer = tokenizerFromVocabulary(scored(), "t.gguf");
  ASSERT_TRUE(bool(tokenizer)) << tokenizer.error().str();
  const Tokenizer &t = **tokenizer;
  EXPECT_EQ(ids(t, "ab ab"), (std::vector<TokenId>{263, 263}));
  EXPECT_EQ(ids(t, "aab"), (std::vector<TokenId>{259, 260, 262}));
  EXPECT_EQ(ids(t, "\n"), (std::vector<TokenId>{259, 13}));
  EXPECT_EQ(t.decode({263, 263}), "ab ab");
  EXPECT_EQ(t.decode({1, 263}), "<s> ab");
  DecodeOptions skip;
  skip.skipSpecial = true;
  EXPECT_EQ(t.decode({1, 263}, skip), "ab");
  skip.continuation = true;
  EXPECT_EQ(t.decode({263}, skip), " ab");
}

TEST(Gguf, BadVocabularies) {
  EXPECT_EQ(codeOf([](GgufVocabulary &) {}), 0);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.model = "bert"; }), 4002);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.tokens.clear(); }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.tokens[5] = ""; }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.tokens[5] = "a"; }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.scores.pop_back(); }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.scores[262] = NAN; }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.types.pop_back(); }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.types[4] = 77; }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.eos = 264; }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.bos = uint64_t(1) << 40; }), 4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) { v.tokens[262] = "\xff\xff"; }),
            4003);
  EXPECT_EQ(codeOf([](GgufVocabulary &v) {
              v.tokens[262] = std::string(100000, 'a');
            }),
            4003);
}

TEST(Gguf, UnknownPreTokenizerIsNamed) {
  GgufVocabulary v;
  v.model = "gpt2";
  v.pre = "quen2";
  v.tokens = {"a"};
  auto tokenizer = tokenizerFromVocabulary(std::move(v), "t.gguf");
  ASSERT_FALSE(bool(tokenizer));
  EXPECT_EQ(tokenizer.error().code, 4002);
  EXPECT_NE(tokenizer.error().message.find("'quen2'"), std::string::npos);
  EXPECT_NE(tokenizer.error().message.find("'qwen2'"), std::string::npos);
}

TEST(Gguf, UnusedIdsHaveNoToken) {
  GgufVocabulary v = scored();
  v.types[261] = 5; // "b"
  auto tokenizer = tokenizerFromVocabulary(std::move(v), "t.gguf");
  ASSERT_TRUE(bool(tokenizer));
  EXPECT_FALSE((*tokenizer)->hasToken(261));
  EXPECT_TRUE((*tokenizer)->hasToken(262));
}

} // namespace
