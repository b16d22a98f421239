// One case for each message of a verifier.
// REQUIRES: qwen-opt
// RUN: qwen-opt %s --split-input-file --verify-diagnostics

func.func @f(%w: tensor<64xf32>) {
  // expected-error @below {{expected one dimension for each of the operand's, got 2 and rank 1}}
  %b = kernel.broadcast %w dims [0, 1] : tensor<64xf32> -> tensor<4x64xf32>
  return
}

// -----

func.func @f(%w: tensor<4x64xf32>) {
  // expected-error @below {{expected ascending dimensions below 2, got 0}}
  %b = kernel.broadcast %w dims [1, 0] : tensor<4x64xf32> -> tensor<64x4xf32>
  return
}

// -----

func.func @f(%w: tensor<64xf32>) {
  // expected-error @below {{size of operand dimension 0 does not fit result dimension 0: 64 and 4}}
  %b = kernel.broadcast %w dims [0] : tensor<64xf32> -> tensor<4x64xf32>
  return
}

// -----

func.func @f(%w: tensor<64xf32>) {
  // expected-error @below {{expected one element type, got 'tensor<64xf32>' and 'tensor<4x64xbf16>'}}
  %b = kernel.broadcast %w dims [1] : tensor<64xf32> -> tensor<4x64xbf16>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{dimension out of range: 2}}
  %b = kernel.reduce add %x dims [2] : tensor<4x64xf32> -> tensor<4xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{expected result type 'tensor<4xf32>', got 'tensor<64xf32>'}}
  %b = kernel.reduce add %x dims [1] : tensor<4x64xf32> -> tensor<64xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<8x64xf32>) {
  // expected-error @below {{expected lhs of rank 3 for "bmk,nk->bmn", got 'tensor<4x64xf32>'}}
  %b = kernel.contract "bmk,nk->bmn" %x, %w : tensor<4x64xf32>, tensor<8x64xf32> -> tensor<1x4x8xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<8x32xf32>) {
  // expected-error @below {{dimension 'k' has two sizes: 64 and 32}}
  %b = kernel.contract "mk,nk->mn" %x, %w : tensor<4x64xf32>, tensor<8x32xf32> -> tensor<4x8xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>, %w: tensor<8x64xf32>) {
  // expected-error @below {{result dimension 'z' is in neither operand of "mk,nk->mz"}}
  %b = kernel.contract "mk,nk->mz" %x, %w : tensor<4x64xf32>, tensor<8x64xf32> -> tensor<4x8xf32>
  return
}

// -----

func.func @f(%table: tensor<8x64xf32>, %ids: tensor<4xi32>) {
  // expected-error @below {{expected a matrix and a result of one more dimension than the ids, or a vector and as many, got 'tensor<8x64xf32>' and 'tensor<4xf32>'}}
  %b = kernel.gather %table[%ids] : tensor<8x64xf32>, tensor<4xi32> -> tensor<4xf32>
  return
}

// -----

func.func @f(%rows: tensor<4x64xf32>, %acc: tensor<8x64xf32>, %ids: tensor<4xi32>) {
  // expected-error @below {{expected the accumulator's type as result, got 'tensor<8x64xf32>' and 'tensor<9x64xf32>'}}
  %b = "kernel.scatter_add"(%rows, %acc, %ids) : (tensor<4x64xf32>, tensor<8x64xf32>, tensor<4xi32>) -> tensor<9x64xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{range ends at 72, beyond the operand 'tensor<4x64xf32>'}}
  %b = kernel.slice %x from 40 : tensor<4x64xf32> -> tensor<4x32xf32>
  return
}

// -----

func.func @f(%x: tensor<4x64xf32>) {
  // expected-error @below {{result does not join 'tensor<4x64xf32>' and 'tensor<4x64xf32>', got 'tensor<4x64xf32>'}}
  %b = kernel.concat %x, %x : tensor<4x64xf32>, tensor<4x64xf32> -> tensor<4x64xf32>
  return
}

// -----

// expected-error @below {{unknown root: columnwise}}
kernel.func columnwise @f() {
  kernel.return
}

// -----

// expected-error @below {{region with 1 blocks}}
kernel.func rowwise @f(%x: tensor<?xf32>)

// -----

// expected-error @below {{expected kernel.return of the function's result types}}
kernel.func rowwise @f(%x: tensor<?xf32>) -> tensor<?xf32> {
  kernel.return
}

// -----

// expected-error @below {{argument 0 cannot share memory with result 1}}
kernel.func rowwise @f(%x: tensor<?xf32> {kernel.inplace = 1 : i64}) -> tensor<?xf32> {
  kernel.return %x : tensor<?xf32>
}

// -----

func.func @f() {
  // expected-error @below {{unknown kernel: g}}
  kernel.launch @g() : () -> ()
  return
}

// -----

kernel.func rowwise @g(%x: tensor<?xf32>) -> tensor<?xf32> {
  kernel.return %x : tensor<?xf32>
}
func.func @f() {
  // expected-error @below {{kernel g has 1 arguments and 1 results, got 0 and 0}}
  kernel.launch @g() : () -> ()
  return
}

// -----

func.func @f(%w: tensor<4x20xi8>, %s: tensor<4x1xi8>) {
  // expected-error @+1 {{expected a matrix with columns in groups of 32, got 'tensor<4x40xbf16>'}}
  %q = kernel.unpack_int4 %w, %s : tensor<4x20xi8>, tensor<4x1xi8> -> tensor<4x40xbf16>
  return
}

// -----

func.func @f(%w: tensor<4x32xi8>, %s: tensor<4x1xi8>) {
  // expected-error @+1 {{expected 32 bytes and 2 steps a row, got 'tensor<4x32xi8>' and 'tensor<4x1xi8>'}}
  %q = kernel.unpack_int4 %w, %s : tensor<4x32xi8>, tensor<4x1xi8> -> tensor<4x64xbf16>
  return
}
