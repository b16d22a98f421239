//===- ImportMesh.cpp - The mesh that a module is compiled for ------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"

namespace qwen {
#define GEN_PASS_DEF_IMPORTMESH
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

namespace {
struct ImportMesh : qwen::impl::ImportMeshBase<ImportMesh> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (!module->hasAttr(kMeshAttr))
      setMesh(module, {{"data", 1}});
    FailureOr<Mesh> mesh = getMesh(module);
    if (failed(mesh))
      return signalPassFailure();
    for (const auto &[name, size] : *mesh)
      if (size != 1) {
        module.emitError("meshes of more than one device are not supported "
                         "yet, got ")
            << name << "=" << size << " [Q2201]";
        return signalPassFailure();
      }
  }
};
} // namespace
