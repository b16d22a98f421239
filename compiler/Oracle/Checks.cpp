//===- Checks.cpp - Checks by execution -----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/Checks.h"

#include "compiler/Autodiff/Differentiate.h"
#include "compiler/Fusion/Passes.h"
#include "compiler/Memory/Passes.h"
#include "compiler/Oracle/PlannedMemory.h"
#include "mlir/Pass/PassManager.h"

#include <cmath>
#include <numeric>

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;

using Tensors = std::vector<Tensor>;

static func::FuncOp lookup(ModuleOp module, StringRef name) {
  return module.lookupSymbol<func::FuncOp>(name);
}

static OwningOpRef<ModuleOp> copyIn(ModuleOp module, Precision precision) {
  OwningOpRef<ModuleOp> copy(module.clone());
  setPrecision(*copy, precision);
  return copy;
}

FailureOr<Tensors> oracle::runFunction(ModuleOp module, StringRef name,
                                       Precision precision,
                                       const InputGenerator &inputs) {
  OwningOpRef<ModuleOp> copy = copyIn(module, precision);
  if (failed(makeElementary(*copy)))
    return failure();
  Parameters parameters = inputs.makeParameters(*copy);
  func::FuncOp func = lookup(*copy, name);
  return Interpreter(*copy, parameters).run(func, inputs.makeArguments(func));
}

LogicalResult oracle::checkValues(ModuleOp module, StringRef name,
                                  Precision precision, double tolerance,
                                  const InputGenerator &inputs) {
  func::FuncOp func = lookup(module, name);
  unsigned half = func.getNumResults() / 2;
  if (half == 0 || func.getNumResults() % 2 ||
      func.getResultTypes().take_front(half) !=
          func.getResultTypes().drop_front(half))
    return func.emitOpError("expected results and as many expected values, of "
                            "the same types");
  FailureOr<Tensors> results = runFunction(module, name, precision, inputs);
  if (failed(results))
    return failure();
  for (unsigned i = 0; i < half; ++i) {
    const Tensor &actual = (*results)[i], &expected = (*results)[half + i];
    for (int64_t k = 0; k < actual.size(); ++k) {
      double x = actual.values[k], y = expected.values[k];
      bool same = x == y || (std::isnan(x) && std::isnan(y)) ||
                  std::abs(x - y) <= tolerance * std::max(1.0, std::abs(y));
      if (!same)
        return func.emitOpError("result ")
               << i << ", element " << k << ": expected " << y << ", got " << x;
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Gradients
//===----------------------------------------------------------------------===//

namespace {
/// A function whose float results are contracted with fixed cotangents.
struct Loss {
  Interpreter &interpreter;
  func::FuncOp func;
  const Tensors &cotangents;

  FailureOr<double> operator()(ArrayRef<Tensor> arguments) {
    FailureOr<Tensors> results = interpreter.run(func, arguments);
    if (failed(results))
      return failure();
    double sum = 0;
    auto cotangent = cotangents.begin();
    for (const Tensor &result : *results) {
      if (!result.isFloat())
        continue;
      for (auto [value, weight] : llvm::zip(result.values, cotangent->values))
        sum += value * weight;
      ++cotangent;
    }
    return sum;
  }
};
} // namespace

/// Compares `gradient` with difference quotients over `variable`, which `loss`
/// reads through `arguments` or its parameters.
static FailureOr<GradientError> compare(StringRef name, Tensor &variable,
                                        const Tensor &gradient, Loss &loss,
                                        ArrayRef<Tensor> arguments) {
  constexpr double kStep = 1e-5;
  constexpr int64_t kMost = 256;
  GradientError error{name.str(), 0, variable.size(), 0, 0, 0, 0};
  // A stride that goes through all columns of the last dimension.
  int64_t stride = llvm::divideCeil(variable.size(), kMost);
  while (variable.type.getRank() && stride > 1 &&
         std::gcd(stride, variable.type.getShape().back()) != 1)
    ++stride;
  stride = std::max<int64_t>(stride, 1);
  double largest = 1e-3, difference = -1;
  for (int64_t i = 0; i < variable.size(); i += stride) {
    double middle = variable.values[i];
    variable.values[i] = middle + kStep;
    FailureOr<double> above = loss(arguments);
    variable.values[i] = middle - kStep;
    FailureOr<double> below = loss(arguments);
    variable.values[i] = middle;
    if (failed(above) || failed(below))
      return failure();
    double expected = (*above - *below) / (2 * kStep);
    double actual = gradient.values[i];
    largest = std::max({largest, std::abs(expected), std::abs(actual)});
    // A NaN is as wrong as can be.
    double distance = std::abs(expected - actual);
    if (std::isnan(distance))
      distance = std::numeric_limits<double>::infinity();
    if (distance > difference) {
      difference = distance;
      error.worst = i;
      error.expected = expected;
      error.actual = actual;
    }
    ++error.compared;
  }
  error.relative = std::max(difference, 0.0) / largest;
  return error;
}

FailureOr<std::vector<GradientError>>
oracle::checkGradient(ModuleOp module, StringRef name,
                      const InputGenerator &inputs) {
  OwningOpRef<ModuleOp> copy = copyIn(module, Precision::F64);
  func::FuncOp func = lookup(*copy, name);
  func::FuncOp grad = lookup(*copy, (name + "_grad").str());
  if (!grad) {
    FailureOr<func::FuncOp> made = differentiate(func);
    if (failed(made))
      return failure();
    grad = *made;
  }
  SmallVector<ParamOp> params(copy->getOps<ParamOp>());
  Parameters parameters = inputs.makeParameters(*copy);
  Tensors arguments = inputs.makeArguments(func), cotangents;
  unsigned numVariables = params.size();
  for (const Tensor &argument : arguments)
    numVariables += argument.isFloat();
  for (Type type : func.getResultTypes())
    if (isa<FloatType>(cast<RankedTensorType>(type).getElementType()))
      cotangents.push_back(
          inputs.make("cotangent" + std::to_string(cotangents.size()),
                      cast<RankedTensorType>(type)));
  if (grad.getNumArguments() != arguments.size() + cotangents.size() ||
      grad.getNumResults() != func.getNumResults() + numVariables)
    return grad.emitOpError("is not the gradient of ") << name;

  if (failed(makeElementary(*copy)))
    return failure();
  Interpreter interpreter(*copy, parameters);
  Tensors all = arguments;
  llvm::append_range(all, cotangents);
  FailureOr<Tensors> results = interpreter.run(grad, all);
  if (failed(results))
    return failure();
  auto gradient = results->begin() + func.getNumResults();

  Loss loss{interpreter, func, cotangents};
  std::vector<GradientError> errors;
  auto check = [&](StringRef what, Tensor &variable) -> LogicalResult {
    FailureOr<GradientError> error =
        compare(what, variable, *gradient++, loss, arguments);
    if (succeeded(error))
      errors.push_back(*error);
    return error;
  };
  for (auto [i, argument] : llvm::enumerate(arguments))
    if (argument.isFloat() &&
        failed(check("arg" + std::to_string(i), argument)))
      return failure();
  for (ParamOp param : params)
    if (failed(check("@" + param.getSymName().str(),
                     parameters[param.getSymName()])))
      return failure();
  return errors;
}

//===----------------------------------------------------------------------===//
// Fusion
//===----------------------------------------------------------------------===//

FailureOr<int64_t> oracle::checkFusion(ModuleOp module, StringRef name,
                                       Precision precision,
                                       const InputGenerator &inputs) {
  OwningOpRef<ModuleOp> fused = copyIn(module, precision);
  PassManager passes(module.getContext());
  passes.addPass(createExpandMuon());
  passes.addPass(createFormKernels());
  passes.addPass(createVerifyFused());
  if (failed(passes.run(*fused)))
    return failure();
  func::FuncOp func = lookup(*fused, name);
  int64_t launches = 0;
  func.walk([&](kernel::LaunchOp) { ++launches; });

  FailureOr<Tensors> before = runFunction(module, name, precision, inputs);
  FailureOr<Tensors> after = runFunction(*fused, name, Precision::AsIs, inputs);
  if (failed(before) || failed(after))
    return failure();
  for (auto [i, pair] : llvm::enumerate(llvm::zip_equal(*before, *after))) {
    auto &[expected, actual] = pair;
    for (int64_t k = 0; k < expected.size(); ++k) {
      double x = expected.values[k], y = actual.values[k];
      bool same = std::isnan(x) ? std::isnan(y)
                                : x == y && std::signbit(x) == std::signbit(y);
      if (!same)
        return func.emitOpError("result ")
               << i << " changes in kernels: element " << k << " from " << x
               << " to " << y;
    }
  }
  return launches;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

FailureOr<int64_t> oracle::checkMemory(ModuleOp module, StringRef name,
                                       const InputGenerator &inputs) {
  OwningOpRef<ModuleOp> copy = copyIn(module, Precision::AsIs);
  if (failed(makeElementary(*copy)))
    return failure();
  func::FuncOp func = lookup(*copy, name);
  Parameters parameters = inputs.makeParameters(*copy);
  Tensors arguments = inputs.makeArguments(func);
  FailureOr<PlannedMemory> memory =
      PlannedMemory::create(func, arguments, parameters);
  if (failed(memory))
    return failure();
  FailureOr<Tensors> results =
      Interpreter(*copy, parameters, &*memory).run(func, arguments);
  if (failed(results) || failed(memory->checkResults(*results)))
    return failure();
  return func->getAttrOfType<DictionaryAttr>(kEntryArena)
      .getAs<IntegerAttr>("bytes")
      .getInt();
}
