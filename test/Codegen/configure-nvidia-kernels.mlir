// Which products a library does where there is one: those that it computes with
// the roundings of the kernel, and what is left is a kernel of ours.
// RUN: qwen-opt --configure-nvidia-kernels %s | FileCheck %s
// RUN: qwen-opt --configure-nvidia-kernels --lower-to-nvidia %s | FileCheck %s --check-prefix=TABLE
// RUN: qwen-opt --configure-nvidia-kernels %s | FileCheck %s --check-prefix=IMPL --implicit-check-not=kernel.impl

// 16 partial sums of 32 rows and 24 columns, and 256 bytes to align.
// CHECK: kernel.func contract @rounded
// CHECK-SAME: attributes {kernel.impl = "library", workspace = 49408 : i64}
// TABLE: qwen.products = [
// TABLE-SAME: {addend = -1 : i64, bias = -1 : i64, k = 16 : i64, kernel = 0 : i64, left = 0 : i64, left_transposed = 0 : i64, m = 0 : i64, n = 24 : i64, operand_dtype = 1 : i64, reserved = 0 : i64, result = 2 : i64, result_dtype = 1 : i64, right = 1 : i64, right_transposed = 1 : i64, workspace = 3 : i64, workspace_bytes = 49408 : i64}
// IMPL: @rounded{{.*}}{kernel.impl = "library"
kernel.func contract @rounded(%x: tensor<?x16xbf16>, %w: tensor<24x16xbf16>) -> tensor<?x24xbf16> {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xbf16>, tensor<24x16xbf16> -> tensor<?x24xf32>
  %y = arith.truncf %p : tensor<?x24xf32> to tensor<?x24xbf16>
  kernel.return %y : tensor<?x24xbf16>
}

// Rounded twice: the library rounds the product, the rest adds (a third kernel).
// TABLE-SAME: {addend = -1 : i64, bias = -1 : i64, {{[^}]*}}kernel = 2 : i64, {{[^}]*}}result = 3 : i64, result_dtype = 1 : i64,
// IMPL: @residual{{.*}}{kernel.impl = "library"
kernel.func contract @residual(%x: tensor<?x16xbf16>, %w: tensor<24x16xbf16>, %r: tensor<?x24xbf16>) -> tensor<?x24xbf16> {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xbf16>, tensor<24x16xbf16> -> tensor<?x24xf32>
  %y = arith.truncf %p : tensor<?x24xf32> to tensor<?x24xbf16>
  %a = arith.extf %r : tensor<?x24xbf16> to tensor<?x24xf32>
  %b = arith.extf %y : tensor<?x24xbf16> to tensor<?x24xf32>
  %s = arith.addf %a, %b : tensor<?x24xf32>
  %o = arith.truncf %s : tensor<?x24xf32> to tensor<?x24xbf16>
  kernel.return %o : tensor<?x24xbf16>
}

// In f32 the residual is the library's addend.
// TABLE-SAME: {addend = 2 : i64, bias = -1 : i64, {{[^}]*}}kernel = 5 : i64, {{[^}]*}}operand_dtype = 0 : i64, {{[^}]*}}result = 3 : i64, result_dtype = 0 : i64, right = 1 : i64, right_transposed = 0 : i64
// IMPL: @residual_f32{{.*}}{kernel.impl = "library"
kernel.func contract @residual_f32(%x: tensor<?x16xf32>, %w: tensor<16x24xf32>, %r: tensor<?x24xf32>) -> tensor<?x24xf32> {
  %p = kernel.contract "mk,kn->mn" %x, %w : tensor<?x16xf32>, tensor<16x24xf32> -> tensor<?x24xf32>
  %o = arith.addf %r, %p : tensor<?x24xf32>
  kernel.return %o : tensor<?x24xf32>
}

// TABLE-SAME: {addend = -1 : i64, bias = 2 : i64, {{[^}]*}}kernel = 6 : i64,
// IMPL: @bias{{.*}}{kernel.impl = "library"
kernel.func contract @bias(%x: tensor<?x16xbf16>, %w: tensor<24x16xbf16>, %b: tensor<24xbf16>) -> tensor<?x24xbf16> {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xbf16>, tensor<24x16xbf16> -> tensor<?x24xf32>
  %e = arith.extf %b : tensor<24xbf16> to tensor<24xf32>
  %c = kernel.broadcast %e dims [1] : tensor<24xf32> -> tensor<?x24xf32>
  %s = arith.addf %p, %c : tensor<?x24xf32>
  %o = arith.truncf %s : tensor<?x24xf32> to tensor<?x24xbf16>
  kernel.return %o : tensor<?x24xbf16>
}

// A gradient in place.
// TABLE-SAME: {addend = 2 : i64, bias = -1 : i64, k = 0 : i64, {{[^}]*}}left_transposed = 1 : i64, m = 16 : i64, n = 24 : i64, operand_dtype = 1 : i64, {{[^}]*}}result = 2 : i64, result_dtype = 0 : i64,
// IMPL: @gradient{{.*}}{kernel.impl = "library"
kernel.func contract @gradient(%dy: tensor<?x16xbf16>, %x: tensor<?x24xbf16>, %g: tensor<16x24xf32> {kernel.inplace = 0 : i64}) -> tensor<16x24xf32> {
  %p = kernel.contract "mn,mk->nk" %dy, %x : tensor<?x16xbf16>, tensor<?x24xbf16> -> tensor<16x24xf32>
  %s = arith.addf %g, %p : tensor<16x24xf32>
  kernel.return %s : tensor<16x24xf32>
}

// Two results: the library's is the second.
// TABLE-SAME: {addend = -1 : i64, {{[^}]*}}result = 3 : i64, result_dtype = 1 : i64,
// IMPL: @two{{.*}}{kernel.impl = "library"
kernel.func contract @two(%x: tensor<?x16xbf16>, %w: tensor<24x16xbf16>) -> (tensor<?x24xbf16>, tensor<?x24xbf16>) {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xbf16>, tensor<24x16xbf16> -> tensor<?x24xf32>
  %y = arith.truncf %p : tensor<?x24xf32> to tensor<?x24xbf16>
  %e = arith.extf %y : tensor<?x24xbf16> to tensor<?x24xf32>
  %t = math.tanh %e : tensor<?x24xf32>
  %o = arith.truncf %t : tensor<?x24xf32> to tensor<?x24xbf16>
  kernel.return %o, %y : tensor<?x24xbf16>, tensor<?x24xbf16>
}

// What the library cannot do exactly, or not fast.

// Rows that are not aligned.
// IMPL: @odd{{.*}}{kernel.impl = "generated"
kernel.func contract @odd(%x: tensor<?x16xf32>, %w: tensor<23x16xf32>) -> tensor<?x23xf32> {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xf32>, tensor<23x16xf32> -> tensor<?x23xf32>
  kernel.return %p : tensor<?x23xf32>
}

// The sum would take two roundings, and no result can keep it in between.
// IMPL: @mixed{{.*}}{kernel.impl = "generated"
kernel.func contract @mixed(%x: tensor<?x16xf32>, %w: tensor<24x16xf32>) -> tensor<?x24xbf16> {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xf32>, tensor<24x16xf32> -> tensor<?x24xf32>
  %y = arith.truncf %p : tensor<?x24xf32> to tensor<?x24xbf16>
  kernel.return %y : tensor<?x24xbf16>
}

// IMPL: @quantized{{.*}}{kernel.impl = "generated"
kernel.func contract @quantized(%x: tensor<?x16xf32>, %w: tensor<24x16xi8>) -> tensor<?x24xf32> {
  %f = arith.sitofp %w : tensor<24x16xi8> to tensor<24x16xf32>
  %p = kernel.contract "mk,nk->mn" %x, %f : tensor<?x16xf32>, tensor<24x16xf32> -> tensor<?x24xf32>
  kernel.return %p : tensor<?x24xf32>
}

// The user's word.
// IMPL: @chosen{{.*}}{kernel.impl = "generated"
kernel.func contract @chosen(%x: tensor<?x16xf32>, %w: tensor<24x16xf32>) -> tensor<?x24xf32> attributes {kernel.impl = "generated"} {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xf32>, tensor<24x16xf32> -> tensor<?x24xf32>
  kernel.return %p : tensor<?x24xf32>
}

func.func @logits(%x: tensor<2x16x16xbf16>, %w: tensor<24x16xbf16>) -> tensor<2x16x24xbf16> attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 16 : i64}} {
  %0 = kernel.launch @rounded(%x, %w) {buffers = [#kernel.buffer<slot, 0, 0 * none>, #kernel.buffer<slot, 1, 0 * none>, #kernel.buffer<slot, 2, 0 * none>], workspace = #kernel.buffer<arena, 0, 0 * none>} : (tensor<2x16x16xbf16>, tensor<24x16xbf16>) -> tensor<2x16x24xbf16>
  return %0 : tensor<2x16x24xbf16>
}
