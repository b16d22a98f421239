//===- Generator.cpp - Continues a sequence of tokens ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/infer/Generator.h"

#include <algorithm>
#include <chrono>

using namespace qrt;

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Where the earliest of the stop strings begins in `text`, looking only at
/// matches that end behind `from`; npos if there is none.
size_t findStop(const std::string &text, const std::vector<std::string> &stops,
                size_t from) {
  size_t found = std::string::npos;
  for (const std::string &stop : stops) {
    if (stop.empty())
      continue;
    size_t begin = from >= stop.size() ? from - stop.size() + 1 : 0;
    found = std::min(found, text.find(stop, begin));
  }
  return found;
}

} // namespace

std::string_view qrt::nameOf(StopReason reason) {
  constexpr std::string_view names[] = {"eos", "stop", "length", "context"};
  return names[static_cast<int>(reason)];
}

Expected<Generator> Generator::create(SessionGroup &session) {
  Generator generator;
  const Manifest &manifest = session.manifest();
  int prefill = manifest.findEntry("prefill");
  int decode = manifest.findEntry("decode");
  if (prefill < 0 || decode < 0)
    return makeError(6041, session.module().path(),
                     "the module is not compiled for inference (it has no "
                     "entry point '{}'); compile it with --for infer",
                     prefill < 0 ? "prefill" : "decode");
  const EntryInfo &entry = manifest.entries[prefill];
  const ArgInfo *logits = entry.findArg(ArgRole::Output, "logits");
  if (!logits || logits->shape.empty() || logits->dtype != DType::F32)
    return makeError(6016, session.module().path(),
                     "damaged module: prefill has no output logits");
  generator.lastLogits.resize(logits->shape.back().size);
  for (const char *name : {"prefill", "decode"}) {
    QRT_ASSIGN_OR_RETURN(GroupCall call, session.prepare(name));
    generator.calls.push_back(std::move(call));
  }
  generator.maxContext = manifest.defaults.infer.context;
  generator.maxPrefill = entry.maxExtent("sequence");
  return generator;
}

Status Generator::feed(const int32_t *tokens, int64_t count, int64_t start) {
  for (int64_t done = 0; done < count;) {
    int64_t chunk = std::min(count - done, maxPrefill);
    GroupCall &call = calls[chunk == 1 ? 1 : 0];
    auto rowStart = static_cast<int32_t>(start + done);
    auto rowLength = static_cast<int32_t>(chunk);
    call.bindInput("tokens", tokens + done);
    call.bindInput("start", &rowStart);
    call.bindInput("length", &rowLength);
    call.bindOutput("logits", lastLogits.data());
    call.setExtent("batch", 1);
    call.setExtent("sequence", chunk);
    QRT_RETURN_IF_ERROR(call.run());
    done += chunk;
  }
  return Status::success();
}

Expected<GenerateResult> Generator::generate(const GenerateRequest &request) {
  QRT_RETURN_IF_ERROR(request.sampling.check());
  int64_t context = request.context > 0 ? request.context : maxContext;
  if (context > maxContext)
    return makeError(7032, "",
                     "a context of {} tokens is more than the module's {}; "
                     "compile it with --set infer.context={}",
                     context, maxContext, context);
  auto promptLength = static_cast<int64_t>(request.prompt.size());
  if (promptLength == 0)
    return makeError(7031, "", "the prompt has no tokens");
  if (promptLength > context)
    return makeError(7032, "",
                     "the prompt has {} tokens, more than the context of {}",
                     promptLength, context);
  for (int32_t id : request.prompt)
    if (id < 0 || id >= vocab())
      return makeError(7031, "",
                       "token id {} of the prompt is not in the model's "
                       "vocabulary of {}",
                       id, vocab());

  Sampler sampler(request.sampling,
                  request.tokenCount > 0 ? request.tokenCount : vocab(),
                  request.valid, request.request);
  for (int32_t id : request.prompt)
    sampler.accept(id);

  GenerateResult result;
  auto begin = Clock::now();
  QRT_RETURN_IF_ERROR(feed(request.prompt.data(), promptLength, 0));
  result.promptSeconds = secondsSince(begin);
  Clock::time_point first{};
  for (int64_t position = promptLength;; ++position) {
    auto count = static_cast<int64_t>(result.ids.size());
    if (count >= request.maxTokens) {
      result.reason = StopReason::Length;
      break;
    }
    if (position >= context) {
      result.reason = StopReason::Context;
      break;
    }
    if (count > 0)
      QRT_RETURN_IF_ERROR(feed(&result.ids.back(), 1, position - 1));
    QRT_ASSIGN_OR_RETURN(int32_t token,
                         sampler.sample(lastLogits.data(), vocab(), position));
    if (count == 0) {
      first = Clock::now();
      result.firstTokenSeconds = secondsSince(begin);
    } else {
      result.decodeSeconds = secondsSince(first);
      ++result.decodedTokens;
    }
    result.ids.push_back(token);
    sampler.accept(token);
    if (!request.ignoreEos && std::find(request.eos.begin(), request.eos.end(),
                                        token) != request.eos.end()) {
      result.reason = StopReason::Eos;
      break;
    }
    if (request.textOf) {
      size_t before = result.text.size();
      result.text += request.textOf(token);
      if (size_t at = findStop(result.text, request.stop, before);
          at != std::string::npos) {
        result.text.resize(at);
        result.reason = StopReason::Stop;
        break;
      }
    }
    if (request.onToken && !request.onToken(token)) {
      result.reason = StopReason::Length;
      break;
    }
  }
  return result;
}
