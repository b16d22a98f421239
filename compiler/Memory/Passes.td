//===- Passes.td - Passes of the memory phase --------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_MEMORY_PASSES_TD
#define QWEN_MEMORY_PASSES_TD

include "mlir/Pass/PassBase.td"

def AssignSlots : Pass<"assign-slots", "::mlir::ModuleOp"> {
  let summary = "gives every argument, parameter and output of an entry its slots";
  let description = [{
    Writes the entry's `qwen.args`: for each argument, each parameter that is read
    and each result that is not donated, a dictionary of name, role, storage,
    parameter, type, slot and count (one slot per layer), in the order of slots. This is what
    the manifest says of the entry.
  }];
}

def PlanMemory : Pass<"plan-memory", "::mlir::ModuleOp"> {
  let summary = "gives every tensor of an entry its place";
  let description = [{
    Tensors of the call lie in slots; all others in one arena for each entry, at
    offsets chosen from their lifetimes (best fit, largest first, 64-byte
    aligned). Saved values are stacks, `layers x` the slice; what goes from one
    iteration to the next alternates between two places, or walks along its stack if it is saved as well. Launches get `buffers`; the
    entry gets `qwen.arena` = {activations, bytes, workspace}.
  }];
  let options = [
    Option<"budget", "budget", "int64_t", "0",
           "Fail if an arena needs more bytes than this (0: no limit)">,
  ];
}

def ScheduleCollectives : Pass<"schedule-collectives", "::mlir::ModuleOp"> {
  let summary = "lets collectives run while kernels do";
  let description = [{
    A collective starts as soon as what it gives is computed (`dist.started`) and is waited for before the
    first op that reads its result or overwrites what it reads: `dist.waits` of that op is the number of the oldest
    ones that it waits for. Ops that only add a result to a sum are put off to that
    point; a parameter's gather starts before the parameter in front of it is read. At most four are under way, as
    each keeps its buffers. Those that the next iteration of a loop has no need of go on beside it: `dist.carried_waits` of an op
    says how many that are, and `dist.late` which ops wait with them. Loops are entered and left with none.
  }];
}

def VerifyMemory : Pass<"verify-memory", "::mlir::ModuleOp"> {
  let summary = "checks that buffers that live at the same time do not overlap";
}

#endif // QWEN_MEMORY_PASSES_TD
