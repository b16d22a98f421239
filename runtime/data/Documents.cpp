//===- Documents.cpp - Reading text files of any size ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Documents.h"
#include "runtime/core/Json.h"

#include <algorithm>
#include <zlib.h>

namespace qrt {

namespace {

constexpr uint64_t blockBytes = uint64_t(1) << 20;

bool endsWith(const std::string &name, std::string_view end) {
  return name.size() > end.size() &&
         name.compare(name.size() - end.size(), end.size(), end) == 0;
}

z_stream *streamOf(void *raw) { return static_cast<z_stream *>(raw); }

} // namespace

Expected<TextFile> TextFile::open(const std::string &path) {
  TextFile text;
  QRT_ASSIGN_OR_RETURN(text.file, RandomAccessFile::open(path));
  if (text.file->size() == 0)
    return makeError(5001, path, "the text file is empty");
  unsigned char magic[2] = {};
  if (text.file->size() >= 2)
    QRT_RETURN_IF_ERROR(text.file->read(0, magic, 2));
  if (magic[0] == 0x1f && magic[1] == 0x8b) {
    auto *stream = new z_stream{};
    if (inflateInit2(stream, 16 + MAX_WBITS) != Z_OK) {
      delete stream;
      return makeError(5014, path, "zlib cannot be started");
    }
    text.stream = stream;
  }
  return text;
}

TextFile::TextFile(TextFile &&other) noexcept
    : file(std::move(other.file)), at(other.at), stream(other.stream),
      ended(other.ended), packed(std::move(other.packed)),
      packedTaken(other.packedTaken) {
  other.stream = nullptr;
}

TextFile::~TextFile() {
  if (!stream)
    return;
  inflateEnd(streamOf(stream));
  delete streamOf(stream);
}

bool TextFile::isJsonLines() const {
  return endsWith(path(), ".jsonl") || endsWith(path(), ".jsonl.gz");
}

Expected<bool> TextFile::next(std::string &text) {
  if (stream) {
    size_t before = text.size();
    while (text.size() == before) {
      if (packedTaken == packed.size() && at == file->size()) {
        if (!ended)
          return makeError(5014, path(), "the gzip data is cut off");
        return false;
      }
      QRT_RETURN_IF_ERROR(inflateBlock(text));
    }
    return true;
  }
  if (at >= file->size())
    return false;
  size_t before = text.size(), n = std::min(blockBytes, file->size() - at);
  text.resize(before + n);
  QRT_RETURN_IF_ERROR(file->read(at, text.data() + before, n));
  at += n;
  return true;
}

Status TextFile::inflateBlock(std::string &text) {
  if (packedTaken == packed.size()) {
    packed.resize(std::min(blockBytes / 4, file->size() - at));
    QRT_RETURN_IF_ERROR(file->read(at, packed.data(), packed.size()));
    at += packed.size();
    packedTaken = 0;
  }
  z_stream &z = *streamOf(stream);
  size_t before = text.size();
  text.resize(before + blockBytes);
  z.next_in = reinterpret_cast<Bytef *>(packed.data()) + packedTaken;
  z.avail_in = uInt(packed.size() - packedTaken);
  z.next_out = reinterpret_cast<Bytef *>(text.data()) + before;
  z.avail_out = uInt(blockBytes);
  int code = Z_OK;
  while (z.avail_in && z.avail_out && code == Z_OK) {
    ended = false;
    code = inflate(&z, Z_NO_FLUSH);
    if (code == Z_STREAM_END) {
      ended = true;
      code = inflateReset(&z); // another member may follow
    }
  }
  packedTaken = packed.size() - z.avail_in;
  text.resize(before + blockBytes - z.avail_out);
  if (code != Z_OK && code != Z_BUF_ERROR)
    return makeError(5014, path(), "the gzip data is damaged: {}",
                     z.msg ? z.msg : zError(code));
  return {};
}

Expected<uint64_t> TextFile::textBytes() const {
  if (!stream)
    return size();
  QRT_ASSIGN_OR_RETURN(TextFile copy, TextFile::open(path()));
  uint64_t bytes = 0;
  for (std::string block;;) {
    block.clear();
    QRT_ASSIGN_OR_RETURN(bool more, copy.next(block));
    if (!more)
      return bytes;
    bytes += block.size();
  }
}

Expected<std::optional<LineDocument>> parseLine(std::string_view line,
                                                const std::string &where) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos)
    return std::optional<LineDocument>();
  auto value = parseJson(line, where);
  if (!value) {
    // The parser counts lines of its own text: where:1:col -> where:col.
    const Error &error = value.error();
    size_t column = std::min(where.size() + 2, error.where.size());
    return Error{5004, error.message, where + error.where.substr(column)};
  }
  auto textOf = [&](const char *key) -> std::string * {
    if (!value->is_object())
      return nullptr;
    auto at = value->find(key);
    return at != value->end() ? at->get_ptr<std::string *>() : nullptr;
  };
  LineDocument document;
  if (std::string *text = textOf("text")) {
    document.text = std::move(*text);
    return std::optional<LineDocument>(std::move(document));
  }
  std::string *prompt = textOf("prompt"), *completion = textOf("completion");
  if (prompt && completion) {
    document.prompt = std::move(*prompt);
    document.text = std::move(*completion);
    document.hasPrompt = true;
    return std::optional<LineDocument>(std::move(document));
  }
  return makeError(5004, where,
                   "the line is not an object with a string \"text\", or with "
                   "a \"prompt\" and a \"completion\"");
}

Expected<bool>
readDocuments(TextFile &file,
              const std::function<Status(std::string_view part)> &onText,
              const std::function<Status()> &onEnd,
              const std::function<bool(uint64_t)> &progress) {
  uint64_t number = 0;
  auto readLine = [&](std::string_view line) -> Status {
    QRT_ASSIGN_OR_RETURN(
        auto document,
        parseLine(line, fmt::format("{}:{}", file.path(), ++number)));
    if (!document)
      return {};
    if (document->hasPrompt)
      QRT_RETURN_IF_ERROR(onText(document->prompt));
    QRT_RETURN_IF_ERROR(onText(document->text));
    return onEnd();
  };
  std::string text;
  for (;;) {
    QRT_ASSIGN_OR_RETURN(bool more, file.next(text));
    if (!progress(file.position()))
      return false;
    if (!file.isJsonLines()) {
      QRT_RETURN_IF_ERROR(onText(text));
      text.clear();
      if (more)
        continue;
      QRT_RETURN_IF_ERROR(onEnd());
      return true;
    }
    size_t taken = 0;
    for (size_t end; (end = text.find('\n', taken)) != std::string::npos;
         taken = end + 1)
      QRT_RETURN_IF_ERROR(
          readLine(std::string_view(text).substr(taken, end - taken)));
    text.erase(0, taken);
    if (more)
      continue;
    QRT_RETURN_IF_ERROR(readLine(text));
    return true;
  }
}

} // namespace qrt
