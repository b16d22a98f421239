//===- DataCommand.cpp - qwen-rt data -------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Progress.h"
#include "runtime/core/Signals.h"
#include "runtime/data/Prepare.h"
#include "tools/qwen-rt/Command.h"

#include <cstdio>
#include <optional>

using namespace qrt;

namespace {

void print(const DataSummary &summary, const std::string &folder, bool json) {
  if (json) {
    std::fputs(summary.toJson().c_str(), stdout);
    return;
  }
  std::printf("wrote %s: %llu training and %llu validation tokens of %llu "
              "documents, vocabulary %llu\n",
              folder.c_str(), (unsigned long long)summary.trainTokens,
              (unsigned long long)summary.valTokens,
              (unsigned long long)summary.documents,
              (unsigned long long)summary.vocabSize);
  if (summary.valTokens == 0)
    std::printf("there is no validation data: val.bin was not written\n");
}

Expected<int> runPrepare(const PrepareOptions &options,
                         const CommonOptions &common) {
  catchStopSignals();
  std::optional<Progress> bar;
  auto progress = [&](uint64_t done, uint64_t total) {
    if (!bar)
      bar.emplace("preparing", int64_t(total));
    bar->update(int64_t(done), formatBytes(double(done)));
    return !stopSignal();
  };
  QRT_ASSIGN_OR_RETURN(std::optional<DataSummary> summary,
                       prepareData(options, progress));
  bar.reset();
  if (!summary)
    return exitStatusOfSignal(stopSignal());
  print(*summary, options.folder, common.json);
  return 0;
}

void addPrepare(CLI::App &parent, CommonOptions &common) {
  auto options = std::make_shared<PrepareOptions>();
  CLI::App *command = addCommand(
      parent, common, "prepare", "turn text into token files for training",
      "  qwen-rt data prepare novels.txt -o d --tokenizer tokenizer.json\n"
      "  qwen-rt data prepare a.jsonl b.jsonl -o d --tokenizer Qwen3-0.6B/ "
      "--append-eos\n"
      "  qwen-rt data prepare train.txt --val valid.txt -o d --tokenizer "
      "t.gguf\n");
  command
      ->add_option("TEXT", options->texts,
                   "plain text files, or .jsonl files with a \"text\" (or a "
                   "\"prompt\" and a \"completion\") a line; gzip too")
      ->required();
  command
      ->add_option("-o,--output", options->folder,
                   "the folder for train.bin, val.bin, tokenizer.json and "
                   "meta.json")
      ->required();
  command
      ->add_option(
          "--tokenizer", options->tokenizer,
          "a tokenizer.json, a directory that holds one, or a GGUF file")
      ->required();
  auto *fraction =
      command
          ->add_option("--val-fraction", options->valFraction,
                       "the part of the text that is kept for validation")
          ->check(CLI::Range(0.0, 0.999))
          ->capture_default_str();
  command->add_option("--val", options->valText, "a file of validation text")
      ->excludes(fraction);
  command
      ->add_option("--seed", options->seed,
                   "chooses what is kept for validation")
      ->capture_default_str();
  command
      ->add_option("--threads,-t", options->threads,
                   "threads that encode (default: one a processor)")
      ->check(CLI::Range(1, 4096));
  command->add_flag("--append-eos", options->appendEos,
                    "put the end token behind each document (a file, or a line "
                    "of .jsonl)");
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runPrepare(*options, common); });
}

void addSynth(CLI::App &parent, CommonOptions &common) {
  auto options = std::make_shared<SynthOptions>();
  CLI::App *command =
      addCommand(parent, common, "synth",
                 "write a small self-made corpus, prepared for training",
                 "  qwen-rt data synth -o d\n");
  command
      ->add_option("-o,--output", options->folder,
                   "the folder for train.bin, val.bin, tokenizer.json and "
                   "meta.json")
      ->required();
  command->add_option("--seed", options->seed, "chooses the stories")
      ->capture_default_str();
  addJsonOption(*command, common);
  onRun(*command, common, [options, &common]() -> Expected<int> {
    QRT_ASSIGN_OR_RETURN(DataSummary summary, synthesizeData(*options));
    print(summary, options->folder, common.json);
    return 0;
  });
}

} // namespace

void qrt::addDataCommand(CLI::App &app, CommonOptions &common) {
  CLI::App *command =
      addCommand(app, common, "data", "make token files for training",
                 "  qwen-rt data prepare novels.txt -o d --tokenizer "
                 "tokenizer.json\n"
                 "  qwen-rt data synth -o d\n");
  command->require_subcommand(1);
  addPrepare(*command, common);
  addSynth(*command, common);
}
