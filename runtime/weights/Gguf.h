//===- Gguf.h - Strict reader of GGUF files ---------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Versions 2 and 3, little endian. The structure of every tensor type is
// understood (sizes are checked); the values of quantised ones are not decoded.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_GGUF_H
#define QWEN_RUNTIME_WEIGHTS_GGUF_H

#include "runtime/core/Error.h"
#include "runtime/weights/File.h"

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace qrt {

/// Types of metadata values, numbered as in the file.
enum class GgufType : uint32_t {
  U8 = 0,
  I8 = 1,
  U16 = 2,
  I16 = 3,
  U32 = 4,
  I32 = 5,
  F32 = 6,
  Bool = 7,
  String = 8,
  Array = 9,
  U64 = 10,
  I64 = 11,
  F64 = 12
};

/// "u8", "string", ...
const char *ggufTypeName(GgufType type);

/// One metadata value: a scalar (count 1) or an array of one element type.
class GgufValue {
public:
  bool isArray() const { return array; }
  /// The type of the scalar, or of the array's elements.
  GgufType elementType() const { return type; }
  /// Number of elements (1 for a scalar).
  size_t size() const { return count; }
  bool isString() const { return !array && type == GgufType::String; }
  bool isStringArray() const { return array && type == GgufType::String; }
  bool isNumberArray() const { return array && type != GgufType::String; }

  /// The i-th element as a non-negative integer / integer / real / bool, when
  /// its type is such a number and it fits; nothing otherwise. asUInt also
  /// takes signed types (files use both), never reals.
  std::optional<uint64_t> asUInt(size_t i = 0) const;
  std::optional<int64_t> asInt(size_t i = 0) const;
  std::optional<double> asFloat(size_t i = 0) const;
  std::optional<bool> asBool(size_t i = 0) const;
  /// The scalar string, or null.
  const std::string *asString() const;
  /// The elements of a string array, or null.
  const std::vector<std::string> *asStrings() const;

private:
  friend class GgufParser;
  bool array = false;
  GgufType type = GgufType::U8;
  size_t count = 0;
  std::string bytes;                // numbers, as in the file
  std::vector<std::string> strings; // strings
};

/// One tensor of the file.
struct GgufTensor {
  std::string name;
  uint32_t type = 0; // number of the ggml type
  /// Row-major, outermost first (the reverse of the file's order): a matrix is
  /// (out, in).
  std::vector<int64_t> shape;
  uint64_t offset = 0; // of the data, from the start of the file
  uint64_t bytes = 0;

  int64_t numElements() const;
  /// "F32", "Q4_K", ...
  const char *typeName() const;
};

/// Sizes of a tensor type: `blockElements` elements take `blockBytes` bytes.
struct GgufTypeInfo {
  uint32_t type;
  const char *name;
  uint32_t blockElements;
  uint32_t blockBytes;
};
/// Null for a type that does not exist (any more).
const GgufTypeInfo *ggufTensorType(uint32_t type);

/// A parsed file. The data of tensors stays on disk.
class GgufFile {
public:
  /// Reads the header, all metadata and tensor descriptions, and checks every
  /// rule of the format; all lengths are checked against the file's size before
  /// memory is taken. Errors: Q3001, Q3010.
  static Expected<GgufFile> open(const std::string &path);
  static Expected<GgufFile> open(std::shared_ptr<RandomAccessFile> file);

  uint32_t version() const { return fileVersion; }
  const std::string &path() const { return file->path(); }
  const std::shared_ptr<RandomAccessFile> &data() const { return file; }

  /// In the file's order.
  const std::vector<std::pair<std::string, GgufValue>> &metadata() const {
    return values;
  }
  const std::vector<GgufTensor> &tensors() const { return infos; }

  /// Null if there is no such key / tensor.
  const GgufValue *find(const std::string &key) const;
  const GgufTensor *findTensor(const std::string &name) const;

  /// A scalar of one key. A missing key is nothing; a key of another type, or a
  /// value that does not fit, is an error (Q3011).
  Expected<std::optional<uint64_t>> getUInt(const std::string &key) const;
  Expected<std::optional<int64_t>> getInt(const std::string &key) const;
  Expected<std::optional<double>> getFloat(const std::string &key) const;
  Expected<std::optional<bool>> getBool(const std::string &key) const;
  Expected<std::optional<std::string>> getString(const std::string &key) const;

private:
  friend class GgufParser;
  std::shared_ptr<RandomAccessFile> file;
  uint32_t fileVersion = 0;
  std::vector<std::pair<std::string, GgufValue>> values;
  std::vector<GgufTensor> infos;
  std::unordered_map<std::string, size_t> valueIndex, tensorIndex;
};

/// True if the file begins with GGUF's magic number.
bool looksLikeGguf(const RandomAccessFile &file);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_GGUF_H
