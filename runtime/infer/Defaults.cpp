//===- Defaults.cpp - What a model's files say about sampling -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/infer/Defaults.h"

using namespace qrt;
using nlohmann::json;

namespace {

/// The value of `key` if it is there and not null.
const json *find(const json &object, const char *key) {
  if (!object.is_object())
    return nullptr;
  auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Status readNumber(const json &object, const char *key, double &out,
                  const std::string &where) {
  if (const json *value = find(object, key)) {
    if (!value->is_number())
      return makeError(7034, where, "generation_config.json: {} is no number",
                       key);
    out = value->get<double>();
  }
  return Status::success();
}

/// An id or a list of ids; false if it is something else.
bool readIds(const json &value, std::vector<int32_t> &out) {
  auto add = [&](const json &item) {
    if (!item.is_number_integer() || item.get<int64_t>() < 0 ||
        item.get<int64_t>() > INT32_MAX)
      return false;
    out.push_back(item.get<int32_t>());
    return true;
  };
  if (!value.is_array())
    return add(value);
  for (const json &item : value)
    if (!add(item))
      return false;
  return true;
}

} // namespace

Expected<GenerationDefaults>
qrt::readGenerationDefaults(const json &generationConfig,
                            const json &modelConfig, const std::string &where) {
  GenerationDefaults defaults;
  SamplingOptions &sampling = defaults.sampling;
  double topK = double(sampling.topK);
  QRT_RETURN_IF_ERROR(
      readNumber(generationConfig, "temperature", sampling.temperature, where));
  QRT_RETURN_IF_ERROR(
      readNumber(generationConfig, "top_p", sampling.topP, where));
  QRT_RETURN_IF_ERROR(
      readNumber(generationConfig, "min_p", sampling.minP, where));
  QRT_RETURN_IF_ERROR(readNumber(generationConfig, "repetition_penalty",
                                 sampling.repetitionPenalty, where));
  QRT_RETURN_IF_ERROR(readNumber(generationConfig, "top_k", topK, where));
  if (!(topK >= 0 && topK <= 1e9))
    return makeError(7034, where, "generation_config.json: top_k is {}", topK);
  sampling.topK = static_cast<int64_t>(topK);
  if (const json *sample = find(generationConfig, "do_sample")) {
    if (!sample->is_boolean())
      return makeError(7034, where,
                       "generation_config.json: do_sample is not true or "
                       "false");
    if (!sample->get<bool>())
      sampling.temperature = 0;
  }
  const json *eos = find(generationConfig, "eos_token_id");
  if (!eos)
    eos = find(modelConfig, "eos_token_id");
  if (eos && !readIds(*eos, defaults.eos))
    return makeError(7034, where,
                     "eos_token_id is neither a token id nor a list of them");
  return defaults;
}
