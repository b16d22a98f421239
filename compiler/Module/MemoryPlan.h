//===- MemoryPlan.h - What a module needs of memory --------------*- C++-*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MODULE_MEMORYPLAN_H
#define QWEN_COMPILER_MODULE_MEMORYPLAN_H

#include <map>
#include <optional>

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/JSON.h"

namespace qwen {

/// Anonymous memory of the runtime besides what the plan lists, in bytes:
/// stacks, scratch, tables, a tokenizer. Measured 6 to 10 MiB without one.
inline constexpr int64_t kHostBytes = 16 << 20;

/// Bytes of a device, by the mask of sub-axes along which devices hold
/// different ones; along the others they hold copies.
struct DeviceBytes {
  std::map<uint64_t, int64_t> byMask;

  void add(uint64_t mask, int64_t bytes) { byMask[mask] += bytes; }
  int64_t total() const;
};

/// The memory of training and of inference, after `memory`.
class MemoryPlan {
public:
  /// From the entries and the mesh of a manifest, and the arenas of `module`.
  MemoryPlan(const llvm::json::Object &manifest, mlir::ModuleOp module);

  /// The `device` object of --plan --json: bytes of one device.
  llvm::json::Object device() const;

  /// The `replication` object of --plan --json; nothing on one device. Of every
  /// kind of bytes `global`, the bytes of one copy of everything, and `copies`,
  /// what the mesh's devices hold beyond that by axis (for gradients also
  /// summands of one sum), so that devices x bytes of a device = global +
  /// copies. From the innermost axis on: copies within a group of devices that
  /// differ along it, then the copies that whole such groups are of each other.
  std::optional<llvm::json::Object> replication() const;

private:
  /// The state that some entries share, each part once.
  struct State {
    DeviceBytes parameters, packed, gradients, moments, cache, activations;
    int64_t arena = 0;
    int64_t sums =
        0; // of gradients, beside their summands: counts as workspace
  };
  struct SubAxis {
    std::string axis;
    int64_t size;
  };

  State addUp(const llvm::json::Object &manifest, mlir::ModuleOp module,
              llvm::ArrayRef<llvm::StringRef> entries) const;
  llvm::json::Object copiesOf(const DeviceBytes &bytes) const;

  std::vector<SubAxis> mesh;
  State train, infer;
};

} // namespace qwen

#endif // QWEN_COMPILER_MODULE_MEMORYPLAN_H
