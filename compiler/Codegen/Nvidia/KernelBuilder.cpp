//===- KernelBuilder.cpp - Builds GPU kernels -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/KernelBuilder.h"

#include "compiler/Codegen/KernelForm.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;

//===----------------------------------------------------------------------===//
// Frame
//===----------------------------------------------------------------------===//

int64_t nvidia::alignmentOf(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  if (!tensor.hasStaticShape())
    return kAccessBytes;
  int64_t bytes = tensor.getNumElements() * elementBytes(tensor);
  return std::min<int64_t>(kAccessBytes, bytes & -bytes);
}

KernelBuilder::KernelBuilder(kernel::FuncOp kernel, int64_t index,
                             const NvidiaTarget &target,
                             gpu::GPUModuleOp module, int64_t threads)
    : ElementBuilder(module.getContext(), kernel.getLoc()), target(target),
      module(module), blockSize(threads),
      approximate(!target.precise && roundsTo16Bits(kernel)) {
  b.setInsertionPointToEnd(module.getBody());
  Type pointer = LLVM::LLVMPointerType::get(b.getContext(), kGlobal);
  SmallVector<int64_t> alignments;
  for (Type type : kernel.getArgumentTypes())
    alignments.push_back(alignmentOf(type));
  for (auto [i, type] : llvm::enumerate(kernel.getResultTypes()))
    if (kernel.getInplaceArgument(i) < 0)
      alignments.push_back(alignmentOf(type));
  alignments.push_back(kAccessBytes); // workspace
  SmallVector<Type> types(alignments.size(), pointer);
  types.append(3, b.getI64Type());
  func = LLVM::LLVMFuncOp::create(
      b, loc, (kernel.getSymName() + "$" + Twine(index)).str(),
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()),
                                  types));
  func->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  func->setAttr(NVVM::NVVMDialect::getMaxntidAttrName(),
                b.getDenseI32ArrayAttr({static_cast<int32_t>(threads), 1, 1}));
  Block *entry = func.addEntryBlock(b);
  b.setInsertionPointToEnd(entry);
  b.setInsertionPoint(LLVM::ReturnOp::create(b, loc, ValueRange()));

  // No argument overlaps a result but in place, which is one pointer here; only
  // those and new results are written.
  llvm::SmallDenseSet<int> written;
  unsigned next = kernel.getNumArguments();
  arguments.assign(entry->args_begin(), entry->args_begin() + next);
  for (unsigned i = 0, e = kernel.getNumResults(); i != e; ++i) {
    int inPlace = kernel.getInplaceArgument(i);
    written.insert(inPlace);
    results.push_back(inPlace < 0 ? entry->getArgument(next++)
                                  : arguments[inPlace]);
  }
  for (auto [i, alignment] : llvm::enumerate(alignments)) {
    func.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(),
                    b.getUnitAttr());
    func.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                    b.getI64IntegerAttr(alignment));
    if (i < arguments.size() && !written.contains(i))
      func.setArgAttr(i, LLVM::LLVMDialect::getReadonlyAttrName(),
                      b.getUnitAttr());
  }
  workspacePointer = entry->getArgument(next++);
  batchSize = entry->getArgument(next++);
  sequenceSize = entry->getArgument(next++);
  rowCount = entry->getArgument(next++);

  auto number = [&](Operation *op) -> Value {
    return arith::ExtUIOp::create(b, loc, b.getI64Type(), op->getResult(0));
  };
  Type i32 = b.getI32Type();
  threadId = number(NVVM::ThreadIdXOp::create(b, loc, i32));
  blockId[0] = number(NVVM::BlockIdXOp::create(b, loc, i32));
  blockId[1] = number(NVVM::BlockIdYOp::create(b, loc, i32));
  blockId[2] = number(NVVM::BlockIdZOp::create(b, loc, i32));
  laneId = remI(threadId, i64(kWarp));
  warpId = divI(threadId, i64(kWarp));
}

void KernelBuilder::takesRegisters() {
  func->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                b.getI32IntegerAttr(1));
}

Value KernelBuilder::lane() { return laneId; }
Value KernelBuilder::warp() { return warpId; }

Launch KernelBuilder::launch(AffineMap x, AffineMap y, AffineMap z) {
  AffineMap one = constantUnits(b.getContext(), 1);
  return {symbol(), {x, y ? y : one, z ? z : one}, blockSize, sharedBytes};
}

Operation *KernelBuilder::tableScope() { return module; }

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

Value KernelBuilder::shared(int64_t bytes) {
  if (!module.lookupSymbol(kSharedSymbol)) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    LLVM::GlobalOp::create(b, loc, LLVM::LLVMArrayType::get(b.getI8Type(), 0),
                           /*isConstant=*/false, LLVM::Linkage::External,
                           kSharedSymbol, Attribute(),
                           /*alignment=*/kAccessBytes, kShared);
  }
  Value base = LLVM::AddressOfOp::create(
      b, loc, LLVM::LLVMPointerType::get(b.getContext(), kShared),
      kSharedSymbol);
  Value place = advance(base, sharedBytes);
  sharedBytes += llvm::alignTo(bytes, kAccessBytes);
  return place;
}

void KernelBuilder::barrier() { NVVM::Barrier0Op::create(b, loc); }

//===----------------------------------------------------------------------===//
// Exchange between threads
//===----------------------------------------------------------------------===//

Value KernelBuilder::shuffleXor(Value value, int64_t mask) {
  return NVVM::ShflOp::create(b, loc, value.getType(), i32(-1), value,
                              i32(mask), i32(kWarp - 1), NVVM::ShflKind::bfly,
                              UnitAttr());
}

Value KernelBuilder::shuffleIndex(Value value, Value lane) {
  Value number = arith::TruncIOp::create(b, loc, b.getI32Type(), lane);
  return NVVM::ShflOp::create(b, loc, value.getType(), i32(-1), value, number,
                              i32(kWarp - 1), NVVM::ShflKind::idx, UnitAttr());
}

Value KernelBuilder::ballot(Value condition) {
  return NVVM::VoteSyncOp::create(b, loc, b.getI32Type(), i32(-1), condition,
                                  NVVM::VoteSyncKind::ballot);
}

Value KernelBuilder::combineGroup(Value value, int64_t group,
                                  function_ref<Value(Value, Value)> combine) {
  assert(llvm::isPowerOf2_64(group) && group <= kWarp);
  for (int64_t mask = group / 2; mask > 0; mask /= 2)
    value = combine(value, shuffleXor(value, mask));
  return value;
}

SmallVector<Value> KernelBuilder::combineBlock(
    ValueRange values, function_ref<Value(unsigned, Value, Value)> combine) {
  int64_t warps = blockSize / kWarp;
  SmallVector<Value> results, places;
  for (auto [i, value] : llvm::enumerate(values))
    results.push_back(combineGroup(value, kWarp, [&, i = i](Value x, Value y) {
      return combine(i, x, y);
    }));
  if (warps == 1)
    return results;
  Value isFirst = cmpI(arith::CmpIPredicate::eq, laneId, i64(0));
  for (Value value : results) {
    places.push_back(
        shared(warps * static_cast<int64_t>(elementBytes(value.getType()))));
    ifThen(isFirst, [&] { store(value, places.back(), warpId); });
  }
  barrier();
  for (auto [i, place] : llvm::enumerate(places)) {
    Value total;
    for (int64_t w = 0; w < warps; ++w) {
      Value part = load(results[i].getType(), place, i64(w));
      total = total ? combine(i, total, part) : part;
    }
    results[i] = total;
  }
  return results;
}

//===----------------------------------------------------------------------===//
// Accesses
//===----------------------------------------------------------------------===//

/// Floats of 16 bits travel as integers, pairs of them as words of 32 bits: the
/// code generator takes other vectors of them apart.
static Type memoryType(OpBuilder &b, Type type) {
  Type element = getElementTypeOrSelf(type);
  if (!isa<FloatType>(element) || element.getIntOrFloatBitWidth() != 16)
    return type;
  auto vector = dyn_cast<VectorType>(type);
  if (!vector)
    return b.getI16Type();
  if (vector.getNumElements() % 2 != 0)
    return VectorType::get(vector.getShape(), b.getI16Type());
  return VectorType::get({vector.getNumElements() / 2}, b.getI32Type());
}

/// What an access is aligned to: all of a vector, at most 16 bytes.
static unsigned accessAlignment(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  int64_t bytes = elementBytes(type) * (vector ? vector.getNumElements() : 1);
  return llvm::bit_floor(static_cast<uint64_t>(std::min(bytes, kAccessBytes)));
}

Value KernelBuilder::load(Type type, Value pointer, Value offset) {
  pointer = pointerAt(pointer, getElementTypeOrSelf(type), offset);
  Type memory = memoryType(b, type);
  Value value =
      LLVM::LoadOp::create(b, loc, memory, pointer, accessAlignment(type));
  return memory == type ? value : LLVM::BitcastOp::create(b, loc, type, value);
}

void KernelBuilder::store(Value value, Value pointer, Value offset) {
  Type type = value.getType(), memory = memoryType(b, type);
  pointer = pointerAt(pointer, elementType(value), offset);
  if (memory != type)
    value = LLVM::BitcastOp::create(b, loc, memory, value);
  LLVM::StoreOp::create(b, loc, value, pointer, accessAlignment(type));
}

//===----------------------------------------------------------------------===//
// Rounding
//===----------------------------------------------------------------------===//

Value KernelBuilder::widen(Value value) {
  int64_t lanes = lanesOf(value);
  if (!elementType(value).isBF16() || lanes < 2 || lanes % 2 != 0)
    return ElementBuilder::widen(value);
  // A shift and a mask make two numbers of one word.
  VectorType words = vectorType(b.getI32Type(), lanes / 2);
  Value pairs = LLVM::BitcastOp::create(b, loc, words, value);
  Value low = arith::ShLIOp::create(b, loc, pairs, constant(words, 16));
  Value high = arith::AndIOp::create(
      b, loc, pairs,
      arith::ConstantOp::create(
          b, loc, DenseElementsAttr::get(words, b.getI32IntegerAttr(-65536))));
  SmallVector<int64_t> order;
  for (int64_t i = 0; i < lanes / 2; ++i)
    order.append({i, lanes / 2 + i});
  return vector::ShuffleOp::create(b, loc, bitcast(low, f32()),
                                   bitcast(high, f32()), order);
}

Value KernelBuilder::narrow(Value value, Type element) {
  if (elementType(value) == element)
    return value;
  return arith::TruncFOp::create(b, loc, typeLike(element, value.getType()),
                                 value);
}
