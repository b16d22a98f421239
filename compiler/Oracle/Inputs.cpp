//===- Inputs.cpp - Random inputs for functions ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/Inputs.h"

#include "dialects/Qwen/Entry.h"
#include "llvm/Support/xxhash.h"

#include <cmath>

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;

/// SplitMix64, as in Steele, Lea and Flood, OOPSLA 2014.
static uint64_t nextRandom(uint64_t &state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

Tensor InputGenerator::make(StringRef name, RankedTensorType type) const {
  Tensor tensor(type);
  Range range = tensor.isFloat() ? Range{-1, 1} : Range{0, 3};
  if (name == "hyper" || name.starts_with("moment2"))
    range = {0.1, 0.9};
  auto it = ranges.find(name);
  if (it != ranges.end())
    range = it->second;
  if (auto value = given.find(name);
      value != given.end() && !value->second.empty()) {
    for (int64_t i = 0; i < tensor.size(); ++i)
      tensor.values[i] = value->second[i % value->second.size()];
    tensor.round();
    return tensor;
  }
  uint64_t state = seed ^ llvm::xxh3_64bits(name);
  for (double &value : tensor.values) {
    double unit = (nextRandom(state) >> 11) * 0x1p-53;
    value = tensor.isFloat()
                ? range.low + unit * (range.high - range.low)
                : std::floor(range.low + unit * (range.high - range.low + 1));
  }
  tensor.round();
  return tensor;
}

std::vector<Tensor> InputGenerator::makeArguments(func::FuncOp func) const {
  std::vector<Tensor> tensors;
  for (unsigned i = 0; i < func.getNumArguments(); ++i) {
    std::string name = "arg" + std::to_string(i);
    if (auto attr = func.getArgAttrOfType<StringAttr>(i, entry::kName))
      name = attr.str();
    // The parameter, its gradient and its moments share a name.
    auto role = func.getArgAttrOfType<StringAttr>(i, entry::kRole);
    if (role && role.getValue() != entry::kInput)
      name = (role.getValue() + "." + name).str();
    tensors.push_back(
        make(name, cast<RankedTensorType>(func.getArgumentTypes()[i])));
  }
  return tensors;
}

Parameters InputGenerator::makeParameters(ModuleOp module) const {
  Parameters parameters;
  for (auto param : module.getOps<ParamOp>()) {
    Type type = param.getType();
    if (param.getLayers())
      type = LayersOp::stack(type, *param.getLayers());
    parameters[param.getSymName()] =
        make(param.getSymName(), cast<RankedTensorType>(type));
  }
  return parameters;
}
