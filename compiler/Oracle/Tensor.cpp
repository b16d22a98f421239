//===- Tensor.cpp - Values of the oracle ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/Tensor.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/xxhash.h"

#include <cmath>
#include <cstring>

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;

double oracle::roundTo(double value, Type element) {
  if (element.isF64())
    return value;
  if (element.isF32())
    return static_cast<float>(value);
  if (auto type = dyn_cast<FloatType>(element)) {
    APFloat number(value);
    bool losesInfo;
    number.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                   &losesInfo);
    return number.convertToDouble();
  }
  if (element.isInteger(1))
    return value != 0;
  if (element.isInteger(32))
    return static_cast<int32_t>(static_cast<int64_t>(value));
  return value;
}

void Tensor::round() {
  Type element = type.getElementType();
  if (element.isF64())
    return;
  for (double &value : values)
    value = roundTo(value, element);
}

uint64_t Tensor::checksum() const {
  std::vector<uint64_t> bits(values.size());
  for (auto [value, bit] : llvm::zip(values, bits)) {
    double canonical =
        std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
    std::memcpy(&bit, &canonical, sizeof bit);
  }
  return llvm::xxh3_64bits(
      ArrayRef(reinterpret_cast<const uint8_t *>(bits.data()),
               bits.size() * sizeof(uint64_t)));
}

void Tensor::print(llvm::raw_ostream &os) const {
  const char *format = type.getElementType().isF64() ? "%.17g" : "%.9g";
  os << '[';
  for (auto [i, value] : llvm::enumerate(values))
    os << (i ? ", " : "") << llvm::format(format, value);
  os << ']';
}

Tensor oracle::reshape(const Tensor &tensor, RankedTensorType type) {
  assert(type.getNumElements() == tensor.size() && "not the same elements");
  Tensor result = tensor;
  result.type = type;
  return result;
}

Tensor oracle::takeLayer(const Tensor &stack, int64_t index) {
  Tensor layer(RankedTensorType::get(stack.type.getShape().drop_front(),
                                     stack.type.getElementType()));
  std::copy_n(stack.values.begin() + index * layer.size(), layer.size(),
              layer.values.begin());
  return layer;
}

void oracle::putLayer(Tensor &stack, int64_t index, const Tensor &layer) {
  llvm::copy(layer.values, stack.values.begin() + index * layer.size());
}

SmallVector<int64_t> oracle::strides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> result(shape.size());
  int64_t stride = 1;
  for (int64_t i = shape.size() - 1; i >= 0; --i) {
    result[i] = stride;
    stride *= shape[i];
  }
  return result;
}
