//===- LibraryProduct.cpp - Products that a library may do ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/LibraryProduct.h"

#include "compiler/Codegen/ElementBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using codegen::ContractForm;
using codegen::WeightForm;

/// What the library's fast kernels need of matrices and their rows.
static constexpr int64_t kRowAlignment = 16;
/// What cuBLASLt's kernels for Hopper are given by default.
static constexpr int64_t kMaxWorkspace = int64_t(32) << 20;
/// Partial results that split sums may leave there, of small products.
static constexpr int64_t kMaxPartials = 16;
/// The runtime aligns the library's workspace itself.
static constexpr int64_t kWorkspaceAlignment = 256;

/// The kernel's argument that `value` is, or widens to f32; else null.
static BlockArgument storedArgument(Value value) {
  if (auto widened = value.getDefiningOp<arith::ExtFOp>())
    value = widened.getIn();
  return dyn_cast<BlockArgument>(value);
}

static bool isAligned(int64_t columns, Type element) {
  return columns * codegen::elementBytes(element) % kRowAlignment == 0;
}

/// Adds `other` to what the library does; false if it cannot.
static bool addOperand(LibraryProduct &product, Value other) {
  // The order of two sums would be the library's.
  if (product.addend || product.bias)
    return false;
  if (BlockArgument argument = storedArgument(other)) {
    auto type = cast<RankedTensorType>(argument.getType());
    auto sum = cast<RankedTensorType>(product.value.getType());
    if (type.getShape() != sum.getShape())
      return false;
    product.addend = argument;
    return true;
  }
  auto broadcast = other.getDefiningOp<kernel::BroadcastOp>();
  if (!broadcast || broadcast.getDims().size() != 1 ||
      broadcast.getDims()[0] != 1)
    return false;
  product.bias = storedArgument(broadcast.getOperand());
  return product.bias &&
         cast<RankedTensorType>(product.bias.getType()).getDimSize(0) ==
             cast<RankedTensorType>(product.value.getType()).getDimSize(1);
}

/// The result whose memory can take the value, or -1.
static int findMemory(const ContractForm &form, const LibraryProduct &product) {
  kernel::FuncOp fn = form.fn;
  kernel::ReturnOp results = form.results;
  int found = -1;
  for (auto [i, operand] : llvm::enumerate(results.getOperands())) {
    if (operand.getType() != product.value.getType())
      continue;
    int inplace = fn.getInplaceArgument(i);
    if (operand == product.value) {
      // Nothing else may read the old number.
      if (inplace < 0 ||
          (product.addend && inplace == int(product.addend.getArgNumber()) &&
           product.addend.hasOneUse()))
        return i;
    } else if (inplace < 0 && found < 0) {
      found = i;
    }
  }
  return found;
}

/// Whether the library can give `product` as it is.
static bool isExact(const ContractForm &form, LibraryProduct &product) {
  Type element = getElementTypeOrSelf(product.value.getType());
  for (BlockArgument operand : {product.addend, product.bias})
    if (operand && getElementTypeOrSelf(operand.getType()) != element)
      return false;
  if (!element.isF32() && !(element.isBF16() && form.lhsElement.isBF16()))
    return false;
  int memory = findMemory(form, product);
  product.result = memory;
  return memory >= 0 && isAligned(form.n, element);
}

std::optional<LibraryProduct>
nvidia::findLibraryProduct(const ContractForm &form) {
  if (form.weights != WeightForm::Plain || form.lhsElement != form.rhsElement ||
      !isAligned(form.lhsColumns(), form.lhsElement) ||
      !isAligned(form.rhsColumns(), form.rhsElement))
    return std::nullopt;
  kernel::ContractOp contract = form.product;
  LibraryProduct product{contract.getResult(), 0, {}, {}};
  std::optional<LibraryProduct> best;
  while (true) {
    if (isExact(form, product))
      best = product;
    // Behind its one rounding the library is done.
    bool isRounded = product.value.getDefiningOp<arith::TruncFOp>() != nullptr;
    if (isRounded || !product.value.hasOneUse())
      return best;
    Operation *user = *product.value.user_begin();
    if (auto sum = dyn_cast<arith::AddFOp>(user)) {
      bool isLeft = sum.getLhs() == product.value;
      if (!addOperand(product, isLeft ? sum.getRhs() : sum.getLhs()))
        return best;
    } else if (!isa<arith::TruncFOp>(user)) {
      return best;
    }
    product.value = user->getResult(0);
  }
}

qrt_product nvidia::describeLibraryProduct(const ContractForm &form,
                                           const LibraryProduct &product) {
  kernel::FuncOp fn = form.fn;
  using Layout = ContractForm::Layout;
  // Parameters of a kernel: arguments, results that are not in place, and the
  // workspace.
  int32_t next = fn.getNumArguments(), result = 0;
  for (unsigned i = 0; i < fn.getNumResults(); ++i) {
    int32_t inplace = fn.getInplaceArgument(i);
    int32_t number = inplace >= 0 ? inplace : next++;
    if (i == product.result)
      result = number;
  }
  auto numberOf = [](BlockArgument argument) {
    return argument ? static_cast<int32_t>(argument.getArgNumber()) : -1;
  };
  auto size = [](int64_t extent) {
    return ShapedType::isDynamic(extent) ? 0 : extent;
  };
  auto dtype = [](Type element) {
    return element.isBF16() ? QRT_BF16 : QRT_F32;
  };
  qrt_product call{};
  call.operand_dtype = dtype(form.lhsElement);
  call.result_dtype = dtype(getElementTypeOrSelf(product.value.getType()));
  call.left_transposed = form.layout == Layout::TN;
  call.right_transposed = form.layout == Layout::NT;
  call.left = numberOf(form.lhs);
  call.right = numberOf(form.rhs);
  call.addend = numberOf(product.addend);
  call.bias = numberOf(product.bias);
  call.result = result;
  call.workspace = next;
  call.m = size(form.m);
  call.n = size(form.n);
  call.k = size(form.k);
  call.workspace_bytes = fn.getWorkspace().value_or(0);
  return call;
}

void nvidia::chooseImplementation(kernel::FuncOp kernel) {
  if (kernel.getRoot() != kernel::Root::Contract || kernel->hasAttr(kImplAttr))
    return;
  FailureOr<ContractForm> form = ContractForm::of(kernel);
  bool isLibrary = succeeded(form) && findLibraryProduct(*form);
  kernel->setAttr(
      kImplAttr,
      StringAttr::get(kernel.getContext(), isLibrary ? kLibrary : kGenerated));
}

bool nvidia::usesLibrary(kernel::FuncOp kernel) {
  auto impl = kernel->getAttrOfType<StringAttr>(kImplAttr);
  return impl && impl.getValue() == kLibrary;
}

int64_t nvidia::libraryWorkspaceBytes(const ContractForm &form,
                                      int64_t maxRows) {
  int64_t rows = form.rowsOfResult() ? maxRows : form.m;
  int64_t result = rows * form.n * int64_t(sizeof(float));
  return std::min(kMaxWorkspace, kMaxPartials * result) + kWorkspaceAlignment;
}
