//===- JsonTest.cpp - Tests of the JSON parser ----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "Helpers.h"

#include <filesystem>
#include <gtest/gtest.h>

using namespace qrt;
using namespace qrt::test;

namespace {

/// The error of parsing, as the user sees it.
std::string errorOf(const std::string &text, size_t depth = 64) {
  auto json = parseJson(text, "f.json", depth);
  return json ? "accepted" : json.error().str();
}

TEST(Json, BuildsTheSameTree) {
  const char *text = R"({"a": [1, -2, 2.5, true, false, null, "\u00e9\n"],
                         "b": {"c": {}, "d": []}, "": 18446744073709551615})";
  auto json = parseJson(text, "f");
  ASSERT_TRUE(json) << json.error().str();
  EXPECT_EQ(*json, nlohmann::json::parse(text));
}

TEST(Json, ErrorsHaveAPlace) {
  EXPECT_EQ(errorOf("{\"a\": 1,\n \"a\": 2}"),
            "f.json:2:4: error: the key \"a\" occurs twice in one object "
            "[Q3005]");
  EXPECT_NE(errorOf("[1,\n2,]").find("f.json:2:3: error: invalid JSON"),
            std::string::npos);
  EXPECT_NE(errorOf("[[[1]]]", 2).find("f.json:1:3: error: more than 2 nested"),
            std::string::npos);
  EXPECT_EQ(errorOf("[[1]]", 2), "accepted");
}

TEST(Json, RefusesWhatIsNotJson) {
  std::vector<std::string> bad = {"",
                                  " ",
                                  "{",
                                  "[",
                                  "\"",
                                  "nul",
                                  "NaN",
                                  "Infinity",
                                  "[1,]",
                                  "{\"a\":1,}",
                                  "{a:1}",
                                  "{'a':1}",
                                  "// c\n1",
                                  "1 2",
                                  "{}x",
                                  "01",
                                  "+1",
                                  ".5",
                                  "1.",
                                  "\"\xff\"",
                                  "\"\xed\xa0\x80\"",
                                  "\"\xc0\xaf\"",
                                  "\"\\ud800\"",
                                  "\"a\nb\"",
                                  "1e999",
                                  "\xEF\xBB\xBF{}",
                                  "{\"a\":1,\"b\":{\"c\":1,\"c\":2}}",
                                  std::string("{}\0", 3),
                                  std::string("{}\0x", 4),
                                  "\"\\x41\"",
                                  "[1 2]",
                                  "{1:2}",
                                  "{\"a\"}",
                                  "]",
                                  "\xff\xfe{\0}"};
  for (const std::string &text : bad)
    EXPECT_NE(errorOf(text), "accepted") << text;
}

TEST(Json, DepthBombsEndAtOnce) {
  EXPECT_NE(errorOf(std::string(1000000, '[')).find("nested"),
            std::string::npos);
  std::string objects;
  for (int i = 0; i < 200000; ++i)
    objects += "{\"a\":";
  EXPECT_NE(errorOf(objects).find("nested"), std::string::npos);
}

TEST(Json, TextOfInvalidUtf8) {
  EXPECT_EQ(jsonText(nlohmann::json("a\xff")), "\"a\xEF\xBF\xBD\"");
}

TEST(Json, ConformanceSuite) {
  std::string shared = sharedData();
  std::string folder = shared + "/json";
  if (shared.empty() || !std::filesystem::is_directory(folder))
    GTEST_SKIP() << "needs the shared data";
  int checked = 0;
  for (const auto &entry :
       std::filesystem::recursive_directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (name.size() < 3 || name[1] != '_' ||
        entry.path().extension() != ".json")
      continue;
    bool accepted =
        static_cast<bool>(parseJson(readFile(entry.path()), name, 1000));
    ++checked;
    // Names say what must happen: y accept, n refuse, i either. Duplicate keys
    // are legal JSON, which we refuse on purpose.
    if (name[0] == 'y' && name.find("duplicated_key") == std::string::npos)
      EXPECT_TRUE(accepted) << name;
    if (name[0] == 'n')
      EXPECT_FALSE(accepted) << name;
  }
  EXPECT_GT(checked, 300);
}

} // namespace
