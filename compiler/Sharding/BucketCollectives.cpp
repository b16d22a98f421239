//===- BucketCollectives.cpp - One collective for several parameters ------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A collective costs a latency whatever its size, a copy into a bucket costs
// the memory's bandwidth. So small tensors share buckets, and large ones go
// alone. Members are brought together where the last one's operand is there,
// which is before any member's result is needed.
//
//===----------------------------------------------------------------------===//

#include "compiler/Sharding/Annotations.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"

namespace qwen {
#define GEN_PASS_DEF_BUCKETCOLLECTIVES
#include "compiler/Sharding/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

namespace {
/// Collectives that become one.
using Bucket = SmallVector<Operation *>;

/// The collectives of one block.
class BlockBuckets {
public:
  BlockBuckets(Block &block, const SubAxes &mesh, int64_t limit)
      : block(block), mesh(mesh), limit(limit) {}

  void run();

private:
  void sinkSums();
  void add(Operation *collective);
  Operation *placeOf(ArrayRef<Operation *> members);
  void close(ArrayRef<Operation *> members);
  void closeAll() {
    for (Bucket &bucket : open)
      close(bucket);
    open.clear();
  }

  Block &block;
  const SubAxes &mesh;
  int64_t limit;
  SmallVector<Bucket> open;
};

struct BucketCollectives
    : public qwen::impl::BucketCollectivesBase<BucketCollectives> {
  using BucketCollectivesBase::BucketCollectivesBase;
  void runOnOperation() override;
};
} // namespace

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// The elements of the tensor that is not split.
static int64_t wholeElements(Operation *collective) {
  return std::max(typeOf(collective->getOperand(0)).getNumElements(),
                  typeOf(collective->getResult(0)).getNumElements());
}

static bool mayShare(Operation *op) {
  return isa<AllReduceOp, AllGatherOp, ReduceScatterOp>(op) &&
         op->hasAttr(kOfParameterAttr) &&
         typeOf(op->getOperand(0)).getRank() > 0;
}

/// Whether another collective goes on with the result (adds it up over other
/// axes). The rest should not be waited for where that begins.
static bool isFollowed(Operation *op) {
  return llvm::any_of(op->getUsers(), mayShare);
}

/// Whether the two are one collective on longer tensors.
static bool isAlike(Operation *a, Operation *b) {
  return a->getName() == b->getName() && axesOf(a) == axesOf(b) &&
         isFollowed(a) == isFollowed(b) &&
         a->hasAttr("max") == b->hasAttr("max") &&
         typeOf(a->getOperand(0)).getElementType() ==
             typeOf(b->getOperand(0)).getElementType();
}

static Operation *later(Operation *a, Operation *b) {
  if (!a || !b)
    return a ? a : b;
  return a->isBeforeInBlock(b) ? b : a;
}

static Operation *earlier(Operation *a, Operation *b) {
  if (!a || !b)
    return a ? a : b;
  return a->isBeforeInBlock(b) ? a : b;
}

/// What carries a collective's result on to the end of the block alone (adds it
/// to a sum, adds it up over other axes) can wait until there.
void BlockBuckets::sinkSums() {
  auto followsCollective = [](Operation *op) {
    Operation *before = op->getOperand(0).getDefiningOp();
    return before && mayShare(before);
  };
  Operation *end = block.getTerminator();
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
    if (!isa<AccumulateOp>(op) && !mayShare(&op))
      continue;
    bool isLast = llvm::all_of(op.getUsers(), [&](Operation *user) {
      return user->getBlock() == &block && !user->isBeforeInBlock(end);
    });
    if (!isLast || !followsCollective(&op))
      continue;
    op.moveBefore(end);
    end = &op;
  }
}

/// The op in front of which the members can be one: behind what computes their
/// operands, at the first of them or later. Null if a result is needed before.
Operation *BlockBuckets::placeOf(ArrayRef<Operation *> members) {
  Operation *place = nullptr, *computes = nullptr, *needs = nullptr;
  for (Operation *member : members) {
    place = earlier(place, member);
    // Parameters can be read anywhere in the block.
    Operation *op = member->getOperand(0).getDefiningOp();
    if (op && op->getBlock() == &block && !isa<GetParamOp>(op))
      computes = later(computes, op);
    for (Operation *user : member->getUsers())
      needs = earlier(needs, block.findAncestorOpInBlock(*user));
  }
  if (computes && place->isBeforeInBlock(computes))
    place = computes->getNextNode();
  return !needs || !needs->isBeforeInBlock(place) ? place : nullptr;
}

void BlockBuckets::add(Operation *collective) {
  if (wholeElements(collective) >= limit)
    return;
  for (Bucket &bucket : open) {
    if (!isAlike(bucket.front(), collective))
      continue;
    bucket.push_back(collective);
    int64_t elements = 0;
    for (Operation *member : bucket)
      elements += wholeElements(member);
    if (elements <= limit && placeOf(bucket))
      return;
    bucket.pop_back();
    close(bucket);
    bucket = {collective};
    return;
  }
  open.push_back({collective});
}

/// Makes one collective of the members.
void BlockBuckets::close(ArrayRef<Operation *> members) {
  // Another bucket may have moved what computes an operand.
  Operation *place = placeOf(members);
  if (members.size() < 2 || !place)
    return;
  Operation *like = members.front();
  Location loc = like->getLoc();
  Type element = typeOf(like->getOperand(0)).getElementType();
  int64_t parts = numParts(axesOf(like), mesh);
  bool scatters = isa<ReduceScatterOp>(like), gathers = isa<AllGatherOp>(like);
  int64_t given = 0;
  for (Operation *member : members)
    given += typeOf(member->getOperand(0)).getNumElements();
  // Where the tensor is cut or joined; nowhere is one part of everything.
  auto cut = [&](Value value, Operation *member, bool isCut) {
    int64_t dim = 0;
    if (isCut)
      dim = scatters ? cast<ReduceScatterOp>(member).getDim()
                     : cast<AllGatherOp>(member).getDim();
    return std::pair(typeOf(value).getRank() - 1 - dim, isCut ? parts : 1);
  };

  OpBuilder b(place);
  auto type = RankedTensorType::get({given}, element);
  Value packed;
  int64_t offset = 0;
  for (Operation *member : members) {
    Value operand = member->getOperand(0);
    if (auto get = operand.getDefiningOp<GetParamOp>();
        get && !get->isBeforeInBlock(place))
      get->moveBefore(place);
    auto [dim, pieces] = cut(operand, member, scatters);
    packed = PackOp::create(b, member->getLoc(), type, operand, packed, dim,
                            pieces, offset);
    offset += typeOf(operand).getNumElements() / pieces;
  }
  Value whole;
  if (scatters)
    whole = ReduceScatterOp::create(
        b, loc, RankedTensorType::get({given / parts}, element), packed,
        axesOf(like), 0, false);
  else if (gathers)
    whole = AllGatherOp::create(b, loc,
                                RankedTensorType::get({given * parts}, element),
                                packed, axesOf(like), 0, false);
  else
    whole = AllReduceOp::create(b, loc, type, packed, axesOf(like),
                                cast<AllReduceOp>(like).getMax());
  offset = 0;
  for (Operation *member : members) {
    Value result = member->getResult(0);
    auto [dim, pieces] = cut(result, member, gathers);
    Value own = UnpackOp::create(b, member->getLoc(), result.getType(), whole,
                                 dim, pieces, offset);
    offset += typeOf(result).getNumElements() / pieces;
    result.replaceAllUsesWith(own);
  }
  for (Operation *member : members)
    member->erase();
}

void BlockBuckets::run() {
  sinkSums();
  SmallVector<Operation *> ops;
  for (Operation &op : block)
    ops.push_back(&op);
  for (Operation *op : ops) {
    if (isa<LayersOp>(op)) // what is known before it does not wait for it
      closeAll();
    else if (mayShare(op))
      add(op);
  }
  closeAll();
}

void BucketCollectives::runOnOperation() {
  FailureOr<Mesh> found = getMesh(getOperation());
  if (failed(found))
    return signalPassFailure();
  SubAxes mesh = subAxesOf(*found);
  SmallVector<Block *> blocks;
  getOperation().walk([&](Operation *op) {
    if (isa<LayersOp, FunctionOpInterface>(op) && !op->getRegion(0).empty())
      blocks.push_back(&op->getRegion(0).front());
  });
  for (Block *block : blocks)
    BlockBuckets(*block, mesh, elements).run();
  getOperation().walk([](Operation *op) {
    if (isCollective(op))
      op->removeAttr(kOfParameterAttr);
  });
}
