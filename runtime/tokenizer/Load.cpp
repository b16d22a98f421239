//===- Load.cpp - Finding a tokenizer -------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/tokenizer/BpeTokenizer.h"
#include "runtime/weights/File.h"
#include "runtime/weights/Gguf.h"

#include <sys/stat.h>

namespace qrt {

namespace {

constexpr uint64_t maxTokenizerBytes = uint64_t(256) << 20;

bool isDirectory(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool exists(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

/// "eos_token": a string or {"content": a string}, or null.
std::optional<TokenId> namedToken(const nlohmann::json &config, const char *key,
                                  const Tokenizer &tokenizer) {
  auto at = config.find(key);
  if (at == config.end())
    return std::nullopt;
  if (at->is_object())
    if (auto content = at->find("content"); content != at->end())
      at = content;
  return at->is_string() ? tokenizer.idOf(at->get<std::string>())
                         : std::nullopt;
}

/// What the files beside a tokenizer.json know of the ends of texts: the
/// configuration of a Hugging Face directory, or meta.json of prepared data.
Status readNeighbours(const std::string &folder, BpeTokenizer &tokenizer) {
  std::string path = folder + "tokenizer_config.json";
  if (exists(path)) {
    QRT_ASSIGN_OR_RETURN(nlohmann::json config, readJsonFile(path));
    if (config.is_object())
      tokenizer.setEnds(namedToken(config, "bos_token", tokenizer),
                        namedToken(config, "eos_token", tokenizer));
    return {};
  }
  path = folder + "meta.json";
  if (exists(path)) {
    QRT_ASSIGN_OR_RETURN(nlohmann::json meta, readJsonFile(path));
    auto id = meta.is_object() ? meta.find("eos_id") : meta.end();
    if (id != meta.end() && id->is_number_unsigned() &&
        id->get<uint64_t>() < tokenizer.vocabSize())
      tokenizer.setEnds(std::nullopt, id->get<TokenId>());
  }
  return {};
}

} // namespace

Expected<std::unique_ptr<Tokenizer>> loadTokenizer(const std::string &path) {
  std::string file = path;
  if (isDirectory(path)) {
    file = path + (path.back() == '/' ? "" : "/") + "tokenizer.json";
    if (!exists(file))
      return makeError(4001, path, "the directory holds no tokenizer.json");
  }
  QRT_ASSIGN_OR_RETURN(auto opened, RandomAccessFile::open(file));
  if (looksLikeGguf(*opened)) {
    QRT_ASSIGN_OR_RETURN(GgufFile gguf, GgufFile::open(opened));
    return tokenizerFromGguf(gguf);
  }
  QRT_ASSIGN_OR_RETURN(std::string text,
                       readSmallFile(file, maxTokenizerBytes));
  QRT_ASSIGN_OR_RETURN(auto tokenizer,
                       tokenizerFromJson(std::move(text), file));
  size_t slash = file.rfind('/');
  std::string folder =
      slash == std::string::npos ? "" : file.substr(0, slash + 1);
  QRT_RETURN_IF_ERROR(
      readNeighbours(folder, static_cast<BpeTokenizer &>(*tokenizer)));
  return tokenizer;
}

} // namespace qrt
