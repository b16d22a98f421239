//===- ModuleTables.cpp - What the loader sees of a module ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/ModuleTables.h"

#include "compiler/Codegen/ProductTable.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"

using namespace llvm;

namespace {
/// Builds constants that mirror the structs of the ABI header. Their layout is
/// C's, since every field has its natural alignment in an unpacked struct.
class TableBuilder {
public:
  explicit TableBuilder(Module &module)
      : module(module), context(module.getContext()),
        pointer(PointerType::getUnqual(context)),
        word(Type::getInt32Ty(context)) {}

  GlobalVariable *addConstant(Constant *value, StringRef name) {
    auto *variable = new GlobalVariable(
        module, value->getType(),
        /*isConstant=*/true, GlobalValue::PrivateLinkage, value, name);
    variable->setUnnamedAddr(GlobalValue::UnnamedAddr::Global);
    return variable;
  }

  Constant *addString(StringRef text) {
    return addConstant(ConstantDataArray::getString(context, text), "string");
  }

  Constant *addPointers(ArrayRef<Constant *> pointers, StringRef name) {
    return addConstant(
        ConstantArray::get(ArrayType::get(pointer, pointers.size()), pointers),
        name);
  }

  Constant *number(uint64_t value) { return ConstantInt::get(word, value); }

  /// An array of structs; null if there are none.
  Constant *addRows(ArrayRef<Constant *> rows, StringRef name) {
    if (rows.empty())
      return ConstantPointerNull::get(pointer);
    return addConstant(
        ConstantArray::get(ArrayType::get(rows.front()->getType(), rows.size()),
                           rows),
        name);
  }

  /// qrt_variant
  Constant *variant(const qwen::ModuleVariant &variant) {
    auto *type = FunctionType::get(word, {pointer, pointer}, false);
    SmallVector<Constant *> entries;
    for (const std::string &symbol : variant.entries) {
      auto *function =
          cast<Function>(module.getOrInsertFunction(symbol, type).getCallee());
      function->setVisibility(GlobalValue::HiddenVisibility);
      entries.push_back(function);
    }
    SmallVector<Constant *> kernels, images, products;
    for (const qwen::ModuleKernel &each : variant.kernels)
      kernels.push_back(kernel(each));
    for (const qwen::ModuleImage &each : variant.images)
      images.push_back(image(each));
    for (const qrt_product &each : variant.products)
      products.push_back(product(each));
    return ConstantStruct::getAnon(
        {addString(variant.target), addString(variant.level),
         addPointers(entries, "entries"), number(kernels.size()),
         number(images.size()), addRows(kernels, "kernels"),
         addRows(images, "images"), addRows(products, "products"),
         number(products.size()), number(0)});
  }

  Constant *product(const qrt_product &product) {
    SmallVector<Constant *> fields;
    qwen::visitFields(product, [&](StringRef, auto field) {
      auto *type = Type::getIntNTy(context, 8 * sizeof field);
      fields.push_back(
          ConstantInt::getSigned(type, static_cast<int64_t>(field)));
    });
    return ConstantStruct::getAnon(fields);
  }

  /// qrt_kernel
  Constant *kernel(const qwen::ModuleKernel &kernel) {
    Constant *thread = ConstantPointerNull::get(pointer);
    if (!kernel.thread.empty()) {
      auto *type = FunctionType::get(Type::getVoidTy(context),
                                     {pointer, pointer}, false);
      auto *function = cast<Function>(
          module.getOrInsertFunction(kernel.thread, type).getCallee());
      function->setVisibility(GlobalValue::HiddenVisibility);
      thread = function;
    }
    auto *block = ConstantDataArray::get(
        context, ArrayRef<uint32_t>{kernel.threads, 1, 1});
    return ConstantStruct::getAnon({addString(kernel.name), block,
                                    number(kernel.sharedBytes),
                                    number(kernel.params), number(0), thread});
  }

  /// qrt_image
  Constant *image(const qwen::ModuleImage &image) {
    bool isText = image.kind == QRT_PTX;
    auto *bytes = cast<GlobalVariable>(addConstant(
        ConstantDataArray::getString(context, image.bytes, isText), "image"));
    bytes->setAlignment(Align(64));
    auto *size = ConstantInt::get(Type::getInt64Ty(context),
                                  image.bytes.size() + isText);
    return ConstantStruct::getAnon({number(image.kind), number(image.arch),
                                    number(image.archSpecific), number(0),
                                    bytes, size});
  }

  /// qrt_module
  Constant *moduleTable(ArrayRef<qwen::ModuleVariant> variants) {
    SmallVector<Constant *> rows;
    for (const qwen::ModuleVariant &each : variants)
      rows.push_back(variant(each));
    return addConstant(ConstantStruct::getAnon(
                           {number(QRT_ABI_VERSION), number(variants.size()),
                            number(variants.front().entries.size()), number(0),
                            addRows(rows, "variants")}),
                       "module");
  }

  /// const qrt_module *qwen_module_query(uint32_t max_version)
  void addQuery(Constant *table) {
    auto *query = Function::Create(FunctionType::get(pointer, {word}, false),
                                   GlobalValue::ExternalLinkage,
                                   QRT_QUERY_SYMBOL, module);
    IRBuilder<> builder(BasicBlock::Create(context, "", query));
    Value *isOld = builder.CreateICmpULT(
        query->getArg(0), ConstantInt::get(word, QRT_ABI_VERSION));
    builder.CreateRet(
        builder.CreateSelect(isOld, ConstantPointerNull::get(pointer), table));
  }

  void addManifest(StringRef text) {
    auto *variable = new GlobalVariable(
        module, ArrayType::get(Type::getInt8Ty(context), text.size()),
        /*isConstant=*/true, GlobalValue::PrivateLinkage,
        ConstantDataArray::getString(context, text, /*AddNull=*/false),
        "manifest");
    variable->setSection(QRT_MANIFEST_SECTION);
    variable->setAlignment(Align(1));
    appendToUsed(module, {variable});
  }

private:
  Module &module;
  LLVMContext &context;
  PointerType *pointer;
  IntegerType *word;
};
} // namespace

Expected<qwen::ObjectBytes>
qwen::emitModuleTables(ArrayRef<ModuleVariant> variants, StringRef manifest) {
  if (variants.empty())
    return createStringError("a module needs code for at least one target");
  for (const ModuleVariant &variant : variants)
    if (variant.entries.size() != variants.front().entries.size())
      return createStringError(
          "variants differ in their entry points: " + variants.front().level +
          " and " + variant.level);
  LLVMContext context;
  Module module("qwen_module", context);
  TableBuilder builder(module);
  builder.addQuery(builder.moduleTable(variants));
  builder.addManifest(manifest);
  return emitLLVMModule(module);
}
