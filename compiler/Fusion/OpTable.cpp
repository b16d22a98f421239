//===- OpTable.cpp - What fusion knows of the model ops -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Fusion/OpTable.h"

#include "llvm/ADT/StringMap.h"

using namespace qwen;
using namespace qwen::fusion;
using kernel::Root;

using Pair = std::pair<int8_t, int8_t>;
static constexpr Pair kOnly[] = {{0, 0}};
static constexpr Pair kSecond[] = {{1, 0}};
static constexpr Pair kThird[] = {{2, 0}};
static constexpr Pair kFourth[] = {{3, 0}};
static constexpr Pair kFifth[] = {{4, 0}};
static constexpr Pair kHeadGrad[] = {{4, 2}};
static constexpr Pair kAdamW[] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}};
static constexpr Pair kFirst[] = {{0, 0}};
static constexpr Pair kMomentum[] = {{0, 1}, {1, 2}};
static constexpr uint32_t kAll = ~0u;

// Name, root, how it joins, keeps the sequence, static results, in place.
static const OpEntry kTable[] = {
    {"qwen.add", Root::Rowwise, Joins::Elementwise, false, 0, {}},
    {"qwen.zeros", Root::Rowwise, Joins::Never, false, kAll, {}},
    {"qwen.cast", Root::Rowwise, Joins::Elementwise, false, 0, {}},
    {"qwen.activation", Root::Rowwise, Joins::Elementwise, false, 0, {}},
    {"qwen.activation_grad", Root::Rowwise, Joins::Elementwise, false, 0, {}},
    {"qwen.glu", Root::Rowwise, Joins::Rowwise, false, 0, {}},
    {"qwen.glu_grad", Root::Rowwise, Joins::Rowwise, false, 0, {}},
    {"qwen.softcap", Root::Rowwise, Joins::Elementwise, false, 0, {}},
    {"qwen.softcap_grad", Root::Rowwise, Joins::Elementwise, false, 0, {}},
    {"qwen.rms_norm", Root::Rowwise, Joins::Rowwise, false, 0, {}},
    {"qwen.rms_norm_input_grad", Root::Rowwise, Joins::Rowwise, false, 0, {}},
    {"qwen.layer_norm", Root::Rowwise, Joins::Rowwise, false, 0, {}},
    {"qwen.layer_norm_input_grad", Root::Rowwise, Joins::Rowwise, false, 0, {}},
    {"qwen.rope", Root::Rowwise, Joins::Rowwise, false, 0, {}},
    {"qwen.rope_table", Root::Rowwise, Joins::Never, false, 0, {}},
    {"qwen.embedding", Root::Rowwise, Joins::Never, false, 0, {}},
    {"qwen.quantized_embedding", Root::Rowwise, Joins::Never, false, 0, {}},
    {"dist.bias_add", Root::Rowwise, Joins::Rowwise, false, 0, {}},
    {"dist.row_max", Root::Rowwise, Joins::Never, false, 0, {}},
    {"dist.row_sum_exp", Root::Rowwise, Joins::Never, false, 0, {}},
    {"dist.target_logit", Root::Rowwise, Joins::Never, false, 0, {}},
    {"dist.better_logits", Root::Rowwise, Joins::Never, false, 0, {}},
    {"dist.token_loss", Root::Rowwise, Joins::Never, false, kAll, {}},
    {"dist.token_counts", Root::Rowwise, Joins::Never, false, kAll, {}},
    {"dist.token_weights", Root::Rowwise, Joins::Never, false, 0, {}},
    {"dist.token_loss_grad", Root::Rowwise, Joins::Never, false, 0, {}},
    {"dist.accumulate", Root::Rowwise, Joins::Never, false, kAll, kSecond},
    {"dist.sum_squares", Root::Rowwise, Joins::Never, false, kAll, {}},
    {"dist.clear", Root::Rowwise, Joins::Never, false, kAll, kOnly},
    {"dist.start", Root::Rowwise, Joins::Never, false, kAll, {}},
    {"dist.local_ids", Root::Rowwise, Joins::Never, false, 0, {}},
    {"dist.slice", Root::Block, Joins::Never, false, 0, {}},
    {"dist.pad_groups", Root::Block, Joins::Never, false, kAll, {}},
    {"dist.pack", Root::Block, Joins::Never, false, 0, kSecond},
    {"dist.unpack", Root::Block, Joins::Never, false, 0, {}},
    {"qwen.adamw", Root::Rowwise, Joins::Never, false, kAll, kAdamW},
    {"qwen.muon_momentum", Root::Rowwise, Joins::Never, false, kAll, kMomentum},
    {"qwen.muon_normalize", Root::Rowwise, Joins::Never, false, kAll, {}},
    {"qwen.muon_update", Root::Rowwise, Joins::Never, false, kAll, kFirst},
    {"qwen.matmul", Root::Contract, Joins::Never, false, kAll, {}},
    {"qwen.sum_squares", Root::Rowwise, Joins::Never, false, kAll, {}},
    {"qwen.clip", Root::Rowwise, Joins::Never, false, kAll, {}},
    {"qwen.bias_grad", Root::ColumnReduce, Joins::Never, false, kAll, kSecond},
    {"qwen.rms_norm_weight_grad", Root::ColumnReduce, Joins::Never, false, kAll,
     kFourth},
    {"qwen.layer_norm_weight_grad", Root::ColumnReduce, Joins::Never, false,
     kAll, kFifth},
    {"qwen.linear", Root::Contract, Joins::Never, false, 0, {}},
    {"qwen.quantized_linear", Root::Contract, Joins::Never, false, 0, {}},
    {"qwen.linear_input_grad", Root::Contract, Joins::Never, false, 0, {}},
    {"qwen.linear_weight_grad", Root::Contract, Joins::Never, false, kAll,
     kThird},
    {"qwen.embedding_grad", Root::Scatter, Joins::Never, false, kAll, kThird},
    {"qwen.attention", Root::Block, Joins::Never, true, 0, {}},
    {"qwen.attention_grad", Root::Block, Joins::Never, true, 0, {}},
    {"qwen.kv_append", Root::Block, Joins::Never, true, kAll, kThird},
    {"qwen.cached_attention", Root::Block, Joins::Never, true, 0, {}},
    {"qwen.positions", Root::Block, Joins::Never, true, 0, {}},
    {"qwen.document_starts", Root::Block, Joins::Never, true, 0, {}},
    {"qwen.last_token", Root::Block, Joins::Never, true, 0, {}},
    {"qwen.cross_entropy", Root::Block, Joins::Never, false, kAll, {}},
    {"qwen.cross_entropy_grad", Root::Block, Joins::Never, false, 0, {}},
    {"qwen.linear_cross_entropy", Root::Block, Joins::Never, false, kAll, {}},
    {"qwen.linear_cross_entropy_grad", Root::Block, Joins::Never, false, 0b101,
     kHeadGrad},
};

const OpEntry *fusion::lookupOp(mlir::Operation *op) {
  static const llvm::StringMap<const OpEntry *> byName = [] {
    llvm::StringMap<const OpEntry *> map;
    for (const OpEntry &entry : kTable)
      map[entry.name] = &entry;
    return map;
  }();
  return byName.lookup(op->getName().getStringRef());
}
