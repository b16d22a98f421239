//===- PlanMemory.cpp - Give every tensor of an entry its place -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Memory/ArenaAllocator.h"
#include "compiler/Memory/CollectiveWaits.h"
#include "compiler/Memory/Passes.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/VaryingAxes.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <deque>
#include <map>

namespace qwen {
#define GEN_PASS_DEF_PLANMEMORY
#include "compiler/Memory/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using kernel::LayerIndex;
using kernel::Space;

namespace {

/// Where a tensor lies: in slot `offset`, or at `offset` of arena buffer
/// `buffer`; in a loop moved by `stride` for each step of `index`.
struct Place {
  Space space = Space::Arena;
  int64_t buffer = -1;
  int64_t offset = 0;
  int64_t stride = 0;
  LayerIndex index = LayerIndex::None;

  bool operator==(const Place &other) const {
    return std::tie(space, buffer, offset, stride, index) ==
           std::tie(other.space, other.buffer, other.offset, other.stride,
                    other.index);
  }
};

/// The plan of one entry point.
class EntryPlanner {
public:
  EntryPlanner(func::FuncOp func, SymbolTable &symbols)
      : func(func), symbols(symbols) {}

  LogicalResult run(int64_t budget);

private:
  void number(Block &block);
  int64_t lastUse(Value value);
  Place newBuffer(int64_t bytes, int64_t begin, int64_t end, Location loc,
                  bool saved = false);
  LogicalResult place(Value value, Place where);
  void keepUntil(const Place &where, int64_t end);

  void placeArguments();
  LogicalResult placeReturned();
  LogicalResult planBlock(Block &block);
  LogicalResult planLaunch(kernel::LaunchOp launch);
  void planCollective(Operation *op);
  void keepThroughout(LayersOp layers);
  LogicalResult planLayers(LayersOp layers);
  LogicalResult planCarried(LayersOp layers, unsigned i);
  LogicalResult planStates(LayersOp layers);
  SmallVector<int64_t> varyingBytes();
  LogicalResult annotate(int64_t budget);
  LogicalResult overBudget(int64_t bytes, int64_t budget);
  kernel::BufferAttr attribute(const Place &where);

  func::FuncOp func;
  SymbolTable &symbols;
  DenseMap<Operation *, std::pair<int64_t, int64_t>> positions;
  /// Where collectives that have been started are waited for.
  DenseMap<Operation *, int64_t> waitPositions;
  /// Collectives that go on beside the next iteration of their loop.
  llvm::DenseSet<Operation *> carriedOver;
  int64_t nextPosition = 0;
  SmallVector<ArenaBuffer> buffers;
  DenseMap<Value, Place> places;
  /// Values whose place a loop has chosen.
  llvm::DenseSet<Value> planned;
  DenseMap<Operation *, Place> workspaces;
  /// Saved values by buffer.
  SmallVector<std::pair<int64_t, Value>> savedValues;
  DenseMap<std::pair<StringAttr, Attribute>, int64_t> paramSlots;
};

struct PlanMemory : public qwen::impl::PlanMemoryBase<PlanMemory> {
  using PlanMemoryBase::PlanMemoryBase;
  void runOnOperation() override {
    SymbolTable symbols(getOperation());
    for (auto func : getOperation().getOps<func::FuncOp>())
      if (func->hasAttr(entry::kEntry) &&
          failed(EntryPlanner(func, symbols).run(budget)))
        return signalPassFailure();
  }
};

} // namespace

/// Whether a kernel or a collective writes `value`.
static bool isComputed(Value value) {
  Operation *op = value.getDefiningOp();
  return op && (isa<kernel::LaunchOp>(op) || dist::isCollective(op));
}

/// Bytes from one layer's slice of a stack in the arena to the next.
static int64_t strideOf(Type slice) {
  return llvm::alignTo(tensorBytes(slice), 64);
}

//===----------------------------------------------------------------------===//
// Lifetimes
//===----------------------------------------------------------------------===//

/// Numbers ops in program order; a loop spans the positions of its body.
void EntryPlanner::number(Block &block) {
  std::deque<Operation *> started;
  for (Operation &op : block) {
    int64_t begin = nextPosition++;
    if (auto waits = op.getAttrOfType<IntegerAttr>(kWaitsAttr))
      for (int64_t i = 0; i < waits.getInt() && !started.empty(); ++i) {
        waitPositions[started.front()] = begin;
        started.pop_front();
      }
    if (op.hasAttr(kStartedAttr))
      started.push_back(&op);
    if (auto layers = dyn_cast<LayersOp>(op)) {
      number(layers.getBlock());
      ++nextPosition;
    }
    positions[&op] = {begin, nextPosition - 1};
  }
  carriedOver.insert(started.begin(), started.end());
}

/// The position of the last op that reads `value`, through views; uses inside a
/// loop count until the loop's end.
int64_t EntryPlanner::lastUse(Value value) {
  int64_t last = -1;
  for (Operation *user : value.getUsers()) {
    if (auto reshape = dyn_cast<ReshapeOp>(user))
      last = std::max(last, lastUse(reshape.getResult()));
    Operation *inBlock = value.getParentBlock()->findAncestorOpInBlock(*user);
    last = std::max(last, positions.lookup(inBlock).second);
  }
  return last;
}

Place EntryPlanner::newBuffer(int64_t bytes, int64_t begin, int64_t end,
                              Location loc, bool saved) {
  buffers.push_back({bytes, begin, std::max(begin, end), saved, loc, -1});
  Place where;
  where.buffer = buffers.size() - 1;
  return where;
}

/// Lengthens the life of the buffer at `where`.
void EntryPlanner::keepUntil(const Place &where, int64_t end) {
  if (where.space == Space::Arena)
    buffers[where.buffer].end = std::max(buffers[where.buffer].end, end);
}

LogicalResult EntryPlanner::place(Value value, Place where) {
  auto [it, isNew] = places.try_emplace(value, where);
  if (!isNew && !(it->second == where))
    return emitError(value.getLoc(),
                     "a tensor is needed in two places at once");
  return success();
}

//===----------------------------------------------------------------------===//
// Arguments and results
//===----------------------------------------------------------------------===//

void EntryPlanner::placeArguments() {
  auto args =
      func->getAttrOfType<ArrayAttr>(kEntryArgs).getAsRange<DictionaryAttr>();
  unsigned i = 0;
  for (DictionaryAttr arg : args) {
    Place where;
    where.space = Space::Slot;
    where.offset = arg.getAs<IntegerAttr>("slot").getInt();
    auto type = cast<RankedTensorType>(arg.getAs<TypeAttr>("type").getValue());
    if (i < func.getNumArguments())
      places[func.getArgument(i)] = where;
    else if (auto param = arg.getAs<FlatSymbolRefAttr>("parameter"))
      paramSlots[{param.getAttr(), storageKey(arg.getAs<StringAttr>("storage"),
                                              type)}] = where.offset;
    ++i;
  }
}

LogicalResult EntryPlanner::placeReturned() {
  auto args =
      func->getAttrOfType<ArrayAttr>(kEntryArgs).getAsRange<DictionaryAttr>();
  SmallVector<int64_t> outputSlots;
  for (DictionaryAttr arg : args) {
    auto role = arg.getAs<StringAttr>("role");
    if (role && role.getValue() == entry::kOutput)
      outputSlots.push_back(arg.getAs<IntegerAttr>("slot").getInt());
  }
  unsigned output = 0;
  Operation *ret = func.getBody().front().getTerminator();
  for (auto [i, operand] : llvm::enumerate(ret->getOperands())) {
    Value value = behindReshapes(operand);
    if (auto alias = func.getResultAttrOfType<IntegerAttr>(i, entry::kAlias)) {
      if (failed(place(value, places.lookup(func.getArgument(alias.getInt())))))
        return failure();
      continue;
    }
    if (!isComputed(value))
      return ret->emitError("expected a kernel's result as output ") << i;
    Place where;
    where.space = Space::Slot;
    where.offset = outputSlots[output++];
    if (failed(place(value, where)))
      return failure();
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Launches and loops
//===----------------------------------------------------------------------===//

LogicalResult EntryPlanner::planLaunch(kernel::LaunchOp launch) {
  auto callee = symbols.lookup<kernel::FuncOp>(launch.getCallee());
  for (auto [i, result] : llvm::enumerate(launch.getResults())) {
    int argument = callee.getInplaceArgument(i);
    if (argument >= 0) {
      Value operand = behindReshapes(launch.getOperands()[argument]);
      Place where = places.lookup(operand);
      if (failed(place(result, where)))
        return failure();
      keepUntil(where, lastUse(result));
    } else if (!places.count(result)) {
      places[result] =
          newBuffer(tensorBytes(result.getType()), positions[launch].first,
                    lastUse(result), launch.getLoc());
    }
  }
  if (auto bytes = callee.getWorkspace(); bytes && *bytes > 0)
    workspaces[launch] = newBuffer(*bytes, positions[launch].first,
                                   positions[launch].first, launch.getLoc());
  return success();
}

/// Whether `value` is memory of the caller that the entry gives back changed.
static bool isDonated(Value value) {
  auto arg = dyn_cast<BlockArgument>(value);
  if (!arg)
    return false;
  if (auto layers = dyn_cast<LayersOp>(arg.getOwner()->getParentOp()))
    return llvm::is_contained(layers.getStateArgs(), value);
  auto func = cast<func::FuncOp>(arg.getOwner()->getParentOp());
  for (unsigned r = 0; r < func.getNumResults(); ++r)
    if (auto alias = func.getResultAttrOfType<IntegerAttr>(r, entry::kAlias))
      if (alias.getInt() == arg.getArgNumber())
        return true;
  return false;
}

/// The sum of an all_reduce takes the place of what nobody reads any more, or
/// of a state; other collectives read one place and write another. Both places
/// are its own until it has been waited for.
void EntryPlanner::planCollective(Operation *op) {
  Value operand = behindReshapes(op->getOperand(0)), result = op->getResult(0);
  Place where = places.lookup(operand);
  if (auto planned = places.find(result); planned != places.end()) {
    keepUntil(where, waitPositions.lookup(op));
    keepUntil(planned->second, waitPositions.lookup(op));
    return;
  }
  bool isState = where.space == Space::Slot && isDonated(operand);
  bool isLast = isComputed(operand) && where.space == Space::Arena &&
                operand.getParentBlock() == op->getBlock() &&
                where.index == LayerIndex::None && !planned.contains(operand) &&
                lastUse(operand) <= positions[op].second;
  int64_t end = std::max(lastUse(result), waitPositions.lookup(op));
  keepUntil(where, waitPositions.lookup(op));
  if (isa<dist::AllReduceOp>(op) && (isState || isLast)) {
    places[result] = where;
    keepUntil(where, end);
    return;
  }
  places[result] = newBuffer(tensorBytes(result.getType()), positions[op].first,
                             end, op->getLoc());
}

/// What collectives that go on beside the next iteration use, and the ops that
/// wait with them, is theirs as long as the loop runs.
void EntryPlanner::keepThroughout(LayersOp layers) {
  auto [begin, end] = positions[layers];
  auto keep = [&, begin = begin, end = end](const Place &where) {
    if (where.space != Space::Arena)
      return;
    ArenaBuffer &buffer = buffers[where.buffer];
    buffer.begin = std::min(buffer.begin, begin);
    buffer.end = std::max(buffer.end, end);
  };
  for (Operation &op : layers.getBlock()) {
    if (!carriedOver.contains(&op) && !op.hasAttr(kLateAttr))
      continue;
    for (Value value : op.getOperands())
      keep(places.lookup(behindReshapes(value)));
    for (Value value : op.getResults())
      keep(places.lookup(value));
    if (auto workspace = workspaces.find(&op); workspace != workspaces.end())
      keep(workspace->second);
  }
}

/// What goes from one iteration to the next: two places in turn, or, if every
/// iteration saves it, its stack with one more slice.
LogicalResult EntryPlanner::planCarried(LayersOp layers, unsigned i) {
  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  Value init = behindReshapes(layers.getCarried()[i]);
  Value arg = layers.getCarriedArgs()[i];
  Value next = behindReshapes(yield.getCarried()[i]);
  Value result = layers.getCarriedResults()[i];
  if (!isComputed(init) || !init.hasOneUse() || places.count(init))
    return layers.emitError("carried value ")
           << i << " must be a kernel's result that nothing else reads";

  SmallVector<Value> stacks;
  for (auto [saved, stack] :
       llvm::zip(yield.getStacked(), layers.getStackedResults()))
    if (saved == arg)
      stacks.push_back(stack);
  int64_t stride = strideOf(arg.getType());
  int64_t count = layers.getCount();
  int64_t end = std::max(positions[layers].second, lastUse(result));
  for (Value stack : stacks)
    end = std::max(end, lastUse(stack));
  if (!stacks.empty() && layers.getReverse())
    return layers.emitError(
        "a carried value cannot be saved in a reverse loop");
  Place base = newBuffer(stride * (stacks.empty() ? 2 : count + 1),
                         positions[init.getDefiningOp()].first, end,
                         layers.getLoc(), !stacks.empty());
  if (!stacks.empty())
    savedValues.push_back({base.buffer, arg});

  auto at = [&](int64_t offset, LayerIndex index) {
    Place where = base;
    where.offset = offset;
    where.index = index;
    where.stride = index == LayerIndex::None ? 0 : stride;
    return where;
  };
  places[init] = at(0, LayerIndex::None);
  planned.insert(init);
  bool walks = !stacks.empty();
  places[arg] = at(0, walks ? LayerIndex::Layer : LayerIndex::Even);
  places[result] = at(stride * (walks ? count : count % 2), LayerIndex::None);
  for (Value stack : stacks)
    places[stack] = at(0, LayerIndex::None);
  return place(next, at(0, walks ? LayerIndex::NextLayer : LayerIndex::Odd));
}

LogicalResult EntryPlanner::planStates(LayersOp layers) {
  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  for (auto [state, arg, next, result] :
       llvm::zip(layers.getStates(), layers.getStateArgs(), yield.getStates(),
                 layers.getStateResults())) {
    Place where = places.lookup(state);
    if (where.space != Space::Slot)
      return layers.emitError("a state must be an argument of the entry");
    if (failed(place(result, where)))
      return failure();
    where.stride = 1;
    where.index = LayerIndex::Layer;
    places[arg] = where;
    if (failed(place(behindReshapes(next), where)))
      return failure();
  }
  return success();
}

LogicalResult EntryPlanner::planLayers(LayersOp layers) {
  auto yield = cast<YieldOp>(layers.getBlock().getTerminator());
  for (auto [stack, arg] :
       llvm::zip(layers.getSlices(), layers.getSliceArgs())) {
    Place where = places.lookup(behindReshapes(stack));
    where.index = LayerIndex::Layer;
    where.stride = where.space == Space::Slot ? 1 : strideOf(arg.getType());
    places[arg] = where;
  }
  if (failed(planStates(layers)))
    return failure();
  for (auto [operand, stack] :
       llvm::zip(yield.getStacked(), layers.getStackedResults())) {
    Value saved = behindReshapes(operand);
    if (places.count(stack))
      continue; // a carried value
    if (!isComputed(saved))
      return yield.emitError("a saved value must be computed by the iteration");
    int64_t stride = strideOf(saved.getType());
    Place where = newBuffer(stride * layers.getCount(), positions[layers].first,
                            lastUse(stack), saved.getLoc(), /*saved=*/true);
    places[stack] = where;
    savedValues.push_back({where.buffer, saved});
    where.stride = stride;
    where.index = LayerIndex::Layer;
    if (failed(place(saved, where)))
      return failure();
  }
  if (failed(planBlock(layers.getBlock())))
    return failure();
  keepThroughout(layers);
  return success();
}

LogicalResult EntryPlanner::planBlock(Block &block) {
  // The first value of a loop is written where the loop expects it: carried
  // values come before the launches that make them.
  for (auto layers : block.getOps<LayersOp>())
    for (unsigned i = 0; i < layers.getCarried().size(); ++i)
      if (failed(planCarried(layers, i)))
        return failure();
  for (Operation &op : block) {
    if (auto param = dyn_cast<GetParamOp>(op)) {
      Place where;
      where.space = Space::Slot;
      where.offset = paramSlots.lookup(
          {param.getParamAttr().getAttr(),
           storageKey(param.getStorageAttr(), param.getType())});
      auto definition = symbols.lookup<ParamOp>(param.getParam());
      where.stride = definition.getLayers() ? 1 : 0;
      where.index =
          definition.getLayers() ? LayerIndex::Layer : LayerIndex::None;
      places[param.getResult()] = where;
    } else if (auto launch = dyn_cast<kernel::LaunchOp>(op)) {
      if (failed(planLaunch(launch)))
        return failure();
    } else if (dist::isCollective(&op)) {
      planCollective(&op);
    } else if (auto layers = dyn_cast<LayersOp>(op)) {
      if (failed(planLayers(layers)))
        return failure();
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The result
//===----------------------------------------------------------------------===//

kernel::BufferAttr EntryPlanner::attribute(const Place &where) {
  int64_t offset = where.offset;
  if (where.space == Space::Arena)
    offset += buffers[where.buffer].offset;
  return kernel::BufferAttr::get(func.getContext(), where.space, offset,
                                 where.stride, where.index);
}

LogicalResult EntryPlanner::overBudget(int64_t bytes, int64_t budget) {
  InFlightDiagnostic diag = func.emitError("entry ")
                            << func.getSymName() << " needs " << bytes
                            << " bytes of arena, the budget is " << budget
                            << " [Q2001]";
  SmallVector<const ArenaBuffer *> largest;
  for (const ArenaBuffer &buffer : buffers)
    largest.push_back(&buffer);
  llvm::stable_sort(largest,
                    [](auto *a, auto *b) { return a->bytes > b->bytes; });
  for (const ArenaBuffer *buffer : ArrayRef(largest).take_front(10))
    diag.attachNote(buffer->loc) << buffer->bytes << " bytes here";
  return diag;
}

/// Pairs of a mask of sub-axes and bytes; none on one device.
SmallVector<int64_t> EntryPlanner::varyingBytes() {
  auto module = func->getParentOfType<ModuleOp>();
  if (!module->hasAttr(kMeshAttr))
    return {};
  FailureOr<Mesh> mesh = getMesh(module);
  if (failed(mesh) || subAxesOf(*mesh).empty())
    return {};
  VaryingAxes varying(func);
  std::map<uint64_t, int64_t> bytes;
  for (auto [buffer, value] : savedValues)
    bytes[varying.of(value)] += buffers[buffer].bytes;
  SmallVector<int64_t> pairs;
  for (auto [mask, count] : bytes)
    pairs.append({static_cast<int64_t>(mask), count});
  return pairs;
}

LogicalResult EntryPlanner::annotate(int64_t budget) {
  int64_t bytes = assignOffsets(buffers), saved = 0;
  for (const ArenaBuffer &buffer : buffers)
    saved += buffer.saved ? buffer.bytes : 0;
  if (budget && bytes > budget)
    return overBudget(bytes, budget);
  WalkResult result = func.walk([&](Operation *op) {
    auto launch = dyn_cast<kernel::LaunchOp>(op);
    if (!launch && !dist::isCollective(op))
      return WalkResult::advance();
    SmallVector<Attribute> attrs;
    for (Value value :
         llvm::concat<Value>(SmallVector<Value>(op->getOperands()),
                             SmallVector<Value>(op->getResults()))) {
      auto it = places.find(behindReshapes(value));
      if (it == places.end()) {
        op->emitOpError("reads a tensor that has no place");
        return WalkResult::interrupt();
      }
      attrs.push_back(attribute(it->second));
    }
    auto list = ArrayAttr::get(func.getContext(), attrs);
    if (!launch) {
      op->setAttr(dist::kBuffersAttr, list);
      return WalkResult::advance();
    }
    launch.setBuffersAttr(list);
    auto workspace = workspaces.find(launch);
    if (workspace != workspaces.end())
      launch.setWorkspaceAttr(attribute(workspace->second));
    return WalkResult::advance();
  });
  Builder b(func.getContext());
  NamedAttrList arena;
  arena.set("activations", b.getI64IntegerAttr(saved));
  arena.set("bytes", b.getI64IntegerAttr(bytes));
  arena.set("workspace", b.getI64IntegerAttr(bytes - saved));
  if (SmallVector<int64_t> varying = varyingBytes(); !varying.empty())
    arena.set("varying", b.getDenseI64ArrayAttr(varying));
  func->setAttr(kEntryArena, arena.getDictionary(func.getContext()));
  return failure(result.wasInterrupted());
}

LogicalResult EntryPlanner::run(int64_t budget) {
  number(func.getBody().front());
  placeArguments();
  if (failed(placeReturned()) || failed(planBlock(func.getBody().front())))
    return failure();
  return annotate(budget);
}
