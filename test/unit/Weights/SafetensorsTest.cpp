//===- SafetensorsTest.cpp - Tests of reading and writing -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Safetensors.h"
#include "Helpers.h"

#include <csignal>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace qrt;
using namespace qrt::test;

namespace {

Expected<SafetensorsFile> open(const std::string &bytes) {
  return SafetensorsFile::open(RandomAccessFile::fromMemory(bytes, "t"));
}

void accepted(const std::string &header, const std::string &data) {
  auto file = open(safetensorsBytes(header, data));
  EXPECT_TRUE(file) << header << ": " << file.error().str();
}

void refused(const std::string &header, const std::string &data,
             const std::string &part = "") {
  auto file = open(safetensorsBytes(header, data));
  ASSERT_FALSE(file) << "accepted: " << header.substr(0, 200);
  EXPECT_NE(file.error().str().find(part), std::string::npos)
      << file.error().str();
}

/// A header with one entry made of these fields.
std::string entry(const std::string &fields) {
  return "{\"t\":{" + fields + "}}";
}

const std::string four(4, '\x01'), eight(8, '\x02');

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  accepted("{}", "");
  accepted("  {}  \n", "");
  accepted("{\"__metadata__\":{}}", "");
  accepted("{\"__metadata__\":{\"format\":\"pt\"}}", "");
  accepted(entry(R"("dtype":"F32","shape":[],"data_offsets":[0,4])"), four);
  accepted(entry(R"("dtype":"F32","shape":[0,7],"data_offsets":[0,0])"), "");
  accepted(entry(R"("dtype":"F4","shape":[2,4],"data_offsets":[0,4])"), four);
  accepted(entry(R"("dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3])"),
           "abc");
  // Unknown fields are for later versions of the format.
  accepted(entry(R"("dtype":"I8","shape":[4],"x":{"y":[1,{}]},"z":null,)"
                 R"("data_offsets":[0,4])"),
           four);
  // Any order of entries; empty tensors anywhere.
  accepted(R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},)"
           R"("e":{"dtype":"U8","shape":[0],"data_offsets":[4,4]},)"
           R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
           eight);
}

TEST(Safetensors, LengthField) {
  std::string good = safetensorsBytes(
      entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), four);
  ASSERT_TRUE(open(good));
  for (uint64_t length :
       {uint64_t(0), uint64_t(1), uint64_t(2), ~uint64_t(0), ~uint64_t(0) - 7,
        uint64_t(1) << 63, uint64_t(100'000'000), uint64_t(100'000'001),
        uint64_t(good.size()), uint64_t(good.size() - 7)}) {
    EXPECT_FALSE(open(raw<uint64_t>(length) + good.substr(8))) << length;
  }
}

TEST(Safetensors, RefusesTruncationAtEveryByte) {
  std::string good = safetensorsBytes(
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
      four + eight);
  ASSERT_TRUE(open(good));
  for (size_t n = 0; n < good.size(); ++n)
    EXPECT_FALSE(open(good.substr(0, n))) << n;
  EXPECT_FALSE(open(good + "x"));
}

TEST(Safetensors, BadJson) {
  for (const char *header : {"",
                             " ",
                             "null",
                             "1",
                             "\"a\"",
                             "[]",
                             "{",
                             "}",
                             "{]",
                             "{\"a\"}",
                             "{\"a\":}",
                             "{\"a\":1,}",
                             "{}{}",
                             "{}x",
                             "{'a':1}",
                             "// c\n{}",
                             "{\"\xff\":{}}",
                             "{\"a\":NaN}",
                             "\xEF\xBB\xBF{}",
                             "{\"a\":\"\\ud800\"}",
                             "true"})
    EXPECT_FALSE(open(safetensorsBytes(header, ""))) << header;
  EXPECT_FALSE(open(safetensorsBytes(std::string("{}\0", 3), "")));
  refused(std::string(1000000, '['), "", "");
  std::string objects;
  for (int i = 0; i < 200000; ++i)
    objects += "{\"a\":";
  refused(objects, "", "");
  // Deep inside a field that is otherwise ignored.
  refused("{\"t\":{\"x\":" + std::string(1000000, '['), "", "nested");
}

TEST(Safetensors, BadEntries) {
  for (const char *fields : {
           R"()",
           R"("shape":[1],"data_offsets":[0,4])",
           R"("dtype":"F32","data_offsets":[0,4])",
           R"("dtype":"F32","shape":[1])",
           R"("dtype":"F33","shape":[1],"data_offsets":[0,4])",
           R"("dtype":"f32","shape":[1],"data_offsets":[0,4])",
           R"("dtype":"","shape":[1],"data_offsets":[0,4])",
           R"("dtype":32,"shape":[1],"data_offsets":[0,4])",
           R"("dtype":null,"shape":[1],"data_offsets":[0,4])",
           R"("dtype":["F32"],"shape":[1],"data_offsets":[0,4])",
           R"("dtype":"F32","shape":1,"data_offsets":[0,4])",
           R"("dtype":"F32","shape":null,"data_offsets":[0,4])",
           R"("dtype":"F32","shape":"1","data_offsets":[0,4])",
           R"("dtype":"F32","shape":{"0":1},"data_offsets":[0,4])",
           R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])",
           R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])",
           R"("dtype":"F32","shape":[[1]],"data_offsets":[0,4])",
           R"("dtype":"F32","shape":["1"],"data_offsets":[0,4])",
           R"("dtype":"F32","shape":[true],"data_offsets":[0,4])",
           R"("dtype":"F32","shape":[1],"data_offsets":[])",
           R"("dtype":"F32","shape":[1],"data_offsets":[4])",
           R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])",
           R"("dtype":"F32","shape":[1],"data_offsets":[0,-4])",
           R"("dtype":"F32","shape":[1],"data_offsets":[0.0,4.0])",
           R"("dtype":"F32","shape":[1],"data_offsets":["0","4"])",
           R"("dtype":"F32","shape":[1],"data_offsets":{"0":4})",
           R"("dtype":"F32","shape":[1],"data_offsets":[4,0])",
           R"("dtype":"F32","shape":[2],"data_offsets":[0,4])",
           R"("dtype":"F32","shape":[1],"data_offsets":[0,8])",
           R"("dtype":"F16","shape":[1],"data_offsets":[0,4])",
           R"("dtype":"F4","shape":[7],"data_offsets":[0,4])",
           R"("dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4])",
       })
    EXPECT_FALSE(open(safetensorsBytes(entry(fields), four))) << fields;
  for (const char *header :
       {R"({"t":1})", R"({"t":[]})", R"({"t":null})", R"({"t":"x"})",
        R"({"__metadata__":1})", R"({"__metadata__":[]})",
        R"({"__metadata__":null})", R"({"__metadata__":{"a":1}})",
        R"({"__metadata__":{"a":null}})", R"({"__metadata__":{"a":{}}})",
        R"({"__metadata__":{"a":["b"]}})",
        R"({"__metadata__":{"a":"b","a":"c"}})",
        R"({"__metadata__":{},"__metadata__":{}})"})
    EXPECT_FALSE(open(safetensorsBytes(header, ""))) << header;
}

TEST(Safetensors, Overflow) {
  for (
      const char *fields : {
          R"("dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4])",
          R"("dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,4])",
          R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4])",
          R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])",
          R"("dtype":"F32","shape":[4294967296,4294967297],"data_offsets":[0,4])",
          R"("dtype":"F32","shape":[576460752303423489],"data_offsets":[0,4])",
          R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4])",
          R"("dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551616])",
          R"("dtype":"F32","shape":[1],"data_offsets":[18446744073709551611,18446744073709551615])",
          R"("dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807])",
      })
    EXPECT_FALSE(open(safetensorsBytes(entry(fields), four))) << fields;
}

TEST(Safetensors, GapsAndOverlaps) {
  auto two = [](const char *a, const char *b) {
    return std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") +
           a + R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  accepted(two("[0,4]", "[4,8]"), eight);
  refused(two("[0,4]", "[5,9]"), eight + "x", "begins at 5");
  refused(two("[1,5]", "[5,9]"), eight + "x", "begins at 1");
  refused(two("[0,4]", "[3,7]"), eight, "begins at 3");
  refused(two("[0,4]", "[0,4]"), four, "begins at 0");
  refused(two("[0,4]", "[4,8]"), eight + "x", "belong to none");
  refused(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
          R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
          eight, "twice");
}

TEST(Safetensors, ManyTensorsOverOneAnother) {
  std::string header = "{";
  for (int i = 0; i < 20000; ++i)
    header += fmt::format(
        R"({}"t{}":{{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
        i ? "," : "", i);
  refused(header + "}", eight, "begins at 0");
}

TEST(Safetensors, WritesWhatItReads) {
  TempDir dir;
  std::vector<float> a = {1, 2, 3, 4, 5, 6};
  std::vector<int64_t> b = {-1, int64_t(1) << 40};
  std::vector<uint16_t> c = {0x3F80, 0x4000, 0x4040};
  float scalar = 2.5f;
  std::vector<OutputTensor> tensors = {f32("z \"quoted\" \xC3\xA9", {2, 3}, a)};
  tensors.push_back({"b", "I64", {2}, b.data(), {}});
  tensors.push_back({"c", "BF16", {3, 1}, c.data(), {}});
  tensors.push_back({"s", "F32", {}, &scalar, {}});
  tensors.push_back({"empty", "F16", {0, 4}, nullptr, {}});
  // Rows made on demand, more than fit into one block.
  OutputTensor big{"big", "F32", {3000, 1000}, nullptr, {}};
  big.produce = [](int64_t begin, int64_t end, void *to) {
    for (int64_t i = begin * 1000; i < end * 1000; ++i)
      static_cast<float *>(to)[i - begin * 1000] = static_cast<float>(i);
    return Status::success();
  };
  tensors.push_back(big);
  for (const char *name : {"1.safetensors", "2.safetensors"})
    ASSERT_TRUE(writeSafetensors(dir / name, tensors, {{"format", "pt"}}));
  EXPECT_EQ(readFile(dir / "1.safetensors"), readFile(dir / "2.safetensors"));
  EXPECT_EQ(namesIn(dir.path()).size(), 2u);

  auto file = SafetensorsFile::open(dir / "1.safetensors");
  ASSERT_TRUE(file) << file.error().str();
  EXPECT_EQ(file->metadata().at("format"), "pt");
  ASSERT_EQ(file->tensors().size(), 6u);
  const SafetensorsTensor *t = file->find("z \"quoted\" \xC3\xA9");
  ASSERT_TRUE(t);
  EXPECT_EQ(t->shape, (std::vector<int64_t>{2, 3}));
  std::vector<float> back(6);
  ASSERT_TRUE(file->read(*t, 0, 24, back.data()));
  EXPECT_EQ(back, a);
  EXPECT_EQ(file->find("s")->numElements(), 1);
  EXPECT_EQ(file->find("empty")->numElements(), 0);
  // Only the slice is read.
  uint64_t before = file->bytesRead();
  float value;
  ASSERT_TRUE(file->read(*file->find("big"), 4 * 2345678, 4, &value));
  EXPECT_EQ(value, 2345678.0f);
  EXPECT_EQ(file->bytesRead() - before, 4u);
  EXPECT_FALSE(file->read(*t, 0, 25, back.data()));
  EXPECT_FALSE(file->read(*t, 25, 0, back.data()));
  EXPECT_FALSE(file->read(*t, ~uint64_t(0), 2, back.data()));
  auto mapped = file->map(*file->find("b"));
  ASSERT_TRUE(mapped);
  EXPECT_EQ(std::memcmp(*mapped, b.data(), 16), 0);
}

TEST(Safetensors, FailedWritesLeaveNothing) {
  TempDir dir;
  std::vector<float> a = {1};
  writeFile(dir / "m.safetensors", "old");
  OutputTensor bad{"t", "F32", {1000000, 10}, nullptr, {}};
  bad.produce = [](int64_t begin, int64_t, void *) -> Status {
    if (begin > 0)
      return makeError(1, "", "stop");
    return Status::success();
  };
  EXPECT_FALSE(writeSafetensors(dir / "m.safetensors", {bad}, {}));
  EXPECT_EQ(namesIn(dir.path()), (std::vector<std::string>{"m.safetensors"}));
  EXPECT_EQ(readFile(dir / "m.safetensors"), "old");
  EXPECT_FALSE(
      writeSafetensors(dir / "none/m.safetensors", {f32("a", {1}, a)}, {}));
  EXPECT_FALSE(writeSafetensors(dir / "m.safetensors",
                                {f32("a", {1}, a), f32("a", {1}, a)}, {}));
  EXPECT_FALSE(
      writeSafetensors(dir / "m.safetensors", {f32("\xff", {1}, a)}, {}));
  OutputTensor unknown{"a", "F5", {1}, a.data(), {}};
  EXPECT_FALSE(writeSafetensors(dir / "m.safetensors", {unknown}, {}));
}

TEST(Safetensors, AFileSizeLimitIsAnError) {
  TempDir dir;
  std::string path = dir / "m.safetensors";
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    rlimit limit{100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::vector<float> big(1000000);
    Status status = writeSafetensors(path, {f32("a", {1000000}, big)}, {});
    _exit(status ? 1 : status.error().code == 3030 ? 0 : 2);
  }
  int result;
  waitpid(child, &result, 0);
  EXPECT_TRUE(WIFEXITED(result));
  EXPECT_EQ(WEXITSTATUS(result), 0);
  EXPECT_TRUE(namesIn(dir.path()).empty());
}

TEST(Safetensors, AFileThatShrinksIsAnError) {
  TempDir dir;
  std::vector<float> a(100000, 1.0f);
  std::string path = dir / "m.safetensors";
  ASSERT_TRUE(writeSafetensors(path, {f32("a", {100000}, a)}, {}));
  auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file);
  ASSERT_EQ(truncate(path.c_str(), 1000), 0);
  Status status = file->read(file->tensors()[0], 0, 400000, a.data());
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("shorter"), std::string::npos);
}

TEST(Safetensors, NotAFile) {
  TempDir dir;
  EXPECT_FALSE(SafetensorsFile::open(dir.path()));
  EXPECT_FALSE(SafetensorsFile::open(dir / "none"));
  EXPECT_FALSE(SafetensorsFile::open(std::string("a\0b", 3)));
  std::string pipe = dir / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(SafetensorsFile::open(pipe)); // and does not wait
}

} // namespace
