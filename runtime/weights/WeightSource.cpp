//===- WeightSource.cpp - Weights in any of their forms -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/WeightSource.h"
#include "runtime/core/Json.h"
#include "runtime/weights/Convert.h"
#include "runtime/weights/Printable.h"

#include <algorithm>
#include <charconv>
#include <dirent.h>
#include <map>
#include <set>
#include <sys/stat.h>

namespace qrt {

namespace {

constexpr uint64_t maxIndexBytes = uint64_t(64) << 20;
constexpr size_t maxShards = 4096;
constexpr std::string_view randomPrefix = "random:";

bool endsWith(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() &&
         text.substr(text.size() - suffix.size()) == suffix;
}

bool startsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool exists(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

std::string directoryOf(const std::string &path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

/// Names in a directory, sorted; nothing if it cannot be read.
std::vector<std::string> listDirectory(const std::string &path) {
  std::vector<std::string> names;
  if (DIR *dir = opendir(path.c_str())) {
    while (const dirent *entry = readdir(dir))
      names.emplace_back(entry->d_name);
    closedir(dir);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Expected<uint64_t> parseSeed(const std::string &w) {
  std::string_view digits = std::string_view(w).substr(randomPrefix.size());
  uint64_t seed = 0;
  auto [end, failure] =
      std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  if (failure != std::errc() || end != digits.data() + digits.size())
    return makeError(3020, "",
                     "'{}' is not random:SEED with a seed from 0 to 2^64-1",
                     printable(w));
  return seed;
}

} // namespace

int64_t SourceTensor::numElements() const {
  int64_t n = 1;
  for (int64_t size : shape)
    n *= size;
  return n;
}

bool isKnownBuffer(const std::string &name) {
  // `.attn.bias` alone is a mask; the biases of its matrices have longer names.
  return endsWith(name, ".attn.bias") || endsWith(name, ".attn.masked_bias") ||
         endsWith(name, "rotary_emb.inv_freq") || name == "rope_freqs.weight";
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

void WeightSource::addTensor(SourceTensor tensor, Place place) {
  index.emplace(tensor.name, infos.size());
  infos.push_back(std::move(tensor));
  places.push_back(place);
}

Status WeightSource::openSafetensors(const std::string &path) {
  QRT_ASSIGN_OR_RETURN(auto file, RandomAccessFile::open(path));
  QRT_ASSIGN_OR_RETURN(auto parsed, SafetensorsFile::open(file));
  if (files.empty())
    meta = parsed.metadata();
  files.push_back(file);
  for (const SafetensorsTensor &t : parsed.tensors()) {
    if (index.count(t.name))
      return makeError(3004, path, "tensor '{}' is in two files of the index",
                       printable(t.name));
    addTensor({t.name, t.dtype, t.shape},
              {files.size() - 1, t.offset, t.bytes});
  }
  return Status::success();
}

Status WeightSource::openIndex(const std::string &path) {
  QRT_ASSIGN_OR_RETURN(nlohmann::json json,
                       readJsonFile(path, maxIndexBytes, 16));
  if (!json.is_object() || !json.contains("weight_map") ||
      !json["weight_map"].is_object())
    return makeError(3004, path, "the index has no object 'weight_map'");
  // Which file is said to hold which tensor.
  std::map<std::string, std::vector<std::string>> byShard;
  for (auto &[tensor, shard] : json["weight_map"].items()) {
    if (!shard.is_string())
      return makeError(3004, path,
                       "the file of tensor '{}' is {}, not a string",
                       printable(tensor), shard.type_name());
    byShard[shard.get<std::string>()].push_back(tensor);
  }
  if (byShard.empty())
    return makeError(3004, path, "the index names no tensors");
  if (byShard.size() > maxShards)
    return makeError(3004, path,
                     "the index names {} files; at most {} are read",
                     byShard.size(), maxShards);
  for (auto &[shard, names] : byShard)
    // A plain name in the index's own directory, nothing that leads elsewhere.
    if (shard.empty() || shard == "." || shard == ".." ||
        shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos)
      return makeError(3004, path,
                       "'{}' is not the name of a file beside the index",
                       printable(shard));
  std::string base = directoryOf(path) + "/";
  for (auto &[shard, names] : byShard) {
    if (!exists(base + shard))
      return makeError(3004, path, "the file '{}' of the index is missing",
                       printable(shard));
    size_t first = infos.size();
    QRT_RETURN_IF_ERROR(openSafetensors(base + shard));
    for (const std::string &name : names) {
      auto it = index.find(name);
      if (it == index.end() || it->second < first)
        return makeError(3004, path, "tensor '{}' is not in '{}'",
                         printable(name), printable(shard));
    }
    if (infos.size() - first == names.size())
      continue;
    std::set<std::string> listed(names.begin(), names.end());
    for (size_t i = first; i < infos.size(); ++i)
      if (!listed.count(infos[i].name))
        return makeError(3004, path, "tensor '{}' of '{}' is not in the index",
                         printable(infos[i].name), printable(shard));
  }
  return Status::success();
}

Status WeightSource::openDirectory(const std::string &path) {
  if (exists(path + "/trainer.json") && !exists(path + "/COMPLETE"))
    return makeError(3031, path,
                     "the checkpoint is incomplete (it has no file COMPLETE)");
  for (const char *name : {"model.safetensors", "model.safetensors.index.json"})
    if (exists(path + "/" + name)) {
      std::string file = path + "/" + name;
      return endsWith(name, ".json") ? openIndex(file) : openSafetensors(file);
    }
  // Only what stands here can be meant; say what it is.
  std::vector<std::string> safetensors;
  std::string hint;
  for (const std::string &name : listDirectory(path)) {
    if (endsWith(name, ".safetensors") && name != "optimizer.safetensors" &&
        name[0] != '.')
      safetensors.push_back(name);
    if (endsWith(name, ".gguf"))
      hint = fmt::format("; name the file {}/{} itself", path, printable(name));
    if (name == "latest")
      hint = fmt::format("; did you mean {}/latest?", path);
    if (name == "pytorch_model.bin" || name == "pytorch_model.bin.index.json")
      hint = fmt::format("; {} is not read, save it as safetensors", name);
  }
  if (safetensors.size() == 1)
    return openSafetensors(path + "/" + safetensors[0]);
  return makeError(3020, path,
                   "the directory holds neither model.safetensors nor "
                   "model.safetensors.index.json{}",
                   hint);
}

Status WeightSource::openGguf(std::shared_ptr<RandomAccessFile> file) {
  kind = WeightFormat::Gguf;
  QRT_ASSIGN_OR_RETURN(auto parsed, GgufFile::open(file));
  QRT_ASSIGN_OR_RETURN(auto splits, parsed.getUInt("split.count"));
  if (splits.value_or(1) > 1)
    return makeError(3020, file->path(),
                     "the file is one of {} parts; merge them into one first",
                     *splits);
  files.push_back(file);
  for (const GgufTensor &t : parsed.tensors())
    addTensor({t.name, t.typeName(), t.shape}, {0, t.offset, t.bytes});
  ggufFile = std::make_unique<GgufFile>(std::move(parsed));
  return Status::success();
}

Status WeightSource::openPath(const std::string &path) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    dir = path;
    while (dir.size() > 1 && dir.back() == '/')
      dir.pop_back();
    return openDirectory(dir);
  }
  dir = directoryOf(path);
  QRT_ASSIGN_OR_RETURN(auto file, RandomAccessFile::open(path));
  if (looksLikeGguf(*file) || endsWith(path, ".gguf"))
    return openGguf(std::move(file));
  if (endsWith(path, ".json"))
    return openIndex(path);
  if (endsWith(path, ".bin") || endsWith(path, ".pt") || endsWith(path, ".pth"))
    return makeError(3020, path,
                     "weights are read from safetensors and GGUF files only");
  return openSafetensors(path);
}

Expected<std::unique_ptr<WeightSource>>
WeightSource::open(const std::string &w) {
  std::unique_ptr<WeightSource> source(new WeightSource);
  source->given = w;
  if (startsWith(w, randomPrefix)) {
    QRT_ASSIGN_OR_RETURN(source->randomSeed, parseSeed(w));
    source->kind = WeightFormat::Random;
    return source;
  }
  QRT_RETURN_IF_ERROR(source->openPath(w));
  return source;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

const std::map<std::string, std::string> &WeightSource::metadata() const {
  return meta;
}

std::optional<size_t> WeightSource::find(const std::string &name) const {
  if (auto it = index.find(name); it != index.end())
    return it->second;
  for (std::string_view prefix : {"model.", "transformer."})
    if (startsWith(name, prefix))
      if (auto it = index.find(name.substr(prefix.size())); it != index.end())
        return it->second;
  return std::nullopt;
}

bool WeightSource::isReadable(const std::string &dtype) {
  return dtype == "F32" || dtype == "F16" || dtype == "BF16";
}

Status WeightSource::readRaw(size_t tensor, uint64_t begin, uint64_t count,
                             void *to) const {
  const Place &place = places[tensor];
  const RandomAccessFile &file = *files[place.shard];
  if (begin > place.bytes || count > place.bytes - begin)
    return makeError(3001, file.path(),
                     "{} bytes at {} are not inside tensor '{}' of {} bytes",
                     count, begin, printable(infos[tensor].name), place.bytes);
  return file.read(place.offset + begin, to, count);
}

namespace {

/// Elements converted at a time: fits into the first-level cache.
constexpr int64_t chunk = 8192;

Error unreadable(const SourceTensor &tensor, const std::string &where) {
  return makeError(3022, where,
                   "tensor '{}' has the dtype {}; F32, F16 and BF16 are read",
                   printable(tensor.name), tensor.dtype);
}

} // namespace

Status WeightSource::readF32(size_t tensor, int64_t begin, int64_t count,
                             float *to) const {
  const std::string &dtype = infos[tensor].dtype;
  if (dtype == "F32")
    return readRaw(tensor, static_cast<uint64_t>(begin) * 4,
                   static_cast<uint64_t>(count) * 4, to);
  if (!isReadable(dtype))
    return unreadable(infos[tensor], files[places[tensor].shard]->path());
  bool half = dtype == "F16";
  uint16_t buffer[chunk];
  for (int64_t done = 0; done < count; done += chunk) {
    int64_t n = std::min(chunk, count - done);
    QRT_RETURN_IF_ERROR(readRaw(tensor, static_cast<uint64_t>(begin + done) * 2,
                                static_cast<uint64_t>(n) * 2, buffer));
    if (half)
      for (int64_t i = 0; i < n; ++i)
        to[done + i] = f16ToF32(buffer[i]);
    else
      for (int64_t i = 0; i < n; ++i)
        to[done + i] = bf16ToF32(buffer[i]);
  }
  return Status::success();
}

Status WeightSource::readBf16(size_t tensor, int64_t begin, int64_t count,
                              uint16_t *to) const {
  if (infos[tensor].dtype == "BF16")
    return readRaw(tensor, static_cast<uint64_t>(begin) * 2,
                   static_cast<uint64_t>(count) * 2, to);
  float buffer[chunk];
  for (int64_t done = 0; done < count; done += chunk) {
    int64_t n = std::min(chunk, count - done);
    QRT_RETURN_IF_ERROR(readF32(tensor, begin + done, n, buffer));
    for (int64_t i = 0; i < n; ++i)
      to[done + i] = f32ToBf16(buffer[i]);
  }
  return Status::success();
}

uint64_t WeightSource::bytesRead() const {
  uint64_t total = 0;
  for (const auto &file : files)
    total += file->bytesRead();
  return total;
}

} // namespace qrt
