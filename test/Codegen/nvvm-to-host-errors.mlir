// REQUIRES: qwen-opt
// RUN: qwen-opt %s --nvvm-to-host --split-input-file --verify-diagnostics

llvm.func @unknown(%x: !llvm.ptr) attributes {nvvm.kernel} {
  // expected-error@+1 {{cuda-sim does not know this op}}
  nvvm.mbarrier.inval %x : !llvm.ptr
  llvm.return
}

// -----

llvm.func @intrinsic(%x: f32) attributes {nvvm.kernel} {
  // expected-error@+1 {{cuda-sim does not know this intrinsic}}
  %y = llvm.call_intrinsic "llvm.nvvm.fabs.f"(%x) : (f32) -> f32
  llvm.return
}

// -----

llvm.func @assembly(%x: i32) attributes {nvvm.kernel} {
  // expected-error@+1 {{cuda-sim does not know this instruction}}
  %y = llvm.inline_asm "brev.b32 $0, $1;", "=r,r" %x : (i32) -> i32
  llvm.return
}

// -----

llvm.mlir.global internal @s() {addr_space = 3 : i32} : !llvm.array<5 x f32>
llvm.func @generic() attributes {nvvm.kernel} {
  %s = llvm.mlir.addressof @s : !llvm.ptr<3>
  // expected-error@+1 {{cuda-sim checks accesses to shared memory: there are none through generic pointers}}
  %g = llvm.addrspacecast %s : !llvm.ptr<3> to !llvm.ptr
  llvm.return
}
