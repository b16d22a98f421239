//===- ErrorsTest.cpp - Wrong model files ---------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each file of test/Frontend/errors says in its first lines, after `# expect:`,
// the message that it must give.
//
//===----------------------------------------------------------------------===//

#include <algorithm>
#include <chrono>

#include "compiler/Frontend/Spec.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Regex.h"
#include "gtest/gtest.h"

using namespace qwen;

static std::vector<std::string> files() {
  std::vector<std::string> paths;
  std::error_code ec;
  for (llvm::sys::fs::directory_iterator it(QWEN_ERRORS_DIR, ec), end;
       it != end && !ec; it.increment(ec))
    if (llvm::sys::path::extension(it->path()) == ".yaml")
      paths.push_back(it->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(Errors, EveryFileGivesItsMessage) {
  std::vector<std::string> paths = files();
  EXPECT_GE(paths.size(), 30u);
  for (const std::string &path : paths) {
    auto buffer = llvm::MemoryBuffer::getFile(path);
    ASSERT_TRUE(bool(buffer));
    llvm::StringRef text = (*buffer)->getBuffer();
    auto at = text.find("# expect: ");
    ASSERT_NE(at, llvm::StringRef::npos) << path;
    llvm::StringRef expected = text.substr(at + 10).split('\n').first;
    auto start = std::chrono::steady_clock::now();
    llvm::Expected<ModelSpec> spec = loadModel(path);
    double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    EXPECT_LT(seconds, 1.0) << path;
    if (spec) {
      ADD_FAILURE() << path << ": no error";
      continue;
    }
    std::string message = llvm::toString(spec.takeError());
    std::string name = llvm::sys::path::filename(path).str();
    // The place is in the file itself or in the preset that it extends.
    std::string folder = path.substr(0, path.size() - name.size());
    if (llvm::StringRef(message).starts_with(folder))
      message.erase(0, folder.size());
    EXPECT_EQ(message, expected.str());
    EXPECT_TRUE(llvm::Regex("^[^:]+:[0-9]+:[0-9]+: error: .* \\[Q1[0-9]+\\]$")
                    .match(expected))
        << path;
  }
}

static std::string failure(const std::string &text) {
  auto start = std::chrono::steady_clock::now();
  llvm::Expected<ModelSpec> spec = loadModelFromString(text, "x.yaml");
  double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  EXPECT_LT(seconds, 2.0);
  return spec ? "no error" : llvm::toString(spec.takeError());
}

TEST(Errors, BombsEndQuickly) {
  // Nesting.
  for (char c : {'[', '{', '-', '?'}) {
    std::string text;
    for (int i = 0; i < 100000; ++i)
      text += std::string(1, c) + (c == '-' || c == '?' ? " " : "");
    EXPECT_NE(failure(text), "no error") << c;
  }
  // Indented maps.
  std::string deep;
  for (int i = 0; i < 1000; ++i)
    deep += std::string(i, ' ') + "a:\n";
  EXPECT_NE(failure(deep).find("[Q1009]"), std::string::npos);
  // Many keys, long scalars, aliases to long scalars.
  std::string wide;
  for (int i = 0; i < 100000; ++i)
    wide += "k" + std::to_string(i) + ": 1\n";
  EXPECT_NE(failure(wide).find("[Q1009]"), std::string::npos);
  EXPECT_NE(failure(std::string(2 << 20, ' ')).find("[Q1009]"),
            std::string::npos);
  std::string aliases = "a: &a " + std::string(200000, 'x') + "\nb: [";
  for (int i = 0; i < 10000; ++i)
    aliases += "*a,";
  EXPECT_NE(failure(aliases + "]\n").find("[Q1009]"), std::string::npos);
  // Not text at all.
  EXPECT_EQ(failure("extends: tiny\nname: \xff\n"),
            "x.yaml:2:1: error: not valid UTF-8 [Q1001]");
  EXPECT_NE(failure(std::string("\0\1\2\177", 4)), "no error");
  EXPECT_NE(failure(""), "no error");
}

TEST(Errors, DimsInALongChain) {
  std::string text = "extends: tiny\ndims:\n";
  for (int i = 0; i < 5000; ++i)
    text += "  d" + std::to_string(i) + ": d" + std::to_string(i + 1) + "\n";
  EXPECT_NE(failure(text + "  layers: d0\n"), "no error");
}

TEST(Errors, EveryCutOfAPresetIsRefusedOrRead) {
  // No prefix of a file crashes; most are errors.
  auto buffer = llvm::MemoryBuffer::getFile(std::string(QWEN_MODELS_DIR) +
                                            "/families/gpt2.yaml");
  ASSERT_TRUE(bool(buffer));
  llvm::StringRef text = (*buffer)->getBuffer();
  for (size_t n = 0; n < text.size(); n += 7)
    EXPECT_NE(failure(text.take_front(n).str()), "no error") << n;
}
