//===- Patterns.cpp - The known ways to split text into words -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Patterns.h"

#include <map>

namespace qrt {

namespace {

const std::map<std::string_view, PreTokenizerInfo> &table() {
  static const PreTokenizerInfo gpt2{{gpt2Pattern}};
  static const PreTokenizerInfo qwen{{qwenPattern}, /*nfc=*/true};
  static const PreTokenizerInfo llama3{
      {llama3Pattern}, false, /*ignoreMerges=*/true, /*addBos=*/true};
  // Digits one by one, then GPT-2's.
  static const PreTokenizerInfo digits{{"\\p{N}", gpt2Pattern}};
  // What readers of GGUF do when the file does not name a pre-tokenizer.
  static const PreTokenizerInfo unnamed{
      {"[\\p{P}\\$\\+<=>\\^~\\|]+",
       "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
       "\\s+(?!\\S)",
       "\\p{N}+", "[0-9][0-9][0-9]"}};
  static const std::map<std::string_view, PreTokenizerInfo> all = {
      {"gpt-2", gpt2},       {"phi-2", gpt2},       {"mpt", gpt2},
      {"olmo", gpt2},        {"qwen2", qwen},       {"deepseek-r1-qwen", qwen},
      {"llama-bpe", llama3}, {"llama3", llama3},    {"llama-v3", llama3},
      {"smollm", digits},    {"starcoder", digits}, {"refact", digits},
      {"command-r", digits}, {"codeshell", digits}, {"default", unnamed}};
  return all;
}

} // namespace

const PreTokenizerInfo *findPreTokenizer(std::string_view name) {
  auto at = table().find(name);
  return at == table().end() ? nullptr : &at->second;
}

std::vector<std::string> preTokenizerNames() {
  std::vector<std::string> names;
  for (const auto &entry : table())
    names.emplace_back(entry.first);
  return names;
}

} // namespace qrt
