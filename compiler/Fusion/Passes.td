//===- Passes.td - Passes of the fuse phase ----------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_FUSION_PASSES_TD
#define QWEN_FUSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def FormKernels : Pass<"form-kernels", "::mlir::ModuleOp"> {
  let summary = "groups model ops into kernels and outlines them";
  let description = [{
    Every block op of an entry point joins a group; a group becomes one
    `kernel.func` (its ops' decompositions, or the op itself for a block root)
    and one `kernel.launch`. A row-wise op joins the group of its producer where both work on
    the same rows and nothing between them needs the producer; an elementwise op
    joins the epilogue of a contraction. Equal kernels are made once. Every decision is
    a remark.

    ```mlir
    %h = qwen.add %x, %r : ...
    %y = qwen.rms_norm %h weight %w {eps = 1e-6 : f64} : ...
    // becomes
    %h, %y = kernel.launch @add_rms_norm(%x, %r, %w) : ...
    ```
  }];
  let statistics = [
    Statistic<"numKernels", "kernels", "Number of kernels made">,
    Statistic<"numLaunches", "launches", "Number of launches made">,
    Statistic<"numFused", "fused", "Number of ops that joined another's kernel">,
  ];
  let dependentDialects = ["::qwen::kernel::KernelDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect"];
}

def ExpandMuon : Pass<"expand-muon", "::mlir::ModuleOp"> {
  let summary = "writes qwen.muon as momentum, matrix products and a step";
  let description = [{
    Each of the parts becomes a kernel of its own, the products those of any other contraction.
    Of the two Gram matrices the smaller one is taken, so that nothing is transposed. It is
    a pass of `fuse`, because sharding wants to see the whole matrix.
  }];
  let statistics = [
    Statistic<"numExpanded", "expanded", "Number of qwen.muon ops expanded">,
  ];
}

def VerifyFused : Pass<"verify-fused", "::mlir::ModuleOp"> {
  let summary = "checks that all compute is inside kernels";
}

#endif // QWEN_FUSION_PASSES_TD
