//===- Importer.cpp - A model as qwen ops ---------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Frontend/Importer.h"

#include "dialects/Dist/HeadOps.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace qwen;

namespace {

/// Zero heads that give every device of the tensor axis as many: `groups`
/// groups of `from` query heads become groups of `to`; key heads `kvTo`.
struct HeadPadding {
  int64_t groups = 1, from = 0, to = 0;
  int64_t kvFrom = 0, kvTo = 0;

  bool isNeeded() const { return from != to || kvFrom != kvTo; }
};

enum class EntryKind { EvalLoss, Logits, Prefill, Decode };

/// Key heads stay as they are where each has devices of its own, and their
/// groups are padded; else key heads are padded. What needs fewer heads is
/// taken.
static HeadPadding padHeads(const ModelSpec &spec) {
  HeadPadding padding;
  auto heads = spec.dims.find("heads"), kvHeads = spec.dims.find("kv_heads");
  auto rule = spec.rules.find("heads"), kvRule = spec.rules.find("kv_heads");
  if (!spec.padHeads || heads == spec.dims.end() ||
      kvHeads == spec.dims.end() || rule == spec.rules.end() ||
      kvRule == spec.rules.end() || rule->second != kvRule->second)
    return padding;
  int64_t ways = 1;
  for (const auto &[axis, size] : spec.mesh)
    if (axis == rule->second)
      ways = size;
  int64_t groups = kvHeads->second.value;
  int64_t group = heads->second.value / groups;
  auto up = [](int64_t count, int64_t multiple) {
    return (count + multiple - 1) / multiple * multiple;
  };
  int64_t kvTo = up(groups, ways);
  if (ways % groups == 0 && groups * up(group, ways / groups) <= kvTo * group)
    padding = {groups, group, up(group, ways / groups), groups, groups};
  else
    padding = {1, groups * group, kvTo * group, groups, kvTo};
  return padding;
}

/// Builds one entry point.
class EntryBuilder {
public:
  EntryBuilder(OpBuilder &builder, const ModelSpec &spec, EntryKind kind,
               int64_t batch, int64_t sequence)
      : b(builder), spec(spec), padding(padHeads(spec)), kind(kind),
        batch(batch), sequence(sequence),
        cached(kind == EntryKind::Prefill || kind == EntryKind::Decode) {
    compute =
        spec.dtype == DType::F32 ? Type(b.getF32Type()) : Type(b.getBF16Type());
  }

  void build(StringRef name);

private:
  struct Argument {
    StringRef name, role;
    Type type;
    bool optional = false;
  };

  Location locOf(const SourceLoc &loc) {
    return FileLineColLoc::get(
        b.getContext(), llvm::sys::path::filename(loc.file), loc.line, loc.col);
  }
  RankedTensorType tensor(ArrayRef<int64_t> shape, Type element) {
    return RankedTensorType::get(shape, element);
  }
  /// [batch, sequence, ...rest].
  RankedTensorType rows(ArrayRef<int64_t> rest, Type element, int64_t length) {
    SmallVector<int64_t> shape = {batch, length};
    shape.append(rest.begin(), rest.end());
    return tensor(shape, element);
  }

  Value param(StringRef name, Location loc);
  int64_t paddedSize(const Axis &axis) const;
  Value reshape(Value value, RankedTensorType type, Location loc);
  Value flat(Value value, Location loc);
  Value heads(Value value, const Axis &axis, Location loc);
  Value positions(Location loc);
  std::pair<Value, Value> ropeTable(const GraphOp &op);
  Value buildGraph(const Graph &graph, Value input);
  Value buildOp(const GraphOp &op, const Graph &graph, ArrayRef<Value> values);
  Value buildLayers(Value input, Location loc);
  Value buildAttention(const GraphOp &op, const Graph &graph,
                       ArrayRef<Value> values);
  void prepare(const Graph &graph);

  OpBuilder &b;
  const ModelSpec &spec;
  HeadPadding padding;
  EntryKind kind;
  int64_t batch, sequence;
  bool cached;
  Type compute;
  /// Length of activations; 1 behind the choice of the last token.
  int64_t length = 0;

  Value tokens, start, lengths, documentStarts, positionIds;
  SmallVector<Value> caches;     // arguments, then states, then results
  SmallVector<Value> layerCache; // of the iteration being built
  unsigned nextCache = 0;
  // Of each theta, scaling and head size.
  std::vector<std::pair<const GraphOp *, std::pair<Value, Value>>> tables;
  const GraphOp *head = nullptr; // the last linear layer
  int lastTokenAt = -1;          // index of the op of the model to go before
};

} // namespace

static qwen::ActivationKind toDialect(SpecActivation kind) {
  return static_cast<qwen::ActivationKind>(static_cast<unsigned>(kind));
}

static bool sameRope(const GraphOp &a, const GraphOp &b) {
  return a.headDim == b.headDim &&
         a.rope.inverseFrequencies(a.headDim) ==
             b.rope.inverseFrequencies(b.headDim) &&
         a.rope.scaling.attentionFactor == b.rope.scaling.attentionFactor;
}

Value EntryBuilder::param(StringRef name, Location loc) {
  if (name.empty())
    return Value();
  const Param &param = spec.param(name);
  Value value =
      GetParamOp::create(b, loc, tensor(param.shape(), compute), name);
  for (auto [i, axis] : llvm::enumerate(param.axes)) {
    SmallVector<int64_t> shape(
        cast<RankedTensorType>(value.getType()).getShape());
    if (shape[i] == paddedSize(axis))
      continue;
    shape[i] = paddedSize(axis);
    bool isKey = axis.factors.front() == "kv_heads";
    value = dist::PadGroupsOp::create(b, loc, tensor(shape, compute), value,
                                      Value(), param.axes.size() - 1 - i,
                                      isKey ? 1 : padding.groups);
  }
  return value;
}

/// The size of an axis with the heads that padding adds.
int64_t EntryBuilder::paddedSize(const Axis &axis) const {
  if (padding.isNeeded() && axis.factors.front() == "heads")
    return axis.size / (padding.groups * padding.from) * padding.groups *
           padding.to;
  if (padding.isNeeded() && axis.factors.front() == "kv_heads")
    return axis.size / padding.kvFrom * padding.kvTo;
  return axis.size;
}

Value EntryBuilder::reshape(Value value, RankedTensorType type, Location loc) {
  if (value.getType() == type)
    return value;
  // Back to what it came from.
  if (auto view = value.getDefiningOp<ReshapeOp>())
    if (view.getOperand().getType() == type)
      return view.getOperand();
  return ReshapeOp::create(b, loc, type, value);
}

/// [batch, sequence, heads * head_dim].
Value EntryBuilder::flat(Value value, Location loc) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getRank() < 4)
    return value;
  return reshape(value,
                 rows({type.getDimSize(2) * type.getDimSize(3)},
                      type.getElementType(), type.getDimSize(1)),
                 loc);
}

/// [batch, sequence, heads, head_dim].
Value EntryBuilder::heads(Value value, const Axis &axis, Location loc) {
  auto type = cast<RankedTensorType>(value.getType());
  return reshape(value,
                 rows({paddedSize(axis) / axis.sizes[1], axis.sizes[1]},
                      type.getElementType(), type.getDimSize(1)),
                 loc);
}

Value EntryBuilder::positions(Location loc) {
  if (!positionIds)
    positionIds = PositionsOp::create(
        b, loc, rows({}, b.getI32Type(), sequence), start, documentStarts);
  return positionIds;
}

std::pair<Value, Value> EntryBuilder::ropeTable(const GraphOp &op) {
  for (auto &[other, table] : tables)
    if (sameRope(*other, op))
      return table;
  Location loc = locOf(op.loc);
  SmallVector<float> frequencies;
  for (double f : op.rope.inverseFrequencies(op.headDim))
    frequencies.push_back(static_cast<float>(f));
  auto type = rows({op.headDim / 2}, b.getF32Type(), sequence);
  auto table = RopeTableOp::create(
      b, loc, type, type, positions(loc), b.getDenseF32ArrayAttr(frequencies),
      b.getF64FloatAttr(op.rope.scaling.attentionFactor));
  tables.push_back({&op, {table.getCos(), table.getSin()}});
  return tables.back().second;
}

Value EntryBuilder::buildAttention(const GraphOp &op, const Graph &graph,
                                   ArrayRef<Value> values) {
  Location loc = locOf(op.loc);
  Value qkv[3];
  for (unsigned i = 0; i < 3; ++i)
    qkv[i] = heads(values[op.inputs[i]], graph.values[op.inputs[i]], loc);
  auto scale = b.getF64FloatAttr(op.scale);
  auto window = b.getI64IntegerAttr(op.window);
  if (!cached)
    return AttentionOp::create(b, loc, qkv[0].getType(), Type(), qkv[0], qkv[1],
                               qkv[2], documentStarts, scale, window)
        .getResult();
  Value cache[2];
  for (unsigned i = 0; i < 2; ++i) {
    Value &state = layerCache[nextCache++];
    cache[i] = state =
        KvAppendOp::create(b, loc, state.getType(), qkv[1 + i], start, state);
  }
  return CachedAttentionOp::create(b, loc, qkv[0].getType(), qkv[0], cache[0],
                                   cache[1], start, scale, window);
}

Value EntryBuilder::buildLayers(Value input, Location loc) {
  int64_t count = spec.dim("layers");
  SmallVector<Type> types = {input.getType()};
  for (Value cache : caches)
    types.push_back(cache.getType());
  auto layers = LayersOp::create(b, loc, types, ValueRange(input), ValueRange(),
                                 caches, count);
  OpBuilder::InsertionGuard guard(b);
  Block *body = b.createBlock(&layers.getBody());
  body->addArgument(input.getType(), loc);
  layerCache.clear();
  for (Value cache : caches)
    layerCache.push_back(
        body->addArgument(LayersOp::slice(cache.getType()), loc));
  nextCache = 0;
  Value result = flat(buildGraph(spec.block, body->getArgument(0)), loc);
  YieldOp::create(b, loc, ValueRange(result), ValueRange(), layerCache);
  for (auto [cache, result] : llvm::zip(caches, layers.getStateResults()))
    cache = result;
  return layers.getCarriedResults().front();
}

Value EntryBuilder::buildOp(const GraphOp &op, const Graph &graph,
                            ArrayRef<Value> values) {
  Location loc = locOf(op.loc);
  auto in = [&](unsigned i) { return flat(values[op.inputs[i]], loc); };
  auto sameAs = [&](Value value) { return value.getType(); };
  const Axis &axis = graph.values[&op - graph.ops.data() + 1];

  switch (op.kind) {
  case OpKind::Embedding:
    return EmbeddingOp::create(b, loc, rows({axis.size}, compute, length),
                               values[op.inputs[0]], param(op.weight, loc));
  case OpKind::PositionEmbedding: {
    Value x = in(0);
    Value rows = EmbeddingOp::create(b, loc, x.getType(), positions(loc),
                                     param(op.weight, loc));
    return AddOp::create(b, loc, x.getType(), x, rows);
  }
  case OpKind::RmsNorm: {
    Value x = values[op.inputs[0]];
    x = op.perHead ? heads(x, axis, loc) : flat(x, loc);
    return RmsNormOp::create(b, loc, sameAs(x), Type(), x,
                             param(op.weight, loc), b.getF64FloatAttr(op.eps))
        .getResult();
  }
  case OpKind::LayerNorm: {
    Value x = in(0);
    return LayerNormOp::create(b, loc, sameAs(x), TypeRange(), x,
                               param(op.weight, loc), param(op.bias, loc),
                               b.getF64FloatAttr(op.eps))
        .getResult();
  }
  case OpKind::Linear: {
    Value x = in(0);
    // Logits are not rounded.
    Type element = &op == head ? Type(b.getF32Type()) : compute;
    return LinearOp::create(b, loc, rows({paddedSize(axis)}, element, length),
                            x, param(op.weight, loc), param(op.bias, loc));
  }
  case OpKind::Rope: {
    Value x = heads(values[op.inputs[0]], axis, loc);
    auto [cos, sin] = ropeTable(op);
    return RopeOp::create(b, loc, sameAs(x), x, cos, sin, op.inverse);
  }
  case OpKind::Attention:
    return buildAttention(op, graph, values);
  case OpKind::Glu: {
    Value gate = in(0), up = in(1);
    return GluOp::create(b, loc, sameAs(gate), toDialect(op.activation), gate,
                         up);
  }
  case OpKind::Activation: {
    Value x = in(0);
    return ActivationOp::create(b, loc, sameAs(x), toDialect(op.activation), x);
  }
  case OpKind::Softcap: {
    Value x = in(0);
    return SoftcapOp::create(b, loc, sameAs(x), x, b.getF64FloatAttr(op.value));
  }
  case OpKind::Add: {
    Value lhs = in(0), rhs = in(1);
    return AddOp::create(b, loc, sameAs(lhs), lhs, rhs);
  }
  case OpKind::Layers:
    return buildLayers(in(0), loc);
  }
  llvm_unreachable("unknown op");
}

Value EntryBuilder::buildGraph(const Graph &graph, Value input) {
  SmallVector<Value> values = {input};
  for (auto [i, op] : llvm::enumerate(graph.ops)) {
    if (&graph == &spec.model && static_cast<int>(i) == lastTokenAt) {
      Location loc = locOf(op.loc);
      Value &x = values[op.inputs[0]];
      x = flat(x, loc);
      auto type = cast<RankedTensorType>(x.getType());
      length = 1;
      x = LastTokenOp::create(
          b, loc, rows({type.getDimSize(2)}, type.getElementType(), 1), x,
          lengths);
    }
    values.push_back(buildOp(op, graph, values));
  }
  return values.back();
}

/// Finds the head, and where only the last token of each row is needed.
void EntryBuilder::prepare(const Graph &graph) {
  int layers = -1, linear = -1;
  for (auto [i, op] : llvm::enumerate(graph.ops)) {
    if (op.kind == OpKind::Linear) {
      head = &op;
      linear = i;
    }
    if (op.kind == OpKind::Layers)
      layers = i;
  }
  if (kind != EntryKind::Prefill || sequence == 1)
    return;
  // Right behind the layers if from there on every op follows the one before.
  bool chain = layers >= 0;
  for (int i = layers + 1, e = graph.ops.size(); chain && i < e; ++i)
    chain = graph.ops[i].inputs == std::vector<unsigned>{unsigned(i)} &&
            graph.ops[i].kind != OpKind::PositionEmbedding;
  lastTokenAt = chain ? layers + 1 : linear;
}

void EntryBuilder::build(StringRef name) {
  Location loc = locOf(spec.model.loc);
  Type i32 = b.getI32Type();
  prepare(spec.model);
  length = sequence;

  SmallVector<Argument> arguments = {
      {"tokens", entry::kInput, rows({}, i32, sequence)}};
  SmallVector<Argument> results;
  SmallVector<std::string> cacheNames;
  int64_t vocab = spec.dim("vocab");
  if (kind == EntryKind::EvalLoss)
    arguments.push_back({"targets", entry::kInput, rows({}, i32, sequence)});
  if (!cached)
    arguments.push_back(
        {"documents", entry::kInput, rows({}, i32, sequence), true});
  if (cached) {
    arguments.push_back({"start", entry::kInput, tensor({batch}, i32)});
    arguments.push_back({"length", entry::kInput, tensor({batch}, i32)});
    for (const GraphOp &op : spec.block.ops) {
      if (op.kind != OpKind::Attention)
        continue;
      std::string suffix =
          cacheNames.empty() ? "" : "_" + std::to_string(cacheNames.size() / 2);
      cacheNames.push_back("k" + suffix);
      cacheNames.push_back("v" + suffix);
    }
  }
  if (kind == EntryKind::EvalLoss) {
    results.push_back({"loss", entry::kOutput, tensor({}, b.getF32Type())});
    results.push_back({"count", entry::kOutput, tensor({}, i32)});
    results.push_back({"correct", entry::kOutput, tensor({}, i32)});
  } else {
    results.push_back({"logits", entry::kOutput,
                       cached ? tensor({batch, vocab}, b.getF32Type())
                              : rows({vocab}, b.getF32Type(), sequence)});
  }
  const unsigned firstCache = arguments.size();
  unsigned cache = 0;
  for (const GraphOp &op : spec.block.ops)
    for (unsigned i = 0; cached && op.kind == OpKind::Attention && i < 2; ++i) {
      Argument argument = {
          cacheNames[cache++], entry::kCache,
          tensor({spec.dim("layers"), batch,
                  padding.isNeeded() ? padding.kvTo : op.kvHeads,
                  spec.inferContext, op.headDim},
                 compute)};
      arguments.push_back(argument);
      results.push_back(argument);
    }

  SmallVector<Type> argTypes, resultTypes;
  for (const Argument &a : arguments)
    argTypes.push_back(a.type);
  for (const Argument &r : results)
    resultTypes.push_back(r.type);
  auto func = func::FuncOp::create(b, loc, name,
                                   b.getFunctionType(argTypes, resultTypes));
  func->setAttr(entry::kEntry, b.getUnitAttr());
  SmallVector<NamedAttribute> extents = {
      b.getNamedAttr("batch", b.getI64IntegerAttr(batch))};
  if (kind != EntryKind::Decode)
    extents.push_back(
        b.getNamedAttr("sequence", b.getI64IntegerAttr(sequence)));
  func->setAttr(entry::kExtents, b.getDictionaryAttr(extents));
  for (auto [i, a] : llvm::enumerate(arguments)) {
    func.setArgAttr(i, entry::kName, b.getStringAttr(a.name));
    func.setArgAttr(i, entry::kRole, b.getStringAttr(a.role));
    if (a.optional)
      func.setArgAttr(i, entry::kOptional, b.getUnitAttr());
  }
  for (auto [i, r] : llvm::enumerate(results)) {
    func.setResultAttr(i, entry::kName, b.getStringAttr(r.name));
    func.setResultAttr(i, entry::kRole, b.getStringAttr(r.role));
    if (r.role == entry::kCache)
      func.setResultAttr(i, entry::kAlias,
                         b.getI64IntegerAttr(firstCache + i - 1));
  }

  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(func.addEntryBlock());
  tokens = func.getArgument(0);
  if (cached) {
    start = func.getArgument(1);
    lengths = func.getArgument(2);
    for (unsigned i = firstCache; i < arguments.size(); ++i)
      caches.push_back(func.getArgument(i));
  } else {
    Value documents = func.getArgument(firstCache - 1);
    documentStarts =
        DocumentStartsOp::create(b, loc, documents.getType(), documents);
  }
  // Tables and positions before the layers, which use them in every iteration.
  for (const Graph *graph : {&spec.block, &spec.model})
    for (const GraphOp &op : graph->ops) {
      if (op.kind == OpKind::Rope)
        ropeTable(op);
      if (op.kind == OpKind::PositionEmbedding)
        positions(locOf(op.loc));
    }
  Value logits = buildGraph(spec.model, tokens);
  Location end = locOf(spec.model.ops.back().loc);
  SmallVector<Value> values;
  if (kind == EntryKind::EvalLoss) {
    auto loss = CrossEntropyOp::create(
        b, end, resultTypes[0], resultTypes[1], resultTypes[2], logits,
        func.getArgument(1), b.getF64FloatAttr(spec.zLoss));
    values.append(loss.getResults().begin(), loss.getResults().end());
  } else {
    values.push_back(
        reshape(logits, cast<RankedTensorType>(resultTypes[0]), end));
  }
  values.append(caches.begin(), caches.end());
  func::ReturnOp::create(b, end, values);
}

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

static DictionaryAttr
rulesAttr(OpBuilder &b, const std::map<std::string, std::string> &rules) {
  SmallVector<NamedAttribute> attrs;
  for (const auto &[logical, axis] : rules)
    attrs.push_back(b.getNamedAttr(logical, b.getStringAttr(axis)));
  return b.getDictionaryAttr(attrs);
}

static void buildParams(OpBuilder &b, const ModelSpec &spec) {
  for (auto [i, param] : llvm::enumerate(spec.params)) {
    SmallVector<StringRef> axes;
    std::vector<std::string> names;
    for (const Axis &axis : param.axes)
      names.push_back(axis.str());
    axes.append(names.begin(), names.end());
    Location loc = FileLineColLoc::get(
        b.getContext(), llvm::sys::path::filename(param.loc.file),
        param.loc.line, param.loc.col);
    auto op = ParamOp::create(
        b, loc, b.getStringAttr(param.name),
        TypeAttr::get(RankedTensorType::get(param.shape(), b.getF32Type())),
        param.perLayer ? b.getI64IntegerAttr(spec.dim("layers"))
                       : IntegerAttr(),
        b.getI64IntegerAttr(i), b.getI64IntegerAttr(param.group),
        b.getStrArrayAttr(axes));
    if (param.rules)
      op->setAttr(dist::kRulesAttr, rulesAttr(b, *param.rules));
  }
}

/// What of the parameter groups shapes code.
static ArrayAttr optimizerGroups(OpBuilder &b, const ModelSpec &spec) {
  const Muon &muon = spec.optimizer.muon;
  SmallVector<Attribute> groups;
  for (const OptimizerGroup &group : spec.optimizer.groups) {
    SmallVector<NamedAttribute> attrs{
        b.getNamedAttr("kind", b.getStringAttr(group.muon ? "muon" : "adamw"))};
    if (group.muon) {
      attrs.push_back(b.getNamedAttr("nesterov", b.getBoolAttr(muon.nesterov)));
      attrs.push_back(b.getNamedAttr("scale", b.getStringAttr(muon.scale)));
      attrs.push_back(b.getNamedAttr("steps", b.getI64IntegerAttr(muon.steps)));
    }
    groups.push_back(b.getDictionaryAttr(attrs));
  }
  return b.getArrayAttr(groups);
}

FailureOr<OwningOpRef<ModuleOp>>
qwen::importModel(MLIRContext &context, const ModelSpec &spec,
                  const ImportOptions &options) {
  context.loadDialect<QwenDialect, dist::DistDialect, func::FuncDialect>();
  OpBuilder b(&context);
  Location loc = FileLineColLoc::get(
      &context, llvm::sys::path::filename(spec.model.loc.file),
      spec.model.loc.line, spec.model.loc.col);
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  SmallVector<Attribute> mesh;
  for (const auto &[name, size] : spec.mesh)
    mesh.push_back(
        b.getArrayAttr({b.getStringAttr(name), b.getI64IntegerAttr(size)}));
  (*module)->setAttr("qwen.mesh", b.getArrayAttr(mesh));
  SmallVector<NamedAttribute> dims;
  for (const auto &[name, dim] : spec.dims)
    dims.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(dim.value)));
  (*module)->setAttr(
      "qwen.parallel",
      b.getDictionaryAttr(
          {b.getNamedAttr("dims", b.getDictionaryAttr(dims)),
           b.getNamedAttr("rules", rulesAttr(b, spec.rules)),
           b.getNamedAttr("sequence_residual",
                          b.getBoolAttr(spec.sequenceResidual)),
           b.getNamedAttr("zero", b.getI64IntegerAttr(spec.zero))}));
  b.setInsertionPointToStart(module->getBody());
  buildParams(b, spec);
  if (options.train && spec.optimizer.usesMuon())
    (*module)->setAttr(entry::kOptimizerGroups, optimizerGroups(b, spec));

  int64_t batch = 1, sequence = 1;
  if (options.train) {
    batch = spec.trainBatch;
    sequence = spec.trainSequence;
    EntryBuilder(b, spec, EntryKind::EvalLoss, batch, sequence)
        .build("eval_loss");
  }
  if (options.infer) {
    batch = std::max(batch, spec.inferBatch);
    sequence = std::max(sequence, spec.inferContext);
  }
  EntryBuilder(b, spec, EntryKind::Logits, batch, sequence).build("logits");
  if (options.infer) {
    EntryBuilder(b, spec, EntryKind::Prefill, spec.inferBatch,
                 spec.inferPrefill)
        .build("prefill");
    EntryBuilder(b, spec, EntryKind::Decode, spec.inferBatch, 1)
        .build("decode");
  }
  if (failed(verify(*module)))
    return failure();
  return module;
}
