//===- RelayoutForm.h - Copies around collectives ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_RELAYOUTFORM_H
#define QWEN_COMPILER_CODEGEN_RELAYOUTFORM_H

#include "compiler/Codegen/ElementBuilder.h"
#include "compiler/Codegen/KernelForm.h"

namespace qwen::codegen {

/// Whether a kernel is dist.slice, dist.pack, dist.unpack or dist.pad_groups.
bool isRelayout(kernel::FuncOp kernel);

/// dist.slice, dist.pack and dist.unpack: a tensor whose dimension is cut is
/// [before][parts][piece]; the other one is a slice of it, or has the parts in
/// front, each a range of a bucket's row. Numbers are elements.
struct RelayoutForm {
  mlir::Operation *op;
  mlir::RankedTensorType type; // of the tensor whose dimension is cut
  unsigned source;             // the kernel's argument that is read
  int64_t parts;
  bool hasRows;          // `before` counts for each row of the call
  int64_t before, piece; // products of the dimensions around
  /// Sequences are cut: `piece` is a token, of which the kernel's actual
  /// sequence / parts are one part.
  bool cutsTokens = false;
  /// dist.slice: the argument that says which part.
  std::optional<unsigned> place = {};
  bool toFront = false; // dist.pack
  int64_t row = 0;      // of a bucket; 0: the parts are as long as they are
  int64_t offset = 0;   // in a bucket's row

  /// Whether the operand is the tensor whose dimension is cut.
  bool readsTogether() const { return place || toFront; }
};

/// Errors, at the op: operands that are not arguments, rows that are cut.
mlir::FailureOr<RelayoutForm> relayoutForm(kernel::FuncOp kernel);

/// Where sequences are cut: of a token of the tensor that is cut (of
/// dist.slice: of the slice, whose place is `place`) the numbers of its token
/// in that tensor and in the other one.
struct TokenNumbers {
  mlir::Value together, apart;
};
TokenNumbers tokenNumbers(ElementBuilder &k, const RelayoutForm &form,
                          mlir::Value token, mlir::Value place);

/// dist.pad_groups: of each of `groups` groups entries of `entry` elements.
struct PadForm {
  unsigned source;
  std::optional<unsigned> start; // argument: the first entry of the result
  int64_t groups, width, size;   // entries of a group of operand and result
  int64_t entry;
  mlir::Type element;
};
mlir::FailureOr<PadForm> padForm(kernel::FuncOp kernel);

} // namespace qwen::codegen

#endif // QWEN_COMPILER_CODEGEN_RELAYOUTFORM_H
