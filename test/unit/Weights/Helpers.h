//===- Helpers.h - Files and models for the tests of weights ----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_WEIGHTS_HELPERS_H
#define QWEN_TEST_UNIT_WEIGHTS_HELPERS_H

#include "runtime/weights/Parameters.h"
#include "runtime/weights/Safetensors.h"

#include <cstring>
#include <string>
#include <vector>

namespace qrt::test {

/// A directory that disappears with the object.
class TempDir {
public:
  TempDir();
  ~TempDir();
  const std::string &path() const { return name; }
  std::string operator/(const std::string &file) const {
    return name + "/" + file;
  }

private:
  std::string name;
};

void writeFile(const std::string &path, const std::string &bytes);
std::string readFile(const std::string &path);
/// All names in a directory, sorted.
std::vector<std::string> namesIn(const std::string &path);

/// The shared data of this workplace, or empty where there is none.
std::string sharedData();

/// Little-endian bytes of a number.
template <typename T> std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

/// A safetensors file from a header's text and data; the length field is the
/// header's unless given.
std::string safetensorsBytes(const std::string &header,
                             const std::string &data);

/// A parameter with one view for Hugging Face files of the same shape.
ParameterInfo parameter(const std::string &name, const std::string &hfName,
                        std::vector<int64_t> shape, int64_t layers = 0);

/// Memory for all parameters.
class Store {
public:
  explicit Store(const std::vector<ParameterInfo> &parameters,
                 float fill = 0.0f);
  float *at(size_t parameter, int64_t layer) {
    return values[parameter][static_cast<size_t>(layer)].data();
  }
  ParameterPointer pointers() {
    return [this](size_t p, int64_t layer) { return at(p, layer); };
  }
  ConstParameterPointer constPointers() {
    return [this](size_t p, int64_t layer) -> const float * {
      return at(p, layer);
    };
  }
  /// Every element another value.
  void fillDistinct(float offset = 0.0f);
  bool operator==(const Store &other) const { return values == other.values; }

  std::vector<std::vector<std::vector<float>>> values;
};

/// An F32 tensor for writing; `data` must live until then.
OutputTensor f32(const std::string &name, std::vector<int64_t> shape,
                 const std::vector<float> &data);

/// Builds GGUF files, right or wrong.
class GgufBuilder {
public:
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;
  std::optional<uint64_t> numTensors, numValues; // else the true ones

  static std::string text(const std::string &s) {
    return raw<uint64_t>(s.size()) + s;
  }
  /// A key and the bytes of type and value.
  GgufBuilder &value(const std::string &key, const std::string &typeAndValue);
  template <typename T>
  GgufBuilder &scalar(const std::string &key, uint32_t type, T v) {
    return value(key, raw<uint32_t>(type) + raw<T>(v));
  }
  GgufBuilder &string(const std::string &key, const std::string &v) {
    return value(key, raw<uint32_t>(8) + text(v));
  }
  GgufBuilder &strings(const std::string &key,
                       const std::vector<std::string> &v);
  /// `dims` in the file's order; `bytes` of data (zeros) are appended.
  GgufBuilder &tensor(const std::string &name, std::vector<int64_t> dims,
                      uint32_t type, uint64_t bytes,
                      std::optional<uint64_t> offset = std::nullopt,
                      std::optional<uint32_t> numDims = std::nullopt);
  std::string build() const;

private:
  std::string values, infos, data;
  uint64_t valueCount = 0, tensorCount = 0;
};

} // namespace qrt::test

#endif // QWEN_TEST_UNIT_WEIGHTS_HELPERS_H
