// Every op parses, prints and parses again.
// REQUIRES: qwen-opt
// RUN: qwen-opt %s --verify-roundtrip | FileCheck %s

// CHECK: kernel.func rowwise @norm(%{{.*}}: tensor<?x64xf32> {kernel.inplace = 0 : i64}, %{{.*}}: tensor<64xf32>) -> tensor<?x64xf32>
kernel.func rowwise @norm(%x: tensor<?x64xf32> {kernel.inplace = 0 : i64}, %w: tensor<64xf32>) -> tensor<?x64xf32> {
  // CHECK: kernel.broadcast %{{.*}} dims [1] : tensor<64xf32> -> tensor<?x64xf32>
  %b = kernel.broadcast %w dims [1] : tensor<64xf32> -> tensor<?x64xf32>
  // CHECK: kernel.reduce add %{{.*}} dims [1] : tensor<?x64xf32> -> tensor<?xf32>
  %s = kernel.reduce add %x dims [1] : tensor<?x64xf32> -> tensor<?xf32>
  // CHECK: kernel.reduce max %{{.*}} dims [1] : tensor<?x64xf32> -> tensor<?xf32>
  %m = kernel.reduce max %x dims [1] : tensor<?x64xf32> -> tensor<?xf32>
  // CHECK: kernel.slice %{{.*}} from 32 : tensor<?x64xf32> -> tensor<?x32xf32>
  %h = kernel.slice %x from 32 : tensor<?x64xf32> -> tensor<?x32xf32>
  // CHECK: kernel.concat %{{.*}}, %{{.*}} : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x64xf32>
  %c = kernel.concat %h, %h : tensor<?x32xf32>, tensor<?x32xf32> -> tensor<?x64xf32>
  %y = arith.mulf %c, %b : tensor<?x64xf32>
  // CHECK: kernel.return %{{.*}} : tensor<?x64xf32>
  kernel.return %y : tensor<?x64xf32>
}

// CHECK: kernel.func contract @matmul
// CHECK-SAME: workspace = 4096 : i64
kernel.func contract @matmul(%x: tensor<?x64xbf16>, %w: tensor<96x64xbf16>) -> tensor<?x96xf32> attributes {workspace = 4096 : i64} {
  // CHECK: kernel.contract "mk,nk->mn" %{{.*}}, %{{.*}} : tensor<?x64xbf16>, tensor<96x64xbf16> -> tensor<?x96xf32>
  %y = kernel.contract "mk,nk->mn" %x, %w : tensor<?x64xbf16>, tensor<96x64xbf16> -> tensor<?x96xf32>
  kernel.return %y : tensor<?x96xf32>
}

// CHECK: kernel.func scatter @table_grad
kernel.func scatter @table_grad(%rows: tensor<?x64xf32>, %ids: tensor<?xi32>, %acc: tensor<256x64xf32> {kernel.inplace = 0 : i64}) -> tensor<256x64xf32> {
  // CHECK: kernel.gather %{{.*}}[%{{.*}}] : tensor<256x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  %x = kernel.gather %acc[%ids] : tensor<256x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
  // CHECK: kernel.scatter_add %{{.*}} into %{{.*}}[%{{.*}}] : (tensor<?x64xf32>, tensor<256x64xf32>, tensor<?xi32>) -> tensor<256x64xf32>
  %y = kernel.scatter_add %rows into %acc[%ids] : (tensor<?x64xf32>, tensor<256x64xf32>, tensor<?xi32>) -> tensor<256x64xf32>
  kernel.return %y : tensor<256x64xf32>
}

// CHECK: kernel.func column_reduce @sum
kernel.func column_reduce @sum(%x: tensor<?x64xf32>, %acc: tensor<64xf32> {kernel.inplace = 0 : i64}) -> tensor<64xf32> {
  %s = kernel.reduce add %x dims [0] : tensor<?x64xf32> -> tensor<64xf32>
  %y = arith.addf %s, %acc : tensor<64xf32>
  kernel.return %y : tensor<64xf32>
}

// CHECK: kernel.func block @last
kernel.func block @last(%x: tensor<?x?x64xf32>) {
  kernel.return
}

// CHECK-LABEL: func.func @entry
func.func @entry(%x: tensor<8x128x64xf32>, %w: tensor<64xf32>) -> tensor<8x128x64xf32> {
  // CHECK: kernel.iota 1 : tensor<4x8xi32>
  %i = kernel.iota 1 : tensor<4x8xi32>
  // CHECK: kernel.launch @norm(%{{.*}}, %{{.*}}) : (tensor<8x128x64xf32>, tensor<64xf32>) -> tensor<8x128x64xf32>
  %y = kernel.launch @norm(%x, %w) : (tensor<8x128x64xf32>, tensor<64xf32>) -> tensor<8x128x64xf32>
  return %y : tensor<8x128x64xf32>
}
