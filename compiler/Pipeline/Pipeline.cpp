//===- Pipeline.cpp - The passes of each phase ----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Pipeline/Pipeline.h"

#include "compiler/Autodiff/Passes.h"
#include "compiler/Codegen/Passes.h"
#include "compiler/Codegen/Targets.h"
#include "compiler/Fusion/Passes.h"
#include "compiler/Memory/Passes.h"
#include "compiler/Model/Passes.h"
#include "compiler/Module/LowerToLLVM.h"
#include "compiler/Remat/Passes.h"
#include "compiler/Sharding/Passes.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void qwen::buildPhase(Phase phase, OpPassManager &pm,
                      const PipelineOptions &options) {
  SmallVector<std::string> levels{options.cpu};
  switch (phase) {
  case Phase::Import:
    pm.addPass(createVerifyImport());
    return;
  case Phase::Model:
    pm.addPass(createCanonicalizerPass());
    pm.addPass(createCSEPass());
    if (options.weights == "int8" || options.weights == "int4")
      pm.addPass(createQuantizeWeights(
          {options.weights, {"logits", "prefill", "decode"}}));
    pm.addPass(createFormLinearCrossEntropy());
    pm.addPass(createVerifyModel());
    return;
  case Phase::Autodiff:
    if (!options.train)
      return;
    pm.addPass(createReverseAutodiff());
    pm.addPass(createInsertOptimizer());
    pm.addPass(createCSEPass());
    pm.addPass(createVerifyAutodiff());
    return;
  case Phase::Shard:
    buildShardPasses(pm);
    pm.addPass(createVerifyShard());
    return;
  case Phase::Remat:
    pm.addPass(createRematerialize({options.savedBytes}));
    pm.addPass(createVerifyRemat());
    return;
  case Phase::Fuse:
    pm.addPass(createExpandMuon());
    pm.addPass(createFormKernels());
    if (isGpuTarget(options.target))
      pm.addPass(createConfigureNvidiaKernels());
    else
      pm.addPass(createConfigureCpuKernels({levels}));
    pm.addPass(createCSEPass());
    pm.addPass(createVerifyFused());
    return;
  case Phase::Memory: {
    PlanMemoryOptions memory;
    memory.budget = options.arenaBudget;
    pm.addPass(createAssignSlots());
    pm.addPass(createScheduleCollectives());
    pm.addPass(createPlanMemory(memory));
    pm.addPass(createVerifyMemory());
    return;
  }
  case Phase::Codegen:
    if (isGpuTarget(options.target)) {
      pm.addPass(createLowerToNvidia({options.target}));
      pm.addPass(createVerifyGpuKernels());
    } else {
      pm.addPass(createLowerToCpu({levels}));
    }
    buildLowerToLLVM(pm);
    if (options.target == kCudaSim)
      pm.addPass(createNvvmToHost());
    return;
  case Phase::Module:
    return;
  }
}

void qwen::registerQwenDialects(DialectRegistry &registry) {
  registry.insert<QwenDialect, kernel::KernelDialect, dist::DistDialect>();
  registerCodegenDialects(registry);
}

void qwen::registerQwenPasses() {
  registerModelPasses();
  registerShardingPasses();
  registerRematPasses();
  registerFusionPasses();
  registerMemoryPasses();
  registerAutodiffPasses();
  registerCodegenPasses();
  for (const PhaseInfo &info : allPhases()) {
    Phase phase = info.phase;
    if (phase == Phase::Module)
      continue;
    PassPipelineRegistration<>(
        "qwen-phase-" + info.name.str(), info.description,
        [phase](OpPassManager &pm) { buildPhase(phase, pm, {}); });
  }
}
