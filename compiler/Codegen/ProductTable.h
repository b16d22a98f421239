//===- ProductTable.h - Products of the module's table ----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A qrt_product (runtime/abi/qwen_module.h) as an attribute, between codegen
// and module.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_PRODUCTTABLE_H
#define QWEN_COMPILER_CODEGEN_PRODUCTTABLE_H

#include "mlir/IR/BuiltinAttributes.h"
#include "runtime/abi/qwen_module.h"

namespace qwen {

/// Calls `visit` with the name and the number of every field, in their order.
template <typename Product, typename Visit>
void visitFields(Product &product, Visit visit) {
  visit("kernel", product.kernel);
  visit("operand_dtype", product.operand_dtype);
  visit("result_dtype", product.result_dtype);
  visit("left_transposed", product.left_transposed);
  visit("right_transposed", product.right_transposed);
  visit("left", product.left);
  visit("right", product.right);
  visit("addend", product.addend);
  visit("bias", product.bias);
  visit("result", product.result);
  visit("workspace", product.workspace);
  visit("reserved", product.reserved);
  visit("m", product.m);
  visit("n", product.n);
  visit("k", product.k);
  visit("workspace_bytes", product.workspace_bytes);
}

/// A dictionary of the fields.
mlir::DictionaryAttr productAttr(mlir::MLIRContext *context,
                                 const qrt_product &product);
qrt_product productOf(mlir::DictionaryAttr attr);

} // namespace qwen

#endif // QWEN_COMPILER_CODEGEN_PRODUCTTABLE_H
