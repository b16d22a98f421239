//===- PreparedDataWriter.cpp - Writing a folder of token files -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Prepare.h"
#include "runtime/data/Sha256.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace qrt {

namespace fs = std::filesystem;

namespace {
/// How far the border of a stretch of validation data moves to begin at a line.
constexpr uint64_t lineSearchBytes = 4096;
} // namespace

std::string DataSummary::toJson() const {
  nlohmann::ordered_json meta;
  meta["vocab_size"] = vocabSize;
  meta["tokenizer"] = tokenizer;
  meta["tokenizer_sha256"] = tokenizerSha256;
  meta["dtype"] = "uint32";
  meta["train_tokens"] = trainTokens;
  meta["val_tokens"] = valTokens;
  meta["train_bytes"] = trainBytes;
  meta["val_bytes"] = valBytes;
  meta["documents"] = documents;
  meta["eos_id"] = nullptr;
  if (eosId)
    meta["eos_id"] = *eosId;
  return meta.dump(2) + "\n";
}

Expected<std::unique_ptr<PreparedDataWriter>>
PreparedDataWriter::create(const std::string &folder,
                           const Tokenizer &tokenizer, bool appendEos) {
  auto writer = std::unique_ptr<PreparedDataWriter>(new PreparedDataWriter);
  writer->tokenizer = &tokenizer;
  if (appendEos && !tokenizer.eosId())
    return makeError(5009, "",
                     "the tokenizer does not tell which token ends a document; "
                     "leave --append-eos away, or put a tokenizer_config.json "
                     "with \"eos_token\" beside it");
  if (appendEos)
    writer->eos = tokenizer.eosId();
  QRT_ASSIGN_OR_RETURN(writer->tokenizerJson, tokenizer.toJson());

  std::error_code failure;
  fs::path path(folder);
  writer->madeFolder = !fs::exists(path, failure);
  fs::create_directories(path, failure);
  if (failure || !fs::is_directory(path, failure))
    return makeError(5008, folder, "cannot make the folder: {}",
                     failure ? failure.message()
                             : std::string("there is a file of this name"));
  writer->folder = folder + (folder.back() == '/' ? "" : "/");
  QRT_RETURN_IF_ERROR(writer->open(writer->train, "train"));
  QRT_RETURN_IF_ERROR(writer->open(writer->val, "val"));
  return writer;
}

PreparedDataWriter::~PreparedDataWriter() {
  train = Part();
  val = Part();
  if (!finished && madeFolder)
    ::rmdir(folder.c_str()); // fails, as it should, if something is in it
}

Status PreparedDataWriter::open(Part &part, const std::string &name) {
  QRT_ASSIGN_OR_RETURN(part.file, OutputFile::create(folder + name + ".bin"));
  QRT_ASSIGN_OR_RETURN(part.mask, OutputFile::create(folder + name + ".mask"));
  return {};
}

Status PreparedDataWriter::emit(Part &part, TokenId id, bool learnt) {
  char bytes[4] = {char(id), char(id >> 8), char(id >> 16), char(id >> 24)};
  QRT_RETURN_IF_ERROR(part.file->write(std::string_view(bytes, 4)));
  part.masked |= !learnt;
  part.bits = uint8_t(part.bits | unsigned(learnt) << part.tokens % 8);
  if (++part.tokens % 8 != 0)
    return {};
  char full = char(part.bits);
  part.bits = 0;
  return part.mask->write(std::string_view(&full, 1));
}

void PreparedDataWriter::divertToVal(uint64_t begin, uint64_t end) {
  valBegin = begin;
  valEnd = end;
}

Status PreparedDataWriter::addTokens(const std::vector<TokenId> &ids,
                                     size_t prompt, uint64_t textBytes,
                                     Split to) {
  split = to;
  documentBytes += textBytes;
  for (size_t i = 0; i < ids.size(); ++i) {
    TokenId id = ids[i];
    if (valEnd > valBegin) {
      uint64_t border = diverting ? valEnd : valBegin;
      bool reached = position >= border &&
                     (lineEnded || position >= border + lineSearchBytes);
      if (reached) {
        diverting = !diverting;
        if (!diverting)
          valEnd = valBegin = 0; // done with this document
      }
      std::string_view text = tokenizer->bytesOf(id);
      uint64_t bytes = tokenizer->byteLength(id);
      position += bytes;
      if (!text.empty())
        lineEnded = text.back() == '\n';
      if (diverting)
        divertedBytes += bytes;
    }
    QRT_RETURN_IF_ERROR(
        emit(diverting || split == Split::Val ? val : train, id, i >= prompt));
  }
  return {};
}

Status PreparedDataWriter::endDocument() {
  if (eos)
    QRT_RETURN_IF_ERROR(
        emit(diverting || split == Split::Val ? val : train, *eos, true));
  // Normalisation can make the bytes of tokens more than those of the text.
  uint64_t diverted = std::min(divertedBytes, documentBytes);
  (split == Split::Val ? val : train).bytes += documentBytes - diverted;
  val.bytes += diverted;
  ++documents;
  documentBytes = divertedBytes = position = valBegin = valEnd = 0;
  lineEnded = true;
  diverting = false;
  return {};
}

Expected<DataSummary> PreparedDataWriter::finish() {
  if (train.tokens == 0)
    return makeError(5001, "", "the text holds no training tokens");
  DataSummary summary;
  summary.vocabSize = tokenizer->vocabSize();
  summary.tokenizer = "tokenizer.json";
  summary.tokenizerSha256 = sha256Hex(tokenizerJson);
  summary.trainTokens = train.tokens;
  summary.valTokens = val.tokens;
  summary.trainBytes = train.bytes;
  summary.valBytes = val.bytes;
  summary.documents = documents;
  summary.eosId = tokenizer->eosId();

  QRT_ASSIGN_OR_RETURN(auto json,
                       OutputFile::create(folder + "tokenizer.json"));
  QRT_RETURN_IF_ERROR(json->write(tokenizerJson));
  QRT_ASSIGN_OR_RETURN(auto meta, OutputFile::create(folder + "meta.json"));
  QRT_RETURN_IF_ERROR(meta->write(summary.toJson()));
  // Everything is on the disk before anything gets its name.
  for (Part *part : {&train, &val}) {
    char rest = char(part->bits);
    if (part->tokens % 8)
      QRT_RETURN_IF_ERROR(part->mask->write(std::string_view(&rest, 1)));
    QRT_RETURN_IF_ERROR(part->file->flush());
    QRT_RETURN_IF_ERROR(part->mask->flush());
  }
  QRT_RETURN_IF_ERROR(json->flush());
  QRT_RETURN_IF_ERROR(meta->flush());
  // An old meta.json must not describe new tokens, not for a moment.
  ::unlink((folder + "meta.json").c_str());
  QRT_RETURN_IF_ERROR(finish(train, "train"));
  QRT_RETURN_IF_ERROR(finish(val, "val"));
  QRT_RETURN_IF_ERROR(json->commit());
  QRT_RETURN_IF_ERROR(meta->commit());
  finished = true;
  return summary;
}

/// Gives the files their names; those without contents disappear, and so does
/// what an earlier run has left of them.
Status PreparedDataWriter::finish(Part &part, const std::string &name) {
  std::string mask = folder + name + ".mask", tokens = folder + name + ".bin";
  ::unlink(mask.c_str());
  if (part.tokens == 0) {
    part = Part();
    ::unlink(tokens.c_str());
    return {};
  }
  QRT_RETURN_IF_ERROR(part.file->commit());
  if (part.masked)
    return part.mask->commit();
  part.mask.reset();
  return {};
}

} // namespace qrt
