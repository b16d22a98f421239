//===- TrainerTest.cpp - Training vocabularies ----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Helpers.h"

#include "runtime/data/Prepare.h"
#include "runtime/tokenizer/BpeTokenizer.h"
#include "runtime/tokenizer/Trainer.h"
#include "runtime/tokenizer/Utf8.h"

#include <map>

using namespace qrt;
using namespace qrt::test;

namespace {

std::string corpus(uint64_t documents) {
  std::string text;
  for (uint64_t i = 0; i < documents; ++i)
    text += synthDocument(3, i);
  return text;
}

Expected<std::unique_ptr<Tokenizer>>
train(const TokenizerTrainerOptions &options, std::string_view text,
      size_t block) {
  QRT_ASSIGN_OR_RETURN(auto trainer, TokenizerTrainer::create(options));
  for (; !text.empty(); text.remove_prefix(std::min(block, text.size())))
    QRT_RETURN_IF_ERROR(trainer->feed(text.substr(0, block)));
  return trainer->train();
}

TEST(Trainer, TheResultDependsOnTheTextOnly) {
  std::string text = corpus(300);
  TokenizerTrainerOptions options;
  options.vocabSize = 500;
  auto one = train(options, text, 1 << 20), two = train(options, text, 7);
  ASSERT_TRUE(bool(one)) << one.error().str();
  ASSERT_TRUE(bool(two)) << two.error().str();
  EXPECT_EQ((*one)->vocabSize(), 500u);
  EXPECT_EQ(*(*one)->toJson(), *(*two)->toJson());
  EXPECT_EQ((*one)->eosId(), 499);
  auto coded = ids(**one, text);
  EXPECT_LT(coded.size() * 2, text.size());
  EXPECT_EQ((*one)->decode(coded), text);
}

// Every merge is the most frequent pair of what the merges before it leave,
// of equal ones that of the smallest ids.
TEST(Trainer, TakesTheMostFrequentPair) {
  std::string text = corpus(12);
  TokenizerTrainerOptions options;
  options.vocabSize = 320;
  options.special = {};
  auto trained = train(options, text, 1000);
  ASSERT_TRUE(bool(trained)) << trained.error().str();
  auto file = nlohmann::json::parse(*(*trained)->toJson());
  const auto &merges = file["model"]["merges"];

  // The same by the definition, on the words that the trained tokenizer splits.
  std::vector<std::vector<std::string>> words;
  auto splitter =
      static_cast<BpeTokenizer &>(**trained).wordSplitter([&](auto word) {
        words.emplace_back();
        for (char c : word)
          words.back().push_back(bytesToText(std::string(1, c)));
      });
  std::vector<TokenId> none;
  ASSERT_TRUE(bool(splitter->feed(text, none)));
  ASSERT_TRUE(bool(splitter->finish(none)));
  for (const auto &merge : merges) {
    std::map<std::pair<TokenId, TokenId>, size_t> counts;
    for (const auto &word : words)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        ++counts[{*(*trained)->idOf(word[i]), *(*trained)->idOf(word[i + 1])}];
    auto best = counts.begin();
    for (auto at = counts.begin(); at != counts.end(); ++at)
      if (at->second > best->second)
        best = at;
    std::string left(merge[0]), right(merge[1]);
    ASSERT_EQ((*trained)->tokenFor(best->first.first), left);
    ASSERT_EQ((*trained)->tokenFor(best->first.second), right);
    for (auto &word : words)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        if (word[i] == left && word[i + 1] == right) {
          word[i] += right;
          word.erase(word.begin() + ptrdiff_t(i) + 1);
        }
  }
}

TEST(Trainer, BoundedMemoryStillTrains) {
  std::string text = corpus(2000);
  TokenizerTrainerOptions options;
  options.vocabSize = 400;
  options.maxWords = 200;
  auto trained = train(options, text, 1 << 16);
  ASSERT_TRUE(bool(trained)) << trained.error().str();
  EXPECT_EQ((*trained)->decode(ids(**trained, text)), text);
}

TEST(Trainer, Errors) {
  TokenizerTrainerOptions options;
  options.vocabSize = 256;
  EXPECT_EQ(train(options, "a", 1).error().code, 4009);
  options.vocabSize = size_t(1) << 40;
  EXPECT_EQ(train(options, "a", 1).error().code, 4009);
  options.vocabSize = 5000;
  auto small = train(options, "abab abab", 100);
  ASSERT_FALSE(bool(small));
  EXPECT_NE(small.error().message.find("are possible"), std::string::npos);
  options.pattern = "qwen3";
  EXPECT_EQ(train(options, "a", 1).error().code, 4002);
  options.pattern = "qwen2";
  options.special = {"x", "x"};
  EXPECT_FALSE(bool(train(options, "a", 1)));
}

} // namespace
