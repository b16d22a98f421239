//===- KernelOps.td - The kernel dialect -------------------*- tablegen -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef KERNEL_OPS_TD
#define KERNEL_OPS_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/CallInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/FunctionInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Kernel_Dialect : Dialect {
  let name = "kernel";
  let useDefaultAttributePrinterParser = 1;
  let cppNamespace = "::qwen::kernel";
  let summary = "Fused kernels, launches and planned buffers";
  let description = [{
    A `kernel.func` is exactly one kernel of the target: one root with the
    elementary ops that were fused into it. Its tensors have a dynamic leading
    dimension `?` where the number of rows is known only at run time (rows =
    batch x sequence, merged into one dimension; attention keeps the two apart).
    Elementary ops (`arith` and `math` on tensors, and the ops of the first
    section here) are also what block ops of `qwen` decompose into.
  }];
}

class Kernel_Op<string mnemonic, list<Trait> traits = []>
    : Op<Kernel_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Enums
//===----------------------------------------------------------------------===//

def Kernel_ReductionKind : I32EnumAttr<"ReductionKind", "kind of a reduction", [
    I32EnumAttrCase<"Add", 0, "add">, I32EnumAttrCase<"Max", 1, "max">]> {
  let cppNamespace = "::qwen::kernel";
}

def Kernel_Root : I32EnumAttr<"Root", "what a kernel is built around", [
    I32EnumAttrCase<"Rowwise", 0, "rowwise">,
    I32EnumAttrCase<"ColumnReduce", 1, "column_reduce">,
    I32EnumAttrCase<"Contract", 2, "contract">,
    I32EnumAttrCase<"Scatter", 3, "scatter">,
    I32EnumAttrCase<"Block", 4, "block">]> {
  let cppNamespace = "::qwen::kernel";
}

def Kernel_Space : I32EnumAttr<"Space", "where a buffer lies", [
    I32EnumAttrCase<"Arena", 0, "arena">, I32EnumAttrCase<"Slot", 1, "slot">]> {
  let cppNamespace = "::qwen::kernel";
}

def Kernel_LayerIndex : I32EnumAttr<"LayerIndex", "what moves a buffer in a loop", [
    I32EnumAttrCase<"None", 0, "none">, I32EnumAttrCase<"Layer", 1, "layer">,
    I32EnumAttrCase<"NextLayer", 2, "next_layer">,
    I32EnumAttrCase<"Even", 3, "even">, I32EnumAttrCase<"Odd", 4, "odd">]> {
  let cppNamespace = "::qwen::kernel";
}

class Kernel_Attr<string name, string attrMnemonic> : AttrDef<Kernel_Dialect, name> {
  let mnemonic = attrMnemonic;
}

def Kernel_BufferAttr : Kernel_Attr<"Buffer", "buffer"> {
  let summary = "the planned place of a tensor";
  let description = [{
    `arena`: `offset + stride * index` bytes into the entry's arena; `slot`: the pointer in slot
    `offset + stride * index` of the call. The index is 0 (`none`), the layer
    of the loop around (`layer`, `next_layer` = layer + 1), or the parity of the iteration number
    (`even`) or of the next one (`odd`).
  }];
  let parameters = (ins EnumParameter<Kernel_Space>:$space, "int64_t":$offset,
                        "int64_t":$stride, EnumParameter<Kernel_LayerIndex>:$index);
  let assemblyFormat = "`<` $space `,` $offset `,` $stride `*` $index `>`";
}

//===----------------------------------------------------------------------===//
// Elementary ops
//===----------------------------------------------------------------------===//

def Kernel_BroadcastOp : Kernel_Op<"broadcast", [Pure]> {
  let summary = "repeats a tensor along new dimensions";
  let description = [{
    `result[i0, i1, ...] = operand[i_dims[0], i_dims[1], ...]`: dimension k of
    the operand is dimension `dims[k]` of the result (ascending), and has the same
    size there or size 1. A dynamic dimension of the result is the number of rows of the
    enclosing kernel.

    ```mlir
    %r = kernel.broadcast %w dims [1] : tensor<64xf32> -> tensor<?x64xf32>
    ```
    Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins AnyRankedTensor:$operand, DenseI64ArrayAttr:$dims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $operand `dims` $dims attr-dict `:` type($operand) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Kernel_ReduceOp : Kernel_Op<"reduce", [Pure]> {
  let summary = "reduces some dimensions of a tensor";
  let description = [{
    `result = sum (or max) of operand over dims`. The order of the sum is fixed
    by the target and never depends on the number of threads.

    ```mlir
    %s = kernel.reduce add %x dims [1] : tensor<?x64xf32> -> tensor<?xf32>
    ```
    Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins Kernel_ReductionKind:$kind, AnyRankedTensor:$operand,
                       DenseI64ArrayAttr:$dims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $kind $operand `dims` $dims attr-dict `:` type($operand) `->` type($result)
  }];
  let builders = [OpBuilder<(ins "::qwen::kernel::ReductionKind":$kind,
    "::mlir::Value":$operand, "::llvm::ArrayRef<int64_t>":$dims)>];
  let hasVerifier = 1;
}

def Kernel_ContractOp : Kernel_Op<"contract", [Pure]> {
  let summary = "a product of two tensors summed over shared dimensions";
  let description = [{
    `spec` is Einstein notation, one letter for a dimension. Products and sums
    are in f32 (f64 for f64 operands), whatever the operands' type.

    ```mlir
    %y = kernel.contract "mk,nk->mn" %x, %w
       : tensor<?x64xbf16>, tensor<96x64xbf16> -> tensor<?x96xf32>
    ```
    Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins StrAttr:$spec, AnyRankedTensor:$lhs, AnyRankedTensor:$rhs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $spec $lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Kernel_GatherOp : Kernel_Op<"gather", [Pure]> {
  let summary = "rows of a table by number";
  let description = [{
    `result[r..., c] = table[ids[r...], c]`, or of a vector `result[r...] = table[ids[r...]]`. An id
    outside the table gives zeros.

    ```mlir
    %x = kernel.gather %table[%ids] : tensor<256x64xf32>, tensor<?xi32> -> tensor<?x64xf32>
    ```
    Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins AnyRankedTensor:$table, AnyRankedTensor:$ids);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $table `[` $ids `]` attr-dict `:` type($table) `,` type($ids) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Kernel_ScatterAddOp : Kernel_Op<"scatter_add", [Pure]> {
  let summary = "adds rows to the rows of a table by number";
  let description = [{
    `result = acc; result[ids[r...], c] += rows[r..., c]` in the order of r,
    whatever the number of threads. An id outside the table is ignored.
    Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins AnyRankedTensor:$rows, AnyRankedTensor:$acc,
                       AnyRankedTensor:$ids);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $rows `into` $acc `[` $ids `]` attr-dict `:` functional-type(operands, results)
  }];
  let builders = [OpBuilder<(ins "::mlir::Value":$rows, "::mlir::Value":$acc,
                                 "::mlir::Value":$ids)>];
  let hasVerifier = 1;
}

def Kernel_SliceOp : Kernel_Op<"slice", [Pure]> {
  let summary = "a range of the last dimension";
  let description = [{
    `result[..., c] = operand[..., begin + c]`; the size is the result's.
    Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins AnyRankedTensor:$operand, I64Attr:$begin);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $operand `from` $begin attr-dict `:` type($operand) `->` type($result)
  }];
  let builders = [OpBuilder<(ins "::mlir::Value":$operand, "int64_t":$begin,
                                 "int64_t":$size)>];
  let hasVerifier = 1;
}

def Kernel_ConcatOp : Kernel_Op<"concat", [Pure]> {
  let summary = "joins two tensors along the last dimension";
  let description = [{
    `result[..., c] = c < n ? lhs[..., c] : rhs[..., c - n]`, n = the last
    dimension of lhs. Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins AnyRankedTensor:$lhs, AnyRankedTensor:$rhs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)
  }];
  let builders = [OpBuilder<(ins "::mlir::Value":$lhs, "::mlir::Value":$rhs)>];
  let hasVerifier = 1;
}

def Kernel_UnpackInt4Op : Kernel_Op<"unpack_int4", [Pure]> {
  let summary = "the whole numbers of a matrix packed two to a byte";
  let description = [{
    `result[n, 32 g + j] = steps[n, g] h (h^2 + 144)`, where h is the low half of byte
    `packed[n, 16 g + j]` if j < 16, else the high half of `packed[n, 16 g + j - 16]`, from -8
    to 7 (runtime/abi/qwen_int4.h). Rounded to the result's type.

    ```mlir
    %q = kernel.unpack_int4 %w, %s : tensor<96x32xi8>, tensor<96x2xi8> -> tensor<96x64xbf16>
    ```
    Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins AnyRankedTensor:$packed, AnyRankedTensor:$steps);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $packed `,` $steps attr-dict `:` type($packed) `,` type($steps) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Kernel_IotaOp : Kernel_Op<"iota", [Pure]> {
  let summary = "the index along one dimension";
  let description = [{
    `result[i0, i1, ...] = i_dim`. Only on static shapes (decompositions for the
    oracle); kernels get positions from `qwen.positions`.
  }];
  let arguments = (ins I64Attr:$dim);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$dim attr-dict `:` type($result)";
}

def Kernel_ElementOp : Kernel_Op<"element", [Pure]> {
  let summary = "one element of a static tensor";
  let description = [{
    `result = operand[indices]`, a scalar (rank-0 tensor).

    ```mlir
    %lr = kernel.element %hyper [0, 0] : tensor<2x8xf32> -> tensor<f32>
    ```
    Lifespan: made by decompositions; gone after `codegen`.
  }];
  let arguments = (ins AnyRankedTensor:$operand, DenseI64ArrayAttr:$indices);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$operand $indices attr-dict `:` type($operand) `->` type($result)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Kernels and launches
//===----------------------------------------------------------------------===//

def Kernel_FuncOp : Kernel_Op<"func", [
    FunctionOpInterface, IsolatedFromAbove, AutomaticAllocationScope]> {
  let summary = "one kernel";
  let description = [{
    Exactly one kernel of the target (on the CPU: one or a few parallel tasks in
    sequence). `root` says what it is built around:

    | root | body |
    |---|---|
    | `rowwise` | elementary ops; every value is per row; reductions over the last dimension only |
    | `column_reduce` | rowwise, ending in `kernel.reduce` over the rows (dimension 0), then an add of an accumulator |
    | `contract` | one `kernel.contract` ("mk,nk->mn", "mk,kn->mn" or "mn,mk->nk"), then an elementwise epilogue on its result |
    | `scatter` | one `kernel.scatter_add` |
    | `block` | one block op of `qwen` that has an emitter of its own (attention, cross entropy, cache ops), on the kernel's types |

    An argument attribute `kernel.inplace = r : i64` says that the argument and
    result r are the same memory; no other argument overlaps a result.

    Lifespan: made by `fuse`; becomes target code in `codegen`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
                       TypeAttrOf<FunctionType>:$function_type,
                       Kernel_Root:$root,
                       OptionalAttr<I64Attr>:$workspace,
                       OptionalAttr<DictArrayAttr>:$arg_attrs,
                       OptionalAttr<DictArrayAttr>:$res_attrs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::Type getArgumentType(unsigned i) { return getFunctionType().getInput(i); }
    ::llvm::ArrayRef<::mlir::Type> getArgumentTypes() { return getFunctionType().getInputs(); }
    ::llvm::ArrayRef<::mlir::Type> getResultTypes() { return getFunctionType().getResults(); }
    ::mlir::Region *getCallableRegion() { return &getBody(); }
    /// The argument that shares memory with result `index`, or -1.
    int getInplaceArgument(unsigned index);
  }];
}

def Kernel_ReturnOp : Kernel_Op<"return", [
    Pure, HasParent<"FuncOp">, ReturnLike, Terminator]> {
  let summary = "ends a kernel with its results";
  let arguments = (ins Variadic<AnyType>:$operands);
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
}

def Kernel_LaunchOp : Kernel_Op<"launch", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "runs a kernel";
  let description = [{
    Operands and results are the entry's tensors, of their full static shapes;
    the kernel sees them with leading dimensions merged into its dynamic ones.

    ```mlir
    %y = kernel.launch @rms_norm(%x, %w)
       : (tensor<8x128x64xf32>, tensor<64xf32>) -> tensor<8x128x64xf32>
    ```
    With `unit_sequence` every row holds one token (behind `qwen.last_token`):
    rows = batch. `buffers`: the places of operands, then of results; `workspace`: that of the
    kernel's workspace.

    Lifespan: made by `fuse`; `memory` gives it buffers; gone after `codegen`.
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyType>:$operands,
                       UnitAttr:$unit_sequence,
                       OptionalAttr<TypedArrayAttrBase<Kernel_BufferAttr, "buffers">>:$buffers,
                       OptionalAttr<Kernel_BufferAttr>:$workspace);
  let results = (outs Variadic<AnyType>:$results);
  let assemblyFormat = [{
    $callee `(` $operands `)` attr-dict `:` functional-type($operands, results)
  }];
}

#endif // KERNEL_OPS_TD
