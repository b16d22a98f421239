//===- SaveForBackward.h - Ask ops for what their gradients need -*- C++ -*-==//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_AUTODIFF_SAVEFORBACKWARD_H
#define QWEN_COMPILER_AUTODIFF_SAVEFORBACKWARD_H

namespace mlir {
class Operation;
} // namespace mlir

namespace qwen {

/// Gives norms and attention below `root` the results that gradients read.
void saveForBackward(mlir::Operation *root);

} // namespace qwen

#endif // QWEN_COMPILER_AUTODIFF_SAVEFORBACKWARD_H
