//===- ProductTable.cpp - Products of the module's table ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/ProductTable.h"

#include "mlir/IR/Builders.h"

using namespace mlir;

DictionaryAttr qwen::productAttr(MLIRContext *context,
                                 const qrt_product &product) {
  Builder b(context);
  NamedAttrList fields;
  visitFields(product, [&](StringRef name, auto value) {
    fields.set(name, b.getI64IntegerAttr(static_cast<int64_t>(value)));
  });
  return fields.getDictionary(context);
}

qrt_product qwen::productOf(DictionaryAttr attr) {
  qrt_product product{};
  visitFields(product, [&](StringRef name, auto &field) {
    field = attr.getAs<IntegerAttr>(name).getInt();
  });
  return product;
}
