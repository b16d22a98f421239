//===- onednn_gemm.cpp - Speed of oneDNN's products -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// onednn_gemm ROWS NxK...: bf16 products of the forward pass (x W^T, bf16 out,
// weights in the layout that oneDNN likes best) and of the weights' gradient
// (dy^T x, f32 out). Prints {"NxK": {"forward": GFLOP/s, "weight_grad": ...}},
// medians of 7. tools/bench builds and runs it where libdnnl-dev is installed.
//
//===----------------------------------------------------------------------===//

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

using namespace dnnl;
using Tag = memory::format_tag;
using Type = memory::data_type;

namespace {

double rate(primitive &product, stream &s,
            const std::unordered_map<int, memory> &args, double flops) {
  product.execute(s, args);
  s.wait();
  std::vector<double> seconds;
  for (int i = 0; i < 7; ++i) {
    auto begin = std::chrono::steady_clock::now();
    product.execute(s, args);
    s.wait();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  std::sort(seconds.begin(), seconds.end());
  return flops / seconds[3] / 1e9;
}

/// A memory of bf16 ones: the speed does not depend on the values.
memory filled(const memory::desc &desc, const engine &e) {
  memory m(desc, e);
  auto *data = static_cast<unsigned char *>(m.get_data_handle());
  for (size_t i = 0; i + 1 < desc.get_size(); i += 2) {
    data[i] = 0x80;
    data[i + 1] = 0x3f;
  }
  return m;
}

double product(const engine &e, stream &s, const memory::desc &a,
               const memory::desc &b, const memory::desc &c, double flops) {
  matmul::primitive_desc pd(matmul::desc(a, b, c), e);
  matmul prim(pd);
  memory out(pd.dst_desc(), e);
  return rate(prim, s,
              {{DNNL_ARG_SRC, filled(pd.src_desc(), e)},
               {DNNL_ARG_WEIGHTS, filled(pd.weights_desc(), e)},
               {DNNL_ARG_DST, out}},
              flops);
}

} // namespace

int main(int argc, char **argv) {
  engine e(engine::kind::cpu, 0);
  stream s(e);
  long rows = std::atol(argv[1]);
  std::printf("{");
  for (int i = 2; i < argc; ++i) {
    long n = 0, k = 0;
    std::sscanf(argv[i], "%ldx%ld", &n, &k);
    double flops = 2.0 * rows * n * k;
    double forward = product(e, s, {{rows, k}, Type::bf16, Tag::ab},
                             {{k, n}, Type::bf16, Tag::any},
                             {{rows, n}, Type::bf16, Tag::ab}, flops);
    double gradient = product(e, s, {{n, rows}, Type::bf16, Tag::ba},
                              {{rows, k}, Type::bf16, Tag::ab},
                              {{n, k}, Type::f32, Tag::ab}, flops);
    std::printf("%s\"%s\": {\"forward\": %.1f, \"weight_grad\": %.1f}",
                i > 2 ? ", " : "", argv[i], forward, gradient);
  }
  std::printf("}\n");
}
