//===- EvalCommand.cpp - qwen-rt eval -------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/core/Progress.h"
#include "runtime/core/Signals.h"
#include "runtime/train/Evaluate.h"
#include "tools/qwen-rt/Model.h"

#include <cstdio>

using namespace qrt;
using nlohmann::json;

namespace {

struct EvalCommandOptions {
  std::string model, weights, tokenizer, dataType;
  std::vector<std::string> data;
};

Expected<int> runEval(const EvalCommandOptions &options,
                      const CommonOptions &common) {
  QRT_ASSIGN_OR_RETURN(Model model, openModel(options.model, common));
  const Manifest &manifest = model.manifest();
  int index = manifest.findEntry("eval_loss");
  if (index < 0)
    return makeError(6041, options.model,
                     "the module has no entry point 'eval_loss'; compile it "
                     "with --for train");
  int64_t sequence = manifest.entries[index].maxExtent("sequence");
  // What inference will read is what is measured.
  bool quantized = manifest.readsQuantizedWeights("logits");
  std::vector<DataEntry> entries;
  for (const std::string &file : options.data)
    entries.push_back({file, 0, idWidth(options.dataType)});
  QRT_ASSIGN_OR_RETURN(TokenDataset dataset,
                       TokenDataset::open(entries, sequence, manifest.vocab()));
  QRT_RETURN_IF_ERROR(openWeights(model, options.weights));
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer,
                       findTokenizer(model, options.tokenizer));
  QRT_ASSIGN_OR_RETURN(
      std::unique_ptr<SessionGroup> session,
      createSession(model, {quantized ? "logits" : "eval_loss"}));
  ReadingOrder order(dataset);
  EvalOptions evaluation;
  evaluation.byteLengths = byteLengthsOf(tokenizer.get(), manifest.vocab());
  Progress progress("eval", order.sequences());
  evaluation.progress = [&](int64_t done, int64_t total) {
    progress.update(done, fmt::format("{}/{} sequences", done, total));
  };
  catchStopSignals();
  QRT_ASSIGN_OR_RETURN(EvalResult result,
                       quantized ? evaluateLogits(*session, order, sequence,
                                                  evaluation,
                                                  parallelTasks(model.device()))
                                 : evaluate(*session, order, evaluation));
  progress.finish();
  if (result.stopped)
    return exitStatusOfSignal(stopSignal());
  if (result.tokens == 0)
    return makeError(8006, options.data.front(),
                     "there is nothing to evaluate: no token follows another");
  auto bits = result.bitsPerByte();
  if (common.json) {
    std::printf("%s\n",
                jsonText({{"loss", result.loss()},
                          {"accuracy", result.accuracy()},
                          {"perplexity", result.perplexity()},
                          {"bits_per_byte", bits ? json(*bits) : json(nullptr)},
                          {"tokens", result.tokens}})
                    .c_str());
    return 0;
  }
  std::printf("loss %.6f | accuracy %.2f%% | perplexity %.4f | bits per byte "
              "%s | %lld tokens\n",
              result.loss(), result.accuracy() * 100, result.perplexity(),
              bits ? fmt::format("{:.4f}", *bits).c_str() : "unknown",
              static_cast<long long>(result.tokens));
  return 0;
}

} // namespace

void qrt::addEvalCommand(CLI::App &app, CommonOptions &common) {
  auto options = std::make_shared<EvalCommandOptions>();
  CLI::App *command = addCommand(
      app, common, "eval", "measure loss, accuracy, perplexity, bits per byte",
      "  qwen-rt eval --data d/val.bin\n"
      "  qwen-rt eval model.so --weights Qwen3-0.6B/ --data val.bin --json\n");
  addModelArgument(*command, options->model);
  command->add_option("--weights", options->weights,
                      "weights (default: the newest checkpoint)");
  command->add_option("--data", options->data, "token files")->required();
  addDataTypeOption(*command, options->dataType);
  command->add_option("--tokenizer", options->tokenizer,
                      "for bits per byte (default: beside the weights)");
  addDeviceOptions(*command, common);
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runEval(*options, common); });
}
