//===- Passes.td - Passes of the phase `model` -------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_MODEL_PASSES_TD
#define QWEN_MODEL_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Transformations, in alphabetical order
//===----------------------------------------------------------------------===//

def FormLinearCrossEntropy : Pass<"form-linear-cross-entropy", "::mlir::ModuleOp"> {
  let summary = "turns a head and its loss into qwen.linear_cross_entropy";
  let description = [{
    The logits of all positions are by far the largest value of a training step;
    the formed op never holds them at once. Only a `qwen.linear` without bias
    and with f32 (or f64) result qualifies: otherwise a rounding of the logits would
    be dropped. A `qwen.softcap` in between becomes the op's `cap`.

    ```mlir
    %logits = qwen.linear %x, %w : (tensor<2x4x8xbf16>, tensor<16x8xbf16>) -> tensor<2x4x16xf32>
    %loss, %count, %correct = qwen.cross_entropy %logits, %t
      : (tensor<2x4x16xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
    ```
    becomes
    ```mlir
    %loss, %count, %correct = qwen.linear_cross_entropy %x, %w, %t
      : (tensor<2x4x8xbf16>, tensor<16x8xbf16>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
    ```
  }];
  let statistics = [
    Statistic<"numFormed", "formed", "Number of linear_cross_entropy ops formed">
  ];
}

//===----------------------------------------------------------------------===//
// Verifiers of phases
//===----------------------------------------------------------------------===//

def VerifyImport : Pass<"verify-import", "::mlir::ModuleOp"> {
  let summary = "checks what must be true after `import`";
  let description = [{
    Functions hold `qwen` ops only, and every op and parameter has a location in a file
    (`file:line:col`).
  }];
}

def VerifyModel : Pass<"verify-model", "::mlir::ModuleOp"> {
  let summary = "checks what must be true after `model`";
  let description = [{
    Besides the rules of `import`: parameters have the indices 0, 1, 2, ... in
    order; no `qwen.cross_entropy` is left; a parameter is read in the master's f32
    or in one compute type.
  }];
}

#endif // QWEN_MODEL_PASSES_TD
