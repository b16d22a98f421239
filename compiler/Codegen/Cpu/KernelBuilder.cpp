//===- KernelBuilder.cpp - Builds the tasks of kernels --------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/KernelBuilder.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

//===----------------------------------------------------------------------===//
// Frame
//===----------------------------------------------------------------------===//

KernelBuilder::KernelBuilder(kernel::FuncOp kernel, int64_t index,
                             const CpuTarget &target, ModuleOp module)
    : ElementBuilder(module.getContext(), kernel.getLoc()), target(target) {
  b.setInsertionPointToEnd(module.getBody());
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  Type integer = b.getI64Type();
  std::string name =
      (kernel.getSymName() + "$" + Twine(index)).str() + target.symbolSuffix;
  func = func::FuncOp::create(
      b, loc, name,
      b.getFunctionType({pointer, integer, integer, pointer}, {}));
  beginBody();
  unsigned slot = 0;
  auto next = [&](Type type) {
    return load(type, func.getArgument(0), i64(slot++));
  };
  for (unsigned i = 0, e = kernel.getNumArguments(); i != e; ++i)
    arguments.push_back(next(pointer));
  for (unsigned i = 0, e = kernel.getNumResults(); i != e; ++i)
    results.push_back(next(pointer));
  workspacePointer = next(pointer);
  batchSize = next(integer);
  sequenceSize = next(integer);
  rowCount = next(integer);
}

KernelBuilder::KernelBuilder(func::FuncOp helper, const CpuTarget &target)
    : ElementBuilder(helper.getContext(), helper.getLoc()), target(target),
      func(helper) {
  beginBody();
}

void KernelBuilder::beginBody() {
  // Names without an "llvm." prefix: these survive convert-func-to-llvm.
  func->setAttr("target_cpu", b.getStringAttr(target.cpu()));
  func->setAttr("target_features",
                LLVM::TargetFeaturesAttr::get(b.getContext(),
                                              ArrayRef(target.features())));
  func->setAttr("prefer_vector_width", b.getStringAttr(target.vectorWidth()));

  b.setInsertionPointToEnd(func.addEntryBlock());
  b.setInsertionPoint(func::ReturnOp::create(b, loc));
}

Value KernelBuilder::alloca(int64_t bytes) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&func.getBody().front());
  return LLVM::AllocaOp::create(b, loc,
                                LLVM::LLVMPointerType::get(b.getContext()),
                                b.getI8Type(), i64(bytes), /*alignment=*/64);
}

Operation *KernelBuilder::tableScope() {
  return func->getParentOfType<ModuleOp>();
}

//===----------------------------------------------------------------------===//
// Instructions of levels
//===----------------------------------------------------------------------===//

Value KernelBuilder::narrow(Value value, Type element) {
  // Without the instruction, truncf is a library call for every element.
  if (!element.isBF16() || !target.avx512bf16 || elementType(value) == element)
    return ElementBuilder::narrow(value, element);
  return arith::TruncFOp::create(b, loc, typeLike(element, value.getType()),
                                 value);
}

Value KernelBuilder::scaleByPowerOfTwo(Value p, Value n) {
  if (!isFullVector(p))
    return ElementBuilder::scaleByPowerOfTwo(p, n);
  return intrinsic("llvm.x86.avx512.mask.scalef.ps.512", p.getType(),
                   {p, n, p, constant(b.getI16Type(), -1), i32(4)});
}

Value KernelBuilder::sigmoid(Value x) {
  if (!isFullVector(x))
    return ElementBuilder::sigmoid(x);
  Value one = constantLike(x, 1);
  Value sum = add(one, exp(neg(x)));
  // An estimate of 14 bits and one step of Newton's: the divider would take as
  // long as all the rest.
  Value guess = intrinsic("llvm.x86.avx512.rcp14.ps.512", x.getType(),
                          {sum, one, constant(b.getI16Type(), -1)});
  Value error = fma(neg(sum), guess, one);
  Value result = fma(guess, error, guess);
  // Where the step would multiply zero by infinity.
  Value isHuge = cmpF(arith::CmpFPredicate::OGE, sum, constantLike(x, 0x1p126));
  return select(isHuge, constantLike(x, 0), result);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value KernelBuilder::maskedLoad(VectorType type, Value pointer, Value offset,
                                Value mask) {
  // Masked accesses of bf16 become calls of libgcc element by element; those
  // of i16 do not.
  if (type.getElementType().isBF16()) {
    VectorType bits = vectorType(b.getI16Type(), type.getNumElements());
    return bitcast(maskedLoad(bits, pointer, offset, mask), b.getBF16Type());
  }
  pointer = pointerAt(pointer, type.getElementType(), offset);
  Value zero = constant(type, 0);
  return LLVM::MaskedLoadOp::create(b, loc, type, pointer, mask, zero,
                                    b.getI32IntegerAttr(elementBytes(type)),
                                    UnitAttr());
}

void KernelBuilder::maskedStore(Value value, Value pointer, Value offset,
                                Value mask) {
  if (elementType(value).isBF16())
    value = bitcast(value, b.getI16Type());
  pointer = pointerAt(pointer, elementType(value), offset);
  LLVM::MaskedStoreOp::create(
      b, loc, value, pointer, mask,
      b.getI32IntegerAttr(elementBytes(value.getType())));
}

Value KernelBuilder::tailMask(Value count, int64_t lanes) {
  // LLVM 22 turns a store of 16-bit lanes that were just truncated, under a
  // constant mask of one lane, into a store of 32 bits. Without a conversion
  // instruction for bf16 such stores occur: keep these masks unknown to it.
  if (target.level == CpuTarget::V4 && !target.avx512bf16)
    count = LLVM::InlineAsmOp::create(
                b, loc, count.getType(), count, /*asm_string=*/"",
                /*constraints=*/"=r,0", /*has_side_effects=*/false,
                /*is_align_stack=*/false, LLVM::TailCallKind::None,
                LLVM::AsmDialectAttr(), ArrayAttr())
                .getResult(0);
  Value low =
      arith::TruncIOp::create(b, loc, b.getI32Type(), minI(count, i64(lanes)));
  return cmpI(arith::CmpIPredicate::slt, laneNumbers(lanes), splat(low, lanes));
}

Value KernelBuilder::maskedLoadF32(Type element, int64_t lanes, Value pointer,
                                   Value offset, Value mask) {
  return widen(maskedLoad(vectorType(element, lanes), pointer, offset, mask));
}

void KernelBuilder::maskedStoreF32(Value value, Type element, Value pointer,
                                   Value offset, Value mask) {
  maskedStore(narrow(value, element), pointer, offset, mask);
}

void KernelBuilder::copy(Value to, Value from, Value bytes) {
  LLVM::MemcpyOp::create(b, loc, to, from, bytes, /*isVolatile=*/false);
}

int64_t cpu::grainFor(int64_t bytesPerUnit) {
  return std::max<int64_t>(1, (32 << 10) / std::max<int64_t>(1, bytesPerUnit));
}
