//===- AlgorithmFile.cpp - The fastest algorithms of products -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cuda/AlgorithmFile.h"
#include "runtime/core/Json.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unistd.h>

using namespace qrt;
using namespace qrt::cuda;

static constexpr size_t kWords =
    sizeof(cublasLtMatmulAlgo_t) / sizeof(uint64_t);

/// Whether `value` is what add() writes for one product.
static bool isEntry(const nlohmann::json &value) {
  if (!value.is_object() || !value.contains("algorithm"))
    return false;
  const nlohmann::json &words = value["algorithm"];
  if (!words.is_array() || words.size() != kWords)
    return false;
  for (const nlohmann::json &word : words)
    if (!word.is_number_unsigned())
      return false;
  return true;
}

Expected<AlgorithmFile> AlgorithmFile::open(std::string path,
                                            std::string place) {
  AlgorithmFile file;
  file.path = std::move(path);
  file.place = std::move(place);
  if (::access(file.path.c_str(), F_OK) != 0)
    return file;
  QRT_ASSIGN_OR_RETURN(file.content, readJsonFile(file.path));
  bool isFine = file.content.is_object();
  if (isFine)
    for (const auto &[key, products] : file.content.items()) {
      isFine &= products.is_object();
      if (isFine)
        for (const auto &[product, entry] : products.items())
          isFine &= isEntry(entry);
    }
  if (!isFine)
    return makeError(6053, file.path,
                     "this is no file of algorithms of cuBLASLt: "
                     "QWEN_CUBLASLT_TUNING names one that this program wrote, "
                     "or a new one");
  return file;
}

std::optional<cublasLtMatmulAlgo_t>
AlgorithmFile::find(const std::string &product) const {
  auto products = content.find(place);
  if (products == content.end() || !products->contains(product))
    return std::nullopt;
  cublasLtMatmulAlgo_t algorithm;
  for (size_t i = 0; i < kWords; ++i)
    algorithm.data[i] = (*products)[product]["algorithm"][i].get<uint64_t>();
  return algorithm;
}

Status AlgorithmFile::add(const std::string &product,
                          const cublasLtMatmulAlgo_t &algorithm,
                          double microseconds) {
  content[place][product] = {{"algorithm", algorithm.data},
                             {"microseconds", microseconds}};
  // Whole or not at all: the next run reads it.
  std::string temporary = path + ".tmp", text = jsonText(content, 1) + "\n";
  std::FILE *out = std::fopen(temporary.c_str(), "w");
  bool isWritten =
      out && std::fwrite(text.data(), 1, text.size(), out) == text.size();
  isWritten &= out && std::fclose(out) == 0;
  if (isWritten && std::rename(temporary.c_str(), path.c_str()) == 0)
    return Status::success();
  int reason = errno;
  std::remove(temporary.c_str());
  return makeError(6053, path, "cannot write the algorithms of cuBLASLt: {}",
                   std::strerror(reason));
}
