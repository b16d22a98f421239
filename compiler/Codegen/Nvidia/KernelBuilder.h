//===- KernelBuilder.h - Builds GPU kernels ------------------- -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What all emitters of GPU kernels share: the frame, threads and blocks, shared
// memory, exchange between the threads of a warp, and 16-byte accesses. The
// code that is built is what one thread does.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_KERNELBUILDER_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_KERNELBUILDER_H

#include "compiler/Codegen/ElementBuilder.h"
#include "compiler/Codegen/Nvidia/NvidiaKernels.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace qwen::nvidia {

using namespace codegen;

/// Threads of a warp.
inline constexpr int64_t kWarp = 32;
/// Bytes of the widest access.
inline constexpr int64_t kAccessBytes = 16;
/// Address spaces.
inline constexpr unsigned kGlobal = 1, kShared = 3;
/// The symbol of the block's dynamic shared memory.
inline constexpr llvm::StringLiteral kSharedSymbol = "shared";

/// What the memory of a kernel's operand or result is aligned to, at most
/// kAccessBytes. The layers of a parameter lie one behind the other, each where
/// the one before ends; only tensors of a static shape are parameters.
int64_t alignmentOf(mlir::Type tensor);

class KernelBuilder final : public ElementBuilder {
public:
  /// Creates GPU kernel `index` of `kernel` in `module`, for blocks of
  /// `threads` threads; what is built next becomes its body.
  KernelBuilder(kernel::FuncOp kernel, int64_t index,
                const NvidiaTarget &target, mlir::gpu::GPUModuleOp module,
                int64_t threads);

  const NvidiaTarget &target;

  mlir::LLVM::LLVMFuncOp function() { return func; }
  std::string symbol() override { return func.getSymName().str(); }
  /// The launch of this kernel; missing maps are 1.
  Launch launch(mlir::AffineMap x, mlir::AffineMap y = {},
                mlir::AffineMap z = {});

  // The frame.
  Value argument(unsigned index) override { return arguments[index]; }
  /// The kernel may have all registers that one block can. Where nobody says
  /// how many blocks of a kernel shall run together, ptxas decides, and rather
  /// spills a few registers than start one block less.
  void takesRegisters();
  /// A result in place is its argument.
  Value result(unsigned index) override { return results[index]; }
  Value workspace() { return workspacePointer; }

  // Threads, as i64. One value each, made at the kernel's entry.
  int64_t threads() const { return blockSize; }
  Value thread() { return threadId; }
  /// The block's number in dimension 0, 1 or 2.
  Value block(unsigned dim = 0) { return blockId[dim]; }
  /// Position in the warp, and number of the warp in the block.
  Value lane();
  Value warp();

  // Shared memory: uninitialised, of the block.
  /// `bytes` more of it, aligned to 16 bytes.
  Value shared(int64_t bytes);
  /// Waits for all threads of the block; orders their accesses.
  void barrier();

  // Exchange between the threads of a warp, all of which take part.
  /// The value of the thread whose lane differs in the bits of `mask`.
  Value shuffleXor(Value value, int64_t mask);
  /// The value of lane `lane` (i64) of the warp.
  Value shuffleIndex(Value value, Value lane);
  /// A bit for each lane whose `condition` (i1) holds, as i32.
  Value ballot(Value condition);
  /// The combination of the values of each `group` consecutive threads (a power
  /// of two, at most a warp), in a fixed order, known to all of them.
  Value combineGroup(Value value, int64_t group,
                     llvm::function_ref<Value(Value, Value)> combine);
  /// The combinations over the whole block, known to all threads. Contains a
  /// barrier.
  llvm::SmallVector<Value>
  combineBlock(mlir::ValueRange values,
               llvm::function_ref<Value(unsigned, Value, Value)> combine);

  // Accesses: a vector's address is aligned to its size, or to 16 bytes.
  Value load(Type type, Value pointer, Value offset = {}) override;
  void store(Value value, Value pointer, Value offset = {}) override;

  // Rounding and functions.
  Value widen(Value value) override;
  Value narrow(Value value, Type element) override;
  Value maximum(Value lhs, Value rhs) override;
  Value exp(Value x) override;
  Value rsqrt(Value x) override;
  /// Error at most 2e-7 for |x| < 2^20.
  Value cos(Value x) override;
  Value sin(Value x) override;

private:
  Value quotient(Value lhs, Value rhs) override;
  mlir::Operation *tableScope() override;
  unsigned tableSpace() override { return kGlobal; }
  /// sin (odd: cos) of x plus a quarter turn for each unit of `quarter`.
  Value sinQuarter(Value x, int64_t quarter);
  mlir::LLVM::FastmathFlagsAttr approximately();

  mlir::gpu::GPUModuleOp module;
  mlir::LLVM::LLVMFuncOp func;
  int64_t blockSize, sharedBytes = 0;
  /// Whether approximations of the hardware are good enough.
  bool approximate;
  llvm::SmallVector<Value> arguments, results;
  Value workspacePointer, threadId, blockId[3], laneId, warpId;
};

/// The number of blocks as a constant.
inline mlir::AffineMap blocks(mlir::MLIRContext *context, int64_t count) {
  return constantUnits(context, count);
}

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_KERNELBUILDER_H
