//===- PlannedMemory.cpp - Check a memory plan while running --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/PlannedMemory.h"

#include "compiler/Memory/Passes.h"
#include "dialects/Qwen/Entry.h"

#include <cmath>

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;

/// What lies in memory that nobody has written: no number that kernels make.
static constexpr char kGarbage = static_cast<char>(0xCB);

static int64_t bytesOf(const Tensor &tensor) {
  return tensor.size() *
         llvm::divideCeil(tensor.type.getElementTypeBitWidth(), 8);
}

static std::vector<char> pack(const Tensor &tensor) {
  Type element = tensor.type.getElementType();
  int64_t width = llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
  std::vector<char> bytes(tensor.size() * width);
  for (auto [i, value] : llvm::enumerate(tensor.values)) {
    uint64_t bits = static_cast<int64_t>(
        isa<FloatType>(element) || std::isnan(value) ? 0 : value);
    if (auto type = dyn_cast<FloatType>(element)) {
      APFloat number(value);
      bool losesInfo;
      number.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                     &losesInfo);
      bits = number.bitcastToAPInt().getZExtValue();
    }
    for (int64_t k = 0; k < width; ++k)
      bytes[i * width + k] = static_cast<char>(bits >> (8 * k));
  }
  return bytes;
}

FailureOr<PlannedMemory> PlannedMemory::create(func::FuncOp func,
                                               ArrayRef<Tensor> arguments,
                                               const Parameters &parameters) {
  auto list = func->getAttrOfType<ArrayAttr>(kEntryArgs);
  auto plan = func->getAttrOfType<DictionaryAttr>(kEntryArena);
  if (!list || !plan)
    return func.emitOpError("expected an entry after the memory phase");
  PlannedMemory memory(func);
  memory.arena.assign(plan.getAs<IntegerAttr>("bytes").getInt(), kGarbage);
  for (auto [i, arg] : llvm::enumerate(list.getAsRange<DictionaryAttr>())) {
    int64_t slot = arg.getAs<IntegerAttr>("slot").getInt();
    int64_t count = arg.getAs<IntegerAttr>("count").getInt();
    auto type = cast<RankedTensorType>(arg.getAs<TypeAttr>("type").getValue());
    Tensor empty(type);
    memory.slots.resize(slot + count, Bytes(bytesOf(empty), kGarbage));
    auto param = arg.getAs<FlatSymbolRefAttr>("parameter");
    if (i < arguments.size()) {
      memory.fill(slot, count, arguments[i]);
    } else if (param) {
      Tensor value = parameters.lookup(param.getValue());
      value.type =
          RankedTensorType::get(value.type.getShape(), type.getElementType());
      value.round();
      memory.fill(slot, count, value);
    }
  }
  return memory;
}

void PlannedMemory::fill(int64_t first, int64_t count, const Tensor &value) {
  std::vector<char> bytes = pack(value);
  int64_t size = bytes.size() / count;
  for (int64_t i = 0; i < count; ++i)
    slots[first + i].assign(bytes.begin() + i * size,
                            bytes.begin() + (i + 1) * size);
}

static int64_t indexOf(kernel::LayerIndex kind, LoopPosition loop) {
  switch (kind) {
  case kernel::LayerIndex::None:
    return 0;
  case kernel::LayerIndex::Layer:
    return loop.layer;
  case kernel::LayerIndex::NextLayer:
    return loop.layer + 1;
  case kernel::LayerIndex::Even:
    return loop.iteration & 1;
  case kernel::LayerIndex::Odd:
    return ~loop.iteration & 1;
  }
  llvm_unreachable("unknown index");
}

MutableArrayRef<char> PlannedMemory::at(kernel::BufferAttr buffer,
                                        LoopPosition loop, int64_t size) {
  int64_t offset = buffer.getOffset() +
                   buffer.getStride() * indexOf(buffer.getIndex(), loop);
  if (buffer.getSpace() == kernel::Space::Slot) {
    if (offset < 0 || offset >= static_cast<int64_t>(slots.size()) ||
        size != static_cast<int64_t>(slots[offset].size()))
      return {};
    return slots[offset];
  }
  if (offset < 0 || offset + size > static_cast<int64_t>(arena.size()))
    return {};
  return MutableArrayRef(arena).slice(offset, size);
}

LogicalResult PlannedMemory::observe(kernel::LaunchOp launch,
                                     kernel::FuncOp callee, LoopPosition loop,
                                     ArrayRef<Tensor> operands,
                                     ArrayRef<Tensor> results) {
  auto buffers = launch.getBuffersAttr();
  if (!buffers || buffers.size() != operands.size() + results.size())
    return launch.emitOpError("expected buffers for operands and results");
  auto placeOf = [&](size_t i, const Tensor &tensor) {
    return at(cast<kernel::BufferAttr>(buffers[i]), loop, bytesOf(tensor));
  };
  auto fail = [&](StringRef what, size_t i, StringRef problem) {
    InFlightDiagnostic error = launch.emitOpError(what)
                               << ' ' << i << ' ' << problem;
    if (loop.layer >= 0)
      error << " in layer " << loop.layer;
    return LogicalResult(error);
  };
  auto check = [&](StringRef what, size_t i, MutableArrayRef<char> place,
                   const Tensor &tensor) -> LogicalResult {
    if (static_cast<int64_t>(place.size()) != bytesOf(tensor))
      return fail(what, i, "lies outside of its memory");
    if (place != ArrayRef<char>(pack(tensor)))
      return fail(what, i, "is not in its place");
    return success();
  };

  // What the kernel may write before it has read its last operand.
  if (kernel::BufferAttr workspace = launch.getWorkspaceAttr()) {
    int64_t size = callee.getWorkspace().value_or(0);
    MutableArrayRef<char> place = at(workspace, loop, size);
    if (static_cast<int64_t>(place.size()) != size)
      return launch.emitOpError("workspace lies outside of the arena");
    llvm::fill(place, kGarbage);
  }
  for (auto [i, result] : llvm::enumerate(results))
    if (callee.getInplaceArgument(i) < 0)
      llvm::fill(placeOf(operands.size() + i, result), kGarbage);

  for (auto [i, operand] : llvm::enumerate(operands))
    if (failed(check("operand", i, placeOf(i, operand), operand)))
      return failure();
  for (auto [i, result] : llvm::enumerate(results)) {
    MutableArrayRef<char> place = placeOf(operands.size() + i, result);
    if (static_cast<int64_t>(place.size()) == bytesOf(result))
      llvm::copy(pack(result), place.begin());
  }
  for (auto [i, result] : llvm::enumerate(results))
    if (failed(
            check("result", i, placeOf(operands.size() + i, result), result)))
      return failure();
  return success();
}

LogicalResult PlannedMemory::checkResults(ArrayRef<Tensor> results) {
  auto list = func->getAttrOfType<ArrayAttr>(kEntryArgs);
  SmallVector<DictionaryAttr> args(list.getAsRange<DictionaryAttr>()), outputs;
  for (DictionaryAttr arg : args)
    if (auto role = arg.getAs<StringAttr>("role");
        role && role.getValue() == entry::kOutput)
      outputs.push_back(arg);
  auto output = outputs.begin();
  for (auto [i, result] : llvm::enumerate(results)) {
    auto alias = func.getResultAttrOfType<IntegerAttr>(i, entry::kAlias);
    if (!alias && output == outputs.end())
      return func.emitOpError("has no slot for result ") << i;
    DictionaryAttr arg = alias ? args[alias.getInt()] : *output++;
    int64_t slot = arg.getAs<IntegerAttr>("slot").getInt();
    int64_t count = arg.getAs<IntegerAttr>("count").getInt();
    Bytes found;
    for (int64_t k = 0; k < count; ++k)
      llvm::append_range(found, slots[slot + k]);
    if (found != pack(result))
      return func.emitOpError("result ") << i << " is not in its slot";
  }
  return success();
}
