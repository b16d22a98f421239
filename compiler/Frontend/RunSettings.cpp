//===- RunSettings.cpp - What only the training loop reads ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// These settings shape no code: they are checked here, and the manifest hands
// them to `qwen-rt train` as defaults.
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Resolver.h"

using namespace qwen;

namespace {
constexpr double huge = 1e300;
constexpr int64_t maxCount = int64_t(1) << 53;
} // namespace

/// `FILE`, or `{file: FILE, weight: 2, type: u16}`.
llvm::json::Value Resolver::dataEntry(const Node &node) {
  if (!node.isMap())
    return string(node, "train.data");
  llvm::json::Object entry;
  MapReader map(*this, &node, "train.data");
  if (const Node *n = map.require("file"))
    entry["file"] = string(*n, "train.data.file");
  if (const Node *n = map.get("weight"))
    entry["weight"] = real(*n, "train.data.weight", 1e-9, 1e9);
  if (const Node *n = map.get("type")) {
    static const llvm::StringRef types[] = {"u16", "u32"};
    entry["type"] = types[choice(*n, "train.data.type", types)].str();
  }
  map.finish();
  return entry;
}

void Resolver::readTrainRun(MapReader &train) {
  llvm::json::Array data;
  if (const Node *n = train.get("data")) {
    if (n->isList())
      for (const Node &item : n->items)
        data.push_back(dataEntry(item));
    else
      data.push_back(dataEntry(*n));
  }
  llvm::json::Object run{{"data", std::move(data)}};
  if (const Node *n = train.get("document_mask"))
    run["document_mask"] = boolean(*n, "train.document_mask");
  if (const Node *n = train.get("nonfinite")) {
    static const llvm::StringRef kinds[] = {"stop", "skip"};
    run["nonfinite"] = kinds[choice(*n, "train.nonfinite", kinds)].str();
  }
  if (const Node *n = train.get("max_skips"))
    run["max_skips"] = integer(*n, "train.max_skips", 1, maxCount);
  if (const Node *n = train.get("skip_outliers"))
    run["skip_outliers"] = real(*n, "train.skip_outliers", 0, huge);
  spec.defaults["train"] = std::move(run);
}

void Resolver::readRunEvents() {
  auto count = [&](llvm::StringRef key, MapReader &map, llvm::json::Object &out,
                   bool required = true) {
    if (const Node *n = required ? map.require(key) : map.get(key))
      out[key] = integer(*n, map.pathOf(key), 0, maxCount);
  };
  auto flag = [&](llvm::StringRef key, MapReader &map, llvm::json::Object &out,
                  bool required = true) {
    if (const Node *n = required ? map.require(key) : map.get(key))
      out[key] = boolean(*n, map.pathOf(key));
  };

  llvm::json::Object checkpoint, eval, log;
  MapReader checkpoints(*this, root.find("checkpoint"), "checkpoint");
  count("every", checkpoints, checkpoint);
  count("keep", checkpoints, checkpoint);
  count("keep_every", checkpoints, checkpoint, false);
  flag("best", checkpoints, checkpoint);
  flag("async", checkpoints, checkpoint, false);
  checkpoints.finish();

  MapReader evals(*this, root.find("eval"), "eval");
  count("every", evals, eval);
  count("batches", evals, eval);
  count("sample_every", evals, eval, false);
  count("sample_tokens", evals, eval, false);
  if (const Node *n = evals.get("sample_prompts")) {
    llvm::json::Array prompts;
    if (n->isList())
      for (const Node &item : n->items)
        prompts.push_back(string(item, "eval.sample_prompts"));
    else
      prompts.push_back(string(*n, "eval.sample_prompts"));
    eval["sample_prompts"] = std::move(prompts);
  }
  evals.finish();

  MapReader logs(*this, root.find("log"), "log");
  count("every", logs, log);
  logs.finish();
  spec.defaults["checkpoint"] = std::move(checkpoint);
  spec.defaults["eval"] = std::move(eval);
  spec.defaults["log"] = std::move(log);
}
