//===- GgufTokenizer.cpp - The vocabulary inside a GGUF file --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/tokenizer/GgufTokenizer.h"
#include "runtime/core/Suggest.h"
#include "runtime/tokenizer/Patterns.h"
#include "runtime/tokenizer/Utf8.h"
#include "runtime/weights/Gguf.h"

#include <algorithm>
#include <cmath>

namespace qrt {

namespace {

enum TokenType {
  typeNormal = 1,
  typeUnknown = 2,
  typeControl = 3,
  typeUserDefined = 4,
  typeUnused = 5,
  typeByte = 6
};

using TokenMap = std::unordered_map<std::string_view, TokenId>;

class VocabularyReader {
public:
  VocabularyReader(GgufVocabulary vocabulary, const std::string &where)
      : v(std::move(vocabulary)), where(where) {}

  Expected<BpeSpec> read() {
    if (v.model != "gpt2" && v.model != "llama")
      return makeError(
          4002, where,
          "the tokenizer model '{}' is not supported (gpt2, llama)",
          toValidUtf8(v.model));
    if (v.tokens.empty())
      return makeError(4003, where, "the vocabulary is empty");
    if (!v.types.empty() && v.types.size() != v.tokens.size())
      return makeError(4003, where, "there are {} tokens but {} token types",
                       v.tokens.size(), v.types.size());
    spec.byteLevel = v.model == "gpt2";
    spec.tokens = v.tokens;
    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      if (type(i) < typeNormal || type(i) > typeByte)
        return makeError(4003, where, "token {} has the unknown type {}", i,
                         type(i));
      if (type(i) == typeUnused)
        spec.tokens[i].clear(); // a placeholder: there is no such token
      else if (spec.tokens[i].empty())
        return makeError(4003, where, "token {} is empty", i);
      else if (auto [at, isNew] = ids.emplace(spec.tokens[i], TokenId(i));
               !isNew)
        return makeError(4003, where, "tokens {} and {} are both '{}'",
                         at->second, i, toValidUtf8(spec.tokens[i]));
    }
    QRT_ASSIGN_OR_RETURN(spec.bos, checked("bos", v.bos));
    QRT_ASSIGN_OR_RETURN(spec.eos, checked("eos", v.eos));
    QRT_ASSIGN_OR_RETURN(std::optional<TokenId> unknown,
                         checked("unknown", v.unknown));
    QRT_RETURN_IF_ERROR(spec.byteLevel ? readByteLevel() : readScored(unknown));

    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      bool end = (spec.bos && size_t(*spec.bos) == i) ||
                 (spec.eos && size_t(*spec.eos) == i);
      bool control = type(i) == typeControl ||
                     (end && type(i) != typeByte && type(i) != typeUnknown);
      if ((!control && type(i) != typeUserDefined) || spec.tokens[i].empty())
        continue;
      AddedToken token;
      token.id = TokenId(i);
      token.content = spec.tokens[i];
      token.special = control;
      spec.added.push_back(std::move(token));
    }
    return std::move(spec);
  }

private:
  int64_t type(size_t i) const { return v.types.empty() ? 1 : v.types[i]; }

  Expected<std::optional<TokenId>> checked(const char *name,
                                           std::optional<uint64_t> id) {
    if (!id)
      return std::optional<TokenId>();
    if (*id >= spec.tokens.size() || spec.tokens[size_t(*id)].empty())
      return makeError(4003, where,
                       "the {} token is {}, which is not in the vocabulary of "
                       "{} tokens",
                       name, *id, spec.tokens.size());
    return std::optional<TokenId>(TokenId(*id));
  }

  Status readByteLevel() {
    const PreTokenizerInfo *pre = findPreTokenizer(v.pre);
    if (!pre)
      return makeError(4002, where, "the pre-tokenizer '{}' is not supported{}",
                       toValidUtf8(v.pre),
                       didYouMean(v.pre, preTokenizerNames()));
    for (std::string_view pattern : pre->patterns) {
      QRT_ASSIGN_OR_RETURN(auto regex, Regex::compile(pattern, where));
      spec.splits.push_back({std::move(regex), true, true});
    }
    if (pre->nfc)
      spec.normalizer.steps.push_back({Normalizer::Step::Nfc, "", ""});
    spec.ignoreMerges = pre->ignoreMerges;
    spec.addBos = v.addBos.value_or(pre->addBos) && spec.bos;

    std::string joined;
    spec.merges.reserve(v.merges.size());
    for (size_t rank = 0; rank < v.merges.size(); ++rank) {
      std::string_view both = v.merges[rank];
      size_t space = both.find(' ', 1);
      if (space == std::string_view::npos)
        return makeError(4004, where, "merge {} is not two tokens: '{}'", rank,
                         toValidUtf8(both));
      Merge merge;
      merge.rank = uint32_t(rank);
      joined = both.substr(0, space);
      joined += both.substr(space + 1);
      for (auto [part, id] :
           {std::make_pair(both.substr(0, space), &merge.left),
            std::make_pair(both.substr(space + 1), &merge.right),
            std::make_pair(std::string_view(joined), &merge.result)}) {
        auto at = ids.find(part);
        if (at == ids.end())
          return makeError(4004, where,
                           "merge {} ('{}') names '{}', which is not in the "
                           "vocabulary",
                           rank, toValidUtf8(both), toValidUtf8(part));
        *id = at->second;
      }
      spec.merges.push_back(merge);
    }
    return {};
  }

  Status readScored(std::optional<TokenId> unknown) {
    if (v.scores.size() != spec.tokens.size())
      return makeError(4003, where, "there are {} tokens but {} scores",
                       spec.tokens.size(), v.scores.size());
    for (size_t i = 0; i < v.scores.size(); ++i)
      if (std::isnan(v.scores[i]))
        return makeError(4003, where, "the score of token {} is not a number",
                         i);
    spec.byteFallback = true;
    spec.fuseUnknown = true;
    spec.unknown = unknown;
    spec.addBos = v.addBos.value_or(true) && spec.bos;
    spec.addsSpace = v.addSpacePrefix.value_or(true);
    if (spec.addsSpace)
      spec.normalizer.steps.push_back(
          {Normalizer::Step::Prepend, "", "\xe2\x96\x81"});
    spec.normalizer.steps.push_back(
        {Normalizer::Step::Replace, " ", "\xe2\x96\x81"});
    return makeMerges();
  }

  /// SentencePiece joins whatever two neighbours make up a token, the token of
  /// the best score first and of equal ones the leftmost: every way to split a
  /// token in two is a merge whose rank is that of the token's score.
  Status makeMerges() {
    std::vector<TokenId> order;
    uint64_t work = 0;
    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      if (type(i) != typeNormal)
        continue;
      order.push_back(TokenId(i));
      work += uint64_t(spec.tokens[i].size()) * spec.tokens[i].size();
    }
    if (work > uint64_t(1) << 28)
      return makeError(4003, where, "the vocabulary has too many long tokens");
    std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
      double scoreA = v.scores[size_t(a)], scoreB = v.scores[size_t(b)];
      return scoreA != scoreB ? scoreA > scoreB : a < b;
    });
    uint32_t rank = 0;
    for (size_t k = 0; k < order.size(); ++k) {
      size_t id = size_t(order[k]);
      if (k > 0 && v.scores[id] != v.scores[size_t(order[k - 1])])
        ++rank;
      const std::string &token = spec.tokens[id];
      if (validUtf8Prefix(token) != token.size())
        return makeError(4003, where, "token {} is not UTF-8: '{}'", id,
                         toValidUtf8(token));
      std::string_view view = token;
      for (size_t at = 1; at < token.size(); ++at) {
        if ((static_cast<unsigned char>(token[at]) & 0xc0) == 0x80)
          continue; // inside a character
        auto left = ids.find(view.substr(0, at));
        auto right = ids.find(view.substr(at));
        if (left == ids.end() || right == ids.end() ||
            type(size_t(left->second)) != typeNormal ||
            type(size_t(right->second)) != typeNormal)
          continue;
        spec.merges.push_back({left->second, right->second, TokenId(id), rank});
      }
    }
    return {};
  }

  GgufVocabulary v;
  const std::string &where;
  BpeSpec spec;
  TokenMap ids;
};

} // namespace

Expected<std::unique_ptr<Tokenizer>>
tokenizerFromVocabulary(GgufVocabulary vocabulary, const std::string &where) {
  QRT_ASSIGN_OR_RETURN(BpeSpec spec,
                       VocabularyReader(std::move(vocabulary), where).read());
  QRT_ASSIGN_OR_RETURN(auto made, BpeTokenizer::create(std::move(spec), where));
  return std::unique_ptr<Tokenizer>(std::move(made));
}

Expected<std::unique_ptr<Tokenizer>> tokenizerFromGguf(const GgufFile &file) {
  const std::string &where = file.path();
  const std::string prefix = "tokenizer.ggml.";
  GgufVocabulary v;
  QRT_ASSIGN_OR_RETURN(auto model, file.getString(prefix + "model"));
  if (!model)
    return makeError(4001, where,
                     "the file holds no tokenizer (there is no "
                     "'tokenizer.ggml.model')");
  v.model = *model;
  QRT_ASSIGN_OR_RETURN(auto pre, file.getString(prefix + "pre"));
  if (pre)
    v.pre = *pre;
  QRT_ASSIGN_OR_RETURN(v.bos, file.getUInt(prefix + "bos_token_id"));
  QRT_ASSIGN_OR_RETURN(v.eos, file.getUInt(prefix + "eos_token_id"));
  QRT_ASSIGN_OR_RETURN(v.unknown, file.getUInt(prefix + "unknown_token_id"));
  QRT_ASSIGN_OR_RETURN(v.addBos, file.getBool(prefix + "add_bos_token"));
  QRT_ASSIGN_OR_RETURN(v.addSpacePrefix,
                       file.getBool(prefix + "add_space_prefix"));
  for (auto [key, to] : {std::make_pair("tokens", &v.tokens),
                         std::make_pair("merges", &v.merges)}) {
    const GgufValue *value = file.find(prefix + key);
    if (value && !value->isStringArray())
      return makeError(4003, where, "'{}{}' is not an array of strings", prefix,
                       key);
    if (value)
      *to = *value->asStrings();
  }
  for (const char *key : {"token_type", "scores"}) {
    const GgufValue *value = file.find(prefix + key);
    if (!value)
      continue;
    bool types = std::string_view(key) == "token_type";
    for (size_t i = 0; i < value->size(); ++i) {
      auto type = value->asInt(i);
      auto score = value->asFloat(i);
      if (!value->isNumberArray() || (types ? !type : !score))
        return makeError(4003, where, "'{}{}' is not an array of {}", prefix,
                         key, types ? "integers" : "numbers");
      if (types)
        v.types.push_back(*type);
      else
        v.scores.push_back(*score);
    }
  }
  return tokenizerFromVocabulary(std::move(v), where);
}

} // namespace qrt
