// REQUIRES: qwen-opt
// RUN: qwen-opt %s --quantize-weights="format=int8 entries=decode" | FileCheck %s --check-prefix=INT8
// RUN: qwen-opt %s --quantize-weights="format=int4 entries=decode" | FileCheck %s --check-prefix=INT4

qwen.param @embed : tensor<163x64xf32> {axes = ["vocab", "hidden"], group = 0, index = 0}
qwen.param @up layers 3 : tensor<96x64xf32> {axes = ["ffn", "hidden"], group = 0, index = 1}
qwen.param @odd layers 3 : tensor<64x40xf32> {axes = ["hidden", "other"], group = 0, index = 2}
qwen.param @bias layers 3 : tensor<64xf32> {axes = ["hidden"], group = 1, index = 3}

// INT8-LABEL: func.func @decode
// INT8-DAG: %[[T:.*]] = qwen.get_param @embed storage "int8" : tensor<163x64xi8>
// INT8-DAG: %[[TS:.*]] = qwen.get_param @embed storage "int8_scale" : tensor<163xf32>
// INT8: qwen.quantized_embedding %{{.*}}, %[[T]] scale %[[TS]] : (tensor<1x5xi32>, tensor<163x64xi8>, tensor<163xf32>) -> tensor<1x5x64xbf16>
// INT8: qwen.layers
// INT8-NOT: qwen.linear
// INT8-DAG: %[[W:.*]] = qwen.get_param @up storage "int8" : tensor<96x64xi8>
// INT8-DAG: %[[S:.*]] = qwen.get_param @up storage "int8_scale" : tensor<96xf32>
// INT8: qwen.quantized_linear %{{.*}}, %[[W]] scale %[[S]] : (tensor<1x5x64xbf16>, tensor<96x64xi8>, tensor<96xf32>) -> tensor<1x5x96xbf16>
// The bias keeps its type.
// INT8: %[[B:.*]] = qwen.get_param @bias : tensor<64xbf16>
// INT8: qwen.quantized_linear %{{.*}} bias %[[B]]

// INT4-LABEL: func.func @decode
// The table of words stays int8.
// INT4: qwen.get_param @embed storage "int8" : tensor<163x64xi8>
// INT4-DAG: %[[W:.*]] = qwen.get_param @up storage "int4" : tensor<96x32xi8>
// INT4-DAG: %[[S:.*]] = qwen.get_param @up storage "int4_scale" : tensor<96xf32>
// INT4-DAG: %[[STEPS:.*]] = qwen.get_param @up storage "int4_step" : tensor<96x2xi8>
// INT4: qwen.quantized_linear %{{.*}}, %[[W]] scale %[[S]] steps %[[STEPS]]
// 40 inputs are not whole groups of 32.
// INT4: qwen.get_param @odd storage "int8"
func.func @decode(%ids: tensor<1x5xi32>, %y: tensor<1x5x40xbf16>) -> tensor<1x5x64xbf16> {
  %table = qwen.get_param @embed : tensor<163x64xbf16>
  %x = qwen.embedding %ids, %table : tensor<1x5xi32>, tensor<163x64xbf16> -> tensor<1x5x64xbf16>
  %out = qwen.layers count 3 carried(%x) slices() states() : (tensor<1x5x64xbf16>) -> tensor<1x5x64xbf16> {
  ^bb0(%c: tensor<1x5x64xbf16>):
    %up = qwen.get_param @up : tensor<96x64xbf16>
    %h = qwen.linear %c, %up : (tensor<1x5x64xbf16>, tensor<96x64xbf16>) -> tensor<1x5x96xbf16>
    %odd = qwen.get_param @odd : tensor<64x40xbf16>
    %bias = qwen.get_param @bias : tensor<64xbf16>
    %z = qwen.linear %y, %odd bias %bias : (tensor<1x5x40xbf16>, tensor<64x40xbf16>, tensor<64xbf16>) -> tensor<1x5x64xbf16>
    qwen.yield carried(%z) stacked() states() : (tensor<1x5x64xbf16>) -> ()
  }
  return %out : tensor<1x5x64xbf16>
}

// Other entries are left alone.
// INT8-LABEL: func.func @eval_loss
// INT8-NOT: storage
func.func @eval_loss(%x: tensor<1x5x64xbf16>) -> tensor<1x5x163xbf16> {
  %table = qwen.get_param @embed : tensor<163x64xbf16>
  %y = qwen.linear %x, %table : (tensor<1x5x64xbf16>, tensor<163x64xbf16>) -> tensor<1x5x163xbf16>
  return %y : tensor<1x5x163xbf16>
}
