//===- Documents.cpp - Reading text files of any size ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Documents.h"
#include "runtime/core/Json.h"

#include <algorithm>

namespace qrt {

namespace {

constexpr uint64_t blockBytes = uint64_t(1) << 20;
constexpr uint64_t maxLineBytes = uint64_t(1) << 30;

} // namespace

Expected<DocumentReader>
DocumentReader::open(const std::vector<std::string> &paths) {
  if (paths.empty())
    return makeError(5006, "", "no text file is given");
  DocumentReader reader;
  for (const std::string &path : paths) {
    QRT_ASSIGN_OR_RETURN(auto file, RandomAccessFile::open(path));
    if (file->size() == 0)
      return makeError(5001, path, "the text file is empty");
    reader.total += file->size();
    reader.list.push_back(std::move(file));
  }
  return reader;
}

bool DocumentReader::isJsonLines(const std::string &path) {
  constexpr std::string_view end = ".jsonl";
  return path.size() > end.size() &&
         path.compare(path.size() - end.size(), end.size(), end) == 0;
}

Expected<bool> DocumentReader::nextBlock(RandomAccessFile &file, uint64_t &at,
                                         const ReadProgress &progress) {
  if (stopped || at >= file.size())
    return false;
  block.resize(std::min(blockBytes, file.size() - at));
  QRT_RETURN_IF_ERROR(file.read(at, block.data(), block.size()));
  at += block.size();
  done += block.size();
  stopped = progress && !progress(done, total);
  return !stopped;
}

Expected<bool> DocumentReader::read(size_t i, const OnText &onText,
                                    const OnEnd &onEnd,
                                    const ReadProgress &progress) {
  RandomAccessFile &file = *list[i];
  bool lines = isJsonLines(i);
  std::string line;
  uint64_t lineNumber = 0;
  for (uint64_t at = 0;;) {
    QRT_ASSIGN_OR_RETURN(bool more, nextBlock(file, at, progress));
    if (!more)
      break;
    if (!lines) {
      QRT_RETURN_IF_ERROR(onText(block));
      continue;
    }
    std::string_view rest = block;
    for (size_t end; (end = rest.find('\n')) != std::string_view::npos;
         rest.remove_prefix(end + 1)) {
      line += rest.substr(0, end);
      QRT_RETURN_IF_ERROR(
          readLine(line, file.path(), ++lineNumber, onText, onEnd));
      line.clear();
    }
    line += rest;
    if (line.size() > maxLineBytes)
      return makeError(5004, fmt::format("{}:{}", file.path(), lineNumber + 1),
                       "the line is longer than {} bytes", maxLineBytes);
  }
  if (stopped)
    return false;
  QRT_RETURN_IF_ERROR(
      lines ? readLine(line, file.path(), ++lineNumber, onText, onEnd)
            : onEnd());
  return true;
}

Status DocumentReader::readLine(const std::string &line,
                                const std::string &path, uint64_t number,
                                const OnText &onText, const OnEnd &onEnd) {
  if (line.find_first_not_of(" \t\r") == std::string::npos)
    return {};
  std::string where = fmt::format("{}:{}", path, number);
  auto value = parseJson(line, where);
  if (!value) {
    // The parser counts lines of its own text: where:1:col -> where:col.
    const Error &error = value.error();
    size_t column = std::min(where.size() + 2, error.where.size());
    return Error{5004, error.message, where + error.where.substr(column)};
  }
  if (value->is_object())
    if (auto text = value->find("text");
        text != value->end() && text->is_string()) {
      QRT_RETURN_IF_ERROR(onText(text->get_ref<const std::string &>()));
      return onEnd();
    }
  return makeError(5004, where,
                   "the line is not an object with a string \"text\"");
}

} // namespace qrt
