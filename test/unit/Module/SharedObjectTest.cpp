//===- SharedObjectTest.cpp - From MLIR text to a loaded module -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Module/SharedObject.h"

#include <dlfcn.h>

#include <vector>

#include "compiler/Module/LowerToLLVM.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "gtest/gtest.h"

#include "runtime/abi/qwen_module.h"

using namespace qwen;
using llvm::Expected;
using llvm::StringRef;

namespace {

// An entry that scales a vector by two in a task, run by the caller's
// parallel_for; slot 0 in, slot 1 out, extent 0 its size in units of 16.
constexpr char kScaleModule[] = R"mlir(
llvm.mlir.global private constant @name("scale\00")
func.func @scale$0(%args: !llvm.ptr, %begin: i64, %end: i64, %scratch: !llvm.ptr)
    attributes {target_cpu = "x86-64-v3", target_features = #llvm.target_features<["+avx2", "+fma"]>} {
  %in = llvm.load %args : !llvm.ptr -> !llvm.ptr
  %slot = llvm.getelementptr %args[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  %out = llvm.load %slot : !llvm.ptr -> !llvm.ptr
  %c16 = arith.constant 16 : i64
  %c1 = arith.constant 1 : i64
  %two = arith.constant dense<2.0> : vector<16xf32>
  scf.for %unit = %begin to %end step %c1 : i64 {
    %offset = arith.muli %unit, %c16 : i64
    %from = llvm.getelementptr %in[%offset] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %to = llvm.getelementptr %out[%offset] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %x = llvm.load %from {alignment = 4 : i64} : !llvm.ptr -> vector<16xf32>
    %y = arith.mulf %x, %two : vector<16xf32>
    llvm.store %y, %to {alignment = 4 : i64} : vector<16xf32>, !llvm.ptr
  }
  return
}
func.func @entry(%ctx: !llvm.ptr, %call: !llvm.ptr) -> i32 {
  %zero = arith.constant 0 : i32
  %c1 = arith.constant 1 : i64
  %name = llvm.mlir.addressof @name : !llvm.ptr
  %task = func.constant @scale$0 : (!llvm.ptr, i64, i64, !llvm.ptr) -> ()
  %taskPtr = builtin.unrealized_conversion_cast %task : (!llvm.ptr, i64, i64, !llvm.ptr) -> () to !llvm.ptr
  %api = llvm.load %ctx : !llvm.ptr -> !llvm.ptr
  %field = llvm.getelementptr %api[0, 2] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(i32, i32, ptr, ptr)>
  %parallelFor = llvm.load %field : !llvm.ptr -> !llvm.ptr
  %args = llvm.load %call : !llvm.ptr -> !llvm.ptr
  %extentsField = llvm.getelementptr %call[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
  %extents = llvm.load %extentsField : !llvm.ptr -> !llvm.ptr
  %n = llvm.load %extents : !llvm.ptr -> i64
  llvm.call %parallelFor(%ctx, %name, %taskPtr, %args, %n, %c1)
      : !llvm.ptr, (!llvm.ptr, !llvm.ptr, !llvm.ptr, !llvm.ptr, i64, i64) -> ()
  return %zero : i32
}
)mlir";

class SharedObject : public ::testing::Test {
protected:
  SharedObject() {
    mlir::DialectRegistry registry;
    registerCodegenDialects(registry);
    context.appendDialectRegistry(registry);
    llvm::sys::fs::createUniqueDirectory("qwen-module-test", folder);
  }
  ~SharedObject() override { llvm::sys::fs::remove_directories(folder); }

  mlir::OwningOpRef<mlir::ModuleOp> parse(StringRef text) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module);
    return module;
  }

  std::vector<ObjectBytes> emit(StringRef text, unsigned threads = 1) {
    auto module = parse(text);
    Expected<std::vector<ObjectBytes>> objects = emitObjects(*module, threads);
    if (!objects) {
      ADD_FAILURE() << llvm::toString(objects.takeError());
      return {};
    }
    return std::move(*objects);
  }

  std::string path(StringRef name) {
    llvm::SmallString<128> result(folder);
    llvm::sys::path::append(result, name);
    return result.str().str();
  }

  std::string read(const std::string &file) {
    auto buffer = llvm::MemoryBuffer::getFile(file);
    EXPECT_TRUE(bool(buffer));
    return (*buffer)->getBuffer().str();
  }

  mlir::MLIRContext context;
  llvm::SmallString<128> folder;
};

struct Recorder {
  qrt_ctx ctx;
  std::string name;
  int64_t n = 0;
};

void serialFor(qrt_ctx *ctx, const char *name, qrt_task task, void *args,
               int64_t n, int64_t grain) {
  auto *recorder = reinterpret_cast<Recorder *>(ctx);
  recorder->name = name;
  recorder->n = n;
  for (int64_t i = 0; i < n; i += grain)
    task(args, i, std::min(n, i + grain), nullptr);
}

TEST_F(SharedObject, LoadsAndRuns) {
  if (!__builtin_cpu_supports("avx2"))
    GTEST_SKIP() << "needs AVX2";
  ASSERT_EQ(llvm::toString(writeModule(emit(kScaleModule),
                                       {{"cpu", "x86-64-v3", {"entry"}}},
                                       "{\"format\": 1}", path("model.so"))),
            "");
  void *library = dlopen(path("model.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto query = reinterpret_cast<qrt_query>(dlsym(library, QRT_QUERY_SYMBOL));
  ASSERT_NE(query, nullptr);
  EXPECT_EQ(query(0), nullptr);
  const qrt_module *module = query(QRT_ABI_VERSION);
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->abi_version, QRT_ABI_VERSION);
  ASSERT_EQ(module->num_variants, 1u);
  ASSERT_EQ(module->num_entries, 1u);
  EXPECT_STREQ(module->variants[0].target, "cpu");
  EXPECT_STREQ(module->variants[0].level, "x86-64-v3");

  qrt_api api = {QRT_ABI_VERSION, 0,       serialFor, nullptr,
                 nullptr,         nullptr, nullptr};
  Recorder recorder;
  recorder.ctx.api = &api;
  std::vector<float> in(48), out(48);
  for (size_t i = 0; i < in.size(); ++i)
    in[i] = float(i) - 7;
  void *args[] = {in.data(), out.data()};
  int64_t extents[] = {3};
  qrt_call call = {args, extents, nullptr};
  EXPECT_EQ(module->variants[0].entries[0](&recorder.ctx, &call), 0);
  EXPECT_EQ(recorder.name, "scale");
  EXPECT_EQ(recorder.n, 3);
  for (size_t i = 0; i < in.size(); ++i)
    EXPECT_EQ(out[i], 2 * in[i]);
  dlclose(library);
}

TEST_F(SharedObject, ExportsOnlyTheQueryAndHoldsTheManifest) {
  ASSERT_EQ(llvm::toString(writeModule(emit(kScaleModule),
                                       {{"cpu", "x86-64-v3", {"entry"}}},
                                       "{\"format\": 1}", path("model.so"))),
            "");
  std::string bytes = read(path("model.so"));
  auto object = llvm::object::ObjectFile::createELFObjectFile(
      llvm::MemoryBufferRef(bytes, "model.so"));
  ASSERT_TRUE(bool(object));
  auto *elf = llvm::cast<llvm::object::ELFObjectFileBase>(object->get());
  std::vector<std::string> exported;
  for (auto symbol : elf->getDynamicSymbolIterators())
    if (!(llvm::cantFail(symbol.getFlags()) &
          llvm::object::SymbolRef::SF_Undefined))
      exported.push_back(llvm::cantFail(symbol.getName()).str());
  EXPECT_EQ(exported, std::vector<std::string>{QRT_QUERY_SYMBOL});
  bool found = false;
  for (auto section : elf->sections())
    if (llvm::cantFail(section.getName()) == QRT_MANIFEST_SECTION) {
      found = true;
      EXPECT_EQ(llvm::cantFail(section.getContents()), "{\"format\": 1}");
    }
  EXPECT_TRUE(found);
  // Nothing of this machine, no unwind tables, no build id.
  EXPECT_EQ(bytes.find(folder.str().str()), std::string::npos);
  EXPECT_EQ(bytes.find(".note.gnu.build-id"), std::string::npos);
}

// Many functions that call each other across the parts.
std::string chain(unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i) {
    std::string id = std::to_string(i), next = std::to_string(i + 1);
    text += "func.func @f" + id + "(%x: f32) -> f32 {\n %c = arith.constant " +
            id + ".0 : f32\n" + " %s = arith.addf %x, %c : f32\n";
    if (i + 1 < count)
      text += " %r = func.call @f" + next + "(%s) : (f32) -> f32\n" +
              " return %r : f32\n}\n";
    else
      text += " return %s : f32\n}\n";
  }
  text += R"(func.func @entry(%ctx: !llvm.ptr, %call: !llvm.ptr) -> i32 {
    %zero = arith.constant 0.0 : f32
    %r = func.call @f0(%zero) : (f32) -> f32
    %i = arith.fptosi %r : f32 to i32
    return %i : i32
  })";
  return text;
}

TEST_F(SharedObject, PartsAndThreadsGiveTheSameBytes) {
  std::string text = chain(100);
  std::string first;
  for (unsigned threads : {1u, 2u, 3u, 1u}) {
    std::vector<ObjectBytes> objects = emit(text, threads);
    EXPECT_GT(objects.size(), 2u);
    std::string file = path("model.so");
    ASSERT_EQ(llvm::toString(writeModule(std::move(objects),
                                         {{"cpu", "x86-64-v3", {"entry"}}},
                                         "{}", file)),
              "");
    if (first.empty())
      first = read(file);
    else
      EXPECT_EQ(read(file), first);
  }
  void *library = dlopen(path("model.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto query = reinterpret_cast<qrt_query>(dlsym(library, QRT_QUERY_SYMBOL));
  EXPECT_EQ(query(QRT_ABI_VERSION)->variants[0].entries[0](nullptr, nullptr),
            99 * 50);
  dlclose(library);
}

TEST_F(SharedObject, RefusesUnknownSymbols) {
  std::vector<ObjectBytes> objects = emit(R"(
    func.func private @malloc(i64) -> !llvm.ptr
    func.func private @expf(f32) -> f32
    func.func @entry(%ctx: !llvm.ptr, %call: !llvm.ptr) -> i32 {
      %n = arith.constant 8 : i64
      %p = func.call @malloc(%n) : (i64) -> !llvm.ptr
      %x = llvm.load volatile %p : !llvm.ptr -> f32
      %y = func.call @expf(%x) : (f32) -> f32
      %i = arith.fptosi %y : f32 to i32
      return %i : i32
    })");
  std::string message = llvm::toString(writeModule(
      objects, {{"cpu", "x86-64-v3", {"entry"}}}, "{}", path("model.so")));
  EXPECT_EQ(message, "compiler bug: generated code calls what is not there: "
                     "malloc [Q2900]");
  EXPECT_FALSE(llvm::sys::fs::exists(path("model.so")));
  message = llvm::toString(writeModule(
      emit(kScaleModule), {{"cpu", "x86-64-v3", {"entry", "other"}}}, "{}",
      path("model.so")));
  EXPECT_EQ(message, "compiler bug: generated code calls what is not there: "
                     "other [Q2900]");
}

TEST_F(SharedObject, LeavesNothingBehindOnFailure) {
  std::vector<ObjectBytes> objects(1);
  StringRef junk = "not an object";
  objects[0].append(junk.begin(), junk.end());
  std::string file = path("model.so");
  std::string message = llvm::toString(linkSharedObject(objects, file));
  EXPECT_NE(message.find("the linker failed"), std::string::npos) << message;
  std::error_code error;
  llvm::sys::fs::directory_iterator it(folder, error), end;
  EXPECT_EQ(it, end);
}

// Each function has its own instruction set, whatever the machine.
TEST_F(SharedObject, FeaturesOfEachFunction) {
  constexpr char text[] = R"mlir(
    func.func @narrow(%p: !llvm.ptr) attributes {target_cpu = "x86-64-v3"} {
      %x = llvm.load %p {alignment = 4 : i64} : !llvm.ptr -> vector<16xf32>
      %y = arith.addf %x, %x : vector<16xf32>
      llvm.store %y, %p {alignment = 4 : i64} : vector<16xf32>, !llvm.ptr
      return
    }
    func.func @wide(%p: !llvm.ptr) attributes {target_cpu = "x86-64-v4",
        prefer_vector_width = "512"} {
      %x = llvm.load %p {alignment = 4 : i64} : !llvm.ptr -> vector<16xf32>
      %y = arith.addf %x, %x : vector<16xf32>
      llvm.store %y, %p {alignment = 4 : i64} : vector<16xf32>, !llvm.ptr
      return
    })mlir";
  ObjectBytes object = emit(text).front();
  auto file = llvm::cantFail(llvm::object::ObjectFile::createObjectFile(
      llvm::MemoryBufferRef(StringRef(object.data(), object.size()), "o")));
  // AVX-512 instructions begin with the EVEX byte 0x62; AVX2 ones with 0xc4
  // or 0xc5.
  for (auto symbol : file->symbols()) {
    StringRef name = llvm::cantFail(symbol.getName());
    if (name != "narrow" && name != "wide")
      continue;
    auto section = llvm::cantFail(symbol.getSection());
    StringRef code = llvm::cantFail(section->getContents());
    size_t begin = llvm::cantFail(symbol.getAddress());
    EXPECT_EQ(code[begin] == '\x62', name == "wide") << name.str();
  }
}

} // namespace
