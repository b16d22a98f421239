//===- Plan.h - What qwenc --plan says --------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_PIPELINE_PLAN_H
#define QWEN_COMPILER_PIPELINE_PLAN_H

#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace qwen {

/// The document of --plan --json, from the manifest after the phase `memory`.
llvm::json::Object makePlan(const llvm::json::Object &manifest);

/// The same for people: one table, sizes in units of 1024.
void printPlan(const llvm::json::Object &plan, llvm::raw_ostream &os);

} // namespace qwen

#endif // QWEN_COMPILER_PIPELINE_PLAN_H
