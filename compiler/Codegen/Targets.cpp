//===- Targets.cpp - What a module is compiled for ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Targets.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace qwen;

ArrayRef<StringRef> qwen::targetNames() {
  static const StringRef names[] = {"cpu", "cuda", "cuda-sim"};
  return names;
}

StringRef qwen::targetOf(ModuleOp module) {
  auto target = module->getAttrOfType<StringAttr>(kTargetAttr);
  return target ? target.getValue() : StringRef("cpu");
}

OwnedModules qwen::copyForTargets(ModuleOp module,
                                  ArrayRef<std::string> targets) {
  OwnedModules copies;
  for (const std::string &target : targets) {
    copies.push_back(module.clone());
    (*copies.back())
        ->setAttr(kTargetAttr, StringAttr::get(module.getContext(), target));
  }
  return copies;
}

OwningOpRef<ModuleOp> qwen::joinTargets(const OwnedModules &modules) {
  if (modules.size() == 1)
    return modules.front().get().clone();
  ModuleOp first = modules.front().get();
  OwningOpRef<ModuleOp> joined = ModuleOp::create(first.getLoc());
  for (const OwningOpRef<ModuleOp> &module : modules)
    joined->push_back(module.get().clone());
  // What --compile-from asks for first.
  if (Attribute phase = first->getAttr("qwen.phase"))
    (*joined)->setAttr("qwen.phase", phase);
  return joined;
}

OwnedModules qwen::takeTargets(OwningOpRef<ModuleOp> module) {
  OwnedModules modules;
  for (auto nested : llvm::make_early_inc_range(module->getOps<ModuleOp>()))
    if (nested->hasAttr(kTargetAttr)) {
      nested->remove();
      modules.push_back(nested);
    }
  if (modules.empty())
    modules.push_back(std::move(module));
  return modules;
}
