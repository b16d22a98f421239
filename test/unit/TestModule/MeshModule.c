/*===- MeshModule.c - A module for a mesh, written by hand --------*- C -*-===*\
|*
|* Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|*===----------------------------------------------------------------------===*|
|*
|* The model of TestModule.c on DATA x TENSOR devices: rows of the batch are cut
|* over data, columns of all parameters over tensor. Matrices are kept by rows
|* over data too (masters, moments) and gathered into the compute storage. There
|* is a collective of every kind but all_to_all, two at a time where possible.
|*
\*===----------------------------------------------------------------------===*/

#include "runtime/abi/qwen_module.h"

#include <math.h>
#include <string.h>

#define VOCAB 16
#define LAYERS 2
#define CONTEXT 32
#define WIDTH (VOCAB / TENSOR) /* columns of a device */
#define ROWS (VOCAB / DATA)    /* rows of a device's masters */

#define TEXT(x) #x
#define MANIFEST_SECTION(file)                                                 \
  ".section .qwen.manifest,\"\",@progbits\n.incbin " TEXT(                     \
      file) "\n.byte 0\n.previous\n"
__asm__(MANIFEST_SECTION(TEST_MANIFEST));

static int32_t start(qrt_ctx *ctx, int kind, int reduction, int dtype, int id,
                     uint64_t axes, const void *in, void *out, int64_t count) {
  qrt_collective c = {kind, reduction, dtype, id, axes, count};
  return ctx->api->collective_start(ctx, &c, in, out);
}
static int32_t wait(qrt_ctx *ctx) { return ctx->api->collective_wait(ctx); }

#define TRY(call)                                                              \
  do {                                                                         \
    int32_t code = (call);                                                     \
    if (code != QRT_E_OK)                                                      \
      return code;                                                             \
  } while (0)

static int32_t allReduce(qrt_ctx *ctx, int reduction, int dtype, int id,
                         uint64_t axes, void *data, int64_t count) {
  TRY(start(ctx, QRT_ALL_REDUCE, reduction, dtype, id, axes, data, data,
            count));
  return wait(ctx);
}

/* The device's columns of the logits. */
static void logitsOf(void *const *weights, int32_t token, int32_t before,
                     float *out) {
  const float *table = weights[0], *previous = weights[1];
  for (int v = 0; v < WIDTH; ++v) {
    float sum = table[token * WIDTH + v];
    if (before >= 0)
      sum += previous[before * WIDTH + v];
    for (int layer = 0; layer < LAYERS; ++layer)
      sum += ((const float *)weights[2 + layer])[v];
    out[v] = sum;
  }
}

/* Softmax over all devices of tensor: z becomes probabilities, nats[i] the
 * negative logarithm of that of the target. */
static int32_t softmax(qrt_ctx *ctx, float *z, const int32_t *targets,
                       int32_t first, int64_t positions, float *best,
                       float *sums, float *nats) {
  for (int64_t i = 0; i < positions; ++i) {
    best[i] = z[i * WIDTH];
    for (int v = 1; v < WIDTH; ++v)
      best[i] = fmaxf(best[i], z[i * WIDTH + v]);
  }
  TRY(allReduce(ctx, QRT_MAX, QRT_F32, 1, TENSOR_AXES, best, positions));
  for (int64_t i = 0; i < positions; ++i) {
    sums[i] = nats[i] = 0;
    int32_t own = targets[i] - first;
    if (own >= 0 && own < WIDTH)
      nats[i] = best[i] - z[i * WIDTH + own];
    for (int v = 0; v < WIDTH; ++v)
      sums[i] += z[i * WIDTH + v] = expf(z[i * WIDTH + v] - best[i]);
  }
  TRY(start(ctx, QRT_ALL_REDUCE, QRT_SUM, QRT_F32, 2, TENSOR_AXES, sums, sums,
            positions));
  TRY(start(ctx, QRT_ALL_REDUCE, QRT_SUM, QRT_F32, 3, TENSOR_AXES, nats, nats,
            positions));
  TRY(wait(ctx));
  TRY(wait(ctx));
  for (int64_t i = 0; i < positions; ++i) {
    nats[i] = targets[i] < 0 ? 0 : nats[i] + logf(sums[i]);
    for (int v = 0; v < WIDTH; ++v)
      z[i * WIDTH + v] /= sums[i];
  }
  return QRT_E_OK;
}

static int32_t before(const int32_t *tokens, int64_t at, int64_t sequence) {
  return at % sequence ? tokens[at - 1] : -1;
}

/* slots: first column, tokens, targets, inv_count, 4 compute, 4 gradients,
 * loss */
static int32_t microStep(qrt_ctx *ctx, const qrt_call *call) {
  int32_t first = *(const int32_t *)call->args[0];
  const int32_t *tokens = call->args[1], *targets = call->args[2];
  float inverse = *(const float *)call->args[3];
  int64_t sequence = call->extents[1], positions = call->extents[0] * sequence;
  float *z = call->arena, *nats = z + positions * WIDTH;
  for (int64_t i = 0; i < positions; ++i)
    logitsOf(call->args + 4, tokens[i], before(tokens, i, sequence),
             z + i * WIDTH);
  TRY(softmax(ctx, z, targets, first, positions, nats + positions,
              nats + 2 * positions, nats));
  float loss = 0;
  for (int64_t i = 0; i < positions; ++i) {
    loss += nats[i];
    for (int v = 0; v < WIDTH; ++v) {
      float delta =
          targets[i] < 0
              ? 0
              : (z[i * WIDTH + v] - (first + v == targets[i])) * inverse;
      ((float *)call->args[8])[tokens[i] * WIDTH + v] += delta;
      int32_t last = before(tokens, i, sequence);
      if (last >= 0)
        ((float *)call->args[9])[last * WIDTH + v] += delta;
      for (int layer = 0; layer < LAYERS; ++layer)
        ((float *)call->args[10 + layer])[v] += delta;
    }
  }
  *(float *)call->args[12] = loss;
  return allReduce(ctx, QRT_SUM, QRT_F32, 4, DATA_AXES, call->args[12], 1);
}

static void update(const float *h, float scale, int64_t n, const float *g,
                   float *m, float *v, float *w) {
  for (int64_t i = 0; i < n; ++i) {
    float scaled = g[i] * scale;
    m[i] = h[1] * m[i] + (1 - h[1]) * scaled;
    v[i] = h[2] * v[i] + (1 - h[2]) * scaled * scaled;
    w[i] -= h[0] * (m[i] / h[6] / (sqrtf(v[i] / h[7]) + h[3]) + h[4] * w[i]);
  }
}

/* slots: hyper, skip, 4 masters, 4 gradients, 4 first and 4 second moments,
 * grad_norm, nonfinite, 4 compute */
static int32_t optimizerStep(qrt_ctx *ctx, const qrt_call *call) {
  const float *hyper = call->args[0];
  int32_t skip = *(const int32_t *)call->args[1];
  void *const *masters = call->args + 2, *const *gradients = call->args + 6;
  void *const *first = call->args + 10, *const *second = call->args + 14;
  void *const *computes = call->args + 20;
  float *sum = call->arena; /* of the matrices, by rows; then of the biases */
  float *bias = sum + 2 * ROWS * WIDTH;
  for (int p = 0; p < 2; ++p)
    TRY(start(ctx, QRT_REDUCE_SCATTER, QRT_SUM, QRT_F32, 5 + p, DATA_AXES,
              gradients[p], sum + p * ROWS * WIDTH, VOCAB * WIDTH));
  for (int layer = 0; layer < LAYERS; ++layer)
    TRY(start(ctx, QRT_ALL_REDUCE, QRT_SUM, QRT_F32, 7 + layer, DATA_AXES,
              gradients[2 + layer], bias + layer * WIDTH, WIDTH));
  for (int i = 0; i < 2 + LAYERS; ++i)
    TRY(wait(ctx));
  float squares[2] = {0, 0};
  for (int i = 0; i < 2 * ROWS * WIDTH; ++i)
    squares[0] += sum[i] * sum[i];
  for (int i = 0; i < LAYERS * WIDTH; ++i)
    squares[1] += bias[i] * bias[i];
  TRY(allReduce(ctx, QRT_SUM, QRT_F32, 9, DATA_AXES | TENSOR_AXES, squares, 1));
  TRY(allReduce(ctx, QRT_SUM, QRT_F32, 10, TENSOR_AXES, squares + 1, 1));
  float norm = sqrtf(squares[0] + squares[1]);
  int32_t nonfinite = !isfinite(norm);
  *(float *)call->args[18] = norm;
  *(int32_t *)call->args[19] = nonfinite;
  for (int p = 0; p < 2 + LAYERS; ++p) {
    const float *h = hyper + (p < 2 ? 0 : 8);
    float scale = h[5] > 0 && norm + 1e-6f > h[5] ? h[5] / (norm + 1e-6f) : 1;
    int64_t n = p < 2 ? ROWS * WIDTH : WIDTH;
    const float *g = p < 2 ? sum + p * ROWS * WIDTH : bias + (p - 2) * WIDTH;
    if (!skip && !nonfinite) {
      update(h, scale, n, g, first[p], second[p], masters[p]);
      if (p < 2)
        TRY(start(ctx, QRT_ALL_GATHER, QRT_SUM, QRT_F32, 11 + p, DATA_AXES,
                  masters[p], computes[p], n));
    }
    memset(gradients[p], 0, sizeof(float) * WIDTH * (p < 2 ? VOCAB : 1));
  }
  if (!skip && !nonfinite)
    for (int p = 0; p < 2; ++p)
      TRY(wait(ctx));
  return QRT_E_OK;
}

/* slots: 4 masters, 4 compute; those of the biases are the same memory */
static int32_t convertStorage(qrt_ctx *ctx, const qrt_call *call) {
  for (int p = 0; p < 2; ++p)
    TRY(start(ctx, QRT_ALL_GATHER, QRT_SUM, QRT_F32, 13 + p, DATA_AXES,
              call->args[p], call->args[4 + p], ROWS * WIDTH));
  TRY(wait(ctx));
  return wait(ctx);
}

/* slots: first column, tokens, targets, 4 compute, loss, count, correct */
static int32_t evalLoss(qrt_ctx *ctx, const qrt_call *call) {
  int32_t first = *(const int32_t *)call->args[0];
  const int32_t *tokens = call->args[1], *targets = call->args[2];
  int64_t sequence = call->extents[1], positions = call->extents[0] * sequence;
  float *z = call->arena, *nats = z + positions * WIDTH;
  float *best = nats + positions;
  int32_t *found = (int32_t *)(best + 2 * positions);
  int32_t counts[2] = {0, 0};
  float loss = 0;
  for (int64_t i = 0; i < positions; ++i)
    logitsOf(call->args + 3, tokens[i], before(tokens, i, sequence),
             z + i * WIDTH);
  TRY(softmax(ctx, z, targets, first, positions, best, best + positions, nats));
  /* The most likely id: the largest probability is that of exp(0) / sum; the
   * first of the ids that have it. */
  for (int64_t i = 0; i < positions; ++i) {
    best[i] = 0;
    for (int v = 0; v < WIDTH; ++v)
      best[i] = fmaxf(best[i], z[i * WIDTH + v]);
  }
  TRY(allReduce(ctx, QRT_MAX, QRT_F32, 15, TENSOR_AXES, best, positions));
  for (int64_t i = 0; i < positions; ++i) {
    found[i] = -VOCAB;
    for (int v = WIDTH - 1; v >= 0; --v)
      if (z[i * WIDTH + v] == best[i])
        found[i] = -(first + v);
  }
  TRY(allReduce(ctx, QRT_MAX, QRT_I32, 16, TENSOR_AXES, found, positions));
  for (int64_t i = 0; i < positions; ++i) {
    if (targets[i] < 0)
      continue;
    loss += nats[i];
    ++counts[0];
    counts[1] += -found[i] == targets[i];
  }
  TRY(allReduce(ctx, QRT_SUM, QRT_I32, 17, DATA_AXES, counts, 2));
  *(float *)call->args[7] = loss;
  *(int32_t *)call->args[8] = counts[0];
  *(int32_t *)call->args[9] = counts[1];
  return allReduce(ctx, QRT_SUM, QRT_F32, 18, DATA_AXES, call->args[7], 1);
}

/* slots: tokens, 4 compute, logits */
static int32_t logits(qrt_ctx *ctx, const qrt_call *call) {
  (void)ctx;
  const int32_t *tokens = call->args[0];
  int64_t sequence = call->extents[1];
  for (int64_t i = 0; i < call->extents[0] * sequence; ++i)
    logitsOf(call->args + 1, tokens[i], before(tokens, i, sequence),
             (float *)call->args[5] + i * WIDTH);
  return QRT_E_OK;
}

/* slots: tokens, start, length, 4 compute, cache of 2 layers, logits */
static int32_t extend(const qrt_call *call, int64_t sequence) {
  const int32_t *tokens = call->args[0], *begin = call->args[1],
                *length = call->args[2];
  for (int64_t row = 0; row < call->extents[0]; ++row) {
    int32_t end = begin[row] + length[row];
    for (int layer = 0; layer < LAYERS; ++layer)
      for (int32_t i = begin[row]; i < end; ++i)
        ((float *)call->args[7 + layer])[row * CONTEXT + i] =
            (float)tokens[row * sequence + i - begin[row]];
    const float *seen = (const float *)call->args[7] + row * CONTEXT;
    logitsOf(call->args + 3, (int32_t)seen[end - 1],
             end > 1 ? (int32_t)seen[end - 2] : -1,
             (float *)call->args[9] + row * WIDTH);
  }
  return QRT_E_OK;
}
static int32_t prefill(qrt_ctx *ctx, const qrt_call *call) {
  (void)ctx;
  return extend(call, call->extents[1]);
}
static int32_t decode(qrt_ctx *ctx, const qrt_call *call) {
  (void)ctx;
  return extend(call, 1);
}

static const qrt_entry entries[] = {microStep, optimizerStep, convertStorage,
                                    evalLoss,  logits,        prefill,
                                    decode};
static const qrt_variant variants[] = {
    {.target = "cpu", .level = "x86-64-v3", .entries = entries}};
static const qrt_module module = {
    QRT_ABI_VERSION, 1, sizeof entries / sizeof *entries, 0, variants};

__attribute__((visibility("default"))) const qrt_module *
qwen_module_query(uint32_t max_version) {
  return max_version >= QRT_ABI_VERSION ? &module : 0;
}
