/*===- qwen_module.h - The ABI between model.so and the runtime ---*- C -*-===*\
|*
|* Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|*===----------------------------------------------------------------------===*|
|*
|* Standalone: no dependency but <stdint.h>. A module exports one symbol,
|* qwen_module_query. It has no mutable state: all of it hangs on the qrt_ctx of
|* one device, so N devices may run one module in one process.
|*
|* The manifest (JSON, described in manifest.md beside this file) lies in the
|* ELF section QRT_MANIFEST_SECTION and can be read without executing the file.
|*
\*===----------------------------------------------------------------------===*/

#ifndef QWEN_RUNTIME_ABI_QWEN_MODULE_H
#define QWEN_RUNTIME_ABI_QWEN_MODULE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised by every incompatible change. The loader refuses any other version. */
#define QRT_ABI_VERSION 4u
#define QRT_MANIFEST_SECTION ".qwen.manifest"
#define QRT_QUERY_SYMBOL "qwen_module_query"

typedef struct qrt_ctx qrt_ctx;

/* A piece of parallel work: units [begin, end) of a kernel. `args` is what was
 * given to parallel_for; `scratch` is private to the calling worker, 64-byte
 * aligned and at least the manifest's "worker_scratch_bytes" long, its contents
 * undefined at entry. What a unit computes does not depend on the chunk's
 * bounds nor on the worker. */
typedef void (*qrt_task)(void *args, int64_t begin, int64_t end, void *scratch);

typedef enum qrt_collective_kind {
  QRT_ALL_REDUCE = 0, /* out: count elements */
  QRT_ALL_GATHER = 1, /* out: one block of count elements a rank, in order */
  QRT_REDUCE_SCATTER = 2, /* out: this rank's block of count / group elements */
  QRT_ALL_TO_ALL = 3 /* block i of in goes to rank i; out: count elements */
} qrt_collective_kind;

typedef enum qrt_reduction { QRT_SUM = 0, QRT_MAX = 1 } qrt_reduction;

/* One collective among the devices that differ only in the coordinates of
 * `axes`: bit i is the i-th of the manifest's "mesh_axes", the prime factors of
 * the mesh's axes, major first. A rank of the group is its devices' order. Sums
 * are made in f32 in the order of ranks and rounded once. */
typedef struct qrt_collective {
  int32_t kind;      /* qrt_collective_kind */
  int32_t reduction; /* qrt_reduction */
  int32_t dtype;     /* qrt_dtype */
  int32_t id;        /* of this call in the module, for checks and messages */
  uint64_t axes;
  int64_t count; /* elements of `in` */
} qrt_collective;

/* What the runtime offers to a module. Functions that return int32_t return 0
 * or a QRT_E code, after which the entry returns that code at once. */
typedef struct qrt_api {
  uint32_t version; /* QRT_ABI_VERSION */
  uint32_t reserved;
  /* Runs task over [0, n) in chunks of at least `grain` units on the device's
   * pool and returns when all are done. `name` (static, in the module) is for
   * the profiler only. Called from the device's main thread only. */
  void (*parallel_for)(qrt_ctx *ctx, const char *name, qrt_task task,
                       void *args, int64_t n, int64_t grain);
  /* Starts a collective on the device's buffers, which stay as they are until
   * collective_wait returns. All devices of a group start the same collectives
   * in the same order. `in` and `out` are the same or do not overlap. */
  int32_t (*collective_start)(qrt_ctx *ctx, const qrt_collective *collective,
                              const void *in, void *out);
  /* Waits for the oldest collective that was started and not waited for. */
  int32_t (*collective_wait)(qrt_ctx *ctx);
  /* Queues kernel `kernel` (of qrt_variant.kernels) behind everything queued
   * before, with a grid of `grid` blocks; params: the address of each
   * parameter, copied before the call returns. Targets with kernels only. */
  int32_t (*launch)(qrt_ctx *ctx, uint32_t kernel, const uint32_t grid[3],
                    void *const *params);
  /* Queues product `product` (of qrt_variant.products) for `rows` rows as
   * launch does a kernel; params are those of the product's kernel.
   * QRT_NO_LIBRARY: nothing was queued, the caller launches its own kernel. */
  int32_t (*product)(qrt_ctx *ctx, uint32_t product, int64_t rows,
                     void *const *params);
} qrt_api;

/* A thread of a simulated GPU (target cuda-sim; qwen_sim.h describes it). */
struct qrt_sim_thread;

/* The context of one device; the runtime extends it behind the first field. */
struct qrt_ctx {
  const qrt_api *api;
};

typedef enum qrt_dtype {
  QRT_F32 = 0,
  QRT_BF16 = 1,
  QRT_F16 = 2,
  QRT_I32 = 3,
  QRT_I64 = 4,
  QRT_I8 = 5,
  QRT_U8 = 6
} qrt_dtype;

/* One call of an entry point.
 *   args     pointers in the order of the manifest's "args" (by "slot"; an
 *            argument with "count" n holds n consecutive slots: one per layer;
 *            one that is "optional" may be null).
 *            Immutable while the call runs. Each pointer is aligned to its
 *            element only: parameters may be a mapped file. On targets with
 *            kernels it is aligned to 16 bytes, one layer's as well.
 *   extents  actual sizes, in the order of the entry's "extents", each between
 *            1 and its maximum. Tensors are dense with the actual sizes.
 *   arena    workspace of "arena_bytes" bytes, 64-byte aligned, contents
 *            undefined at entry. */
typedef struct qrt_call {
  void *const *args;
  const int64_t *extents;
  void *arena;
} qrt_call;

/* 0, or a QRT_E code. */
typedef int32_t (*qrt_entry)(qrt_ctx *ctx, const qrt_call *call);

#define QRT_E_OK 0
#define QRT_E_COLLECTIVE 1 /* a collective failed; the context knows why */
#define QRT_E_LAUNCH 2     /* a launch failed; the context knows why */
#define QRT_NO_LIBRARY 3   /* of qrt_api.product only, and no error */

/* Code for a GPU. */
typedef enum qrt_image_kind { QRT_CUBIN = 0, QRT_PTX = 1 } qrt_image_kind;
typedef struct qrt_image {
  uint32_t kind;          /* qrt_image_kind */
  uint32_t arch;          /* 80, 90; */
  uint32_t arch_specific; /* 1: of this architecture alone (sm_90a) */
  uint32_t reserved;
  const void *data; /* PTX ends with a zero byte, counted in size */
  uint64_t size;
} qrt_image;

/* One kernel of a target that launches. */
typedef struct qrt_kernel {
  const char *name; /* its symbol in the images */
  uint32_t block[3];
  uint32_t shared_bytes; /* dynamic shared memory of a block */
  uint32_t num_params;
  uint32_t reserved;
  /* cuda-sim: what one thread of a block runs; null elsewhere. */
  void (*thread)(const struct qrt_sim_thread *thread, void *const *params);
} qrt_kernel;

/* A product of matrices that a library may do instead of a kernel of the
 * module:
 *
 *   result[m][n] = sum_k left[m][k] right[k][n] + addend[m][n] + bias[n]
 *
 * in f32, rounded once to the result's type. All are dense and row-major; a
 * transposed operand lies in memory with its dimensions swapped. Matrices are
 * aligned to 16 bytes and so is each row of theirs as it lies; so is the bias.
 */
typedef struct qrt_product {
  uint32_t kernel;           /* the kernel whose parameters these are */
  uint32_t operand_dtype;    /* qrt_dtype of left and right: f32 or bf16 */
  uint32_t result_dtype;     /* of result, addend and bias: f32 or bf16 */
  uint32_t left_transposed;  /* 1: left lies as [k][m] */
  uint32_t right_transposed; /* 1: right lies as [n][k] */
  /* Numbers of parameters, -1 for none. The addend may be the result. */
  int32_t left, right, addend, bias, result, workspace;
  uint32_t reserved;
  int64_t m, n, k; /* 0: the rows of the call */
  uint64_t workspace_bytes;
} qrt_product;

/* The code of one target at one instruction-set level. */
typedef struct qrt_variant {
  const char *target;       /* "cpu", "cuda", "cuda-sim" */
  const char *level;        /* cpu: "amx", "x86-64-v4", "x86-64-v3"; "" else */
  const qrt_entry *entries; /* in the manifest's order */
  uint32_t num_kernels;     /* 0 for cpu */
  uint32_t num_images;      /* 0 for cpu and cuda-sim */
  const qrt_kernel *kernels;
  const qrt_image *images;
  const qrt_product *products;
  uint32_t num_products; /* 0 for cpu */
  uint32_t reserved;
} qrt_variant;

typedef struct qrt_module {
  uint32_t abi_version;
  uint32_t num_variants;
  uint32_t num_entries;
  uint32_t reserved;
  const qrt_variant *variants; /* best first */
} qrt_module;

/* Returns the module's description; null if it needs more than max_version. */
typedef const qrt_module *(*qrt_query)(uint32_t max_version);

#ifdef __cplusplus
}
#endif

#endif /* QWEN_RUNTIME_ABI_QWEN_MODULE_H */
