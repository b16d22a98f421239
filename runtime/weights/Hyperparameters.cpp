//===- Hyperparameters.cpp - Checks of what a file says it holds ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Hyperparameters.h"
#include "runtime/core/Json.h"
#include "runtime/weights/Printable.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <unordered_set>

namespace qrt {

namespace {

/// No dimension of any model comes near; products of three stay in 64 bits.
constexpr uint64_t maxSize = (uint64_t(1) << 31) - 1;
constexpr size_t maxFindings = 20;

/// Collects what is wrong, for one error.
class Findings {
public:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args &&...args) {
    ++count;
    if (list.size() < maxFindings)
      list.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  Status result(const std::string &where) const {
    if (count == 0)
      return Status::success();
    if (count == 1)
      return makeError(3012, where, "invalid hyperparameters: {}", list[0]);
    std::string lines;
    for (const std::string &line : list)
      lines += "\n  " + line;
    if (count > list.size())
      lines += fmt::format("\n  and {} more", count - list.size());
    return makeError(3012, where, "invalid hyperparameters: {} findings{}",
                     count, lines);
  }

private:
  size_t count = 0;
  std::vector<std::string> list;
};

/// Relations between sizes; 0 stands for one that is not given (or was found to
/// be wrong already).
struct Sizes {
  uint64_t hidden = 0, heads = 0, kvHeads = 0, headDim = 0, rotary = 0;

  void check(Findings &findings) const {
    if (heads && kvHeads && heads % kvHeads != 0)
      findings.add("{} attention heads are not a multiple of {} key-value "
                   "heads",
                   heads, kvHeads);
    if (hidden && heads && !headDim && hidden % heads != 0)
      findings.add("the width {} is not a multiple of {} attention heads",
                   hidden, heads);
    uint64_t dim = headDim ? headDim : hidden && heads ? hidden / heads : 0;
    if (rotary && dim && (rotary > dim || rotary % 2 != 0))
      findings.add("{} rotary dimensions do not fit a head of {}", rotary, dim);
  }
};

bool startsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}
bool endsWith(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() &&
         text.substr(text.size() - suffix.size()) == suffix;
}

//===----------------------------------------------------------------------===//
// GGUF
//===----------------------------------------------------------------------===//

class GgufChecks {
public:
  explicit GgufChecks(const GgufFile &file) : file(file) {}

  Status run() {
    vocabulary();
    const GgufValue *name = file.find("general.architecture");
    if (name) {
      if (!name->isString() || name->asString()->empty())
        findings.add("general.architecture is not a name");
      else
        architecture(*name->asString());
    } else if (!file.tensors().empty()) {
      findings.add("general.architecture is missing");
    }
    return findings.result(file.path());
  }

private:
  void architecture(const std::string &name);
  void vocabulary();
  void vocabularyEntries(const std::vector<std::string> &tokens);
  uint64_t size(const std::string &key, bool known, bool required);
  void tensors(uint64_t blocks, uint64_t hidden, bool known);

  const GgufFile &file;
  Findings findings;
};

/// A size, which some families give per layer; 0 if it is not there or wrong.
uint64_t GgufChecks::size(const std::string &key, bool known, bool required) {
  const GgufValue *value = file.find(key);
  if (!value) {
    if (required)
      findings.add("{} is missing", printable(key));
    return 0;
  }
  // Families without attention say 0 heads; those we know have some.
  uint64_t least = known ? 1 : 0;
  for (size_t i = 0; i < value->size(); ++i) {
    std::optional<uint64_t> number = value->asUInt(i);
    if (!number || *number < least || *number > maxSize) {
      findings.add("{} is {}, not a size of at least {}", printable(key),
                   value->asInt(i)    ? std::to_string(*value->asInt(i))
                   : value->asUInt(i) ? std::to_string(*value->asUInt(i))
                                      : ggufTypeName(value->elementType()),
                   least);
      return 0;
    }
  }
  return value->isArray() ? 0 : *value->asUInt();
}

void GgufChecks::architecture(const std::string &name) {
  static const char *const families[] = {"llama", "qwen2", "qwen3", "gpt2"};
  bool known = std::find(std::begin(families), std::end(families), name) !=
               std::end(families);
  bool required = known && !file.tensors().empty();
  auto key = [&](const char *rest) { return name + "." + rest; };

  Sizes sizes;
  uint64_t blocks = size(key("block_count"), known, required);
  sizes.hidden = size(key("embedding_length"), known, required);
  sizes.heads = size(key("attention.head_count"), known, required);
  sizes.kvHeads = size(key("attention.head_count_kv"), known, false);
  sizes.headDim = size(key("attention.key_length"), known, false);
  sizes.rotary = size(key("rope.dimension_count"), known, false);
  size(key("context_length"), known, required);
  size(key("feed_forward_length"), known, false);
  size(key("attention.value_length"), known, false);
  uint64_t vocab = size(key("vocab_size"), known, false);
  if (known)
    sizes.check(findings);
  const GgufValue *tokens = file.find("tokenizer.ggml.tokens");
  if (vocab && tokens && tokens->size() > vocab)
    findings.add("{} is {}, but there are {} tokens",
                 printable(key("vocab_size")), vocab, tokens->size());

  for (const auto &[k, value] : file.metadata()) {
    if (!startsWith(k, name + "."))
      continue;
    for (size_t i = 0; i < value.size(); ++i)
      if (auto real = value.asFloat(i); real && !std::isfinite(*real)) {
        findings.add("{} is {}", printable(k), *real);
        break;
      }
    auto real = value.isArray() ? std::nullopt : value.asFloat();
    if (real && endsWith(k, "epsilon") && (*real < 0 || *real >= 1))
      findings.add("{} is {}, not in [0, 1)", printable(k), *real);
    if (real && endsWith(k, "rope.freq_base") && *real <= 0)
      findings.add("{} is {}, not positive", printable(k), *real);
    bool isReal = endsWith(k, "epsilon") || endsWith(k, "rope.freq_base");
    if (isReal && !value.asFloat())
      findings.add("{} is {}, not a real number", printable(k),
                   ggufTypeName(value.elementType()));
  }
  tensors(blocks, sizes.hidden, known);
}

void GgufChecks::tensors(uint64_t blocks, uint64_t hidden, bool known) {
  if (!known || file.tensors().empty())
    return;
  if (const GgufTensor *t = file.findTensor("token_embd.weight")) {
    if (t->shape.size() != 2 ||
        (hidden && t->shape[1] != static_cast<int64_t>(hidden)))
      findings.add("token_embd.weight has the shape {}, the width is {}",
                   shapeText(t->shape), hidden);
    const GgufValue *tokens = file.find("tokenizer.ggml.tokens");
    if (tokens && !t->shape.empty() &&
        t->shape[0] < static_cast<int64_t>(tokens->size()))
      findings.add("token_embd.weight has {} rows for {} tokens", t->shape[0],
                   tokens->size());
  }
  uint64_t found = 0;
  for (const GgufTensor &t : file.tensors()) {
    if (!startsWith(t.name, "blk."))
      continue;
    uint64_t index = 0;
    auto [end, failure] = std::from_chars(t.name.data() + 4,
                                          t.name.data() + t.name.size(), index);
    if (failure == std::errc() && index < maxSize)
      found = std::max(found, index + 1);
  }
  if (blocks && found != blocks)
    findings.add("there are tensors of {} blocks, block_count is {}", found,
                 blocks);
}

void GgufChecks::vocabulary() {
  const GgufValue *tokens = file.find("tokenizer.ggml.tokens");
  if (!tokens)
    return;
  if (!tokens->isStringArray()) {
    findings.add("tokenizer.ggml.tokens is not a list of strings");
    return;
  }
  vocabularyEntries(*tokens->asStrings());
  size_t count = tokens->size();
  if (const GgufValue *scores = file.find("tokenizer.ggml.scores")) {
    if (!scores->isArray() || scores->size() != count)
      findings.add("{} scores for {} tokens", scores->size(), count);
    for (size_t i = 0; i < scores->size(); ++i)
      if (!scores->asFloat(i) || std::isnan(*scores->asFloat(i))) {
        findings.add("score {} is not a number", i);
        break;
      }
  }
  if (const GgufValue *types = file.find("tokenizer.ggml.token_type")) {
    if (!types->isArray() || types->size() != count)
      findings.add("{} token types for {} tokens", types->size(), count);
    for (size_t i = 0; i < types->size(); ++i)
      if (!types->asInt(i)) {
        findings.add("token types are not integers");
        break;
      }
  }
  if (const GgufValue *merges = file.find("tokenizer.ggml.merges");
      merges && !merges->isStringArray())
    findings.add("tokenizer.ggml.merges is not a list of strings");
  for (const auto &[key, value] : file.metadata()) {
    if (!startsWith(key, "tokenizer.ggml.") || !endsWith(key, "_token_id"))
      continue;
    std::optional<uint64_t> id = value.asUInt();
    if (value.isArray() || !id)
      findings.add("{} is not a token's id", printable(key));
    else if (*id >= count)
      findings.add("{} is {}, but there are {} tokens", printable(key), *id,
                   count);
  }
}

void GgufChecks::vocabularyEntries(const std::vector<std::string> &tokens) {
  if (tokens.empty())
    findings.add("the vocabulary is empty");
  std::unordered_set<std::string_view> seen;
  seen.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i)
    if (!seen.insert(tokens[i]).second) {
      findings.add("token {} ('{}') occurs twice", i, printable(tokens[i]));
      return;
    }
}

//===----------------------------------------------------------------------===//
// config.json
//===----------------------------------------------------------------------===//

/// The keys of one family of config.json.
struct ConfigKeys {
  const char *type;
  const char *layers, *hidden, *heads, *kvHeads, *headDim, *ffn, *context;
  const char *eps;
};
constexpr ConfigKeys configKeys[] = {
    {"llama", "num_hidden_layers", "hidden_size", "num_attention_heads",
     "num_key_value_heads", "head_dim", "intermediate_size",
     "max_position_embeddings", "rms_norm_eps"},
    {"qwen2", "num_hidden_layers", "hidden_size", "num_attention_heads",
     "num_key_value_heads", "head_dim", "intermediate_size",
     "max_position_embeddings", "rms_norm_eps"},
    {"qwen3", "num_hidden_layers", "hidden_size", "num_attention_heads",
     "num_key_value_heads", "head_dim", "intermediate_size",
     "max_position_embeddings", "rms_norm_eps"},
    {"nanochat", "num_hidden_layers", "hidden_size", "num_attention_heads",
     "num_key_value_heads", "head_dim", "intermediate_size",
     "max_position_embeddings", "rms_norm_eps"},
    {"gpt2", "n_layer", "n_embd", "n_head", nullptr, nullptr, "n_inner",
     "n_positions", "layer_norm_epsilon"},
};

class ConfigChecks {
public:
  ConfigChecks(const nlohmann::json &config, const WeightSource &source)
      : config(config), source(source) {}

  Status run(const std::string &where) {
    if (!config.is_object())
      return makeError(3012, where, "the configuration is not an object");
    const ConfigKeys *keys = nullptr;
    if (auto type = config.find("model_type");
        type != config.end() && type->is_string())
      for (const ConfigKeys &k : configKeys)
        if (type->get_ref<const std::string &>() == k.type)
          keys = &k;
    if (keys)
      family(*keys);
    return findings.result(where);
  }

private:
  uint64_t size(const char *key) {
    if (!key)
      return 0;
    auto it = config.find(key);
    // Absent and null mean the family's own default.
    if (it == config.end() || it->is_null())
      return 0;
    if (!it->is_number_unsigned() || it->get<uint64_t>() == 0 ||
        it->get<uint64_t>() > maxSize) {
      findings.add("{} is {}, not a size of at least 1", key,
                   printable(jsonText(*it)));
      return 0;
    }
    return it->get<uint64_t>();
  }

  void tokenId(const char *key, const nlohmann::json &value, uint64_t vocab) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() >= vocab)
      findings.add("{} {} is not an id of the {} tokens", key,
                   printable(jsonText(value)), vocab);
  }

  void family(const ConfigKeys &keys) {
    Sizes sizes;
    size(keys.layers);
    sizes.hidden = size(keys.hidden);
    sizes.heads = size(keys.heads);
    sizes.kvHeads = size(keys.kvHeads);
    sizes.headDim = size(keys.headDim);
    size(keys.ffn);
    size(keys.context);
    uint64_t vocab = size("vocab_size");
    sizes.check(findings);
    if (auto eps = config.find(keys.eps); eps != config.end())
      if (!eps->is_number() || eps->get<double>() < 0 ||
          eps->get<double>() >= 1)
        findings.add("{} is {}, not in [0, 1)", keys.eps,
                     printable(jsonText(*eps)));
    for (const char *key : {"bos_token_id", "eos_token_id"}) {
      auto id = config.find(key);
      if (id == config.end() || id->is_null() || !vocab)
        continue;
      if (!id->is_array())
        tokenId(key, *id, vocab);
      else
        for (const nlohmann::json &one : *id)
          tokenId(key, one, vocab);
    }
    for (const char *name :
         {"model.embed_tokens.weight", "transformer.wte.weight"})
      if (auto i = source.find(name)) {
        const std::vector<int64_t> &shape = source.tensors()[*i].shape;
        if (shape.size() != 2 ||
            (vocab && shape[0] != static_cast<int64_t>(vocab)) ||
            (sizes.hidden && shape[1] != static_cast<int64_t>(sizes.hidden)))
          findings.add("{} has the shape {}, the configuration says [{}, {}]",
                       name, shapeText(shape), vocab, sizes.hidden);
      }
  }

  const nlohmann::json &config;
  const WeightSource &source;
  Findings findings;
};

} // namespace

Status checkGgufHyperparameters(const GgufFile &file) {
  return GgufChecks(file).run();
}

Status checkHfConfig(const nlohmann::json &config, const WeightSource &source,
                     const std::string &where) {
  return ConfigChecks(config, source).run(where);
}

} // namespace qrt
