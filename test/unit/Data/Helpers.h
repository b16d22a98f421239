//===- Helpers.h - What the data tests share --------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_DATA_HELPERS_H
#define QWEN_TEST_UNIT_DATA_HELPERS_H

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace qrt {
namespace test {

/// A folder that goes away with the object.
class Folder {
public:
  Folder() {
    std::string name = ::testing::TempDir() + "/qwen-data-XXXXXX";
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder &) = delete;

  std::string operator/(const std::string &name) const {
    return path + "/" + name;
  }
  void write(const std::string &name, const std::string &bytes) const {
    std::ofstream(*this / name, std::ios::binary) << bytes;
  }
  void writeTokens(const std::string &name,
                   const std::vector<uint32_t> &ids) const {
    write(name, std::string(reinterpret_cast<const char *>(ids.data()),
                            ids.size() * 4));
  }
  std::string read(const std::string &name) const {
    std::ifstream in(*this / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  std::vector<int32_t> readTokens(const std::string &name) const {
    std::string bytes = read(name);
    std::vector<int32_t> ids(bytes.size() / 4);
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char *>(ids.data()));
    return ids;
  }
  std::set<std::string> list(const std::string &name) const {
    std::set<std::string> out;
    for (auto &entry : std::filesystem::directory_iterator(*this / name))
      out.insert(entry.path().filename());
    return out;
  }

private:
  std::string path;
};

} // namespace test
} // namespace qrt

#endif // QWEN_TEST_UNIT_DATA_HELPERS_H
