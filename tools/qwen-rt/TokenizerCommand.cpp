//===- TokenizerCommand.cpp - qwen-rt tokenizer ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/core/Progress.h"
#include "runtime/core/Signals.h"
#include "runtime/data/Documents.h"
#include "runtime/data/OutputFile.h"
#include "runtime/tokenizer/Trainer.h"
#include "tools/qwen-rt/Command.h"

#include <cstdio>
#include <iostream>
#include <iterator>
#include <optional>

using namespace qrt;
using nlohmann::json;

namespace {

//===----------------------------------------------------------------------===//
// train
//===----------------------------------------------------------------------===//

struct TrainOptions {
  std::vector<std::string> texts;
  std::string output;
  TokenizerTrainerOptions trainer;
};

Expected<int> runTrain(const TrainOptions &options,
                       const CommonOptions &common) {
  catchStopSignals();
  QRT_ASSIGN_OR_RETURN(auto trainer, TokenizerTrainer::create(options.trainer));
  std::vector<TextFile> files;
  uint64_t total = 0, before = 0;
  for (const std::string &path : options.texts) {
    QRT_ASSIGN_OR_RETURN(TextFile file, TextFile::open(path));
    total += file.size();
    files.push_back(std::move(file));
  }
  std::optional<Progress> bar;
  auto progress = [&](uint64_t position) {
    if (!bar)
      bar.emplace("counting words", int64_t(total));
    bar->update(int64_t(before + position),
                formatBytes(double(before + position)));
    return !stopSignal();
  };
  for (TextFile &file : files) {
    QRT_ASSIGN_OR_RETURN(
        bool whole,
        readDocuments(
            file, [&](std::string_view text) { return trainer->feed(text); },
            [&] { return trainer->endDocument(); }, progress));
    if (!whole)
      return exitStatusOfSignal(stopSignal());
    before += file.size();
  }
  bar.reset();
  QRT_ASSIGN_OR_RETURN(auto tokenizer, trainer->train());
  QRT_ASSIGN_OR_RETURN(std::string text, tokenizer->toJson());
  QRT_ASSIGN_OR_RETURN(auto file, OutputFile::create(options.output));
  QRT_RETURN_IF_ERROR(file->write(text));
  QRT_RETURN_IF_ERROR(file->commit());
  if (common.json)
    std::printf("%s\n", jsonText({{"vocab_size", tokenizer->vocabSize()},
                                  {"tokenizer", options.output}})
                            .c_str());
  else
    std::printf("wrote %s: %zu tokens\n", options.output.c_str(),
                tokenizer->vocabSize());
  return 0;
}

void addTrain(CLI::App &parent, CommonOptions &common) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App *command = addCommand(
      parent, common, "train", "make a byte-level BPE vocabulary from text",
      "  qwen-rt tokenizer train novels.txt --vocab-size 8192 -o "
      "tokenizer.json\n"
      "  qwen-rt tokenizer train a.txt b.jsonl --vocab-size 32768 --pattern "
      "gpt-2 -o t.json\n");
  command
      ->add_option("TEXT", options->texts,
                   "plain text files, or .jsonl files with a \"text\" a line")
      ->required();
  command
      ->add_option("-o,--output", options->output,
                   "the tokenizer.json to write")
      ->required();
  command
      ->add_option("--vocab-size", options->trainer.vocabSize,
                   "ids in all: 256 bytes, merges and special tokens")
      ->required();
  command
      ->add_option("--pattern", options->trainer.pattern,
                   "how text is cut into words: qwen2, gpt-2 or llama-bpe")
      ->capture_default_str();
  command
      ->add_option("--special", options->trainer.special,
                   "a special token (repeatable); they get the last ids")
      ->allow_extra_args(false)
      ->capture_default_str();
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runTrain(*options, common); });
}

//===----------------------------------------------------------------------===//
// encode and decode
//===----------------------------------------------------------------------===//

struct CodeOptions {
  std::string tokenizer;
  bool lines = false;
  std::string text;
  bool hasText = false, addBos = false, skipSpecial = false;
  std::vector<TokenId> ids;
};

/// Calls `each`(value, where) for every line of stdin, a JSON value.
template <typename Each> Expected<int> forEachLine(Each each) {
  std::string line;
  for (size_t number = 1; std::getline(std::cin, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos)
      continue;
    std::string where = fmt::format("stdin:{}", number);
    auto value = parseJson(line, where);
    if (!value)
      return makeError(4010, where, "{}", value.error().message);
    QRT_RETURN_IF_ERROR(each(*value, where));
  }
  return 0;
}

std::string readStdin() {
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

Expected<int> runEncode(const CodeOptions &options) {
  QRT_ASSIGN_OR_RETURN(auto tokenizer, loadTokenizer(options.tokenizer));
  EncodeOptions encoding;
  encoding.addBos = options.addBos;
  auto print = [&](std::string_view text) -> Status {
    QRT_ASSIGN_OR_RETURN(auto ids, tokenizer->encode(text, encoding));
    std::string out = jsonText(ids) + "\n";
    std::fwrite(out.data(), 1, out.size(), stdout);
    return {};
  };
  if (options.lines)
    return forEachLine([&](const json &value, const std::string &where) {
      return value.is_string()
                 ? print(value.get_ref<const std::string &>())
                 : Status(makeError(4010, where, "the line is not a string"));
    });
  QRT_RETURN_IF_ERROR(print(options.hasText ? options.text : readStdin()));
  return 0;
}

/// A list of ids that the tokenizer can decode.
Expected<std::vector<TokenId>>
idsOf(const json &value, const Tokenizer &tokenizer, const std::string &where) {
  if (!value.is_array())
    return makeError(4010, where, "the ids are not a list: {}",
                     jsonText(value).substr(0, 80));
  std::vector<TokenId> ids;
  for (const json &id : value) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
      return makeError(4010, where, "{} is no token id",
                       jsonText(id).substr(0, 80));
    // An id without a token decodes to nothing: models have such rows.
    ids.push_back(id.get<TokenId>());
  }
  return ids;
}

Expected<int> runDecode(const CodeOptions &options) {
  QRT_ASSIGN_OR_RETURN(auto tokenizer, loadTokenizer(options.tokenizer));
  DecodeOptions decoding;
  decoding.skipSpecial = options.skipSpecial;
  if (options.lines)
    return forEachLine(
        [&](const json &value, const std::string &where) -> Status {
          QRT_ASSIGN_OR_RETURN(auto ids, idsOf(value, *tokenizer, where));
          // Only ASCII: some readers take U+2028 and U+0085 for line ends.
          std::string out =
              json(tokenizer->decode(ids, decoding)).dump(-1, ' ', true) + "\n";
          std::fwrite(out.data(), 1, out.size(), stdout);
          return {};
        });
  std::vector<TokenId> ids = options.ids;
  if (ids.empty()) {
    QRT_ASSIGN_OR_RETURN(json value, parseJson(readStdin(), "stdin"));
    QRT_ASSIGN_OR_RETURN(ids, idsOf(value, *tokenizer, "stdin"));
  }
  // The bytes as they are: text that is no UTF-8 comes back unchanged.
  std::string out = tokenizer->decodeBytes(ids, decoding);
  std::fwrite(out.data(), 1, out.size(), stdout);
  return 0;
}

void addTokenizerOption(CLI::App &command, CodeOptions &options) {
  command
      .add_option(
          "--tokenizer", options.tokenizer,
          "a tokenizer.json, a directory that holds one, or a GGUF file")
      ->required();
}

void addEncode(CLI::App &parent, CommonOptions &common) {
  auto options = std::make_shared<CodeOptions>();
  CLI::App *command = addCommand(
      parent, common, "encode", "text to a JSON list of ids",
      "  qwen-rt tokenizer encode --tokenizer Qwen3-0.6B/ \"Hello\"\n"
      "  qwen-rt tokenizer encode --tokenizer t.json < text.txt\n"
      "  qwen-rt tokenizer encode --tokenizer t.json --jsonl < "
      "strings.jsonl\n");
  addTokenizerOption(*command, *options);
  auto *text = command->add_option_function<std::string>(
      "TEXT",
      [options](const std::string &value) {
        options->text = value;
        options->hasText = true;
      },
      "the text; without it, all of stdin");
  command
      ->add_flag("--jsonl", options->lines,
                 "one JSON string a line in, one list of ids a line out")
      ->excludes(text);
  command->add_flag("--add-bos", options->addBos,
                    "begin with the beginning-of-text token, if there is one");
  onRun(*command, common, [options] { return runEncode(*options); });
}

void addDecode(CLI::App &parent, CommonOptions &common) {
  auto options = std::make_shared<CodeOptions>();
  CLI::App *command = addCommand(
      parent, common, "decode", "ids to text",
      "  qwen-rt tokenizer decode --tokenizer t.json 9707 11 1879\n"
      "  echo '[9707,11,1879]' | qwen-rt tokenizer decode --tokenizer t.json\n"
      "  qwen-rt tokenizer decode --tokenizer t.json --jsonl < ids.jsonl\n");
  addTokenizerOption(*command, *options);
  auto *ids = command
                  ->add_option("IDS", options->ids,
                               "ids; without them, a JSON list on stdin")
                  ->check(CLI::NonNegativeNumber);
  command
      ->add_flag("--jsonl", options->lines,
                 "one list of ids a line in, one JSON string a line out")
      ->excludes(ids);
  command->add_flag("--skip-special", options->skipSpecial,
                    "leave special tokens out");
  onRun(*command, common, [options] { return runDecode(*options); });
}

} // namespace

void qrt::addTokenizerCommand(CLI::App &app, CommonOptions &common) {
  CLI::App *command = addCommand(
      app, common, "tokenizer", "train and try out tokenizers",
      "  qwen-rt tokenizer train novels.txt --vocab-size 8192 -o "
      "tokenizer.json\n"
      "  qwen-rt tokenizer encode --tokenizer tokenizer.json \"Hello\"\n");
  command->require_subcommand(1);
  addTrain(*command, common);
  addEncode(*command, common);
  addDecode(*command, common);
}
