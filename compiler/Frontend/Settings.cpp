//===- Settings.cpp - Everything but the architecture ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <cmath>

#include "compiler/Frontend/Resolver.h"
#include "llvm/ADT/StringExtras.h"

using namespace qwen;

namespace {
constexpr double huge = 1e300;
constexpr int64_t maxCount = int64_t(1) << 53;
} // namespace

DType Resolver::dtype(const Node &node, llvm::StringRef what) {
  return choice(node, what, {"f32", "bf16"}) ? DType::BF16 : DType::F32;
}

//===----------------------------------------------------------------------===//
// RoPE
//===----------------------------------------------------------------------===//

RopeScaling Resolver::ropeScaling(const Node &node, llvm::StringRef what) {
  RopeScaling scaling;
  if (node.isScalar()) {
    choice(node, what, {"none"});
    return scaling;
  }
  MapReader map(*this, &node, what);
  const Node *type = map.require("type");
  if (!type)
    return scaling;
  scaling.kind = static_cast<RopeScaling::Kind>(
      choice(*type, map.pathOf("type"), {"none", "linear", "llama3", "yarn"}));
  if (scaling.kind == RopeScaling::Kind::None) {
    map.finish();
    return scaling;
  }
  auto positive = [&](llvm::StringRef key, double &value) {
    if (const Node *n = map.get(key))
      value = real(*n, map.pathOf(key), 1e-9, 1e9);
  };
  if (const Node *factor = map.require("factor"))
    scaling.factor = real(*factor, map.pathOf("factor"), 1, 1e6);
  if (scaling.kind == RopeScaling::Kind::Linear) {
    map.finish();
    return scaling;
  }
  scaling.originalContext = spec.dims["context"].value;
  if (const Node *n = map.get("original_context"))
    scaling.originalContext =
        integer(*n, map.pathOf("original_context"), 1, INT32_MAX);
  if (scaling.kind == RopeScaling::Kind::Llama3) {
    positive("low_freq_factor", scaling.lowFreq);
    positive("high_freq_factor", scaling.highFreq);
    if (!failed() && scaling.highFreq <= scaling.lowFreq)
      error(1004, node.loc,
            "'" + map.pathOf("high_freq_factor") +
                "' must be above low_freq_factor");
  } else {
    positive("beta_fast", scaling.betaFast);
    positive("beta_slow", scaling.betaSlow);
    if (const Node *n = map.get("truncate"))
      scaling.truncate = boolean(*n, map.pathOf("truncate"));
    double mscale = 0, mscaleAll = 0;
    positive("mscale", mscale);
    positive("mscale_all_dim", mscaleAll);
    auto magnitude = [&](double m) {
      return scaling.factor <= 1 ? 1.0
                                 : 0.1 * m * std::log(scaling.factor) + 1.0;
    };
    scaling.attentionFactor = mscale && mscaleAll
                                  ? magnitude(mscale) / magnitude(mscaleAll)
                                  : magnitude(1);
    positive("attention_factor", scaling.attentionFactor);
  }
  map.finish();
  return scaling;
}

Rope Resolver::rope(const Node *node, llvm::StringRef what) {
  Rope result;
  MapReader map(*this, node, what);
  if (const Node *theta = map.get("theta"))
    result.theta = real(*theta, map.pathOf("theta"), 1, 1e12);
  if (const Node *scaling = map.get("scaling"))
    result.scaling = ropeScaling(*scaling, map.pathOf("scaling"));
  map.finish();
  return result;
}

int64_t Resolver::window(const Node &node, llvm::StringRef what) {
  if (node.isNull() || (node.isScalar() && node.text == "none"))
    return 0;
  return integer(node, what, 1, INT32_MAX);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// `16 GiB`, `800 MB` or a number of bytes.
static std::optional<int64_t> parseBytes(llvm::StringRef text) {
  size_t end = text.find_first_not_of("0123456789.");
  double number;
  if (!llvm::to_float(text.take_front(end), number))
    return std::nullopt;
  llvm::StringRef unit =
      end == llvm::StringRef::npos ? "" : text.substr(end).trim();
  double scale = llvm::StringSwitch<double>(unit)
                     .Cases({"", "B"}, 1)
                     .Case("KB", 1e3)
                     .Case("MB", 1e6)
                     .Case("GB", 1e9)
                     .Case("TB", 1e12)
                     .Case("KiB", 1024.0)
                     .Case("MiB", 1048576.0)
                     .Case("GiB", 1073741824.0)
                     .Case("TiB", 1099511627776.0)
                     .Default(0);
  double bytes = number * scale;
  if (scale == 0 || !(bytes >= 1 && bytes < 9e18))
    return std::nullopt;
  return static_cast<int64_t>(bytes);
}

//===----------------------------------------------------------------------===//
// Training and inference
//===----------------------------------------------------------------------===//

void Resolver::readSchedule(const Node *node) {
  MapReader map(*this, node, "train.schedule");
  static const llvm::StringRef kinds[] = {"cosine", "linear", "constant", "wsd",
                                          "trapezoid"};
  Schedule &s = spec.schedule;
  if (const Node *n = map.require("kind"))
    s.kind = kinds[choice(*n, "train.schedule.kind", kinds)].str();
  if (const Node *n = map.get("warmup"))
    s.warmup = integer(*n, "train.schedule.warmup", 0, maxCount);
  if (const Node *n = map.get("min_lr"))
    s.minLr = real(*n, "train.schedule.min_lr", 0, huge);
  if (const Node *n = map.get("decay"))
    s.decay = real(*n, "train.schedule.decay", 0, 1);
  for (const char *key : {"steps", "tokens", "flops", "tokens_per_parameter"}) {
    const Node *n = map.get(key);
    if (!n)
      continue;
    if (!s.horizon.empty())
      error(1004, n->loc,
            "expected one of train.schedule." + s.horizon + " and " + key +
                ", got both");
    s.horizon = key;
    std::string path = map.pathOf(key);
    s.length = s.horizon == "steps" || s.horizon == "tokens"
                   ? integer(*n, path, 1, maxCount)
                   : real(*n, path, 1e-9, huge);
  }
  map.finish();
}

void Resolver::readTrain() {
  MapReader map(*this, root.find("train"), "train");
  if (const Node *n = map.require("batch"))
    spec.trainBatch = integer(*n, "train.batch", 1, 1 << 24);
  if (const Node *n = map.require("sequence")) {
    spec.trainSequence = integer(*n, "train.sequence", 1, INT32_MAX);
    int64_t context = spec.dims["context"].value;
    if (!failed() && spec.trainSequence > context)
      error(1007, n->loc,
            "train.sequence must not be above dims.context, got " +
                llvm::Twine(spec.trainSequence) + " and " +
                llvm::Twine(context));
  }
  if (const Node *n = map.get("accumulate"))
    spec.trainAccumulate = integer(*n, "train.accumulate", 1, 1 << 24);
  if (const Node *n = map.get("seed"))
    spec.seed = integer(*n, "train.seed", 0, INT64_MAX);
  readTrainRun(map);
  if (const Node *n = map.get("z_loss"))
    spec.zLoss = real(*n, "train.z_loss", 0, 1);
  map.require("optimizer"); // read when the parameters are known
  readSchedule(map.require("schedule"));
  map.finish();
}

void Resolver::readInfer() {
  MapReader map(*this, root.find("infer"), "infer");
  int64_t context = spec.dims["context"].value;
  if (const Node *n = map.require("batch"))
    spec.inferBatch = integer(*n, "infer.batch", 1, 1 << 24);
  if (const Node *n = map.require("context")) {
    spec.inferContext = integer(*n, "infer.context", 1, INT32_MAX);
    if (!failed() && spec.inferContext > context)
      error(1007, n->loc,
            "infer.context must not be above dims.context, got " +
                llvm::Twine(spec.inferContext) + " and " +
                llvm::Twine(context));
  }
  // The size of a chunk of a prompt: longer than the context has no use.
  if (const Node *n = map.require("prefill"))
    spec.inferPrefill =
        std::min(integer(*n, "infer.prefill", 1, INT32_MAX), spec.inferContext);
  // The compute type, or a quantized form.
  const llvm::StringRef forms[] = {stringifyDType(spec.dtype), "int8", "int4"};
  spec.inferWeights = forms[0].str();
  if (const Node *n = map.get("weights"))
    spec.inferWeights = forms[choice(*n, "infer.weights", forms)].str();
  if (const Node *n = map.get("eos")) {
    if (n->isList())
      for (const Node &item : n->items)
        spec.eos.push_back(integer(item, "infer.eos", 0, INT32_MAX));
    else
      spec.eos.push_back(integer(*n, "infer.eos", 0, INT32_MAX));
  }
  map.finish();
}

void Resolver::readSettings() {
  if (const Node *n = root.find("family"); n && !n->isNull())
    spec.family = string(*n, "family");
  if (const Node *n = root.find("name"); n && !n->isNull()) {
    spec.name = string(*n, "name");
    if (spec.name.empty() || spec.name.front() == '.' ||
        llvm::StringRef(spec.name).find_first_of("/\\\n\r\t") !=
            llvm::StringRef::npos)
      error(1004, n->loc,
            "'name' must be usable as a file name, got " + n->describe());
  }
  if (const Node *n = root.find("dtype"); n && !n->isNull())
    spec.dtype = dtype(*n, "dtype");
  if (const Node *n = root.find("tie_embeddings"); n && !n->isNull())
    spec.tieEmbeddings = boolean(*n, "tie_embeddings");
  if (const Node *n = root.find("norm_eps"); n && !n->isNull())
    spec.normEps = real(*n, "norm_eps", 0, 1);
  const Node *options = root.find("options");
  if (options && !options->isNull() && !options->isMap())
    error(1004, options->loc,
          "expected a map for 'options', got " + options->describe());
  if (options)
    for (const NodeEntry &entry : options->entries)
      if (!entry.value.isScalar())
        error(1004, entry.value.loc,
              "expected a number, a boolean or a string for 'options." +
                  entry.key + "', got " + entry.value.describe());
  spec.rope = rope(root.find("rope"), "rope");
  MapReader attention(*this, root.find("attention"), "attention");
  if (const Node *n = attention.get("window"))
    spec.window = window(*n, "attention.window");
  attention.finish();
  readMesh();
  MapReader memory(*this, root.find("memory"), "memory");
  if (const Node *n = memory.get("budget")) {
    spec.memoryBudget = parseBytes(string(*n, "memory.budget"));
    if (!spec.memoryBudget)
      error(1004, n->loc,
            "expected a size as 16 GiB for 'memory.budget', got " +
                n->describe());
  }
  memory.finish();
  readTrain();
  readInfer();
  readRunEvents();
}
