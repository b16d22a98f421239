//===- HeadOps.td - Heads that are there for the mesh alone -*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DIST_HEAD_OPS_TD
#define DIST_HEAD_OPS_TD

include "dialects/Dist/DistOps.td"

def Dist_PadGroupsOp : Dist_Op<"pad_groups", [Pure]> {
  let summary = "pads or cuts every group of a dimension";
  let description = [{
    Dimension `dim` (0: the last one) is `groups` groups of `width` entries; the result's are of
    `size` entries each:
    `result[.., g size + j, ..] = operand[.., g width + start + j, ..]` where `0 <= start + j < width`, else 0.
    Without `start` (i32 scalar) it is 0. On a mesh a device pads to its part of the
    padded groups, or puts its part into whole ones.
    Lifespan: `import` makes it of weights with `parallel.pad_heads`, autodiff of their gradients; `partition` gives it
    `start`; a kernel from `fuse` on.
  }];
  let arguments = (ins Dist_Tensor:$operand, Optional<Dist_Tensor>:$start,
                       I64Attr:$dim, I64Attr:$groups);
  let results = (outs Dist_Tensor:$result);
  let assemblyFormat = [{
    $operand (`from` $start^)? `dim` $dim `groups` $groups attr-dict `:` functional-type(operands, results)
  }];
  let extraClassDeclaration = [{
    /// The dimension, counted from the first one.
    int64_t position() {
      return getType().getRank() - 1 - static_cast<int64_t>(getDim());
    }
    int64_t width() {
      return ::llvm::cast<::mlir::RankedTensorType>(getOperand().getType())
                 .getDimSize(position()) / static_cast<int64_t>(getGroups());
    }
    int64_t size() {
      return getType().getDimSize(position()) /
             static_cast<int64_t>(getGroups());
    }
    ::mlir::RankedTensorType getType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getResult().getType());
    }
  }];
}

#endif // DIST_HEAD_OPS_TD
