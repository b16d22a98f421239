//===- Mesh.cpp - The device mesh of a module -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Mesh.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

qwen::dist::SubAxes qwen::subAxesOf(const Mesh &mesh) {
  dist::SubAxes result;
  for (const auto &[name, size] : mesh) {
    int64_t rest = size;
    size_t first = result.size();
    for (int64_t factor = 2; rest > 1; ++factor)
      for (; rest % factor == 0; rest /= factor)
        result.push_back({name, factor});
    std::reverse(result.begin() + first, result.end());
  }
  return result;
}

qwen::dist::Axes qwen::subAxesOf(llvm::StringRef name,
                                 const dist::SubAxes &axes) {
  dist::Axes numbers;
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i].axis == name)
      numbers.push_back(i);
  return numbers;
}

void qwen::setMesh(ModuleOp module, const Mesh &mesh) {
  Builder builder(module.getContext());
  SmallVector<Attribute> axes;
  for (const auto &[name, size] : mesh)
    axes.push_back(builder.getArrayAttr(
        {builder.getStringAttr(name), builder.getI64IntegerAttr(size)}));
  module->setAttr(kMeshAttr, builder.getArrayAttr(axes));
}

FailureOr<qwen::Mesh> qwen::getMesh(ModuleOp module) {
  auto axes = module->getAttrOfType<ArrayAttr>(kMeshAttr);
  if (!axes)
    return module.emitError("expected a mesh in the attribute qwen.mesh");
  Mesh mesh;
  llvm::StringSet<> names;
  for (Attribute attribute : axes) {
    auto axis = dyn_cast<ArrayAttr>(attribute);
    auto name =
        axis && axis.size() == 2 ? dyn_cast<StringAttr>(axis[0]) : StringAttr();
    auto size = name ? dyn_cast<IntegerAttr>(axis[1]) : IntegerAttr();
    if (!size || !size.getType().isInteger(64))
      return module.emitError("expected a mesh axis as [name, size], got ")
             << attribute;
    if (!names.insert(name).second)
      return module.emitError("duplicate mesh axis: ") << name;
    if (size.getInt() < 1)
      return module.emitError("expected mesh axis ")
             << name << " to have at least one device, got " << size.getInt();
    mesh.emplace_back(name.str(), size.getInt());
  }
  return mesh;
}
