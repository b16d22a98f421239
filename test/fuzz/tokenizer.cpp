//===- tokenizer.cpp - Fuzzes the reader of tokenizer.json ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/Tokenizer.h"

using namespace qrt;

/// The input is the file; a line "====" ends it and a text to encode follows.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string json(reinterpret_cast<const char *>(data), size);
  std::string text = "Hello, w\xC3\xB6rld 12 \n\xFF<s>";
  if (size_t end = json.find("\n====\n"); end != std::string::npos) {
    text = json.substr(end + 6);
    json.resize(end);
  }
  auto tokenizer = tokenizerFromJson(std::move(json), "input");
  if (!tokenizer)
    return 0;
  if (auto ids = (*tokenizer)->encode(text))
    (*tokenizer)->decode(*ids);
  return 0;
}
