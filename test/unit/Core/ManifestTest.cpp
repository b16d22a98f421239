//===- ManifestTest.cpp - Tests of reading manifests ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Manifest.h"

#include <elf.h>
#include <fstream>
#include <functional>
#include <iterator>

#include <gtest/gtest.h>

using namespace qrt;
using nlohmann::json;

namespace {

std::string fileBytes(const char *path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

json goodManifest() {
  auto manifest = readManifest(TEST_MODULE_F32);
  EXPECT_TRUE(manifest) << manifest.error().str();
  return manifest->json;
}

/// The message for a manifest after one change.
std::string messageAfter(const std::function<void(json &)> &change) {
  json document = goodManifest();
  change(document);
  auto manifest = parseManifest(document.dump(), "m.so");
  return manifest ? "" : manifest.error().str();
}

TEST(Manifest, ReadsTheTestModule) {
  auto manifest = readManifest(TEST_MODULE_BF16);
  ASSERT_TRUE(manifest) << manifest.error().str();
  EXPECT_EQ(manifest->name, "test-bf16");
  EXPECT_EQ(manifest->dtype, DType::BF16);
  EXPECT_EQ(manifest->vocab(), 16);
  EXPECT_EQ(manifest->parameterCount(), 2 * 256 + 2 * 16);
  EXPECT_EQ(manifest->groupCount(), 2);
  ASSERT_EQ(manifest->parameters.size(), 3u);
  const ParameterInfo &bias = manifest->parameters[2];
  EXPECT_EQ(bias.layers, 2);
  EXPECT_EQ(bias.views.at("hf")[0].nameOfLayer(1), "model.layers.1.bias");
  int index = manifest->findEntry("micro_step");
  ASSERT_GE(index, 0);
  const EntryInfo &step = manifest->entries[index];
  const ArgInfo *tokens = step.findArg(ArgRole::Input, "tokens");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(step.elements(*tokens), 32);
  int64_t extents[] = {2, 3};
  EXPECT_EQ(step.elements(*tokens, extents), 6);
  EXPECT_EQ(manifest->defaults.train.optimizer.beta2, 0.95);
  EXPECT_EQ(manifest->defaults.train.schedule.steps, 24);
}

TEST(Manifest, NamesTheFaultyPlace) {
  auto remove = [](const char *key) {
    return [key](json &document) { document.erase(key); };
  };
  EXPECT_NE(messageAfter(remove("entries")).find("has no key 'entries'"),
            std::string::npos);
  struct Case {
    const char *pointer;
    json value;
    const char *message;
  };
  const Case cases[] = {
      {"/name", "../up", "folder"},
      {"/dtype", "f99", "unknown type 'f99'"},
      {"/parameters/0/shape/0", -1, "parameters[0].shape[0]"},
      {"/parameters/0/shape/0", int64_t(1) << 62, "not in"},
      {"/parameters/2/layers", 1 << 30, "parameters[2].layers"},
      {"/parameters/2/views/hf/0/name", "flat", "without '{i}'"},
      {"/parameters/1/name", "table", "name of an earlier parameter"},
      {"/parameters/0/views/hf/0/file_shape", {3, 3}, "number of elements"},
      {"/entries/0/slots", 3, "slots beyond"},
      {"/entries/0/slots", 400, "without an argument"},
      {"/entries/0/args/1/slot", 0, "a second time"},
      {"/entries/0/args/0/shape/0", "rows", "no extent of this entry"},
      {"/entries/0/args/3/name", "tabel", "no parameter"},
      {"/entries/0/args/3/storage", "packed", "storage 'packed'"},
      {"/entries/0/args/3/dtype", "bf16", "another type"},
      {"/entries/0/args/3/count", 2, "another shape or layer count"},
      {"/entries/0/args/3/optional", true, "optional and no input"},
      {"/entries/0/arena_bytes", -5, "arena_bytes"},
      {"/defaults/train/optimizer/lr", "fast", "not a finite number"},
      {"/flops_per_token/train", nullptr, "not a finite number"},
  };
  for (const Case &item : cases) {
    std::string message = messageAfter([&](json &document) {
      document[json::json_pointer(item.pointer)] = item.value;
    });
    EXPECT_NE(message.find(item.message), std::string::npos)
        << item.pointer << ": " << message;
  }
}

TEST(Manifest, AnotherVersionIsOneClearError) {
  std::string message =
      messageAfter([](json &document) { document["abi"] = 7; });
  EXPECT_NE(message.find("ABI version 7"), std::string::npos) << message;
  EXPECT_NE(message.find("Q6012"), std::string::npos);
}

TEST(Manifest, HostileText) {
  EXPECT_FALSE(parseManifest("", "m"));
  EXPECT_FALSE(parseManifest("{", "m"));
  EXPECT_FALSE(parseManifest("[1,2]", "m"));
  EXPECT_FALSE(parseManifest(std::string(1 << 20, '['), "m"));
  EXPECT_FALSE(parseManifest("{\"format\":1,\"format\":1}", "m"));
}

TEST(Elf, EveryTruncationIsRefused) {
  std::string bytes = fileBytes(TEST_MODULE_F32);
  auto whole = findElfSection(bytes, ".qwen.manifest", "m.so");
  ASSERT_TRUE(whole);
  for (size_t size = 0; size < bytes.size(); size += size < 256 ? 1 : 97) {
    auto part = findElfSection(std::string_view(bytes).substr(0, size),
                               ".qwen.manifest", "m.so");
    EXPECT_FALSE(part) << size;
  }
}

TEST(Elf, EveryHeaderByteMayBeWrong) {
  // Nothing to check but that it ends without reading outside (sanitizers).
  std::string bytes = fileBytes(TEST_MODULE_F32);
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  size_t table = header.e_shoff;
  std::vector<size_t> places;
  for (size_t i = 0; i < sizeof header; ++i)
    places.push_back(i);
  for (size_t i = table; i < bytes.size(); ++i)
    places.push_back(i);
  for (size_t place : places)
    for (char value : {'\0', '\x7f', '\xff'}) {
      std::string damaged = bytes;
      damaged[place] = value;
      auto section = findElfSection(damaged, ".qwen.manifest", "m.so");
      if (section) {
        EXPECT_GE(section->data(), damaged.data());
        EXPECT_LE(section->data() + section->size(),
                  damaged.data() + damaged.size());
      }
    }
}

TEST(Elf, OtherFilesAreNamed) {
  auto text = findElfSection("hello", ".qwen.manifest", "m.so");
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().message.find("not ELF"), std::string::npos);
  auto missing = findElfSection(fileBytes(TEST_MODULE_F32), ".nowhere", "m.so");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find(".nowhere"), std::string::npos);
  EXPECT_FALSE(readManifest("/nonexistent/m.so"));
  EXPECT_FALSE(readManifest("/tmp"));
  EXPECT_FALSE(readManifest("/dev/zero"));
}

} // namespace
