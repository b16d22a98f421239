//===- Passes.td - Passes of the phase `remat` -------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_REMAT_PASSES_TD
#define QWEN_REMAT_PASSES_TD

include "mlir/Pass/PassBase.td"

def Rematerialize : Pass<"rematerialize", "::mlir::ModuleOp"> {
  let summary = "chooses which saved values are recomputed";
  let description = [{
    A saved value is a stacked result of a `qwen.layers`: what an iteration keeps
    for the reverse loop. While a function saves more than `saved-bytes`, the
    value that costs the fewest operations (`CostModelOpInterface`) for each byte is
    computed again in the reverse loop, right before its first use, from what is still
    saved, the parameters and values from outside of the loops. So norms, rotations and gated
    products come first, projections and attention later, and at the end a layer keeps
    nothing but its input. The same ops on the same operands give the same bits.

    What is recomputed has a passed remark with its bytes over all layers and the operations that it
    adds; what is kept has an analysis remark (category `remat`). The
    module's attribute `qwen.saved_bytes` holds what each function still saves.
  }];
  let options = [
    Option<"savedBytes", "saved-bytes", "int64_t", "-1",
           "Bytes of saved values that a function may keep, over all layers; -1: all">
  ];
  let statistics = [
    Statistic<"numSaved", "saved", "Number of values saved for the backward pass">,
    Statistic<"numRecomputed", "recomputed", "Number of values recomputed in the backward pass">,
    Statistic<"bytesSaved", "bytes-saved", "Bytes of these values over all layers">
  ];
}

def VerifyRemat : Pass<"verify-remat", "::mlir::ModuleOp"> {
  let summary = "checks what must be true after `remat`";
  let description = [{
    The choice is made for what is there: `qwen.saved_bytes` names exactly the functions that
    save values, with the bytes that they save.
  }];
}

#endif // QWEN_REMAT_PASSES_TD
