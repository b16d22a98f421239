//===- Resolver.cpp - Values of a model file ------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Resolver.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace qwen;

llvm::ArrayRef<llvm::StringRef> qwen::standardDims() {
  static const llvm::StringRef names[] = {"layers",   "hidden",   "heads",
                                          "kv_heads", "head_dim", "ffn",
                                          "vocab",    "context"};
  return names;
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

void Resolver::error(int code, const SourceLoc &loc,
                     const llvm::Twine &message) {
  if (!first)
    first.emplace(code, loc, message.str());
}

void Resolver::error(llvm::Error failure) {
  llvm::handleAllErrors(
      std::move(failure),
      [&](const SpecError &e) { error(e.code, e.loc, e.message); },
      [&](const llvm::ErrorInfoBase &e) { error(1004, {}, e.message()); });
}

MapReader::MapReader(Resolver &resolver, const Node *node, llvm::StringRef path)
    : resolver(resolver), node(node), path(path.str()) {
  if (node && !node->isMap()) {
    if (!node->isNull())
      resolver.error(1004, node->loc,
                     "expected a map for '" + path + "', got " +
                         node->describe());
    this->node = nullptr;
  }
}

const Node *MapReader::get(llvm::StringRef key) {
  known.push_back(key.str());
  const Node *value = node ? node->find(key) : nullptr;
  return value && !value->isNull() ? value : nullptr;
}

const Node *MapReader::require(llvm::StringRef key) {
  const Node *value = get(key);
  // A misspelling says more than an absence.
  if (!value && node)
    for (const NodeEntry &entry : node->entries)
      if (std::string hint = suggestNearest(entry.key, {key.str()});
          !hint.empty() && !llvm::is_contained(known, entry.key))
        resolver.error(1003, entry.loc,
                       "unknown key '" + pathOf(entry.key) + "'" + hint);
  if (!value)
    resolver.error(1005, node ? node->loc : resolver.root.loc,
                   "missing key '" + pathOf(key) + "'");
  return value;
}

void MapReader::finish() {
  if (!node)
    return;
  for (const NodeEntry &entry : node->entries)
    if (!llvm::is_contained(known, entry.key)) {
      std::string hint = suggestNearest(entry.key, known);
      if (hint.empty()) {
        std::vector<std::string> sorted = known;
        llvm::sort(sorted);
        hint = ", known are " + llvm::join(sorted, ", ");
      }
      resolver.error(1003, entry.loc,
                     "unknown key '" + pathOf(entry.key) + "'" + hint);
    }
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

Number Resolver::evaluateNode(const Node &node, llvm::StringRef what,
                              const std::map<std::string, int64_t> *extra) {
  if (!node.isScalar() || parseBool(node)) {
    error(1004, node.loc,
          "expected a number for '" + what + "', got " + node.describe());
    return Number::whole(1);
  }
  llvm::Expected<Number> value =
      evaluate(node.text, node.loc,
               [&](llvm::StringRef name,
                   const SourceLoc &loc) -> llvm::Expected<Number> {
                 if (extra)
                   if (auto it = extra->find(name.str()); it != extra->end())
                     return Number::whole(it->second);
                 return dimNumber(name, loc);
               });
  if (!value) {
    error(value.takeError());
    return Number::whole(1);
  }
  return *value;
}

int64_t Resolver::integer(const Node &node, llvm::StringRef what, int64_t low,
                          int64_t high) {
  Number value = evaluateNode(node, what, nullptr);
  if (failed())
    return std::max<int64_t>(low, 1);
  if (!value.isWhole()) {
    std::string shown =
        value.exact
            ? (llvm::Twine(value.num) + "/" + llvm::Twine(value.den)).str()
            : llvm::formatv("{0}", value.real).str();
    error(1006, node.loc,
          "'" + what + "' must be a whole number, got " + node.describe() +
              " = " + shown + ", use floor or ceil");
    return std::max<int64_t>(low, 1);
  }
  if (value.num < low || value.num > high) {
    error(1004, node.loc,
          "'" + what + "' must be between " + llvm::Twine(low) + " and " +
              llvm::Twine(high) + ", got " + llvm::Twine(value.num));
    return std::max<int64_t>(low, 1);
  }
  return value.num;
}

double Resolver::real(const Node &node, llvm::StringRef what, double low,
                      double high,
                      const std::map<std::string, int64_t> *extra) {
  Number value = evaluateNode(node, what, extra);
  if (failed())
    return low;
  if (!(value.real >= low && value.real <= high)) {
    error(1004, node.loc,
          llvm::formatv("'{0}' must be between {1} and {2}, got {3}", what, low,
                        high, value.real)
              .str());
    return low;
  }
  return value.real;
}

bool Resolver::boolean(const Node &node, llvm::StringRef what) {
  std::optional<bool> value = parseBool(node);
  if (!value)
    error(1004, node.loc,
          "expected true or false for '" + what + "', got " + node.describe());
  return value.value_or(false);
}

std::string Resolver::string(const Node &node, llvm::StringRef what) {
  if (!node.isScalar()) {
    error(1004, node.loc,
          "expected a string for '" + what + "', got " + node.describe());
    return "";
  }
  return node.text;
}

unsigned Resolver::choice(const Node &node, llvm::StringRef what,
                          llvm::ArrayRef<llvm::StringRef> choices) {
  std::string value = string(node, what);
  for (unsigned i = 0; i < choices.size(); ++i)
    if (value == choices[i])
      return i;
  error(1004, node.loc,
        "'" + what + "' must be one of " + llvm::join(choices, ", ") +
            ", got " + node.describe());
  return 0;
}

bool Resolver::condition(const Node *node) {
  if (!node)
    return true;
  if (std::optional<bool> constant = parseBool(*node))
    return *constant;
  std::string owned = string(*node, "when");
  llvm::StringRef text = owned;
  auto [left, right] = text.split("==");
  left = left.trim();
  right = right.trim();
  bool negate = left.consume_front("not ");
  left = left.trim();
  const Node *value = root.findPath(left);
  if (!value)
    if (const Node *options = root.find("options"))
      value = options->findPath(left);
  if (!value) {
    error(1003, node->loc, "unknown key '" + left + "' in a condition");
    return false;
  }
  bool holds;
  if (text.contains("==")) {
    holds = value->isScalar() && value->text == right;
  } else if (std::optional<bool> flag = parseBool(*value)) {
    holds = *flag;
  } else if (value->isNull()) {
    holds = false;
  } else {
    double number;
    llvm::StringRef raw(value->text);
    holds = !value->isScalar() || !llvm::to_float(raw, number) || number != 0;
  }
  return holds != negate;
}

//===----------------------------------------------------------------------===//
// Dims
//===----------------------------------------------------------------------===//

llvm::Expected<Number> Resolver::dimNumber(llvm::StringRef name,
                                           const SourceLoc &loc) {
  if (auto it = dimValues.find(name.str()); it != dimValues.end())
    return it->second;
  const Node *dims = root.find("dims");
  const Node *node = dims ? dims->find(name) : nullptr;
  if (!node || node->isNull()) {
    const Node *options = root.find("options");
    if (const Node *option = options ? options->find(name) : nullptr)
      return evaluate(option->text, option->loc,
                      [](llvm::StringRef name,
                         const SourceLoc &loc) -> llvm::Expected<Number> {
                        return makeSpecError(
                            1006, loc, "expected a number, got '" + name + "'");
                      });
    std::vector<std::string> names;
    if (dims)
      for (const NodeEntry &entry : dims->entries)
        names.push_back(entry.key);
    bool standard = llvm::is_contained(standardDims(), name);
    return makeSpecError(1005, standard && dims ? dims->loc : loc,
                         (standard ? "missing dim 'dims." : "unknown dim '") +
                             name + "'" +
                             (standard ? "" : suggestNearest(name, names)));
  }
  if (!node->isScalar() || parseBool(*node))
    return makeSpecError(1004, node->loc,
                         "expected a number for 'dims." + name + "', got " +
                             node->describe());
  if (!dimsInProgress.insert(name.str()).second)
    return makeSpecError(1008, loc,
                         "the dims " + llvm::join(dimsInProgress, ", ") +
                             " are defined by each other");
  if (dimsInProgress.size() > 64)
    return makeSpecError(1009, loc,
                         "dims refer to each other over more than "
                         "64 steps");
  llvm::Expected<Number> value = evaluate(
      node->text, node->loc, [&](llvm::StringRef other, const SourceLoc &at) {
        return dimNumber(other, at);
      });
  dimsInProgress.erase(name.str());
  if (!value)
    return value;
  if (!value->isWhole()) {
    std::string shown =
        value->exact
            ? (llvm::Twine(value->num) + "/" + llvm::Twine(value->den)).str()
            : llvm::formatv("{0}", value->real).str();
    return makeSpecError(1006, node->loc,
                         "dim '" + name + "' must be a whole number, got " +
                             node->describe() + " = " + shown +
                             ", use floor or ceil");
  }
  if (value->num < 1 || value->num > INT32_MAX)
    return makeSpecError(1004, node->loc,
                         "dim '" + name + "' must be between 1 and " +
                             llvm::Twine(INT32_MAX) + ", got " +
                             llvm::Twine(value->num));
  dimValues[name.str()] = *value;
  return *value;
}

int64_t Resolver::dim(llvm::StringRef name, const SourceLoc &loc) {
  llvm::Expected<Number> value = dimNumber(name, loc);
  if (!value) {
    error(value.takeError());
    return 1;
  }
  return value->num;
}

void Resolver::readDims() {
  const Node *dims = root.find("dims");
  if (dims && !dims->isMap())
    return error(1004, dims->loc,
                 "expected a map for 'dims', got " + dims->describe());
  SourceLoc loc = dims ? dims->loc : root.loc;
  for (llvm::StringRef name : standardDims())
    if (name != "ffn" || (dims && dims->find(name)))
      dim(name, loc);
  if (failed())
    return;
  for (const NodeEntry &entry : dims->entries)
    if (!entry.value.isNull())
      spec.dims[entry.key] = {dim(entry.key, entry.loc), entry.value.loc};
  if (failed())
    return;
  const Dim &heads = spec.dims["heads"], &kvHeads = spec.dims["kv_heads"];
  if (heads.value % kvHeads.value)
    error(1007, heads.loc.line ? kvHeads.loc : heads.loc,
          "heads must be a multiple of kv_heads, got " +
              llvm::Twine(heads.value) + " and " + llvm::Twine(kvHeads.value));
}

Axis Resolver::axisOf(llvm::StringRef name, const SourceLoc &loc) {
  Axis axis;
  axis.factors = {name.str()};
  axis.sizes = {dim(name, loc)};
  axis.size = axis.sizes[0];
  return axis;
}

Axis Resolver::axis(const Node &node) {
  Axis axis;
  llvm::SmallVector<llvm::StringRef> factors;
  std::string text = string(node, "axes");
  llvm::StringRef(text).split(factors, '*');
  for (llvm::StringRef factor : factors) {
    factor = factor.trim();
    axis.factors.push_back(factor.str());
    axis.sizes.push_back(dim(factor, node.loc));
    if (__builtin_mul_overflow(axis.size, axis.sizes.back(), &axis.size) ||
        axis.size > INT32_MAX) {
      error(1006, node.loc,
            "axis '" + text + "' is larger than " + llvm::Twine(INT32_MAX));
      axis.size = 1;
      break;
    }
  }
  return axis;
}

void Resolver::checkUse() {
  for (const auto &[name, dim] : spec.dims)
    if (!usedDims.count(name) && !llvm::is_contained(standardDims(), name)) {
      std::vector<std::string> names;
      for (llvm::StringRef standard : standardDims())
        names.push_back(standard.str());
      error(1003, dim.loc,
            "nothing uses the dim '" + name + "'" +
                suggestNearest(name, names));
    }
  for (const Param &param : spec.params)
    if (!usedParams.count(param.name))
      error(1012, param.loc, "no op uses the parameter '" + param.name + "'");
}

llvm::Expected<ModelSpec> Resolver::run(llvm::StringRef name) {
  spec.name = name.str();
  MapReader top(*this, &root, "");
  for (const char *key :
       {"name",     "description",    "dims",       "options",
        "params",   "block",          "model",      "parallel",
        "memory",   "train",          "checkpoint", "eval",
        "log",      "infer",          "hf",         "rope",
        "dtype",    "tie_embeddings", "norm_eps",   "family",
        "attention"})
    top.get(key);
  top.finish();
  using Step = void (Resolver::*)();
  for (Step step :
       {&Resolver::readDims, &Resolver::readSettings, &Resolver::readParams,
        &Resolver::readGraphs, &Resolver::checkUse, &Resolver::readOverrides,
        &Resolver::readOptimizer, &Resolver::buildHfConfig})
    if (!failed())
      (this->*step)();
  if (first)
    return makeSpecError(first->code, first->loc, first->message);
  return std::move(spec);
}
