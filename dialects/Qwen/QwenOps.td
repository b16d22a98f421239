//===- QwenOps.td - The model-level dialect ----------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_OPS_TD
#define QWEN_OPS_TD

include "dialects/Interfaces/QwenInterfaces.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Qwen_Dialect : Dialect {
  let name = "qwen";
  let cppNamespace = "::qwen";
  let summary = "Language models as their papers write them";
  let description = [{
    Entry points are functions as dialects/Qwen/Entry.h describes. Values are tensors of static (maximum) shapes. Activations are
    `[batch, sequence, ...]`; per-head ones `[batch, sequence, heads, head_dim]`.

    **Rounding**: every op computes and accumulates in f32 (f64 on f64 operands)
    and rounds once, to its result's element type. No pass adds, drops or moves a
    rounding.

    **Names in the formulas**: B batch, T sequence, C hidden, N out, K in, H query
    heads, G key/value heads, D head_dim, S cache length, V vocabulary.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::qwen::kernel::KernelDialect"];
}

class Qwen_Op<string mnemonic, list<Trait> traits = []>
    : Op<Qwen_Dialect, mnemonic, traits>;

/// An op of the model: pure, with a decomposition and a cost.
class Qwen_BlockOp<string mnemonic, list<Trait> traits = []>
    : Qwen_Op<mnemonic, !listconcat([Pure,
        DeclareOpInterfaceMethods<DecomposeOpInterface>,
        DeclareOpInterfaceMethods<CostModelOpInterface, ["getFlops"]>], traits)>;

defvar Qwen_Tensor = AnyRankedTensor;


def Qwen_ActivationKind : I32EnumAttr<"ActivationKind", "an activation function", [
    I32EnumAttrCase<"Silu", 0, "silu">, I32EnumAttrCase<"Gelu", 1, "gelu">,
    I32EnumAttrCase<"GeluTanh", 2, "gelu_tanh">, I32EnumAttrCase<"Relu2", 3, "relu2">]> {
  let cppNamespace = "::qwen";
}

def Qwen_MatmulForm : I32EnumAttr<"MatmulForm", "which operand of a product is stored transposed", [
    I32EnumAttrCase<"NN", 0, "nn">, I32EnumAttrCase<"NT", 1, "nt">,
    I32EnumAttrCase<"TN", 2, "tn">]> {
  let cppNamespace = "::qwen";
}

//===----------------------------------------------------------------------===//
// Parameters and structure
//===----------------------------------------------------------------------===//

def Qwen_ParamOp : Qwen_Op<"param", [Symbol]> {
  let summary = "one logical parameter of the model";
  let description = [{
    A matrix in (out, in) order or a vector, as one layer sees it; `type` is the
    master's type (f32). With `layers` there is one for each iteration of
    `qwen.layers`. `axes` are the logical axes of its dimensions, `group` the
    optimizer's parameter group, `index` its position in the manifest. Weights are never in the IR.

    ```mlir
    qwen.param @q_proj layers 28 : tensor<2048x1024xf32> {axes = ["heads*head_dim", "hidden"], group = 0}
    ```
    Lifespan: made by `import`; stays until `module` writes the manifest.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type,
                       OptionalAttr<I64Attr>:$layers, I64Attr:$index,
                       I64Attr:$group, StrArrayAttr:$axes);
  let assemblyFormat = [{
    $sym_name (`layers` $layers^)? `:` $type attr-dict
  }];
}

def Qwen_GetParamOp : Qwen_Op<"get_param", [Pure,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a parameter as the ops read it";
  let description = [{
    The parameter's storage of the result's element type: `master` (f32) or
    `compute`; or, with `storage`, one part of a quantized form (`dialects/Qwen/Storage.h`
    lists them with their shapes). Inside `qwen.layers` a parameter with layers is that of the current
    iteration. Lifespan: made by `import`; `memory` turns it into an address.
  }];
  let arguments = (ins FlatSymbolRefAttr:$param, OptionalAttr<StrAttr>:$storage);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$param (`storage` $storage^)? attr-dict `:` type($result)";
  let builders = [OpBuilder<(ins "::mlir::Type":$type, "::llvm::StringRef":$param), [{
    build($_builder, $_state, type, param, ::mlir::StringAttr());
  }]>];
}

def Qwen_LayersOp : Qwen_Op<"layers", [AttrSizedOperandSegments, SingleBlock,
    RecursiveMemoryEffects]> {
  let summary = "the rolled stack of layers";
  let description = [{
    Runs its body `count` times, for layer `begin`, `begin + 1`, ... (or backwards from the last one with `reverse`).

    - `carried`: values that go from one iteration to the next, and out;
    - `slices`: stacked `[count, ...]` inputs, of which an iteration sees its layer's;
    - `states`: stacked `[count, ...]` tensors, of which an iteration reads and
      replaces its layer's (gradients, moments, caches).

    The body's arguments are carried, slices, states; `qwen.yield` gives carried,
    stacked (saved values, one more per iteration, out as `[count, ...]`), states. Results:
    carried, stacked, states. Parameters with layers are read inside by `qwen.get_param`.

    Lifespan: made by `import` and `autodiff`; becomes a loop of launches in `codegen`.
  }];
  let arguments = (ins Variadic<Qwen_Tensor>:$carried, Variadic<Qwen_Tensor>:$slices,
                       Variadic<Qwen_Tensor>:$states, I64Attr:$count,
                       DefaultValuedAttr<I64Attr, "0">:$begin, UnitAttr:$reverse);
  let results = (outs Variadic<Qwen_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    `count` $count (`reverse` $reverse^)? `carried` `(` $carried `)`
    `slices` `(` $slices `)` `states` `(` $states `)` attr-dict
    `:` functional-type(operands, results) $body
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::Block &getBlock() { return getBody().front(); }
    ::mlir::ValueRange getCarriedArgs();
    ::mlir::ValueRange getSliceArgs();
    ::mlir::ValueRange getStateArgs();
    ::mlir::ResultRange getCarriedResults();
    ::mlir::ResultRange getStackedResults();
    ::mlir::ResultRange getStateResults();
    /// tensor<count x t> for a slice type t, and back.
    static ::mlir::RankedTensorType stack(::mlir::Type slice, int64_t count);
    static ::mlir::RankedTensorType slice(::mlir::Type stacked);
  }];
}

def Qwen_YieldOp : Qwen_Op<"yield", [Pure, Terminator, HasParent<"LayersOp">,
    AttrSizedOperandSegments]> {
  let summary = "ends an iteration of qwen.layers";
  let arguments = (ins Variadic<Qwen_Tensor>:$carried, Variadic<Qwen_Tensor>:$stacked,
                       Variadic<Qwen_Tensor>:$states);
  let assemblyFormat = [{
    `carried` `(` $carried `)` `stacked` `(` $stacked `)` `states` `(` $states `)`
    attr-dict `:` functional-type(operands, results)
  }];
}

//===----------------------------------------------------------------------===//
// Elementwise and shape ops
//===----------------------------------------------------------------------===//

def Qwen_AddOp : Qwen_BlockOp<"add"> {
  let summary = "the sum of two tensors";
  let description = "`result = lhs + rhs`.";
  let arguments = (ins Qwen_Tensor:$lhs, Qwen_Tensor:$rhs);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)";
}

def Qwen_ZerosOp : Qwen_BlockOp<"zeros"> {
  let summary = "zeros";
  let description = "`result = 0`: the start of a sum.";
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}

def Qwen_CastOp : Qwen_BlockOp<"cast"> {
  let summary = "rounds to another element type";
  let description = "`result = operand`, rounded to nearest even if narrower.";
  let arguments = (ins Qwen_Tensor:$operand);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `->` type($result)";
}

def Qwen_ReshapeOp : Qwen_Op<"reshape", [Pure]> {
  let summary = "the same elements in another shape";
  let description = [{
    Row-major order is kept: a view, never a copy. Leading `[batch, sequence]` stay.
    Lifespan: made by `import`; disappears in `fuse`.
  }];
  let arguments = (ins Qwen_Tensor:$operand);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$operand attr-dict `:` type($operand) `->` type($result)";
  let hasVerifier = 1;
}

def Qwen_PositionsOp : Qwen_BlockOp<"positions", [AttrSizedOperandSegments]> {
  let summary = "the position of every token";
  let description = [{
    `result[b, t] = t + start[b] - starts[b, t]`, of what is there: `start` [B] (tokens already
    in a cache), `starts` [B, T] of `qwen.document_starts` (positions count from 0 in each document).
  }];
  let arguments = (ins Optional<Qwen_Tensor>:$start, Optional<Qwen_Tensor>:$starts);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = [{
    ($start^ `:` type($start))? (`starts` $starts^ `:` type($starts))? attr-dict `->` type($result)
  }];
}

def Qwen_DocumentStartsOp : Qwen_BlockOp<"document_starts"> {
  let summary = "where the document of every token begins";
  let description = [{
    A row may hold several documents: the runs of equal ids. `result[b, t]` = the smallest u with
    `documents[b, u] = documents[b, u + 1] = ... = documents[b, t]`; documents and result [B, T] i32.
    An entry's input `documents` may be left out (`qwen.optional`, a null pointer): then the result is 0
    everywhere, one document a row.
    Lifespan: made by `import`, once in an entry; `qwen.positions` and `qwen.attention` read it.
  }];
  let arguments = (ins Qwen_Tensor:$documents);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$documents attr-dict `:` type($documents) `->` type($result)";
  let hasVerifier = 1;
}

def Qwen_LastTokenOp : Qwen_BlockOp<"last_token"> {
  let summary = "the last valid token of every row";
  let description = "`result[b, 0, c] = x[b, length[b] - 1, c]`.";
  let arguments = (ins Qwen_Tensor:$x, Qwen_Tensor:$length);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$x `,` $length attr-dict `:` type($x) `,` type($length) `->` type($result)";
}

//===----------------------------------------------------------------------===//
// Embedding, linear
//===----------------------------------------------------------------------===//

def Qwen_EmbeddingOp : Qwen_BlockOp<"embedding"> {
  let summary = "rows of a table by token id";
  let description = "`result[b, t, :] = table[ids[b, t], :]`; table [V, C].";
  let arguments = (ins Qwen_Tensor:$ids, Qwen_Tensor:$table);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$ids `,` $table attr-dict `:` type($ids) `,` type($table) `->` type($result)";
}

def Qwen_EmbeddingGradOp : Qwen_BlockOp<"embedding_grad"> {
  let summary = "the gradient of an embedding table";
  let description = "`result = acc; result[ids[b, t], :] += grad[b, t, :]`, in the order of tokens.";
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$ids, Qwen_Tensor:$acc);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = [{
    $grad `,` $ids `into` $acc attr-dict `:` type($grad) `,` type($ids) `,` type($acc) `->` type($result)
  }];
}

def Qwen_LinearOp : Qwen_BlockOp<"linear"> {
  let summary = "a linear layer";
  let description = [{
    `result[b, t, n] = sum_k x[b, t, k] weight[n, k] + bias[n]`; weight [N, K] as
    in PyTorch's nn.Linear.
  }];
  let arguments = (ins Qwen_Tensor:$x, Qwen_Tensor:$weight, Optional<Qwen_Tensor>:$bias);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = [{
    $x `,` $weight (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Qwen_QuantizedEmbeddingOp : Qwen_BlockOp<"quantized_embedding"> {
  let summary = "rows of a table of 8-bit integers by token id";
  let description = [{
    `result[b, t, c] = scale[ids[b, t]] table[ids[b, t], c]`; table [V, C] i8, scale [V] f32.
    Lifespan: made by `quantize-weights`; becomes a kernel in `fuse`.
  }];
  let arguments = (ins Qwen_Tensor:$ids, Qwen_Tensor:$table, Qwen_Tensor:$scale);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = [{
    $ids `,` $table `scale` $scale attr-dict `:` functional-type(operands, results)
  }];
}

def Qwen_QuantizedLinearOp : Qwen_BlockOp<"quantized_linear", [AttrSizedOperandSegments]> {
  let summary = "a linear layer with a weight of small integers";
  let description = [{
    `result[b, t, n] = scale[n] sum_k x[b, t, k] q[n, k] + bias[n]`; scale [N] f32.
    Without `steps`: `q = weight`, [N, K] i8. With steps [N, K/32] i8, from -31 to 31:
    `q[n, 32 g + j] = steps[n, g] d`, where d is the low half of byte
    `weight[n, 16 g + j]` if j < 16, else the high half of `weight[n, 16 g + j - 16]`, as a
    number from -8 to 7; weight [N, K/2] i8.

    q is at most 248, so exact in bf16, and every path from a single row to a large
    product computes the same sum. Weights only: x is not quantized.
    Lifespan: made by `quantize-weights`; becomes a kernel in `fuse`.
  }];
  let arguments = (ins Qwen_Tensor:$x, Qwen_Tensor:$weight, Qwen_Tensor:$scale,
                       Optional<Qwen_Tensor>:$steps, Optional<Qwen_Tensor>:$bias);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = [{
    $x `,` $weight `scale` $scale (`steps` $steps^)? (`bias` $bias^)? attr-dict
    `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Qwen_LinearInputGradOp : Qwen_BlockOp<"linear_input_grad"> {
  let summary = "the gradient of a linear layer's input";
  let description = "`result[b, t, k] = sum_n grad[b, t, n] weight[n, k]`.";
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$weight);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$grad `,` $weight attr-dict `:` type($grad) `,` type($weight) `->` type($result)";
}

def Qwen_LinearWeightGradOp : Qwen_BlockOp<"linear_weight_grad"> {
  let summary = "the gradient of a linear layer's weight, added up";
  let description = "`result[n, k] = acc[n, k] + sum_{b,t} grad[b, t, n] x[b, t, k]`; acc in f32.";
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$x, Qwen_Tensor:$acc);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = [{
    $grad `,` $x `into` $acc attr-dict `:` type($grad) `,` type($x) `,` type($acc) `->` type($result)
  }];
}

def Qwen_BiasGradOp : Qwen_BlockOp<"bias_grad"> {
  let summary = "the gradient of a bias, added up";
  let description = "`result[n] = acc[n] + sum_{b,t} grad[b, t, n]`; acc in f32.";
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$acc);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$grad `into` $acc attr-dict `:` type($grad) `,` type($acc) `->` type($result)";
}

//===----------------------------------------------------------------------===//
// Norms
//===----------------------------------------------------------------------===//

def Qwen_RmsNormOp : Qwen_BlockOp<"rms_norm"> {
  let summary = "root-mean-square norm over the last dimension";
  let description = [{
    `rstd = rsqrt(mean_c(x^2) + eps)`, `result = x rstd weight` (without a weight:
    `x rstd`). x [..., C], weight [C]. `rstd` [...], f32, is saved for the gradient if asked
    for. Zhang and Sennrich, arXiv 1910.07467.
  }];
  let arguments = (ins Qwen_Tensor:$x, Optional<Qwen_Tensor>:$weight, F64Attr:$eps);
  let results = (outs Qwen_Tensor:$result, Optional<Qwen_Tensor>:$rstd);
  let assemblyFormat = [{
    $x (`weight` $weight^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Qwen_RmsNormInputGradOp : Qwen_BlockOp<"rms_norm_input_grad"> {
  let summary = "the gradient of rms_norm's input";
  let description = [{
    With `g = grad weight` and `n = x rstd`: `result = rstd (g - n mean_c(g n))`.
  }];
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$x, Qwen_Tensor:$rstd,
                       Optional<Qwen_Tensor>:$weight);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = [{
    $grad `,` $x `,` $rstd (`weight` $weight^)? attr-dict `:` functional-type(operands, results)
  }];
}

def Qwen_RmsNormWeightGradOp : Qwen_BlockOp<"rms_norm_weight_grad"> {
  let summary = "the gradient of rms_norm's weight, added up";
  let description = "`result[c] = acc[c] + sum_{rows} grad x rstd`.";
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$x, Qwen_Tensor:$rstd, Qwen_Tensor:$acc);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$grad `,` $x `,` $rstd `into` $acc attr-dict `:` functional-type(operands, results)";
}

def Qwen_LayerNormOp : Qwen_BlockOp<"layer_norm"> {
  let summary = "layer norm over the last dimension";
  let description = [{
    `mean = mean_c(x)`, `rstd = rsqrt(mean_c((x - mean)^2) + eps)`,
    `result = (x - mean) rstd weight + bias`. Ba et al., arXiv 1607.06450.
    `mean` and `rstd` [...], f32, are saved for the gradient if asked for.
  }];
  let arguments = (ins Qwen_Tensor:$x, Qwen_Tensor:$weight, Optional<Qwen_Tensor>:$bias, F64Attr:$eps);
  let results = (outs Qwen_Tensor:$result, Variadic<Qwen_Tensor>:$saved);
  let assemblyFormat = [{
    $x `weight` $weight (`bias` $bias^)? attr-dict `:` functional-type(operands, results)
  }];
}

def Qwen_LayerNormInputGradOp : Qwen_BlockOp<"layer_norm_input_grad"> {
  let summary = "the gradient of layer_norm's input";
  let description = [{
    With `g = grad weight` and `n = (x - mean) rstd`:
    `result = rstd (g - mean_c(g) - n mean_c(g n))`.
  }];
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$x, Qwen_Tensor:$mean,
                       Qwen_Tensor:$rstd, Qwen_Tensor:$weight);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$grad `,` $x `,` $mean `,` $rstd `weight` $weight attr-dict `:` functional-type(operands, results)";
}

def Qwen_LayerNormWeightGradOp : Qwen_BlockOp<"layer_norm_weight_grad"> {
  let summary = "the gradient of layer_norm's weight, added up";
  let description = "`result[c] = acc[c] + sum_{rows} grad (x - mean) rstd`. The bias's is `qwen.bias_grad`.";
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$x, Qwen_Tensor:$mean,
                       Qwen_Tensor:$rstd, Qwen_Tensor:$acc);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$grad `,` $x `,` $mean `,` $rstd `into` $acc attr-dict `:` functional-type(operands, results)";
}

//===----------------------------------------------------------------------===//
// Position
//===----------------------------------------------------------------------===//

def Qwen_RopeTableOp : Qwen_BlockOp<"rope_table"> {
  let summary = "cosines and sines of the rotary embedding";
  let description = [{
    `angle[b, t, i] = positions[b, t] inv_freq[i]` (in f32, as the reference
    implementations do), `cos = factor cos(angle)`, `sin = factor sin(angle)`;
    results [B, T, D/2], f32. Scaling (llama3, YaRN) is already in `inv_freq` and `factor`.
    Su et al., arXiv 2104.09864.
  }];
  let arguments = (ins Qwen_Tensor:$positions, DenseF32ArrayAttr:$inv_freq,
                       DefaultValuedAttr<F64Attr, "1.0">:$factor);
  let results = (outs Qwen_Tensor:$cos, Qwen_Tensor:$sin);
  let assemblyFormat = "$positions attr-dict `:` functional-type(operands, results)";
}

def Qwen_RopeOp : Qwen_BlockOp<"rope"> {
  let summary = "rotary position embedding, half-split";
  let description = [{
    With x1, x2 the halves of the last dimension:
    `result = [x1 cos - x2 sin, x2 cos + x1 sin]`; `inverse` rotates the other way
    (its own gradient). x [B, T, H, D], cos and sin [B, T, D/2].
  }];
  let arguments = (ins Qwen_Tensor:$x, Qwen_Tensor:$cos, Qwen_Tensor:$sin, UnitAttr:$inverse);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "(`inverse` $inverse^)? $x `,` $cos `,` $sin attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

def Qwen_AttentionOp : Qwen_BlockOp<"attention"> {
  let summary = "causal grouped-query attention";
  let description = [{
    `p[b, h, t, s] = softmax_s(scale q[b, t, h, :] . k[b, s, h / (H/G), :])` over
    `s <= t`, `result[b, t, h, :] = sum_s p v[b, s, h / (H/G), :]`. q [B, T, H, D],
    k and v [B, T, G, D]. `lse[b, t, h]` = log of the softmax's denominator, f32,
    saved for the gradient if asked for. The probabilities are not rounded.

    With a `window` > 0 only the last so many keys are seen, `s > t - window` (Beltagy et al., arXiv
    2004.05150). With `starts` [B, T] i32 of `qwen.document_starts` only those of the query's own
    document, `s >= starts[b, t]`.
  }];
  let arguments = (ins Qwen_Tensor:$q, Qwen_Tensor:$k, Qwen_Tensor:$v, Optional<Qwen_Tensor>:$starts,
                       F64Attr:$scale, DefaultValuedAttr<I64Attr, "0">:$window);
  let results = (outs Qwen_Tensor:$result, Optional<Qwen_Tensor>:$lse);
  let assemblyFormat = [{
    $q `,` $k `,` $v (`starts` $starts^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Qwen_AttentionGradOp : Qwen_BlockOp<"attention_grad"> {
  let summary = "the gradients of attention";
  let description = [{
    With p recomputed from lse, `dp = grad . v`, `delta[b, t, h] = grad . out`:
    `ds = p (dp - delta) scale`, `dq = ds k`, `dk = sum over t and the group of ds q`,
    `dv = sum over t and the group of p grad`. p is 0 where a key is not seen. Dao, arXiv 2307.08691.
  }];
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$q, Qwen_Tensor:$k, Qwen_Tensor:$v,
                       Qwen_Tensor:$out, Qwen_Tensor:$lse, Optional<Qwen_Tensor>:$starts,
                       F64Attr:$scale, DefaultValuedAttr<I64Attr, "0">:$window);
  let results = (outs Qwen_Tensor:$dq, Qwen_Tensor:$dk, Qwen_Tensor:$dv);
  let assemblyFormat = [{
    $grad `,` $q `,` $k `,` $v `,` $out `,` $lse (`starts` $starts^)? attr-dict
    `:` functional-type(operands, results)
  }];
}

def Qwen_KvAppendOp : Qwen_BlockOp<"kv_append"> {
  let summary = "writes new keys or values into a cache";
  let description = [{
    `result = cache; result[b, g, start[b] + t, :] = x[b, t, g, :]` where that is
    below S. cache [B, G, S, D], x [B, T, G, D], start [B] i32.
  }];
  let arguments = (ins Qwen_Tensor:$x, Qwen_Tensor:$start, Qwen_Tensor:$cache);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$x `,` $start `into` $cache attr-dict `:` functional-type(operands, results)";
}

def Qwen_CachedAttentionOp : Qwen_BlockOp<"cached_attention"> {
  let summary = "attention over a cache";
  let description = [{
    As `qwen.attention`, with row (b, t) attending to the cache positions `s <= p` where
    `p = min(start[b] + t, S - 1)`, and with a `window` > 0 to `s > p - window` of them.
    q [B, T, H, D], k and v [B, G, S, D], start [B] i32.
  }];
  let arguments = (ins Qwen_Tensor:$q, Qwen_Tensor:$k, Qwen_Tensor:$v, Qwen_Tensor:$start,
                       F64Attr:$scale, DefaultValuedAttr<I64Attr, "0">:$window);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$q `,` $k `,` $v `,` $start attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

def Qwen_ActivationOp : Qwen_BlockOp<"activation"> {
  let summary = "an activation function";
  let description = [{
    silu: `x sigmoid(x)`; gelu: `x Phi(x)`; gelu_tanh:
    `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`; relu2: `max(x, 0)^2`.
  }];
  let arguments = (ins Qwen_ActivationKind:$kind, Qwen_Tensor:$x);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$kind $x attr-dict `:` type($x) `->` type($result)";
}

def Qwen_ActivationGradOp : Qwen_BlockOp<"activation_grad"> {
  let summary = "the gradient of an activation function";
  let description = "`result = grad f'(x)`.";
  let arguments = (ins Qwen_ActivationKind:$kind, Qwen_Tensor:$grad, Qwen_Tensor:$x);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$kind $grad `,` $x attr-dict `:` functional-type(operands, results)";
}

def Qwen_GluOp : Qwen_BlockOp<"glu"> {
  let summary = "a gated linear unit";
  let description = [{
    `result = f(gate) up`, f as in `qwen.activation`; with silu: SwiGLU.
    f(gate) is not rounded before the product. Shazeer, arXiv 2002.05202.
  }];
  let arguments = (ins Qwen_ActivationKind:$kind, Qwen_Tensor:$gate, Qwen_Tensor:$up);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$kind $gate `,` $up attr-dict `:` functional-type(operands, results)";
}

def Qwen_GluGradOp : Qwen_BlockOp<"glu_grad"> {
  let summary = "the gradients of a gated linear unit";
  let description = "`dgate = grad up f'(gate)`, `dup = grad f(gate)`.";
  let arguments = (ins Qwen_ActivationKind:$kind, Qwen_Tensor:$grad, Qwen_Tensor:$gate, Qwen_Tensor:$up);
  let results = (outs Qwen_Tensor:$dgate, Qwen_Tensor:$dup);
  let assemblyFormat = "$kind $grad `,` $gate `,` $up attr-dict `:` functional-type(operands, results)";
}

def Qwen_SoftcapOp : Qwen_BlockOp<"softcap"> {
  let summary = "bounds values smoothly";
  let description = "`result = cap tanh(x / cap)`.";
  let arguments = (ins Qwen_Tensor:$x, F64Attr:$cap);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($x) `->` type($result)";
}

def Qwen_SoftcapGradOp : Qwen_BlockOp<"softcap_grad"> {
  let summary = "the gradient of softcap";
  let description = "`result = grad (1 - tanh(x / cap)^2)`.";
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$x, F64Attr:$cap);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$grad `,` $x attr-dict `:` functional-type(operands, results)";
}

//===----------------------------------------------------------------------===//
// Losses
//===----------------------------------------------------------------------===//

def Qwen_CrossEntropyOp : Qwen_BlockOp<"cross_entropy"> {
  let summary = "cross entropy of logits";
  let description = [{
    Over the positions with `0 <= targets[b, t] < V`:
    `loss = sum (logsumexp_v(logits[b, t, :]) - logits[b, t, targets[b, t]])` in
    nats, `count` = their number, `correct` = how many have their target as
    the first largest logit. Scalars; logits [B, T, V], targets [B, T] i32.
    With `z_weight` > 0 the loss gets `z_weight logsumexp^2` more at each of these positions, which holds the
    softmax's denominator near 1 (Chowdhery et al., arXiv 2204.02311). It is a part of training
    only: `autodiff` takes it out of `eval_loss`.
    Lifespan: made by `import`; with its `qwen.linear` it becomes `qwen.linear_cross_entropy` in `model`.
  }];
  let arguments = (ins Qwen_Tensor:$logits, Qwen_Tensor:$targets,
                       DefaultValuedAttr<F64Attr, "0.0">:$z_weight);
  let results = (outs Qwen_Tensor:$loss, Qwen_Tensor:$count, Qwen_Tensor:$correct);
  let assemblyFormat = "$logits `,` $targets attr-dict `:` functional-type(operands, results)";
}

def Qwen_CrossEntropyGradOp : Qwen_BlockOp<"cross_entropy_grad"> {
  let summary = "the gradient of cross entropy by its logits";
  let description = [{
    `result = seed (softmax(logits) (1 + 2 z_weight logsumexp(logits)) - onehot(target))`, 0 for ignored
    targets. seed: scalar f32, the gradient of the loss.
    Lifespan: made by `autodiff` where `model` could not form `qwen.linear_cross_entropy`.
  }];
  let arguments = (ins Qwen_Tensor:$logits, Qwen_Tensor:$targets, Qwen_Tensor:$seed,
                       DefaultValuedAttr<F64Attr, "0.0">:$z_weight);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$logits `,` $targets `,` $seed attr-dict `:` functional-type(operands, results)";
}

def Qwen_LinearCrossEntropyOp : Qwen_BlockOp<"linear_cross_entropy"> {
  let summary = "the language-model head and its loss, never holding all logits";
  let description = [{
    `qwen.cross_entropy` of `softcap(x weight^T)` (no softcap if `cap` is 0): x [B, T, C],
    weight [V, C].
  }];
  let arguments = (ins Qwen_Tensor:$x, Qwen_Tensor:$weight, Qwen_Tensor:$targets,
                       DefaultValuedAttr<F64Attr, "0.0">:$cap,
                       DefaultValuedAttr<F64Attr, "0.0">:$z_weight);
  let results = (outs Qwen_Tensor:$loss, Qwen_Tensor:$count, Qwen_Tensor:$correct);
  let assemblyFormat = "$x `,` $weight `,` $targets attr-dict `:` functional-type(operands, results)";
}

def Qwen_LinearCrossEntropyGradOp : Qwen_BlockOp<"linear_cross_entropy_grad"> {
  let summary = "the loss and its gradients in one pass over the logits";
  let description = [{
    `loss` as in `qwen.linear_cross_entropy`; with z the capped logits and
    `dz = seed (softmax(z) (1 + 2 z_weight logsumexp(z)) - onehot(target))` (0 for ignored targets), taken
    back through the softcap and rounded to x's element type:
    `dx = dz weight`, `result = acc + dz^T x`. seed: scalar f32, the gradient of the loss.
  }];
  let arguments = (ins Qwen_Tensor:$x, Qwen_Tensor:$weight, Qwen_Tensor:$targets,
                       Qwen_Tensor:$seed, Qwen_Tensor:$acc,
                       DefaultValuedAttr<F64Attr, "0.0">:$cap,
                       DefaultValuedAttr<F64Attr, "0.0">:$z_weight);
  let results = (outs Qwen_Tensor:$loss, Qwen_Tensor:$dx, Qwen_Tensor:$result);
  let assemblyFormat = "$x `,` $weight `,` $targets `,` $seed `into` $acc attr-dict `:` functional-type(operands, results)";
}

//===----------------------------------------------------------------------===//
// Optimizer
//===----------------------------------------------------------------------===//

def Qwen_SumSquaresOp : Qwen_BlockOp<"sum_squares"> {
  let summary = "adds up squares";
  let description = "`result = acc + sum x^2` (without acc: `sum x^2`); scalars in f32.";
  let arguments = (ins Qwen_Tensor:$x, Optional<Qwen_Tensor>:$acc);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = [{
    $x (`into` $acc^)? attr-dict `:` type($x) (`,` type($acc)^)? `->` type($result)
  }];
}

def Qwen_ClipOp : Qwen_BlockOp<"clip"> {
  let summary = "the global gradient norm and what follows from it";
  let description = [{
    `norm = sqrt(sum_squares)`; `nonfinite` = 1 if norm is infinite or no number;
    `scale = min(1, clip / (norm + 1e-6))` (1 if clip is 0), and 0 if nothing may
    be updated (`skip` not 0, or nonfinite). clip = `hyper[0, 5]`. norm, nonfinite, scale: scalars; scale f32.
  }];
  let arguments = (ins Qwen_Tensor:$sum_squares, Qwen_Tensor:$hyper, Qwen_Tensor:$skip);
  let results = (outs Qwen_Tensor:$norm, Qwen_Tensor:$nonfinite, Qwen_Tensor:$scale);
  let assemblyFormat = "$sum_squares `,` $hyper `,` $skip attr-dict `:` functional-type(operands, results)";
}

def Qwen_AdamWOp : Qwen_BlockOp<"adamw"> {
  let summary = "one AdamW update of one parameter";
  let description = [{
    With row `group` of hyper = (lr, beta1, beta2, eps, weight_decay, clip, c1, c2),
    `c1 = 1 - beta1^t`, `c2 = 1 - beta2^t` and `g = scale grad`:
    `m' = m + (1 - beta1) (g - m)`, `v' = beta2 v + (1 - beta2) g^2`,
    `p' = p (1 - lr weight_decay) - lr (m'/c1) / (sqrt(v'/c2) + eps)`, `grad' = 0`.
    With scale = 0 param, m and v stay. Loshchilov and Hutter, arXiv 1711.05101;
    as torch.optim.AdamW computes it.
  }];
  let arguments = (ins Qwen_Tensor:$param, Qwen_Tensor:$grad, Qwen_Tensor:$m, Qwen_Tensor:$v,
                       Qwen_Tensor:$hyper, Qwen_Tensor:$scale, I64Attr:$group);
  let results = (outs Qwen_Tensor:$new_param, Qwen_Tensor:$new_grad, Qwen_Tensor:$new_m, Qwen_Tensor:$new_v);
  let assemblyFormat = [{
    $param `,` $grad `,` $m `,` $v `,` $hyper `,` $scale attr-dict `:` functional-type(operands, results)
  }];
}

def Qwen_MuonOp : Qwen_BlockOp<"muon"> {
  let summary = "one Muon update of one matrix";
  let description = [{
    With row `group` of hyper = (lr, mu, -, eps, weight_decay, clip, -, -) and `g = scale grad`:
    `m' = m + (1 - mu) (g - m)`, `u = g + mu (m' - g)` (without `nesterov`: `u = m'`),
    `X = u / (|u| + eps)` with the Frobenius norm, then `steps` times
    `A = X X^T`, `B = b A + c A A`, `X = a X + B X` (for a matrix with more rows than
    columns `A = X^T X`, `X = a X + X B`: the same without a transpose) with
    (a, b, c) = (3.4445, -4.7750, 2.0315), and at the end
    `p' = p (1 - lr weight_decay) - lr factor X`, `grad' = 0`. With `bf16` u, X, A and B are
    rounded to bf16. With scale = 0 param and m stay. param: (out, in), the whole logical matrix.
    Jordan et al., github.com/KellerJordan/Muon.
    Lifespan: made by `autodiff`; `fuse` begins with writing it as `qwen.muon_*` and `qwen.matmul`.
  }];
  let arguments = (ins Qwen_Tensor:$param, Qwen_Tensor:$grad, Qwen_Tensor:$m,
                       Qwen_Tensor:$hyper, Qwen_Tensor:$scale, I64Attr:$group,
                       I64Attr:$steps, F64Attr:$factor, UnitAttr:$nesterov, UnitAttr:$bf16);
  let results = (outs Qwen_Tensor:$new_param, Qwen_Tensor:$new_grad, Qwen_Tensor:$new_m);
  let assemblyFormat = [{
    $param `,` $grad `,` $m `,` $hyper `,` $scale attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Qwen_MuonMomentumOp : Qwen_BlockOp<"muon_momentum"> {
  let summary = "the first part of qwen.muon: momentum";
  let description = "`u`, `grad'` and `m'` of `qwen.muon`, u rounded to its result's type.";
  let arguments = (ins Qwen_Tensor:$grad, Qwen_Tensor:$m, Qwen_Tensor:$hyper,
                       Qwen_Tensor:$scale, I64Attr:$group, UnitAttr:$nesterov);
  let results = (outs Qwen_Tensor:$u, Qwen_Tensor:$new_grad, Qwen_Tensor:$new_m);
  let assemblyFormat = "$grad `,` $m `,` $hyper `,` $scale attr-dict `:` functional-type(operands, results)";
}

def Qwen_MuonNormalizeOp : Qwen_BlockOp<"muon_normalize"> {
  let summary = "the second part of qwen.muon: a matrix of norm 1";
  let description = "`result = u / (sqrt(sum_squares) + eps)`, eps = `hyper[group, 3]`.";
  let arguments = (ins Qwen_Tensor:$u, Qwen_Tensor:$sum_squares, Qwen_Tensor:$hyper, I64Attr:$group);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$u `,` $sum_squares `,` $hyper attr-dict `:` functional-type(operands, results)";
}

def Qwen_MatmulOp : Qwen_BlockOp<"matmul"> {
  let summary = "a product of matrices, scaled and added to another";
  let description = [{
    `result = alpha lhs rhs + beta addend` for matrices [m, k] and [k, n] (`nn`); `nt`: rhs is stored
    as [n, k], `tn`: lhs is stored as [k, m]. Without an addend: `alpha lhs rhs`. Matrices of the
    optimizer: no dimension is a row of tokens.
  }];
  let arguments = (ins Qwen_MatmulForm:$form, Qwen_Tensor:$lhs, Qwen_Tensor:$rhs,
                       Optional<Qwen_Tensor>:$addend,
                       DefaultValuedAttr<F64Attr, "1.0">:$alpha,
                       DefaultValuedAttr<F64Attr, "1.0">:$beta);
  let results = (outs Qwen_Tensor:$result);
  let assemblyFormat = "$form $lhs `,` $rhs (`plus` $addend^)? attr-dict `:` functional-type(operands, results)";
  let hasVerifier = 1;
}

def Qwen_MuonUpdateOp : Qwen_BlockOp<"muon_update"> {
  let summary = "the last part of qwen.muon: the step";
  let description = "`p'` of `qwen.muon`, from X after its iterations.";
  let arguments = (ins Qwen_Tensor:$param, Qwen_Tensor:$x, Qwen_Tensor:$hyper,
                       Qwen_Tensor:$scale, I64Attr:$group, F64Attr:$factor);
  let results = (outs Qwen_Tensor:$new_param);
  let assemblyFormat = "$param `,` $x `,` $hyper `,` $scale attr-dict `:` functional-type(operands, results)";
}

#endif // QWEN_OPS_TD
