//===- FormKernels.cpp - Group model ops into kernels and outline them ----===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Fusion/KernelTypes.h"
#include "compiler/Fusion/OpTable.h"
#include "compiler/Fusion/Passes.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"

namespace qwen {
#define GEN_PASS_DEF_FORMKERNELS
#include "compiler/Fusion/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::fusion;

namespace {

/// Ops that become one kernel, in program order.
struct Group {
  SmallVector<Operation *> ops;
  kernel::Root root;
  bool keepsSequence;
};

class FormKernels : public qwen::impl::FormKernelsBase<FormKernels> {
  void runOnOperation() override;

  LogicalResult runOnBlock(Block &block);
  SmallVector<Group> formGroups(Block &block);
  int64_t partsOf(int64_t tokens) const;
  bool cutsSequence(Operation *op);
  StringRef whyNotJoined(const Group &group, Operation *op);
  LogicalResult outline(Group &group);
  kernel::FuncOp makeKernel(Group &group, ValueRange inputs,
                            ValueRange outputs);
  FailureOr<FlatSymbolRefAttr> uniqueKernel(kernel::FuncOp func);

  RowAnalysis rows;
  /// Printed body -> kernel made before.
  llvm::StringMap<FlatSymbolRefAttr> known;
  int64_t maxSequence = 1, sequenceParts = 1;
};

} // namespace

//===----------------------------------------------------------------------===//
// Grouping
//===----------------------------------------------------------------------===//

/// The dimensions an op works on: the shape of its first result.
static ArrayRef<int64_t> domain(Operation *op) {
  return cast<RankedTensorType>(op->getResult(0).getType()).getShape();
}

static bool isConsumer(Operation *op, const Group &group) {
  return llvm::any_of(op->getOperands(), [&](Value operand) {
    return llvm::is_contained(group.ops,
                              behindReshapes(operand).getDefiningOp());
  });
}

/// An empty string if `op` can join `group`, else the reason.
StringRef FormKernels::whyNotJoined(const Group &group, Operation *op) {
  const OpEntry *entry = lookupOp(op);
  bool asEpilogue = group.root == kernel::Root::Contract;
  if (entry->joins == Joins::Never)
    return "starts a kernel of its own";
  if (!asEpilogue && group.root != kernel::Root::Rowwise)
    return "its producer takes no consumers";
  if (asEpilogue && entry->joins != Joins::Elementwise)
    return "not elementwise, and its producer is a contraction";
  if (domain(group.ops.front()) != domain(op))
    return "works on other rows than its producer";
  if (!rows.hasRows(op->getResult(0)))
    return "has no rows";
  // A view between the two would change what a row is.
  for (Value operand : op->getOperands())
    if (llvm::is_contained(group.ops,
                           behindReshapes(operand).getDefiningOp()) &&
        operand.getDefiningOp<ReshapeOp>())
      return "reads its producer in another shape";
  // The launch stands where the last op stands: nothing between may need the
  // group's results.
  for (Operation *member : group.ops)
    for (Operation *user : member->getUsers()) {
      Operation *inBlock = op->getBlock()->findAncestorOpInBlock(*user);
      if (inBlock && inBlock != op && !llvm::is_contained(group.ops, inBlock) &&
          inBlock->isBeforeInBlock(op))
        return "its producer is needed earlier";
    }
  return {};
}

/// The number of parts that the mesh cuts sequences into where a row has
/// `tokens` of them; 0 if it does not.
int64_t FormKernels::partsOf(int64_t tokens) const {
  if (tokens < 1 || maxSequence % tokens ||
      sequenceParts % (maxSequence / tokens))
    return 0;
  return maxSequence / tokens;
}

/// Whether the parts of a tensor that `op` moves are parts of sequences.
bool FormKernels::cutsSequence(Operation *op) {
  auto cuts = [&](Value tensor, int64_t fromEnd) {
    auto type = cast<RankedTensorType>(tensor.getType());
    return sequenceParts > 1 && rows.hasRows(tensor) && type.getRank() > 1 &&
           type.getRank() - 1 - fromEnd == 1 && partsOf(type.getDimSize(1));
  };
  if (auto pack = dyn_cast<dist::PackOp>(op))
    return cuts(pack.getOperand(), pack.getDim());
  if (auto unpack = dyn_cast<dist::UnpackOp>(op))
    return cuts(unpack.getResult(), unpack.getDim());
  if (auto slice = dyn_cast<dist::SliceOp>(op))
    return cuts(slice.getOperand(), slice.getDim());
  return false;
}

SmallVector<Group> FormKernels::formGroups(Block &block) {
  SmallVector<Group> groups;
  for (Operation &op : block) {
    const OpEntry *entry = lookupOp(&op);
    if (!entry)
      continue;
    bool joined = false;
    for (Group &group : llvm::reverse(groups)) {
      if (!isConsumer(&op, group))
        continue;
      StringRef reason = whyNotJoined(group, &op);
      auto opts = remark::RemarkOpts::name("fuse")
                      .category("form-kernels")
                      .function(op.getName().getStringRef());
      if (reason.empty()) {
        remark::passed(op.getLoc(), opts)
            << "fused into the kernel of "
            << group.ops.front()->getName().getStringRef();
        group.ops.push_back(&op);
        ++numFused;
        joined = true;
        break;
      }
      remark::missed(op.getLoc(), opts)
          << "not fused into the kernel of "
          << group.ops.front()->getName().getStringRef()
          << remark::reason("{0}", reason);
    }
    if (!joined)
      groups.push_back(
          {{&op}, entry->root, entry->keepsSequence || cutsSequence(&op)});
  }
  return groups;
}

//===----------------------------------------------------------------------===//
// Outlining
//===----------------------------------------------------------------------===//

/// `value` of the model, as an operand of an op in a kernel: the type of its
/// view.
static Type viewedType(RowAnalysis &rows, Value value, bool keepsSequence) {
  auto type = cast<RankedTensorType>(value.getType());
  return rows.hasRows(value) ? kernelType(type, keepsSequence) : type;
}

kernel::FuncOp FormKernels::makeKernel(Group &group, ValueRange inputs,
                                       ValueRange outputs) {
  MLIRContext *context = &getContext();
  OpBuilder b(context);
  SmallVector<Type> argTypes, resultTypes;
  for (Value input : inputs)
    argTypes.push_back(viewedType(rows, input, group.keepsSequence));
  for (Value output : outputs)
    resultTypes.push_back(viewedType(rows, output, group.keepsSequence));

  std::string name;
  for (Operation *op : group.ops)
    name += (name.empty() ? "" : "_") + op->getName().stripDialect().str();
  OperationState state(group.ops.front()->getLoc(),
                       kernel::FuncOp::getOperationName());
  kernel::FuncOp::build(b, state, name,
                        b.getFunctionType(argTypes, resultTypes), group.root,
                        /*workspace=*/IntegerAttr(), ArrayAttr(), ArrayAttr());
  auto func = cast<kernel::FuncOp>(Operation::create(state));
  Block *body = b.createBlock(&func.getBody());
  IRMapping map;
  for (auto [input, type] : llvm::zip(inputs, argTypes))
    map.map(input, body->addArgument(type, input.getLoc()));

  for (Operation *op : group.ops) {
    b.setInsertionPointToEnd(body);
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(map.lookup(operand));
    if (group.root == kernel::Root::Block) {
      Operation *clone = b.clone(*op, map);
      for (OpResult result : clone->getResults())
        result.setType(viewedType(rows, op->getResult(result.getResultNumber()),
                                  group.keepsSequence));
    } else {
      FailureOr<SmallVector<Value>> results =
          cast<DecomposeOpInterface>(op).decompose(b, operands);
      if (failed(results)) {
        op->emitOpError("has no decomposition");
        func->destroy();
        return {};
      }
      for (auto [result, value] : llvm::zip(op->getResults(), *results))
        map.map(result, value);
    }
  }
  b.setInsertionPointToEnd(body);
  SmallVector<Value> returned;
  for (Value output : outputs)
    returned.push_back(map.lookup(output));
  kernel::ReturnOp::create(b, func.getLoc(), returned);

  // Donated operands share memory with their results.
  for (Operation *op : group.ops)
    for (auto [operand, result] : lookupOp(op)->inplace) {
      if (static_cast<unsigned>(operand) >= op->getNumOperands())
        continue; // an optional one
      auto arg = llvm::find(inputs, op->getOperand(operand));
      auto out = llvm::find(outputs, op->getResult(result));
      if (arg != inputs.end() && out != outputs.end())
        func.setArgAttr(arg - inputs.begin(), kernel::kInplaceAttr,
                        b.getI64IntegerAttr(out - outputs.begin()));
    }
  return func;
}

/// Inserts `func` into the module, or drops it if an equal one is there.
FailureOr<FlatSymbolRefAttr> FormKernels::uniqueKernel(kernel::FuncOp func) {
  std::string name = func.getSymName().str(), text;
  llvm::raw_string_ostream os(text);
  func->print(os, OpPrintingFlags().useLocalScope().enableDebugInfo(false));
  auto [it, isNew] = known.try_emplace(text);
  if (!isNew) {
    func->destroy();
    return it->second;
  }
  SymbolTable symbols(getOperation());
  symbols.insert(func,
                 getOperation().getBody()->end()); // makes the name unique
  it->second = FlatSymbolRefAttr::get(func.getSymNameAttr());
  ++numKernels;
  return it->second;
}

LogicalResult FormKernels::outline(Group &group) {
  llvm::SetVector<Value> inputs, outputs;
  auto inGroup = [&](Operation *op) {
    return llvm::is_contained(group.ops, op);
  };
  for (Operation *op : group.ops) {
    for (Value operand : op->getOperands())
      if (!inGroup(operand.getDefiningOp()))
        inputs.insert(operand);
    for (Value result : op->getResults())
      if (llvm::any_of(result.getUsers(),
                       [&](Operation *user) { return !inGroup(user); }))
        outputs.insert(result);
  }
  // A result nobody reads has a buffer all the same: emitters write all results
  // of a block op.
  if (group.root == kernel::Root::Block)
    for (Value result : group.ops.front()->getResults())
      outputs.insert(result);
  if (outputs.empty())
    return success();

  kernel::FuncOp func =
      makeKernel(group, inputs.getArrayRef(), outputs.getArrayRef());
  if (!func)
    return failure();
  FailureOr<FlatSymbolRefAttr> callee = uniqueKernel(func);
  if (failed(callee))
    return failure();

  Operation *last = group.ops.back();
  OpBuilder b(last);
  SmallVector<Location> locs;
  for (Operation *op : group.ops)
    locs.push_back(op->getLoc());
  SmallVector<Value> operands = llvm::map_to_vector(
      inputs, [](Value value) { return behindReshapes(value); });
  auto launch = kernel::LaunchOp::create(
      b, b.getFusedLoc(locs), TypeRange(ValueRange(outputs.getArrayRef())),
      *callee, operands, UnitAttr(), ArrayAttr(), kernel::BufferAttr());
  // After qwen.last_token there is one token in every row.
  auto hasOneToken = [&](Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    return rows.hasRows(value) && type.getRank() > 1 && type.getDimSize(1) == 1;
  };
  if (maxSequence > 1 && llvm::any_of(inputs, hasOneToken))
    launch.setUnitSequence(true);
  // Where the mesh splits sequences, a row may have a part of its tokens.
  int64_t tokens = 0;
  for (Value value :
       llvm::concat<Value>(SmallVector<Value>(inputs.getArrayRef()),
                           SmallVector<Value>(outputs.getArrayRef()))) {
    auto type = cast<RankedTensorType>(value.getType());
    if (rows.hasRows(value) && type.getRank() > 1)
      tokens = std::max(tokens, type.getDimSize(1));
  }
  if (int64_t parts = partsOf(tokens); parts > 1)
    launch->setAttr(dist::kSequencePartsAttr, b.getI64IntegerAttr(parts));
  ++numLaunches;
  for (auto [output, result] : llvm::zip(outputs, launch.getResults())) {
    rows.set(result, rows.hasRows(output));
    Value(output).replaceAllUsesWith(result);
  }
  return success();
}

LogicalResult FormKernels::runOnBlock(Block &block) {
  // Inner loops first; their ops are never in a group of this block.
  for (Operation &op : block)
    if (auto layers = dyn_cast<LayersOp>(op))
      if (failed(runOnBlock(layers.getBlock())))
        return failure();
  SmallVector<Group> groups = formGroups(block);
  for (Group &group : groups)
    if (failed(outline(group)))
      return failure();
  // Uses first.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (lookupOp(&op) || (isa<ReshapeOp>(op) && op.use_empty()))
      op.erase();
  return success();
}

void FormKernels::runOnOperation() {
  for (auto func :
       llvm::make_early_inc_range(getOperation().getOps<func::FuncOp>())) {
    if (!func->hasAttr(entry::kEntry))
      continue;
    maxSequence = entry::maxExtent(func, "sequence");
    auto parts = func->getAttrOfType<IntegerAttr>(dist::kSequencePartsAttr);
    sequenceParts = parts ? parts.getInt() : 1;
    rows = RowAnalysis();
    if (failed(runOnBlock(func.getBody().front())))
      return signalPassFailure();
    func.walk([&](Operation *op) {
      if (!dist::isCollective(op) || !rows.hasRows(op->getOperand(0)))
        return;
      op->setAttr(dist::kRowsAttr, UnitAttr::get(&getContext()));
      auto type = cast<RankedTensorType>(op->getOperand(0).getType());
      int64_t parts = type.getRank() > 1 ? partsOf(type.getDimSize(1)) : 0;
      if (parts > 1)
        op->setAttr(dist::kSequencePartsAttr,
                    Builder(&getContext()).getI64IntegerAttr(parts));
    });
  }
}
