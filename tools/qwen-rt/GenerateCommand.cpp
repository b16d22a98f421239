//===- GenerateCommand.cpp - qwen-rt generate -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/core/Progress.h"
#include "runtime/core/Signals.h"
#include "runtime/infer/Defaults.h"
#include "runtime/infer/Generator.h"
#include "runtime/tokenizer/Utf8.h"
#include "runtime/weights/File.h"
#include "tools/qwen-rt/Model.h"

#include <cstdio>
#include <random>

using namespace qrt;
using nlohmann::json;

namespace {

struct GenerateOptions {
  std::string model, weights, tokenizer, prompt, promptFile;
  std::vector<int64_t> promptIds;
  int64_t count = 256, context = 0;
  std::optional<double> temperature, topP, minP, repetitionPenalty;
  std::optional<int64_t> topK;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool ignoreEos = false, hasPrompt = false;
};

template <typename T> void override(T &value, const std::optional<T> &given) {
  if (given)
    value = *given;
}

double perSecond(int64_t count, double seconds) {
  return seconds > 0 ? double(count) / seconds : 0;
}

/// The prompt's ids, from whichever form it was given in.
Expected<std::vector<int32_t>> promptIds(const GenerateOptions &options,
                                         const Tokenizer *tokenizer) {
  std::vector<int32_t> ids;
  if (!options.promptIds.empty()) {
    for (int64_t id : options.promptIds) {
      if (id < 0 || id > INT32_MAX)
        return makeError(7031, "", "--prompt-ids: {} is no token id", id);
      ids.push_back(static_cast<int32_t>(id));
    }
    return ids;
  }
  if (!tokenizer)
    return makeError(7033, "",
                     "no tokenizer: none was found beside the weights; give "
                     "--tokenizer T, or the prompt as --prompt-ids");
  std::string text = options.prompt;
  if (!options.promptFile.empty()) {
    QRT_ASSIGN_OR_RETURN(text, readSmallFile(options.promptFile, 64 << 20));
  }
  EncodeOptions encoding;
  encoding.addBos = tokenizer->addsBos();
  QRT_ASSIGN_OR_RETURN(auto tokens, tokenizer->encode(text, encoding));
  ids.assign(tokens.begin(), tokens.end());
  // An empty text is a fair prompt where there is a token to begin with.
  if (ids.empty() && tokenizer->bosId())
    ids.push_back(static_cast<int32_t>(*tokenizer->bosId()));
  else if (ids.empty() && tokenizer->eosId())
    ids.push_back(static_cast<int32_t>(*tokenizer->eosId()));
  return ids;
}

Expected<int> runGenerate(const GenerateOptions &options,
                          const CommonOptions &common) {
  QRT_ASSIGN_OR_RETURN(Model model, openModel(options.model, common));
  QRT_RETURN_IF_ERROR(openWeights(model, options.weights));
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer,
                       findTokenizer(model, options.tokenizer));
  const std::string &directory = model.weights->directory();
  QRT_ASSIGN_OR_RETURN(json generationConfig,
                       readOptionalJson(directory, "generation_config.json"));
  QRT_ASSIGN_OR_RETURN(json modelConfig,
                       readOptionalJson(directory, "config.json"));
  QRT_ASSIGN_OR_RETURN(GenerationDefaults defaults,
                       readGenerationDefaults(generationConfig,
                                              modelConfig.is_null()
                                                  ? model.manifest().hfConfig
                                                  : modelConfig,
                                              directory));

  GenerateRequest request;
  QRT_ASSIGN_OR_RETURN(request.prompt, promptIds(options, tokenizer.get()));
  request.sampling = defaults.sampling;
  override(request.sampling.temperature, options.temperature);
  override(request.sampling.topK, options.topK);
  override(request.sampling.topP, options.topP);
  override(request.sampling.minP, options.minP);
  override(request.sampling.repetitionPenalty, options.repetitionPenalty);
  QRT_RETURN_IF_ERROR(request.sampling.check());
  if (options.seed) {
    request.sampling.seed = *options.seed;
  } else {
    // Drawn small enough for every JSON reader.
    std::random_device random;
    request.sampling.seed = random();
  }
  request.maxTokens = options.count < 0 ? INT64_MAX : options.count;
  request.context = options.context;
  request.ignoreEos = options.ignoreEos;
  request.eos = defaults.eos;
  request.stop = options.stop;
  if (tokenizer) {
    if (request.eos.empty() && tokenizer->eosId())
      request.eos.push_back(static_cast<int32_t>(*tokenizer->eosId()));
    auto count = static_cast<int64_t>(tokenizer->vocabSize());
    request.tokenCount = count;
    for (int64_t id = 0; id < count; ++id)
      request.valid.push_back(tokenizer->hasToken(static_cast<TokenId>(id)));
    request.textOf = [&](int32_t id) {
      return tokenizer->isSpecial(id) ? std::string()
                                      : std::string(tokenizer->bytesOf(id));
    };
  } else if (!options.stop.empty()) {
    return makeError(7033, "", "--stop needs a tokenizer; give --tokenizer T");
  }

  QRT_ASSIGN_OR_RETURN(std::unique_ptr<SessionGroup> session,
                       createSession(model, {"prefill", "decode"}));
  QRT_ASSIGN_OR_RETURN(Generator generator, Generator::create(*session));

  // A stop string may take back what looks final, so with one the text is
  // printed at the end.
  bool streams = !common.json && options.stop.empty();
  std::optional<StreamDecoder> decoder;
  DecodeOptions decoding;
  decoding.skipSpecial = decoding.continuation = true;
  if (tokenizer)
    decoder.emplace(*tokenizer, decoding);
  catchStopSignals();
  request.onToken = [&](int32_t id) {
    if (streams) {
      std::string text = decoder ? decoder->push(id) : fmt::format("{} ", id);
      std::fputs(text.c_str(), stdout);
      std::fflush(stdout);
    }
    return stopSignal() == 0;
  };
  QRT_ASSIGN_OR_RETURN(GenerateResult result, generator.generate(request));

  std::string text = toValidUtf8(result.text);
  double promptSpeed = perSecond(static_cast<int64_t>(request.prompt.size()),
                                 result.promptSeconds);
  double decodeSpeed = perSecond(result.decodedTokens, result.decodeSeconds);
  if (common.json) {
    json document = {
        {"prompt_ids", request.prompt},
        {"ids", result.ids},
        {"text", tokenizer ? json(text) : json(nullptr)},
        {"stop_reason", nameOf(result.reason)},
        {"seed", request.sampling.seed},
        {"timings",
         {{"prompt_tokens_per_s", promptSpeed},
          {"decode_tokens_per_s",
           result.decodedTokens ? json(decodeSpeed) : json(nullptr)},
          {"first_token_s", result.ids.empty()
                                ? json(nullptr)
                                : json(result.firstTokenSeconds)}}}};
    std::printf("%s\n", jsonText(document).c_str());
  } else {
    if (!streams)
      std::fwrite(text.data(), 1, text.size(), stdout);
    else if (decoder)
      std::fputs(decoder->finish().c_str(), stdout);
    std::fputc('\n', stdout);
    std::fflush(stdout);
    std::fprintf(
        stderr,
        "[ seed %llu | prompt: %zu tokens, %.1f t/s | generation: %zu tokens, "
        "%.1f t/s | stop: %s ]\n",
        static_cast<unsigned long long>(request.sampling.seed),
        request.prompt.size(), promptSpeed, result.ids.size(), decodeSpeed,
        std::string(nameOf(result.reason)).c_str());
  }
  if (int signal = stopSignal())
    return exitStatusOfSignal(signal);
  return 0;
}

} // namespace

void qrt::addGenerateCommand(CLI::App &app, CommonOptions &common) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App *command = addCommand(
      app, common, "generate", "continue a text",
      "  qwen-rt generate -p \"Once upon a time\" -n 64\n"
      "  qwen-rt generate model.so --weights Qwen3-0.6B/ -p Hi --temp 0\n"
      "  qwen-rt generate model.so --weights w.gguf --prompt-ids 1,2,3 "
      "--json\n");
  addModelArgument(*command, options->model);
  command->add_option("--weights", options->weights,
                      "safetensors file or index, Hugging Face directory, "
                      "checkpoint, GGUF file, or random:SEED (default: the "
                      "newest checkpoint)");
  command->add_option("--tokenizer", options->tokenizer,
                      "tokenizer.json, a directory that holds one, or a GGUF "
                      "file (default: beside the weights)");
  CLI::Option_group *prompt = command->add_option_group("prompt");
  prompt->add_option("--prompt,-p", options->prompt, "the text to continue");
  prompt->add_option("--prompt-file,-f", options->promptFile,
                     "a file with the text");
  prompt
      ->add_option("--prompt-ids", options->promptIds,
                   "the prompt as token ids, separated by commas")
      ->delimiter(',');
  prompt->require_option(1);
  command->add_option("--n-predict,-n", options->count,
                      "most new tokens (default 256; -1: until the context is "
                      "full)");
  command->add_option("--temperature,--temp", options->temperature,
                      "0: always the most likely token");
  command->add_option("--top-k", options->topK, "keep the k most likely");
  command->add_option("--top-p", options->topP,
                      "keep the smallest set of this probability");
  command->add_option(
      "--min-p", options->minP,
      "keep tokens of this share of the best one's probability");
  command->add_option("--repetition-penalty,--repeat-penalty",
                      options->repetitionPenalty,
                      "divide logits of tokens that occurred (1: off)");
  command->add_option("--seed,-s", options->seed,
                      "of the random choice (default: drawn and printed)");
  command
      ->add_option("--stop", options->stop,
                   "end before this text (may be repeated)")
      ->allow_extra_args(false);
  command->add_flag("--ignore-eos", options->ignoreEos,
                    "go on after an end-of-sequence token");
  command->add_option("--ctx-size,-c", options->context,
                      "context in tokens (default: what the module has)");
  addDeviceOptions(*command, common);
  addJsonOption(*command, common);
  onRun(*command, common,
        [options, &common] { return runGenerate(*options, common); });
}
