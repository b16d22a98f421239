//===- Elementary.cpp - The elementary ops, computed ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/Elementary.h"

#include "dialects/Dist/HeadOps.h"
#include "dialects/Kernel/KernelDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/StringMap.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;

using Operands = ArrayRef<const Tensor *>;

static RankedTensorType resultType(Operation *op) {
  return cast<RankedTensorType>(op->getResult(0).getType());
}

//===----------------------------------------------------------------------===//
// Elementwise ops
//===----------------------------------------------------------------------===//

using Unary = double (*)(double);
using Binary = double (*)(double, double);

static double identity(double x) { return x; }

static const llvm::StringMap<Unary> &unaryOps() {
  static const llvm::StringMap<Unary> ops = {
      {"arith.negf", [](double x) { return -x; }},
      {"arith.extf", identity},
      {"arith.truncf", identity},
      {"arith.sitofp", identity},
      {"arith.fptosi", [](double x) { return std::trunc(x); }},
      {"arith.uitofp", identity},
      {"arith.extui", identity},
      {"math.exp", [](double x) { return std::exp(x); }},
      {"math.log", [](double x) { return std::log(x); }},
      {"math.sqrt", [](double x) { return std::sqrt(x); }},
      {"math.rsqrt", [](double x) { return 1 / std::sqrt(x); }},
      {"math.tanh", [](double x) { return std::tanh(x); }},
      {"math.erf", [](double x) { return std::erf(x); }},
      {"math.cos", [](double x) { return std::cos(x); }},
      {"math.sin", [](double x) { return std::sin(x); }},
  };
  return ops;
}

/// A NaN if there is one, as arith.maximumf.
static double maximum(double x, double y) {
  return std::isnan(x) || x > y ? x : y;
}

static double conjunction(double x, double y) {
  return static_cast<int64_t>(x) & static_cast<int64_t>(y);
}

static const llvm::StringMap<Binary> &binaryOps() {
  static const llvm::StringMap<Binary> ops = {
      {"arith.addf", [](double x, double y) { return x + y; }},
      {"arith.subf", [](double x, double y) { return x - y; }},
      {"arith.mulf", [](double x, double y) { return x * y; }},
      {"arith.divf", [](double x, double y) { return x / y; }},
      {"arith.addi", [](double x, double y) { return x + y; }},
      {"arith.subi", [](double x, double y) { return x - y; }},
      {"arith.maximumf", maximum},
      {"arith.andi", conjunction},
  };
  return ops;
}

template <typename Function>
static Tensor map(Operation *op, const Tensor &x, Function function) {
  Tensor result(resultType(op));
  for (auto [out, value] : llvm::zip(result.values, x.values))
    out = function(value);
  result.round();
  return result;
}

template <typename Function>
static Tensor map(Operation *op, const Tensor &x, const Tensor &y,
                  Function function) {
  Tensor result(resultType(op));
  for (auto [out, lhs, rhs] : llvm::zip(result.values, x.values, y.values))
    out = function(lhs, rhs);
  result.round();
  return result;
}

static Tensor select(Operation *op, Operands in) {
  Tensor result(resultType(op));
  for (int64_t i = 0; i < result.size(); ++i)
    result.values[i] =
        in[in[0]->values[in[0]->size() == 1 ? 0 : i] ? 1 : 2]->values[i];
  return result;
}

/// The comparison of a predicate, or null for one that decompositions do not
/// use.
static Binary comparison(Operation *op) {
  static const Binary eq = [](double x, double y) -> double { return x == y; };
  static const Binary lt = [](double x, double y) -> double { return x < y; };
  static const Binary gt = [](double x, double y) -> double { return x > y; };
  static const Binary le = [](double x, double y) -> double { return x <= y; };
  static const Binary ge = [](double x, double y) -> double { return x >= y; };
  if (auto cmp = dyn_cast<arith::CmpFOp>(op))
    switch (cmp.getPredicate()) {
    case arith::CmpFPredicate::OEQ:
      return eq;
    case arith::CmpFPredicate::OLT:
      return lt;
    case arith::CmpFPredicate::OGT:
      return gt;
    case arith::CmpFPredicate::OLE:
      return le;
    case arith::CmpFPredicate::OGE:
      return ge;
    default:
      return nullptr;
    }
  if (auto cmp = dyn_cast<arith::CmpIOp>(op))
    switch (cmp.getPredicate()) {
    case arith::CmpIPredicate::eq:
      return eq;
    case arith::CmpIPredicate::slt:
      return lt;
    case arith::CmpIPredicate::sgt:
      return gt;
    case arith::CmpIPredicate::sle:
      return le;
    case arith::CmpIPredicate::sge:
      return ge;
    default:
      return nullptr;
    }
  return nullptr;
}

static FailureOr<Tensor> constant(arith::ConstantOp op) {
  auto elements = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!elements)
    return op.emitOpError("is no constant that the oracle reads");
  Tensor result(resultType(op));
  if (result.isFloat())
    for (auto [out, value] :
         llvm::zip(result.values, elements.getValues<APFloat>()))
      out = value.convertToDouble();
  else
    for (auto [out, value] :
         llvm::zip(result.values, elements.getValues<APInt>()))
      out = value.getBitWidth() == 1
                ? value.getBoolValue()
                : static_cast<double>(value.getSExtValue());
  return result;
}

//===----------------------------------------------------------------------===//
// Ops that move elements
//===----------------------------------------------------------------------===//

/// Goes through a shape in row-major order, with offsets into tensors that each
/// have a stride (0: not at all) for every dimension of it.
template <typename Function>
static void forEachIndex(ArrayRef<int64_t> shape,
                         ArrayRef<SmallVector<int64_t>> tensorStrides,
                         Function function) {
  if (llvm::is_contained(shape, 0))
    return;
  SmallVector<int64_t> index(shape.size()), offsets(tensorStrides.size());
  while (true) {
    function(offsets);
    int64_t d = shape.size() - 1;
    for (; d >= 0; --d) {
      ++index[d];
      for (auto [offset, stride] : llvm::zip(offsets, tensorStrides))
        offset += stride[d];
      if (index[d] < shape[d])
        break;
      for (auto [offset, stride] : llvm::zip(offsets, tensorStrides))
        offset -= stride[d] * shape[d];
      index[d] = 0;
    }
    if (d < 0)
      return;
  }
}

static Tensor broadcast(kernel::BroadcastOp op, const Tensor &x) {
  Tensor result(resultType(op));
  SmallVector<int64_t> from(result.type.getRank());
  for (auto [k, stride] : llvm::enumerate(strides(x.type.getShape())))
    if (x.dim(k) != 1)
      from[op.getDims()[k]] = stride;
  int64_t next = 0;
  forEachIndex(result.type.getShape(), {from}, [&](ArrayRef<int64_t> offsets) {
    result.values[next++] = x.values[offsets[0]];
  });
  return result;
}

static Tensor reduce(kernel::ReduceOp op, const Tensor &x) {
  Tensor result(resultType(op));
  bool isMax = op.getKind() == kernel::ReductionKind::Max;
  if (isMax)
    llvm::fill(result.values, -std::numeric_limits<double>::infinity());
  SmallVector<int64_t> kept = strides(result.type.getShape()), to;
  auto next = kept.begin();
  for (int64_t d = 0; d < x.type.getRank(); ++d)
    to.push_back(llvm::is_contained(op.getDims(), d) ? 0 : *next++);
  int64_t i = 0;
  forEachIndex(x.type.getShape(), {to}, [&](ArrayRef<int64_t> offsets) {
    double &out = result.values[offsets[0]];
    double value = x.values[i++];
    out = isMax ? maximum(out, value) : out + value;
  });
  result.round();
  return result;
}

static Tensor contract(kernel::ContractOp op, const Tensor &lhs,
                       const Tensor &rhs) {
  Tensor result(resultType(op));
  auto [inputs, out] = op.getSpec().split("->");
  auto [lhsLetters, rhsLetters] = inputs.split(",");
  // The loop goes over the result's letters, then over those summed.
  std::string letters = out.str();
  for (char letter : (lhsLetters + rhsLetters).str())
    if (letters.find(letter) == std::string::npos)
      letters += letter;
  SmallVector<int64_t> shape;
  SmallVector<SmallVector<int64_t>, 3> offsets(3);
  auto addStride = [](SmallVector<int64_t> &to, StringRef in, char letter,
                      const Tensor &tensor) -> int64_t {
    SmallVector<int64_t> all = strides(tensor.type.getShape());
    int64_t stride = 0, size = -1;
    for (auto [i, other] : llvm::enumerate(in))
      if (other == letter) {
        stride += all[i];
        size = tensor.dim(i);
      }
    to.push_back(stride);
    return size;
  };
  for (char letter : letters) {
    int64_t inLhs = addStride(offsets[0], lhsLetters, letter, lhs);
    int64_t inRhs = addStride(offsets[1], rhsLetters, letter, rhs);
    addStride(offsets[2], out, letter, result);
    shape.push_back(inLhs >= 0 ? inLhs : inRhs);
  }
  forEachIndex(shape, offsets, [&](ArrayRef<int64_t> at) {
    result.values[at[2]] += lhs.values[at[0]] * rhs.values[at[1]];
  });
  result.round();
  return result;
}

static Tensor gather(kernel::GatherOp op, const Tensor &table,
                     const Tensor &ids) {
  Tensor result(resultType(op));
  int64_t width = table.type.getRank() == 2 ? table.dim(1) : 1;
  for (auto [row, id] : llvm::enumerate(ids.values))
    if (id >= 0 && id < table.dim(0))
      std::copy_n(table.values.begin() + static_cast<int64_t>(id) * width,
                  width, result.values.begin() + row * width);
  return result;
}

static Tensor unpackInt4(kernel::UnpackInt4Op op, const Tensor &packed,
                         const Tensor &steps) {
  Tensor result(resultType(op));
  int64_t columns = result.dim(1);
  for (int64_t i = 0; i < result.size(); ++i) {
    int64_t row = i / columns, group = i % columns / 32, j = i % 32;
    auto byte = static_cast<int64_t>(
        packed.values[row * columns / 2 + group * 16 + j % 16]);
    int64_t half = (j < 16 ? byte : byte >> 4) & 15;
    half = half < 8 ? half : half - 16;
    result.values[i] = static_cast<double>(half * (half * half + 144)) *
                       steps.values[row * columns / 32 + group];
  }
  result.round();
  return result;
}

/// Rounds after every row, as the op adds them one after the other.
static Tensor scatterAdd(kernel::ScatterAddOp op, const Tensor &rows,
                         const Tensor &acc, const Tensor &ids) {
  Tensor result = acc;
  int64_t width = acc.dim(1);
  Type element = acc.type.getElementType();
  for (auto [row, id] : llvm::enumerate(ids.values)) {
    if (id < 0 || id >= acc.dim(0))
      continue;
    for (int64_t c = 0; c < width; ++c) {
      double &out = result.values[static_cast<int64_t>(id) * width + c];
      out = roundTo(out + rows.values[row * width + c], element);
    }
  }
  return result;
}

static Tensor slice(kernel::SliceOp op, const Tensor &x) {
  Tensor result(resultType(op));
  int64_t from = x.type.getShape().back(),
          width = result.type.getShape().back();
  int64_t begin = op.getBegin();
  for (int64_t i = 0; i < result.size(); ++i)
    result.values[i] = x.values[i / width * from + begin + i % width];
  return result;
}

static Tensor concat(kernel::ConcatOp op, const Tensor &lhs,
                     const Tensor &rhs) {
  Tensor result(resultType(op));
  int64_t left = lhs.type.getShape().back(),
          width = result.type.getShape().back();
  for (int64_t i = 0; i < result.size(); ++i) {
    int64_t row = i / width, c = i % width;
    result.values[i] = c < left ? lhs.values[row * left + c]
                                : rhs.values[row * (width - left) + c - left];
  }
  return result;
}

static Tensor iota(kernel::IotaOp op) {
  Tensor result(resultType(op));
  int64_t stride = strides(result.type.getShape())[op.getDim()];
  for (int64_t i = 0; i < result.size(); ++i)
    result.values[i] = i / stride % result.dim(op.getDim());
  return result;
}

static Tensor element(kernel::ElementOp op, const Tensor &x) {
  Tensor result(resultType(op));
  int64_t offset = 0;
  for (auto [index, stride] :
       llvm::zip(op.getIndices(), strides(x.type.getShape())))
    offset += index * stride;
  result.values[0] = x.values[offset];
  return result;
}

/// Copies between a tensor [before dim][parts][rest] and the columns of a
/// bucket [parts][...], which begin with [before dim][rest] at `offset`.
static void movePart(Tensor &tensor, Tensor &bucket, int64_t dim, int64_t parts,
                     int64_t offset, bool intoBucket) {
  dim = tensor.type.getRank() - 1 - dim;
  int64_t rest = strides(tensor.type.getShape())[dim] * tensor.dim(dim) / parts;
  int64_t before = tensor.size() / (rest * parts);
  int64_t row = bucket.size() / parts;
  for (int64_t b = 0; b < before; ++b)
    for (int64_t p = 0; p < parts; ++p)
      for (int64_t i = 0; i < rest; ++i) {
        double &apart = bucket.values[p * row + offset + b * rest + i];
        double &together = tensor.values[(b * parts + p) * rest + i];
        if (intoBucket)
          apart = together;
        else
          together = apart;
      }
}

static Tensor packed(dist::PackOp op, Operands in) {
  Tensor tensor = *in[0];
  Tensor bucket = op.getBucket() ? *in[1] : Tensor(resultType(op));
  movePart(tensor, bucket, op.getDim(), op.getParts(), op.getOffset(), true);
  return bucket;
}

static Tensor unpacked(dist::UnpackOp op, const Tensor &x) {
  Tensor bucket = x, tensor(resultType(op));
  movePart(tensor, bucket, op.getDim(), op.getParts(), op.getOffset(), false);
  return tensor;
}

static Tensor distSlice(dist::SliceOp op, const Tensor &x,
                        const Tensor &index) {
  Tensor result(resultType(op));
  int64_t dim = x.type.getRank() - 1 - op.getDim();
  int64_t inner = strides(x.type.getShape())[dim];
  int64_t width = result.dim(dim) * inner, stride = x.dim(dim) * inner;
  for (int64_t i = 0; i < result.size(); ++i)
    result.values[i] =
        x.values[i / width * stride + index.values[0] * width + i % width];
  return result;
}

static Tensor padGroups(dist::PadGroupsOp op, Operands in) {
  Tensor result(resultType(op));
  const Tensor &x = *in[0];
  int64_t start = in.size() > 1 ? in[1]->values[0] : 0;
  int64_t dim = x.type.getRank() - 1 - op.getDim();
  int64_t inner = strides(x.type.getShape())[dim];
  int64_t width = x.dim(dim) / op.getGroups();
  int64_t size = result.dim(dim) / op.getGroups();
  for (int64_t i = 0; i < result.size(); ++i) {
    int64_t group = i / (size * inner), j = i / inner % size + start;
    result.values[i] = j >= 0 && j < width
                           ? x.values[(group * width + j) * inner + i % inner]
                           : 0;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// All of them
//===----------------------------------------------------------------------===//

FailureOr<Tensor> oracle::evaluate(Operation *op, Operands in) {
  StringRef name = op->getName().getStringRef();
  if (Unary function = unaryOps().lookup(name))
    return map(op, *in[0], function);
  if (Binary function = binaryOps().lookup(name))
    return map(op, *in[0], *in[1], function);
  if (Binary compare = comparison(op))
    return map(op, *in[0], *in[1], compare);
  if (isa<arith::SelectOp>(op))
    return select(op, in);
  if (auto value = dyn_cast<arith::ConstantOp>(op))
    return constant(value);
  if (auto x = dyn_cast<kernel::BroadcastOp>(op))
    return broadcast(x, *in[0]);
  if (auto x = dyn_cast<kernel::ReduceOp>(op))
    return reduce(x, *in[0]);
  if (auto x = dyn_cast<kernel::ContractOp>(op))
    return contract(x, *in[0], *in[1]);
  if (auto x = dyn_cast<kernel::GatherOp>(op))
    return gather(x, *in[0], *in[1]);
  if (auto x = dyn_cast<kernel::ScatterAddOp>(op))
    return scatterAdd(x, *in[0], *in[1], *in[2]);
  if (auto x = dyn_cast<kernel::SliceOp>(op))
    return slice(x, *in[0]);
  if (auto x = dyn_cast<kernel::ConcatOp>(op))
    return concat(x, *in[0], *in[1]);
  if (auto x = dyn_cast<kernel::UnpackInt4Op>(op))
    return unpackInt4(x, *in[0], *in[1]);
  if (auto x = dyn_cast<kernel::IotaOp>(op))
    return iota(x);
  if (auto x = dyn_cast<kernel::ElementOp>(op))
    return element(x, *in[0]);
  if (auto x = dyn_cast<dist::SliceOp>(op))
    return distSlice(x, *in[0], *in[1]);
  if (auto x = dyn_cast<dist::PadGroupsOp>(op))
    return padGroups(x, in);
  if (auto x = dyn_cast<dist::PackOp>(op))
    return packed(x, in);
  if (auto x = dyn_cast<dist::UnpackOp>(op))
    return unpacked(x, *in[0]);
  return op->emitOpError("is no elementary op that the oracle computes");
}
