//===- Safetensors.cpp - Reader of safetensors ----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Safetensors.h"
#include "runtime/core/Json.h"
#include "runtime/weights/Printable.h"

#include <algorithm>
#include <limits>

namespace qrt {

namespace {

constexpr uint64_t maxHeaderBytes = 100'000'000;
/// Of the header's JSON: object, entry, list; the rest is for fields that
/// nobody knows yet.
constexpr size_t maxHeaderDepth = 16;

struct DTypeBits {
  std::string_view name;
  unsigned bits;
};
constexpr DTypeBits dtypes[] = {
    {"F32", 32},    {"BF16", 16},       {"F16", 16},        {"F64", 64},
    {"I64", 64},    {"I32", 32},        {"I16", 16},        {"I8", 8},
    {"U64", 64},    {"U32", 32},        {"U16", 16},        {"U8", 8},
    {"BOOL", 8},    {"C64", 64},        {"F8_E5M2", 8},     {"F8_E4M3", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F6_E2M3", 6},
    {"F6_E3M2", 6}, {"F4", 4},
};

/// Reads the header's JSON into tensors without building a tree, which for a
/// hostile header could be many times larger than its text.
class HeaderReader : public JsonHandler {
public:
  HeaderReader(std::vector<SafetensorsTensor> &tensors,
               std::map<std::string, std::string> &metadata)
      : tensors(tensors), metadata(metadata) {}

  std::string null() override { return scalar("null"); }
  std::string boolean(bool) override { return scalar("a truth value"); }
  std::string integer(int64_t v) override {
    return scalar(fmt::format("{}", v));
  }
  std::string real(double v) override { return scalar(fmt::format("{}", v)); }

  std::string natural(uint64_t v) override {
    if (state != Shape && state != Offsets)
      return scalar(fmt::format("{}", v));
    if (v > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return entryError("the number {} is too large", v);
    if (state == Shape) {
      tensors.back().shape.push_back(static_cast<int64_t>(v));
      return {};
    }
    if (numOffsets == 2)
      return entryError("data_offsets has more than two numbers");
    (numOffsets++ == 0 ? begin : end) = v;
    return {};
  }

  std::string string(std::string &v) override {
    if (state == DType) {
      tensors.back().dtype = printable(v);
      if (safetensorsBits(v) == 0)
        return entryError("the dtype '{}' does not exist", printable(v));
      state = Entry;
      return {};
    }
    if (state == MetaValue) {
      metadata[metaKey] = std::move(v);
      state = Meta;
      return {};
    }
    return scalar("a string");
  }

  std::string key(std::string &v) override {
    switch (state) {
    case Top:
      if (v == "__metadata__") {
        state = MetaStart;
      } else {
        tensors.emplace_back();
        tensors.back().name = std::move(v);
        seen = 0;
        numOffsets = 0;
        state = EntryStart;
      }
      return {};
    case Meta:
      metaKey = std::move(v);
      state = MetaValue;
      return {};
    case Entry:
      if (v == "dtype") {
        state = DType;
        seen |= 1;
      } else if (v == "shape") {
        state = ShapeStart;
        seen |= 2;
      } else if (v == "data_offsets") {
        state = OffsetsStart;
        seen |= 4;
      } else {
        state = Unknown;
      }
      return {};
    default:
      return {}; // inside an unknown field
    }
  }

  std::string beginObject() override {
    switch (state) {
    case Start:
      state = Top;
      return {};
    case MetaStart:
      state = Meta;
      return {};
    case EntryStart:
      state = Entry;
      return {};
    default:
      return nested("an object");
    }
  }

  std::string endObject() override {
    switch (state) {
    case Top:
      state = Done;
      return {};
    case Meta:
      state = Top;
      return {};
    case Entry:
      state = Top;
      return finishEntry();
    default:
      return endNested();
    }
  }

  std::string beginArray() override {
    switch (state) {
    case ShapeStart:
      state = Shape;
      return {};
    case OffsetsStart:
      state = Offsets;
      return {};
    default:
      return nested("a list");
    }
  }

  std::string endArray() override {
    switch (state) {
    case Shape:
      state = Entry;
      return {};
    case Offsets:
      if (numOffsets != 2)
        return entryError("data_offsets has {} numbers, not 2", numOffsets);
      state = Entry;
      return {};
    default:
      return endNested();
    }
  }

private:
  enum State {
    Start,
    Top,
    MetaStart,
    Meta,
    MetaValue,
    EntryStart,
    Entry,
    DType,
    ShapeStart,
    Shape,
    OffsetsStart,
    Offsets,
    Unknown,
    Done
  };

  template <typename... Args>
  std::string entryError(fmt::format_string<Args...> format, Args &&...args) {
    return fmt::format("tensor '{}': {}", printable(tensors.back().name),
                       fmt::format(format, std::forward<Args>(args)...));
  }

  /// A value that only an unknown field may have.
  std::string scalar(const std::string &what) {
    if (state == Unknown) {
      if (unknownDepth == 0)
        state = Entry;
      return {};
    }
    return misplaced(what);
  }
  std::string nested(const char *what) {
    if (state != Unknown)
      return misplaced(what);
    ++unknownDepth;
    return {};
  }
  std::string endNested() {
    if (--unknownDepth == 0)
      state = Entry;
    return {};
  }
  std::string misplaced(const std::string &what) {
    switch (state) {
    case MetaStart:
      return fmt::format("__metadata__ is {}, not an object", what);
    case MetaValue:
      return fmt::format("__metadata__ '{}' is {}, not a string",
                         printable(metaKey), what);
    case EntryStart:
      return entryError("it is {}, not an object", what);
    case DType:
      return entryError("dtype is {}, not a string", what);
    case ShapeStart:
    case OffsetsStart:
      return entryError("{} is {}, not a list of numbers",
                        state == ShapeStart ? "shape" : "data_offsets", what);
    case Shape:
    case Offsets:
      return entryError("{} holds {}, not only non-negative integers",
                        state == Shape ? "shape" : "data_offsets", what);
    default:
      return fmt::format("the header is {}, not an object", what);
    }
  }

  std::string finishEntry() {
    for (auto [bit, name] : {std::pair(1, "dtype"), std::pair(2, "shape"),
                             std::pair(4, "data_offsets")})
      if (!(seen & bit))
        return entryError("it has no {}", name);
    SafetensorsTensor &t = tensors.back();
    if (begin > end)
      return entryError("its data_offsets [{}, {}] are in the wrong order",
                        begin, end);
    uint64_t elements = 1, bits;
    for (int64_t size : t.shape)
      if (__builtin_mul_overflow(elements, static_cast<uint64_t>(size),
                                 &elements))
        return entryError("the size of shape {} overflows", shapeText(t.shape));
    if (elements > uint64_t(1) << 62 ||
        __builtin_mul_overflow(elements, uint64_t(safetensorsBits(t.dtype)),
                               &bits))
      return entryError("the size of shape {} overflows", shapeText(t.shape));
    if (bits % 8 != 0)
      return entryError("shape {} of {} does not fill whole bytes",
                        shapeText(t.shape), t.dtype);
    if (bits / 8 != end - begin)
      return entryError("shape {} of {} needs {} bytes, data_offsets gives {}",
                        shapeText(t.shape), t.dtype, bits / 8, end - begin);
    t.offset = begin;
    t.bytes = end - begin;
    return {};
  }

  std::vector<SafetensorsTensor> &tensors;
  std::map<std::string, std::string> &metadata;
  State state = Start;
  std::string metaKey;
  unsigned seen = 0;
  unsigned numOffsets = 0;
  uint64_t begin = 0, end = 0;
  unsigned unknownDepth = 0;
};

} // namespace

unsigned safetensorsBits(std::string_view dtype) {
  for (const DTypeBits &d : dtypes)
    if (d.name == dtype)
      return d.bits;
  return 0;
}

int64_t SafetensorsTensor::numElements() const {
  int64_t n = 1;
  for (int64_t size : shape)
    n *= size;
  return n;
}

Expected<SafetensorsFile> SafetensorsFile::open(const std::string &path) {
  QRT_ASSIGN_OR_RETURN(auto file, RandomAccessFile::open(path));
  return open(std::move(file));
}

Expected<SafetensorsFile>
SafetensorsFile::open(std::shared_ptr<RandomAccessFile> file) {
  SafetensorsFile result;
  result.file = file;
  auto fail = [&](auto format, auto &&...args) {
    return makeError(3002, file->path(), "not a valid safetensors file: {}",
                     fmt::format(format, args...));
  };
  if (file->size() < 8)
    return fail(FMT_STRING("it has {} bytes"), file->size());
  unsigned char raw[8];
  QRT_RETURN_IF_ERROR(file->read(0, raw, 8));
  uint64_t headerBytes = 0;
  for (int i = 7; i >= 0; --i)
    headerBytes = headerBytes << 8 | raw[i];
  if (headerBytes > maxHeaderBytes)
    return fail(
        FMT_STRING("its header claims {} bytes; at most {} are allowed"),
        headerBytes, maxHeaderBytes);
  if (headerBytes > file->size() - 8)
    return fail(FMT_STRING("its header claims {} bytes, the file has {}"),
                headerBytes, file->size());
  std::string header(headerBytes, '\0');
  QRT_RETURN_IF_ERROR(file->read(8, header.data(), headerBytes));

  HeaderReader reader(result.infos, result.meta);
  QRT_RETURN_IF_ERROR(parseJsonEvents(header, file->path() + ":header",
                                      maxHeaderDepth, 3002, reader));

  std::sort(result.infos.begin(), result.infos.end(),
            [](const SafetensorsTensor &a, const SafetensorsTensor &b) {
              // Empty tensors before the one that begins at the same place.
              if (a.offset != b.offset)
                return a.offset < b.offset;
              if (a.bytes != b.bytes)
                return a.bytes < b.bytes;
              return a.name < b.name;
            });
  uint64_t dataStart = 8 + headerBytes, position = 0;
  for (size_t i = 0; i < result.infos.size(); ++i) {
    SafetensorsTensor &t = result.infos[i];
    if (t.offset != position)
      return fail(FMT_STRING("the data of tensor '{}' begins at {}, the data "
                             "before it ends at {}"),
                  printable(t.name), t.offset, position);
    position += t.bytes; // both at most 2^63: no overflow
    if (position > file->size() - dataStart)
      return fail(FMT_STRING("the data of tensor '{}' ends at {}, the file has "
                             "{} bytes of data"),
                  printable(t.name), position, file->size() - dataStart);
    t.offset += dataStart;
    result.index.emplace(t.name, i);
  }
  if (position != file->size() - dataStart)
    return fail(FMT_STRING("{} bytes behind the last tensor belong to none"),
                file->size() - dataStart - position);
  return result;
}

const SafetensorsTensor *SafetensorsFile::find(const std::string &name) const {
  auto it = index.find(name);
  return it == index.end() ? nullptr : &infos[it->second];
}

Status SafetensorsFile::read(const SafetensorsTensor &tensor, uint64_t begin,
                             uint64_t count, void *to) const {
  if (begin > tensor.bytes || count > tensor.bytes - begin)
    return makeError(3002, path(),
                     "{} bytes at {} are not inside tensor '{}' of {} bytes",
                     count, begin, printable(tensor.name), tensor.bytes);
  return file->read(tensor.offset + begin, to, count);
}

Expected<const uint8_t *>
SafetensorsFile::map(const SafetensorsTensor &tensor) const {
  QRT_ASSIGN_OR_RETURN(const uint8_t *base, file->map());
  return base + tensor.offset;
}

} // namespace qrt
