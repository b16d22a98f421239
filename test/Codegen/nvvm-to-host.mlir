// REQUIRES: qwen-opt
// RUN: qwen-opt %s --nvvm-to-host | FileCheck %s

// CHECK-NOT: gpu.module
// CHECK-NOT: addr_space
gpu.module @kernels {
  llvm.mlir.global internal @sums() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<5 x f32>
  llvm.mlir.global external @shared() {addr_space = 3 : i32} : !llvm.array<0 x i8>

  // CHECK-LABEL: llvm.func @k
  // CHECK-SAME: (%[[T:.*]]: !llvm.ptr, %[[P:.*]]: !llvm.ptr)
  // CHECK-SAME: qwen.static_shared_bytes = 20
  // CHECK-SAME: target_cpu = "x86-64-v3"
  // CHECK-NOT: ptr<
  llvm.func @k(%x: !llvm.ptr<1>, %n: i64) attributes {nvvm.kernel} {
    // The thread's number is behind the table and the shared memory's address.
    // CHECK: llvm.getelementptr %[[T]][16]
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %sums = llvm.mlir.addressof @sums : !llvm.ptr<3>
    // CHECK: llvm.getelementptr %{{.*}}[128]
    %shared = llvm.mlir.addressof @shared : !llvm.ptr<3>
    %at = llvm.getelementptr %sums[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
    // An access is announced: 4 bytes, read.
    // CHECK: %[[BYTES:.*]] = llvm.mlir.constant(4 : i32)
    // CHECK: %[[KIND:.*]] = llvm.mlir.constant(0 : i32)
    // CHECK: llvm.call %{{.*}}(%[[T]], %{{.*}}, %[[BYTES]], %[[KIND]])
    // CHECK-NEXT: llvm.load %{{.*}} : !llvm.ptr -> f32
    %v = llvm.load %at : !llvm.ptr<3> -> f32
    // CHECK: llvm.call %{{.*}}(%[[T]], %{{.*}}, %{{.*}}) : !llvm.ptr, (!llvm.ptr, i32, i32) -> ()
    nvvm.barrier0
    // CHECK: llvm.intr.exp2
    %e = llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f"(%v) : (f32) -> f32
    // CHECK: llvm.intr.tanh
    %t = llvm.inline_asm "tanh.approx.f32 $0, $1;", "=f,f" %e : (f32) -> f32
    // CHECK-NOT: llvm.fptrunc
    %b = llvm.fptrunc %t : f32 to bf16
    llvm.store %b, %shared : bf16, !llvm.ptr<3>
    llvm.return
  }
}
