// One case for each message of a verifier.
// REQUIRES: qwen-opt
// RUN: qwen-opt %s --split-input-file --verify-diagnostics

func.func @f() {
  // expected-error @below {{unknown parameter: w}}
  %w = qwen.get_param @w : tensor<8x16xf32>
  return
}

// -----

qwen.param @w : tensor<8x16xf32> {axes = ["a", "b"], group = 0 : i64, index = 0 : i64}
func.func @f() {
  // expected-error @below {{parameter w has shape 'tensor<8x16xf32>', got 'tensor<16x8xf32>'}}
  %w = qwen.get_param @w : tensor<16x8xf32>
  return
}

// -----

qwen.param @w layers 2 : tensor<8x16xf32> {axes = ["a", "b"], group = 0 : i64, index = 0 : i64}
func.func @f() {
  // expected-error @below {{parameter w has layers and is read outside of them}}
  %w = qwen.get_param @w : tensor<8x16xf32>
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @below {{expected qwen.yield at the end of the body}}
  qwen.layers count 2 carried() slices() states() : () -> () {
    llvm.unreachable
  }
  return
}

// -----

func.func @f(%x: tensor<3x4xf32>) {
  // expected-error @below {{expected a stack of 2 layers, got 'tensor<3x4xf32>'}}
  qwen.layers count 2 carried() slices(%x) states() : (tensor<3x4xf32>) -> () {
  ^bb0(%a: tensor<4xf32>):
    qwen.yield carried() stacked() states() : () -> ()
  }
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>) {
  // expected-error @below {{body arguments do not fit the operands}}
  qwen.layers count 2 carried() slices(%x) states() : (tensor<2x4xf32>) -> () {
  ^bb0(%a: tensor<2x4xf32>):
    qwen.yield carried() stacked() states() : () -> ()
  }
  return
}

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error @below {{results do not fit what the body yields}}
  %r = qwen.layers count 2 carried(%x) slices() states() : (tensor<4xf32>) -> (tensor<8xf32>) {
  ^bb0(%a: tensor<4xf32>):
    qwen.yield carried(%a) stacked() states() : (tensor<4xf32>) -> ()
  }
  return
}

// -----

func.func @f(%x: tensor<4xf32>, %y: tensor<8xf32>) {
  // expected-error @below {{carried values change their types}}
  %r = qwen.layers count 2 carried(%x) slices() states() : (tensor<4xf32>) -> (tensor<8xf32>) {
  ^bb0(%a: tensor<4xf32>):
    qwen.yield carried(%y) stacked() states() : (tensor<8xf32>) -> ()
  }
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>) {
  // expected-error @below {{expected 1 states, got 0}}
  %r = qwen.layers count 2 carried() slices() states(%x) : (tensor<2x4xf32>) -> (tensor<2x4xf32>) {
  ^bb0(%a: tensor<4xf32>):
    qwen.yield carried() stacked(%a) states() : (tensor<4xf32>) -> ()
  }
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>) {
  // expected-error @below {{expected the same elements, got 'tensor<2x4xf32>' and 'tensor<9xf32>'}}
  %r = qwen.reshape %x : tensor<2x4xf32> -> tensor<9xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4xf32>) {
  // expected-error @below {{expected the same elements, got 'tensor<2x4xf32>' and 'tensor<8xbf16>'}}
  %r = qwen.reshape %x : tensor<2x4xf32> -> tensor<8xbf16>
  return
}

// -----

func.func @f(%x: tensor<2x4x16xf32>, %w: tensor<16x8xf32>) {
  // expected-error @below {{expected weight (out, in) with in = 16, got 'tensor<16x8xf32>'}}
  %r = qwen.linear %x, %w : (tensor<2x4x16xf32>, tensor<16x8xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4x16xf32>, %w: tensor<8x16xf32>) {
  // expected-error @below {{expected 8 outputs, got 'tensor<2x4x9xf32>'}}
  %r = qwen.linear %x, %w : (tensor<2x4x16xf32>, tensor<8x16xf32>) -> tensor<2x4x9xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4x16xf32>, %w: tensor<8x16xf32>, %b: tensor<16xf32>) {
  // expected-error @below {{expected a bias of 8, got 'tensor<16xf32>'}}
  %r = qwen.linear %x, %w bias %b : (tensor<2x4x16xf32>, tensor<8x16xf32>, tensor<16xf32>) -> tensor<2x4x8xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4x16xf32>, %w: tensor<8xf32>) {
  // expected-error @below {{expected a weight of 16, got 'tensor<8xf32>'}}
  %r = qwen.rms_norm %x weight %w {eps = 1.0e-6 : f64} : (tensor<2x4x16xf32>, tensor<8xf32>) -> tensor<2x4x16xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4x16xf32>) {
  // expected-error @below {{expected eps >= 0, got -1}}
  %r = qwen.rms_norm %x {eps = -1.0 : f64} : (tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4x4x8xf32>, %t: tensor<2x4x8xf32>) {
  // expected-error @below {{expected head_dim twice the table's width, got 8 and 8}}
  %r = qwen.rope %x, %t, %t : (tensor<2x4x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) -> tensor<2x4x4x8xf32>
  return
}

// -----

func.func @f(%q: tensor<2x4x32xf32>, %k: tensor<2x4x2x8xf32>) {
  // expected-error @below {{expected q, k, v [batch, sequence, heads, head_dim], got 'tensor<2x4x32xf32>', 'tensor<2x4x2x8xf32>', 'tensor<2x4x2x8xf32>'}}
  %r = qwen.attention %q, %k, %k {scale = 1.0 : f64} : (tensor<2x4x32xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>) -> tensor<2x4x32xf32>
  return
}

// -----

func.func @f(%q: tensor<2x4x4x8xf32>, %k: tensor<2x4x3x8xf32>) {
  // expected-error @below {{expected num_heads to be a multiple of num_kv_heads, got 4 and 3}}
  %r = qwen.attention %q, %k, %k {scale = 1.0 : f64} : (tensor<2x4x4x8xf32>, tensor<2x4x3x8xf32>, tensor<2x4x3x8xf32>) -> tensor<2x4x4x8xf32>
  return
}

// -----

func.func @f(%q: tensor<2x4x4x8xf32>, %k: tensor<2x4x2x16xf32>) {
  // expected-error @below {{expected one head_dim, got 8 and 16}}
  %r = qwen.attention %q, %k, %k {scale = 1.0 : f64} : (tensor<2x4x4x8xf32>, tensor<2x4x2x16xf32>, tensor<2x4x2x16xf32>) -> tensor<2x4x4x8xf32>
  return
}

// -----

func.func @f(%x: tensor<2x4x64xbf16>, %w: tensor<16x64xi8>, %s: tensor<64xf32>) {
  // expected-error @below {{expected int8_scale of type 'tensor<16xf32>', got 'tensor<64xf32>'}}
  %r = qwen.quantized_linear %x, %w scale %s : (tensor<2x4x64xbf16>, tensor<16x64xi8>, tensor<64xf32>) -> tensor<2x4x16xbf16>
  return
}

// -----

func.func @f(%x: tensor<2x4x40xbf16>, %w: tensor<16x20xi8>, %s: tensor<16xf32>, %t: tensor<16x1xi8>) {
  // expected-error @below {{expected inputs in groups of 32, got 40}}
  %r = qwen.quantized_linear %x, %w scale %s steps %t : (tensor<2x4x40xbf16>, tensor<16x20xi8>, tensor<16xf32>, tensor<16x1xi8>) -> tensor<2x4x16xbf16>
  return
}

// -----

qwen.param @w : tensor<16x64xf32> {axes = ["a", "b"], group = 0, index = 0}
func.func @f() {
  // expected-error @below {{parameter w of type 'tensor<16x64xf32>' has no storage "int5"}}
  %r = qwen.get_param @w storage "int5" : tensor<16x64xi8>
  return
}

// -----

qwen.param @w : tensor<16x64xf32> {axes = ["a", "b"], group = 0, index = 0}
func.func @f() {
  // expected-error @below {{storage "int4" of parameter w is 'tensor<16x32xi8>', got 'tensor<16x64xi8>'}}
  %r = qwen.get_param @w storage "int4" : tensor<16x64xi8>
  return
}

// -----

func.func @f(%q: tensor<2x4x4x8xf32>, %k: tensor<2x4x2x8xf32>) {
  // expected-error @below {{expected a window of 1 key or more, got -3}}
  %r = qwen.attention %q, %k, %k {scale = 1.0 : f64, window = -3 : i64} : (tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>) -> tensor<2x4x4x8xf32>
  return
}

// -----

func.func @f(%q: tensor<2x4x4x8xf32>, %k: tensor<2x4x2x8xf32>, %starts: tensor<2x5xi32>) {
  // expected-error @below {{expected the documents' starts as [batch, sequence] in i32, got 'tensor<2x5xi32>'}}
  %r = qwen.attention %q, %k, %k starts %starts {scale = 1.0 : f64} : (tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>, tensor<2x5xi32>) -> tensor<2x4x4x8xf32>
  return
}

// -----

func.func @f(%q: tensor<2x4x4x8xf32>, %k: tensor<2x2x64x8xf32>, %start: tensor<2xi32>) {
  // expected-error @below {{expected a window of 1 key or more, got -1}}
  %r = qwen.cached_attention %q, %k, %k, %start {scale = 1.0 : f64, window = -1 : i64} : (tensor<2x4x4x8xf32>, tensor<2x2x64x8xf32>, tensor<2x2x64x8xf32>, tensor<2xi32>) -> tensor<2x4x4x8xf32>
  return
}

// -----

func.func @f(%documents: tensor<2x4xf32>) {
  // expected-error @below {{expected document ids [batch, sequence] in i32, got 'tensor<2x4xf32>' and the result 'tensor<2x4xi32>'}}
  %r = qwen.document_starts %documents : tensor<2x4xf32> -> tensor<2x4xi32>
  return
}

// -----

func.func @f(%p: tensor<8xf32>, %m: tensor<8xf32>, %h: tensor<2x8xf32>, %s: tensor<f32>) {
  // expected-error @below {{orthogonalises matrices, got a parameter 'tensor<8xf32>'}}
  %r:3 = qwen.muon %p, %p, %m, %h, %s {factor = 1.0 : f64, group = 1 : i64, steps = 5 : i64} : (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<2x8xf32>, tensor<f32>) -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>)
  return
}

// -----

func.func @f(%p: tensor<8x16xf32>, %m: tensor<16x8xf32>, %h: tensor<2x8xf32>, %s: tensor<f32>) {
  // expected-error @below {{expected gradient and momentum of the parameter's shape 'tensor<8x16xf32>', got 'tensor<16x8xf32>'}}
  %r:3 = qwen.muon %p, %p, %m, %h, %s {factor = 1.0 : f64, group = 1 : i64, steps = 5 : i64} : (tensor<8x16xf32>, tensor<8x16xf32>, tensor<16x8xf32>, tensor<2x8xf32>, tensor<f32>) -> (tensor<8x16xf32>, tensor<8x16xf32>, tensor<16x8xf32>)
  return
}

// -----

func.func @f(%p: tensor<8x16xf32>, %m: tensor<8x16xf32>, %h: tensor<2x8xf32>, %s: tensor<f32>) {
  // expected-error @below {{expected at least one iteration, got 0}}
  %r:3 = qwen.muon %p, %p, %m, %h, %s {factor = 1.0 : f64, group = 1 : i64, steps = 0 : i64} : (tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>, tensor<2x8xf32>, tensor<f32>) -> (tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>)
  return
}

// -----

func.func @f(%p: tensor<8x16xf32>, %m: tensor<8x16xf32>, %h: tensor<2x8xf32>, %s: tensor<f32>) {
  // expected-error @below {{parameter group 2 is not a row of hyper 'tensor<2x8xf32>'}}
  %r:3 = qwen.muon %p, %p, %m, %h, %s {factor = 1.0 : f64, group = 2 : i64, steps = 5 : i64} : (tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>, tensor<2x8xf32>, tensor<f32>) -> (tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>)
  return
}

// -----

func.func @f(%x: tensor<4x8xf32>, %y: tensor<4x5xf32>) {
  // expected-error @below {{cannot multiply 'tensor<4x8xf32>' and 'tensor<4x5xf32>' as nn}}
  %r = qwen.matmul nn %x, %y : (tensor<4x8xf32>, tensor<4x5xf32>) -> tensor<4x5xf32>
  return
}

// -----

func.func @f(%x: tensor<4x8xf32>, %y: tensor<4x5xf32>) {
  // expected-error @below {{expected a result of 8 x 5, got 'tensor<5x8xf32>'}}
  %r = qwen.matmul tn %x, %y : (tensor<4x8xf32>, tensor<4x5xf32>) -> tensor<5x8xf32>
  return
}
