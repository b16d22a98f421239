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

def ConfigureNvidiaKernels : Pass<"configure-nvidia-kernels", "::mlir::ModuleOp"> {
  let summary = "chooses the implementation of GPU kernels and their workspaces";
  let description = [{
    `kernel.impl` of a contract kernel that has none becomes "library" where
    cuBLASLt computes the product and a part of the epilogue exactly as the kernel
    says, with one rounding at most, and "generated" elsewhere. Workspaces are those
    of `configure-cpu-kernels`, for the targets `cuda` and `cuda-sim`.
  }];
}

def LowerToNvidia : Pass<"lower-to-nvidia", "::mlir::ModuleOp"> {
  let summary = "emits kernels and entry points for NVIDIA GPUs";
  let description = [{
    Every kernel becomes one or a few `llvm.func`s with `nvvm.kernel` in the
    `gpu.module @kernels`, which are what one thread does; every entry a function
    `<entry>$<target>(ctx, call) -> i32` that calls the runtime's `launch`, with
    `qwen.layers` as loops. Kernels, entries and parameters are gone afterwards; the
    module's `qwen.kernels` lists the GPU kernels in the order of their numbers, `qwen.products`
    what a library may do instead of some of them (`kernel.impl` is "library"): the entry asks
    the runtime for the product and launches its kernel where there is no library.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"cuda\"", "`cuda` or `cuda-sim`">,
    Option<"precise", "precise", "bool", "false",
           "Functions of f32 without the hardware's approximations">,
  ];
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
    "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def VerifyGpuKernels : Pass<"verify-gpu-kernels", "::mlir::ModuleOp"> {
  let summary = "checks accesses of GPU kernels";
  let description = [{
    In a `gpu.module`: every access to a vector says that it is aligned to its size
    or to 16 bytes, nothing is called, and nothing lies on a stack.
  }];
}

#endif // QWEN_CODEGEN_PASSES_TD
