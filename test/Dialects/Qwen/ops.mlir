// Every op parses, prints and parses again.
// REQUIRES: qwen-opt
// RUN: qwen-opt %s --verify-roundtrip | FileCheck %s

// CHECK: qwen.param @q_proj layers 2 : tensor<32x16xf32> {axes = ["heads*head_dim", "hidden"], group = 0 : i64, index = 0 : i64}
qwen.param @q_proj layers 2 : tensor<32x16xf32> {axes = ["heads*head_dim", "hidden"], group = 0 : i64, index = 0 : i64}
// CHECK: qwen.param @norm : tensor<16xf32> {axes = ["hidden"], group = 1 : i64, index = 1 : i64}
qwen.param @norm : tensor<16xf32> {axes = ["hidden"], group = 1 : i64, index = 1 : i64}

// CHECK-LABEL: func.func @layers
func.func @layers(%x: tensor<2x4x16xf32>, %s: tensor<2x2x4xf32>, %g: tensor<2x32x16xf32>)
    -> (tensor<2x4x16xf32>, tensor<2x2x4x32xbf16>, tensor<2x32x16xf32>) {
  // CHECK: qwen.layers count 2 reverse carried(%{{.*}}) slices(%{{.*}}) states(%{{.*}}) : (tensor<2x4x16xf32>, tensor<2x2x4xf32>, tensor<2x32x16xf32>) -> (tensor<2x4x16xf32>, tensor<2x2x4x32xbf16>, tensor<2x32x16xf32>) {
  // CHECK-NEXT: ^bb0
  %r:3 = qwen.layers count 2 reverse carried(%x) slices(%s) states(%g)
      : (tensor<2x4x16xf32>, tensor<2x2x4xf32>, tensor<2x32x16xf32>)
      -> (tensor<2x4x16xf32>, tensor<2x2x4x32xbf16>, tensor<2x32x16xf32>) {
  ^bb0(%c: tensor<2x4x16xf32>, %slice: tensor<2x4xf32>, %state: tensor<32x16xf32>):
    // CHECK: qwen.get_param @q_proj : tensor<32x16xbf16>
    %w = qwen.get_param @q_proj : tensor<32x16xbf16>
    %y = qwen.linear %c, %w : (tensor<2x4x16xf32>, tensor<32x16xbf16>) -> tensor<2x4x32xbf16>
    // CHECK: qwen.yield carried(%{{.*}}) stacked(%{{.*}}) states(%{{.*}}) : (tensor<2x4x16xf32>, tensor<2x4x32xbf16>, tensor<32x16xf32>) -> ()
    qwen.yield carried(%c) stacked(%y) states(%state) : (tensor<2x4x16xf32>, tensor<2x4x32xbf16>, tensor<32x16xf32>) -> ()
  }
  return %r#0, %r#1, %r#2 : tensor<2x4x16xf32>, tensor<2x2x4x32xbf16>, tensor<2x32x16xf32>
}

// CHECK-LABEL: func.func @empty_layers
func.func @empty_layers() {
  // CHECK: qwen.layers count 3 carried() slices() states() {begin = 1 : i64} : () -> ()
  qwen.layers count 3 carried() slices() states() {begin = 1 : i64} : () -> () {
    // CHECK: qwen.yield carried() stacked() states() : () -> ()
    qwen.yield carried() stacked() states() : () -> ()
  }
  return
}

// CHECK-LABEL: func.func @elementwise
func.func @elementwise(%x: tensor<2x4x16xbf16>, %f: tensor<2x4x16xf32>, %start: tensor<2xi32>, %length: tensor<2xi32>) {
  // CHECK: qwen.add %{{.*}}, %{{.*}} : tensor<2x4x16xbf16>, tensor<2x4x16xf32> -> tensor<2x4x16xbf16>
  %0 = qwen.add %x, %f : tensor<2x4x16xbf16>, tensor<2x4x16xf32> -> tensor<2x4x16xbf16>
  // CHECK: qwen.cast %{{.*}} : tensor<2x4x16xbf16> -> tensor<2x4x16xf32>
  %1 = qwen.cast %x : tensor<2x4x16xbf16> -> tensor<2x4x16xf32>
  // CHECK: qwen.reshape %{{.*}} : tensor<2x4x16xbf16> -> tensor<2x4x4x4xbf16>
  %2 = qwen.reshape %x : tensor<2x4x16xbf16> -> tensor<2x4x4x4xbf16>
  // CHECK: qwen.positions -> tensor<2x4xi32>
  %3 = qwen.positions -> tensor<2x4xi32>
  // CHECK: qwen.positions %{{.*}} : tensor<2xi32> -> tensor<2x4xi32>
  %4 = qwen.positions %start : tensor<2xi32> -> tensor<2x4xi32>
  // CHECK: qwen.last_token %{{.*}}, %{{.*}} : tensor<2x4x16xbf16>, tensor<2xi32> -> tensor<2x1x16xbf16>
  %5 = qwen.last_token %x, %length : tensor<2x4x16xbf16>, tensor<2xi32> -> tensor<2x1x16xbf16>
  return
}

// CHECK-LABEL: func.func @linear
func.func @linear(%ids: tensor<2x4xi32>, %table: tensor<32x16xf32>, %x: tensor<2x4x16xbf16>,
    %w: tensor<8x16xbf16>, %b: tensor<8xbf16>, %g: tensor<2x4x8xbf16>, %wg: tensor<8x16xf32>,
    %bg: tensor<8xf32>, %xg: tensor<2x4x16xf32>) {
  // CHECK: qwen.embedding %{{.*}}, %{{.*}} : tensor<2x4xi32>, tensor<32x16xf32> -> tensor<2x4x16xbf16>
  %0 = qwen.embedding %ids, %table : tensor<2x4xi32>, tensor<32x16xf32> -> tensor<2x4x16xbf16>
  // CHECK: qwen.embedding_grad %{{.*}}, %{{.*}} into %{{.*}} : tensor<2x4x16xf32>, tensor<2x4xi32>, tensor<32x16xf32> -> tensor<32x16xf32>
  %1 = qwen.embedding_grad %xg, %ids into %table : tensor<2x4x16xf32>, tensor<2x4xi32>, tensor<32x16xf32> -> tensor<32x16xf32>
  // CHECK: qwen.linear %{{.*}}, %{{.*}} : (tensor<2x4x16xbf16>, tensor<8x16xbf16>) -> tensor<2x4x8xbf16>
  %2 = qwen.linear %x, %w : (tensor<2x4x16xbf16>, tensor<8x16xbf16>) -> tensor<2x4x8xbf16>
  // CHECK: qwen.linear %{{.*}}, %{{.*}} bias %{{.*}} : (tensor<2x4x16xbf16>, tensor<8x16xbf16>, tensor<8xbf16>) -> tensor<2x4x8xbf16>
  %3 = qwen.linear %x, %w bias %b : (tensor<2x4x16xbf16>, tensor<8x16xbf16>, tensor<8xbf16>) -> tensor<2x4x8xbf16>
  // CHECK: qwen.linear_input_grad %{{.*}}, %{{.*}} : tensor<2x4x8xbf16>, tensor<8x16xbf16> -> tensor<2x4x16xbf16>
  %4 = qwen.linear_input_grad %g, %w : tensor<2x4x8xbf16>, tensor<8x16xbf16> -> tensor<2x4x16xbf16>
  // CHECK: qwen.linear_weight_grad %{{.*}}, %{{.*}} into %{{.*}} : tensor<2x4x8xbf16>, tensor<2x4x16xbf16>, tensor<8x16xf32> -> tensor<8x16xf32>
  %5 = qwen.linear_weight_grad %g, %x into %wg : tensor<2x4x8xbf16>, tensor<2x4x16xbf16>, tensor<8x16xf32> -> tensor<8x16xf32>
  // CHECK: qwen.bias_grad %{{.*}} into %{{.*}} : tensor<2x4x8xbf16>, tensor<8xf32> -> tensor<8xf32>
  %6 = qwen.bias_grad %g into %bg : tensor<2x4x8xbf16>, tensor<8xf32> -> tensor<8xf32>
  return
}

// CHECK-LABEL: func.func @norms
func.func @norms(%x: tensor<2x4x16xf32>, %w: tensor<16xf32>, %b: tensor<16xf32>, %rstd: tensor<2x4xf32>) {
  // CHECK: qwen.rms_norm %{{.*}} {eps = 9.9999999999999995E-7 : f64} : (tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %0 = qwen.rms_norm %x {eps = 1.0e-6 : f64} : (tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  // CHECK: %{{.*}}, %{{.*}} = qwen.rms_norm %{{.*}} weight %{{.*}} {eps = 9.9999999999999995E-7 : f64} : (tensor<2x4x16xf32>, tensor<16xf32>) -> (tensor<2x4x16xf32>, tensor<2x4xf32>)
  %1, %2 = qwen.rms_norm %x weight %w {eps = 1.0e-6 : f64} : (tensor<2x4x16xf32>, tensor<16xf32>) -> (tensor<2x4x16xf32>, tensor<2x4xf32>)
  // CHECK: qwen.rms_norm_input_grad %{{.*}}, %{{.*}}, %{{.*}} weight %{{.*}} :
  %3 = qwen.rms_norm_input_grad %x, %x, %rstd weight %w : (tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4xf32>, tensor<16xf32>) -> tensor<2x4x16xf32>
  // CHECK: qwen.rms_norm_weight_grad %{{.*}}, %{{.*}}, %{{.*}} into %{{.*}} :
  %4 = qwen.rms_norm_weight_grad %x, %x, %rstd into %w : (tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4xf32>, tensor<16xf32>) -> tensor<16xf32>
  // CHECK: qwen.layer_norm %{{.*}} weight %{{.*}} bias %{{.*}} {eps = 1.000000e-05 : f64} : (tensor<2x4x16xf32>, tensor<16xf32>, tensor<16xf32>) -> (tensor<2x4x16xf32>, tensor<2x4xf32>, tensor<2x4xf32>)
  %5:3 = qwen.layer_norm %x weight %w bias %b {eps = 1.000000e-05 : f64} : (tensor<2x4x16xf32>, tensor<16xf32>, tensor<16xf32>) -> (tensor<2x4x16xf32>, tensor<2x4xf32>, tensor<2x4xf32>)
  // CHECK: qwen.layer_norm_input_grad %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} weight %{{.*}} :
  %6 = qwen.layer_norm_input_grad %x, %x, %rstd, %rstd weight %w : (tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<16xf32>) -> tensor<2x4x16xf32>
  // CHECK: qwen.layer_norm_weight_grad %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} into %{{.*}} :
  %7 = qwen.layer_norm_weight_grad %x, %x, %rstd, %rstd into %w : (tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<16xf32>) -> tensor<16xf32>
  return
}

// CHECK-LABEL: func.func @attention
func.func @attention(%positions: tensor<2x4xi32>, %q: tensor<2x4x4x8xf32>, %k: tensor<2x4x2x8xf32>,
    %lse: tensor<2x4x4xf32>, %cache: tensor<2x2x64x8xf32>, %start: tensor<2xi32>, %documents: tensor<2x4xi32>) {
  // CHECK: qwen.rope_table %{{.*}} {inv_freq = array<f32: 1.000000e+00, 1.000000e-01, 0.00999999977, 1.000000e-03>} : (tensor<2x4xi32>) -> (tensor<2x4x4xf32>, tensor<2x4x4xf32>)
  %cos, %sin = qwen.rope_table %positions {inv_freq = array<f32: 1.0, 0.1, 0.01, 0.001>} : (tensor<2x4xi32>) -> (tensor<2x4x4xf32>, tensor<2x4x4xf32>)
  // CHECK: qwen.rope %{{.*}}, %{{.*}}, %{{.*}} : (tensor<2x4x4x8xf32>, tensor<2x4x4xf32>, tensor<2x4x4xf32>) -> tensor<2x4x4x8xf32>
  %0 = qwen.rope %q, %cos, %sin : (tensor<2x4x4x8xf32>, tensor<2x4x4xf32>, tensor<2x4x4xf32>) -> tensor<2x4x4x8xf32>
  // CHECK: qwen.rope inverse %{{.*}}, %{{.*}}, %{{.*}} :
  %1 = qwen.rope inverse %q, %cos, %sin : (tensor<2x4x4x8xf32>, tensor<2x4x4xf32>, tensor<2x4x4xf32>) -> tensor<2x4x4x8xf32>
  // CHECK: qwen.attention %{{.*}}, %{{.*}}, %{{.*}} {scale = 5.000000e-01 : f64} : (tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>) -> tensor<2x4x4x8xf32>
  %2 = qwen.attention %q, %k, %k {scale = 0.5 : f64} : (tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>) -> tensor<2x4x4x8xf32>
  // CHECK: %{{.*}}, %{{.*}} = qwen.attention
  %3, %4 = qwen.attention %q, %k, %k {scale = 0.5 : f64} : (tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>) -> (tensor<2x4x4x8xf32>, tensor<2x4x4xf32>)
  // CHECK: qwen.attention_grad %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {scale = 5.000000e-01 : f64} :
  %dq, %dk, %dv = qwen.attention_grad %q, %q, %k, %k, %3, %lse {scale = 0.5 : f64}
    : (tensor<2x4x4x8xf32>, tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x4x8xf32>, tensor<2x4x4xf32>)
    -> (tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>)
  // CHECK: qwen.kv_append %{{.*}}, %{{.*}} into %{{.*}} :
  %5 = qwen.kv_append %k, %start into %cache : (tensor<2x4x2x8xf32>, tensor<2xi32>, tensor<2x2x64x8xf32>) -> tensor<2x2x64x8xf32>
  // CHECK: qwen.cached_attention %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {scale = 5.000000e-01 : f64} :
  %6 = qwen.cached_attention %q, %5, %5, %start {scale = 0.5 : f64} : (tensor<2x4x4x8xf32>, tensor<2x2x64x8xf32>, tensor<2x2x64x8xf32>, tensor<2xi32>) -> tensor<2x4x4x8xf32>
  // CHECK: qwen.cached_attention %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {scale = 5.000000e-01 : f64, window = 3 : i64} :
  %7 = qwen.cached_attention %q, %5, %5, %start {scale = 0.5 : f64, window = 3 : i64} : (tensor<2x4x4x8xf32>, tensor<2x2x64x8xf32>, tensor<2x2x64x8xf32>, tensor<2xi32>) -> tensor<2x4x4x8xf32>
  // CHECK: %[[STARTS:.*]] = qwen.document_starts %{{.*}} : tensor<2x4xi32> -> tensor<2x4xi32>
  %starts = qwen.document_starts %documents : tensor<2x4xi32> -> tensor<2x4xi32>
  // CHECK: qwen.positions starts %[[STARTS]] : tensor<2x4xi32> -> tensor<2x4xi32>
  %8 = qwen.positions starts %starts : tensor<2x4xi32> -> tensor<2x4xi32>
  // CHECK: qwen.attention %{{.*}}, %{{.*}}, %{{.*}} starts %[[STARTS]] {scale = 5.000000e-01 : f64, window = 2 : i64} :
  %9 = qwen.attention %q, %k, %k starts %starts {scale = 0.5 : f64, window = 2 : i64} : (tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4xi32>) -> tensor<2x4x4x8xf32>
  // CHECK: qwen.attention_grad %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} starts %[[STARTS]] {scale = 5.000000e-01 : f64} :
  %10:3 = qwen.attention_grad %q, %q, %k, %k, %3, %lse starts %starts {scale = 0.5 : f64}
    : (tensor<2x4x4x8xf32>, tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x4x8xf32>, tensor<2x4x4xf32>, tensor<2x4xi32>)
    -> (tensor<2x4x4x8xf32>, tensor<2x4x2x8xf32>, tensor<2x4x2x8xf32>)
  return
}

// CHECK-LABEL: func.func @activations
func.func @activations(%x: tensor<2x4x16xf32>) {
  // CHECK: qwen.activation silu %{{.*}} : tensor<2x4x16xf32> -> tensor<2x4x16xf32>
  %0 = qwen.activation silu %x : tensor<2x4x16xf32> -> tensor<2x4x16xf32>
  // CHECK: qwen.activation gelu %
  %1 = qwen.activation gelu %x : tensor<2x4x16xf32> -> tensor<2x4x16xf32>
  // CHECK: qwen.activation gelu_tanh %
  %2 = qwen.activation gelu_tanh %x : tensor<2x4x16xf32> -> tensor<2x4x16xf32>
  // CHECK: qwen.activation relu2 %
  %3 = qwen.activation relu2 %x : tensor<2x4x16xf32> -> tensor<2x4x16xf32>
  // CHECK: qwen.activation_grad relu2 %{{.*}}, %{{.*}} :
  %4 = qwen.activation_grad relu2 %x, %x : (tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  // CHECK: qwen.glu silu %{{.*}}, %{{.*}} :
  %5 = qwen.glu silu %x, %x : (tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  // CHECK: qwen.glu_grad silu %{{.*}}, %{{.*}}, %{{.*}} :
  %6, %7 = qwen.glu_grad silu %x, %x, %x : (tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4x16xf32>) -> (tensor<2x4x16xf32>, tensor<2x4x16xf32>)
  // CHECK: qwen.softcap %{{.*}} {cap = 1.500000e+01 : f64} : tensor<2x4x16xf32> -> tensor<2x4x16xf32>
  %8 = qwen.softcap %x {cap = 15.0 : f64} : tensor<2x4x16xf32> -> tensor<2x4x16xf32>
  return
}

// CHECK-LABEL: func.func @losses
func.func @losses(%logits: tensor<2x4x32xf32>, %targets: tensor<2x4xi32>, %x: tensor<2x4x16xf32>,
    %w: tensor<32x16xf32>, %seed: tensor<f32>) {
  // CHECK: qwen.cross_entropy %{{.*}}, %{{.*}} : (tensor<2x4x32xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  %0:3 = qwen.cross_entropy %logits, %targets : (tensor<2x4x32xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  // CHECK: qwen.linear_cross_entropy %{{.*}}, %{{.*}}, %{{.*}} {cap = 1.500000e+01 : f64} :
  %1:3 = qwen.linear_cross_entropy %x, %w, %targets {cap = 15.0 : f64} : (tensor<2x4x16xf32>, tensor<32x16xf32>, tensor<2x4xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  // CHECK: qwen.linear_cross_entropy_grad %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} into %{{.*}} :
  %2:3 = qwen.linear_cross_entropy_grad %x, %w, %targets, %seed into %w
    : (tensor<2x4x16xf32>, tensor<32x16xf32>, tensor<2x4xi32>, tensor<f32>, tensor<32x16xf32>) -> (tensor<f32>, tensor<2x4x16xf32>, tensor<32x16xf32>)
  return
}

// CHECK-LABEL: func.func @optimizer
func.func @optimizer(%p: tensor<8x16xf32>, %acc: tensor<f32>, %hyper: tensor<2x8xf32>, %skip: tensor<i32>) {
  // CHECK: qwen.sum_squares %{{.*}} into %{{.*}} : tensor<8x16xf32>, tensor<f32> -> tensor<f32>
  %0 = qwen.sum_squares %p into %acc : tensor<8x16xf32>, tensor<f32> -> tensor<f32>
  // CHECK: qwen.sum_squares %{{.*}} : tensor<8x16xf32> -> tensor<f32>
  %alone = qwen.sum_squares %p : tensor<8x16xf32> -> tensor<f32>
  // CHECK: qwen.clip %{{.*}}, %{{.*}}, %{{.*}} : (tensor<f32>, tensor<2x8xf32>, tensor<i32>) -> (tensor<f32>, tensor<i32>, tensor<f32>)
  %norm, %nonfinite, %scale = qwen.clip %0, %hyper, %skip : (tensor<f32>, tensor<2x8xf32>, tensor<i32>) -> (tensor<f32>, tensor<i32>, tensor<f32>)
  // CHECK: qwen.adamw %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {group = 0 : i64} :
  %1:4 = qwen.adamw %p, %p, %p, %p, %hyper, %scale {group = 0 : i64}
    : (tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>, tensor<2x8xf32>, tensor<f32>)
    -> (tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>)
  // CHECK: qwen.muon %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}} {bf16, factor = 1.000000e+00 : f64, group = 1 : i64, nesterov, steps = 5 : i64} :
  %2:3 = qwen.muon %p, %p, %p, %hyper, %scale {bf16, factor = 1.0 : f64, group = 1 : i64, nesterov, steps = 5 : i64}
    : (tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>, tensor<2x8xf32>, tensor<f32>) -> (tensor<8x16xf32>, tensor<8x16xf32>, tensor<8x16xf32>)
  // CHECK: qwen.muon_momentum %{{.*}} {group = 1 : i64, nesterov} :
  %3:3 = qwen.muon_momentum %p, %p, %hyper, %scale {group = 1 : i64, nesterov}
    : (tensor<8x16xf32>, tensor<8x16xf32>, tensor<2x8xf32>, tensor<f32>) -> (tensor<8x16xbf16>, tensor<8x16xf32>, tensor<8x16xf32>)
  // CHECK: qwen.muon_normalize
  %4 = qwen.muon_normalize %3#0, %acc, %hyper {group = 1 : i64} : (tensor<8x16xbf16>, tensor<f32>, tensor<2x8xf32>) -> tensor<8x16xbf16>
  // CHECK: qwen.matmul nt %{{.*}}, %{{.*}} : (tensor<8x16xbf16>, tensor<8x16xbf16>) -> tensor<8x8xbf16>
  %5 = qwen.matmul nt %4, %4 : (tensor<8x16xbf16>, tensor<8x16xbf16>) -> tensor<8x8xbf16>
  // CHECK: qwen.matmul nn %{{.*}}, %{{.*}} plus %{{.*}} {alpha = 2.031500e+00 : f64, beta = -4.775000e+00 : f64} :
  %6 = qwen.matmul nn %5, %5 plus %5 {alpha = 2.0315 : f64, beta = -4.775 : f64} : (tensor<8x8xbf16>, tensor<8x8xbf16>, tensor<8x8xbf16>) -> tensor<8x8xbf16>
  // CHECK: qwen.matmul tn %{{.*}}, %{{.*}} : (tensor<8x16xbf16>, tensor<8x16xbf16>) -> tensor<16x16xbf16>
  %7 = qwen.matmul tn %4, %4 : (tensor<8x16xbf16>, tensor<8x16xbf16>) -> tensor<16x16xbf16>
  // CHECK: qwen.muon_update %{{.*}} {factor = 1.500000e+00 : f64, group = 1 : i64} :
  %8 = qwen.muon_update %p, %4, %hyper, %scale {factor = 1.5 : f64, group = 1 : i64} : (tensor<8x16xf32>, tensor<8x16xbf16>, tensor<2x8xf32>, tensor<f32>) -> tensor<8x16xf32>
  return
}
