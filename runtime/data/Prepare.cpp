//===- Prepare.cpp - Text to token files ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One thread reads and writes, the others encode. Text is cut into chunks where
// the tokenizer knows that words end whatever stands before and behind; text
// without such places goes through one encoder that keeps its state.
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Prepare.h"
#include "runtime/data/Documents.h"
#include "runtime/data/ParallelEncoder.h"
#include "runtime/data/Random.h"

#include <algorithm>
#include <thread>

namespace qrt {

namespace {

using Split = PreparedDataWriter::Split;

/// Text of a chunk, about. Smaller ones cost more switches, larger ones memory.
constexpr size_t chunkBytes = size_t(256) << 10;
/// Without a cut in so much text, a document is encoded in one piece.
constexpr size_t maxUncut = size_t(4) << 20;
constexpr size_t maxLineBytes = size_t(1) << 30;

/// Chooses what of a corpus is kept for validation: a function of the seed and
/// of the number of the file or document.
class ValidationChoice {
public:
  ValidationChoice(double fraction, uint64_t seed)
      : fraction(fraction), seed(seed) {}

  bool isEmpty() const { return fraction <= 0; }

  /// One stretch of a plain file, [begin, end) in bytes.
  std::pair<uint64_t, uint64_t> stretch(uint64_t file, uint64_t bytes) const {
    uint64_t length = uint64_t(double(bytes) * fraction);
    if (length == 0)
      return {0, 0};
    uint64_t begin =
        mixKey(seed, 0x76616c /*val*/, file) % (bytes - length + 1);
    return {begin, begin + length};
  }

  bool takesDocument(uint64_t document) const {
    uint64_t drawn = mixKey(seed, 0x646f63 /*doc*/, document);
    return double(drawn >> 11) < fraction * 9007199254740992.0 /*2^53*/;
  }

private:
  double fraction;
  uint64_t seed;
};

/// The way of all text from files to the writer.
class Preparation {
public:
  Preparation(const Tokenizer &tokenizer, PreparedDataWriter &writer,
              const ValidationChoice &choice, int threads)
      : tokenizer(tokenizer), writer(writer), choice(choice),
        encoder(tokenizer, threads) {}

  /// False if `progress` stopped it.
  Expected<bool> addFile(TextFile &file, size_t index, bool isVal,
                         const std::function<bool(uint64_t)> &progress);

private:
  Status addText(std::string &text, bool atEnd);
  Status addLines(std::string &text, bool atEnd);
  Status submit(TextChunk chunk);
  Status write(bool all);

  const Tokenizer &tokenizer;
  PreparedDataWriter &writer;
  const ValidationChoice &choice;
  ParallelEncoder encoder;
  std::unique_ptr<StreamEncoder> whole; ///< of text that has no cuts
  bool lines = false, isVal = false;
  std::string path;
  uint64_t lineNumber = 1;
  uint64_t document = 0; // its number in the whole corpus
};

Status Preparation::write(bool all) {
  while (encoder.waiting() > 0 && (all || encoder.isFull())) {
    QRT_ASSIGN_OR_RETURN(auto parts, encoder.take());
    for (EncodedPart &part : parts) {
      bool val = isVal || (lines && choice.takesDocument(document));
      QRT_RETURN_IF_ERROR(writer.addTokens(part.ids, part.prompt,
                                           part.textBytes,
                                           val ? Split::Val : Split::Train));
      if (!part.endsDocument)
        continue;
      QRT_RETURN_IF_ERROR(writer.endDocument());
      ++document;
    }
  }
  return {};
}

Status Preparation::submit(TextChunk chunk) {
  chunk.path = path;
  encoder.submit(std::move(chunk));
  return write(false);
}

Status Preparation::addLines(std::string &text, bool atEnd) {
  if (text.size() > maxLineBytes)
    return makeError(5004, fmt::format("{}:{}", path, lineNumber),
                     "the line is longer than {} bytes", maxLineBytes);
  while (text.size() >= chunkBytes || (atEnd && !text.empty())) {
    size_t end = text.size() > chunkBytes ? text.find('\n', chunkBytes)
                                          : text.rfind('\n');
    if (end == std::string::npos) {
      if (!atEnd)
        return {};
      end = text.size() - 1;
    }
    TextChunk chunk;
    chunk.lines = true;
    chunk.firstLine = lineNumber;
    chunk.text = text.substr(0, end + 1);
    text.erase(0, end + 1);
    lineNumber += std::count(chunk.text.begin(), chunk.text.end(), '\n');
    QRT_RETURN_IF_ERROR(submit(std::move(chunk)));
  }
  return {};
}

Status Preparation::addText(std::string &text, bool atEnd) {
  auto encodeWhole = [&]() -> Status {
    std::vector<TokenId> ids;
    QRT_RETURN_IF_ERROR(whole->feed(text, ids));
    if (atEnd)
      QRT_RETURN_IF_ERROR(whole->finish(ids));
    QRT_RETURN_IF_ERROR(writer.addTokens(ids, 0, text.size(),
                                         isVal ? Split::Val : Split::Train));
    text.clear();
    if (!atEnd)
      return {};
    ++document;
    return writer.endDocument();
  };
  if (whole)
    return encodeWhole();
  while (text.size() >= chunkBytes && !whole) {
    // A cut behind a chunk's size, or the last one before.
    size_t limit = std::min(text.size(), 2 * chunkBytes);
    size_t cut = tokenizer.lastCut(std::string_view(text).substr(0, limit));
    if (cut == 0)
      cut = tokenizer.lastCut(text);
    if (cut == 0) {
      if (text.size() < maxUncut && !atEnd)
        return {};
      whole = tokenizer.encoder();
      QRT_RETURN_IF_ERROR(write(true));
      return encodeWhole();
    }
    TextChunk chunk;
    chunk.text = text.substr(0, cut);
    text.erase(0, cut);
    QRT_RETURN_IF_ERROR(submit(std::move(chunk)));
  }
  if (!atEnd)
    return {};
  TextChunk chunk;
  chunk.text = std::move(text);
  chunk.endsDocument = true;
  return submit(std::move(chunk));
}

Expected<bool>
Preparation::addFile(TextFile &file, size_t index, bool val,
                     const std::function<bool(uint64_t)> &progress) {
  lines = file.isJsonLines();
  isVal = val;
  path = file.path();
  lineNumber = 1;
  whole.reset();
  if (!lines && !isVal && !choice.isEmpty()) {
    QRT_ASSIGN_OR_RETURN(uint64_t bytes, file.textBytes());
    auto [begin, end] = choice.stretch(index, bytes);
    writer.divertToVal(begin, end);
  }
  std::string text;
  for (;;) {
    QRT_ASSIGN_OR_RETURN(bool more, file.next(text));
    if (!progress(file.position()))
      return false;
    QRT_RETURN_IF_ERROR(lines ? addLines(text, !more) : addText(text, !more));
    if (!more)
      break;
  }
  // What follows may be split otherwise.
  QRT_RETURN_IF_ERROR(write(true));
  return true;
}

} // namespace

Expected<std::optional<DataSummary>> prepareData(const PrepareOptions &options,
                                                 const ReadProgress &progress) {
  if (!(options.valFraction >= 0 && options.valFraction < 1))
    return makeError(5010, "", "the validation fraction {} is not in [0, 1)",
                     options.valFraction);
  QRT_ASSIGN_OR_RETURN(auto tokenizer, loadTokenizer(options.tokenizer));
  std::vector<std::string> paths = options.texts;
  if (paths.empty())
    return makeError(5006, "", "no text file is given");
  bool ownVal = !options.valText.empty();
  if (ownVal)
    paths.push_back(options.valText);
  // All files are opened first, so that a wrong name is found at once.
  std::vector<TextFile> files;
  uint64_t total = 0;
  for (const std::string &path : paths) {
    QRT_ASSIGN_OR_RETURN(TextFile file, TextFile::open(path));
    total += file.size();
    files.push_back(std::move(file));
  }
  QRT_ASSIGN_OR_RETURN(auto writer,
                       PreparedDataWriter::create(options.folder, *tokenizer,
                                                  options.appendEos));

  ValidationChoice choice(ownVal ? 0 : options.valFraction, options.seed);
  int threads = options.threads > 0
                    ? options.threads
                    : static_cast<int>(std::thread::hardware_concurrency());
  Preparation preparation(*tokenizer, *writer, choice, threads);
  uint64_t before = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    auto onBlock = [&](uint64_t position) {
      return !progress || progress(before + position, total);
    };
    QRT_ASSIGN_OR_RETURN(bool finished,
                         preparation.addFile(files[i], i,
                                             ownVal && i + 1 == files.size(),
                                             onBlock));
    if (!finished)
      return std::optional<DataSummary>();
    before += files[i].size();
  }
  QRT_ASSIGN_OR_RETURN(DataSummary summary, writer->finish());
  return std::optional<DataSummary>(std::move(summary));
}

} // namespace qrt
