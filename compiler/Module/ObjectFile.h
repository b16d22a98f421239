//===- ObjectFile.h - Object code in memory ---------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MODULE_OBJECTFILE_H
#define QWEN_COMPILER_MODULE_OBJECTFILE_H

#include <memory>
#include <vector>

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

namespace llvm {
class TargetMachine;
}

namespace qwen {

using ObjectBytes = llvm::SmallVector<char, 0>;

/// Compiles a module of generated code (upstream dialects or already the LLVM
/// dialect, in a context made with registerCodegenDialects) to relocatable ELF
/// objects for x86-64.
///
/// The instruction set of a function is what its attributes `target_cpu` and
/// `target_features` say; a function without them gets plain x86-64. Symbols
/// are hidden, so the objects must be linked together. The division into
/// objects depends on the module only, never on `threads`; the same module
/// gives the same bytes. `module` is lowered in place.
llvm::Expected<std::vector<ObjectBytes>> emitObjects(mlir::ModuleOp module,
                                                     unsigned threads = 1);

/// As emitObjects, in one object: for tests and small modules.
llvm::Expected<ObjectBytes> emitObject(mlir::ModuleOp module);

/// LLVM's passes of level O3.
void optimizeModule(llvm::Module &module, llvm::TargetMachine &machine);

/// Optimizes (at O3) and emits one LLVM module.
llvm::Expected<ObjectBytes> emitLLVMModule(llvm::Module &module);

/// An error that names each symbol that is undefined in all of `objects` and is
/// neither a memory function of libc nor a function of libm: a compiler bug.
llvm::Error checkUndefinedSymbols(llvm::ArrayRef<ObjectBytes> objects);

} // namespace qwen

#endif // QWEN_COMPILER_MODULE_OBJECTFILE_H
