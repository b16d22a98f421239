// REQUIRES: qwen-exec
// RUN: not qwen-exec %s --check-gradient --function wrong | FileCheck %s --check-prefix=WRONG
// RUN: not qwen-exec %s --check-gradient --function nan | FileCheck %s --check-prefix=NAN
// RUN: not qwen-exec %s --check-gradient --function no_rule 2>&1 | FileCheck %s --check-prefix=RULE
// RUN: not qwen-exec %s --check-gradient --function other 2>&1 | FileCheck %s --check-prefix=OTHER
// RUN: qwen-exec %s --check-gradient --function right | FileCheck %s --check-prefix=RIGHT

// The check itself: hand-written gradients are taken in place of the rules.

// WRONG: wrong: d/d arg0: WRONG, 3 of 3 elements, relative error 5.0e-01, element {{[012]}}: expected {{.*}}, got
func.func @wrong(%x: tensor<1x3xf32>) -> tensor<1x3xf32> {
  %y = qwen.add %x, %x : tensor<1x3xf32>, tensor<1x3xf32> -> tensor<1x3xf32>
  return %y : tensor<1x3xf32>
}
func.func @wrong_grad(%x: tensor<1x3xf32>, %dy: tensor<1x3xf32>) -> (tensor<1x3xf32>, tensor<1x3xf32>) {
  return %x, %dy : tensor<1x3xf32>, tensor<1x3xf32>
}

// RIGHT: right: d/d arg0: ok, 3 of 3 elements
func.func @right(%x: tensor<1x3xf32>) -> tensor<1x3xf32> {
  %y = qwen.add %x, %x : tensor<1x3xf32>, tensor<1x3xf32> -> tensor<1x3xf32>
  return %y : tensor<1x3xf32>
}
func.func @right_grad(%x: tensor<1x3xf32>, %dy: tensor<1x3xf32>) -> (tensor<1x3xf32>, tensor<1x3xf32>) {
  %dx = qwen.add %dy, %dy : tensor<1x3xf32>, tensor<1x3xf32> -> tensor<1x3xf32>
  return %x, %dx : tensor<1x3xf32>, tensor<1x3xf32>
}

// NAN: nan: d/d arg0: WRONG, {{.*}} got nan
func.func @nan(%x: tensor<1x3xf32>) -> tensor<1x3xf32> {
  return %x : tensor<1x3xf32>
}
func.func @nan_grad(%x: tensor<1x3xf32>, %dy: tensor<1x3xf32>) -> (tensor<1x3xf32>, tensor<1x3xf32>) {
  %c = arith.constant dense<0x7FC00000> : tensor<1x3xf32>
  return %x, %c : tensor<1x3xf32>, tensor<1x3xf32>
}

// RULE: [[@LINE+2]]:8: error: 'qwen.softcap_grad' op has no derivative rule
func.func @no_rule(%x: tensor<1x3xf32>) -> tensor<1x3xf32> {
  %y = qwen.softcap_grad %x, %x {cap = 3.0 : f64} : (tensor<1x3xf32>, tensor<1x3xf32>) -> tensor<1x3xf32>
  return %y : tensor<1x3xf32>
}

// OTHER: error: 'func.func' op is not the gradient of other
func.func @other(%x: tensor<1x3xf32>, %y: tensor<1x3xf32>) -> tensor<1x3xf32> {
  return %x : tensor<1x3xf32>
}
func.func @other_grad(%x: tensor<1x3xf32>, %dy: tensor<1x3xf32>) -> (tensor<1x3xf32>, tensor<1x3xf32>) {
  return %x, %dy : tensor<1x3xf32>, tensor<1x3xf32>
}
