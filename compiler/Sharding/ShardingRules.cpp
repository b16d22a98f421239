//===- ShardingRules.cpp - How the ops may be split -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/ShardingRules.h"

#include "dialects/Dist/HeadOps.h"
#include "dialects/Qwen/QwenDialect.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

namespace {
enum Flag : unsigned {
  None = 0,
  Sum = 1,     // isSum
  Max = 2,     // isMax
  Global = 4,  // isGlobal
  PerHead = 8, // linear only where the operand has heads (rank 4)
};

/// Letters are factors, `[hg]` a dimension of two, `*` all leading dimensions,
/// `1` a dimension of size 1. Operands that an op lacks are left out from the
/// end.
struct Row {
  llvm::StringLiteral op, spec;
  llvm::StringLiteral replicated;
  int accumulator;
  int indices;     // operand with numbers along the factor ...
  char indexed;    // ... of this letter
  uint32_t linear; // mask of operands
  unsigned flags;
};
} // namespace

/// qwen.quantized_linear whose weight has groups of columns, which stay whole.
static constexpr llvm::StringLiteral kGroupedLinear =
    "qwen.quantized_linear with steps";

// A partial sum passes through ops that are linear in it where that saves a
// collective: sums, views, and the way from the keys' gradient, which is
// partial where query heads are split further than key heads, to weights.
static const Row kRows[] = {
    // op, spec, replicated, acc, indices of, linear, flags
    {"qwen.add", "*,*->*", "", -1, -1, 0, 0b11, Sum},
    {"qwen.zeros", "->*", "", -1, -1, 0, 0, None},
    {"qwen.cast", "*->*", "", -1, -1, 0, 0, None},
    {"qwen.activation", "*->*", "", -1, -1, 0, 0, None},
    {"qwen.activation_grad", "*,*->*", "", -1, -1, 0, 0, None},
    {"qwen.glu", "*,*->*", "", -1, -1, 0, 0, None},
    {"qwen.glu_grad", "*,*,*->*,*", "", -1, -1, 0, 0, None},
    {"qwen.softcap", "*->*", "", -1, -1, 0, 0, None},
    {"qwen.softcap_grad", "*,*->*", "", -1, -1, 0, 0, None},
    {"dist.bias_add", "*n,n->*n", "", -1, -1, 0, 0, None},
    {"qwen.last_token", "bsc,b->b1c", "s", -1, -1, 0, 0, None},
    {"qwen.document_starts", "bs->bs", "s", -1, -1, 0, 0, None},
    {"qwen.embedding", "*,vc->*c", "", -1, 0, 'v', 0, None},
    {"qwen.embedding_grad", "*c,*,vc->vc", "", 2, 1, 'v', 0, None},
    {"qwen.linear", "*k,nk,n->*n", "", -1, -1, 0, 0, None},
    {"qwen.quantized_embedding", "*,vc,v->*c", "", -1, 0, 'v', 0, None},
    {"qwen.quantized_linear", "*k,nk,n,n->*n", "", -1, -1, 0, 0, None},
    {kGroupedLinear, "*[gi],n[gj],n,ng,n->*n", "ij", -1, -1, 0, 0, None},
    {"qwen.linear_input_grad", "*n,nk->*k", "", -1, -1, 0, 0b1, None},
    {"qwen.linear_weight_grad", "*n,*k,nk->nk", "", 2, -1, 0, 0b1, None},
    {"qwen.bias_grad", "*n,n->n", "", 1, -1, 0, 0b1, None},
    {"qwen.rms_norm", "*c,c->*c,*", "c", -1, -1, 0, 0, None},
    {"qwen.rms_norm_input_grad", "*c,*c,*,c->*c", "c", -1, -1, 0, 0b1, PerHead},
    {"qwen.rms_norm_weight_grad", "*c,*c,*,c->c", "c", 3, -1, 0, 0b1, PerHead},
    {"qwen.layer_norm", "*c,c,c->*c,*,*", "c", -1, -1, 0, 0, None},
    {"qwen.layer_norm_input_grad", "*c,*c,*,*,c->*c", "c", -1, -1, 0, 0, None},
    {"qwen.layer_norm_weight_grad", "*c,*c,*,*,c->c", "c", 4, -1, 0, 0, None},
    {"qwen.rope_table", "bs->bsi,bsi", "si", -1, -1, 0, 0, None},
    {"qwen.rope", "bshe,bsi,bsi->bshe", "sei", -1, -1, 0, 0b1, None},
    {"qwen.attention", "bs[hg]e,bthe,bthe,bs->bs[hg]e,bs[hg]", "ste", -1, -1, 0,
     0, None},
    {"qwen.attention_grad",
     "bs[hg]e,bs[hg]e,bthe,bthe,bs[hg]e,bs[hg],bs->bs[hg]e,bthe,bthe", "ste",
     -1, -1, 0, 0, None},
    {"qwen.kv_append", "bthe,b,bhse->bhse", "ste", -1, -1, 0, 0, None},
    {"qwen.cached_attention", "bt[hg]e,bhse,bhse,b->bt[hg]e", "ste", -1, -1, 0,
     0, None},
    {"qwen.cross_entropy", "*v,*->,,", "v", -1, -1, 0, 0, None},
    {"qwen.cross_entropy_grad", "*v,*,->*v", "v", -1, -1, 0, 0, None},
    {"qwen.linear_cross_entropy", "*k,vk,*->,,", "vk", -1, -1, 0, 0, None},
    {"qwen.linear_cross_entropy_grad", "*k,vk,*,,vk->,*k,vk", "vk", 4, -1, 0, 0,
     None},
    {"dist.accumulate", "*,*->*", "", 1, -1, 0, 0b1, None},
    {"dist.clear", "*->*", "", -1, -1, 0, 0b1, None},
    {"dist.row_max", "*v->*", "", -1, -1, 0, 0, Max},
    {"dist.row_sum_exp", "*v,*->*", "", -1, -1, 0, 0, None},
    {"dist.target_logit", "*v,*->*", "", -1, 1, 'v', 0, None},
    {"dist.better_logits", "*v,*,*->*", "", -1, 2, 'v', 0, None},
    {"dist.token_loss", "*,*,*,*->", "", -1, -1, 0, 0, None},
    {"dist.token_counts", "*,*->,", "", -1, -1, 0, 0, None},
    {"dist.token_weights", "*,->*", "", -1, -1, 0, 0, None},
    {"dist.token_loss_grad", "*v,*,*,*,*->*v", "", -1, 1, 'v', 0, None},
    {"qwen.sum_squares", "*,->", "", 1, -1, 0, 0, Global},
    {"qwen.clip", ",ab,->,,", "ab", -1, -1, 0, 0, None},
    {"qwen.adamw", "*,*,*,*,xy,->*,*,*,*", "xy", -1, -1, 0, 0, None},
    {"qwen.muon", "nk,nk,nk,xy,->nk,nk,nk", "nkxy", -1, -1, 0, 0, None},
};

static const Row *lookup(Operation *op) {
  static const llvm::StringMap<const Row *> byName = [] {
    llvm::StringMap<const Row *> map;
    for (const Row &row : kRows)
      map[row.op] = &row;
    return map;
  }();
  auto quantized = dyn_cast<QuantizedLinearOp>(op);
  if (quantized && quantized.getSteps())
    return byName.lookup(kGroupedLinear);
  return byName.lookup(op->getName().getStringRef());
}

//===----------------------------------------------------------------------===//
// From a row to a rule
//===----------------------------------------------------------------------===//

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

namespace {
/// Reads specs; factors get numbers in the order of their first use.
class RuleBuilder {
public:
  explicit RuleBuilder(ShardingRule &rule) : rule(rule) {}

  unsigned factor(char letter) {
    auto [it, isNew] = letters.try_emplace(letter, rule.sizes.size());
    if (isNew)
      rule.sizes.push_back(0);
    return it->second;
  }
  unsigned leading(unsigned position) { return factor(-1 - position); }

  /// The factors of a tensor of `rank` dimensions.
  TensorFactors read(StringRef spec, unsigned rank);
  /// Takes the sizes of factors that are whole dimensions (`compounds` false),
  /// then of those that share one.
  void takeSizes(const TensorFactors &tensor, ArrayRef<int64_t> shape,
                 bool compounds);

private:
  ShardingRule &rule;
  llvm::DenseMap<int, unsigned> letters;
};
} // namespace

TensorFactors RuleBuilder::read(StringRef spec, unsigned rank) {
  TensorFactors dims;
  unsigned named = 0;
  for (size_t i = 0; i < spec.size(); ++i, ++named)
    if (spec[i] == '[')
      i = spec.find(']', i);
    else if (spec[i] == '*')
      --named;
  for (size_t i = 0; i < spec.size(); ++i) {
    if (spec[i] == '*') {
      for (unsigned d = 0; d + named < rank; ++d)
        dims.push_back({leading(d)});
    } else if (spec[i] == '1') {
      dims.emplace_back();
    } else if (spec[i] == '[') {
      DimFactors &dim = dims.emplace_back();
      while (spec[++i] != ']')
        dim.push_back(factor(spec[i]));
    } else {
      dims.push_back({factor(spec[i])});
    }
  }
  return dims;
}

void RuleBuilder::takeSizes(const TensorFactors &tensor,
                            ArrayRef<int64_t> shape, bool compounds) {
  for (auto [dim, size] : llvm::zip(tensor, shape)) {
    if (!compounds && dim.size() == 1)
      rule.sizes[dim[0]] = size;
    if (!compounds || dim.size() < 2)
      continue;
    int64_t known = 1;
    for (unsigned f : ArrayRef(dim).drop_back())
      known *= rule.sizes[f];
    if (!rule.sizes[dim.back()])
      rule.sizes[dim.back()] = size / std::max<int64_t>(known, 1);
  }
}

/// Factors that make both shapes: equal products of dimensions are one factor,
/// or a compound where one side has them apart.
static std::optional<ShardingRule> reshapeRule(ReshapeOp op) {
  ShardingRule rule;
  ArrayRef<int64_t> from = shapeOf(op.getOperand()), to = shapeOf(op);
  TensorFactors in(from.size()), out(to.size());
  auto add = [&](int64_t size) {
    rule.sizes.push_back(size);
    return rule.sizes.size() - 1;
  };
  size_t i = 0, j = 0;
  while (i < from.size() || j < to.size()) {
    if (i < from.size() && from[i] == 1) {
      ++i;
    } else if (j < to.size() && to[j] == 1) {
      ++j;
    } else if (i == from.size() || j == to.size()) {
      return std::nullopt;
    } else {
      // One dimension on one side, one or more on the other.
      bool splits = from[i] >= to[j];
      ArrayRef<int64_t> many = splits ? to : from;
      size_t &next = splits ? j : i;
      int64_t whole = splits ? from[i] : to[j], product = 1;
      DimFactors &compound = splits ? in[i] : out[j];
      while (next < many.size() && product < whole) {
        unsigned factor = add(many[next]);
        compound.push_back(factor);
        (splits ? out : in)[next] = {factor};
        product *= many[next++];
      }
      if (product != whole)
        return std::nullopt;
      ++(splits ? i : j);
    }
  }
  rule.operands = {in};
  rule.results = {out};
  rule.replicated.resize(rule.sizes.size());
  rule.linear = {true};
  return rule;
}

/// Groups may be split, and the entries of the padded ones: as the mesh says
/// where they are made, so that cutting them leaves every device its summand.
static ShardingRule padRule(PadGroupsOp op) {
  ShardingRule rule;
  TensorFactors from, to;
  for (int64_t d = 0; d < op.getType().getRank(); ++d) {
    unsigned factor = rule.sizes.size();
    if (d != op.position()) {
      rule.sizes.push_back(op.getType().getDimSize(d));
      from.push_back({factor});
      to.push_back({factor});
      continue;
    }
    for (int64_t size :
         {static_cast<int64_t>(op.getGroups()), op.width(), op.size()})
      rule.sizes.push_back(size);
    from.push_back({factor, factor + 1});
    to.push_back({factor, factor + 2});
  }
  rule.operands = {from};
  rule.results = {to};
  rule.replicated.resize(rule.sizes.size());
  bool pads = op.size() > op.width();
  unsigned groups = from[op.position()][0];
  rule.replicated[groups + (pads ? 1 : 2)] = true;
  rule.linear = {true};
  return rule;
}

/// Positions are the same in every row of the batch unless they start
/// elsewhere.
static ShardingRule positionsRule(Operation *op) {
  ShardingRule rule;
  ArrayRef<int64_t> shape = shapeOf(op->getResult(0));
  rule.sizes.assign(shape.begin(), shape.end());
  for (Value operand : op->getOperands()) {
    TensorFactors dims = {{0}};
    if (shapeOf(operand).size() == 2)
      dims.push_back({1});
    rule.operands.push_back(dims);
  }
  rule.results = {{{0}, {1}}};
  rule.replicated = {false, true};
  rule.linear.resize(op->getNumOperands());
  rule.batch = op->getNumOperands() ? -1 : 0;
  return rule;
}

std::optional<ShardingRule> qwen::getShardingRule(Operation *op) {
  if (auto reshape = dyn_cast<ReshapeOp>(op))
    return reshapeRule(reshape);
  if (isa<PositionsOp>(op))
    return positionsRule(op);
  if (auto pad = dyn_cast<PadGroupsOp>(op))
    return padRule(pad);
  const Row *row = lookup(op);
  if (!row)
    return std::nullopt;
  ShardingRule rule;
  RuleBuilder builder(rule);
  auto [left, right] = StringRef(row->spec).split("->");
  SmallVector<StringRef> ins, outs;
  left.split(ins, ',');
  right.split(outs, ',');
  for (auto [i, operand] : llvm::enumerate(op->getOperands()))
    rule.operands.push_back(builder.read(ins[i], shapeOf(operand).size()));
  for (auto [i, result] : llvm::enumerate(op->getResults()))
    rule.results.push_back(builder.read(outs[i], shapeOf(result).size()));
  for (bool compounds : {false, true}) {
    for (auto [tensor, operand] : llvm::zip(rule.operands, op->getOperands()))
      builder.takeSizes(tensor, shapeOf(operand), compounds);
    for (auto [tensor, result] : llvm::zip(rule.results, op->getResults()))
      builder.takeSizes(tensor, shapeOf(result), compounds);
  }
  rule.replicated.resize(rule.sizes.size());
  for (char letter : row->replicated) {
    unsigned factor = builder.factor(letter);
    rule.replicated.resize(rule.sizes.size());
    rule.replicated[factor] = true;
  }
  rule.accumulator = row->accumulator;
  rule.accResult = op->getNumResults() - 1;
  rule.indices = row->indices;
  if (row->indices >= 0)
    rule.indexed = builder.factor(row->indexed);
  for (auto [i, operand] : llvm::enumerate(op->getOperands()))
    rule.linear.push_back(
        (row->linear >> i & 1) &&
        (!(row->flags & PerHead) || shapeOf(operand).size() == 4));
  rule.isSum = row->flags & Sum;
  rule.isMax = row->flags & Max;
  rule.isGlobal = row->flags & Global;
  return rule;
}

//===----------------------------------------------------------------------===//
// Factors and dimensions
//===----------------------------------------------------------------------===//

SmallVector<Axes> qwen::axesOfFactors(const ShardingRule &rule,
                                      const TensorFactors &tensor,
                                      const Sharding &sharding,
                                      const SubAxes &mesh) {
  SmallVector<Axes> result(rule.sizes.size());
  for (auto [dim, axes] : llvm::zip(tensor, sharding.dims)) {
    size_t next = 0;
    for (unsigned factor : dim) {
      Axes taken = dividingPrefix(ArrayRef(axes).drop_front(next),
                                  rule.sizes[factor], mesh);
      result[factor] = taken;
      next += taken.size();
      if (numParts(taken, mesh) != rule.sizes[factor])
        break;
    }
  }
  return result;
}

Sharding qwen::shardingOf(const TensorFactors &tensor, ArrayRef<Axes> factors) {
  Sharding sharding;
  for (const DimFactors &dim : tensor) {
    Axes &axes = sharding.dims.emplace_back();
    for (unsigned factor : dim)
      llvm::append_range(axes, factors[factor]);
  }
  return sharding;
}
