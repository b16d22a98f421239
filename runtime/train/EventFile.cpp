//===- EventFile.cpp - TensorBoard's event files --------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/EventFile.h"

#include <array>
#include <cstring>

using namespace qrt;

namespace {

constexpr std::array<uint32_t, 256> makeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit)
      value = value >> 1 ^ (value & 1 ? 0x82f63b78u : 0u);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> crcTable = makeTable();

template <typename T> void appendBytes(std::string &out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

/// A protocol buffer under construction.
class Message {
public:
  Message &varint(int field, uint64_t value) {
    key(field, 0);
    raw(value);
    return *this;
  }
  Message &real(int field, double value) {
    key(field, 1);
    appendBytes(bytes, value);
    return *this;
  }
  Message &real32(int field, float value) {
    key(field, 5);
    appendBytes(bytes, value);
    return *this;
  }
  Message &text(int field, std::string_view value) {
    key(field, 2);
    raw(value.size());
    bytes += value;
    return *this;
  }
  Message &message(int field, const Message &value) {
    return text(field, value.bytes);
  }

  std::string bytes;

private:
  void key(int field, int type) { raw(uint64_t(field) << 3 | uint64_t(type)); }
  void raw(uint64_t value) {
    for (; value >= 0x80; value >>= 7)
      bytes += char(value | 0x80);
    bytes += char(value);
  }
};

uint32_t maskedCrc(std::string_view bytes) {
  uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

std::string record(const Message &event) {
  std::string out;
  appendBytes(out, uint64_t(event.bytes.size()));
  appendBytes(out, maskedCrc(out));
  out += event.bytes;
  appendBytes(out, maskedCrc(event.bytes));
  return out;
}

// Fields of the messages, as their .proto files number them.
constexpr int kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3,
              kEventSummary = 5, kEventSessionLog = 7;
constexpr int kSummaryValue = 1;
constexpr int kValueTag = 1, kValueSimple = 2, kValueTensor = 8,
              kValueMetadata = 9;
constexpr int kMetadataPlugin = 1, kPluginName = 1;
constexpr int kTensorType = 1, kTensorShape = 2, kTensorStrings = 8;
constexpr int kSessionStatus = 1;
constexpr uint64_t kTypeString = 7, kStatusStart = 1;

Message event(double wallTime, int64_t step) {
  Message result;
  result.real(kEventWallTime, wallTime);
  result.varint(kEventStep, uint64_t(step));
  return result;
}

} // namespace

uint32_t qrt::crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t(0);
  for (char byte : bytes)
    crc = crc >> 8 ^ crcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  return ~crc;
}

std::string qrt::eventFileHeader(double wallTime) {
  Message header;
  header.real(kEventWallTime, wallTime);
  header.text(kEventFileVersion, "brain.Event:2");
  return record(header);
}

std::string qrt::eventRestart(double wallTime, int64_t step) {
  Message log;
  log.varint(kSessionStatus, kStatusStart);
  return record(event(wallTime, step).message(kEventSessionLog, log));
}

std::string
qrt::eventScalars(double wallTime, int64_t step,
                  const std::vector<std::pair<std::string, float>> &values) {
  Message summary;
  for (const auto &[tag, value] : values)
    summary.message(kSummaryValue,
                    Message().text(kValueTag, tag).real32(kValueSimple, value));
  return record(event(wallTime, step).message(kEventSummary, summary));
}

std::string qrt::eventText(double wallTime, int64_t step, std::string_view tag,
                           std::string_view text) {
  Message plugin, metadata, tensor, value, summary;
  metadata.message(kMetadataPlugin, plugin.text(kPluginName, "text"));
  tensor.varint(kTensorType, kTypeString)
      .message(kTensorShape, Message())
      .text(kTensorStrings, text);
  value.text(kValueTag, tag)
      .message(kValueTensor, tensor)
      .message(kValueMetadata, metadata);
  summary.message(kSummaryValue, value);
  return record(event(wallTime, step).message(kEventSummary, summary));
}
