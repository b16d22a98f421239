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
  let summary = "chooses which saved values are recomputed (at present: none)";
  let description = [{
    A saved value is a stacked result of a `qwen.layers`: what an iteration keeps
    for the backward pass. The policy is to keep every one. For each there is
    an analysis remark with its bytes over all layers (category `remat`), and the
    module's attribute `qwen.saved_bytes` holds their sum for each function.
  }];
  let statistics = [
    Statistic<"numSaved", "saved", "Number of values saved for the backward pass">,
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
