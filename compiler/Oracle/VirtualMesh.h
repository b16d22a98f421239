//===- VirtualMesh.h - Run a partitioned function on all devices --*- C++
//-*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_ORACLE_VIRTUALMESH_H
#define QWEN_COMPILER_ORACLE_VIRTUALMESH_H

#include "compiler/Oracle/Inputs.h"
#include "compiler/Oracle/Prepare.h"
#include "dialects/Dist/Sharding.h"

#include <map>

namespace qwen::oracle {

/// What a comparison with one device found.
struct MeshReport {
  int64_t devices = 0;
  /// max over results of (max |difference| / max(1e-3, max |expected|)).
  double difference = 0;
  std::string worst; // the result it belongs to
  /// Collectives that a device ran, as `all_reduce [1, 2]`, and how often.
  std::map<std::string, int64_t> collectives;
};

/// Runs entry `name` of `module` (after autodiff, with a mesh in `qwen.mesh`)
/// as it is, and the phase `shard`'s version of it on every device of the mesh
/// with its part of the same inputs, and compares the logical results. Devices
/// that hold copies must agree in every bit. With `fused` the devices run
/// kernels. `last_micro_step`, which the phase may make, is held against
/// `micro_step`; nothing if it is not there.
mlir::FailureOr<std::optional<MeshReport>>
checkMesh(mlir::ModuleOp module, llvm::StringRef name, Precision precision,
          bool fused, const InputGenerator &inputs);

} // namespace qwen::oracle

#endif // QWEN_COMPILER_ORACLE_VIRTUALMESH_H
