//===- TokenizerJson.cpp - Reading tokenizer.json -------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Everything in the file is either honoured or an error that names it: a
// component that is skipped would give other ids without a word.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/tokenizer/BpeTokenizer.h"
#include "runtime/tokenizer/Patterns.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

namespace qrt {

namespace {

using nlohmann::json;

constexpr int unsupported = 4002, badVocabulary = 4003, badMerge = 4004,
              badAdded = 4005;

class JsonReader {
public:
  JsonReader(const json &root, const std::string &where)
      : root(root), where(where) {}

  Expected<BpeSpec> read() {
    if (!root.is_object() || !root.contains("model"))
      return makeError(badVocabulary, where,
                       "this is not a tokenizer.json: there is no 'model'");
    if (const json *v = get(root, "truncation"))
      return makeError(unsupported, where, "'truncation' is not supported: {}",
                       brief(*v));
    if (const json *v = get(root, "padding"))
      return makeError(unsupported, where, "'padding' is not supported: {}",
                       brief(*v));
    // Whether symbols are bytes decides what the rest may contain.
    spec.byteLevel = false;
    if (const json *v = get(root, "pre_tokenizer"))
      QRT_RETURN_IF_ERROR(readPreTokenizer(*v, 0));
    if (const json *v = get(root, "normalizer"))
      QRT_RETURN_IF_ERROR(readNormalizer(*v, 0));
    if (!spec.byteLevel && !spec.splits.empty())
      return makeError(unsupported, where,
                       "a 'Split' pre-tokenizer without 'ByteLevel' is not "
                       "supported");
    QRT_RETURN_IF_ERROR(readModel(root["model"]));
    if (const json *v = get(root, "added_tokens"))
      QRT_RETURN_IF_ERROR(readAddedTokens(*v));
    if (const json *v = get(root, "post_processor"))
      QRT_RETURN_IF_ERROR(readPostProcessor(*v, 0));
    if (const json *v = get(root, "decoder"))
      QRT_RETURN_IF_ERROR(readDecoder(*v, 0));
    return std::move(spec);
  }

private:
  static const json *get(const json &object, const char *key) {
    auto at = object.find(key);
    return at == object.end() || at->is_null() ? nullptr : &*at;
  }

  static std::string brief(const json &value) {
    std::string text = jsonText(value);
    return text.size() <= 80 ? text : text.substr(0, 77) + "...";
  }

  static std::string typeOf(const json &object) {
    if (object.is_object())
      if (const json *type = get(object, "type"); type && type->is_string())
        return type->get<std::string>();
    return "";
  }

  Error unknown(const char *what, const json &object) {
    std::string type = typeOf(object);
    return makeError(unsupported, where, "the {} '{}' is not supported", what,
                     toValidUtf8(type.empty() ? brief(object) : type));
  }

  Expected<bool> flag(const json &object, const char *key, bool missing) {
    const json *value = get(object, key);
    if (!value)
      return missing;
    if (!value->is_boolean())
      return makeError(badVocabulary, where, "'{}' is not a boolean: {}", key,
                       brief(*value));
    return value->get<bool>();
  }

  Expected<std::string> text(const json &object, const char *key,
                             const char *missing) {
    const json *value = get(object, key);
    if (!value && missing)
      return std::string(missing);
    if (!value || !value->is_string())
      return makeError(badVocabulary, where, "'{}' is not a string: {}", key,
                       value ? brief(*value) : "missing");
    return value->get<std::string>();
  }

  /// {"String": s} or {"Regex": s} -> (text, is a regular expression).
  Expected<std::pair<std::string, bool>> pattern(const json &object) {
    const json *value = get(object, "pattern");
    if (value && value->is_object() && value->size() == 1) {
      const json &content = value->begin().value();
      bool regex = value->begin().key() == "Regex";
      if ((regex || value->begin().key() == "String") && content.is_string())
        return std::make_pair(content.get<std::string>(), regex);
    }
    return makeError(badVocabulary, where,
                     "'pattern' is neither a String nor "
                     "a Regex: {}",
                     value ? brief(*value) : "missing");
  }

  /// The array of a Sequence, or null.
  const json *sequence(const json &object, const char *key) {
    const json *list = get(object, key);
    return typeOf(object) == "Sequence" && list && list->is_array() ? list
                                                                    : nullptr;
  }

  Status readNormalizer(const json &n, int depth) {
    std::string type = typeOf(n);
    if (const json *list = sequence(n, "normalizers"); list && depth < 8) {
      for (const json &part : *list)
        QRT_RETURN_IF_ERROR(readNormalizer(part, depth + 1));
      return {};
    }
    if (type == "NFC") {
      spec.normalizer.steps.push_back({Normalizer::Step::Nfc, "", ""});
      return {};
    }
    if (type == "Prepend") {
      QRT_ASSIGN_OR_RETURN(std::string prefix, text(n, "prepend", nullptr));
      spec.normalizer.steps.push_back(
          {Normalizer::Step::Prepend, "", std::move(prefix)});
      return {};
    }
    if (type == "Replace") {
      QRT_ASSIGN_OR_RETURN(auto from, pattern(n));
      QRT_ASSIGN_OR_RETURN(std::string to, text(n, "content", nullptr));
      bool oneChar = !from.first.empty() &&
                     decodeUtf8(from.first, 0).length == from.first.size();
      if (from.second || !oneChar)
        return makeError(unsupported, where,
                         "the normalizer 'Replace' is supported for one "
                         "character, not for {}",
                         brief(n));
      spec.normalizer.steps.push_back(
          {Normalizer::Step::Replace, from.first, std::move(to)});
      return {};
    }
    return unknown("normalizer", n);
  }

  Status addSplit(std::string_view regex, bool matches, bool gaps) {
    QRT_ASSIGN_OR_RETURN(auto compiled, Regex::compile(regex, where));
    spec.splits.push_back({std::move(compiled), matches, gaps});
    return {};
  }

  Status readPreTokenizer(const json &p, int depth) {
    std::string type = typeOf(p);
    if (const json *list = sequence(p, "pretokenizers"); list && depth < 8) {
      for (const json &part : *list)
        QRT_RETURN_IF_ERROR(readPreTokenizer(part, depth + 1));
      return {};
    }
    if (spec.byteLevel || !spec.prefixer.empty())
      return makeError(unsupported, where,
                       "a pre-tokenizer ('{}') behind 'ByteLevel' or "
                       "'Metaspace' is not supported",
                       toValidUtf8(type));
    if (type == "Split")
      return readSplit(p);
    if (type == "Digits") {
      QRT_ASSIGN_OR_RETURN(bool single, flag(p, "individual_digits", false));
      return addSplit(single ? "\\p{N}" : "\\p{N}+", true, true);
    }
    if (type == "ByteLevel") {
      spec.byteLevel = true;
      QRT_ASSIGN_OR_RETURN(bool prefix, flag(p, "add_prefix_space", true));
      QRT_ASSIGN_OR_RETURN(bool split, flag(p, "use_regex", true));
      if (prefix && !spec.splits.empty())
        return makeError(unsupported, where,
                         "'add_prefix_space' of 'ByteLevel' behind another "
                         "pre-tokenizer is not supported");
      if (prefix) {
        spec.prefixer.steps.push_back(
            {Normalizer::Step::PrependMissing, "", " "});
      }
      return split ? addSplit(gpt2Pattern, true, true) : Status();
    }
    if (type == "Metaspace")
      return readMetaspace(p);
    return unknown("pre-tokenizer", p);
  }

  Status readSplit(const json &p) {
    QRT_ASSIGN_OR_RETURN(auto what, pattern(p));
    QRT_ASSIGN_OR_RETURN(std::string behavior, text(p, "behavior", nullptr));
    QRT_ASSIGN_OR_RETURN(bool invert, flag(p, "invert", false));
    if (behavior != "Isolated" && behavior != "Removed")
      return makeError(unsupported, where,
                       "the behavior '{}' of the pre-tokenizer 'Split' is not "
                       "supported",
                       toValidUtf8(behavior));
    if (!what.second) {
      std::string escaped;
      for (char c : what.first) {
        if (std::string_view("\\^$.[]|()?*+{}-#& ").find(c) !=
            std::string_view::npos)
          escaped += '\\';
        escaped += c;
      }
      what.first = escaped;
    }
    bool removed = behavior == "Removed";
    return addSplit(what.first, !(removed && !invert), !(removed && invert));
  }

  Status readMetaspace(const json &p) {
    QRT_ASSIGN_OR_RETURN(std::string meta,
                         text(p, "replacement", "\xe2\x96\x81"));
    if (meta != "\xe2\x96\x81")
      return makeError(unsupported, where,
                       "the replacement '{}' of 'Metaspace' is not supported",
                       toValidUtf8(meta));
    QRT_ASSIGN_OR_RETURN(bool oldPrefix, flag(p, "add_prefix_space", true));
    QRT_ASSIGN_OR_RETURN(
        std::string scheme,
        text(p, "prepend_scheme", oldPrefix ? "always" : "never"));
    QRT_ASSIGN_OR_RETURN(spec.splitAtMeta, flag(p, "split", true));
    spec.prefixer.steps.push_back({Normalizer::Step::Replace, " ", meta});
    if (scheme == "always" || scheme == "first")
      spec.prefixer.steps.push_back({scheme == "first"
                                         ? Normalizer::Step::PrependFirst
                                         : Normalizer::Step::PrependMissing,
                                     "", meta});
    else if (scheme != "never")
      return makeError(
          unsupported, where,
          "the prepend_scheme '{}' of 'Metaspace' is not supported",
          toValidUtf8(scheme));
    return {};
  }

  /// Ids must not make the table of tokens much longer than the file.
  Status place(uint64_t id, const std::string &token, size_t known) {
    if (id >= known * 4 + 65536)
      return makeError(badVocabulary, where,
                       "the id {} of '{}' is out of range for a vocabulary of "
                       "{} tokens",
                       id, toValidUtf8(token), known);
    if (id >= spec.tokens.size())
      spec.tokens.resize(size_t(id) + 1);
    std::string &slot = spec.tokens[size_t(id)];
    if (!slot.empty() && slot != token)
      return makeError(badVocabulary, where,
                       "'{}' and '{}' have the same id {}", toValidUtf8(slot),
                       toValidUtf8(token), id);
    slot = token;
    return {};
  }

  Status readModel(const json &model) {
    std::string type = typeOf(model);
    if (type.empty() && model.is_object() && model.contains("merges"))
      type = "BPE"; // files from before the key existed
    if (type != "BPE")
      return unknown("model", model);
    for (const char *key :
         {"dropout", "continuing_subword_prefix", "end_of_word_suffix"})
      if (const json *v = get(model, key); v && *v != "" && *v != 0.0)
        return makeError(unsupported, where,
                         "'{}' of the model is not "
                         "supported: {}",
                         key, brief(*v));
    QRT_ASSIGN_OR_RETURN(spec.fuseUnknown, flag(model, "fuse_unk", false));
    QRT_ASSIGN_OR_RETURN(spec.byteFallback,
                         flag(model, "byte_fallback", false));
    QRT_ASSIGN_OR_RETURN(spec.ignoreMerges,
                         flag(model, "ignore_merges", false));
    if (!spec.byteLevel && spec.ignoreMerges)
      return makeError(unsupported, where,
                       "'ignore_merges' is supported only "
                       "with 'ByteLevel'");

    const json *vocab = get(model, "vocab");
    if (!vocab || !vocab->is_object() || vocab->empty())
      return makeError(badVocabulary, where,
                       "'vocab' of the model is not an object with tokens");
    for (const auto &[token, id] : vocab->items()) {
      if (!id.is_number_unsigned())
        return makeError(badVocabulary, where,
                         "the id of '{}' is not a number from 0 on: {}",
                         toValidUtf8(token), brief(id));
      if (token.empty())
        return makeError(badVocabulary, where, "the token {} is empty",
                         brief(id));
      QRT_RETURN_IF_ERROR(place(id.get<uint64_t>(), token, vocab->size()));
    }
    if (const json *unk = get(model, "unk_token")) {
      if (!unk->is_string() || !vocab->contains(unk->get<std::string>()))
        return makeError(badVocabulary, where,
                         "the unk_token {} is not in the vocabulary",
                         brief(*unk));
      spec.unknown = (*vocab)[unk->get<std::string>()].get<TokenId>();
    }
    return readMerges(model, *vocab);
  }

  Status readMerges(const json &model, const json &vocab) {
    const json *merges = get(model, "merges");
    if (!merges || !merges->is_array())
      return makeError(badMerge, where, "'merges' of the model is not a list");
    std::unordered_map<std::string_view, TokenId> ids;
    ids.reserve(vocab.size());
    for (size_t i = 0; i < spec.tokens.size(); ++i)
      if (!spec.tokens[i].empty())
        ids.emplace(spec.tokens[i], TokenId(i));
    spec.merges.reserve(merges->size());
    std::string joined;
    for (size_t rank = 0; rank < merges->size(); ++rank) {
      const json &merge = (*merges)[rank];
      std::string_view left, right;
      bool good = false;
      if (merge.is_string()) {
        std::string_view both = merge.get_ref<const std::string &>();
        size_t space = both.find(' ');
        good = space != std::string_view::npos &&
               both.find(' ', space + 1) == std::string_view::npos;
        if (good)
          left = both.substr(0, space), right = both.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 &&
                 merge[0].is_string() && merge[1].is_string()) {
        good = true;
        left = merge[0].get_ref<const std::string &>();
        right = merge[1].get_ref<const std::string &>();
      }
      if (!good)
        return makeError(badMerge, where,
                         "merge {} is neither \"a b\" nor [\"a\", \"b\"]: {}",
                         rank, brief(merge));
      joined.assign(left);
      joined += right;
      Merge m;
      m.rank = uint32_t(rank);
      for (auto [part, id] :
           {std::make_pair(left, &m.left), std::make_pair(right, &m.right),
            std::make_pair(std::string_view(joined), &m.result)}) {
        auto at = ids.find(part);
        if (at == ids.end())
          return makeError(badMerge, where,
                           "merge {} ({}) names '{}', which is not in the "
                           "vocabulary",
                           rank, brief(merge), toValidUtf8(part));
        *id = at->second;
      }
      spec.merges.push_back(m);
    }
    return {};
  }

  Status readAddedTokens(const json &list) {
    if (!list.is_array())
      return makeError(badAdded, where, "'added_tokens' is not a list");
    size_t known = spec.tokens.size() + list.size();
    for (const json &entry : list) {
      const json *id = entry.is_object() ? get(entry, "id") : nullptr;
      if (!id || !id->is_number_unsigned())
        return makeError(badAdded, where,
                         "an added token has no id from 0 on: {}",
                         brief(entry));
      AddedToken token;
      QRT_ASSIGN_OR_RETURN(token.content, text(entry, "content", nullptr));
      QRT_ASSIGN_OR_RETURN(token.special, flag(entry, "special", false));
      QRT_ASSIGN_OR_RETURN(token.normalized,
                           flag(entry, "normalized", !token.special));
      QRT_ASSIGN_OR_RETURN(token.lstrip, flag(entry, "lstrip", false));
      QRT_ASSIGN_OR_RETURN(token.rstrip, flag(entry, "rstrip", false));
      QRT_ASSIGN_OR_RETURN(token.singleWord, flag(entry, "single_word", false));
      if (token.content.empty())
        return makeError(badAdded, where, "the added token {} is empty",
                         brief(*id));
      QRT_RETURN_IF_ERROR(place(id->get<uint64_t>(), token.content, known));
      token.id = id->get<TokenId>();
      spec.added.push_back(std::move(token));
    }
    return {};
  }

  /// Post-processors matter only where they put tokens before the text.
  Status readPostProcessor(const json &p, int depth) {
    std::string type = typeOf(p);
    if (const json *list = sequence(p, "processors"); list && depth < 8) {
      for (const json &part : *list)
        QRT_RETURN_IF_ERROR(readPostProcessor(part, depth + 1));
      return {};
    }
    if (type == "ByteLevel")
      return {};
    const json *single = get(p, "single");
    if (type != "TemplateProcessing" || !single || !single->is_array())
      return unknown("post-processor", p);
    // [BOS] A: anything else would have to be applied to each encoding.
    size_t n = single->size();
    if (n == 1 && (*single)[0].contains("Sequence"))
      return {};
    if (n == 2 && (*single)[0].contains("SpecialToken") &&
        (*single)[1].contains("Sequence")) {
      const json &token = (*single)[0]["SpecialToken"];
      const json *name = token.is_object() ? get(token, "id") : nullptr;
      if (name && name->is_string())
        for (const AddedToken &added : spec.added)
          if (added.content == name->get<std::string>()) {
            spec.bos = added.id;
            spec.addBos = true;
            return {};
          }
    }
    return makeError(unsupported, where,
                     "the template of the post-processor is not supported: {}",
                     brief(*single));
  }

  Status readDecoder(const json &d, int depth) {
    std::string type = typeOf(d);
    if (const json *list = sequence(d, "decoders"); list && depth < 8) {
      for (const json &part : *list)
        QRT_RETURN_IF_ERROR(readDecoder(part, depth + 1));
      return {};
    }
    if (spec.byteLevel ? type == "ByteLevel" || type == "Fuse"
                       : type == "ByteFallback" || type == "Fuse")
      return {};
    if (!spec.byteLevel && type == "Replace") {
      QRT_ASSIGN_OR_RETURN(auto from, pattern(d));
      QRT_ASSIGN_OR_RETURN(std::string to, text(d, "content", nullptr));
      if (!from.second && from.first == "\xe2\x96\x81" && to == " ")
        return {};
    }
    if (!spec.byteLevel && type == "Strip") {
      QRT_ASSIGN_OR_RETURN(std::string what, text(d, "content", nullptr));
      if (what == " " && d.value("start", json()) == 1 &&
          d.value("stop", json()) == 0) {
        spec.addsSpace = true;
        return {};
      }
    }
    if (!spec.byteLevel && type == "Metaspace") {
      QRT_ASSIGN_OR_RETURN(bool oldPrefix, flag(d, "add_prefix_space", true));
      QRT_ASSIGN_OR_RETURN(
          std::string scheme,
          text(d, "prepend_scheme", oldPrefix ? "always" : "never"));
      spec.addsSpace = scheme != "never";
      return {};
    }
    return unknown("decoder", d);
  }

  const json &root;
  const std::string &where;
  BpeSpec spec;
};

} // namespace

Expected<std::unique_ptr<Tokenizer>>
tokenizerFromJson(std::string text, const std::string &where) {
  QRT_ASSIGN_OR_RETURN(json root, parseJson(text, where));
  QRT_ASSIGN_OR_RETURN(BpeSpec spec, JsonReader(root, where).read());
  spec.json = std::move(text);
  // The usual names of the end of a document; files beside this one know
  // better.
  if (!spec.eos)
    for (const char *name : {"<|endoftext|>", "<|end_of_text|>", "</s>"}) {
      for (const AddedToken &token : spec.added)
        if (token.special && token.content == name && !spec.eos)
          spec.eos = token.id;
    }
  QRT_ASSIGN_OR_RETURN(auto made, BpeTokenizer::create(std::move(spec), where));
  return std::unique_ptr<Tokenizer>(std::move(made));
}

} // namespace qrt
