//===- LoaderTest.cpp - Token files and batches ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Helpers.h"

#include "runtime/data/Loader.h"
#include "runtime/data/Random.h"
#include "runtime/data/Sha256.h"

#include <numeric>
#include <set>
#include <unistd.h>

using namespace qrt;
using namespace qrt::test;

namespace {

/// 0, 1, 2, ...
std::vector<uint32_t> counting(size_t n, uint32_t first = 0) {
  std::vector<uint32_t> ids(n);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

/// Entries of 32-bit files.
std::vector<DataEntry> wide(const std::vector<std::string> &paths) {
  std::vector<DataEntry> entries;
  for (const std::string &path : paths)
    entries.push_back({path, 0, 4});
  return entries;
}

TokenDataset dataset(const std::vector<std::string> &paths, uint64_t sequence,
                     uint64_t vocab) {
  auto d = TokenDataset::open(wide(paths), sequence, vocab);
  if (!d) {
    ADD_FAILURE() << d.error().str();
    std::abort();
  }
  return std::move(*d);
}

TEST(Sha256, KnownHashes) {
  EXPECT_EQ(sha256Hex(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495"
            "991b7852b855");
  EXPECT_EQ(sha256Hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb4"
            "10ff61f20015ad");
  EXPECT_EQ(sha256Hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Random, PermutesEverySize) {
  for (uint64_t size : {1, 2, 3, 4, 5, 7, 16, 17, 100, 1000, 4096, 4097}) {
    std::set<uint64_t> seen;
    uint64_t fixed = 0;
    for (uint64_t i = 0; i < size; ++i) {
      uint64_t image = permute(i, size, 42);
      ASSERT_LT(image, size);
      seen.insert(image);
      fixed += image == i;
    }
    EXPECT_EQ(seen.size(), size);
    if (size >= 100) {
      EXPECT_LT(fixed, 20u);
    }
  }
  // Very large sets end too.
  EXPECT_LT(permute(123, (uint64_t(1) << 40) + 1, 7), (uint64_t(1) << 40) + 1);
}

TEST(Loader, AnEpochTakesEveryWindowOnce) {
  Folder folder;
  folder.writeTokens("a.bin", counting(101));
  folder.writeTokens("b.bin", counting(58, 1000));
  TokenDataset d = dataset({folder / "a.bin", folder / "b.bin"}, 10, 2000);
  ASSERT_EQ(d.windows(), 10u + 5u);
  EXPECT_EQ(d.tokens(), 159u);
  std::vector<int32_t> tokens(10), targets(10);
  std::vector<int32_t> first;
  for (uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<int32_t> begins;
    std::vector<int32_t> order;
    for (uint64_t i = 0; i < 15; ++i) {
      ASSERT_TRUE(bool(
          d.training(9, epoch * 15 + i, 1, {tokens.data(), targets.data()})));
      for (size_t k = 0; k < 10; ++k) {
        EXPECT_EQ(tokens[k], tokens[0] + int32_t(k));
        EXPECT_EQ(targets[k], tokens[k] + 1);
      }
      begins.insert(tokens[0]);
      order.push_back(tokens[0]);
    }
    EXPECT_EQ(begins.size(), 15u);
    EXPECT_EQ(*begins.rbegin(), 1040);
    EXPECT_NE(order, first); // every epoch has its own order
    first = order;
  }
}

TEST(Loader, OrderIsAFunctionOfSeedAndPosition) {
  Folder folder;
  folder.writeTokens("a.bin", counting(1001));
  TokenDataset d = dataset({folder / "a.bin"}, 8, 2000);
  auto rows = [&](uint64_t seed, uint64_t first, uint64_t count) {
    std::vector<int32_t> t(count * 8), y(count * 8);
    EXPECT_TRUE(bool(d.training(seed, first, count, {t.data(), y.data()})));
    return t;
  };
  // However sequences are grouped, and in whatever order they are asked for,
  // they are the same: two epochs at once, backwards one by one.
  auto all = rows(5, 0, 250);
  for (uint64_t i = 250; i-- > 0;)
    EXPECT_EQ(rows(5, i, 1),
              std::vector<int32_t>(all.begin() + ptrdiff_t(i * 8),
                                   all.begin() + ptrdiff_t(i * 8 + 8)));
  EXPECT_NE(rows(6, 0, 250), all);
  // The order is part of what makes runs reproducible: it may not change.
  auto first = rows(0, 0, 4);
  EXPECT_EQ((std::vector<int32_t>{first[0], first[8], first[16], first[24]}),
            (std::vector<int32_t>{368, 8, 272, 384}));
}

TEST(Loader, SequentialReadsEverythingOnce) {
  Folder folder;
  folder.writeTokens("val.bin", counting(26));
  TokenDataset d = dataset({folder / "val.bin"}, 10, 2000);
  EXPECT_EQ(d.sequentialWindows(), 3u);
  std::vector<int32_t> tokens(40), targets(40);
  ASSERT_TRUE(bool(d.sequential(0, 4, {tokens.data(), targets.data()})));
  for (int32_t i = 0; i < 40; ++i) {
    EXPECT_EQ(targets[size_t(i)], i < 25 ? i + 1 : -1);
    EXPECT_EQ(tokens[size_t(i)], i < 25 ? i : 0);
  }
}

TEST(Loader, SequenceLongerThanTheFile) {
  Folder folder;
  folder.writeTokens("a.bin", counting(64));
  TokenDataset d = dataset({folder / "a.bin"}, 64, 100);
  std::vector<int32_t> tokens(64), targets(64);
  Status status = d.training(0, 0, 1, {tokens.data(), targets.data()});
  ASSERT_FALSE(bool(status));
  EXPECT_EQ(status.error().code, 5007);
  EXPECT_NE(status.error().message.find("train.sequence=63"),
            std::string::npos);
  EXPECT_EQ(dataset({folder / "a.bin"}, 63, 100).windows(), 1u);
}

TEST(Loader, IdsBeyondTheVocabulary) {
  Folder folder;
  folder.writeTokens("a.bin", counting(1200));
  auto d = TokenDataset::open(wide({folder / "a.bin"}), 8, 1024);
  ASSERT_FALSE(bool(d));
  EXPECT_EQ(d.error().code, 5005);
  EXPECT_NE(d.error().message.find("--set dims.vocab=1200"), std::string::npos)
      << d.error().message;
  EXPECT_NE(d.error().message.find("1024"), std::string::npos);
  EXPECT_TRUE(bool(TokenDataset::open(wide({folder / "a.bin"}), 8, 1200)));
  // meta.json knows the tokenizer's size, whatever ids occur.
  folder.writeTokens("train.bin", counting(100));
  folder.write("meta.json", R"({"dtype": "uint32", "vocab_size": 5000})");
  d = TokenDataset::open(wide({folder / "train.bin"}), 8, 1024);
  ASSERT_FALSE(bool(d));
  EXPECT_NE(d.error().message.find("dims.vocab=5000"), std::string::npos);
}

TEST(Loader, EmptyMissingAndOddFiles) {
  Folder folder;
  folder.write("empty.bin", "");
  folder.write("odd.bin", "abc");
  EXPECT_EQ(TokenFile::open(folder / "empty.bin").error().code, 5001);
  EXPECT_EQ(TokenFile::open(folder / "odd.bin", 2).error().code, 5002);
  EXPECT_EQ(TokenFile::open(folder / "missing.bin").error().code, 3001);
  EXPECT_EQ(TokenDataset::open({}, 8, 8).error().code, 5006);
}

TEST(Loader, AFileThatShrinksIsAnError) {
  Folder folder;
  folder.writeTokens("a.bin", counting(10000));
  TokenDataset d = dataset({folder / "a.bin"}, 100, 20000);
  ASSERT_EQ(truncate((folder / "a.bin").c_str(), 400), 0);
  std::vector<int32_t> tokens(100), targets(100);
  int failures = 0;
  for (uint64_t i = 0; i < d.windows(); ++i) {
    Status status = d.training(1, i, 1, {tokens.data(), targets.data()});
    if (!status) {
      EXPECT_EQ(status.error().code, 5003);
      ++failures;
    }
  }
  EXPECT_GE(failures, 98);
}

/// A 1024-byte header of 32-bit numbers.
std::string header(std::vector<int32_t> numbers) {
  numbers.resize(256);
  return std::string(reinterpret_cast<const char *>(numbers.data()), 1024);
}

std::string narrow(size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i)
    out += {char(i * 37), char(i * 37 >> 8)};
  return out;
}

TEST(TokenFile, OtherFormats) {
  Folder folder;
  std::string wide = narrow(0);
  for (uint32_t id : counting(50))
    wide += {char(id), char(id >> 8), 0, 0};
  folder.write("c16.bin", header({20240520, 1, 50}) + narrow(50));
  folder.write("c32.bin", header({20240801, 7, 50}) + wide);
  std::string llmq = header({0, 0, 2, 4, 50, 4096, 0});
  llmq.replace(0, 8, "BIN.TOK\n");
  folder.write("llmq.bin", llmq + wide);
  folder.write("nano.bin", narrow(1000));
  folder.write("ours.bin", wide);
  for (const char *name :
       {"c16.bin", "c32.bin", "llmq.bin", "nano.bin", "ours.bin"}) {
    SCOPED_TRACE(name);
    bool plain = name[0] == 'n' || name[0] == 'o';
    if (plain)
      EXPECT_EQ(TokenFile::open(folder / name).error().code, 5011);
    auto file = TokenFile::open(folder / name, !plain           ? 0
                                               : name[0] == 'n' ? 2
                                                                : 4);
    ASSERT_TRUE(bool(file)) << file.error().str();
    bool is16 =
        std::string(name) == "c16.bin" || std::string(name) == "nano.bin";
    EXPECT_EQ(file->width(), is16 ? 2u : 4u);
    EXPECT_EQ(file->size(), std::string(name) == "nano.bin" ? 1000u : 50u);
    std::vector<int32_t> ids(20);
    ASSERT_TRUE(bool(file->read(10, 20, ids.data())));
    for (int32_t i = 0; i < 20; ++i)
      EXPECT_EQ(ids[size_t(i)], is16 ? (i + 10) * 37 : i + 10);
  }
  EXPECT_EQ(TokenFile::open(folder / "llmq.bin")->vocabSize(), 4096u);

  folder.write("short.bin", header({20240520, 1, 51}) + narrow(50));
  EXPECT_EQ(TokenFile::open(folder / "short.bin").error().code, 5002);
  folder.write("negative.bin", header({20240520, 1, -1}) + narrow(50));
  EXPECT_EQ(TokenFile::open(folder / "negative.bin").error().code, 5002);
  EXPECT_EQ(TokenFile::open(folder / "c16.bin", 4).error().code, 5011);

  // A bit a token behind them: every third is a target.
  llmq[24] = 1;
  std::string mask(7, 0);
  for (size_t i = 0; i < 50; i += 3)
    mask[i / 8] = char(mask[i / 8] | 1 << i % 8);
  folder.write("masks.bin", llmq + wide);
  EXPECT_EQ(TokenFile::open(folder / "masks.bin").error().code, 5002);
  folder.write("masks.bin", llmq + wide + mask);
  auto file = TokenFile::open(folder / "masks.bin");
  ASSERT_TRUE(bool(file)) << file.error().str();
  std::vector<int32_t> targets(20, 7);
  ASSERT_TRUE(bool(file->applyMask(11, 20, targets.data())));
  for (size_t i = 0; i < 20; ++i)
    EXPECT_EQ(targets[i], (i + 11) % 3 ? -1 : 7) << i;
}

TEST(TokenFile, MetaTellsTheType) {
  Folder folder;
  folder.write("train.bin", narrow(100));
  folder.write("meta.json", R"({"dtype": "uint16", "eos_id": 5})");
  auto file = TokenFile::open(folder / "train.bin");
  ASSERT_TRUE(bool(file)) << file.error().str();
  EXPECT_EQ(file->size(), 100u);
  EXPECT_EQ(file->eosId(), 5);
  EXPECT_EQ(TokenFile::open(folder / "train.bin", 4).error().code, 5011);
  folder.write("meta.json", R"({"dtype": "int8"})");
  EXPECT_EQ(TokenFile::open(folder / "train.bin").error().code, 5002);
  folder.write("meta.json", "{");
  EXPECT_EQ(TokenFile::open(folder / "train.bin").error().code, 3005);
}

TEST(TokenFile, FingerprintsDiffer) {
  Folder folder;
  auto ids = counting(100000);
  folder.writeTokens("a.bin", ids);
  folder.writeTokens("same.bin", ids);
  ids.back() = 1;
  folder.writeTokens("b.bin", ids);
  auto print = [&](const char *name) {
    return *TokenFile::open(folder / name, 4)->fingerprint();
  };
  EXPECT_EQ(print("a.bin"), print("same.bin"));
  EXPECT_NE(print("a.bin"), print("b.bin"));
}

TEST(Loader, MasksBesideTheFile) {
  Folder folder;
  folder.writeTokens("train.bin", counting(41));
  folder.write("train.mask", std::string("\xff\x00\xff\x0f\x00\x01", 6));
  TokenDataset d = dataset({folder / "train.bin"}, 10, 2000);
  std::vector<int32_t> tokens(40), targets(40);
  ASSERT_TRUE(bool(d.sequential(0, 4, {tokens.data(), targets.data()})));
  for (int32_t i = 0; i < 40; ++i) {
    int32_t target = i + 1;
    bool counts = target < 8 || (target >= 16 && target < 28) || target == 40;
    EXPECT_EQ(targets[size_t(i)], counts ? target : -1);
  }
  folder.write("train.mask", "short");
  EXPECT_EQ(
      TokenDataset::open(wide({folder / "train.bin"}), 10, 2000).error().code,
      5002);
}

TEST(Loader, DocumentsEndWithTheEndToken) {
  Folder folder;
  folder.writeTokens("train.bin", {1, 2, 9, 3, 9, 9, 4, 5, 6, 7, 1, 9, 2});
  EXPECT_EQ(
      dataset({folder / "train.bin"}, 6, 10).requireDocuments().error().code,
      5012);
  folder.write("meta.json", R"({"dtype": "uint32", "eos_id": 9})");
  TokenDataset d = dataset({folder / "train.bin"}, 6, 10);
  ASSERT_TRUE(bool(d.requireDocuments()));
  std::vector<int32_t> tokens(12), targets(12), documents(12);
  ASSERT_TRUE(bool(
      d.sequential(0, 2, {tokens.data(), targets.data(), documents.data()})));
  EXPECT_EQ(documents,
            (std::vector<int32_t>{0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(targets,
            (std::vector<int32_t>{2, 9, -1, 9, -1, -1, 5, 6, 7, 1, 9, -1}));
}

TEST(Loader, AMixtureHasItsShares) {
  Folder folder;
  for (uint32_t i = 0; i < 3; ++i)
    folder.writeTokens(std::to_string(i) + ".bin",
                       counting(101 + 50 * i, 1000 * i));
  std::vector<DataEntry> entries =
      wide({folder / "0.bin", folder / "1.bin", folder / "2.bin"});
  entries[0].weight = 5;
  entries[1].weight = 3;
  EXPECT_EQ(TokenDataset::open(entries, 10, 4000).error().code, 5013);
  entries[2].weight = 2;
  auto d = TokenDataset::open(entries, 10, 4000);
  ASSERT_TRUE(bool(d)) << d.error().str();
  std::vector<int32_t> tokens(4096 * 10), targets(4096 * 10);
  ASSERT_TRUE(bool(d->training(3, 0, 4096, {tokens.data(), targets.data()})));
  std::vector<int64_t> count(3), early(3);
  std::set<int32_t> firstEpoch;
  for (size_t i = 0; i < 4096; ++i) {
    size_t from = size_t(tokens[i * 10] / 1000);
    if (from == 0 && count[0] < 10)
      firstEpoch.insert(tokens[i * 10]);
    ++count[from];
    early[from] += i < 1000;
  }
  EXPECT_EQ(count, (std::vector<int64_t>{2048, 1229, 819}));
  // A short run has about the shares, and an epoch of a source every window.
  EXPECT_NEAR(early[0], 500, 60);
  EXPECT_NEAR(early[1], 300, 60);
  EXPECT_EQ(firstEpoch.size(), 10u);
  // Any part of the order is the same when asked for alone, blocks included.
  std::vector<int32_t> some(7 * 10), ignored(7 * 10), other(10);
  ASSERT_TRUE(bool(d->training(3, 4093, 7, {some.data(), ignored.data()})));
  for (uint64_t i = 7; i-- > 0;) {
    ASSERT_TRUE(
        bool(d->training(3, 4093 + i, 1, {other.data(), ignored.data()})));
    EXPECT_TRUE(
        std::equal(other.begin(), other.end(), some.begin() + int64_t(i) * 10));
  }
  EXPECT_TRUE(
      std::equal(some.begin(), some.begin() + 30, tokens.begin() + 4093 * 10));
}

} // namespace
