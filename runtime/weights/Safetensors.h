//===- Safetensors.h - Reader and writer of safetensors ---------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_SAFETENSORS_H
#define QWEN_RUNTIME_WEIGHTS_SAFETENSORS_H

#include "runtime/core/Error.h"
#include "runtime/weights/File.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qrt {

/// Bits of one element of a safetensors dtype ("F32", "BF16", ...); 0 if there
/// is no such dtype.
unsigned safetensorsBits(std::string_view dtype);

/// One tensor of a file: row-major.
struct SafetensorsTensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape; ///< empty: a scalar
  uint64_t offset = 0;        ///< of the data, from the start of the file
  uint64_t bytes = 0;

  int64_t numElements() const;
};

/// A checked header. The data stays on disk and is read by ranges.
class SafetensorsFile {
public:
  /// Reads and checks the header: its length, strict JSON, every entry, and
  /// that the data ranges cover the rest of the file exactly, without gap or
  /// overlap. Errors: Q3001, Q3002, Q3005.
  static Expected<SafetensorsFile> open(const std::string &path);
  static Expected<SafetensorsFile> open(std::shared_ptr<RandomAccessFile> file);

  /// By position of their data.
  const std::vector<SafetensorsTensor> &tensors() const { return infos; }
  const std::map<std::string, std::string> &metadata() const { return meta; }
  const SafetensorsTensor *find(const std::string &name) const;

  /// Copies `count` bytes of a tensor, starting `begin` bytes into it.
  Status read(const SafetensorsTensor &tensor, uint64_t begin, uint64_t count,
              void *to) const;
  /// Bytes read from the file so far, the header included.
  uint64_t bytesRead() const { return file->bytesRead(); }
  /// The mapped data of a tensor, aligned to nothing. See RandomAccessFile.
  Expected<const uint8_t *> map(const SafetensorsTensor &tensor) const;
  const std::string &path() const { return file->path(); }

private:
  std::shared_ptr<RandomAccessFile> file;
  std::vector<SafetensorsTensor> infos;
  std::map<std::string, std::string> meta;
  std::unordered_map<std::string, size_t> index;
};

/// One tensor to be written.
struct OutputTensor {
  std::string name;
  std::string dtype; ///< as in the file: "F32", "I64", ...
  std::vector<int64_t> shape;
  /// The data, if it lies in memory as in the file...
  const void *data = nullptr;
  /// ... or else a function that produces rows [begin, end) of the first
  /// dimension (a scalar has one row) into `to`.
  std::function<Status(int64_t begin, int64_t end, void *to)> produce;

  uint64_t bytes() const;
};

/// Writes a file with these tensors in this order: to a temporary name that
/// begins with a dot, fsync, then rename, so that `path` is always whole. Equal
/// input gives equal bytes. Errors: Q3030 (with the system's reason; nothing is
/// left behind), Q3002 for a tensor that the format cannot express.
Status writeSafetensors(const std::string &path,
                        const std::vector<OutputTensor> &tensors,
                        const std::map<std::string, std::string> &metadata);

/// Writes a small file the same way.
Status writeFileAtomically(const std::string &path, std::string_view text);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_SAFETENSORS_H
