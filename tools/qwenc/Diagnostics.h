//===- Diagnostics.h - What qwenc tells its user ----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TOOLS_QWENC_DIAGNOSTICS_H
#define QWEN_TOOLS_QWENC_DIAGNOSTICS_H

#include <memory>

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Error.h"

namespace qwenc {

/// Prints `error: message [Qnnnn]` on stderr; a message that has a place or a
/// code already keeps it.
void printError(llvm::StringRef message, int code);
void printError(llvm::Error error, int code);

/// Prints MLIR's diagnostics as `file:line:col: error: ...`, remarks only if
/// verbose, and remembers whether an error had a code, which means that it is
/// the user's.
class DiagnosticPrinter {
public:
  DiagnosticPrinter(mlir::MLIRContext &context, bool verbose);

  bool sawUserError() const { return userError; }
  bool sawError() const { return error; }

private:
  void print(mlir::Diagnostic &diagnostic);

  bool verbose;
  bool userError = false, error = false;
  mlir::ScopedDiagnosticHandler handler;
};

/// Prints the notes of a diagnostic, without itself.
void printNotes(mlir::Diagnostic &diagnostic);

/// Passes the remarks of passes to the diagnostics of `context`.
void enableRemarks(mlir::MLIRContext &context);

} // namespace qwenc

#endif // QWEN_TOOLS_QWENC_DIAGNOSTICS_H
