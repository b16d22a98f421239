//===- WeightSource.h - Weights in any of their forms -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_WEIGHTSOURCE_H
#define QWEN_RUNTIME_WEIGHTS_WEIGHTSOURCE_H

#include "runtime/core/Error.h"
#include "runtime/weights/Gguf.h"
#include "runtime/weights/Safetensors.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace qrt {

/// The naming scheme of the tensors ("hf", "gguf" in a manifest's views), or
/// that there are none.
enum class WeightFormat { Hf, Gguf, Random };

/// A tensor of a source; row-major, outermost dimension first.
struct SourceTensor {
  std::string name;
  std::string dtype; ///< "F32", "BF16", "Q4_K", ...
  std::vector<int64_t> shape;

  int64_t numElements() const;
};

/// What the command lines call W: a safetensors file, its `.index.json`, a
/// Hugging Face directory, a training checkpoint, a GGUF file, or
/// `random:SEED`. Reading is thread safe.
class WeightSource {
public:
  /// Opens `w` and reads all headers, but no data. Errors: Q3001 (cannot be
  /// read), Q3002/Q3010 (malformed), Q3004 (bad index), Q3020 (not weights),
  /// Q3031 (incomplete checkpoint).
  static Expected<std::unique_ptr<WeightSource>> open(const std::string &w);

  WeightFormat format() const { return kind; }
  /// Of format Random.
  uint64_t seed() const { return randomSeed; }
  /// What the user gave, for messages.
  const std::string &description() const { return given; }
  /// The directory where config.json, tokenizer.json and generation_config.json
  /// may lie; empty for random weights.
  const std::string &directory() const { return dir; }
  /// Null unless the format is Gguf.
  const GgufFile *gguf() const { return ggufFile.get(); }
  /// The metadata of a safetensors file (of the first shard).
  const std::map<std::string, std::string> &metadata() const;

  const std::vector<SourceTensor> &tensors() const { return infos; }
  /// The tensor of this name; or, since a base model is saved without the name
  /// of its place in the whole model, of the name without its `model.` or
  /// `transformer.`.
  std::optional<size_t> find(const std::string &name) const;

  /// True for F32, F16 and BF16, which readF32 can read.
  static bool isReadable(const std::string &dtype);
  /// Elements [begin, begin + count) of a tensor, row-major, as f32. Errors:
  /// Q3001, and Q3022 for a dtype that is not readable.
  Status readF32(size_t tensor, int64_t begin, int64_t count, float *to) const;
  /// The same, rounded to bf16 (unchanged when stored as bf16).
  Status readBf16(size_t tensor, int64_t begin, int64_t count,
                  uint16_t *to) const;
  /// Bytes [begin, begin + count) as they are in the file.
  Status readRaw(size_t tensor, uint64_t begin, uint64_t count, void *to) const;
  /// Bytes of a tensor's data.
  uint64_t bytesOf(size_t tensor) const { return places[tensor].bytes; }
  /// Bytes read from all files so far, headers included.
  uint64_t bytesRead() const;

private:
  struct Place {
    size_t shard; // of files
    uint64_t offset, bytes;
  };

  Status openPath(const std::string &path);
  Status openDirectory(const std::string &path);
  Status openIndex(const std::string &path);
  Status openSafetensors(const std::string &path);
  Status openGguf(std::shared_ptr<RandomAccessFile> file);
  void addTensor(SourceTensor tensor, Place place);

  WeightFormat kind = WeightFormat::Hf;
  uint64_t randomSeed = 0;
  std::string given, dir;
  std::vector<std::shared_ptr<RandomAccessFile>> files;
  std::map<std::string, std::string> meta;
  std::unique_ptr<GgufFile> ggufFile;
  std::vector<SourceTensor> infos;
  std::vector<Place> places;
  std::unordered_map<std::string, size_t> index;
};

/// True for tensors that are no parameters and that some files carry along:
/// masks (`h.0.attn.bias`, `h.0.attn.masked_bias`) and tables of angles
/// (`rotary_emb.inv_freq`, `rope_freqs.weight`).
bool isKnownBuffer(const std::string &name);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_WEIGHTSOURCE_H
