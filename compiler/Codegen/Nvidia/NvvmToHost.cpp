//===- NvvmToHost.cpp - GPU kernels as host functions of one thread -------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What is left of a kernel is ordinary code; what its threads do together goes
// through the table of runtime/abi/qwen_sim.h. Every access to shared memory is
// announced to the runtime, which checks its range and its order.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/abi/qwen_sim.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

namespace qwen {
#define GEN_PASS_DEF_NVVMTOHOST
#include "compiler/Codegen/Passes.h.inc"
} // namespace qwen

using namespace mlir;
using namespace qwen;

/// The address space of shared memory.
static constexpr unsigned kShared = 3;
/// Dynamic shared memory lies behind the static one, at this alignment.
static constexpr int64_t kDynamicAlignment = 128;

static bool isShared(Value value) {
  auto pointer = dyn_cast<LLVM::LLVMPointerType>(value.getType());
  return pointer && pointer.getAddressSpace() == kShared;
}

namespace {

/// The functions of qrt_sim_api that take plain values: results and parameters
/// are i32 or pointers, a void result is 'v'.
struct ApiFunction {
  size_t offset;
  /// 'i', 'p'; the result first. The thread comes before the parameters.
  const char *signature;
};
#define API(field, signature) {offsetof(qrt_sim_api, field), signature}
constexpr ApiFunction kBarrier = API(barrier, "vii");
constexpr ApiFunction kWarpSync = API(warp_sync, "vi");
constexpr ApiFunction kShuffle = API(shuffle, "iiiiiip");
constexpr ApiFunction kVote = API(vote, "iiii");
constexpr ApiFunction kRedux = API(redux, "iiii");
constexpr ApiFunction kAccess = API(access, "vpii");
constexpr ApiFunction kCopyAsync = API(copy_async, "vppii");
constexpr ApiFunction kCopyCommit = API(copy_commit, "v");
constexpr ApiFunction kCopyWait = API(copy_wait, "vi");
constexpr ApiFunction kLoadMatrix = API(load_matrix, "vpiip");
constexpr ApiFunction kMmaBf16 = API(mma_bf16, "vpppp");
#undef API

/// Rewrites one kernel.
class KernelLowering {
public:
  KernelLowering(LLVM::LLVMFuncOp kernel)
      : kernel(kernel), b(kernel.getContext()) {
    ptr = LLVM::LLVMPointerType::get(b.getContext());
    i32 = b.getI32Type();
    f32 = b.getF32Type();
  }
  LogicalResult run();

private:
  void placeSharedMemory();
  void buildFrame();
  /// Replaces `op` by host code; fails with a message at an unknown op.
  LogicalResult lower(Operation *op);
  LogicalResult lowerMemory(Operation *op);
  LogicalResult lowerMma(NVVM::MmaOp op);
  void lowerShuffle(NVVM::ShflOp op);
  void lowerLdMatrix(NVVM::LdMatrixOp op);
  LogicalResult lowerRegister(Operation *op);
  LogicalResult lowerMath(Operation *op, StringRef name, ValueRange operands);
  void lowerTruncate(LLVM::FPTruncOp op);
  void lowerExtend(LLVM::FPExtOp op);

  Value constant(int64_t value) {
    return LLVM::ConstantOp::create(b, loc(), i32, b.getI32IntegerAttr(value));
  }
  Value constantF(double value) {
    return LLVM::ConstantOp::create(b, loc(), f32, b.getF32FloatAttr(value));
  }
  Value at(Value pointer, int64_t bytes) {
    return LLVM::GEPOp::create(
        b, loc(), ptr, b.getI8Type(), pointer,
        ArrayRef<LLVM::GEPArg>{LLVM::GEPArg(static_cast<int32_t>(bytes))});
  }
  Value load(Type type, Value pointer, int64_t bytes) {
    return LLVM::LoadOp::create(b, loc(), type, at(pointer, bytes));
  }
  void store(Value value, Value pointer, int64_t bytes) {
    LLVM::StoreOp::create(b, loc(), value, at(pointer, bytes));
  }
  /// A shared-memory pointer as one of the host.
  Value generic(Value pointer) {
    if (pointer.getType() == ptr)
      return pointer;
    return LLVM::AddrSpaceCastOp::create(b, loc(), ptr, pointer);
  }
  Value asI32(Value value) {
    return value.getType().isF32()
               ? Value(LLVM::BitcastOp::create(b, loc(), i32, value))
               : value;
  }
  Value fromI32(Value value, Type type) {
    return type.isF32() ? Value(LLVM::BitcastOp::create(b, loc(), type, value))
                        : value;
  }
  Value structOf(Type type, ArrayRef<Value> values) {
    Value result = LLVM::PoisonOp::create(b, loc(), type);
    for (auto [i, value] : llvm::enumerate(values))
      result = LLVM::InsertValueOp::create(b, loc(), result, value, i);
    return result;
  }
  Value call(const ApiFunction &function, ArrayRef<Value> operands);
  Location loc() { return location; }
  void replace(Operation *op, Value value) {
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
  }

  LLVM::LLVMFuncOp kernel;
  OpBuilder b;
  Location location = kernel.getLoc();
  Type ptr, i32, f32;
  Value thread, api, shared;
  /// Registers of an operation of the warp: operands and results.
  Value registers;
  llvm::StringMap<int64_t> offsets;
};

struct NvvmToHost : public qwen::impl::NvvmToHostBase<NvvmToHost> {
  void runOnOperation() override;
};

} // namespace

/// Registers in bytes: a and b of mma behind c, which is its result as well.
static constexpr int64_t kC = 0, kA = 16, kB = 32, kRegisterBytes = 40;

Value KernelLowering::call(const ApiFunction &function,
                           ArrayRef<Value> operands) {
  auto typeOf = [&](char kind) -> Type { return kind == 'p' ? ptr : i32; };
  SmallVector<Type> types = {ptr};
  for (char kind : StringRef(function.signature).drop_front())
    types.push_back(typeOf(kind));
  bool isVoid = function.signature[0] == 'v';
  auto type = LLVM::LLVMFunctionType::get(
      isVoid ? Type(LLVM::LLVMVoidType::get(b.getContext())) : i32, types);
  SmallVector<Value> all = {load(ptr, api, function.offset), thread};
  llvm::append_range(all, operands);
  auto made = LLVM::CallOp::create(b, loc(), type, all);
  return isVoid ? Value() : made.getResult();
}

/// Gives every global in shared memory an offset; the one without a size is the
/// dynamic memory.
void KernelLowering::placeSharedMemory() {
  SmallVector<LLVM::GlobalOp> globals;
  kernel.walk([&](LLVM::AddressOfOp op) {
    auto global = SymbolTable::lookupNearestSymbolFrom<LLVM::GlobalOp>(
        op, op.getGlobalNameAttr());
    if (global && global.getAddrSpace() == kShared &&
        !llvm::is_contained(globals, global))
      globals.push_back(global);
  });
  DataLayout layout(kernel->getParentOfType<ModuleOp>());
  int64_t offset = 0;
  for (LLVM::GlobalOp global : globals) {
    int64_t size = layout.getTypeSize(global.getType());
    if (size == 0)
      continue;
    offset = llvm::alignTo(offset, global.getAlignment().value_or(16));
    offsets[global.getSymName()] = offset;
    offset += size;
  }
  if (offset)
    kernel->setAttr(kStaticSharedBytes, b.getI64IntegerAttr(offset));
  for (LLVM::GlobalOp global : globals)
    if (!offsets.count(global.getSymName()))
      offsets[global.getSymName()] = llvm::alignTo(offset, kDynamicAlignment);
}

/// void kernel(const qrt_sim_thread *thread, void *const *params)
void KernelLowering::buildFrame() {
  Block &entry = kernel.getBody().front();
  b.setInsertionPointToStart(&entry);
  unsigned count = entry.getNumArguments();
  thread = entry.addArgument(ptr, location);
  Value params = entry.addArgument(ptr, location);
  api = load(ptr, thread, offsetof(qrt_sim_thread, api));
  shared = load(ptr, thread, offsetof(qrt_sim_thread, shared));
  for (unsigned i = 0; i < count; ++i) {
    Value address = load(ptr, params, i * sizeof(void *));
    entry.getArgument(i).replaceAllUsesWith(LLVM::LoadOp::create(
        b, location, entry.getArgument(i).getType(), address));
  }
  entry.eraseArguments(0, count);
  registers =
      LLVM::AllocaOp::create(b, location, ptr, b.getI8Type(),
                             constant(kRegisterBytes), /*alignment=*/16);
  kernel.setFunctionType(LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, ptr}));
  kernel.removeArgAttrsAttr();
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

/// Loads and stores of shared memory, and pointers to it.
LogicalResult KernelLowering::lowerMemory(Operation *op) {
  DataLayout layout(kernel->getParentOfType<ModuleOp>());
  auto announce = [&](Value address, Type type, qrt_sim_access kind) {
    call(kAccess, {generic(address), constant(layout.getTypeSize(type)),
                   constant(kind)});
    return success();
  };
  if (auto address = dyn_cast<LLVM::AddressOfOp>(op)) {
    Value place = at(shared, offsets.lookup(address.getGlobalName()));
    replace(op, LLVM::AddrSpaceCastOp::create(b, loc(), op->getResultTypes()[0],
                                              place));
    return success();
  }
  if (auto memory = dyn_cast<LLVM::LoadOp>(op))
    return announce(memory.getAddr(), memory.getType(), QRT_SIM_READ);
  if (auto memory = dyn_cast<LLVM::StoreOp>(op)) {
    if (isShared(memory.getValue()))
      return op->emitError("cuda-sim does not store pointers to shared memory");
    return announce(memory.getAddr(), memory.getValue().getType(),
                    QRT_SIM_WRITE);
  }
  if (auto memory = dyn_cast<LLVM::AtomicRMWOp>(op))
    return announce(memory.getPtr(), memory.getVal().getType(), QRT_SIM_ATOMIC);
  if (auto memory = dyn_cast<LLVM::AtomicCmpXchgOp>(op))
    return announce(memory.getPtr(), memory.getVal().getType(), QRT_SIM_ATOMIC);
  if (isa<LLVM::AddrSpaceCastOp>(op))
    return op->emitError("cuda-sim checks accesses to shared memory: there are "
                         "none through generic pointers");
  if (isa<LLVM::GEPOp, LLVM::SelectOp, LLVM::PtrToIntOp, LLVM::ICmpOp,
          LLVM::BrOp, LLVM::CondBrOp>(op))
    return success();
  return op->emitError("cuda-sim does not know this op on shared memory");
}

void KernelLowering::lowerShuffle(NVVM::ShflOp op) {
  static const llvm::SmallDenseMap<NVVM::ShflKind, qrt_sim_shuffle> kinds = {
      {NVVM::ShflKind::bfly, QRT_SIM_SHUFFLE_BFLY},
      {NVVM::ShflKind::up, QRT_SIM_SHUFFLE_UP},
      {NVVM::ShflKind::down, QRT_SIM_SHUFFLE_DOWN},
      {NVVM::ShflKind::idx, QRT_SIM_SHUFFLE_IDX}};
  Type type = op.getVal().getType();
  Value result =
      call(kShuffle, {op.getThreadMask(), asI32(op.getVal()), op.getOffset(),
                      op.getMaskAndClamp(),
                      constant(kinds.lookup(op.getKind())), registers});
  result = fromI32(result, type);
  if (op.getReturnValueAndIsValid()) {
    Value valid =
        LLVM::TruncOp::create(b, loc(), b.getI1Type(), load(i32, registers, 0));
    result = structOf(op.getType(), {result, valid});
  }
  replace(op, result);
}

void KernelLowering::lowerLdMatrix(NVVM::LdMatrixOp op) {
  int64_t count = op.getNum();
  bool transposed = op.getLayout() == NVVM::MMALayout::col;
  call(kLoadMatrix, {generic(op.getPtr()), constant(count),
                     constant(transposed), registers});
  SmallVector<Value> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(load(i32, registers, 4 * i));
  replace(op, count == 1 ? values[0] : structOf(op.getType(), values));
}

LogicalResult KernelLowering::lowerMma(NVVM::MmaOp op) {
  NVVM::MMAShapeAttr shape = op.getShape();
  if (shape.getM() != 16 || shape.getN() != 8 || shape.getK() != 16 ||
      op.getMultiplicandAPtxType() != NVVM::MMATypes::bf16 ||
      op.getOperandC().size() != 4 || !op.getOperandC()[0].getType().isF32())
    return op.emitError(
        "cuda-sim knows mma.sync m16n8k16 of bf16 into f32 only");
  auto put = [&](ValueRange values, int64_t place) {
    for (auto [i, value] : llvm::enumerate(values))
      store(value, registers, place + 4 * i);
  };
  put(op.getOperandA(), kA);
  put(op.getOperandB(), kB);
  put(op.getOperandC(), kC);
  Value c = at(registers, kC);
  call(kMmaBf16, {at(registers, kA), at(registers, kB), c, c});
  SmallVector<Value> values;
  for (int64_t i = 0; i < 4; ++i)
    values.push_back(load(f32, registers, kC + 4 * i));
  replace(op, structOf(op.getType(), values));
  return success();
}

/// Special registers: thread, block and lane numbers.
LogicalResult KernelLowering::lowerRegister(Operation *op) {
  StringRef name = op->getName().getStringRef();
  if (!name.consume_front("nvvm.read.ptx.sreg."))
    return failure();
  if (name == "warpsize") {
    replace(op, constant(32));
    return success();
  }
  auto offset = llvm::StringSwitch<int64_t>(name)
                    .StartsWith("tid.", offsetof(qrt_sim_thread, thread))
                    .StartsWith("ntid.", offsetof(qrt_sim_thread, block_dim))
                    .StartsWith("ctaid.", offsetof(qrt_sim_thread, block))
                    .StartsWith("nctaid.", offsetof(qrt_sim_thread, grid_dim))
                    .Case("laneid", offsetof(qrt_sim_thread, lane))
                    .Case("warpid", offsetof(qrt_sim_thread, warp))
                    .Default(-1);
  if (offset < 0)
    return failure();
  if (name.consume_back(".y"))
    offset += 4;
  else if (name.consume_back(".z"))
    offset += 8;
  replace(op, load(i32, thread, offset));
  return success();
}

/// Approximations by the exact functions that they approximate. `name` is an
/// intrinsic's or a PTX instruction's, without what says how it approximates.
LogicalResult KernelLowering::lowerMath(Operation *op, StringRef name,
                                        ValueRange operands) {
  for (Value operand : operands)
    if (!operand.getType().isF32())
      return failure();
  std::string root = name.split('.').first.str();
  Value x = operands.empty() ? Value() : operands[0], result;
  auto divide = [&](Value lhs, Value rhs) -> Value {
    return LLVM::FDivOp::create(b, loc(), lhs, rhs);
  };
  if (operands.size() == 2 && root == "div")
    result = divide(x, operands[1]);
  else if (operands.size() != 1)
    return failure();
  else if (root == "ex2")
    result = LLVM::Exp2Op::create(b, loc(), x);
  else if (root == "lg2")
    result = LLVM::Log2Op::create(b, loc(), x);
  else if (root == "sqrt")
    result = LLVM::SqrtOp::create(b, loc(), x);
  else if (root == "rsqrt")
    result = divide(constantF(1), LLVM::SqrtOp::create(b, loc(), x));
  else if (root == "rcp")
    result = divide(constantF(1), x);
  else if (root == "sin")
    result = LLVM::SinOp::create(b, loc(), x);
  else if (root == "cos")
    result = LLVM::CosOp::create(b, loc(), x);
  else if (root == "tanh")
    result = LLVM::TanhOp::create(b, loc(), x);
  else
    return failure();
  replace(op, result);
  return success();
}

/// `type` with elements of `element`: scalars and vectors.
static Type withElement(Type type, Type element) {
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.clone(element);
  return element;
}

/// f32 to bf16, to nearest even, NaN to NaN: there is no such instruction on
/// most hosts, and the function of the compiler's library is not there either.
void KernelLowering::lowerTruncate(LLVM::FPTruncOp op) {
  Type type = op.getArg().getType();
  Type wide = withElement(type, i32);
  Type narrow = withElement(type, b.getI16Type());
  auto splat = [&](uint32_t value) -> Value {
    Attribute attr = b.getI32IntegerAttr(static_cast<int32_t>(value));
    if (auto vector = dyn_cast<VectorType>(wide))
      attr = DenseElementsAttr::get(vector, attr);
    return LLVM::ConstantOp::create(b, loc(), wide, cast<TypedAttr>(attr));
  };
  Value bits = LLVM::BitcastOp::create(b, loc(), wide, op.getArg());
  Value high = LLVM::LShrOp::create(b, loc(), bits, splat(16));
  Value odd = LLVM::AndOp::create(b, loc(), high, splat(1));
  Value rounded = LLVM::AddOp::create(
      b, loc(), bits, LLVM::AddOp::create(b, loc(), odd, splat(0x7fff)));
  Value quiet = LLVM::OrOp::create(b, loc(), bits, splat(0x400000));
  Value isNan = LLVM::FCmpOp::create(b, loc(), LLVM::FCmpPredicate::uno,
                                     op.getArg(), op.getArg());
  Value chosen = LLVM::SelectOp::create(b, loc(), isNan, quiet, rounded);
  Value shifted = LLVM::LShrOp::create(b, loc(), chosen, splat(16));
  Value half = LLVM::TruncOp::create(b, loc(), narrow, shifted);
  replace(op, LLVM::BitcastOp::create(b, loc(), op.getType(), half));
}

void KernelLowering::lowerExtend(LLVM::FPExtOp op) {
  Type type = op.getArg().getType();
  Type wide = withElement(type, i32);
  Value half = LLVM::BitcastOp::create(
      b, loc(), withElement(type, b.getI16Type()), op.getArg());
  Attribute sixteen = b.getI32IntegerAttr(16);
  if (auto vector = dyn_cast<VectorType>(wide))
    sixteen = DenseElementsAttr::get(vector, sixteen);
  Value shift =
      LLVM::ConstantOp::create(b, loc(), wide, cast<TypedAttr>(sixteen));
  Value bits = LLVM::ShlOp::create(
      b, loc(), LLVM::ZExtOp::create(b, loc(), wide, half), shift);
  replace(op, LLVM::BitcastOp::create(b, loc(), op.getType(), bits));
}

LogicalResult KernelLowering::lower(Operation *op) {
  location = op->getLoc();
  b.setInsertionPoint(op);
  auto done = [&](Value = {}) {
    op->erase();
    return success();
  };
  StringRef name = op->getName().getStringRef();
  if (name.starts_with("nvvm.read.ptx.sreg.") && succeeded(lowerRegister(op)))
    return success();
  if (isa<NVVM::Barrier0Op>(op))
    return done(call(kBarrier, {constant(0), constant(0)}));
  if (auto barrier = dyn_cast<NVVM::BarrierOp>(op);
      barrier && !barrier.getRes())
    return done(
        call(kBarrier,
             {barrier.getBarrierId() ? barrier.getBarrierId() : constant(0),
              barrier.getNumberOfThreads() ? barrier.getNumberOfThreads()
                                           : constant(0)}));
  if (auto sync = dyn_cast<NVVM::SyncWarpOp>(op))
    return done(call(kWarpSync, {sync.getMask()}));
  if (auto shuffle = dyn_cast<NVVM::ShflOp>(op))
    return lowerShuffle(shuffle), success();
  if (auto vote = dyn_cast<NVVM::VoteSyncOp>(op)) {
    // The kinds are numbered alike.
    Value predicate = LLVM::ZExtOp::create(b, loc(), i32, vote.getPred());
    Value result = call(kVote, {vote.getMask(), predicate,
                                constant(static_cast<int>(vote.getKind()))});
    if (!vote.getType().isInteger(32))
      result = LLVM::TruncOp::create(b, loc(), vote.getType(), result);
    return replace(op, result), success();
  }
  if (auto redux = dyn_cast<NVVM::ReduxOp>(op);
      redux && redux.getType().isInteger(32)) {
    auto kind =
        llvm::StringSwitch<int>(NVVM::stringifyReduxKind(redux.getKind()))
            .Case("add", QRT_SIM_REDUX_ADD)
            .Case("min", QRT_SIM_REDUX_MIN)
            .Case("max", QRT_SIM_REDUX_MAX)
            .Case("umin", QRT_SIM_REDUX_UMIN)
            .Case("umax", QRT_SIM_REDUX_UMAX)
            .Case("and", QRT_SIM_REDUX_AND)
            .Case("or", QRT_SIM_REDUX_OR)
            .Default(QRT_SIM_REDUX_XOR);
    return replace(op, call(kRedux, {redux.getMaskAndClamp(), redux.getVal(),
                                     constant(kind)})),
           success();
  }
  if (auto copy = dyn_cast<NVVM::CpAsyncOp>(op)) {
    Value bytes = constant(copy.getSize());
    return done(
        call(kCopyAsync, {generic(copy.getDst()), generic(copy.getSrc()), bytes,
                          copy.getCpSize() ? copy.getCpSize() : bytes}));
  }
  if (isa<NVVM::CpAsyncCommitGroupOp>(op))
    return done(call(kCopyCommit, {}));
  if (auto wait = dyn_cast<NVVM::CpAsyncWaitGroupOp>(op))
    return done(call(kCopyWait, {constant(wait.getN())}));
  if (auto matrix = dyn_cast<NVVM::LdMatrixOp>(op))
    return lowerLdMatrix(matrix), success();
  if (auto mma = dyn_cast<NVVM::MmaOp>(op))
    return lowerMma(mma);
  if (isa<NVVM::MembarOp>(op)) {
    LLVM::FenceOp::create(b, loc(), LLVM::AtomicOrdering::seq_cst);
    return done();
  }
  if (isa<NVVM::NVVMDialect>(op->getDialect()))
    return op->emitError("cuda-sim does not know this op");

  if (auto intrinsic = dyn_cast<LLVM::CallIntrinsicOp>(op)) {
    StringRef which = intrinsic.getIntrin();
    if (!which.consume_front("llvm.nvvm."))
      return success();
    if (succeeded(lowerMath(op, which, intrinsic.getArgs())))
      return success();
    return op->emitError("cuda-sim does not know this intrinsic");
  }
  if (auto assembly = dyn_cast<LLVM::InlineAsmOp>(op)) {
    StringRef text = assembly.getAsmString();
    // One instruction on all operands in their order.
    auto [mnemonic, rest] = text.trim().split(' ');
    bool isPlain = rest == "$0, $1;" || rest == "$0, $1, $2;";
    if (isPlain && succeeded(lowerMath(op, mnemonic, assembly.getOperands())))
      return success();
    return op->emitError("cuda-sim does not know this instruction");
  }
  if (auto truncate = dyn_cast<LLVM::FPTruncOp>(op))
    if (getElementTypeOrSelf(truncate.getType()).isBF16() &&
        getElementTypeOrSelf(truncate.getArg().getType()).isF32())
      return lowerTruncate(truncate), success();
  if (auto extend = dyn_cast<LLVM::FPExtOp>(op))
    if (getElementTypeOrSelf(extend.getArg().getType()).isBF16())
      return lowerExtend(extend), success();
  if (llvm::any_of(op->getOperands(), isShared) ||
      llvm::any_of(op->getResults(), isShared))
    return lowerMemory(op);
  return success();
}

LogicalResult KernelLowering::run() {
  if (kernel.isExternal() || kernel.isVarArg())
    return kernel.emitError("a kernel has a body and a fixed list of params");
  placeSharedMemory();
  SmallVector<Operation *> ops;
  kernel.walk([&](Operation *op) {
    if (op != kernel)
      ops.push_back(op);
  });
  buildFrame();
  for (Operation *op : ops)
    if (failed(lower(op)))
      return failure();

  // From here on there is one address space.
  AttrTypeReplacer replacer;
  replacer.addReplacement(
      [](LLVM::LLVMPointerType type) -> std::optional<Type> {
        return LLVM::LLVMPointerType::get(type.getContext());
      });
  replacer.recursivelyReplaceElementsIn(kernel, /*replaceAttrs=*/true,
                                        /*replaceLocs=*/false,
                                        /*replaceTypes=*/true);
  kernel.walk([&](LLVM::AddrSpaceCastOp cast) {
    cast.replaceAllUsesWith(cast.getArg());
    cast.erase();
  });
  for (NamedAttribute attr : llvm::to_vector(kernel->getAttrs()))
    if (attr.getName().strref().starts_with("nvvm."))
      kernel->removeAttr(attr.getName());
  kernel.setTargetCpu("x86-64-v3");
  return success();
}

/// The module's table of kernels, with their host code and all of their shared
/// memory.
static void completeTable(ModuleOp module) {
  auto table = module->getAttrOfType<ArrayAttr>(kKernelTable);
  if (!table)
    return;
  Builder b(module.getContext());
  SmallVector<Attribute> rows;
  for (auto row : table.getAsRange<DictionaryAttr>()) {
    NamedAttrList attrs(row);
    auto name = row.getAs<StringAttr>("name");
    attrs.set("thread", name);
    auto function = module.lookupSymbol<LLVM::LLVMFuncOp>(name);
    if (auto bytes = function->getAttrOfType<IntegerAttr>(kStaticSharedBytes))
      attrs.set("shared", b.getI64IntegerAttr(
                              llvm::alignTo(bytes.getInt(), kDynamicAlignment) +
                              row.getAs<IntegerAttr>("shared").getInt()));
    rows.push_back(attrs.getDictionary(module.getContext()));
  }
  module->setAttr(kKernelTable, b.getArrayAttr(rows));
}

void NvvmToHost::runOnOperation() {
  SmallVector<LLVM::LLVMFuncOp> kernels;
  getOperation()->walk([&](LLVM::LLVMFuncOp func) {
    if (func->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName()))
      kernels.push_back(func);
  });
  for (LLVM::LLVMFuncOp kernel : kernels)
    if (failed(KernelLowering(kernel).run()))
      return signalPassFailure();
  // Shared memory is gone; tables of numbers are memory like any other.
  SmallVector<Operation *> gpuModules;
  getOperation()->walk([&](Operation *op) {
    if (auto global = dyn_cast<LLVM::GlobalOp>(op)) {
      if (global.getAddrSpace() == kShared)
        global.erase();
      else
        global.setAddrSpace(0);
    } else if (op->getName().getStringRef() == "gpu.module") {
      gpuModules.push_back(op);
    }
  });
  for (Operation *gpuModule : gpuModules) {
    Block &from = gpuModule->getRegion(0).front();
    for (Operation &op : llvm::make_early_inc_range(from))
      if (!op.hasTrait<OpTrait::IsTerminator>())
        op.moveBefore(gpuModule);
    gpuModule->erase();
  }
  completeTable(getOperation());
}
