//===- Prepare.cpp - Text to token files ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Prepare.h"
#include "runtime/data/Random.h"

namespace qrt {

namespace {

using Split = PreparedDataWriter::Split;

/// Chooses what of a corpus is kept for validation: a function of the seed and
/// of the number of the file or document.
class ValidationChoice {
public:
  ValidationChoice(double fraction, uint64_t seed)
      : fraction(fraction), seed(seed) {}

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

} // namespace

Expected<std::optional<DataSummary>> prepareData(const PrepareOptions &options,
                                                 const ReadProgress &progress) {
  if (!(options.valFraction >= 0 && options.valFraction < 1))
    return makeError(5010, "", "the validation fraction {} is not in [0, 1)",
                     options.valFraction);
  QRT_ASSIGN_OR_RETURN(auto tokenizer, loadTokenizer(options.tokenizer));
  std::vector<std::string> paths = options.texts;
  bool ownVal = !options.valText.empty() && !paths.empty();
  if (ownVal)
    paths.push_back(options.valText);
  QRT_ASSIGN_OR_RETURN(DocumentReader reader, DocumentReader::open(paths));
  QRT_ASSIGN_OR_RETURN(auto writer,
                       PreparedDataWriter::create(options.folder, *tokenizer,
                                                  options.appendEos));

  ValidationChoice choice(ownVal ? 0 : options.valFraction, options.seed);
  uint64_t document = 0; // its number in the whole corpus
  for (size_t i = 0; i < reader.files(); ++i) {
    bool lines = reader.isJsonLines(i), isVal = ownVal && i + 1 == paths.size();
    if (!lines) {
      auto [begin, end] = choice.stretch(i, reader.fileBytes(i));
      writer->divertToVal(begin, end);
    }
    auto onText = [&](std::string_view text) {
      bool val = isVal || (lines && choice.takesDocument(document));
      return writer->addText(text, val ? Split::Val : Split::Train);
    };
    auto onEnd = [&] {
      ++document;
      return writer->endDocument();
    };
    QRT_ASSIGN_OR_RETURN(bool whole, reader.read(i, onText, onEnd, progress));
    if (!whole)
      return std::optional<DataSummary>();
  }
  QRT_ASSIGN_OR_RETURN(DataSummary summary, writer->finish());
  return std::optional<DataSummary>(std::move(summary));
}

} // namespace qrt
