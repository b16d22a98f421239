//===- ShardPasses.cpp - The passes of the phase `shard` ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace qwen;

void qwen::buildShardPasses(mlir::OpPassManager &pm) {
  pm.addPass(createImportMesh());
  pm.addPass(createSplitBlocks());
  pm.addPass(createPropagateShardings());
  pm.addPass(createReduceGradients());
  pm.addPass(createInsertReshards());
  // Equal reshards become one.
  pm.addPass(mlir::createCSEPass());
  pm.addPass(createPartition());
  pm.addPass(createBucketCollectives());
  pm.addPass(createPackCollectives());
  pm.addPass(mlir::createCSEPass());
}
