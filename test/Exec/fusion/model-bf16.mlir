// REQUIRES: qwen-opt, qwen-exec
// RUN: qwen-opt %s --reverse-autodiff --insert-optimizer \
// RUN:   | qwen-exec --check-fusion --type=as-is --range tokens=0:10 --range targets=-1:10 --range skip=0:0 | FileCheck %s

// A whole model in bf16: the loss, the training step and the optimizer give
// the same bits in kernels.
// CHECK: eval_loss: the same in {{[0-9]+}} launches
// CHECK: micro_step: the same in {{[0-9]+}} launches
// CHECK: optimizer_step: the same in {{[0-9]+}} launches

qwen.param @embed : tensor<11x12xf32> {axes = ["a", "a"], group = 0 : i64, index = 0 : i64}
qwen.param @n1 layers 3 : tensor<12xf32> {axes = ["a"], group = 0 : i64, index = 1 : i64}
qwen.param @q layers 3 : tensor<24x12xf32> {axes = ["a", "a"], group = 0 : i64, index = 2 : i64}
qwen.param @k layers 3 : tensor<12x12xf32> {axes = ["a", "a"], group = 0 : i64, index = 3 : i64}
qwen.param @v layers 3 : tensor<12x12xf32> {axes = ["a", "a"], group = 0 : i64, index = 4 : i64}
qwen.param @qn layers 3 : tensor<6xf32> {axes = ["a"], group = 0 : i64, index = 5 : i64}
qwen.param @o layers 3 : tensor<12x24xf32> {axes = ["a", "a"], group = 0 : i64, index = 6 : i64}
qwen.param @n2 layers 3 : tensor<12xf32> {axes = ["a"], group = 0 : i64, index = 7 : i64}
qwen.param @gate layers 3 : tensor<9x12xf32> {axes = ["a", "a"], group = 0 : i64, index = 8 : i64}
qwen.param @up layers 3 : tensor<9x12xf32> {axes = ["a", "a"], group = 0 : i64, index = 9 : i64}
qwen.param @down layers 3 : tensor<12x9xf32> {axes = ["a", "a"], group = 0 : i64, index = 10 : i64}
qwen.param @norm : tensor<12xf32> {axes = ["a"], group = 0 : i64, index = 11 : i64}

func.func @eval_loss(%ids: tensor<2x5xi32> {qwen.name = "tokens", qwen.role = "input"}, %targets: tensor<2x5xi32> {qwen.name = "targets", qwen.role = "input"}) 
    -> (tensor<f32> {qwen.name = "loss", qwen.role = "output"}, tensor<i32> {qwen.name = "count", qwen.role = "output"}, tensor<i32> {qwen.name = "correct", qwen.role = "output"})
    attributes {qwen.entry, qwen.extents = {batch = 2 : i64, sequence = 5 : i64}} {
  %embed = qwen.get_param @embed : tensor<11x12xbf16>
  %norm = qwen.get_param @norm : tensor<12xbf16>
  %p = qwen.positions -> tensor<2x5xi32>
  %cos, %sin = qwen.rope_table %p {inv_freq = array<f32: 1.0, 0.0464158883, 0.00215443469>} : (tensor<2x5xi32>) -> (tensor<2x5x3xf32>, tensor<2x5x3xf32>)
  %x0 = qwen.embedding %ids, %embed : tensor<2x5xi32>, tensor<11x12xbf16> -> tensor<2x5x12xbf16>
  %x1 = qwen.layers count 3 carried(%x0) slices() states() : (tensor<2x5x12xbf16>) -> tensor<2x5x12xbf16> {
  ^bb0(%x: tensor<2x5x12xbf16>):
    %n1 = qwen.get_param @n1 : tensor<12xbf16>
    %q = qwen.get_param @q : tensor<24x12xbf16>
    %k = qwen.get_param @k : tensor<12x12xbf16>
    %v = qwen.get_param @v : tensor<12x12xbf16>
    %qn = qwen.get_param @qn : tensor<6xbf16>
    %o = qwen.get_param @o : tensor<12x24xbf16>
    %n2 = qwen.get_param @n2 : tensor<12xbf16>
    %gate = qwen.get_param @gate : tensor<9x12xbf16>
    %up = qwen.get_param @up : tensor<9x12xbf16>
    %down = qwen.get_param @down : tensor<12x9xbf16>
    %h = qwen.rms_norm %x weight %n1 {eps = 1.0e-6 : f64} : (tensor<2x5x12xbf16>, tensor<12xbf16>) -> tensor<2x5x12xbf16>
    %q0 = qwen.linear %h, %q : (tensor<2x5x12xbf16>, tensor<24x12xbf16>) -> tensor<2x5x24xbf16>
    %k0 = qwen.linear %h, %k : (tensor<2x5x12xbf16>, tensor<12x12xbf16>) -> tensor<2x5x12xbf16>
    %v0 = qwen.linear %h, %v : (tensor<2x5x12xbf16>, tensor<12x12xbf16>) -> tensor<2x5x12xbf16>
    %q1 = qwen.reshape %q0 : tensor<2x5x24xbf16> -> tensor<2x5x4x6xbf16>
    %k1 = qwen.reshape %k0 : tensor<2x5x12xbf16> -> tensor<2x5x2x6xbf16>
    %v1 = qwen.reshape %v0 : tensor<2x5x12xbf16> -> tensor<2x5x2x6xbf16>
    %q2 = qwen.rms_norm %q1 weight %qn {eps = 1.0e-6 : f64} : (tensor<2x5x4x6xbf16>, tensor<6xbf16>) -> tensor<2x5x4x6xbf16>
    %q3 = qwen.rope %q2, %cos, %sin : (tensor<2x5x4x6xbf16>, tensor<2x5x3xf32>, tensor<2x5x3xf32>) -> tensor<2x5x4x6xbf16>
    %k3 = qwen.rope %k1, %cos, %sin : (tensor<2x5x2x6xbf16>, tensor<2x5x3xf32>, tensor<2x5x3xf32>) -> tensor<2x5x2x6xbf16>
    %a = qwen.attention %q3, %k3, %v1 {scale = 0.4 : f64} : (tensor<2x5x4x6xbf16>, tensor<2x5x2x6xbf16>, tensor<2x5x2x6xbf16>) -> tensor<2x5x4x6xbf16>
    %a1 = qwen.reshape %a : tensor<2x5x4x6xbf16> -> tensor<2x5x24xbf16>
    %a2 = qwen.linear %a1, %o : (tensor<2x5x24xbf16>, tensor<12x24xbf16>) -> tensor<2x5x12xbf16>
    %r = qwen.add %x, %a2 : tensor<2x5x12xbf16>, tensor<2x5x12xbf16> -> tensor<2x5x12xbf16>
    %h2 = qwen.rms_norm %r weight %n2 {eps = 1.0e-6 : f64} : (tensor<2x5x12xbf16>, tensor<12xbf16>) -> tensor<2x5x12xbf16>
    %g = qwen.linear %h2, %gate : (tensor<2x5x12xbf16>, tensor<9x12xbf16>) -> tensor<2x5x9xbf16>
    %u = qwen.linear %h2, %up : (tensor<2x5x12xbf16>, tensor<9x12xbf16>) -> tensor<2x5x9xbf16>
    %m = qwen.glu silu %g, %u : (tensor<2x5x9xbf16>, tensor<2x5x9xbf16>) -> tensor<2x5x9xbf16>
    %d = qwen.linear %m, %down : (tensor<2x5x9xbf16>, tensor<12x9xbf16>) -> tensor<2x5x12xbf16>
    %y = qwen.add %r, %d : tensor<2x5x12xbf16>, tensor<2x5x12xbf16> -> tensor<2x5x12xbf16>
    qwen.yield carried(%y) stacked() states() : (tensor<2x5x12xbf16>) -> ()
  }
  %x2 = qwen.rms_norm %x1 weight %norm {eps = 1.0e-6 : f64} : (tensor<2x5x12xbf16>, tensor<12xbf16>) -> tensor<2x5x12xbf16>
  %loss, %count, %correct = qwen.linear_cross_entropy %x2, %embed, %targets : (tensor<2x5x12xbf16>, tensor<11x12xbf16>, tensor<2x5xi32>) -> (tensor<f32>, tensor<i32>, tensor<i32>)
  return %loss, %count, %correct : tensor<f32>, tensor<i32>, tensor<i32>
}
