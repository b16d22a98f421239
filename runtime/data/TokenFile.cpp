//===- TokenFile.cpp - Files of token ids ---------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/TokenFile.h"
#include "runtime/core/Json.h"

#include <algorithm>
#include <cstring>
#include <sys/stat.h>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace qrt {

namespace {

constexpr uint64_t headerBytes = 1024;
/// No vocabulary is so large; an id above tells that a file holds 16-bit ids.
constexpr uint32_t impossibleId = uint32_t(1) << 24;
/// Files up to this size are checked as a whole before training.
constexpr uint64_t fullCheckBytes = uint64_t(512) << 20;

std::string folderOf(const std::string &path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

bool exists(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

} // namespace

Expected<TokenFile> TokenFile::open(const std::string &path, unsigned width) {
  TokenFile t;
  QRT_ASSIGN_OR_RETURN(t.file, RandomAccessFile::open(path));
  if (t.file->size() == 0)
    return makeError(5001, path, "the token file is empty");
  QRT_RETURN_IF_ERROR(t.readHeader(width));
  if (t.count == 0)
    return makeError(5001, path, "the token file holds no tokens");
  if (t.plain)
    QRT_RETURN_IF_ERROR(t.openMask());
  return t;
}

Status TokenFile::readHeader(unsigned width) {
  int32_t header[8] = {};
  uint64_t size = file->size();
  if (size >= headerBytes)
    QRT_RETURN_IF_ERROR(file->read(0, header, sizeof header));

  const char *format = nullptr;
  int64_t told = 0;
  bool masked = false;
  if (header[0] == 20240520 && header[1] == 1) {
    format = "llm.c";
    bytes = 2;
    told = header[2];
  } else if (header[0] == 20240801 && header[1] == 7) {
    format = "llm.c";
    bytes = 4;
    told = header[2];
  } else if (std::memcmp(header, "BIN.TOK\n", 8) == 0) {
    format = "llmq";
    if (header[2] != 2 || (header[3] != 2 && header[3] != 4))
      return makeError(5002, path(),
                       "version {} with {} bytes a token of the llmq format is "
                       "not supported (version 2, 2 or 4 bytes)",
                       header[2], header[3]);
    bytes = unsigned(header[3]);
    told = header[4];
    masked = header[6] != 0;
    if (header[5] > 0)
      vocab = uint64_t(header[5]);
  }
  if (format) {
    begin = headerBytes;
    uint64_t room = size - begin, wanted = 0;
    if (told >= 0)
      wanted = uint64_t(told) * bytes +
               (masked ? (uint64_t(told) + 7) / 8 : uint64_t(0));
    if (told < 0 || wanted != room)
      return makeError(5002, path(),
                       "the header of the {} token file tells {} tokens{}, but "
                       "{} bytes follow it",
                       format, told, masked ? " and their mask" : "", room);
    if (width && width != bytes)
      return makeError(5011, path(),
                       "the header of the {} token file tells ids of {} bits, "
                       "not {}",
                       format, bytes * 8, width * 8);
    count = uint64_t(told);
    if (masked) {
      maskFile = file;
      maskBegin = begin + count * bytes;
    }
    return {};
  }

  plain = true;
  QRT_RETURN_IF_ERROR(readMeta());
  if (width && bytes && width != bytes)
    return makeError(5011, path(),
                     "meta.json beside the token file tells ids of {} bits, "
                     "not {}",
                     bytes * 8, width * 8);
  if (width)
    bytes = width;
  if (bytes == 0)
    return makeError(5011, path(),
                     "the token file has no header and no meta.json beside it: "
                     "say what it holds with --data-type u16 or u32");
  if (size % bytes != 0)
    return makeError(5002, path(),
                     "{} bytes are not a whole number of {}-byte tokens", size,
                     bytes);
  count = size / bytes;
  return {};
}

/// meta.json describes the token files beside it.
Status TokenFile::readMeta() {
  std::string folder = folderOf(path());
  std::string name = path().substr(folder.size());
  std::string metaPath = folder + "meta.json";
  if (!exists(metaPath))
    return {};
  auto meta = readJsonFile(metaPath, 1 << 20);
  if (!meta)
    return meta.error();
  auto damaged = [&](const char *key) {
    return makeError(5002, metaPath, "'{}' is not what it must be", key);
  };
  if (!meta->is_object())
    return makeError(5002, metaPath, "the file does not hold an object");
  auto natural = [&](const char *key) -> std::optional<uint64_t> {
    auto at = meta->find(key);
    if (at == meta->end() || !at->is_number_unsigned())
      return std::nullopt;
    return at->get<uint64_t>();
  };
  auto type = meta->find("dtype");
  if (type != meta->end()) {
    if (*type != "uint32" && *type != "uint16")
      return damaged("dtype");
    bytes = *type == "uint16" ? 2 : 4;
  }
  vocab = natural("vocab_size");
  if (name == "train.bin" || name == "val.bin")
    text = natural(name == "train.bin" ? "train_bytes" : "val_bytes");
  if (auto id = natural("eos_id"); id && *id < impossibleId)
    eos = int32_t(*id);
  return {};
}

Status TokenFile::openMask() {
  size_t dot = path().rfind(".bin");
  if (dot == std::string::npos || dot + 4 != path().size())
    return {};
  std::string name = path().substr(0, dot) + ".mask";
  if (!exists(name))
    return {};
  QRT_ASSIGN_OR_RETURN(maskFile, RandomAccessFile::open(name));
  if (maskFile->size() != (count + 7) / 8)
    return makeError(5002, name,
                     "the mask has {} bytes, but {} tokens need {} (one bit "
                     "each)",
                     maskFile->size(), count, (count + 7) / 8);
  return {};
}

Expected<std::string> TokenFile::fingerprint() const {
  constexpr uint64_t blocks = 64, blockBytes = 4096;
  XXH3_state_t *state = XXH3_createState();
  XXH3_64bits_reset(state);
  Status status;
  auto add = [&](const RandomAccessFile &from) {
    uint64_t size = from.size();
    XXH3_64bits_update(state, &size, sizeof size);
    char block[blockBytes];
    for (uint64_t i = 0; i < blocks && status; ++i) {
      uint64_t length = std::min(size, blockBytes);
      uint64_t at = (size - length) * i / (blocks - 1);
      status = from.read(at, block, length);
      XXH3_64bits_update(state, block, length);
    }
  };
  add(*file);
  if (maskFile && maskFile != file)
    add(*maskFile);
  uint64_t hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  if (!status)
    return status.error();
  return fmt::format("{:016x}", hash);
}

Status TokenFile::applyMask(uint64_t first, uint64_t n,
                            int32_t *targets) const {
  if (!maskFile || n == 0)
    return {};
  uint64_t low = first / 8, high = (first + n - 1) / 8;
  std::vector<uint8_t> bits(high - low + 1);
  if (Status status = maskFile->read(maskBegin + low, bits.data(), bits.size());
      !status)
    return makeError(5003, maskFile->path(),
                     "the mask became shorter while in use");
  for (uint64_t i = 0; i < n; ++i) {
    uint64_t at = first + i;
    if (!(bits[at / 8 - low] >> (at % 8) & 1))
      targets[i] = -1;
  }
  return {};
}

Status TokenFile::read(uint64_t first, uint64_t n, int32_t *out) const {
  std::vector<uint16_t> narrow;
  void *to = out;
  if (bytes == 2) {
    narrow.resize(n);
    to = narrow.data();
  }
  if (first > count || n > count - first)
    return makeError(5003, path(), "tokens {} to {} are beyond the end ({})",
                     first, first + n, count);
  if (Status status = file->read(begin + first * bytes, to, n * bytes); !status)
    return makeError(5003, path(),
                     "the token file became shorter while in use (it had {} "
                     "tokens)",
                     count);
  std::copy(narrow.begin(), narrow.end(), out);
  return {};
}

Status TokenFile::checkIds(uint64_t first, uint64_t n, const int32_t *ids,
                           uint64_t modelVocab) const {
  uint64_t limit = std::min<uint64_t>(modelVocab, uint64_t(1) << 31);
  uint32_t largest = 0;
  for (uint64_t i = 0; i < n; ++i)
    largest = std::max(largest, uint32_t(ids[i]));
  if (largest < limit)
    return {};
  uint64_t at = first;
  while (uint32_t(ids[at - first]) != largest)
    ++at;
  // The size to set covers the tokenizer, if it is known.
  uint64_t needed = uint64_t(largest) + 1;
  if (vocab && *vocab > needed)
    needed = *vocab;
  if (largest >= impossibleId)
    return makeError(5005, path(),
                     "token {} is {}, which is no id of the model's vocabulary "
                     "of {}; this is not a file of {}-bit tokens",
                     at, largest, modelVocab, bytes * 8);
  return makeError(5005, path(),
                   "token {} is {}, but the model's vocabulary has {} ids; the "
                   "data needs {}: recompile with --set dims.vocab={}",
                   at, largest, modelVocab, needed, needed);
}

Status TokenFile::checkVocabulary(uint64_t modelVocab) const {
  if (vocab && *vocab > modelVocab)
    return makeError(5005, path(),
                     "the data was made with a tokenizer of {} tokens, but the "
                     "model's vocabulary has {} ids: recompile with --set "
                     "dims.vocab={}",
                     *vocab, modelVocab, *vocab);
  if (count * bytes > fullCheckBytes)
    return {};
  std::vector<int32_t> ids(size_t(1) << 16);
  for (uint64_t at = 0; at < count; at += ids.size()) {
    uint64_t n = std::min<uint64_t>(ids.size(), count - at);
    QRT_RETURN_IF_ERROR(read(at, n, ids.data()));
    QRT_RETURN_IF_ERROR(checkIds(at, n, ids.data(), modelVocab));
  }
  return {};
}

} // namespace qrt
