//===- ScheduleCollectives.cpp - Compute while collectives run ------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The runtime waits for collectives in the order of their starts. So a block is
// gone through once with a queue of those under way; what needs a result, or
// overwrites what a collective still reads, waits for it and all before it. Ops
// that only add a result to a sum are put off to that point. What the end of a
// loop's body does not need goes on beside the next iteration.
//
//===----------------------------------------------------------------------===//

#include "compiler/Memory/CollectiveWaits.h"
#include "compiler/Memory/Passes.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SmallPtrSet.h"

#include <deque>

namespace qwen {
#define GEN_PASS_DEF_SCHEDULECOLLECTIVES
#include "compiler/Memory/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

/// How many collectives are under way at a time: each keeps its buffers.
static constexpr size_t kMaxUnderWay = 4;

namespace {
/// A collective under way, and the ops that wait with it.
struct UnderWay {
  Operation *collective;
  SmallVector<Operation *> putOff;
};

class Scheduler {
public:
  Scheduler(Block &block, SymbolTable &symbols)
      : block(block), symbols(symbols) {}

  void run();

private:
  using Values = llvm::SmallPtrSet<void *, 8>;

  void startWhenComputed();
  void startGathersEarly();
  SmallVector<Operation *> computedFromParameters(Value value);
  Value memoryOf(Value value);
  void memoryOf(Operation *op, Values &read, Values &written);
  void memoryOf(const UnderWay &other, Values &read, Values &written);
  bool conflicts(Operation *op, const UnderWay &other, ValueRange apart = {});
  bool onlyAddsToSum(Operation *op);
  void waitForFirst(size_t count);
  size_t neededByNextIteration(YieldOp yield);
  void carryOver();
  void emit(Operation *op);

  Block &block;
  SymbolTable &symbols;
  std::deque<UnderWay> queue;
  int64_t waits = 0;
};

struct ScheduleCollectives
    : public qwen::impl::ScheduleCollectivesBase<ScheduleCollectives> {
  void runOnOperation() override;
};
} // namespace

/// The value whose memory `value` may share: through views and what is computed
/// in place.
Value Scheduler::memoryOf(Value value) {
  while (true) {
    value = behindReshapes(value);
    auto result = dyn_cast<OpResult>(value);
    if (!result)
      return value;
    if (auto sum = dyn_cast<dist::AllReduceOp>(result.getOwner())) {
      value = sum->getOperand(0);
      continue;
    }
    auto launch = dyn_cast<kernel::LaunchOp>(result.getOwner());
    if (!launch)
      return value;
    auto callee = symbols.lookup<kernel::FuncOp>(launch.getCallee());
    int argument = callee.getInplaceArgument(result.getResultNumber());
    if (argument < 0)
      return value;
    value = launch.getOperands()[argument];
  }
}

void Scheduler::memoryOf(Operation *op, Values &read, Values &written) {
  for (Value operand : op->getOperands())
    read.insert(memoryOf(operand).getAsOpaquePointer());
  for (Value result : op->getResults())
    written.insert(memoryOf(result).getAsOpaquePointer());
}

void Scheduler::memoryOf(const UnderWay &other, Values &read, Values &written) {
  memoryOf(other.collective, read, written);
  for (Operation *late : other.putOff)
    memoryOf(late, read, written);
}

static bool meets(const llvm::SmallPtrSetImpl<void *> &a,
                  const llvm::SmallPtrSetImpl<void *> &b) {
  return llvm::any_of(a, [&](void *value) { return b.contains(value); });
}

/// Whether `op` needs the collective's result, or memory that it or what waits
/// with it uses; memory of `apart` is not the same for the two.
bool Scheduler::conflicts(Operation *op, const UnderWay &other,
                          ValueRange apart) {
  Values read, written, theirReads, theirWrites;
  memoryOf(op, read, written);
  memoryOf(other, theirReads, theirWrites);
  for (Value value : apart) {
    theirReads.erase(value.getAsOpaquePointer());
    theirWrites.erase(value.getAsOpaquePointer());
  }
  return meets(read, theirWrites) || meets(written, theirReads) ||
         meets(written, theirWrites);
}

/// Whether nothing but the end of the block reads what `op` gives, or what only
/// that reads.
bool Scheduler::onlyAddsToSum(Operation *op) {
  return isa<kernel::LaunchOp>(op) &&
         llvm::all_of(op->getUsers(), [&](Operation *user) {
           return user == block.getTerminator() || onlyAddsToSum(user);
         });
}

void Scheduler::emit(Operation *op) {
  if (waits)
    op->setAttr(kWaitsAttr, IntegerAttr::get(
                                IntegerType::get(op->getContext(), 64), waits));
  waits = 0;
  if (op != block.getTerminator())
    op->moveBefore(block.getTerminator());
}

void Scheduler::waitForFirst(size_t count) {
  for (; count > 0; --count) {
    UnderWay first = std::move(queue.front());
    queue.pop_front();
    ++waits;
    for (Operation *op : first.putOff)
      emit(op);
  }
}

/// How many of the queue touch what goes from iteration to iteration.
size_t Scheduler::neededByNextIteration(YieldOp yield) {
  Values carried;
  for (Value value : yield.getCarried())
    carried.insert(memoryOf(value).getAsOpaquePointer());
  for (Value value : cast<LayersOp>(yield->getParentOp()).getCarriedArgs())
    carried.insert(value.getAsOpaquePointer());
  size_t needed = queue.size();
  for (; needed > 0; --needed) {
    Values read, written;
    memoryOf(queue[needed - 1], read, written);
    if (meets(read, carried) || meets(written, carried))
      break;
  }
  return needed;
}

/// Finds where the next iteration waits for what is still under way: at the
/// first wait of its own, or where it is about to use their memory.
void Scheduler::carryOver() {
  if (queue.empty())
    return;
  MLIRContext *context = block.getTerminator()->getContext();
  // Every iteration has a layer of its own.
  auto layers = cast<LayersOp>(block.getParentOp());
  SmallVector<Value> apart(layers.getSliceArgs());
  llvm::append_range(apart, layers.getStateArgs());
  for (const UnderWay &other : queue)
    for (Operation *late : other.putOff) {
      late->setAttr(kLateAttr, UnitAttr::get(context));
      late->moveBefore(block.getTerminator());
    }
  size_t underWay = queue.size();
  for (Operation &op : block) {
    if (op.hasAttr(kLateAttr))
      break;
    bool communicates = dist::isCollective(&op);
    if (!communicates && !isa<kernel::LaunchOp>(op))
      continue;
    underWay += communicates;
    if (!op.hasAttr(kWaitsAttr) && underWay <= kMaxUnderWay &&
        llvm::none_of(queue, [&](const UnderWay &other) {
          return conflicts(&op, other, apart);
        }))
      continue;
    op.setAttr(kCarriedWaitsAttr,
               IntegerAttr::get(IntegerType::get(context, 64), queue.size()));
    break;
  }
  queue.clear();
}

/// What computes `value` from parameters alone by bringing them together, in
/// program order; nothing if it is something else.
SmallVector<Operation *> Scheduler::computedFromParameters(Value value) {
  SmallVector<Operation *> ops;
  SmallVector<Value> todo{value};
  while (!todo.empty()) {
    Operation *op = behindReshapes(todo.pop_back_val()).getDefiningOp();
    if (!op || op->getBlock() != &block)
      return {};
    if (auto launch = dyn_cast<kernel::LaunchOp>(op)) {
      auto callee = symbols.lookup<kernel::FuncOp>(launch.getCallee());
      if (!isa<dist::PackOp>(callee.getBody().front().front()))
        return {};
      llvm::append_range(todo, launch.getOperands());
    } else if (!isa<GetParamOp>(op)) {
      return {};
    }
    if (!llvm::is_contained(ops, op))
      ops.push_back(op);
  }
  llvm::sort(ops,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return ops;
}

/// A parameter's gather starts before the one in front of it is read.
void Scheduler::startGathersEarly() {
  dist::AllGatherOp last;
  SmallVector<dist::AllGatherOp> gathers(block.getOps<dist::AllGatherOp>());
  for (dist::AllGatherOp gather : gathers) {
    SmallVector<Operation *> ops = computedFromParameters(gather.getOperand());
    if (ops.empty())
      continue;
    if (last) {
      Operation *reader = nullptr;
      for (Operation *user : last->getUsers()) {
        Operation *mine = block.findAncestorOpInBlock(*user);
        if (mine && (!reader || mine->isBeforeInBlock(reader)))
          reader = mine;
      }
      if (reader && reader->isBeforeInBlock(gather)) {
        gather->moveBefore(reader);
        for (Operation *op : ops)
          if (gather->isBeforeInBlock(op))
            op->moveBefore(gather);
      }
    }
    last = gather;
  }
}

/// Collectives with a result of its own start right behind what computes their
/// operand. (A sum may take its operand's place, which others still read.)
void Scheduler::startWhenComputed() {
  SmallVector<Operation *> ops;
  for (Operation &op : block)
    if (dist::isCollective(&op) && !isa<dist::AllReduceOp>(op))
      ops.push_back(&op);
  for (Operation *op : ops) {
    Operation *computes = op->getOperand(0).getDefiningOp();
    if (isa_and_nonnull<kernel::LaunchOp>(computes) &&
        computes->getBlock() == &block)
      op->moveAfter(computes);
  }
}

void Scheduler::run() {
  startWhenComputed();
  startGathersEarly();
  SmallVector<Operation *> ops;
  for (Operation &op : block)
    ops.push_back(&op);
  for (Operation *op : ops) {
    // A loop's collectives are its own.
    if (op == block.getTerminator() || isa<LayersOp>(op)) {
      auto yield = dyn_cast<YieldOp>(op);
      waitForFirst(yield ? neededByNextIteration(yield) : queue.size());
      emit(op);
      carryOver();
      continue;
    }
    bool communicates = dist::isCollective(op);
    size_t needed = queue.size();
    if (!communicates && !isa<kernel::LaunchOp>(op))
      needed = 0; // touches no memory
    while (needed > 0 && !conflicts(op, queue[needed - 1]))
      --needed;
    if (needed && onlyAddsToSum(op)) {
      queue[needed - 1].putOff.push_back(op);
      continue;
    }
    if (communicates && queue.size() >= kMaxUnderWay)
      needed = std::max(needed, queue.size() - kMaxUnderWay + 1);
    waitForFirst(needed);
    emit(op);
    if (communicates) {
      op->setAttr(kStartedAttr, UnitAttr::get(op->getContext()));
      queue.push_back({op, {}});
    }
  }
}

void ScheduleCollectives::runOnOperation() {
  SymbolTable symbols(getOperation());
  for (auto func : getOperation().getOps<func::FuncOp>()) {
    SmallVector<Block *> blocks;
    bool communicates = false;
    func.walk([&](Operation *op) {
      communicates |= dist::isCollective(op);
      if (isa<LayersOp, func::FuncOp>(op))
        blocks.push_back(&op->getRegion(0).front());
    });
    if (!communicates)
      continue;
    for (Block *block : blocks)
      Scheduler(*block, symbols).run();
  }
}
