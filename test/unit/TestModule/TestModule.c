/*===- TestModule.c - A module written by hand --------------------*- C -*-===*\
|*
|* Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|*===----------------------------------------------------------------------===*|
|*
|* Stands in for what qwenc writes, so that the runtime is tested without the
|* compiler: the ABI, the entry points and the manifest are real, the model is
|*     logits[t] = table[token t] + before[token t-1] + sum over layers of bias
|* which has everything the runtime must handle: a layered parameter, two
|* parameter groups, a cache, parallel kernels, gradients that can be checked.
|* COMPUTE_BF16 gives the compute storage another type than the masters,
|* TEST_CUDA a variant for a GPU.
|*
\*===----------------------------------------------------------------------===*/

#include "runtime/abi/qwen_module.h"

#include <math.h>
#include <string.h>

#define VOCAB 16
#define LAYERS 2
#define CONTEXT 32
#define GROUPS 2

#ifndef TEST_ABI_VERSION
#define TEST_ABI_VERSION QRT_ABI_VERSION
#endif

#define TEXT(x) #x
#define MANIFEST_SECTION(file)                                                 \
  ".section .qwen.manifest,\"\",@progbits\n.incbin " TEXT(                     \
      file) "\n.byte 0\n.previous\n"
__asm__(MANIFEST_SECTION(TEST_MANIFEST));

#ifdef COMPUTE_BF16
typedef uint16_t compute;
static float load(compute value) {
  uint32_t bits = (uint32_t)value << 16;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}
static compute store(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return (compute)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#else
typedef float compute;
static float load(compute value) { return value; }
static compute store(float value) { return value; }
#endif

/* The parameters as an entry finds them from slot `first` on: table, before,
 * and one bias a layer. */
enum { PARAMETERS = 2 + LAYERS };
static int64_t parameterSize(int index) {
  return index < 2 ? VOCAB * VOCAB : VOCAB;
}
static int parameterGroup(int index) { return index < 2 ? 0 : 1; }

static void logitsOf(void *const *weights, int32_t token, int32_t before,
                     float *out) {
  const compute *table = weights[0], *previous = weights[1];
  for (int v = 0; v < VOCAB; ++v) {
    float sum = load(table[token * VOCAB + v]);
    if (before >= 0)
      sum += load(previous[before * VOCAB + v]);
    for (int layer = 0; layer < LAYERS; ++layer)
      sum += load(((const compute *)weights[2 + layer])[v]);
    out[v] = sum;
  }
}

/* Softmax in place; returns the nats of `target`. */
static float softmax(float *z, int32_t target) {
  float best = z[0], total = 0;
  for (int v = 1; v < VOCAB; ++v)
    best = z[v] > best ? z[v] : best;
  float nats = best - z[target];
  for (int v = 0; v < VOCAB; ++v) {
    z[v] = expf(z[v] - best);
    total += z[v];
  }
  for (int v = 0; v < VOCAB; ++v)
    z[v] /= total;
  return nats + logf(total);
}

/* Positions of a micro step. */
struct step {
  const int32_t *tokens, *targets;
  void *const *weights;
  void *const *gradients;
  int64_t sequence, positions;
  float inverse;
  float *delta, *nats; /* [positions, VOCAB], [positions] */
};

static int32_t tokenBefore(const struct step *s, int64_t at) {
  return at % s->sequence ? s->tokens[at - 1] : -1;
}

static void positionsTask(void *raw, int64_t begin, int64_t end,
                          void *scratch) {
  struct step *s = raw;
  for (int64_t at = begin; at < end; ++at) {
    /* Through the scratch, so that a wrong one is noticed. */
    float *z = scratch;
    int32_t target = s->targets[at];
    logitsOf(s->weights, s->tokens[at], tokenBefore(s, at), z);
    s->nats[at] = target < 0 ? 0 : softmax(z, target);
    for (int v = 0; v < VOCAB; ++v)
      s->delta[at * VOCAB + v] =
          target < 0 ? 0 : (z[v] - (v == target)) * s->inverse;
  }
}

/* One unit is one column of all gradients: positions are added up in order. */
static void gradientsTask(void *raw, int64_t begin, int64_t end,
                          void *scratch) {
  (void)scratch;
  struct step *s = raw;
  for (int64_t at = 0; at < s->positions; ++at)
    for (int64_t v = begin; v < end; ++v) {
      float delta = s->delta[at * VOCAB + v];
      ((float *)s->gradients[0])[s->tokens[at] * VOCAB + v] += delta;
      if (tokenBefore(s, at) >= 0)
        ((float *)s->gradients[1])[tokenBefore(s, at) * VOCAB + v] += delta;
      for (int layer = 0; layer < LAYERS; ++layer)
        ((float *)s->gradients[2 + layer])[v] += delta;
    }
}

/* slots: tokens, targets, inv_count, 4 compute, 4 gradients, loss */
static int32_t microStep(qrt_ctx *ctx, const qrt_call *call) {
  struct step s;
  s.tokens = call->args[0];
  s.targets = call->args[1];
  s.inverse = *(const float *)call->args[2];
  s.weights = call->args + 3;
  s.gradients = call->args + 7;
  s.sequence = call->extents[1];
  s.positions = call->extents[0] * s.sequence;
  s.delta = call->arena;
  s.nats = s.delta + s.positions * VOCAB;
  ctx->api->parallel_for(ctx, "positions", positionsTask, &s, s.positions, 2);
  ctx->api->parallel_for(ctx, "gradients", gradientsTask, &s, VOCAB, 3);
  float loss = 0;
  for (int64_t at = 0; at < s.positions; ++at)
    loss += s.nats[at];
  *(float *)call->args[11] = loss;
  return QRT_E_OK;
}

/* slots: hyper, skip, 4 masters, 4 gradients, 4 first and 4 second moments,
 * grad_norm, nonfinite, 4 compute */
static int32_t optimizerStep(qrt_ctx *ctx, const qrt_call *call) {
  (void)ctx;
  const float *hyper = call->args[0];
  int32_t skip = *(const int32_t *)call->args[1];
  void *const *masters = call->args + 2, *const *gradients = call->args + 6;
  void *const *first = call->args + 10, *const *second = call->args + 14;
  void *const *computes = call->args + 20;
  double squares = 0;
  for (int p = 0; p < PARAMETERS; ++p)
    for (int64_t i = 0; i < parameterSize(p); ++i) {
      double g = ((float *)gradients[p])[i];
      squares += g * g;
    }
  float norm = (float)sqrt(squares);
  int32_t nonfinite = !isfinite(norm);
  *(float *)call->args[18] = norm;
  *(int32_t *)call->args[19] = nonfinite;
  for (int p = 0; p < PARAMETERS; ++p) {
    const float *h = hyper + 8 * parameterGroup(p);
    float scale = h[5] > 0 && norm + 1e-6f > h[5] ? h[5] / (norm + 1e-6f) : 1;
    for (int64_t i = 0; i < parameterSize(p); ++i) {
      float *g = (float *)gradients[p] + i;
      if (!skip && !nonfinite) {
        float *m = (float *)first[p] + i, *v = (float *)second[p] + i;
        float *w = (float *)masters[p] + i, scaled = *g * scale;
        *m = h[1] * *m + (1 - h[1]) * scaled;
        *v = h[2] * *v + (1 - h[2]) * scaled * scaled;
        *w -= h[0] * (*m / h[6] / (sqrtf(*v / h[7]) + h[3]) + h[4] * *w);
        ((compute *)computes[p])[i] = store(*w);
      }
      *g = 0;
    }
  }
  return QRT_E_OK;
}

/* slots: 4 masters, 4 compute */
static int32_t convertStorage(qrt_ctx *ctx, const qrt_call *call) {
  (void)ctx;
  for (int p = 0; p < PARAMETERS; ++p)
    for (int64_t i = 0; i < parameterSize(p); ++i)
      ((compute *)call->args[4 + p])[i] = store(((float *)call->args[p])[i]);
  return QRT_E_OK;
}

/* slots: tokens, targets, 4 compute, loss, count, correct */
static int32_t evalLoss(qrt_ctx *ctx, const qrt_call *call) {
  (void)ctx;
  struct step s = {.tokens = call->args[0], .targets = call->args[1]};
  s.sequence = call->extents[1];
  float loss = 0;
  int32_t count = 0, correct = 0;
  for (int64_t at = 0; at < call->extents[0] * s.sequence; ++at) {
    float z[VOCAB];
    int best = 0;
    if (s.targets[at] < 0)
      continue;
    logitsOf(call->args + 2, s.tokens[at], tokenBefore(&s, at), z);
    for (int v = 1; v < VOCAB; ++v)
      best = z[v] > z[best] ? v : best;
    loss += softmax(z, s.targets[at]);
    correct += best == s.targets[at];
    ++count;
  }
  *(float *)call->args[6] = loss;
  *(int32_t *)call->args[7] = count;
  *(int32_t *)call->args[8] = correct;
  return QRT_E_OK;
}

/* slots: tokens, 4 compute, logits */
static int32_t logits(qrt_ctx *ctx, const qrt_call *call) {
  (void)ctx;
  struct step s = {.tokens = call->args[0]};
  s.sequence = call->extents[1];
  for (int64_t at = 0; at < call->extents[0] * s.sequence; ++at)
    logitsOf(call->args + 1, s.tokens[at], tokenBefore(&s, at),
             (float *)call->args[5] + at * VOCAB);
  return QRT_E_OK;
}

/* slots: tokens, start, length, 4 compute, cache of 2 layers, logits. The cache
 * holds the tokens; reading it back is what gives the token before. */
static int32_t extend(const qrt_call *call, int64_t sequence) {
  const int32_t *tokens = call->args[0], *start = call->args[1],
                *length = call->args[2];
  for (int64_t row = 0; row < call->extents[0]; ++row) {
    int32_t end = start[row] + length[row];
    if (end > CONTEXT || length[row] < 1 || length[row] > sequence)
      return QRT_E_COLLECTIVE;
    for (int layer = 0; layer < LAYERS; ++layer)
      for (int32_t i = start[row]; i < end; ++i)
        ((float *)call->args[7 + layer])[row * CONTEXT + i] =
            (float)tokens[row * sequence + i - start[row]];
    const float *seen =
        (const float *)call->args[7 + LAYERS - 1] + row * CONTEXT;
    logitsOf(call->args + 3, (int32_t)seen[end - 1],
             end > 1 ? (int32_t)seen[end - 2] : -1,
             (float *)call->args[9] + row * VOCAB);
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
#ifdef TEST_CUDA
/* Target cuda: every entry launches one kernel of its name, which gets all that
 * the entry was given; what runs it is the test's. */
enum { MAX_SLOTS = 24, KERNEL_PARAMS = MAX_SLOTS + 3 };
static int32_t onGpu(qrt_ctx *ctx, const qrt_call *call, uint32_t kernel,
                     int slots, int extents) {
  uint64_t values[KERNEL_PARAMS] = {0};
  void *params[KERNEL_PARAMS];
  const uint32_t grid[3] = {1, 1, 1};
  for (int i = 0; i < slots; ++i)
    values[i] = (uint64_t)(uintptr_t)call->args[i];
  for (int i = 0; i < extents; ++i)
    values[MAX_SLOTS + i] = (uint64_t)call->extents[i];
  values[KERNEL_PARAMS - 1] = (uint64_t)(uintptr_t)call->arena;
  for (int i = 0; i < KERNEL_PARAMS; ++i)
    params[i] = &values[i];
  return ctx->api->launch(ctx, kernel, grid, params);
}
#define GPU_ENTRY(name, kernel, slots, extents)                                \
  static int32_t name##OnGpu(qrt_ctx *ctx, const qrt_call *call) {             \
    return onGpu(ctx, call, kernel, slots, extents);                           \
  }
GPU_ENTRY(microStep, 0, 12, 2)
GPU_ENTRY(optimizerStep, 1, 24, 0)
GPU_ENTRY(convertStorage, 2, 8, 0)
GPU_ENTRY(evalLoss, 3, 9, 2)
GPU_ENTRY(logits, 4, 6, 2)
GPU_ENTRY(prefill, 5, 10, 2)
GPU_ENTRY(decode, 6, 10, 1)
static const qrt_entry gpuEntries[] = {
    microStepOnGpu, optimizerStepOnGpu, convertStorageOnGpu, evalLossOnGpu,
    logitsOnGpu,    prefillOnGpu,       decodeOnGpu};

#define P9                                                                     \
  ".param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d, "               \
  ".param .u64 e, .param .u64 f, .param .u64 g, .param .u64 h, .param .u64 i"
#define KERNEL(name) ".visible .entry " name "(" P9 ", " P9 ", " P9 ") {}\n"
#define KERNELS                                                                \
  KERNEL("micro_step")                                                         \
  KERNEL("optimizer_step")                                                     \
  KERNEL("convert_storage")                                                    \
  KERNEL("eval_loss") KERNEL("logits") KERNEL("prefill") KERNEL("decode")
static const char portable[] = ".version 8.0\n.target sm_80\n" KERNELS;
static const char hopper[] = ".version 8.0\n.target sm_90a\n" KERNELS;
#ifdef TEST_CUBIN
static const char cubin[] = "CUBIN sm_90a\n" KERNELS;
#endif
static const qrt_image images[] = {
    {QRT_PTX, 80, 0, 0, portable, sizeof portable},
    {QRT_PTX, 90, 1, 0, hopper, sizeof hopper},
#ifdef TEST_CUBIN
    {QRT_CUBIN, 90, 1, 0, cubin, sizeof cubin},
#endif
};
/* The second needs more shared memory than a kernel has unasked. */
static const qrt_kernel kernels[] = {
    {"micro_step", {128, 1, 1}, 0, KERNEL_PARAMS, 0, 0},
    {"optimizer_step", {256, 1, 1}, 100 * 1024, KERNEL_PARAMS, 0, 0},
    {"convert_storage", {32, 4, 1}, 0, KERNEL_PARAMS, 0, 0},
    {"eval_loss", {128, 1, 1}, 0, KERNEL_PARAMS, 0, 0},
    {"logits", {128, 1, 1}, 0, KERNEL_PARAMS, 0, 0},
    {"prefill", {128, 1, 1}, 0, KERNEL_PARAMS, 0, 0},
    {"decode", {128, 1, 1}, 0, KERNEL_PARAMS, 0, 0}};
#endif

static const qrt_variant variants[] = {
    {"cpu", "x86-64-v3", entries, 0, 0, 0, 0, 0, 0, 0},
#ifdef TEST_CUDA
    {"cuda", "", gpuEntries, sizeof kernels / sizeof *kernels,
     sizeof images / sizeof *images, kernels, images, 0, 0, 0},
#endif
};
static const qrt_module module = {
    TEST_ABI_VERSION, sizeof variants / sizeof *variants,
    sizeof entries / sizeof *entries, 0, variants};

__attribute__((visibility("default"))) const qrt_module *
qwen_module_query(uint32_t max_version) {
  return max_version >= TEST_ABI_VERSION ? &module : 0;
}
