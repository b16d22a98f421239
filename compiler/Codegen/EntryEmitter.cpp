//===- EntryEmitter.cpp - Host code of entry points -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/EntryEmitter.h"

#include "compiler/Memory/CollectiveWaits.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "runtime/abi/qwen_module.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;
using kernel::LayerIndex;
using kernel::Space;

/// The size of qrt_collective.
static constexpr int64_t kCollectiveWords = 4;
static_assert(sizeof(qrt_collective) == 8 * kCollectiveWords);

Value EntryEmitter::constant(int64_t value) {
  return arith::ConstantIntOp::create(b, loc, value, 64);
}

Value EntryEmitter::i32(int32_t value) {
  return arith::ConstantIntOp::create(b, loc, value, 32);
}

Value EntryEmitter::slot(Value base, int64_t index) {
  return LLVM::GEPOp::create(b, loc, ptr, i64, base,
                             ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(index)});
}

Value EntryEmitter::loadField(Type type, Value base, int64_t field) {
  return LLVM::LoadOp::create(b, loc, type, slot(base, field));
}

Value EntryEmitter::allocate(int64_t count) {
  return LLVM::AllocaOp::create(b, loc, ptr, i64, constant(count), 8);
}

/// `extents` are in the order of the manifest: batch, sequence.
Value EntryEmitter::extent(Value extents, StringRef name) {
  auto attr = entry->getAttrOfType<DictionaryAttr>(entry::kExtents);
  if (!attr || !attr.get(name))
    return constant(1);
  int64_t position = name == "sequence" && attr.get("batch") ? 1 : 0;
  return loadField(i64, extents, position);
}

int64_t EntryEmitter::maxSlots() {
  int64_t slots = 0;
  entry.walk([&](kernel::LaunchOp launch) {
    slots = std::max<int64_t>(slots,
                              launch.getNumOperands() + launch.getNumResults());
  });
  return slots + 4; // workspace, batch, sequence, rows
}

Value EntryEmitter::index(LayerIndex kind, const LoopState &loop) {
  switch (kind) {
  case LayerIndex::None:
    return constant(0);
  case LayerIndex::Layer:
    return loop.layer;
  case LayerIndex::NextLayer:
    return arith::AddIOp::create(b, loc, loop.layer, constant(1));
  case LayerIndex::Even:
    return arith::AndIOp::create(b, loc, loop.iteration, constant(1));
  case LayerIndex::Odd: {
    Value even = arith::AndIOp::create(b, loc, loop.iteration, constant(1));
    return arith::XOrIOp::create(b, loc, even, constant(1));
  }
  }
  llvm_unreachable("unknown index");
}

Value EntryEmitter::pointer(kernel::BufferAttr buffer, const LoopState &loop) {
  Value offset = constant(buffer.getOffset());
  if (buffer.getIndex() != LayerIndex::None) {
    Value moved = arith::MulIOp::create(b, loc, index(buffer.getIndex(), loop),
                                        constant(buffer.getStride()));
    offset = arith::AddIOp::create(b, loc, offset, moved);
  }
  if (buffer.getSpace() == Space::Arena)
    return LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), arena,
                               ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(offset)});
  Value address = LLVM::GEPOp::create(
      b, loc, ptr, ptr, args, ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(offset)});
  return LLVM::LoadOp::create(b, loc, ptr, address);
}

Value EntryEmitter::evaluate(AffineMap map, const Arguments &arguments) {
  SmallVector<Value> extents;
  for (Value value : {arguments.batch, arguments.sequence, arguments.rows})
    extents.push_back(
        arith::IndexCastOp::create(b, loc, b.getIndexType(), value));
  Value least;
  for (AffineExpr expr : map.getResults()) {
    Value result =
        affine::expandAffineExpr(b, loc, expr, ValueRange(), extents);
    least = least ? arith::MinSIOp::create(b, loc, least, result) : result;
  }
  return arith::IndexCastOp::create(b, loc, i64, least);
}

EntryEmitter::Arguments EntryEmitter::argumentsOf(kernel::LaunchOp launch,
                                                  const LoopState &loop) {
  Arguments arguments;
  for (auto buffer : launch.getBuffersAttr().getAsRange<kernel::BufferAttr>()) {
    bool isOperand = arguments.operands.size() < launch.getNumOperands();
    (isOperand ? arguments.operands : arguments.results)
        .push_back(pointer(buffer, loop));
  }
  arguments.workspace = launch.getWorkspaceAttr()
                            ? pointer(launch.getWorkspaceAttr(), loop)
                            : Value(LLVM::ZeroOp::create(b, loc, ptr));
  arguments.batch = batch;
  arguments.sequence =
      launch.getUnitSequence() ? constant(1) : sequenceOf(launch);
  arguments.rows = arith::MulIOp::create(b, loc, batch, arguments.sequence);
  return arguments;
}

Value EntryEmitter::sequenceOf(Operation *op) {
  auto parts = op->getAttrOfType<IntegerAttr>(dist::kSequencePartsAttr);
  if (!parts)
    return sequence;
  return arith::DivUIOp::create(b, loc, sequence, constant(parts.getInt()));
}

Value EntryEmitter::collectiveCount(Operation *op) {
  auto type = cast<RankedTensorType>(op->getOperand(0).getType());
  int64_t count = type.getNumElements();
  if (!op->hasAttr(dist::kRowsAttr))
    return constant(count);
  count /= type.getDimSize(0);
  Value rows = batch;
  if (type.getRank() > 1 && type.getDimSize(1) > 1) {
    count /= type.getDimSize(1);
    rows = arith::MulIOp::create(b, loc, rows, sequenceOf(op));
  }
  return arith::MulIOp::create(b, loc, rows, constant(count));
}

void EntryEmitter::emitCollective(Operation *op, const LoopState &loop) {
  int64_t kind = isa<dist::AllReduceOp>(op)       ? QRT_ALL_REDUCE
                 : isa<dist::AllGatherOp>(op)     ? QRT_ALL_GATHER
                 : isa<dist::ReduceScatterOp>(op) ? QRT_REDUCE_SCATTER
                                                  : QRT_ALL_TO_ALL;
  int64_t reduction = op->hasAttr("max") ? QRT_MAX : QRT_SUM;
  Type element =
      cast<RankedTensorType>(op->getOperand(0).getType()).getElementType();
  int64_t dtype = element.isF32()         ? QRT_F32
                  : element.isBF16()      ? QRT_BF16
                  : element.isF16()       ? QRT_F16
                  : element.isInteger(64) ? QRT_I64
                                          : QRT_I32;
  uint64_t axes = 0;
  for (int64_t axis : dist::axesOf(op))
    axes |= uint64_t(1) << axis;
  // qrt_collective, two fields of 32 bits a word; numbered within the entry.
  int64_t id = nextCollective++;
  Value words[kCollectiveWords] = {
      constant(kind | reduction << 32), constant(dtype | id << 32),
      constant(static_cast<int64_t>(axes)), collectiveCount(op)};
  for (auto [i, word] : llvm::enumerate(words))
    LLVM::StoreOp::create(b, loc, word, slot(description, i));
  auto buffers = op->getAttrOfType<ArrayAttr>(dist::kBuffersAttr);
  Value in = pointer(cast<kernel::BufferAttr>(buffers[0]), loop);
  Value out = pointer(cast<kernel::BufferAttr>(buffers[1]), loop);
  callApi(kApiCollectiveStart, {ctx, description, in, out});
  if (!op->hasAttr(kStartedAttr))
    emitWait();
}

void EntryEmitter::emitWait() { callApi(kApiCollectiveWait, {ctx}); }

void EntryEmitter::callApi(int64_t field, SmallVector<Value> operands) {
  SmallVector<Type> types(ValueRange(operands).getTypes());
  auto signature = LLVM::LLVMFunctionType::get(b.getI32Type(), types);
  operands.insert(operands.begin(), loadField(ptr, api, field));
  Value code = LLVM::CallOp::create(b, loc, signature, operands).getResult();
  Value before = LLVM::LoadOp::create(b, loc, b.getI32Type(), status);
  Value isFirst =
      arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, before, i32(0));
  LLVM::StoreOp::create(
      b, loc, arith::SelectOp::create(b, loc, isFirst, code, before), status);
}

Value EntryEmitter::emitStatus() {
  if (!status)
    return i32(0);
  return LLVM::LoadOp::create(b, loc, b.getI32Type(), status);
}

void EntryEmitter::emitLayers(LayersOp layers) {
  loc = layers.getLoc();
  auto at = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, loc, value);
  };
  auto loop = scf::ForOp::create(b, loc, at(0), at(layers.getCount()), at(1));
  auto stateOf = [&](Value iteration) {
    LoopState state;
    state.layer = state.iteration = iteration;
    if (layers.getReverse())
      state.layer = arith::SubIOp::create(
          b, loc, constant(layers.getCount() - 1), iteration);
    return state;
  };
  Block &block = layers.getBlock();
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    LoopState state = stateOf(
        arith::IndexCastOp::create(b, loc, i64, loop.getInductionVar()));
    state.finishBefore = [&] {
      Value isLater = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne,
                                            state.iteration, constant(0));
      auto branch = scf::IfOp::create(b, loc, isLater, /*withElse=*/false);
      OpBuilder::InsertionGuard inside(b);
      b.setInsertionPointToStart(branch.thenBlock());
      finishIteration(block, stateOf(arith::SubIOp::create(
                                 b, loc, state.iteration, constant(1))));
    };
    emitBlock(block, state);
  }
  finishIteration(block, stateOf(constant(layers.getCount() - 1)));
}

void EntryEmitter::finishIteration(Block &block, const LoopState &loop) {
  for (Operation &op : block)
    if (auto waits = op.getAttrOfType<IntegerAttr>(kCarriedWaitsAttr))
      for (int64_t i = 0; i < waits.getInt(); ++i)
        emitWait();
  for (auto launch : block.getOps<kernel::LaunchOp>())
    if (launch->hasAttr(kLateAttr)) {
      loc = launch.getLoc();
      emitLaunch(launch, argumentsOf(launch, loop));
    }
}

void EntryEmitter::emitBlock(Block &block, const LoopState &loop) {
  for (Operation &op : block) {
    if (op.hasAttr(kLateAttr))
      continue;
    if (op.hasAttr(kCarriedWaitsAttr))
      loop.finishBefore();
    if (auto waits = op.getAttrOfType<IntegerAttr>(kWaitsAttr))
      for (int64_t i = 0; i < waits.getInt(); ++i)
        emitWait();
    if (auto launch = dyn_cast<kernel::LaunchOp>(op)) {
      loc = launch.getLoc();
      emitLaunch(launch, argumentsOf(launch, loop));
    } else if (dist::isCollective(&op)) {
      loc = op.getLoc();
      emitCollective(&op, loop);
    } else if (auto layers = dyn_cast<LayersOp>(op)) {
      emitLayers(layers);
    }
  }
}

void EntryEmitter::emit(StringRef name) {
  ptr = LLVM::LLVMPointerType::get(b.getContext());
  i64 = b.getI64Type();
  b.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(
      b, loc, name, b.getFunctionType({ptr, ptr}, b.getI32Type()));
  symbols.insert(function);
  Block *body = function.addEntryBlock();
  b.setInsertionPointToEnd(body);
  ctx = body->getArgument(0);
  Value call = body->getArgument(1);
  api = loadField(ptr, ctx, kCtxApi);
  Value extents = loadField(ptr, call, kCallExtents);
  batch = extent(extents, "batch");
  sequence = extent(extents, "sequence");
  args = loadField(ptr, call, kCallArgs);
  arena = loadField(ptr, call, kCallArena);
  entry.walk([&](Operation *op) {
    if (description || !dist::isCollective(op))
      return;
    description = allocate(kCollectiveWords);
    status = allocate(1);
    LLVM::StoreOp::create(b, loc, i32(0), status);
  });
  emitPrologue();
  emitBlock(entry.getBody().front(), {});
  loc = entry.getLoc();
  Value status = emitStatus();
  func::ReturnOp::create(b, loc, status);
}
