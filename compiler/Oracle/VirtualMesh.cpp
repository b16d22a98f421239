//===- VirtualMesh.cpp - Run a partitioned function on all devices --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/VirtualMesh.h"

#include "compiler/Fusion/Passes.h"
#include "compiler/Oracle/Checks.h"
#include "compiler/Sharding/Mesh.h"
#include "compiler/Sharding/Passes.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/Entry.h"
#include "mlir/Pass/PassManager.h"

#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;
using namespace qwen::dist;

using Tensors = std::vector<Tensor>;
using Coordinates = SmallVector<int64_t>;

//===----------------------------------------------------------------------===//
// Blocks of tensors
//===----------------------------------------------------------------------===//

static RankedTensorType resized(RankedTensorType type, int64_t dim,
                                int64_t size) {
  SmallVector<int64_t> shape(type.getShape());
  shape[dim] = size;
  return RankedTensorType::get(shape, type.getElementType());
}

/// Copies between block `index` of `whole` along `dim` and `block`.
static void copyBlock(Tensor &whole, Tensor &block, int64_t dim, int64_t index,
                      bool intoWhole) {
  int64_t inner = strides(whole.type.getShape())[dim];
  int64_t width = block.dim(dim) * inner, stride = whole.dim(dim) * inner;
  for (int64_t row = 0; row * width < block.size(); ++row) {
    auto a = whole.values.begin() + row * stride + index * width;
    auto b = block.values.begin() + row * width;
    if (intoWhole)
      std::copy_n(b, width, a);
    else
      std::copy_n(a, width, b);
  }
}

static Tensor takeBlock(Tensor whole, int64_t dim, int64_t index,
                        int64_t parts) {
  if (parts == 1)
    return whole;
  Tensor block(resized(whole.type, dim, whole.dim(dim) / parts));
  copyBlock(whole, block, dim, index, false);
  return block;
}

static Tensor join(ArrayRef<Tensor> blocks, int64_t dim) {
  const Tensor &first = blocks.front();
  Tensor whole(resized(first.type, dim, first.dim(dim) * blocks.size()));
  for (auto [i, block] : llvm::enumerate(blocks)) {
    Tensor copy = block;
    copyBlock(whole, copy, dim, i, true);
  }
  return whole;
}

/// A device's part of a logical tensor. Summands differ and add up to it.
static Tensor takePart(Tensor tensor, const Sharding &sharding,
                       const Coordinates &at, const SubAxes &mesh) {
  for (auto [dim, axes] : llvm::enumerate(sharding.dims))
    tensor = takeBlock(std::move(tensor), dim, placeAlong(axes, at, mesh),
                       numParts(axes, mesh));
  int64_t n = numParts(sharding.partial, mesh);
  int64_t i = placeAlong(sharding.partial, at, mesh);
  if (n > 1) {
    for (double &value : tensor.values)
      value *= double(2 * i + 1) / (double(n) * n);
    tensor.round();
  }
  return tensor;
}

/// The logical tensor of all devices' parts; fails where copies differ.
static FailureOr<Tensor> assemble(const std::vector<Tensor> &parts,
                                  const Sharding &sharding,
                                  const SubAxes &mesh) {
  // Place in the tensor -> summand -> the part that was seen first.
  std::map<std::vector<int64_t>, std::map<int64_t, const Tensor *>> seen;
  for (auto [rank, part] : llvm::enumerate(parts)) {
    Coordinates at = coordinatesOf(rank, mesh);
    std::vector<int64_t> place;
    for (const Axes &axes : sharding.dims)
      place.push_back(placeAlong(axes, at, mesh));
    const Tensor *&known = seen[place][placeAlong(sharding.partial, at, mesh)];
    if (!known)
      known = &part;
    for (auto [x, y] : llvm::zip(known->values, part.values))
      if (x != y && !(std::isnan(x) && std::isnan(y)))
        return failure();
  }
  RankedTensorType type = parts.front().type;
  SmallVector<int64_t> shape(type.getShape());
  for (auto [size, axes] : llvm::zip(shape, sharding.dims))
    size *= numParts(axes, mesh);
  Tensor whole(RankedTensorType::get(shape, type.getElementType()));
  for (auto &[place, summands] : seen) {
    Tensor sum(type);
    for (auto &[i, part] : summands)
      for (auto [to, from] : llvm::zip(sum.values, part->values))
        to += from;
    // Element by element: dimensions may all be cut.
    auto local = strides(type.getShape()), global = strides(shape);
    for (int64_t k = 0; k < sum.size(); ++k) {
      int64_t offset = 0, rest = k;
      for (auto [d, stride] : llvm::enumerate(local)) {
        offset += (rest / stride + place[d] * type.getDimSize(d)) * global[d];
        rest %= stride;
      }
      whole.values[offset] = sum.values[k];
    }
  }
  return whole;
}

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

namespace {
/// All devices of a mesh: one thread each, of which one runs at a time, until
/// it comes to a collective.
class VirtualMesh {
public:
  explicit VirtualMesh(const SubAxes &mesh)
      : mesh(mesh), inputs(numDevices(mesh)), outputs(numDevices(mesh)) {}

  void run(llvm::function_ref<void(int64_t)> device);
  FailureOr<Tensor> exchange(int64_t rank, Operation *op, const Tensor &tensor);
  void abort() {
    hasFailed = true;
    arrived.notify_all();
  }

  std::map<std::string, int64_t> counts;

private:
  void compute(Operation *op);

  const SubAxes &mesh;
  std::mutex turn;
  std::condition_variable arrived;
  Tensors inputs, outputs;
  int64_t waiting = 0, round = 0;
  Operation *current = nullptr;
  bool hasFailed = false;
};

class DeviceCollectives : public CollectiveHandler {
public:
  DeviceCollectives(VirtualMesh &mesh, int64_t rank) : mesh(mesh), rank(rank) {}
  FailureOr<Tensor> run(Operation *op, const Tensor &tensor) override {
    return mesh.exchange(rank, op, tensor);
  }

private:
  VirtualMesh &mesh;
  int64_t rank;
};
} // namespace

/// A device's hold of its turn.
static thread_local std::unique_lock<std::mutex> *ownLock = nullptr;

void VirtualMesh::run(llvm::function_ref<void(int64_t)> device) {
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < numDevices(mesh); ++rank)
    threads.emplace_back([&, rank] {
      std::unique_lock<std::mutex> lock(turn);
      ownLock = &lock;
      device(rank);
    });
  for (std::thread &thread : threads)
    thread.join();
}

FailureOr<Tensor> VirtualMesh::exchange(int64_t rank, Operation *op,
                                        const Tensor &tensor) {
  if (hasFailed)
    return failure();
  if (waiting && current->getName() != op->getName())
    return op->emitOpError("meets another collective: ") << current->getName();
  current = op;
  inputs[rank] = tensor;
  if (++waiting == static_cast<int64_t>(inputs.size())) {
    compute(op);
    waiting = 0;
    ++round;
    arrived.notify_all();
  } else {
    int64_t mine = round;
    arrived.wait(*ownLock, [&] { return hasFailed || round != mine; });
    if (hasFailed)
      return failure();
  }
  return outputs[rank];
}

void VirtualMesh::compute(Operation *op) {
  ArrayRef<int64_t> axes = axesOf(op);
  std::string text;
  llvm::raw_string_ostream os(text);
  os << op->getName().stripDialect() << " [";
  llvm::interleaveComma(axes, os);
  os << ']';
  ++counts[text];
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  for (size_t rank = 0; rank < inputs.size(); ++rank) {
    // The devices that differ along the axes alone, in the order of ranks.
    Coordinates mine = coordinatesOf(rank, mesh);
    std::vector<const Tensor *> group;
    int64_t place = 0;
    for (size_t other = 0; other < inputs.size(); ++other) {
      Coordinates theirs = coordinatesOf(other, mesh);
      for (int64_t axis : axes)
        theirs[axis] = mine[axis];
      if (theirs != mine)
        continue;
      if (other == rank)
        place = group.size();
      group.push_back(&inputs[other]);
    }
    int64_t parts = group.size();
    auto sum = [&](bool isMax) {
      Tensor total = *group.front();
      for (const Tensor *next : ArrayRef(group).drop_front())
        for (auto [to, from] : llvm::zip(total.values, next->values))
          to = isMax ? std::max(to, from) : to + from;
      total.round();
      return total;
    };
    // Packed: blocks are ranges of memory.
    auto flat = [&](const Tensor &tensor) {
      return reshape(tensor, RankedTensorType::get({tensor.size()},
                                                   type.getElementType()));
    };
    auto gather = [&](int64_t dim, bool packed,
                      llvm::function_ref<Tensor(const Tensor &)> of) {
      Tensors pieces;
      for (const Tensor *piece : group)
        pieces.push_back(packed ? flat(of(*piece)) : of(*piece));
      return reshape(join(pieces, packed ? 0 : dim), type);
    };
    Tensor &out = outputs[rank];
    if (auto reduce = dyn_cast<AllReduceOp>(op))
      out = sum(reduce.getMax());
    else if (auto all = dyn_cast<AllGatherOp>(op))
      out = gather(all.getDim(), all.getPacked(),
                   [](const Tensor &piece) { return piece; });
    else if (auto scatter = dyn_cast<ReduceScatterOp>(op))
      out = reshape(scatter.getPacked()
                        ? takeBlock(flat(sum(false)), 0, place, parts)
                        : takeBlock(sum(false), scatter.getDim(), place, parts),
                    type);
    else if (auto all = dyn_cast<AllToAllOp>(op))
      out = gather(all.getDim(), all.getPacked(), [&](const Tensor &piece) {
        return all.getPacked() ? takeBlock(flat(piece), 0, place, parts)
                               : takeBlock(piece, all.getSplit(), place, parts);
      });
  }
}

//===----------------------------------------------------------------------===//
// The comparison
//===----------------------------------------------------------------------===//

static Sharding shardingOf(DictionaryAttr attrs) {
  return attrs.getAs<ShardingAttr>(kShardingAttr).getSharding();
}

/// The arguments of one device. States that the logical entry does not have
/// hold garbage.
static Tensors argumentsOf(func::FuncOp func, const Tensors &logical,
                           const Coordinates &at, const SubAxes &mesh) {
  Tensors result;
  for (unsigned i = 0; i < func.getNumArguments(); ++i) {
    DictionaryAttr attrs = func.getArgAttrDict(i);
    if (auto axes = attrs.getAs<DenseI64ArrayAttr>(kAxesAttr)) {
      Tensor place(cast<RankedTensorType>(func.getArgumentTypes()[i]));
      place.values[0] = placeAlong(axes.asArrayRef(), at, mesh) *
                        attrs.getAs<IntegerAttr>(kScaleAttr).getInt();
      result.push_back(place);
      continue;
    }
    if (i >= logical.size()) {
      result.emplace_back(cast<RankedTensorType>(func.getArgumentTypes()[i]));
      llvm::fill(result.back().values,
                 std::numeric_limits<double>::quiet_NaN());
      continue;
    }
    result.push_back(takePart(logical[i], shardingOf(attrs), at, mesh));
  }
  return result;
}

static Parameters parametersOf(ModuleOp module, const Parameters &logical,
                               const Coordinates &at, const SubAxes &mesh) {
  Parameters result;
  for (auto param : module.getOps<ParamOp>()) {
    Sharding sharding = shardingOf(param->getDiscardableAttrDictionary());
    if (param.getLayers())
      sharding.dims.insert(sharding.dims.begin(), Axes());
    result[param.getSymName()] =
        takePart(logical.find(param.getSymName())->second, sharding, at, mesh);
  }
  return result;
}

static void compare(const Tensor &expected, const Tensor &actual,
                    StringRef name, MeshReport &report) {
  double largest = 1e-3, difference = 0;
  for (auto [x, y] : llvm::zip_equal(expected.values, actual.values)) {
    largest = std::max(largest, std::abs(x));
    double distance = std::abs(x - y);
    if (std::isnan(distance))
      distance = std::isnan(x) && std::isnan(y)
                     ? 0
                     : std::numeric_limits<double>::infinity();
    difference = std::max(difference, distance);
  }
  if (difference / largest >= report.difference) {
    report.difference = difference / largest;
    report.worst = name.str();
  }
}

FailureOr<std::optional<MeshReport>>
oracle::checkMesh(ModuleOp module, StringRef name, Precision precision,
                  bool fused, const InputGenerator &inputs) {
  OwningOpRef<ModuleOp> whole(module.clone());
  setPrecision(*whole, precision);
  FailureOr<Mesh> found = getMesh(*whole);
  if (failed(found))
    return failure();
  SubAxes mesh = subAxesOf(*found);
  OwningOpRef<ModuleOp> local(whole->clone());
  PassManager passes(module.getContext());
  buildShardPasses(passes);
  if (fused) {
    passes.addPass(createFormKernels());
    passes.addPass(createVerifyFused());
  }
  if (failed(passes.run(*local)) || failed(makeElementary(*local)))
    return failure();
  auto func = local->lookupSymbol<func::FuncOp>(name);
  if (!func)
    return std::optional<MeshReport>();
  StringRef logicalName = name == "last_micro_step" ? "micro_step" : name;
  FailureOr<Tensors> expected =
      runFunction(*whole, logicalName, Precision::AsIs, inputs);
  if (failed(expected))
    return failure();
  auto logicalFunc = whole->lookupSymbol<func::FuncOp>(logicalName);
  Tensors arguments = inputs.makeArguments(logicalFunc);
  Parameters parameters = inputs.makeParameters(*whole);

  VirtualMesh devices(mesh);
  std::vector<Tensors> results(numDevices(mesh));
  bool good = true;
  devices.run([&](int64_t rank) {
    Coordinates at = coordinatesOf(rank, mesh);
    Parameters own = parametersOf(*local, parameters, at, mesh);
    DeviceCollectives handler(devices, rank);
    FailureOr<Tensors> result =
        Interpreter(*local, own, nullptr, &handler)
            .run(func, argumentsOf(func, arguments, at, mesh));
    if (succeeded(result)) {
      results[rank] = std::move(*result);
      return;
    }
    good = false;
    devices.abort();
  });
  if (!good)
    return failure();

  MeshReport report;
  report.devices = numDevices(mesh);
  report.collectives = devices.counts;
  for (unsigned r = 0; r < func.getNumResults(); ++r) {
    Tensors parts;
    for (Tensors &device : results)
      parts.push_back(std::move(device[r]));
    DictionaryAttr attrs = func.getResultAttrDict(r);
    std::string result = attrs.getAs<StringAttr>(entry::kName).str();
    FailureOr<Tensor> logical = assemble(parts, shardingOf(attrs), mesh);
    if (failed(logical))
      return func.emitOpError("copies of result ")
             << r << " (" << result << ") differ between devices";
    // What the logical entry does not have are states that are cleared.
    compare(r < expected->size() ? (*expected)[r] : Tensor(logical->type),
            *logical, result, report);
  }
  return std::optional(report);
}
