//===- Passes.td - Passes of the phase `shard` -------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_SHARDING_PASSES_TD
#define QWEN_SHARDING_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Transformations, in alphabetical order
//===----------------------------------------------------------------------===//

def BucketCollectives : Pass<"bucket-collectives", "::mlir::ModuleOp"> {
  let summary = "makes one collective of those of several parameters";
  let dependentDialects = ["::qwen::dist::DistDialect"];
  let description = [{
    Collectives of one kind, one element type and the same sub-axes on parameters or gradients of one block (a layer, or what
    is in front of or behind the layers) become one: `dist.pack` brings their operands together, `dist.unpack`
    their results apart. A bucket is closed when the next tensor would make it larger than `elements`, counted before
    scatters and behind gathers; tensors of that size or more go alone and are not copied. A bucket stands where the last operand is
    computed; what something needs before that does not join, and what another collective goes on with has buckets of
    its own.
  }];
  let options = [
    Option<"elements", "elements", "int64_t", "1 << 24",
           "Elements of a full bucket (64 MiB of f32)">,
  ];
}

def ImportMesh : Pass<"import-mesh", "::mlir::ModuleOp"> {
  let summary = "says how parameters, inputs and states lie on the mesh";
  let dependentDialects = ["::qwen::dist::DistDialect"];
  let description = [{
    The module's attribute `qwen.mesh` is a list of axes, outermost first, each a
    name and a size. A module without it gets `[["data", 1]]`. `qwen.parallel` has the
    rules from logical axes to mesh axes (by default heads, kv_heads, ffn and vocab over tensor, batch over
    data) and the level of ZeRO; a parameter may have rules of its own (`dist.rules`). A dimension takes the longest prefix of its axis's prime
    sub-axes that divides it; over the others devices hold copies, which a remark says. Query
    heads are split within a group only where there is one group to a device.

    Parameters get three shardings: `dist.compute` (how ops read them), `dist.storage` (how optimizer
    state lies: with ZeRO over the batch's axis too) and `dist.sharding` (how they are kept: as `compute`, from ZeRO-3
    on as `storage`). On a mesh of one device nothing is written.
  }];
}

def InsertReshards : Pass<"insert-reshards", "::mlir::ModuleOp"> {
  let summary = "says where the sharding of a value changes";
  let dependentDialects = ["::qwen::dist::DistDialect"];
  let description = [{
    A `dist.reshard` wherever an op wants an operand otherwise than it lies. Parameters that are stored
    split are gathered behind `qwen.get_param`, in every iteration anew. A gradient that lies otherwise
    than the sum it belongs to is added up apart and joins the sum behind its reshard.
  }];
}

def PackCollectives : Pass<"pack-collectives", "::mlir::ModuleOp"> {
  let summary = "makes collectives work on ranges of memory";
  let dependentDialects = ["::qwen::dist::DistDialect"];
  let description = [{
    Where a collective cuts or joins a dimension that is not the outermost one, `dist.pack` and
    `dist.unpack` bring blocks together and apart.
  }];
}

def Partition : Pass<"partition", "::mlir::ModuleOp"> {
  let summary = "turns logical tensors into those of one device";
  let dependentDialects = ["::qwen::dist::DistDialect"];
  let description = [{
    Types become local; a `dist.reshard` becomes the collectives that `planReshard` finds. Ids of rows of a
    split table count from the device's first row; where a device's place on the mesh is needed it is an argument of role
    `mesh`.
  }];
}

def PropagateShardings : Pass<"propagate-shardings", "::mlir::ModuleOp"> {
  let summary = "finds how every value lies on the mesh";
  let dependentDialects = ["::qwen::dist::DistDialect"];
  let description = [{
    In program order, from parameters, inputs and states, by the ops' rules (the table of
    `ShardingRules.cpp`). A result that lacks a factor which is split is a partial sum; it is
    added up before the first op that is not linear in it. Over which sub-axes a gradient is partial follows
    from the ops that add to it.
  }];
}

def ReduceGradients : Pass<"reduce-gradients", "::mlir::ModuleOp"> {
  let summary = "adds up the devices' gradients in the last micro step";
  let dependentDialects = ["::qwen::dist::DistDialect"];
  let description = [{
    `micro_step` leaves sums of a device's own rows. A copy of it, `last_micro_step`, adds each gradient up over
    devices right behind the op that finishes it. The sums are what `optimizer_step` reads, of role `gradient_sum`: in the
    summands' place, or with ZeRO-1 a device's part of them in a state of its own, and the summands are
    cleared. What micro steps add up over devices themselves (from ZeRO-2 on) is left alone; there is no such entry where
    that is all.
  }];
}

def SplitBlocks : Pass<"split-blocks", "::mlir::ModuleOp"> {
  let summary = "takes ops apart whose sums go over devices";
  let dependentDialects = ["::qwen::dist::DistDialect"];
  let description = [{
    `qwen.linear_cross_entropy` and its gradient on a split vocabulary become the logits, their largest, the
    softmax's denominator and the target's logit, which devices combine. A bias of a
    `qwen.linear` whose input is split is added behind the sum.
  }];
}

//===----------------------------------------------------------------------===//
// Verifiers of phases
//===----------------------------------------------------------------------===//

def VerifyShard : Pass<"verify-shard", "::mlir::ModuleOp"> {
  let summary = "checks what must be true after `shard`";
  let description = [{
    Shapes are those of one device: no `dist.reshard` and no annotation is left. Collectives stand in
    entries and their layers alone, so that all devices run the same ones in one order. A mesh of
    one device has none.
  }];
}

#endif // QWEN_SHARDING_PASSES_TD
