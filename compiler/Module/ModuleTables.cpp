//===- ModuleTables.cpp - What the loader sees of a module ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/ModuleTables.h"

#include "runtime/abi/qwen_module.h"
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
    return ConstantStruct::getAnon(
        {addString(variant.target), addString(variant.level),
         addPointers(entries, "entries"), ConstantInt::get(word, 0),
         ConstantInt::get(word, 0), ConstantPointerNull::get(pointer),
         ConstantPointerNull::get(pointer)});
  }

  /// qrt_module
  Constant *moduleTable(ArrayRef<qwen::ModuleVariant> variants) {
    SmallVector<Constant *> rows;
    for (const qwen::ModuleVariant &each : variants)
      rows.push_back(variant(each));
    auto *rowsType = ArrayType::get(rows.front()->getType(), rows.size());
    auto number = [&](uint64_t value) { return ConstantInt::get(word, value); };
    return addConstant(
        ConstantStruct::getAnon(
            {number(QRT_ABI_VERSION), number(variants.size()),
             number(variants.front().entries.size()), number(0),
             addConstant(ConstantArray::get(rowsType, rows), "variants")}),
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
