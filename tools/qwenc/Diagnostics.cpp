//===- Diagnostics.cpp - What qwenc tells its user ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwenc/Diagnostics.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Location.h"
#include "mlir/IR/Remarks.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

/// Whether a message ends in `[Qnnnn]`.
static bool hasCode(llvm::StringRef message) {
  message = message.rtrim();
  return message.size() > 7 && message.ends_with("]") &&
         message.take_back(7).starts_with("[Q");
}

void qwenc::printError(llvm::StringRef message, int code) {
  llvm::raw_ostream &os = llvm::errs();
  if (!message.contains("error: "))
    os << "error: ";
  os << message.rtrim();
  if (!hasCode(message))
    os << llvm::format(" [Q%04d]", code);
  os << '\n';
}

void qwenc::printError(llvm::Error error, int code) {
  llvm::handleAllErrors(std::move(error), [&](const llvm::ErrorInfoBase &info) {
    printError(info.message(), code);
  });
}

qwenc::DiagnosticPrinter::DiagnosticPrinter(MLIRContext &context, bool verbose)
    : verbose(verbose), handler(&context, [this](Diagnostic &diagnostic) {
        print(diagnostic);
        return success();
      }) {}

/// `file:line:col: ` of the first place in `loc`, or nothing.
static std::string placeOf(Location loc) {
  auto place = loc->findInstanceOf<FileLineColRange>();
  if (!place)
    return "";
  return (place.getFilename().getValue() + ":" + Twine(place.getStartLine()) +
          ":" + Twine(place.getStartColumn()) + ": ")
      .str();
}

void qwenc::printNotes(Diagnostic &diagnostic) {
  for (Diagnostic &note : diagnostic.getNotes())
    llvm::errs() << placeOf(note.getLocation()) << "note: " << note.str()
                 << '\n';
}

void qwenc::DiagnosticPrinter::print(Diagnostic &diagnostic) {
  llvm::StringRef severity = "error";
  switch (diagnostic.getSeverity()) {
  case DiagnosticSeverity::Error:
    break;
  case DiagnosticSeverity::Warning:
    severity = "warning";
    break;
  case DiagnosticSeverity::Note:
    severity = "note";
    break;
  case DiagnosticSeverity::Remark:
    if (!verbose)
      return;
    severity = "remark";
    break;
  }
  std::string message = diagnostic.str();
  if (diagnostic.getSeverity() == DiagnosticSeverity::Error) {
    error = true;
    userError |= hasCode(message);
  }
  llvm::errs() << placeOf(diagnostic.getLocation()) << severity << ": "
               << message << '\n';
  printNotes(diagnostic);
}

void qwenc::enableRemarks(MLIRContext &context) {
  remark::RemarkCategories categories;
  categories.all = ".*";
  categories.passed = categories.missed = ".*";
  categories.analysis = categories.failed = ".*";
  if (failed(remark::enableOptimizationRemarks(
          context, nullptr, std::make_unique<remark::RemarkEmittingPolicyAll>(),
          categories, /*printAsEmitRemarks=*/true)))
    llvm::errs() << "warning: no remarks\n";
}
