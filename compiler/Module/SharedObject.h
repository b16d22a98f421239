//===- SharedObject.h - Linking model.so ------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MODULE_SHAREDOBJECT_H
#define QWEN_COMPILER_MODULE_SHAREDOBJECT_H

#include "compiler/Module/ModuleTables.h"
#include "compiler/Module/ObjectFile.h"

namespace qwen {

/// Links `objects`, in their order, to a shared library at `path`: no build id,
/// no path of this machine, the same bytes for the same objects. Written under
/// a temporary name in the same folder and renamed, so that `path` is either
/// whole or as it was.
llvm::Error linkSharedObject(llvm::ArrayRef<ObjectBytes> objects,
                             llvm::StringRef path);

/// The whole of the `module` phase after code generation: checks the undefined
/// symbols of `code`, adds the tables and the manifest, and links.
llvm::Error writeModule(std::vector<ObjectBytes> code,
                        llvm::ArrayRef<ModuleVariant> variants,
                        llvm::StringRef manifest, llvm::StringRef path);

} // namespace qwen

#endif // QWEN_COMPILER_MODULE_SHAREDOBJECT_H
