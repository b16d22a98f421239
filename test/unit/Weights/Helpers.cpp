//===- Helpers.cpp - Files and models for the tests of weights ------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Helpers.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace fs = std::filesystem;

namespace qrt::test {

TempDir::TempDir() {
  std::string pattern =
      (fs::temp_directory_path() / "qwen-weights-XXXXXX").string();
  name = mkdtemp(pattern.data());
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(name, ignored);
}

void writeFile(const std::string &path, const std::string &bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string readFile(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<std::string> namesIn(const std::string &path) {
  std::vector<std::string> names;
  for (const auto &entry : fs::directory_iterator(path))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string sharedData() {
  const char *path = std::getenv("QWEN_SHARED_DATA");
  return path && fs::is_directory(path) ? path : "";
}

std::string safetensorsBytes(const std::string &header,
                             const std::string &data) {
  return raw<uint64_t>(header.size()) + header + data;
}

ParameterInfo parameter(const std::string &name, const std::string &hfName,
                        std::vector<int64_t> shape, int64_t layers) {
  ParameterInfo p;
  p.name = name;
  p.shape = shape;
  if (layers > 0)
    p.layers = layers;
  FileView view;
  view.name = hfName;
  view.fileShape = shape;
  p.views["hf"].push_back(view);
  return p;
}

Store::Store(const std::vector<ParameterInfo> &parameters, float fill) {
  for (const ParameterInfo &p : parameters) {
    size_t count = static_cast<size_t>(p.elementsPerLayer());
    values.emplace_back(static_cast<size_t>(p.layerCount()),
                        std::vector<float>(count, fill));
  }
}

void Store::fillDistinct(float offset) {
  float next = offset;
  for (auto &parameter : values)
    for (auto &layer : parameter)
      for (float &value : layer)
        value = next++;
}

OutputTensor f32(const std::string &name, std::vector<int64_t> shape,
                 const std::vector<float> &data) {
  OutputTensor t;
  t.name = name;
  t.dtype = "F32";
  t.shape = std::move(shape);
  t.data = data.data();
  return t;
}

GgufBuilder &GgufBuilder::value(const std::string &key,
                                const std::string &typeAndValue) {
  values += text(key) + typeAndValue;
  ++valueCount;
  return *this;
}

GgufBuilder &GgufBuilder::strings(const std::string &key,
                                  const std::vector<std::string> &v) {
  std::string bytes =
      raw<uint32_t>(9) + raw<uint32_t>(8) + raw<uint64_t>(v.size());
  for (const std::string &s : v)
    bytes += text(s);
  return value(key, bytes);
}

GgufBuilder &GgufBuilder::tensor(const std::string &name,
                                 std::vector<int64_t> dims, uint32_t type,
                                 uint64_t bytes, std::optional<uint64_t> offset,
                                 std::optional<uint32_t> numDims) {
  while (data.size() % alignment != 0)
    data += '\0';
  infos += text(name) +
           raw<uint32_t>(numDims.value_or(static_cast<uint32_t>(dims.size())));
  for (int64_t d : dims)
    infos += raw<int64_t>(d);
  infos += raw<uint32_t>(type) + raw<uint64_t>(offset.value_or(data.size()));
  data.append(bytes, '\0');
  ++tensorCount;
  return *this;
}

std::string GgufBuilder::build() const {
  std::string out = magic + raw<uint32_t>(version) +
                    raw<uint64_t>(numTensors.value_or(tensorCount)) +
                    raw<uint64_t>(numValues.value_or(valueCount)) + values +
                    infos;
  if (!data.empty())
    while (out.size() % alignment != 0)
      out += '\0';
  return out + data;
}

} // namespace qrt::test
