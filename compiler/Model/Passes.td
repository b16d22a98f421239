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

def QuantizeWeights : Pass<"quantize-weights", "::mlir::ModuleOp"> {
  let summary = "lets entry points read weights as 8-bit or 4-bit integers";
  let description = [{
    In the entry points `entries`, linear layers and the table of words read a
    quantized form of their parameter (`dialects/Qwen/Storage.h`): `int8`, or `int4` in groups
    of 32, where the table of words and matrices whose inputs are not in
    groups of 32 stay `int8`. Weights only; activations keep their type.

    ```mlir
    %w = qwen.get_param @up : tensor<96x64xbf16>
    %y = qwen.linear %x, %w : (tensor<2x4x64xbf16>, tensor<96x64xbf16>) -> tensor<2x4x96xbf16>
    ```
    becomes
    ```mlir
    %w = qwen.get_param @up storage "int8" : tensor<96x64xi8>
    %s = qwen.get_param @up storage "int8_scale" : tensor<96xf32>
    %y = qwen.quantized_linear %x, %w scale %s
      : (tensor<2x4x64xbf16>, tensor<96x64xi8>, tensor<96xf32>) -> tensor<2x4x96xbf16>
    ```
  }];
  let options = [
    Option<"format", "format", "std::string", "\"int8\"", "int8 or int4">,
    ListOption<"entries", "entries", "std::string", "names of entry points">
  ];
  let statistics = [
    Statistic<"numQuantized", "quantized", "Number of ops that read quantized weights">
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
