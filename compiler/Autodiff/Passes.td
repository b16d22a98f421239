//===- Passes.td - Passes of the autodiff phase ------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_AUTODIFF_PASSES_TD
#define QWEN_AUTODIFF_PASSES_TD

include "mlir/Pass/PassBase.td"

def ReverseAutodiff : Pass<"reverse-autodiff", "::mlir::ModuleOp"> {
  let summary = "makes the training step from the loss";
  let description = [{
    From the function `from` (tokens, targets, documents) -> (loss, ...) makes the entry
    `micro_step` (tokens, targets, documents, inv_count, gradients...) -> (loss,
    gradients...): the gradient of `inv_count x loss` by every parameter, added to the
    gradients given. A z-loss stays in `micro_step` only: what `from` measures is the cross entropy.
    Rules are in AdjointRules.cpp, one for each op. Of the layers' values just
    those are saved (stacked results of `qwen.layers`) that a rule reads; views and
    parameters are read again instead.

    ```mlir
    %y = qwen.linear %x, %w : ...
    // gives, for a gradient %dy of %y
    %dx = qwen.linear_input_grad %dy, %w : ...
    %gw1 = qwen.linear_weight_grad %dy, %x into %gw0 : ...
    ```
  }];
  let options = [
    Option<"from", "from", "std::string", "\"eval_loss\"", "The function with the loss">,
  ];
  let statistics = [
    Statistic<"numSaved", "saved-values", "Number of values that each layer saves">,
  ];
  let dependentDialects = ["::qwen::QwenDialect", "::mlir::func::FuncDialect"];
}

def InsertOptimizer : Pass<"insert-optimizer", "::mlir::ModuleOp"> {
  let summary = "makes the entries optimizer_step and convert_storage";
  let description = [{
    `optimizer_step` takes masters, gradients, moments, `hyper` and `skip`; it adds
    up the squares of all gradients, clips by the global norm and applies
    `qwen.adamw` to every parameter. Where parameters are read in bf16 it also
    rounds the new masters into the compute storages; `convert_storage` does just that.
  }];
  let dependentDialects = ["::qwen::QwenDialect", "::mlir::func::FuncDialect"];
}

def VerifyAutodiff : Pass<"verify-autodiff", "::mlir::ModuleOp"> {
  let summary = "checks that every parameter has a gradient and an update";
}

#endif // QWEN_AUTODIFF_PASSES_TD
