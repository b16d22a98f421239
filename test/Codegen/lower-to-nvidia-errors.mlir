// RUN: qwen-opt --lower-to-nvidia --verify-diagnostics --split-input-file %s

// Rows of 23 numbers are not aligned to 16 bytes.
// expected-error @+1 {{no library computes exactly what odd does}}
kernel.func contract @odd(%x: tensor<?x16xf32>, %w: tensor<23x16xf32>) -> tensor<?x23xf32> attributes {kernel.impl = "library"} {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xf32>, tensor<23x16xf32> -> tensor<?x23xf32>
  kernel.return %p : tensor<?x23xf32>
}

// -----

// The only result is behind a second operation, and holds no f32.
// expected-error @+1 {{no library computes exactly what mixed does}}
kernel.func contract @mixed(%x: tensor<?x16xf32>, %w: tensor<24x16xf32>) -> tensor<?x24xbf16> attributes {kernel.impl = "library"} {
  %p = kernel.contract "mk,nk->mn" %x, %w : tensor<?x16xf32>, tensor<24x16xf32> -> tensor<?x24xf32>
  %y = arith.truncf %p : tensor<?x24xf32> to tensor<?x24xbf16>
  kernel.return %y : tensor<?x24xbf16>
}
