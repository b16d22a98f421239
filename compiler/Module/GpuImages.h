//===- GpuImages.h - PTX and machine code of GPU kernels ------ -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MODULE_GPUIMAGES_H
#define QWEN_COMPILER_MODULE_GPUIMAGES_H

#include "compiler/Module/ModuleTables.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace qwen {

/// An architecture of NVIDIA GPUs: sm_80, or sm_90a, whose code runs on no
/// other.
struct GpuArch {
  unsigned number = 0;
  bool isSpecific = false;

  std::string name() const;
  bool operator==(const GpuArch &other) const {
    return number == other.number && isSpecific == other.isSpecific;
  }
};

/// The lowest architecture that kernels run on: its image is the portable one.
inline constexpr unsigned kPortableArch = 80;

/// Reads `sm_90a`; none if it is no architecture that kernels run on.
std::optional<GpuArch> parseGpuArch(llvm::StringRef name);

/// PTX of all kernels, which have been lowered to the dialects llvm and nvvm.
/// It calls no function of a library. Needs no CUDA toolkit.
llvm::Expected<std::string> emitPtx(mlir::gpu::GPUModuleOp kernels,
                                    GpuArch arch);

/// For each of `archs` machine code, if the program `ptxas` is found, and PTX;
/// then PTX for the portable architecture. Kernels that spill registers, need a
/// stack or lose the overlap of tensor-core instructions are errors at their
/// locations (Q2403), or warnings if `allowSlowKernels`; kernels that ptxas
/// refuses are an error (Q2402). The same bytes for the same kernels and the
/// same ptxas. The module is not changed.
llvm::Expected<std::vector<ModuleImage>>
emitGpuImages(mlir::gpu::GPUModuleOp kernels, llvm::ArrayRef<GpuArch> archs,
              unsigned threads, bool allowSlowKernels = false);

} // namespace qwen

#endif // QWEN_COMPILER_MODULE_GPUIMAGES_H
