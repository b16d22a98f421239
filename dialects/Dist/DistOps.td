//===- DistOps.td - Shardings and collectives --------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DIST_OPS_TD
#define DIST_OPS_TD

include "dialects/Interfaces/QwenInterfaces.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Dist_Dialect : Dialect {
  let name = "dist";
  let useDefaultAttributePrinterParser = 1;
  let cppNamespace = "::qwen::dist";
  let summary = "Shardings and collectives";
  let description = [{
    The mesh is the module's attribute `qwen.mesh`. Every axis of it is split into
    prime *sub-axes*, numbered major first: on data=2,tensor=4 sub-axis 0 is data,
    1 and 2 are tensor. A device's rank is the mixed radix of its coordinates.

    Before partitioning tensors have their logical types and a `dist.reshard`
    says where a sharding changes. After it types are those of one device, and
    collectives are ops. A collective has an effect that nothing is known of:
    none is removed, added or moved past another one, so all devices run the same
    ones in the same order.
  }];
  let dependentDialects = ["::qwen::kernel::KernelDialect"];
}

class Dist_Op<string mnemonic, list<Trait> traits = []>
    : Op<Dist_Dialect, mnemonic, traits>;

class Dist_BlockOp<string mnemonic> : Dist_Op<mnemonic, [Pure,
    DeclareOpInterfaceMethods<DecomposeOpInterface>,
    DeclareOpInterfaceMethods<CostModelOpInterface, ["getFlops"]>]>;

defvar Dist_Tensor = AnyRankedTensor;

def Dist_ShardingAttr : AttrDef<Dist_Dialect, "Sharding"> {
  let mnemonic = "sharding";
  let summary = "how a tensor lies on the mesh";
  let description = [{
    For each dimension the sub-axes that split it, major first; then the sub-axes
    over which devices hold summands (`sum`) or candidates (`max`). Sub-axes
    that are not named hold copies.

    ```mlir
    #dist.sharding<[[0], [], [1, 2]]>
    #dist.sharding<[[1, 2], []] sum [0]>
    ```
  }];
  let parameters = (ins "::mlir::ArrayAttr":$dims,
                        "::mlir::DenseI64ArrayAttr":$partial, "bool":$isMax);
  let hasCustomAssemblyFormat = 1;
  let extraClassDeclaration = [{
    static ShardingAttr get(::mlir::MLIRContext *context,
                            const ::qwen::dist::Sharding &sharding);
    ::qwen::dist::Sharding getSharding() const;
  }];
}

def Dist_ReshardOp : Dist_Op<"reshard", [Pure]> {
  let summary = "changes how a tensor lies on the mesh";
  let description = [{
    The same logical tensor: `result = operand`. Partial sums of `from` that `to`
    does not name are added up.
    Lifespan: made by `reduce-gradients` and `insert-reshards`; `partition` makes
    collectives of it.
  }];
  let arguments = (ins Dist_Tensor:$operand, Dist_ShardingAttr:$from,
                       Dist_ShardingAttr:$to);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$operand `from` $from `to` $to attr-dict `:` type($operand) `->` type($result)";
}

//===----------------------------------------------------------------------===//
// Collectives: on local tensors
//===----------------------------------------------------------------------===//

def Dist_AllReduceOp : Dist_Op<"all_reduce"> {
  let summary = "the sum, or the largest, of all devices' tensors";
  let description = [{
    `result[i...] = sum over the group of operand[i...]`, added in f32 in the order
    of ranks and rounded once; `max`: the largest. The group: the devices that
    differ in the coordinates along `axes` alone.
    Lifespan: made by `partition`; becomes a call of the runtime in `codegen`.
  }];
  let arguments = (ins Dist_Tensor:$operand, DenseI64ArrayAttr:$axes, UnitAttr:$max);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "(`max` $max^)? $operand `axes` $axes attr-dict `:` type($operand) `->` type($result)";
}

def Dist_AllGatherOp : Dist_Op<"all_gather"> {
  let summary = "all devices' tensors, one after the other";
  let description = [{
    Joins the operands of the group along dimension `dim`, in the order of ranks. With
    `packed` the result's elements are in the order of the group: the whole
    operand of the first device, then of the second (`dist.unpack` sorts them).
    Lifespan: as `dist.all_reduce`.
  }];
  let arguments = (ins Dist_Tensor:$operand, DenseI64ArrayAttr:$axes, I64Attr:$dim,
                       UnitAttr:$packed);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = [{
    $operand `dim` $dim `axes` $axes (`packed` $packed^)? attr-dict `:` type($operand) `->` type($result)
  }];
}

def Dist_ReduceScatterOp : Dist_Op<"reduce_scatter"> {
  let summary = "one block of the sum of all devices' tensors";
  let description = [{
    The sum as in `dist.all_reduce`, of which the i-th device of the group keeps the i-th
    block along dimension `dim`. With `packed` the blocks are ranges of the
    operand's elements in memory (`dist.pack` made them so).
    Lifespan: as `dist.all_reduce`.
  }];
  let arguments = (ins Dist_Tensor:$operand, DenseI64ArrayAttr:$axes, I64Attr:$dim,
                       UnitAttr:$packed);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = [{
    $operand `dim` $dim `axes` $axes (`packed` $packed^)? attr-dict `:` type($operand) `->` type($result)
  }];
}

def Dist_AllToAllOp : Dist_Op<"all_to_all"> {
  let summary = "moves a split from one dimension to another";
  let description = [{
    Splits the operand along `split` into one block for each device of the group, sends
    block i to the i-th one, and joins what it gets along `dim` in the order of ranks. With `packed`
    blocks are ranges of elements in memory on both sides.
    Lifespan: as `dist.all_reduce`.
  }];
  let arguments = (ins Dist_Tensor:$operand, DenseI64ArrayAttr:$axes, I64Attr:$dim,
                       I64Attr:$split, UnitAttr:$packed);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = [{
    $operand `dim` $dim `split` $split `axes` $axes (`packed` $packed^)? attr-dict `:` type($operand) `->` type($result)
  }];
}

//===----------------------------------------------------------------------===//
// Local work around collectives
//===----------------------------------------------------------------------===//

def Dist_SliceOp : Dist_Op<"slice", [Pure]> {
  let summary = "the device's block of a tensor";
  let description = [{
    Block `index` (i32 scalar) of the operand cut into `parts` along dimension `dim`, counted from the
    last one (0), as in a kernel leading dimensions are one. No communication.
    Lifespan: made by `partition`; a kernel from `fuse` on.
  }];
  let arguments = (ins Dist_Tensor:$operand, Dist_Tensor:$index, I64Attr:$dim, I64Attr:$parts);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = [{
    $operand `,` $index `dim` $dim `parts` $parts attr-dict `:` functional-type(operands, results)
  }];
}

def Dist_PackOp : Dist_Op<"pack", [Pure]> {
  let summary = "brings blocks along a dimension together";
  let description = [{
    Of the operand's elements, cut into `parts` blocks along dimension `dim` (0: the last one): those of
    the first block, then those of the second. The type stays, as a name for the memory.

    Several tensors share a bucket: `parts` rows of equal length, of which every tensor has the columns from `offset`
    on, block i in row i. The result is `bucket`, in place, with the operand's columns written; without it a new one.
    Lifespan: made by `pack-collectives` and `bucket-collectives`; a kernel from `fuse` on.
  }];
  let arguments = (ins Dist_Tensor:$operand, Optional<Dist_Tensor>:$bucket, I64Attr:$dim,
                       I64Attr:$parts, DefaultValuedAttr<I64Attr, "0">:$offset);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = [{
    $operand (`into` $bucket^)? `dim` $dim `parts` $parts attr-dict `:` functional-type(operands, results)
  }];
}

def Dist_UnpackOp : Dist_Op<"unpack", [Pure]> {
  let summary = "puts blocks side by side along a dimension";
  let description = [{
    The inverse of `dist.pack`: of a bucket the columns of one tensor. Lifespan: as `dist.pack`.
  }];
  let arguments = (ins Dist_Tensor:$operand, I64Attr:$dim, I64Attr:$parts,
                       DefaultValuedAttr<I64Attr, "0">:$offset);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$operand `dim` $dim `parts` $parts attr-dict `:` type($operand) `->` type($result)";
}

def Dist_LocalIdsOp : Dist_Op<"local_ids", [Pure,
    DeclareOpInterfaceMethods<DecomposeOpInterface>]> {
  let summary = "numbers relative to the device's block of a table";
  let description = [{
    `result = ids + offset`, offset (i32 scalar) = - the first row of the device's
    block. Ids of other blocks get out of its range, which reads as zeros and
    writes nothing.
    Lifespan: made by `partition`; part of a kernel from `fuse` on.
  }];
  let arguments = (ins Dist_Tensor:$ids, Dist_Tensor:$offset);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$ids `,` $offset attr-dict `:` functional-type(operands, results)";
}

//===----------------------------------------------------------------------===//
// What block ops fall into where a dimension that they reduce is split
//===----------------------------------------------------------------------===//

def Dist_BiasAddOp : Dist_BlockOp<"bias_add"> {
  let summary = "adds a bias to every row";
  let description = [{
    `result[..., n] = x[..., n] + bias[n]`.
    Lifespan: made by `split-blocks` of a `qwen.linear` whose sum goes over devices.
  }];
  let arguments = (ins Dist_Tensor:$x, Dist_Tensor:$bias);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$x `,` $bias attr-dict `:` functional-type(operands, results)";
}

def Dist_AccumulateOp : Dist_BlockOp<"accumulate"> {
  let summary = "adds to a sum in place";
  let description = [{
    `result = acc + x`; acc in f32.
    Lifespan: made by `insert-reshards` where a gradient changes its sharding before it is added up.
  }];
  let arguments = (ins Dist_Tensor:$x, Dist_Tensor:$acc);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$x `into` $acc attr-dict `:` functional-type(operands, results)";
}

// The parts of qwen.linear_cross_entropy behind its logits. All values of a row
// are f32. Targets outside of [0, V) match no logit.

def Dist_RowMaxOp : Dist_BlockOp<"row_max"> {
  let summary = "the largest logit of every row";
  let description = [{
    `result[...] = max_v logits[..., v]`.
    Lifespan: this and the next ones: made by `split-blocks` of `qwen.linear_cross_entropy` and its gradient.
  }];
  let arguments = (ins Dist_Tensor:$logits);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$logits attr-dict `:` functional-type(operands, results)";
}

def Dist_RowSumExpOp : Dist_BlockOp<"row_sum_exp"> {
  let summary = "the softmax's denominator of every row";
  let description = "`result[...] = sum_v exp(logits[..., v] - max[...])`.";
  let arguments = (ins Dist_Tensor:$logits, Dist_Tensor:$max);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$logits `,` $max attr-dict `:` functional-type(operands, results)";
}

def Dist_TargetLogitOp : Dist_BlockOp<"target_logit"> {
  let summary = "the target's logit of every row";
  let description = "`result[...] = logits[..., targets[...]]`, 0 where there is none.";
  let arguments = (ins Dist_Tensor:$logits, Dist_Tensor:$targets);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$logits `,` $targets attr-dict `:` functional-type(operands, results)";
}

def Dist_BetterLogitsOp : Dist_BlockOp<"better_logits"> {
  let summary = "how many logits go before the target's";
  let description = [{
    `result[...]` = the number of v with `logits[..., v] > target[...]`, or equal to it and
    `v < targets[...]`: 0 where the target is the first largest one.
  }];
  let arguments = (ins Dist_Tensor:$logits, Dist_Tensor:$target, Dist_Tensor:$targets);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$logits `,` $target `,` $targets attr-dict `:` functional-type(operands, results)";
}

def Dist_TokenLossOp : Dist_BlockOp<"token_loss"> {
  let summary = "the loss from the parts of its rows";
  let description = [{
    With `lse = max + log(sum)`: `loss = sum (lse - target + z_weight lse^2)` over the rows with
    `0 <= targets < vocab`.
  }];
  let arguments = (ins Dist_Tensor:$max, Dist_Tensor:$sum, Dist_Tensor:$target,
                       Dist_Tensor:$targets, I64Attr:$vocab,
                       DefaultValuedAttr<F64Attr, "0.0">:$z_weight);
  let results = (outs Dist_Tensor:$loss);
  let assemblyFormat = "$max `,` $sum `,` $target `,` $targets attr-dict `:` functional-type(operands, results)";
}

def Dist_TokenCountsOp : Dist_BlockOp<"token_counts"> {
  let summary = "how many targets count, and how many are predicted";
  let description = [{
    `count` = the number of rows with `0 <= targets < vocab`, `correct` = those of them with
    `better = 0`. Exact below 2^24 rows.
  }];
  let arguments = (ins Dist_Tensor:$better, Dist_Tensor:$targets, I64Attr:$vocab);
  let results = (outs Dist_Tensor:$count, Dist_Tensor:$correct);
  let assemblyFormat = "$better `,` $targets attr-dict `:` functional-type(operands, results)";
}

def Dist_TokenWeightsOp : Dist_BlockOp<"token_weights"> {
  let summary = "what every row weighs in the loss";
  let description = "`result[...] = seed` where `0 <= targets[...] < vocab`, else 0.";
  let arguments = (ins Dist_Tensor:$targets, Dist_Tensor:$seed, I64Attr:$vocab);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$targets `,` $seed attr-dict `:` functional-type(operands, results)";
}

def Dist_TokenLossGradOp : Dist_BlockOp<"token_loss_grad"> {
  let summary = "the gradient of the loss by its logits";
  let description = [{
    `p = exp(logits - max) / sum`, `lse = max + log(sum)`:
    `result[..., v] = weights[...] (p[..., v] (1 + 2 z_weight lse) - (v == targets[...]))`.
  }];
  let arguments = (ins Dist_Tensor:$logits, Dist_Tensor:$targets, Dist_Tensor:$max,
                       Dist_Tensor:$sum, Dist_Tensor:$weights,
                       DefaultValuedAttr<F64Attr, "0.0">:$z_weight);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = [{
    $logits `,` $targets `,` $max `,` $sum `,` $weights attr-dict `:` functional-type(operands, results)
  }];
}

def Dist_ClearOp : Dist_BlockOp<"clear"> {
  let summary = "zeros in place of a tensor";
  let description = [{
    `result = 0` in the operand's memory.
    Lifespan: made by `reduce-gradients` of summands that have been added up.
  }];
  let arguments = (ins Dist_Tensor:$operand);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `->` type($result)";
}

def Dist_StartOp : Dist_BlockOp<"start"> {
  let summary = "zeros, the start of a sum of its own";
  let description = [{
    `result = 0`. The operand, the sum that the new one will join, is not read: it tells apart the
    starts of two sums, which are two memories.
    Lifespan: made by `insert-reshards`.
  }];
  let arguments = (ins Dist_Tensor:$sum);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$sum attr-dict `:` type($sum) `->` type($result)";
}

def Dist_SumSquaresOp : Dist_BlockOp<"sum_squares"> {
  let summary = "adds up squares, each element once on the mesh";
  let description = [{
    `result = acc + (sum x^2) / copies`; scalars in f32. copies: the number of devices that hold each
    element of x, so that the sum over all devices counts it once.
    Lifespan: made by `partition` of `qwen.sum_squares`.
  }];
  let arguments = (ins Dist_Tensor:$x, Dist_Tensor:$acc, I64Attr:$copies);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = "$x `into` $acc attr-dict `:` functional-type(operands, results)";
}

#endif // DIST_OPS_TD
