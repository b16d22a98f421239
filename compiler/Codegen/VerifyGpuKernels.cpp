//===- VerifyGpuKernels.cpp - What GPU kernels must not do ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Passes.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace qwen {
#define GEN_PASS_DEF_VERIFYGPUKERNELS
#include "compiler/Codegen/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

/// Bytes of a vector; 0 for scalars.
static int64_t vectorBytes(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? vector.getNumElements() * vector.getElementTypeBitWidth() / 8
                : 0;
}

/// Without an alignment of its size (or of 16 bytes), a vector would be
/// accessed element by element.
static LogicalResult checkAccess(Operation *op, Type type,
                                 std::optional<uint64_t> alignment) {
  int64_t bytes = vectorBytes(type);
  if (bytes == 0)
    return success();
  uint64_t needed =
      llvm::bit_floor(static_cast<uint64_t>(std::min<int64_t>(bytes, 16)));
  if (alignment && *alignment >= needed)
    return success();
  return op->emitOpError("accesses ")
         << bytes << " bytes that are aligned to "
         << (alignment ? std::to_string(*alignment) : std::string("nothing"))
         << ", expected " << needed;
}

namespace {
struct VerifyGpuKernels
    : public qwen::impl::VerifyGpuKernelsBase<VerifyGpuKernels> {
  void runOnOperation() override {
    WalkResult result = getOperation().walk([](Operation *op) {
      if (!op->getParentOfType<gpu::GPUModuleOp>())
        return WalkResult::advance();
      LogicalResult ok = success();
      if (auto load = dyn_cast<LLVM::LoadOp>(op))
        ok = checkAccess(op, load.getType(), load.getAlignment());
      else if (auto store = dyn_cast<LLVM::StoreOp>(op))
        ok = checkAccess(op, store.getValue().getType(), store.getAlignment());
      else if (isa<LLVM::CallOp>(op))
        ok = op->emitOpError("calls a function in a kernel of a GPU");
      else if (isa<LLVM::AllocaOp>(op))
        ok = op->emitOpError("needs a stack in a kernel of a GPU");
      return failed(ok) ? WalkResult::interrupt() : WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }
};
} // namespace
