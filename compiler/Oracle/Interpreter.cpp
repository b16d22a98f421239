//===- Interpreter.cpp - The oracle of tests ------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Oracle/Interpreter.h"

#include "compiler/Oracle/Elementary.h"
#include "dialects/Dist/DistDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::oracle;

std::vector<Tensor> Interpreter::read(ValueRange range) {
  Tensors result;
  for (Value value : range)
    result.push_back(values.at(value));
  return result;
}

FailureOr<std::vector<Tensor>> Interpreter::run(func::FuncOp func,
                                                ArrayRef<Tensor> inputs) {
  if (func.isExternal() || !func.getBody().hasOneBlock())
    return func.emitOpError("expected a body of one block");
  values.clear();
  loop = LoopPosition();
  callDepth = 0;
  Block &body = func.getBody().front();
  for (auto [arg, input] : llvm::zip_equal(body.getArguments(), inputs))
    values[arg] = input;
  if (failed(runBlock(body)))
    return failure();
  return read(body.getTerminator()->getOperands());
}

LogicalResult Interpreter::runBlock(Block &block) {
  for (Operation &op : block.without_terminator()) {
    LogicalResult done = success();
    if (auto layers = dyn_cast<LayersOp>(op)) {
      done = runLayers(layers);
    } else if (auto launch = dyn_cast<kernel::LaunchOp>(op)) {
      done = runLaunch(launch);
    } else if (auto call = dyn_cast<func::CallOp>(op)) {
      done = runCall(call);
    } else if (auto param = dyn_cast<GetParamOp>(op)) {
      done = readParameter(param);
    } else if (collectives && dist::isCollective(&op)) {
      FailureOr<Tensor> result =
          collectives->run(&op, values.find(op.getOperand(0))->second);
      if (succeeded(result))
        values[op.getResult(0)] = std::move(*result);
      done = result;
    } else if (auto view = dyn_cast<ReshapeOp>(op)) {
      values[view.getResult()] =
          reshape(values.at(view.getOperand()), view.getType());
    } else {
      SmallVector<const Tensor *> operands;
      for (Value operand : op.getOperands())
        operands.push_back(&values.find(operand)->second);
      FailureOr<Tensor> result = evaluate(&op, operands);
      if (succeeded(result))
        values[op.getResult(0)] = std::move(*result);
      done = result;
    }
    if (failed(done))
      return failure();
  }
  return success();
}

LogicalResult Interpreter::runCall(func::CallOp op) {
  auto func = symbols.lookup<func::FuncOp>(op.getCallee());
  if (!func || func.isExternal() || !func.getBody().hasOneBlock())
    return op.emitOpError("expected to call a function of one block");
  // Recursion has no end: there are no branches.
  if (++callDepth > 8)
    return op.emitOpError("calls are nested too deeply");
  Block &body = func.getBody().front();
  for (auto [arg, value] :
       llvm::zip_equal(body.getArguments(), read(op.getOperands())))
    values[arg] = value;
  if (failed(runBlock(body)))
    return failure();
  for (auto [result, value] : llvm::zip_equal(
           op.getResults(), read(body.getTerminator()->getOperands())))
    values[result] = value;
  --callDepth;
  return success();
}

LogicalResult Interpreter::readParameter(GetParamOp op) {
  auto it = parameters.find(op.getParam());
  if (it == parameters.end())
    return op.emitOpError("unknown parameter: ") << op.getParam();
  auto type = cast<RankedTensorType>(op.getType());
  Tensor value = it->second.type.getRank() == type.getRank()
                     ? it->second
                     : takeLayer(it->second, loop.layer);
  value.type = type;
  value.round();
  values[op.getResult()] = std::move(value);
  return success();
}

LogicalResult Interpreter::runLayers(LayersOp op) {
  Tensors carried = read(op.getCarried()), slices = read(op.getSlices());
  Tensors states = read(op.getStates()), stacked;
  for (Value result : op.getStackedResults())
    stacked.emplace_back(cast<RankedTensorType>(result.getType()));
  auto yield = cast<YieldOp>(op.getBlock().getTerminator());
  int64_t count = op.getCount(), begin = op.getBegin();
  LoopPosition outer = loop;

  for (int64_t i = 0; i < count; ++i) {
    int64_t index = op.getReverse() ? count - 1 - i : i;
    loop = {begin + index, i};
    for (auto [arg, value] : llvm::zip_equal(op.getCarriedArgs(), carried))
      values[arg] = value;
    for (auto [arg, value] : llvm::zip_equal(op.getSliceArgs(), slices))
      values[arg] = takeLayer(value, index);
    for (auto [arg, value] : llvm::zip_equal(op.getStateArgs(), states))
      values[arg] = takeLayer(value, index);
    if (failed(runBlock(op.getBlock())))
      return failure();
    carried = read(yield.getCarried());
    for (auto [stack, value] : llvm::zip_equal(stacked, yield.getStacked()))
      putLayer(stack, index, values.at(value));
    for (auto [stack, value] : llvm::zip_equal(states, yield.getStates()))
      putLayer(stack, index, values.at(value));
  }
  loop = outer;
  for (auto [result, value] : llvm::zip_equal(op.getCarriedResults(), carried))
    values[result] = value;
  for (auto [result, value] : llvm::zip_equal(op.getStackedResults(), stacked))
    values[result] = value;
  for (auto [result, value] : llvm::zip_equal(op.getStateResults(), states))
    values[result] = value;
  return success();
}

LogicalResult Interpreter::runLaunch(kernel::LaunchOp op) {
  auto func = symbols.lookup<kernel::FuncOp>(op.getCallee());
  if (!func)
    return op.emitOpError("unknown kernel: ") << op.getCallee();
  Block &body = func.getBody().front();
  for (auto [arg, operand] :
       llvm::zip_equal(body.getArguments(), op.getOperands()))
    values[arg] =
        reshape(values.at(operand), cast<RankedTensorType>(arg.getType()));
  if (failed(runBlock(body)))
    return failure();
  for (auto [result, value] :
       llvm::zip_equal(op.getResults(), body.getTerminator()->getOperands()))
    values[result] =
        reshape(values.at(value), cast<RankedTensorType>(result.getType()));
  if (observer)
    return observer->observe(op, func, loop, read(op.getOperands()),
                             read(op.getResults()));
  return success();
}
