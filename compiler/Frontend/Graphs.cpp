//===- Graphs.cpp - The ops of a model file -------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Ops are checked against the parameters' logical axes, by name: a linear layer
// whose weight is [ffn, hidden] takes a value of axis hidden, gives one of ffn.
//
//===----------------------------------------------------------------------===//

#include <cmath>

#include "compiler/Frontend/Resolver.h"

using namespace qwen;

namespace {

struct OpInfo {
  llvm::StringRef name;
  OpKind kind;
  llvm::StringRef main; // the key that a plain scalar stands for
};

const OpInfo opTable[] = {
    {"embedding", OpKind::Embedding, "table"},
    {"position_embedding", OpKind::PositionEmbedding, "table"},
    {"rms_norm", OpKind::RmsNorm, "weight"},
    {"layer_norm", OpKind::LayerNorm, "weight"},
    {"linear", OpKind::Linear, "weight"},
    {"rope", OpKind::Rope, "in"},
    {"attention", OpKind::Attention, ""},
    {"glu", OpKind::Glu, ""},
    {"activation", OpKind::Activation, "kind"},
    {"softcap", OpKind::Softcap, "value"},
    {"add", OpKind::Add, ""},
    {"layers", OpKind::Layers, "block"},
};

class GraphReader {
public:
  GraphReader(Resolver &r, Graph &graph, bool inBlock)
      : r(r), graph(graph), inBlock(inBlock) {}

  /// Reads a list of ops from value `input`; returns the result's number.
  unsigned readList(const Node *list, llvm::StringRef what, unsigned input);

private:
  unsigned readOp(const Node &node, unsigned previous);
  unsigned value(const Node *name, unsigned fallback);
  const Param *paramOf(const Node *node, bool optional);
  void expectAxis(const SourceLoc &loc, llvm::StringRef what, const Axis &got,
                  const Axis &expected);
  bool expectHeads(const SourceLoc &loc, llvm::StringRef what,
                   const Axis &axis);
  Axis readArgs(GraphOp &op, MapReader &args, const Node &node,
                unsigned previous);
  Axis readAttention(GraphOp &op, MapReader &args);
  Axis readNorm(GraphOp &op, MapReader &args, unsigned previous);

  Resolver &r;
  Graph &graph;
  bool inBlock;
  std::map<std::string, unsigned> names;
};

} // namespace

unsigned GraphReader::value(const Node *name, unsigned fallback) {
  if (!name)
    return fallback;
  std::string text = r.string(*name, "in");
  auto it = names.find(text);
  if (it != names.end())
    return it->second;
  std::vector<std::string> known;
  for (const auto &entry : names)
    known.push_back(entry.first);
  r.error(1012, name->loc,
          "unknown value '" + text + "'" + suggestNearest(text, known));
  return fallback;
}

const Param *GraphReader::paramOf(const Node *node, bool optional) {
  if (!node)
    return nullptr;
  std::string name = r.string(*node, "weight");
  if (auto it = r.tiedTo.find(name); it != r.tiedTo.end())
    name = it->second;
  if (optional && r.inactiveParams.count(name))
    return nullptr;
  std::vector<std::string> known;
  for (Param &param : r.spec.params) {
    if (param.perLayer != inBlock)
      continue;
    if (param.name == name) {
      r.usedParams.insert(name);
      return &param;
    }
    known.push_back(param.name);
  }
  r.error(1012, node->loc,
          "unknown parameter '" + name + "' of the " +
              (inBlock ? "block" : "model") + suggestNearest(name, known));
  return nullptr;
}

void GraphReader::expectAxis(const SourceLoc &loc, llvm::StringRef what,
                             const Axis &got, const Axis &expected) {
  if (!(got == expected))
    r.error(1012, loc,
            "expected " + what + " to have the axis " + expected.str() +
                ", got " + (got.factors.empty() ? "token ids" : got.str()));
}

bool GraphReader::expectHeads(const SourceLoc &loc, llvm::StringRef what,
                              const Axis &axis) {
  if (axis.factors.size() == 2)
    return true;
  r.error(1012, loc,
          "expected " + what +
              " to have an axis of heads as heads*head_dim, "
              "got " +
              (axis.factors.empty() ? "token ids" : axis.str()));
  return false;
}

Axis GraphReader::readNorm(GraphOp &op, MapReader &args, unsigned previous) {
  op.inputs = {value(args.get("in"), previous)};
  Axis x = graph.values[op.inputs[0]], over = x;
  bool rms = op.kind == OpKind::RmsNorm;
  op.eps = r.spec.normEps;
  if (const Node *n = args.get("eps"))
    op.eps = r.real(*n, "eps", 0, 1);
  if (x.factors.empty())
    expectAxis(op.loc, "the input", x, r.axisOf("hidden", op.loc));
  if (const Node *n = rms ? args.get("per") : nullptr)
    op.perHead = r.choice(*n, "per", {"token", "head"}) == 1;
  if (op.perHead && expectHeads(op.loc, "the input", x)) {
    op.heads = x.sizes[0];
    op.headDim = x.sizes[1];
    over = r.axisOf(x.factors[1], op.loc);
  }
  const Node *weight = rms ? args.get("weight") : args.require("weight");
  for (const Node *node : {weight, rms ? nullptr : args.get("bias")}) {
    const Param *param = paramOf(node, /*optional=*/rms || node != weight);
    if (!param)
      continue;
    (node == weight ? op.weight : op.bias) = param->name;
    if (param->axes.size() != 1)
      r.error(1012, node->loc,
              "expected a vector, got the matrix '" + param->name + "'");
    else
      expectAxis(node->loc, "'" + param->name + "'", param->axes[0], over);
  }
  return x;
}

Axis GraphReader::readAttention(GraphOp &op, MapReader &args) {
  const Node *nodes[3];
  Axis axes[3];
  static const llvm::StringRef keys[] = {"q", "k", "v"};
  for (unsigned i = 0; i < 3; ++i) {
    nodes[i] = args.require(keys[i]);
    op.inputs.push_back(value(nodes[i], 0));
    axes[i] = graph.values[op.inputs[i]];
    if (!r.failed())
      expectHeads(nodes[i]->loc, keys[i], axes[i]);
  }
  if (const Node *n = args.get("causal"))
    if (!r.boolean(*n, "causal"))
      r.error(1004, n->loc, "only causal attention is implemented");
  const Node *scale = args.get("scale");
  op.window = r.spec.window;
  if (const Node *n = args.get("window"))
    op.window = r.window(*n, "window");
  if (r.failed())
    return Axis();
  expectAxis(nodes[2]->loc, "v", axes[2], axes[1]);
  if (axes[0].factors[1] != axes[1].factors[1])
    r.error(1012, op.loc,
            "expected q and k to have the same head size, got " +
                axes[0].str() + " and " + axes[1].str());
  op.heads = axes[0].sizes[0];
  op.kvHeads = axes[1].sizes[0];
  op.headDim = axes[0].sizes[1];
  if (op.heads % op.kvHeads)
    r.error(1007, op.loc,
            axes[0].factors[0] + " must be a multiple of " +
                axes[1].factors[0] + ", got " + llvm::Twine(op.heads) +
                " and " + llvm::Twine(op.kvHeads));
  op.scale = 1 / std::sqrt(static_cast<double>(op.headDim));
  if (scale)
    op.scale = r.real(*scale, "scale", 0, 1e6);
  return axes[0];
}

Axis GraphReader::readArgs(GraphOp &op, MapReader &args, const Node &node,
                           unsigned previous) {
  const Axis hidden = r.axisOf("hidden", op.loc);
  auto input = [&]() -> Axis {
    op.inputs = {value(args.get("in"), previous)};
    Axis x = graph.values[op.inputs[0]];
    if (x.factors.empty())
      expectAxis(op.loc, "the input", x, hidden);
    return x;
  };
  auto activation = [&] {
    if (const Node *n = args.require("kind"))
      op.activation = static_cast<SpecActivation>(
          r.choice(*n, "kind", {"silu", "gelu", "gelu_tanh", "relu2"}));
  };
  auto matrix = [&](const Node *n) -> const Param * {
    const Param *param = paramOf(n, false);
    if (param && param->axes.size() != 2) {
      r.error(1012, n->loc,
              "expected a matrix, got the vector '" + param->name + "'");
      return nullptr;
    }
    if (param)
      op.weight = param->name;
    return param;
  };

  switch (op.kind) {
  case OpKind::Embedding: {
    op.inputs = {value(args.get("in"), previous)};
    if (!graph.values[op.inputs[0]].factors.empty())
      r.error(1012, op.loc,
              "expected token ids as the input, got the axis " +
                  graph.values[op.inputs[0]].str());
    const Node *n = args.require("table");
    const Param *param = matrix(n);
    if (!param)
      return hidden;
    expectAxis(n->loc, "'" + param->name + "'", param->axes[0],
               r.axisOf("vocab", op.loc));
    return param->axes[1];
  }
  case OpKind::PositionEmbedding: {
    Axis x = input();
    const Node *n = args.require("table");
    if (const Param *param = matrix(n)) {
      expectAxis(n->loc, "'" + param->name + "'", param->axes[0],
                 r.axisOf("context", op.loc));
      expectAxis(n->loc, "'" + param->name + "'", param->axes[1], x);
    }
    return x;
  }
  case OpKind::RmsNorm:
  case OpKind::LayerNorm:
    return readNorm(op, args, previous);
  case OpKind::Linear: {
    Axis x = input();
    const Node *n = args.require("weight");
    const Node *bias = args.get("bias");
    const Param *param = matrix(n);
    if (!param)
      return hidden;
    expectAxis(op.loc, "the input of '" + param->name + "'", x, param->axes[1]);
    if (const Param *b = paramOf(bias, true)) {
      op.bias = b->name;
      if (b->axes.size() != 1)
        r.error(1012, bias->loc,
                "expected a vector, got the matrix '" + b->name + "'");
      else
        expectAxis(bias->loc, "'" + b->name + "'", b->axes[0], param->axes[0]);
    }
    return param->axes[0];
  }
  case OpKind::Rope: {
    Axis x = input();
    op.rope = r.spec.rope;
    Node own = Node::map(op.loc);
    for (const char *key : {"theta", "scaling"})
      if (const Node *n = args.get(key))
        own.getOrInsert(key, n->loc) = *n;
    if (!own.entries.empty()) {
      Rope given = r.rope(&own, "rope");
      if (own.find("theta"))
        op.rope.theta = given.theta;
      if (own.find("scaling"))
        op.rope.scaling = given.scaling;
    }
    if (const Node *n = args.get("inverse"))
      op.inverse = r.boolean(*n, "inverse");
    if (!r.failed() && expectHeads(op.loc, "the input", x)) {
      op.heads = x.sizes[0];
      op.headDim = x.sizes[1];
      if (op.headDim % 2)
        r.error(1007, op.loc,
                "RoPE needs an even " + x.factors[1] + ", got " +
                    llvm::Twine(op.headDim));
    }
    return x;
  }
  case OpKind::Attention:
    return readAttention(op, args);
  case OpKind::Glu: {
    const Node *gate = args.require("gate"), *up = args.require("up");
    activation();
    op.inputs = {value(gate, 0), value(up, 0)};
    Axis x = graph.values[op.inputs[0]];
    if (!r.failed())
      expectAxis(up->loc, "up", graph.values[op.inputs[1]], x);
    return x;
  }
  case OpKind::Activation: {
    Axis x = input();
    activation();
    return x;
  }
  case OpKind::Softcap: {
    Axis x = input();
    if (const Node *n = args.require("value"))
      op.value = r.real(*n, "softcap", 1e-6, 1e9);
    return x;
  }
  case OpKind::Add: {
    const Node *a = args.get("a"), *b = args.require("b");
    op.inputs = {value(a, previous), value(b, 0)};
    Axis x = graph.values[op.inputs[0]];
    if (!r.failed())
      expectAxis(b->loc, "b", graph.values[op.inputs[1]], x);
    return x;
  }
  case OpKind::Layers: {
    Axis x = input();
    if (const Node *n = args.require("block"))
      r.choice(*n, "layers", {"block"});
    expectAxis(op.loc, "the input", x, hidden);
    for (const GraphOp &other : graph.ops)
      if (other.kind == OpKind::Layers)
        r.error(1012, op.loc, "only one stack of layers is implemented");
    if (inBlock)
      r.error(1012, op.loc, "a block cannot contain layers");
    return x;
  }
  }
  return hidden;
}

unsigned GraphReader::readOp(const Node &node, unsigned previous) {
  if (!node.isMap() || node.entries.empty()) {
    r.error(1004, node.loc, "expected an op, got " + node.describe());
    return previous;
  }
  const NodeEntry *main = nullptr;
  const Node *when = nullptr;
  for (const NodeEntry &entry : node.entries) {
    if (entry.key == "when")
      when = &entry.value;
    else if (main)
      r.error(1003, entry.loc,
              "expected one op, got '" + main->key + "' and '" + entry.key +
                  "'");
    else
      main = &entry;
  }
  if (!main) {
    r.error(1004, node.loc, "expected an op beside 'when'");
    return previous;
  }
  if (r.failed() || !r.condition(when))
    return previous;

  GraphOp op;
  op.loc = main->loc;
  if (main->key == "residual") {
    unsigned result = readList(&main->value, "residual", previous);
    if (r.failed())
      return previous;
    expectAxis(op.loc, "the result of the residual", graph.values[result],
               graph.values[previous]);
    op.kind = OpKind::Add;
    op.inputs = {previous, result};
    Axis x = graph.values[previous];
    if (x.factors.empty())
      expectAxis(op.loc, "the input", x, r.axisOf("hidden", op.loc));
    graph.ops.push_back(std::move(op));
    graph.values.push_back(x);
    return graph.values.size() - 1;
  }
  const OpInfo *info = llvm::find_if(
      opTable, [&](const OpInfo &i) { return i.name == main->key; });
  if (info == std::end(opTable)) {
    std::vector<std::string> known = {"residual"};
    for (const OpInfo &i : opTable)
      known.push_back(i.name.str());
    r.error(1003, main->loc,
            "unknown op '" + main->key + "'" +
                suggestNearest(main->key, known));
    return previous;
  }
  op.kind = info->kind;
  Node wrapped;
  const Node *argNode = &main->value;
  if (argNode->isScalar() && !info->main.empty()) {
    wrapped = Node::map(argNode->loc);
    wrapped.getOrInsert(info->main, argNode->loc) = *argNode;
    argNode = &wrapped;
  }
  MapReader args(r, argNode, info->name);
  Axis axis = readArgs(op, args, node, previous);
  if (const Node *n = args.get("as"))
    op.as = r.string(*n, "as");
  args.finish();
  graph.values.push_back(std::move(axis));
  unsigned result = graph.values.size() - 1;
  if (!op.as.empty())
    names[op.as] = result;
  graph.ops.push_back(std::move(op));
  return result;
}

unsigned GraphReader::readList(const Node *list, llvm::StringRef what,
                               unsigned input) {
  if (!list || !list->isList() || list->items.empty()) {
    r.error(1005, list ? list->loc : graph.loc,
            "expected a list of ops for '" + what + "', got " +
                (list ? list->describe() : "nothing"));
    return input;
  }
  unsigned result = input;
  for (const Node &item : list->items) {
    result = readOp(item, result);
    if (r.failed())
      return input;
  }
  return result;
}

void Resolver::readGraphs() {
  auto read = [&](llvm::StringRef key, Graph &graph, Axis input, bool inBlock) {
    MapReader map(*this, root.find(key), key);
    graph.loc = root.find(key) ? root.find(key)->loc : root.loc;
    graph.values.push_back(std::move(input));
    if (inBlock)
      map.get("params");
    const Node *ops = map.require("ops");
    map.finish();
    if (failed())
      return;
    GraphReader reader(*this, graph, inBlock);
    unsigned result = reader.readList(ops, (key + ".ops").str(), 0);
    if (failed())
      return;
    const Axis &axis = graph.values[result];
    const Axis expected = axisOf(inBlock ? "hidden" : "vocab", graph.loc);
    if (!(axis == expected))
      error(1012, graph.ops.back().loc,
            "expected the result of '" + key.str() + "' to have the axis " +
                expected.str() + ", got " + axis.str());
  };
  read("block", spec.block, axisOf("hidden", root.loc), true);
  if (!failed())
    read("model", spec.model, Axis(), false);
  if (failed())
    return;
  bool hasLayers = false;
  for (const Graph *graph : {&spec.block, &spec.model})
    for (const GraphOp &op : graph->ops) {
      hasLayers |= op.kind == OpKind::Layers;
      for (Param &param : spec.params)
        if (param.name == op.weight) {
          param.lookup |= op.kind == OpKind::Embedding ||
                          op.kind == OpKind::PositionEmbedding;
          param.matmul |= op.kind == OpKind::Linear;
        }
    }
  if (!hasLayers)
    error(1012, spec.model.loc, "the model has no layers");
}
