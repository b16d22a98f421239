//===- KernelOracle.cpp - A kernel's body, op by op -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "test/unit/Codegen/KernelOracle.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Parser/Parser.h"
#include "test/unit/Codegen/KernelRunner.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::testing;

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

std::vector<char> Array::pack() const {
  std::vector<char> bytes(values.size() * (element == Element::BF16 ? 2 : 4));
  for (size_t i = 0; i < values.size(); ++i) {
    if (element == Element::BF16) {
      uint16_t bits = toBf16(values[i]);
      std::memcpy(&bytes[2 * i], &bits, 2);
    } else if (element == Element::F32) {
      float value = values[i];
      std::memcpy(&bytes[4 * i], &value, 4);
    } else {
      int32_t value = values[i];
      std::memcpy(&bytes[4 * i], &value, 4);
    }
  }
  return bytes;
}

void Array::unpack(const char *bytes) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (element == Element::BF16) {
      uint16_t bits;
      std::memcpy(&bits, bytes + 2 * i, 2);
      values[i] = fromBf16(bits);
    } else if (element == Element::F32) {
      float value;
      std::memcpy(&value, bytes + 4 * i, 4);
      values[i] = value;
    } else {
      int32_t value;
      std::memcpy(&value, bytes + 4 * i, 4);
      values[i] = value;
    }
  }
}

static Array arrayOf(Type type, ArrayRef<int64_t> dynamic) {
  auto tensor = cast<RankedTensorType>(type);
  Array array;
  Type element = tensor.getElementType();
  array.element = element.isBF16()      ? Element::BF16
                  : element.isInteger() ? Element::I32
                                        : Element::F32;
  int64_t count = 1;
  for (int64_t size : tensor.getShape()) {
    if (ShapedType::isDynamic(size)) {
      size = dynamic.front();
      dynamic = dynamic.drop_front();
    }
    array.shape.push_back(size);
    count *= size;
  }
  array.values.assign(count, 0);
  return array;
}

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

namespace {
struct Parsed {
  DialectRegistry registry;
  std::unique_ptr<MLIRContext> context;
  OwningOpRef<ModuleOp> module;
  kernel::FuncOp kernel;

  explicit Parsed(const std::string &text) {
    cpu::registerCodegenDialects(registry);
    context = std::make_unique<MLIRContext>(registry);
    context->loadAllAvailableDialects();
    module = parseSourceString<ModuleOp>(text, context.get());
    if (module)
      kernel = *module->getOps<kernel::FuncOp>().begin();
  }
};
} // namespace

std::string testing::decomposeKernel(const std::string &text) {
  Parsed parsed(text);
  if (!parsed.module)
    return {};
  SmallVector<Operation *> ops;
  for (Operation &op : parsed.kernel.getBody().front())
    if (isa<DecomposeOpInterface>(op))
      ops.push_back(&op);
  for (Operation *op : ops) {
    OpBuilder b(op);
    auto values =
        cast<DecomposeOpInterface>(op).decompose(b, op->getOperands());
    if (failed(values))
      return {};
    op->replaceAllUsesWith(*values);
    op->erase();
  }
  std::string out;
  llvm::raw_string_ostream os(out);
  parsed.module->print(os);
  return out;
}

Signature testing::signatureOf(const std::string &text, int64_t batch,
                               int64_t sequence) {
  Parsed parsed(text);
  Signature signature;
  auto make = [&](Type type) {
    ArrayRef<int64_t> shape = cast<RankedTensorType>(type).getShape();
    if (llvm::count_if(shape, ShapedType::isDynamic) == 2)
      return arrayOf(type, {batch, sequence});
    // Block kernels give a batch of numbers as tensor<?xi32>.
    bool isBatch = parsed.kernel.getRoot() == kernel::Root::Block;
    return arrayOf(type, {isBatch ? batch : batch * sequence});
  };
  for (Type type : parsed.kernel.getArgumentTypes())
    signature.arguments.push_back(make(type));
  for (Type type : parsed.kernel.getResultTypes())
    signature.results.push_back(make(type));
  for (size_t i = 0; i < signature.results.size(); ++i)
    signature.inplace.push_back(parsed.kernel.getInplaceArgument(i));
  return signature;
}

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

namespace {
using Position = std::vector<int64_t>;

int64_t linear(const Array &array, const Position &at) {
  int64_t offset = 0;
  for (size_t i = 0; i < at.size(); ++i)
    offset = offset * array.shape[i] + at[i];
  return offset;
}

Position positionOf(const Array &array, int64_t offset) {
  Position at(array.shape.size());
  for (size_t i = at.size(); i-- > 0;) {
    at[i] = offset % array.shape[i];
    offset /= array.shape[i];
  }
  return at;
}

double roundTo(Element element, double value) {
  if (element == Element::BF16)
    return fromBf16(toBf16(static_cast<float>(value)));
  return element == Element::F32 ? static_cast<float>(value) : value;
}

class Oracle {
public:
  explicit Oracle(int64_t rows) : rows(rows) {}
  llvm::DenseMap<Value, Array> known;

  void run(Operation *op) {
    Array result = arrayOf(op->getResult(0).getType(), {rows});
    for (int64_t i = 0; i < result.size(); ++i)
      result.values[i] = roundTo(result.element,
                                 element(op, result, positionOf(result, i), i));
    known[op->getResult(0)] = std::move(result);
  }

private:
  const Array &in(Operation *op, unsigned i) {
    return known.find(op->getOperand(i))->second;
  }

  double element(Operation *op, const Array &result, const Position &at,
                 int64_t offset) {
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      auto values = cast<DenseElementsAttr>(constant.getValue());
      if (values.getElementType().isInteger())
        return values.getValues<APInt>()[offset].getSExtValue();
      return values.getValues<APFloat>()[offset].convertToDouble();
    }
    if (auto broadcast = dyn_cast<kernel::BroadcastOp>(op)) {
      Position from;
      for (auto [i, dim] : llvm::enumerate(broadcast.getDims()))
        from.push_back(in(op, 0).shape[i] == 1 ? 0 : at[dim]);
      return in(op, 0).values[linear(in(op, 0), from)];
    }
    if (auto reduce = dyn_cast<kernel::ReduceOp>(op))
      return reduction(reduce, at);
    if (isa<kernel::GatherOp>(op)) {
      int64_t id =
          in(op, 1).values[linear(in(op, 1), {at.begin(), at.end() - 1})];
      if (id < 0 || id >= in(op, 0).shape[0])
        return 0;
      return in(op, 0).values[id * in(op, 0).shape[1] + at.back()];
    }
    if (auto slice = dyn_cast<kernel::SliceOp>(op)) {
      Position from = at;
      from.back() += slice.getBegin();
      return in(op, 0).values[linear(in(op, 0), from)];
    }
    if (isa<kernel::ConcatOp>(op)) {
      Position from = at;
      int64_t size = in(op, 0).shape.back();
      bool isLeft = from.back() < size;
      from.back() -= isLeft ? 0 : size;
      return in(op, !isLeft).values[linear(in(op, !isLeft), from)];
    }
    if (auto pick = dyn_cast<kernel::ElementOp>(op))
      return in(op, 0).values[linear(
          in(op, 0), {pick.getIndices().begin(), pick.getIndices().end()})];
    if (isa<kernel::ScatterAddOp>(op)) {
      // rows, acc, ids
      double sum = in(op, 1).values[offset];
      for (int64_t r = 0; r < in(op, 2).size(); ++r)
        if (in(op, 2).values[r] == at[0])
          sum = static_cast<float>(
              sum + in(op, 0).values[r * result.shape[1] + at[1]]);
      return sum;
    }
    std::vector<double> x;
    for (unsigned i = 0; i < op->getNumOperands(); ++i)
      x.push_back(in(op, i).values[offset]);
    return scalar(op, x);
  }

  double reduction(kernel::ReduceOp op, const Position &at) {
    const Array &from = in(op, 0);
    bool isMax = op.getKind() == kernel::ReductionKind::Max;
    double total = isMax ? -std::numeric_limits<double>::infinity() : 0;
    Position index(from.shape.size(), 0);
    std::vector<int64_t> reduced;
    int64_t count = 1, kept = 0;
    for (size_t i = 0; i < index.size(); ++i)
      if (llvm::is_contained(op.getDims(), i)) {
        reduced.push_back(i);
        count *= from.shape[i];
      } else {
        index[i] = at[kept++];
      }
    for (int64_t n = 0; n < count; ++n) {
      int64_t rest = n;
      for (size_t i = reduced.size(); i-- > 0;) {
        index[reduced[i]] = rest % from.shape[reduced[i]];
        rest /= from.shape[reduced[i]];
      }
      double value = from.values[linear(from, index)];
      total = isMax ? std::max(total, value) : total + value;
    }
    return total;
  }

  static bool compare(arith::CmpFPredicate predicate, double x, double y) {
    switch (predicate) {
    case arith::CmpFPredicate::OGT:
      return x > y;
    case arith::CmpFPredicate::OLT:
      return x < y;
    case arith::CmpFPredicate::OGE:
      return x >= y;
    case arith::CmpFPredicate::OEQ:
      return x == y;
    default:
      llvm::report_fatal_error("oracle: unknown comparison");
    }
  }

  double scalar(Operation *op, const std::vector<double> &x) {
    StringRef name = op->getName().getStringRef();
    if (auto cmp = dyn_cast<arith::CmpFOp>(op))
      return compare(cmp.getPredicate(), x[0], x[1]);
    if (auto cmp = dyn_cast<arith::CmpIOp>(op)) {
      switch (cmp.getPredicate()) {
      case arith::CmpIPredicate::eq:
        return x[0] == x[1];
      case arith::CmpIPredicate::slt:
        return x[0] < x[1];
      case arith::CmpIPredicate::sge:
        return x[0] >= x[1];
      default:
        llvm::report_fatal_error("oracle: unknown comparison");
      }
    }
    if (name == "arith.addf" || name == "arith.addi")
      return x[0] + x[1];
    if (name == "arith.subf")
      return x[0] - x[1];
    if (name == "arith.mulf")
      return x[0] * x[1];
    if (name == "arith.divf")
      return x[0] / x[1];
    if (name == "arith.negf")
      return -x[0];
    if (name == "arith.maximumf")
      return std::isnan(x[0]) || std::isnan(x[1]) ? std::nan("")
                                                  : std::max(x[0], x[1]);
    if (name == "arith.andi")
      return x[0] != 0 && x[1] != 0;
    if (name == "arith.select")
      return x[0] != 0 ? x[1] : x[2];
    if (name == "arith.extf" || name == "arith.truncf" ||
        name == "arith.sitofp" || name == "arith.uitofp" ||
        name == "arith.extui")
      return x[0];
    if (name == "math.exp")
      return std::exp(x[0]);
    if (name == "math.log")
      return std::log(x[0]);
    if (name == "math.sqrt")
      return std::sqrt(x[0]);
    if (name == "math.rsqrt")
      return 1 / std::sqrt(x[0]);
    if (name == "math.tanh")
      return std::tanh(x[0]);
    if (name == "math.erf")
      return std::erf(x[0]);
    if (name == "math.cos")
      return std::cos(x[0]);
    if (name == "math.sin")
      return std::sin(x[0]);
    if (name == "math.absf")
      return std::fabs(x[0]);
    if (name == "math.fma")
      return std::fma(x[0], x[1], x[2]);
    llvm::report_fatal_error("oracle: unknown op " + Twine(name));
  }

  int64_t rows;
};
} // namespace

std::vector<Array> testing::runOracle(const std::string &text,
                                      const std::vector<Array> &arguments,
                                      int64_t rows) {
  Parsed parsed(text);
  Oracle oracle(rows);
  Block &body = parsed.kernel.getBody().front();
  for (auto [argument, array] : llvm::zip(body.getArguments(), arguments))
    oracle.known[argument] = array;
  for (Operation &op : body.without_terminator())
    oracle.run(&op);
  std::vector<Array> results;
  for (Value value : body.getTerminator()->getOperands())
    results.push_back(oracle.known[value]);
  return results;
}
