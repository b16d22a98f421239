//===- Gguf.cpp - Strict reader of GGUF files -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Gguf.h"
#include "runtime/weights/Printable.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace qrt {

namespace {

constexpr char magic[4] = {'G', 'G', 'U', 'F'};
constexpr uint64_t maxKeyBytes = 65535;
constexpr uint64_t maxTensorNameBytes = 63;
constexpr uint32_t maxDims = 4;
// Metadata is kept in memory: far above any real vocabulary, far below harm.
constexpr uint64_t maxMetadataBytes = uint64_t(1) << 30;
constexpr uint64_t maxStringArray = uint64_t(1) << 24;

constexpr GgufTypeInfo tensorTypes[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},
    {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 40},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},
    {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},
};

/// Bytes of a metadata scalar; 0 for strings and arrays.
uint32_t scalarBytes(GgufType type) {
  switch (type) {
  case GgufType::U8:
  case GgufType::I8:
  case GgufType::Bool:
    return 1;
  case GgufType::U16:
  case GgufType::I16:
    return 2;
  case GgufType::U32:
  case GgufType::I32:
  case GgufType::F32:
    return 4;
  case GgufType::U64:
  case GgufType::I64:
  case GgufType::F64:
    return 8;
  case GgufType::String:
  case GgufType::Array:
    return 0;
  }
  return 0;
}

template <typename T> T loadAs(const char *from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// Rounds up to a multiple of a power of two; false when it overflows.
bool alignUp(uint64_t value, uint64_t alignment, uint64_t &out) {
  if (__builtin_add_overflow(value, alignment - 1, &out))
    return false;
  out &= ~(alignment - 1);
  return true;
}

} // namespace

const char *ggufTypeName(GgufType type) {
  static const char *const names[] = {"u8",  "i8",  "u16",  "i16",    "u32",
                                      "i32", "f32", "bool", "string", "array",
                                      "u64", "i64", "f64"};
  auto i = static_cast<uint32_t>(type);
  return i < std::size(names) ? names[i] : "unknown";
}

const GgufTypeInfo *ggufTensorType(uint32_t type) {
  for (const GgufTypeInfo &info : tensorTypes)
    if (info.type == type)
      return &info;
  return nullptr;
}

int64_t GgufTensor::numElements() const {
  int64_t n = 1;
  for (int64_t d : shape)
    n *= d;
  return n;
}

const char *GgufTensor::typeName() const {
  const GgufTypeInfo *info = ggufTensorType(type);
  return info ? info->name : "unknown";
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

std::optional<int64_t> GgufValue::asInt(size_t i) const {
  if (i >= count || type == GgufType::String)
    return std::nullopt;
  const char *at = bytes.data() + i * scalarBytes(type);
  switch (type) {
  case GgufType::U8:
    return loadAs<uint8_t>(at);
  case GgufType::I8:
    return loadAs<int8_t>(at);
  case GgufType::U16:
    return loadAs<uint16_t>(at);
  case GgufType::I16:
    return loadAs<int16_t>(at);
  case GgufType::U32:
    return loadAs<uint32_t>(at);
  case GgufType::I32:
    return loadAs<int32_t>(at);
  case GgufType::I64:
    return loadAs<int64_t>(at);
  case GgufType::U64: {
    auto value = loadAs<uint64_t>(at);
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      return std::nullopt;
    return static_cast<int64_t>(value);
  }
  default:
    return std::nullopt;
  }
}

std::optional<uint64_t> GgufValue::asUInt(size_t i) const {
  if (type == GgufType::U64 && i < count)
    return loadAs<uint64_t>(bytes.data() + i * 8);
  std::optional<int64_t> value = asInt(i);
  if (!value || *value < 0)
    return std::nullopt;
  return static_cast<uint64_t>(*value);
}

std::optional<double> GgufValue::asFloat(size_t i) const {
  if (i < count && type == GgufType::F32)
    return loadAs<float>(bytes.data() + i * 4);
  if (i < count && type == GgufType::F64)
    return loadAs<double>(bytes.data() + i * 8);
  return std::nullopt;
}

std::optional<bool> GgufValue::asBool(size_t i) const {
  if (i >= count || type != GgufType::Bool)
    return std::nullopt;
  return bytes[i] != 0;
}

const std::string *GgufValue::asString() const {
  return isString() ? &strings[0] : nullptr;
}

const std::vector<std::string> *GgufValue::asStrings() const {
  return isStringArray() ? &strings : nullptr;
}

//===----------------------------------------------------------------------===//
// Parser
//===----------------------------------------------------------------------===//

/// Reads the file front to back through a window, so that a header of any size
/// costs few system calls and never more memory than it needs.
class GgufParser {
public:
  explicit GgufParser(GgufFile &result) : gguf(result), file(*result.file) {}

  Status parse();

private:
  template <typename... Args>
  Error fail(fmt::format_string<Args...> format, Args &&...args) {
    return makeError(3010, file.path(), "not a valid GGUF file: {}",
                     fmt::format(format, std::forward<Args>(args)...));
  }

  uint64_t remaining() const { return file.size() - position; }
  Status bytes(void *to, uint64_t count);
  template <typename T> Status number(T &value) {
    return bytes(&value, sizeof(T));
  }
  Status string(std::string &value, uint64_t limit, const char *what);
  Status header(uint64_t &numTensors, uint64_t &numValues);
  Status value(const std::string &key, GgufValue &out);
  Status metadata(uint64_t count);
  Status tensor(GgufTensor &out);
  Status layout(uint64_t dataStart);

  GgufFile &gguf;
  const RandomAccessFile &file;
  uint64_t position = 0;
  uint64_t alignment = 32;
  std::string window;
  uint64_t windowStart = 0;
};

Status GgufParser::bytes(void *to, uint64_t count) {
  if (count > remaining())
    return fail("it ends at byte {}, inside a field of {} bytes at {}",
                file.size(), count, position);
  if (position < windowStart ||
      position + count > windowStart + window.size()) {
    constexpr uint64_t windowBytes = uint64_t(1) << 18;
    if (count >= windowBytes) {
      QRT_RETURN_IF_ERROR(file.read(position, to, count));
      position += count;
      return Status::success();
    }
    window.resize(std::min(windowBytes, remaining()));
    windowStart = position;
    QRT_RETURN_IF_ERROR(file.read(position, window.data(), window.size()));
  }
  if (count)
    std::memcpy(to, window.data() + (position - windowStart), count);
  position += count;
  return Status::success();
}

Status GgufParser::string(std::string &value, uint64_t limit,
                          const char *what) {
  uint64_t length;
  QRT_RETURN_IF_ERROR(number(length));
  if (length > remaining())
    return fail("a {} of {} bytes at {} does not fit into the remaining {}",
                what, length, position, remaining());
  if (length > limit)
    return fail("a {} of {} bytes is longer than the allowed {}", what, length,
                limit);
  value.resize(length);
  return bytes(value.data(), length);
}

Status GgufParser::header(uint64_t &numTensors, uint64_t &numValues) {
  char found[4];
  QRT_RETURN_IF_ERROR(bytes(found, 4));
  if (std::memcmp(found, magic, 4) != 0)
    return fail("it does not begin with the letters GGUF");
  QRT_RETURN_IF_ERROR(number(gguf.fileVersion));
  uint32_t version = gguf.fileVersion;
  if (version < 2 || version > 3) {
    uint32_t swapped = __builtin_bswap32(version);
    if (swapped >= 1 && swapped <= 3)
      return fail("it is big endian; only little endian files are read");
    return fail("version {} is not supported (2 and 3 are)", version);
  }
  QRT_RETURN_IF_ERROR(number(numTensors));
  QRT_RETURN_IF_ERROR(number(numValues));
  // The least that one entry can take: 8 + 1 + 4 + 1 and 8 + 1 + 4 + 8 + 4 + 8.
  if (numValues > remaining() / 14)
    return fail("{} metadata values do not fit into {} bytes", numValues,
                remaining());
  if (numTensors > remaining() / 33)
    return fail("{} tensors do not fit into {} bytes", numTensors, remaining());
  return Status::success();
}

Status GgufParser::value(const std::string &key, GgufValue &out) {
  uint32_t type;
  QRT_RETURN_IF_ERROR(number(type));
  uint64_t count = 1;
  if (type == static_cast<uint32_t>(GgufType::Array)) {
    out.array = true;
    QRT_RETURN_IF_ERROR(number(type));
    QRT_RETURN_IF_ERROR(number(count));
    if (type == static_cast<uint32_t>(GgufType::Array))
      return fail("'{}' is an array of arrays", printable(key));
  }
  if (type > static_cast<uint32_t>(GgufType::F64))
    return fail("'{}' has the unknown type {}", printable(key), type);
  out.type = static_cast<GgufType>(type);

  uint64_t least = out.type == GgufType::String ? 8 : scalarBytes(out.type);
  if (count > remaining() / least)
    return fail("'{}' with {} elements does not fit into the remaining {} "
                "bytes",
                printable(key), count, remaining());
  out.count = count;
  if (out.type == GgufType::String) {
    if (count > maxStringArray)
      return fail("'{}' has {} strings; at most {} are read", printable(key),
                  count, maxStringArray);
    for (uint64_t i = 0; i < count; ++i) {
      out.strings.emplace_back();
      QRT_RETURN_IF_ERROR(
          string(out.strings.back(), maxMetadataBytes, "string"));
      if (position > maxMetadataBytes)
        return fail("its metadata is longer than {} bytes", maxMetadataBytes);
    }
    return Status::success();
  }
  uint64_t total = count * scalarBytes(out.type);
  if (total > maxMetadataBytes)
    return fail("'{}' has {} bytes; at most {} are read", printable(key), total,
                maxMetadataBytes);
  out.bytes.resize(total);
  QRT_RETURN_IF_ERROR(bytes(out.bytes.data(), total));
  if (out.type == GgufType::Bool)
    for (char c : out.bytes)
      if (c != 0 && c != 1)
        return fail("'{}' holds the truth value {}", printable(key),
                    static_cast<unsigned char>(c));
  return Status::success();
}

Status GgufParser::metadata(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    std::string key;
    QRT_RETURN_IF_ERROR(string(key, maxKeyBytes, "key"));
    if (key.empty())
      return fail("metadata value {} has an empty key", i);
    if (!gguf.valueIndex.emplace(key, gguf.values.size()).second)
      return fail("the key '{}' occurs twice", printable(key));
    gguf.values.emplace_back(key, GgufValue());
    QRT_RETURN_IF_ERROR(value(key, gguf.values.back().second));
    if (position > maxMetadataBytes)
      return fail("its metadata is longer than {} bytes", maxMetadataBytes);
  }
  if (const GgufValue *given = gguf.find("general.alignment")) {
    if (given->isArray() || given->elementType() != GgufType::U32)
      return fail("general.alignment is not a u32");
    alignment = *given->asUInt();
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
      return fail("general.alignment is {}, not a power of two", alignment);
  }
  return Status::success();
}

Status GgufParser::tensor(GgufTensor &out) {
  QRT_RETURN_IF_ERROR(string(out.name, maxTensorNameBytes, "tensor name"));
  if (out.name.empty())
    return fail("a tensor has an empty name");
  std::string shown = printable(out.name);
  uint32_t dims;
  QRT_RETURN_IF_ERROR(number(dims));
  if (dims < 1 || dims > maxDims)
    return fail("tensor '{}' has {} dimensions, not 1 to {}", shown, dims,
                maxDims);
  int64_t elements = 1;
  for (uint32_t i = 0; i < dims; ++i) {
    int64_t size;
    QRT_RETURN_IF_ERROR(number(size));
    if (size < 0)
      return fail("tensor '{}' has the size {}", shown, size);
    // Bounds the product of the sizes that are not 0, so that no order of
    // multiplication can overflow later.
    if (__builtin_mul_overflow(elements, std::max<int64_t>(size, 1), &elements))
      return fail("the number of elements of tensor '{}' overflows", shown);
    out.shape.insert(out.shape.begin(), size);
  }
  QRT_RETURN_IF_ERROR(number(out.type));
  const GgufTypeInfo *info = ggufTensorType(out.type);
  if (!info)
    return fail("tensor '{}' has the unknown type {}", shown, out.type);
  int64_t row = out.shape.back();
  if (row % info->blockElements != 0)
    return fail("tensor '{}' of type {} has rows of {}, not a multiple of {}",
                shown, info->name, row, info->blockElements);
  uint64_t blocks =
      static_cast<uint64_t>(out.numElements()) / info->blockElements;
  if (__builtin_mul_overflow(blocks, uint64_t(info->blockBytes), &out.bytes))
    return fail("the size of tensor '{}' overflows", shown);
  return number(out.offset);
}

Status GgufParser::layout(uint64_t dataStart) {
  uint64_t expected = 0;
  for (GgufTensor &t : gguf.infos) {
    if (t.offset != expected)
      return fail("the data of tensor '{}' begins at {}, not at {}",
                  printable(t.name), t.offset, expected);
    uint64_t end;
    if (__builtin_add_overflow(expected, t.bytes, &end) ||
        !alignUp(end, alignment, expected))
      return fail("the data offsets overflow at tensor '{}'",
                  printable(t.name));
    uint64_t last;
    if (__builtin_add_overflow(dataStart, end, &last) || last > file.size())
      return fail("the data of tensor '{}' ends at {}, behind the end of the "
                  "file at {}",
                  printable(t.name), last, file.size());
    t.offset += dataStart;
  }
  return Status::success();
}

Status GgufParser::parse() {
  uint64_t numTensors, numValues;
  QRT_RETURN_IF_ERROR(header(numTensors, numValues));
  QRT_RETURN_IF_ERROR(metadata(numValues));
  for (uint64_t i = 0; i < numTensors; ++i) {
    gguf.infos.emplace_back();
    QRT_RETURN_IF_ERROR(tensor(gguf.infos.back()));
    const std::string &name = gguf.infos.back().name;
    if (!gguf.tensorIndex.emplace(name, i).second)
      return fail("the tensor '{}' occurs twice", printable(name));
  }
  uint64_t dataStart;
  if (!alignUp(position, alignment, dataStart))
    return fail("the start of the data overflows");
  return layout(dataStart);
}

//===----------------------------------------------------------------------===//
// File
//===----------------------------------------------------------------------===//

Expected<GgufFile> GgufFile::open(const std::string &path) {
  QRT_ASSIGN_OR_RETURN(auto file, RandomAccessFile::open(path));
  return open(std::move(file));
}

Expected<GgufFile> GgufFile::open(std::shared_ptr<RandomAccessFile> file) {
  GgufFile result;
  result.file = std::move(file);
  QRT_RETURN_IF_ERROR(GgufParser(result).parse());
  return result;
}

const GgufValue *GgufFile::find(const std::string &key) const {
  auto it = valueIndex.find(key);
  return it == valueIndex.end() ? nullptr : &values[it->second].second;
}

const GgufTensor *GgufFile::findTensor(const std::string &name) const {
  auto it = tensorIndex.find(name);
  return it == tensorIndex.end() ? nullptr : &infos[it->second];
}

namespace {

/// The common part of the typed getters: `get` reads the scalar.
template <typename T, typename Get>
Expected<std::optional<T>> scalar(const GgufFile &file, const std::string &key,
                                  const char *wanted, Get get) {
  const GgufValue *value = file.find(key);
  if (!value)
    return std::optional<T>();
  std::optional<T> result;
  if (!value->isArray())
    result = get(*value);
  if (!result)
    return makeError(3011, file.path(), "the value of '{}' ({}{}) is not {}",
                     key, value->isArray() ? "array of " : "",
                     ggufTypeName(value->elementType()), wanted);
  return result;
}

} // namespace

Expected<std::optional<uint64_t>>
GgufFile::getUInt(const std::string &key) const {
  return scalar<uint64_t>(*this, key, "a non-negative integer",
                          [](const GgufValue &v) { return v.asUInt(); });
}

Expected<std::optional<int64_t>>
GgufFile::getInt(const std::string &key) const {
  return scalar<int64_t>(*this, key, "an integer",
                         [](const GgufValue &v) { return v.asInt(); });
}

Expected<std::optional<double>>
GgufFile::getFloat(const std::string &key) const {
  return scalar<double>(*this, key, "a real number",
                        [](const GgufValue &v) { return v.asFloat(); });
}

Expected<std::optional<bool>> GgufFile::getBool(const std::string &key) const {
  return scalar<bool>(*this, key, "a truth value",
                      [](const GgufValue &v) { return v.asBool(); });
}

Expected<std::optional<std::string>>
GgufFile::getString(const std::string &key) const {
  return scalar<std::string>(
      *this, key, "a string",
      [](const GgufValue &v) -> std::optional<std::string> {
        const std::string *text = v.asString();
        return text ? std::optional<std::string>(*text) : std::nullopt;
      });
}

bool looksLikeGguf(const RandomAccessFile &file) {
  char found[4];
  return file.size() >= 4 && file.read(0, found, 4) &&
         std::memcmp(found, magic, 4) == 0;
}

} // namespace qrt
