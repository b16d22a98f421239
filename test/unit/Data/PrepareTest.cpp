//===- PrepareTest.cpp - data prepare and data synth ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Helpers.h"

#include "runtime/data/Prepare.h"
#include "runtime/data/Random.h"
#include "runtime/data/Sha256.h"
#include "runtime/tokenizer/Trainer.h"

#include <nlohmann/json.hpp>
#include <zlib.h>

using namespace qrt;
using namespace qrt::test;
using nlohmann::json;

namespace {

std::string text(uint64_t begin, uint64_t end) {
  std::string out;
  for (uint64_t i = begin; i < end; ++i)
    out += synthDocument(11, i);
  return out;
}

/// A folder with a tokenizer in it.
class Prepare : public ::testing::Test {
protected:
  void SetUp() override {
    TokenizerTrainerOptions options;
    options.vocabSize = 400;
    auto trainer = TokenizerTrainer::create(options);
    ASSERT_TRUE(bool(trainer));
    ASSERT_TRUE(bool((*trainer)->feed(text(0, 200))));
    auto trained = (*trainer)->train();
    ASSERT_TRUE(bool(trained)) << trained.error().str();
    folder.write("t.json", *(*trained)->toJson());
    tokenizer = std::move(*trained);
    options_.tokenizer = folder / "t.json";
    options_.folder = folder / "out";
  }

  std::vector<int32_t> ids(const std::string &t) {
    return *tokenizer->encode(t);
  }
  DataSummary prepare() {
    auto summary = prepareData(options_, nullptr);
    if (!summary || !*summary) {
      ADD_FAILURE() << (summary ? "stopped" : summary.error().str());
      return {};
    }
    return **summary;
  }
  int failure() {
    auto summary = prepareData(options_, nullptr);
    EXPECT_FALSE(std::filesystem::exists(options_.folder));
    return summary ? 0 : summary.error().code;
  }

  Folder folder;
  std::unique_ptr<Tokenizer> tokenizer;
  PrepareOptions options_;
};

TEST_F(Prepare, PlainFile) {
  std::string corpus = text(0, 5000); // more than one block
  ASSERT_GT(corpus.size(), size_t(1) << 20);
  folder.write("a.txt", corpus);
  options_.texts = {folder / "a.txt"};
  options_.valFraction = 0;
  DataSummary s = prepare();
  EXPECT_EQ(
      folder.list("out"),
      (std::set<std::string>{"train.bin", "tokenizer.json", "meta.json"}));
  EXPECT_EQ(folder.readTokens("out/train.bin"), ids(corpus));
  EXPECT_EQ(folder.read("out/tokenizer.json"), folder.read("t.json"));
  json meta = json::parse(folder.read("out/meta.json"));
  json expected = {{"vocab_size", 400},
                   {"tokenizer", "tokenizer.json"},
                   {"tokenizer_sha256", sha256Hex(folder.read("t.json"))},
                   {"dtype", "uint32"},
                   {"train_tokens", ids(corpus).size()},
                   {"val_tokens", 0},
                   {"train_bytes", corpus.size()},
                   {"val_bytes", 0},
                   {"documents", 1},
                   {"eos_id", 399}};
  EXPECT_EQ(meta, expected);
  EXPECT_EQ(s.toJson(), folder.read("out/meta.json"));
}

TEST_F(Prepare, SplitOfAPlainFileLosesNothing) {
  std::string corpus = text(0, 2000);
  folder.write("a.txt", corpus);
  options_.texts = {folder / "a.txt"};
  options_.valFraction = 0.1;
  std::set<std::vector<int32_t>> places;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    options_.seed = seed;
    DataSummary s = prepare();
    auto train = folder.readTokens("out/train.bin");
    auto val = folder.readTokens("out/val.bin");
    EXPECT_EQ(s.trainTokens, train.size());
    EXPECT_EQ(s.valTokens, val.size());
    EXPECT_EQ(s.trainBytes + s.valBytes, corpus.size());
    EXPECT_NEAR(double(s.valBytes), double(corpus.size()) * 0.1, 600);
    EXPECT_EQ(tokenizer->decode(val).size(), s.valBytes);
    // The stretch put back in its place makes up the whole. The place is where
    // the two differ first, or before, if the stretch begins like its end.
    auto whole = ids(corpus);
    ASSERT_EQ(train.size() + val.size(), whole.size());
    auto at = std::mismatch(train.begin(), train.end(), whole.begin()).first -
              train.begin();
    bool found = false;
    for (; at >= 0 && !found; --at) {
      auto joined = train;
      joined.insert(joined.begin() + at, val.begin(), val.end());
      found = joined == whole;
    }
    EXPECT_TRUE(found);
    places.insert(val);
    std::string before = folder.read("out/train.bin");
    prepare();
    EXPECT_EQ(folder.read("out/train.bin"), before);
  }
  EXPECT_GE(places.size(), 3u);
}

TEST_F(Prepare, JsonLines) {
  std::string lines, all;
  std::vector<int32_t> expected;
  for (uint64_t i = 0; i < 300; ++i) {
    std::string document = synthDocument(2, i) + "\xc3\xa9";
    lines += json({{"id", i}, {"text", document}}).dump() + "\n";
    if (i % 50 == 0)
      lines += "\r\n";
    for (int32_t id : ids(document))
      expected.push_back(id);
    expected.push_back(399);
    all += document;
  }
  lines.pop_back(); // the last line need not end
  folder.write("a.jsonl", lines);
  options_.texts = {folder / "a.jsonl"};
  options_.appendEos = true;
  options_.valFraction = 0;
  DataSummary s = prepare();
  EXPECT_EQ(s.documents, 300u);
  EXPECT_EQ(s.trainBytes, all.size());
  EXPECT_EQ(folder.readTokens("out/train.bin"), expected);

  options_.valFraction = 0.2;
  s = prepare();
  EXPECT_EQ(s.documents, 300u);
  EXPECT_EQ(s.trainBytes + s.valBytes, all.size());
  EXPECT_EQ(s.trainTokens + s.valTokens, expected.size());
  auto val = folder.readTokens("out/val.bin");
  auto ends = std::count(val.begin(), val.end(), 399);
  EXPECT_GT(ends, 30);
  EXPECT_LT(ends, 90);
}

/// The bytes as gzip packs them, in two members.
std::string gzip(const std::string &text) {
  std::string out;
  for (std::string part :
       {text.substr(0, text.size() / 3), text.substr(text.size() / 3)}) {
    z_stream z{};
    EXPECT_EQ(
        deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
        Z_OK);
    std::string packed(deflateBound(&z, part.size()) + 64, '\0');
    z.next_in = reinterpret_cast<Bytef *>(part.data());
    z.avail_in = uInt(part.size());
    z.next_out = reinterpret_cast<Bytef *>(packed.data());
    z.avail_out = uInt(packed.size());
    EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed.resize(z.total_out);
    deflateEnd(&z);
    out += packed;
  }
  return out;
}

TEST_F(Prepare, GzipIsTextLikeAnyOther) {
  std::string corpus = text(0, 6000);
  folder.write("a.txt", corpus);
  folder.write("a.txt.gz", gzip(corpus));
  std::string lines;
  for (int i = 0; i < 2000; ++i)
    lines += json({{"text", synthDocument(3, uint64_t(i))}}).dump() + "\n";
  folder.write("b.jsonl", lines);
  folder.write("b.jsonl.gz", gzip(lines));
  options_.valFraction = 0.1;
  options_.texts = {folder / "a.txt", folder / "b.jsonl"};
  DataSummary plain = prepare();
  std::string train = folder.read("out/train.bin");
  options_.texts = {folder / "a.txt.gz", folder / "b.jsonl.gz"};
  EXPECT_EQ(prepare().toJson(), plain.toJson());
  EXPECT_EQ(folder.read("out/train.bin"), train);

  std::filesystem::remove_all(options_.folder);
  std::string packed = gzip(corpus);
  folder.write("cut.gz", packed.substr(0, packed.size() - 9));
  options_.texts = {folder / "cut.gz"};
  EXPECT_EQ(failure(), 5014);
  packed[packed.size() / 2] = char(packed[packed.size() / 2] ^ 0x55);
  folder.write("bad.gz", packed);
  options_.texts = {folder / "bad.gz"};
  EXPECT_EQ(failure(), 5014);
}

TEST_F(Prepare, AnyNumberOfThreadsGivesTheSame) {
  std::string corpus = text(0, 9000), lines;
  folder.write("a.txt", corpus);
  // Without any place to cut: all of it is one document's one piece.
  folder.write("b.txt", std::string(5 << 20, '.') + "end");
  for (int i = 0; i < 4000; ++i)
    lines += json({{"text", synthDocument(5, uint64_t(i))}}).dump() + "\n";
  folder.write("c.jsonl", lines);
  options_.texts = {folder / "a.txt", folder / "b.txt", folder / "c.jsonl"};
  options_.valFraction = 0.05;
  options_.appendEos = true;
  std::string train, val;
  for (int threads : {1, 2, 5}) {
    options_.threads = threads;
    prepare();
    if (threads > 1) {
      EXPECT_EQ(folder.read("out/train.bin"), train);
      EXPECT_EQ(folder.read("out/val.bin"), val);
    }
    train = folder.read("out/train.bin");
    val = folder.read("out/val.bin");
  }
  options_.texts = {folder / "a.txt"};
  options_.valFraction = 0;
  options_.appendEos = false;
  prepare();
  EXPECT_EQ(folder.readTokens("out/train.bin"), ids(corpus));
}

TEST_F(Prepare, PromptsAreMasked) {
  folder.write("a.jsonl", "{\"prompt\": \"one two \", \"completion\": "
                          "\"three four five\"}\n{\"text\": \"six\"}\n");
  options_.texts = {folder / "a.jsonl"};
  options_.appendEos = true;
  options_.valFraction = 0;
  prepare();
  std::vector<int32_t> expected = ids("one two ");
  size_t prompt = expected.size();
  for (int32_t id : ids("three four five"))
    expected.push_back(id);
  expected.push_back(399);
  for (int32_t id : ids("six"))
    expected.push_back(id);
  expected.push_back(399);
  EXPECT_EQ(folder.readTokens("out/train.bin"), expected);
  std::string mask = folder.read("out/train.mask");
  ASSERT_EQ(mask.size(), (expected.size() + 7) / 8);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(mask[i / 8] >> (i % 8) & 1, i >= prompt) << i;
  // It goes away with the prompts.
  folder.write("a.jsonl", "{\"text\": \"six\"}\n");
  prepare();
  EXPECT_FALSE(folder.list("out").count("train.mask"));
}

TEST(Cuts, PartsEncodeAsTheWhole) {
  const char *pieces[] = {"a",
                          "B9",
                          "\n",
                          "\n",
                          "\r",
                          " ",
                          "  ",
                          ".",
                          "'s",
                          "\t",
                          "7",
                          "!?",
                          "\xe4\xb8\xad",
                          "\xc3\xa9",
                          "e\xcc\x81",
                          "\xe3\x80\x80",
                          "<|endoftext|>",
                          "\xff"};
  for (const char *pattern : {"qwen2", "gpt-2", "llama-bpe"}) {
    TokenizerTrainerOptions options;
    options.vocabSize = 300;
    options.pattern = pattern;
    auto trainer = TokenizerTrainer::create(options);
    ASSERT_TRUE(bool(trainer));
    std::string corpus;
    for (uint64_t i = 0; i < 4000; ++i)
      corpus += pieces[mixKey(1, i) % 14];
    ASSERT_TRUE(bool((*trainer)->feed(corpus)));
    auto tokenizer = (*trainer)->train();
    ASSERT_TRUE(bool(tokenizer)) << tokenizer.error().str();
    int cuts = 0;
    for (uint64_t round = 0; round < 3000; ++round) {
      std::string text;
      for (uint64_t i = 0; i < 24; ++i)
        text += pieces[mixKey(2, round, i) % std::size(pieces)];
      size_t cut = (*tokenizer)->lastCut(text);
      if (cut == 0)
        continue;
      ++cuts;
      auto parts = *(*tokenizer)->encode(text.substr(0, cut));
      auto rest = *(*tokenizer)->encode(text.substr(cut));
      parts.insert(parts.end(), rest.begin(), rest.end());
      ASSERT_EQ(parts, *(*tokenizer)->encode(text)) << pattern << ": " << text;
    }
    EXPECT_GT(cuts, 300) << pattern;
  }
}

TEST_F(Prepare, SeveralFilesAndOwnValidation) {
  folder.write("a.txt", "one two");
  folder.write("b.txt", "three\n");
  folder.write("v.txt", "four");
  options_.texts = {folder / "a.txt", folder / "b.txt"};
  options_.valText = folder / "v.txt";
  options_.appendEos = true;
  DataSummary s = prepare();
  auto expected = ids("one two");
  expected.push_back(399);
  for (int32_t id : ids("three\n"))
    expected.push_back(id);
  expected.push_back(399);
  EXPECT_EQ(folder.readTokens("out/train.bin"), expected);
  auto val = ids("four");
  val.push_back(399);
  EXPECT_EQ(folder.readTokens("out/val.bin"), val);
  EXPECT_EQ(s.documents, 3u);
  EXPECT_EQ(s.trainBytes, 13u);
  EXPECT_EQ(s.valBytes, 4u);

  // An older val.bin must not stay beside new training data.
  options_.valText.clear();
  options_.valFraction = 0;
  prepare();
  EXPECT_FALSE(folder.list("out").count("val.bin"));
}

TEST_F(Prepare, Errors) {
  folder.write("a.txt", "text");
  folder.write("empty.txt", "");
  options_.texts = {folder / "empty.txt"};
  EXPECT_EQ(failure(), 5001);
  options_.texts = {folder / "a.txt", folder / "missing.txt"};
  EXPECT_EQ(failure(), 3001);
  options_.texts = {};
  EXPECT_EQ(failure(), 5006);
  options_.texts = {folder / "a.txt"};
  options_.valFraction = 1;
  EXPECT_EQ(failure(), 5010);
  options_.valFraction = 0;
  options_.tokenizer = folder / "none.json";
  EXPECT_EQ(failure(), 3001);
  options_.tokenizer = folder / "t.json";
  for (const char *bad : {"{", "[1]", "{\"text\": 1}", "{\"txt\": \"a\"}",
                          "{\"text\": \"\xff\"}", "{\"text\": \"\\ud800\"}"}) {
    folder.write("bad.jsonl",
                 std::string("{\"text\": \"good\"}\n") + bad + "\n");
    options_.texts = {folder / "bad.jsonl"};
    auto summary = prepareData(options_, nullptr);
    ASSERT_FALSE(bool(summary)) << bad;
    EXPECT_EQ(summary.error().code, 5004);
    EXPECT_EQ(summary.error().where.find(folder / "bad.jsonl:2"), 0u)
        << summary.error().where;
    EXPECT_FALSE(std::filesystem::exists(options_.folder));
  }
  options_.folder = folder / "a.txt";
  options_.texts = {folder / "a.txt"};
  EXPECT_EQ(prepareData(options_, nullptr).error().code, 5008);
}

TEST_F(Prepare, FailureLeavesOldDataAlone) {
  folder.write("a.txt", "some text");
  folder.write("bad.jsonl", "{\n");
  options_.texts = {folder / "a.txt"};
  options_.valFraction = 0;
  prepare();
  auto before = folder.list("out");
  std::string tokens = folder.read("out/train.bin");
  options_.texts = {folder / "a.txt", folder / "bad.jsonl"};
  EXPECT_FALSE(bool(prepareData(options_, nullptr)));
  EXPECT_EQ(folder.list("out"), before);
  EXPECT_EQ(folder.read("out/train.bin"), tokens);
  auto stopped =
      prepareData(options_, [](uint64_t, uint64_t) { return false; });
  ASSERT_TRUE(bool(stopped));
  EXPECT_FALSE(stopped->has_value());
  EXPECT_EQ(folder.list("out"), before);
}

TEST_F(Prepare, NoEndToken) {
  json j = json::parse(folder.read("t.json"));
  j["added_tokens"] = json::array();
  folder.write("t.json", j.dump());
  folder.write("a.txt", "text");
  options_.texts = {folder / "a.txt"};
  options_.appendEos = true;
  EXPECT_EQ(failure(), 5009);
  options_.appendEos = false;
  options_.valFraction = 0;
  prepare();
  EXPECT_TRUE(json::parse(folder.read("out/meta.json"))["eos_id"].is_null());
}

TEST(Synth, IsPreparedAndReproducible) {
  Folder folder;
  SynthOptions options;
  options.bytes = 200000;
  options.folder = folder / "a";
  auto one = synthesizeData(options);
  ASSERT_TRUE(bool(one)) << one.error().str();
  options.folder = folder / "b";
  ASSERT_TRUE(bool(synthesizeData(options)));
  EXPECT_EQ(folder.list("a"),
            (std::set<std::string>{"train.bin", "val.bin", "tokenizer.json",
                                   "meta.json"}));
  for (const char *name :
       {"train.bin", "val.bin", "tokenizer.json", "meta.json"})
    EXPECT_EQ(folder.read(std::string("a/") + name),
              folder.read(std::string("b/") + name));
  EXPECT_EQ(one->vocabSize, 512u);
  EXPECT_GT(one->valTokens, 0u);
  auto tokenizer = loadTokenizer(folder / "a");
  ASSERT_TRUE(bool(tokenizer));
  EXPECT_EQ((*tokenizer)
                ->decode(folder.readTokens("a/train.bin"))
                .find(synthDocument(1, 0)),
            0u);
}

// The corpus is the same for every compiler and library.
TEST(Synth, TextIsFixed) {
  std::string all;
  for (uint64_t i = 0; i < 1000; ++i)
    all += synthDocument(1, i);
  EXPECT_EQ(sha256Hex(all),
            "6df64f28d537fb4f8dfa5b8e1af4e2d85d274684728a9bfbbfc645722d7407af");
}

} // namespace
