//===- Passes.td - Passes of the phase `shard` -------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_SHARDING_PASSES_TD
#define QWEN_SHARDING_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Transformations, in alphabetical order
//===----------------------------------------------------------------------===//

def ImportMesh : Pass<"import-mesh", "::mlir::ModuleOp"> {
  let summary = "takes the device mesh from the module and checks it";
  let description = [{
    The module's attribute `qwen.mesh` is a list of axes, outermost first, each a
    name and a size. A module without it gets `[["data", 1]]`. A mesh of more
    than one device is an error: nothing partitions a model yet. On a mesh of one all
    shapes are local already.

    ```mlir
    module attributes {qwen.mesh = [["data", 1], ["tensor", 1]]} { ... }
    ```
  }];
}

//===----------------------------------------------------------------------===//
// Verifiers of phases
//===----------------------------------------------------------------------===//

def VerifyShard : Pass<"verify-shard", "::mlir::ModuleOp"> {
  let summary = "checks what must be true after `shard`";
  let description = [{
    There is a mesh of one device, and shapes are local: a global mesh has not
    been left behind. All ranks see one total order of collectives, which on one device
    means that there is none: an op of a dialect `dist` is an error.
  }];
}

#endif // QWEN_SHARDING_PASSES_TD
