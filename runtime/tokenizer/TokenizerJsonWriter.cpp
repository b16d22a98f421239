//===- TokenizerJsonWriter.cpp - Writing tokenizer.json -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// For tokenizers that were not read from such a file (GGUF, training). Every
// token is in the vocabulary of the model, added or not, so that a reader
// cannot number added tokens in its own way.
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Json.h"
#include "runtime/tokenizer/BpeTokenizer.h"
#include "runtime/tokenizer/Patterns.h"
#include "runtime/tokenizer/Utf8.h"

#include <algorithm>

namespace qrt {

namespace {

using json = nlohmann::ordered_json;

constexpr const char *metaText = "\xe2\x96\x81";

std::string jsonString(std::string_view text) {
  return nlohmann::json(std::string(text)).dump();
}

json byteLevelPart(bool useRegex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", useRegex}};
}

json list(const char *key, json parts) {
  if (parts.size() == 1)
    return parts[0];
  return {{"type", "Sequence"}, {key, std::move(parts)}};
}

json normalizerOf(const BpeSpec &spec) {
  json parts = json::array();
  for (const Normalizer::Step &step : spec.normalizer.steps) {
    switch (step.kind) {
    case Normalizer::Step::Nfc:
      parts.push_back({{"type", "NFC"}});
      break;
    case Normalizer::Step::Prepend:
      parts.push_back({{"type", "Prepend"}, {"prepend", step.to}});
      break;
    case Normalizer::Step::Replace:
      parts.push_back({{"type", "Replace"},
                       {"pattern", {{"String", step.from}}},
                       {"content", step.to}});
      break;
    case Normalizer::Step::PrependMissing:
    case Normalizer::Step::PrependFirst:
      break; // only ever read from a tokenizer.json
    }
  }
  return parts.empty() ? json() : list("normalizers", std::move(parts));
}

json preTokenizerOf(const BpeSpec &spec) {
  if (!spec.byteLevel)
    return {};
  if (spec.splits.size() == 1 && spec.splits[0].regex->pattern() == gpt2Pattern)
    return byteLevelPart(true);
  json parts = json::array();
  for (const SplitStage &stage : spec.splits)
    parts.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", stage.regex->pattern()}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  parts.push_back(byteLevelPart(false));
  return list("pretokenizers", std::move(parts));
}

json postProcessorOf(const BpeSpec &spec) {
  if (!spec.addBos || !spec.bos)
    return spec.byteLevel ? byteLevelPart(false) : json();
  std::string name = spec.tokens[size_t(*spec.bos)];
  auto special = [&](int type) {
    return json{{"SpecialToken", {{"id", name}, {"type_id", type}}}};
  };
  auto sequence = [&](const char *id, int type) {
    return json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  json out;
  out["type"] = "TemplateProcessing";
  out["single"] = json::array({special(0), sequence("A", 0)});
  out["pair"] =
      json::array({special(0), sequence("A", 0), special(1), sequence("B", 1)});
  out["special_tokens"][name] = {{"id", name},
                                 {"ids", json::array({*spec.bos})},
                                 {"tokens", json::array({name})}};
  return out;
}

json decoderOf(const BpeSpec &spec) {
  if (spec.byteLevel)
    return byteLevelPart(false);
  json parts = json::array();
  parts.push_back({{"type", "Replace"},
                   {"pattern", {{"String", metaText}}},
                   {"content", " "}});
  parts.push_back({{"type", "ByteFallback"}});
  parts.push_back({{"type", "Fuse"}});
  if (spec.addsSpace)
    parts.push_back(
        {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(parts)}};
}

/// The order of merges for a reader that gives every merge a rank of its own.
/// Among equal scores the leftmost pair goes first: a token that grows at its
/// right end must be found before a new one begins further right, hence the
/// longest results first, and of these the longest left parts.
std::vector<Merge> orderedMerges(const BpeSpec &spec) {
  std::vector<Merge> merges = spec.merges;
  std::sort(merges.begin(), merges.end(), [&](const Merge &a, const Merge &b) {
    if (a.rank != b.rank)
      return a.rank < b.rank;
    size_t lengthA = spec.tokens[size_t(a.result)].size();
    size_t lengthB = spec.tokens[size_t(b.result)].size();
    if (lengthA != lengthB)
      return lengthA > lengthB;
    if (a.result != b.result)
      return a.result < b.result;
    return spec.tokens[size_t(a.left)].size() >
           spec.tokens[size_t(b.left)].size();
  });
  return merges;
}

} // namespace

Expected<std::string> writeTokenizerJson(const BpeSpec &spec) {
  for (size_t i = 0; i < spec.tokens.size(); ++i)
    if (validUtf8Prefix(spec.tokens[i]) != spec.tokens[i].size())
      return makeError(4008, "",
                       "token {} ('{}') is not UTF-8 and cannot be written to "
                       "a tokenizer.json",
                       i, toValidUtf8(spec.tokens[i]));

  json added = json::array();
  for (const AddedToken &t : spec.added)
    added.push_back({{"id", t.id},
                     {"content", t.content},
                     {"single_word", t.singleWord},
                     {"lstrip", t.lstrip},
                     {"rstrip", t.rstrip},
                     {"normalized", t.normalized},
                     {"special", t.special}});

  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n"
                    "  \"padding\": null,\n";
  for (auto [key, value] :
       {std::make_pair("added_tokens", added),
        std::make_pair("normalizer", normalizerOf(spec)),
        std::make_pair("pre_tokenizer", preTokenizerOf(spec)),
        std::make_pair("post_processor", postProcessorOf(spec)),
        std::make_pair("decoder", decoderOf(spec))})
    out += fmt::format("  \"{}\": {},\n", key, value.dump());

  auto boolean = [](bool value) { return value ? "true" : "false"; };
  out += "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n";
  out += fmt::format(
      "    \"unk_token\": {},\n",
      spec.unknown ? jsonString(spec.tokens[size_t(*spec.unknown)]) : "null");
  out += "    \"continuing_subword_prefix\": null,\n"
         "    \"end_of_word_suffix\": null,\n";
  out += fmt::format("    \"fuse_unk\": {},\n    \"byte_fallback\": {},\n"
                     "    \"ignore_merges\": {},\n    \"vocab\": {{",
                     boolean(spec.fuseUnknown), boolean(spec.byteFallback),
                     boolean(spec.ignoreMerges));
  const char *separator = "\n";
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    if (spec.tokens[i].empty())
      continue;
    out +=
        fmt::format("{}      {}: {}", separator, jsonString(spec.tokens[i]), i);
    separator = ",\n";
  }
  out += "\n    },\n    \"merges\": [";
  separator = "\n";
  for (const Merge &merge : orderedMerges(spec)) {
    out += fmt::format("{}      [{}, {}]", separator,
                       jsonString(spec.tokens[size_t(merge.left)]),
                       jsonString(spec.tokens[size_t(merge.right)]));
    separator = ",\n";
  }
  out += "\n    ]\n  }\n}\n";
  return out;
}

Expected<std::string> BpeTokenizer::toJson() const {
  return spec.json.empty() ? writeTokenizerJson(spec) : spec.json;
}

} // namespace qrt
