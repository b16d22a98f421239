//===- Ptxas.h - Runs the assembler of the CUDA toolkit ------- -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MODULE_PTXAS_H
#define QWEN_COMPILER_MODULE_PTXAS_H

#include <optional>
#include <string>
#include <vector>

#include "llvm/Support/Error.h"

namespace qwen {

/// Something that makes a kernel slower than it was meant to be.
struct PtxasFinding {
  std::string kernel, arch, message;
};

struct PtxasResult {
  std::string bytes; ///< the cubin
  std::vector<PtxasFinding> findings;
};

/// The program: in $CUDA_HOME/bin, $CUDA_PATH/bin, on the PATH, or in
/// /usr/local/cuda/bin.
std::optional<std::string> findPtxas();

/// PTX whose kernel asks for registers so few that `blocks` of its blocks are
/// on a multiprocessor at once; 0: it does not ask.
std::string withBlocksAtOnce(llvm::StringRef ptx, llvm::StringRef kernel,
                             unsigned blocks);

/// Assembles PTX. An error [Q2402] if it is refused. How many registers ptxas
/// gives a kernel follows from how many blocks it wants side by side, and it
/// spills a few bytes for that, or by chance where hundreds are free: a kernel
/// with a finding is assembled again under other demands until one has none.
llvm::Expected<PtxasResult> runPtxas(llvm::StringRef program,
                                     llvm::StringRef ptx, llvm::StringRef arch,
                                     unsigned threads);

/// What `ptxas -v` says of kernels that spill registers, need a stack or whose
/// tensor-core instructions it had to serialise.
std::vector<PtxasFinding> readPtxasLog(llvm::StringRef log,
                                       llvm::StringRef arch);

} // namespace qwen

#endif // QWEN_COMPILER_MODULE_PTXAS_H
