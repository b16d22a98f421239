//===- Samples.cpp - Texts of a model in training -------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwen-rt/Samples.h"
#include "runtime/core/Signals.h"

using namespace qrt;

Expected<Samples> Samples::create(const Manifest &manifest,
                                  const ManifestDefaults &settings,
                                  const std::string &tokenizer) {
  if (manifest.findEntry("prefill") < 0 || manifest.findEntry("decode") < 0)
    return makeError(8013, "",
                     "eval.sample_every: the module cannot generate; compile "
                     "it without --for, or with --for train,infer");
  if (manifest.readsQuantizedWeights("decode"))
    return makeError(8013, "",
                     "eval.sample_every: the module generates from quantized "
                     "weights, which training does not make; compile it "
                     "without infer.weights, and another for inference");
  if (tokenizer.empty())
    return makeError(8013, "",
                     "eval.sample_every: there is no tokenizer.json beside the "
                     "data or the weights");
  Samples result;
  QRT_ASSIGN_OR_RETURN(result.tokenizer,
                       tokenizerFromJson(tokenizer, "tokenizer.json"));
  const Tokenizer &t = *result.tokenizer;
  result.prompts = settings.eval.samplePrompts;
  if (result.prompts.empty())
    result.prompts.push_back("");
  for (const std::string &prompt : result.prompts) {
    EncodeOptions encoding;
    encoding.addBos = t.addsBos();
    QRT_ASSIGN_OR_RETURN(auto tokens, t.encode(prompt, encoding));
    std::vector<int32_t> ids(tokens.begin(), tokens.end());
    if (ids.empty() && t.bosId())
      ids.push_back(*t.bosId());
    else if (ids.empty() && t.eosId())
      ids.push_back(*t.eosId());
    if (ids.empty())
      return makeError(8013, "",
                       "eval.sample_every: the tokenizer has no token to begin "
                       "a text with; give eval.sample_prompts");
    result.promptIds.push_back(std::move(ids));
  }
  GenerateRequest &request = result.request;
  request.maxTokens = settings.eval.sampleTokens;
  request.sampling.temperature = 0.8;
  request.sampling.seed = settings.train.seed;
  if (t.eosId())
    request.eos.push_back(*t.eosId());
  auto count =
      std::min<int64_t>(static_cast<int64_t>(t.vocabSize()), manifest.vocab());
  request.tokenCount = count;
  for (int64_t id = 0; id < count; ++id)
    request.valid.push_back(t.hasToken(static_cast<TokenId>(id)));
  request.onToken = [](int32_t) { return stopSignal() == 0; };
  return result;
}

Status Samples::bind(SessionGroup &session) {
  QRT_ASSIGN_OR_RETURN(generator, Generator::create(session));
  return Status::success();
}

Expected<std::vector<SampleText>> Samples::generate() {
  std::vector<SampleText> texts;
  for (size_t i = 0; i < prompts.size(); ++i) {
    request.prompt = promptIds[i];
    request.request = i;
    QRT_ASSIGN_OR_RETURN(GenerateResult result, generator->generate(request));
    DecodeOptions decoding;
    decoding.skipSpecial = decoding.continuation = true;
    texts.push_back(
        {prompts[i],
         tokenizer->decode({result.ids.begin(), result.ids.end()}, decoding)});
  }
  return texts;
}
