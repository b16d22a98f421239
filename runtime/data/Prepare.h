//===- Prepare.h - Text to token files --------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_PREPARE_H
#define QWEN_RUNTIME_DATA_PREPARE_H

#include "runtime/core/Error.h"
#include "runtime/data/OutputFile.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

/// Called now and then with the bytes read of all; returns false to stop.
using ReadProgress = std::function<bool(uint64_t done, uint64_t total)>;

/// What meta.json says.
struct DataSummary {
  uint64_t vocabSize = 0; ///< of the tokenizer
  std::string tokenizer;  ///< name of the file beside meta.json
  std::string tokenizerSha256;
  uint64_t trainTokens = 0, valTokens = 0;
  uint64_t trainBytes = 0, valBytes = 0; ///< of text
  uint64_t documents = 0;
  std::optional<TokenId> eosId;

  /// The document itself, with a line end.
  std::string toJson() const;
};

/// Writes DIR/train.bin, val.bin (if there is validation data), tokenizer.json
/// and meta.json; train.mask and val.mask where prompts are not to be learnt.
/// They get their names in finish(), meta.json last; until then nothing that
/// was there is touched, and without finish() nothing is left.
class PreparedDataWriter {
public:
  enum class Split { Train, Val };

  /// Makes the folder. Errors: Q5008; Q4008 and Q5009 (no end token to append).
  static Expected<std::unique_ptr<PreparedDataWriter>>
  create(const std::string &folder, const Tokenizer &tokenizer, bool appendEos);
  ~PreparedDataWriter();

  /// Tokens of the current document, of `textBytes` bytes of text; the first
  /// `prompt` of them are not to be learnt.
  Status addTokens(const std::vector<TokenId> &ids, size_t prompt,
                   uint64_t textBytes, Split split);
  /// Ends the document: the end token.
  Status endDocument();

  /// From here on, tokens whose text begins at or behind `begin` bytes of the
  /// current document and before `end` go to val.bin instead (both moved on to
  /// the next line end, if there is one near).
  void divertToVal(uint64_t begin, uint64_t end);

  /// Errors: Q5001 when there are no training tokens.
  Expected<DataSummary> finish();

private:
  struct Part {
    std::unique_ptr<OutputFile> file, mask;
    uint64_t tokens = 0, bytes = 0;
    uint8_t bits = 0; ///< of the mask's last byte
    bool masked = false;
  };
  PreparedDataWriter() = default;
  Status open(Part &part, const std::string &name);
  Status emit(Part &part, TokenId id, bool learnt);
  Status finish(Part &part, const std::string &name);

  std::string folder;
  bool madeFolder = false, finished = false;
  const Tokenizer *tokenizer = nullptr;
  std::string tokenizerJson;
  std::optional<TokenId> eos;
  Part train, val;
  Split split = Split::Train;
  uint64_t documents = 0;
  uint64_t documentBytes = 0, divertedBytes = 0; // of the current document
  uint64_t position = 0;                         // in bytes of tokens
  uint64_t valBegin = 0, valEnd = 0;
  bool lineEnded = true, diverting = false;
};

struct PrepareOptions {
  std::vector<std::string>
      texts; ///< plain text, or .jsonl (see parseLine); gzip too
  std::string folder;
  std::string tokenizer; ///< as loadTokenizer takes it
  /// Part of the text kept for validation: of a plain file one stretch at a
  /// place chosen by the seed, of a .jsonl file single documents.
  double valFraction = 0.005;
  std::string valText; ///< a file of validation text; then nothing is split off
  uint64_t seed = 0;
  bool appendEos = false; ///< after each document (file, or line of .jsonl)
  int threads = 0;        ///< 0: one a processor; the result is the same
};

/// Nothing if `progress` stopped it. Reads in blocks: any size of text. Errors:
/// those above, Q5004 (a bad line of .jsonl), Q5001 (an empty file), Q5014
/// (damaged gzip).
Expected<std::optional<DataSummary>> prepareData(const PrepareOptions &options,
                                                 const ReadProgress &progress);

struct SynthOptions {
  std::string folder;
  uint64_t seed = 1;
  uint64_t bytes = 1500000; ///< of text, about
  uint64_t vocabSize = 512;
};

/// A self-made corpus of simple stories and sums with a tokenizer trained on
/// it. The same options give the same bytes everywhere.
Expected<DataSummary> synthesizeData(const SynthOptions &options);

/// Document `index` of that corpus, some hundred bytes of English.
std::string synthDocument(uint64_t seed, uint64_t index);

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_PREPARE_H
