//===- Resolver.h - From a merged tree to a model ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Private to the front end. Readers keep going after an error with harmless
// values; the first error is the one reported.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FRONTEND_RESOLVER_H
#define QWEN_COMPILER_FRONTEND_RESOLVER_H

#include <set>

#include "compiler/Frontend/Expr.h"
#include "compiler/Frontend/Node.h"

namespace qwen {

/// The dims that every model has.
llvm::ArrayRef<llvm::StringRef> standardDims();

class Resolver {
public:
  /// `mentioned`: dims that some expression of the files refers to, before
  /// overrides replaced it.
  Resolver(const Node &root, std::set<std::string> mentioned)
      : root(root), usedDims(std::move(mentioned)) {}

  /// Reads everything. `name` is the model's.
  llvm::Expected<ModelSpec> run(llvm::StringRef name);

  //===--- Errors and values, used by all readers -------------------------===//

  void error(int code, const SourceLoc &loc, const llvm::Twine &message);
  void error(llvm::Error failure);
  bool failed() const { return first.has_value(); }

  /// A whole number in [low, high]; `what` names the key in messages.
  int64_t integer(const Node &node, llvm::StringRef what, int64_t low,
                  int64_t high);
  /// A real number in [low, high].
  double real(const Node &node, llvm::StringRef what, double low, double high,
              const std::map<std::string, int64_t> *extra = nullptr);
  bool boolean(const Node &node, llvm::StringRef what);
  std::string string(const Node &node, llvm::StringRef what);
  /// One of `choices`; returns its index.
  unsigned choice(const Node &node, llvm::StringRef what,
                  llvm::ArrayRef<llvm::StringRef> choices);
  DType dtype(const Node &node, llvm::StringRef what);
  /// `[not] key [== value]`; no node: true.
  bool condition(const Node *node);

  int64_t dim(llvm::StringRef name, const SourceLoc &loc);
  Axis axis(const Node &node);
  /// An axis that is one dim.
  Axis axisOf(llvm::StringRef name, const SourceLoc &loc);
  Rope rope(const Node *node, llvm::StringRef what);
  /// Keys that a query sees: a whole number, or `none` (0).
  int64_t window(const Node &node, llvm::StringRef what);

  const Node &root;
  ModelSpec spec;

private:
  llvm::Expected<Number> dimNumber(llvm::StringRef name, const SourceLoc &loc);
  Number evaluateNode(const Node &node, llvm::StringRef what,
                      const std::map<std::string, int64_t> *extra);

  // The parts, one file each.
  void readDims();
  void readSettings();
  void readParams();
  void readGraphs();
  void checkUse();
  void readOverrides();
  void readOptimizer();
  void buildHfConfig();

  RopeScaling ropeScaling(const Node &node, llvm::StringRef what);
  void readMesh();
  void readRules(const Node &node, llvm::StringRef what,
                 std::map<std::string, std::string> &rules);
  void readParameterRules(const Node &node, llvm::StringRef what);
  void checkRules(const Param &param, const Node &written);
  void readTrain();
  void readSchedule(const Node *node);
  llvm::json::Value dataEntry(const Node &node);
  void readTrainRun(class MapReader &train);
  void readRunEvents();
  void readInfer();
  void readMuon(const Node *node);
  std::pair<double, double> readBetas(const Node &node, llvm::StringRef what);
  void readGroup(const Node &node, llvm::StringRef what,
                 std::vector<int> &groupOf);
  void readParamMap(const Node *params, llvm::StringRef path, bool perLayer);
  void readParam(const NodeEntry &entry, llvm::StringRef path, bool perLayer);
  Init readInit(const Node *node, llvm::StringRef what, const Param &param);
  void readViews(const Node &node, llvm::StringRef format, Param &param);
  FileView readView(const Node &node, const Param &param, const SourceLoc &loc);

  std::optional<SpecError> first;
  std::map<std::string, Number> dimValues;
  std::set<std::string> dimsInProgress;
  std::set<std::string> usedDims;

public:
  // Names that exist but are switched off by `when`, and tied names.
  std::set<std::string> inactiveParams;
  std::map<std::string, std::string> tiedTo;
  std::set<std::string> usedParams;
};

/// The values of a map with a closed set of keys.
class MapReader {
public:
  /// `node` may be null: then every key is absent.
  MapReader(Resolver &resolver, const Node *node, llvm::StringRef path);

  /// The value of `key`, or null if absent.
  const Node *get(llvm::StringRef key);
  /// As get, but an absent key is an error; returns null then.
  const Node *require(llvm::StringRef key);
  /// Reports keys that were never asked for.
  void finish();
  std::string pathOf(llvm::StringRef key) const {
    return path.empty() ? key.str() : path + "." + key.str();
  }

private:
  Resolver &resolver;
  const Node *node;
  std::string path;
  std::vector<std::string> known;
};

} // namespace qwen

#endif // QWEN_COMPILER_FRONTEND_RESOLVER_H
