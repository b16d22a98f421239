//===- Passes.td - Passes of the codegen phase -------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_CODEGEN_PASSES_TD
#define QWEN_CODEGEN_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConfigureCpuKernels : Pass<"configure-cpu-kernels", "::mlir::ModuleOp"> {
  let summary = "gives every kernel the workspace that its CPU emitters need";
  let description = [{
    `workspace` of a `kernel.func` becomes the most that any of `levels` needs
    for the largest number of rows of its launches. The last pass of `fuse`.
  }];
  let options = [
    ListOption<"levels", "levels", "std::string", "Levels of --cpu, best first">,
  ];
}

def LowerToCpu : Pass<"lower-to-cpu", "::mlir::ModuleOp"> {
  let summary = "emits kernels and entry points for the CPU";
  let description = [{
    For each of `levels` (variants of one module): every kernel becomes its
    tasks, every entry a function `<entry>$<level>(ctx, call) -> i32` that fills the tasks'
    arguments from the planned buffers and calls the runtime's `parallel_for`;
    `qwen.layers` becomes a loop. Kernels, entries and parameters are gone
    afterwards; the module's `qwen.worker_scratch_bytes` says how much scratch a worker needs.
  }];
  let options = [
    ListOption<"levels", "levels", "std::string", "Levels of --cpu, best first">,
  ];
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::amx::AMXDialect", "::mlir::arith::ArithDialect",
    "::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def NvvmToHost : Pass<"nvvm-to-host", "::mlir::ModuleOp"> {
  let summary = "turns GPU kernels into host functions of one thread";
  let description = [{
    Every `llvm.func` with `nvvm.kernel`, of `llvm` and `nvvm` ops, becomes
    `void name(const qrt_sim_thread *, void *const *params)`
    (`runtime/abi/qwen_sim.h`): special registers are read from the thread,
    shared memory is the block's buffer and every access to it is announced, what
    threads do together calls the runtime's table, and approximations of functions are the
    functions. `qwen.static_shared_bytes` says how much shared memory lies before the
    dynamic one. What is in a `gpu.module` moves to the module around it. An op that cuda-sim does not know is an error that names it.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

#endif // QWEN_CODEGEN_PASSES_TD
