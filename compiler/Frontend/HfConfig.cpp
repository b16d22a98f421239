//===- HfConfig.cpp - config.json in and out ------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which key of a config.json means what is data: the `hf` section of a family.
// Only what transformers itself treats alike for all families is code here:
// the spelling of RoPE settings and of the dtype.
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Presets.h"
#include "compiler/Frontend/Resolver.h"
#include "compiler/Frontend/Tree.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace qwen;

/// A value as a message shows it, `true` or `[1, 2]`.
static std::string shown(const Node &node) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << nodeToJson(node);
  return text.size() > 80 ? text.substr(0, 77) + "..." : text;
}

static llvm::Error notImplemented(const NodeEntry &entry,
                                  const std::string &instead) {
  return makeSpecError(1013, entry.loc,
                       "the setting '" + entry.key + ": " + shown(entry.value) +
                           "' is not implemented" + instead);
}

static bool sameScalar(const Node &a, const Node &b) {
  if (a.isNull() || b.isNull())
    return a.isNull() && b.isNull();
  if (!a.isScalar() || !b.isScalar())
    return false;
  return nodeToJson(a) == nodeToJson(b) ||
         (!a.quoted && !b.quoted && nodeToJson(a).getAsNumber() &&
          nodeToJson(a).getAsNumber() == nodeToJson(b).getAsNumber());
}

/// Whether `value` is what `accepted` (any, a value or a list of values) names.
/// Of a list, every element must be.
static bool accepts(const Node &accepted, const Node &value) {
  if (accepted.isScalar() && accepted.text == "any")
    return true;
  if (value.isList())
    return llvm::all_of(value.items,
                        [&](const Node &v) { return accepts(accepted, v); });
  // `null` in a list of accepted values is written as the word.
  auto matches = [&](const Node &a) {
    return sameScalar(a, value) ||
           (a.isScalar() && a.text == "null" && value.isNull());
  };
  if (accepted.isList())
    return llvm::any_of(accepted.items, matches);
  return matches(accepted);
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {

/// Keys of RoPE dictionaries: transformers' name and ours.
const std::pair<llvm::StringRef, llvm::StringRef> ropeKeys[] = {
    {"factor", "factor"},
    {"low_freq_factor", "low_freq_factor"},
    {"high_freq_factor", "high_freq_factor"},
    {"original_max_position_embeddings", "original_context"},
    {"beta_fast", "beta_fast"},
    {"beta_slow", "beta_slow"},
    {"attention_factor", "attention_factor"},
    {"mscale", "mscale"},
    {"mscale_all_dim", "mscale_all_dim"},
    {"truncate", "truncate"},
};

class ConfigReader {
public:
  ConfigReader(const Node &config, Node &tree) : config(config), tree(tree) {}

  llvm::Error run();

private:
  llvm::Error readKey(const NodeEntry &entry);
  llvm::Error mapKey(const NodeEntry &entry, const Node &rule);
  llvm::Error readRope();
  llvm::Error readRopeDict(const NodeEntry &dict, Node &rope);
  llvm::Error set(llvm::StringRef path, const Node &value) {
    return setPath(tree, path, value);
  }

  const Node &config;
  Node &tree;
  Node hf;
};

} // namespace

llvm::Error ConfigReader::mapKey(const NodeEntry &entry, const Node &rule) {
  const Node *to = rule.isMap() ? rule.find("to") : &rule;
  if (!to || !to->isScalar())
    return makeSpecError(1004, rule.loc,
                         "expected a key to set for 'hf.keys." + entry.key +
                             "'");
  if (entry.value.isNull()) {
    const Node *instead = rule.find("if_null");
    return instead ? set(to->text, *instead) : llvm::Error::success();
  }
  if (entry.value.quoted || entry.value.isMap())
    return makeSpecError(1004, entry.value.loc,
                         "expected a number or a boolean for '" + entry.key +
                             "', got " + entry.value.describe());
  if (entry.value.isScalar() && !parseBool(entry.value) &&
      !nodeToJson(entry.value).getAsNumber())
    return makeSpecError(1004, entry.value.loc,
                         "expected a number or a boolean for '" + entry.key +
                             "', got " + entry.value.describe());
  return set(to->text, entry.value);
}

llvm::Error ConfigReader::readRopeDict(const NodeEntry &dict, Node &rope) {
  if (!dict.value.isMap())
    return makeSpecError(1004, dict.value.loc,
                         "expected a map for '" + dict.key + "', got " +
                             dict.value.describe());
  const Node *type = dict.value.find("rope_type");
  if (!type || type->isNull())
    type = dict.value.find("type");
  std::string name = type && type->isScalar() ? type->text : "default";
  std::string ours = llvm::StringSwitch<std::string>(name)
                         .Case("default", "none")
                         .Cases({"linear", "llama3", "yarn"}, name)
                         .Default("");
  if (ours.empty())
    return makeSpecError(1013, type->loc,
                         "the setting 'rope_type: " + name +
                             "' is not implemented, known are default, linear, "
                             "llama3, yarn");
  Node scaling = Node::map(dict.loc);
  scaling.getOrInsert("type", dict.loc) = Node::scalar(ours, dict.loc);
  for (const NodeEntry &entry : dict.value.entries) {
    if (entry.key == "rope_type" || entry.key == "type" || entry.value.isNull())
      continue;
    if (entry.key == "rope_theta") {
      rope.getOrInsert("theta", entry.loc) = entry.value;
      continue;
    }
    if (entry.key == "partial_rotary_factor" &&
        nodeToJson(entry.value).getAsNumber() == 1.0)
      continue;
    auto key = llvm::find_if(
        ropeKeys, [&](const auto &k) { return k.first == entry.key; });
    if (key == std::end(ropeKeys))
      return notImplemented(entry, " in " + dict.key);
    if (ours != "none")
      scaling.getOrInsert(key->second, entry.loc) = entry.value;
  }
  rope.getOrInsert("scaling", dict.loc) =
      ours == "none" ? Node::scalar("none", dict.loc) : std::move(scaling);
  return llvm::Error::success();
}

llvm::Error ConfigReader::readRope() {
  const Node *section = hf.find("rope");
  if (!section)
    return llvm::Error::success();
  Node rope = Node::map(config.loc);
  if (const Node *theta = section->find("default_theta"))
    rope.getOrInsert("theta", theta->loc) = *theta;
  rope.getOrInsert("scaling", config.loc) = Node::scalar("none", config.loc);
  // transformers 4 has the base beside the dictionary, 5 inside.
  for (llvm::StringRef name :
       {"rope_theta", "rope_parameters", "rope_scaling"}) {
    for (const NodeEntry &entry : config.entries) {
      if (entry.key != name || entry.value.isNull())
        continue;
      if (name == "rope_theta")
        rope.getOrInsert("theta", entry.loc) = entry.value;
      else if (llvm::Error error = readRopeDict(entry, rope))
        return error;
    }
  }
  return set("rope", rope);
}

llvm::Error ConfigReader::readKey(const NodeEntry &entry) {
  static const llvm::StringRef handled[] = {"architectures", "model_type",
                                            "rope_theta",    "rope_parameters",
                                            "rope_scaling",  "qwen_preset"};
  const Node *keys = hf.find("keys");
  if (const Node *rule = keys ? keys->find(entry.key) : nullptr)
    return mapKey(entry, *rule);
  if (entry.key == "torch_dtype" || entry.key == "dtype") {
    if (entry.value.isNull() ||
        (entry.key == "torch_dtype" && config.find("dtype") &&
         !config.find("dtype")->isNull()))
      return llvm::Error::success();
    // Weights in f16 are converted; there is no f16 arithmetic.
    llvm::StringRef type = llvm::StringSwitch<llvm::StringRef>(entry.value.text)
                               .Case("float32", "f32")
                               .Cases({"bfloat16", "float16"}, "bf16")
                               .Default("");
    if (type.empty())
      return notImplemented(entry, ", known are float32, bfloat16 and float16");
    return set("dtype", Node::scalar(type.str(), entry.value.loc));
  }
  bool isRope = llvm::StringRef(entry.key).starts_with("rope_");
  if (llvm::is_contained(handled, entry.key) && (!isRope || hf.find("rope")))
    return llvm::Error::success();
  const Node *accept = hf.find("accept");
  const Node *accepted = accept ? accept->find(entry.key) : nullptr;
  if (accepted) {
    if (accepts(*accepted, entry.value))
      return llvm::Error::success();
    std::string values;
    if (accepted->isList()) {
      std::vector<std::string> all;
      for (const Node &item : accepted->items)
        all.push_back(shown(item));
      values = llvm::join(all, ", ");
    } else {
      values = shown(*accepted);
    }
    return notImplemented(entry, ", only " + values);
  }
  // A feature that is off is no feature.
  if (entry.value.isNull() || parseBool(entry.value) == false)
    return llvm::Error::success();
  std::vector<std::string> known;
  for (const Node *section : {keys, accept})
    if (section)
      for (const NodeEntry &e : section->entries)
        known.push_back(e.key);
  return notImplemented(entry, suggestNearest(entry.key, known));
}

llvm::Error ConfigReader::run() {
  if (const Node *section = tree.find("hf"))
    hf = *section;
  // transformers' own defaults of absent keys.
  if (const Node *keys = hf.find("keys"))
    for (const NodeEntry &rule : keys->entries) {
      if (config.find(rule.key) || !rule.value.isMap())
        continue;
      const Node *to = rule.value.find("to");
      const Node *value = rule.value.find("default");
      if (to && value)
        if (llvm::Error error = set(to->text, *value))
          return error;
    }
  for (const NodeEntry &entry : config.entries)
    if (llvm::Error error = readKey(entry))
      return error;
  return readRope();
}

/// The preset of a config: the one it names, else the family that lists its
/// architecture (or, without one, its model_type).
static llvm::Expected<std::string> findFamily(const Node &config) {
  if (const Node *preset = config.find("qwen_preset");
      preset && preset->isScalar()) {
    std::string name = preset->text + ".yaml";
    for (const Preset &p : builtinPresets())
      if (name == p.name)
        return name;
    return makeSpecError(1014, preset->loc,
                         "unknown 'qwen_preset', got " + preset->describe());
  }
  const Node *wanted = config.find("architectures");
  llvm::StringRef key = "architectures";
  if (wanted && wanted->isList() && !wanted->items.empty())
    wanted = &wanted->items.front();
  if (!wanted || !wanted->isScalar()) {
    key = "model_type";
    wanted = config.find(key);
  }
  if (!wanted || !wanted->isScalar())
    return makeSpecError(1014, config.loc,
                         "missing key 'architectures' and 'model_type'");
  std::vector<std::string> known;
  for (const Preset &preset : builtinPresets()) {
    if (!llvm::StringRef(preset.name).starts_with("families/"))
      continue;
    llvm::Expected<Node> tree = loadPresetTree(preset.name);
    if (!tree)
      return tree.takeError();
    const Node *hf = tree->find("hf");
    const Node *values = hf ? hf->find(key) : nullptr;
    if (!values)
      continue;
    for (const Node &value :
         values->isList() ? values->items : std::vector<Node>{*values}) {
      if (value.text == wanted->text)
        return std::string(preset.name);
      known.push_back(value.text);
    }
  }
  llvm::sort(known);
  return makeSpecError(1014, wanted->loc,
                       "the setting '" + key + ": " + wanted->text +
                           "' is not implemented, known are " +
                           llvm::join(known, ", "));
}

llvm::Expected<Node> qwen::loadHfTree(llvm::StringRef configPath,
                                      const LoadOptions &options,
                                      std::set<std::string> &mentioned) {
  llvm::Expected<std::string> text = readTextFile(configPath);
  if (!text)
    return text.takeError();
  llvm::Expected<Node> config = parseJson(*text, configPath);
  if (!config)
    return config;
  if (!config->isMap())
    return makeSpecError(1004, config->loc,
                         "expected a map of keys, got " + config->describe());
  llvm::Expected<std::string> family = findFamily(*config);
  if (!family)
    return family.takeError();
  llvm::Expected<Node> tree = loadPresetTree(*family);
  if (!tree)
    return tree;
  collectNames(*tree, mentioned);
  for (const std::string &text : options.overrides)
    if (llvm::StringRef(text).starts_with("hf."))
      if (llvm::Error error = applyOverride(*tree, text))
        return std::move(error);
  tree->loc = config->loc;
  if (Node *dims = tree->find("dims"))
    dims->loc = config->loc;
  if (llvm::Error error = ConfigReader(*config, *tree).run())
    return std::move(error);
  return tree;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static llvm::json::Object ropeToJson(const Rope &rope) {
  llvm::json::Object json{{"rope_theta", rope.theta}};
  const RopeScaling &s = rope.scaling;
  static const char *const types[] = {"default", "linear", "llama3", "yarn"};
  json["rope_type"] = types[static_cast<unsigned>(s.kind)];
  if (s.kind != RopeScaling::Kind::None)
    json["factor"] = s.factor;
  if (s.kind == RopeScaling::Kind::Llama3 || s.kind == RopeScaling::Kind::Yarn)
    json["original_max_position_embeddings"] = s.originalContext;
  if (s.kind == RopeScaling::Kind::Llama3) {
    json["low_freq_factor"] = s.lowFreq;
    json["high_freq_factor"] = s.highFreq;
  }
  if (s.kind == RopeScaling::Kind::Yarn) {
    json["beta_fast"] = s.betaFast;
    json["beta_slow"] = s.betaSlow;
    json["attention_factor"] = s.attentionFactor;
    json["truncate"] = s.truncate;
  }
  return json;
}

void Resolver::buildHfConfig() {
  const Node *section = root.find("hf");
  if (!section)
    return;
  MapReader hf(*this, section, "hf");
  llvm::json::Object &out = spec.hfConfig;
  const Node *keys = hf.get("keys"), *write = hf.get("write");
  const Node *architectures = hf.get("architectures");
  const Node *modelType = hf.get("model_type"), *ropeSection = hf.get("rope");
  const Node *window = hf.get("window");
  hf.get("accept");
  hf.finish();
  for (auto [node, name] :
       {std::pair(keys, "hf.keys"), {write, "hf.write"}, {window, "hf.window"}})
    if (node && !node->isMap())
      return error(1004, node->loc,
                   llvm::Twine("expected a map for '") + name + "', got " +
                       node->describe());
  if (write)
    for (const NodeEntry &entry : write->entries)
      out[entry.key] = nodeToJson(entry.value);
  if (architectures)
    out["architectures"] = architectures->isList()
                               ? nodeToJson(*architectures)
                               : llvm::json::Array{nodeToJson(*architectures)};
  if (modelType)
    out["model_type"] = nodeToJson(*modelType);
  if (spec.window) {
    out["sliding_window"] = spec.window;
    if (window)
      for (const NodeEntry &entry : window->entries)
        out[entry.key] = nodeToJson(entry.value);
  }
  // Checkpoints hold the f32 masters. Both spellings, for transformers 4 and 5.
  out["dtype"] = "float32";
  out["torch_dtype"] = "float32";
  if (ropeSection) {
    out["rope_parameters"] = ropeToJson(spec.rope);
    out["rope_theta"] = spec.rope.theta;
    out["rope_scaling"] = spec.rope.scaling.kind == RopeScaling::Kind::None
                              ? llvm::json::Value(nullptr)
                              : ropeToJson(spec.rope);
  }
  if (!keys)
    return;
  for (const NodeEntry &rule : keys->entries) {
    const Node *to = rule.value.isMap() ? rule.value.find("to") : &rule.value;
    if (!to || !to->isScalar())
      return error(1004, rule.value.loc,
                   "expected a key to set for 'hf.keys." + rule.key + "'");
    llvm::StringRef target(to->text);
    llvm::json::Value value = nullptr;
    if (target.consume_front("dims.")) {
      auto it = spec.dims.find(target.str());
      if (it != spec.dims.end())
        value = it->second.value;
    } else if (target == "norm_eps") {
      value = spec.normEps;
    } else if (target == "tie_embeddings") {
      value = spec.tieEmbeddings;
    } else if (target == "infer.eos") {
      if (spec.eos.size() == 1)
        value = spec.eos.front();
      else if (!spec.eos.empty())
        value = llvm::json::Array(spec.eos);
    } else if (const Node *node = root.findPath(target)) {
      // What is transformers' default is left out: a whole real number would be
      // written as an integer, which some of its fields refuse.
      if (const Node *usual = rule.value.find("default");
          usual && sameScalar(*usual, *node))
        continue;
      const Node *off = rule.value.find("if_null");
      if (!off || !sameScalar(*off, *node))
        value = nodeToJson(*node);
    }
    out[rule.key] = std::move(value);
  }
}
