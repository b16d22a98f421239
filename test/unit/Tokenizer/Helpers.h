//===- Helpers.h - What the tokenizer's tests share -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_TOKENIZER_HELPERS_H
#define QWEN_TEST_UNIT_TOKENIZER_HELPERS_H

#include "runtime/tokenizer/Tokenizer.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <sys/stat.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace qrt {
namespace test {

/// A file of the shared test data, or empty if that is not here.
inline std::string sharedData(const std::string &name) {
  const char *root = std::getenv("QWEN_SHARED_DATA");
  std::string path = root && *root ? root : QWEN_SOURCE_DIR "/../shared/data";
  path += "/" + name;
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? path : "";
}

#define QWEN_NEED_SHARED(variable, name)                                       \
  std::string variable = qrt::test::sharedData(name);                          \
  if (variable.empty())                                                        \
  GTEST_SKIP() << "needs shared/data/" << name

inline std::string readFile(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline std::unique_ptr<Tokenizer> load(const std::string &path) {
  auto tokenizer = loadTokenizer(path);
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().str();
    return nullptr;
  }
  return std::move(*tokenizer);
}

inline std::unique_ptr<Tokenizer> fromJson(const nlohmann::json &json) {
  auto tokenizer = tokenizerFromJson(json.dump(), "t.json");
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().str();
    return nullptr;
  }
  return std::move(*tokenizer);
}

inline std::vector<TokenId> ids(const Tokenizer &tokenizer,
                                std::string_view text,
                                const EncodeOptions &options = {}) {
  auto result = tokenizer.encode(text, options);
  if (!result) {
    ADD_FAILURE() << result.error().str();
    return {};
  }
  return *result;
}

/// The same in parts of random sizes from 1 to `most` bytes.
inline std::vector<TokenId> idsInParts(const Tokenizer &tokenizer,
                                       std::string_view text, size_t most,
                                       unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> out;
  auto encoder = tokenizer.encoder();
  while (!text.empty()) {
    size_t n = std::min<size_t>(text.size(), 1 + random() % most);
    EXPECT_TRUE(bool(encoder->feed(text.substr(0, n), out)));
    text.remove_prefix(n);
  }
  EXPECT_TRUE(bool(encoder->finish(out)));
  return out;
}

/// A small byte-level tokenizer.json: bytes are 0..255 in their own order.
nlohmann::json smallJson();

} // namespace test
} // namespace qrt

#endif // QWEN_TEST_UNIT_TOKENIZER_HELPERS_H
