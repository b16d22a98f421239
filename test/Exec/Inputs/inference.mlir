// Behind the functions of a model: prefill of three tokens, then the next ones
// by decode, give what logits gives for the whole sequence. Tokens behind the
// third are garbage to prefill.
func.func @check_inference(%tokens: tensor<2x8xi32> {qwen.name = "tokens"},
                           %k0: tensor<2x2x2x8x6xf32>, %v0: tensor<2x2x2x8x6xf32>)
    -> (tensor<2x13xf32>, tensor<2x13xf32>, tensor<2x13xf32>,
        tensor<2x13xf32>, tensor<2x13xf32>, tensor<2x13xf32>) {
  %zero = arith.constant dense<0> : tensor<2xi32>
  %one = arith.constant dense<1> : tensor<2xi32>
  %three = arith.constant dense<3> : tensor<2xi32>
  %four = arith.constant dense<4> : tensor<2xi32>
  %five = arith.constant dense<5> : tensor<2xi32>

  // Every row is one document.
  %documents = arith.constant dense<0> : tensor<2x8xi32>
  %all = func.call @logits(%tokens, %documents)
    : (tensor<2x8xi32>, tensor<2x8xi32>) -> tensor<2x8x13xf32>
  %a2 = qwen.last_token %all, %three : tensor<2x8x13xf32>, tensor<2xi32> -> tensor<2x1x13xf32>
  %a3 = qwen.last_token %all, %four : tensor<2x8x13xf32>, tensor<2xi32> -> tensor<2x1x13xf32>
  %a4 = qwen.last_token %all, %five : tensor<2x8x13xf32>, tensor<2xi32> -> tensor<2x1x13xf32>
  %e2 = qwen.reshape %a2 : tensor<2x1x13xf32> -> tensor<2x13xf32>
  %e3 = qwen.reshape %a3 : tensor<2x1x13xf32> -> tensor<2x13xf32>
  %e4 = qwen.reshape %a4 : tensor<2x1x13xf32> -> tensor<2x13xf32>

  %t3 = kernel.slice %tokens from 3 : tensor<2x8xi32> -> tensor<2x1xi32>
  %t4 = kernel.slice %tokens from 4 : tensor<2x8xi32> -> tensor<2x1xi32>
  %p2, %k1, %v1 = func.call @prefill(%tokens, %zero, %three, %k0, %v0)
    : (tensor<2x8xi32>, tensor<2xi32>, tensor<2xi32>, tensor<2x2x2x8x6xf32>, tensor<2x2x2x8x6xf32>)
    -> (tensor<2x13xf32>, tensor<2x2x2x8x6xf32>, tensor<2x2x2x8x6xf32>)
  %p3, %k2, %v2 = func.call @decode(%t3, %three, %one, %k1, %v1)
    : (tensor<2x1xi32>, tensor<2xi32>, tensor<2xi32>, tensor<2x2x2x8x6xf32>, tensor<2x2x2x8x6xf32>)
    -> (tensor<2x13xf32>, tensor<2x2x2x8x6xf32>, tensor<2x2x2x8x6xf32>)
  %p4, %k3, %v3 = func.call @decode(%t4, %four, %one, %k2, %v2)
    : (tensor<2x1xi32>, tensor<2xi32>, tensor<2xi32>, tensor<2x2x2x8x6xf32>, tensor<2x2x2x8x6xf32>)
    -> (tensor<2x13xf32>, tensor<2x2x2x8x6xf32>, tensor<2x2x2x8x6xf32>)
  return %p2, %p3, %p4, %e2, %e3, %e4
    : tensor<2x13xf32>, tensor<2x13xf32>, tensor<2x13xf32>, tensor<2x13xf32>, tensor<2x13xf32>, tensor<2x13xf32>
}
}
