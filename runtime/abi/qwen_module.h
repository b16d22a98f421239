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
#define QRT_ABI_VERSION 1u
#define QRT_MANIFEST_SECTION ".qwen.manifest"
#define QRT_QUERY_SYMBOL "qwen_module_query"

typedef struct qrt_ctx qrt_ctx;

/* A piece of parallel work: units [begin, end) of a kernel. `args` is what was
 * given to parallel_for; `scratch` is private to the calling worker, 64-byte
 * aligned and at least the manifest's "worker_scratch_bytes" long, its contents
 * undefined at entry. What a unit computes does not depend on the chunk's
 * bounds nor on the worker. */
typedef void (*qrt_task)(void *args, int64_t begin, int64_t end, void *scratch);

/* What the runtime offers to a module. */
typedef struct qrt_api {
  uint32_t version; /* QRT_ABI_VERSION */
  uint32_t reserved;
  /* Runs task over [0, n) in chunks of `grain` units on the device's pool and
   * returns when all are done. `name` (static, in the module) is for the
   * profiler only. Called from the device's main thread only. */
  void (*parallel_for)(qrt_ctx *ctx, const char *name, qrt_task task,
                       void *args, int64_t n, int64_t grain);
  /* Starts a collective over `axes` (bit i = i-th mesh axis) on the device's
   * buffers and waits for it. kind: 0 all_reduce, 1 all_gather,
   * 2 reduce_scatter, 3 all_to_all; reduction: 0 sum, 1 max; dtype: qrt_dtype;
   * count: elements of the input. Returns 0 or a QRT_E code. */
  int32_t (*collective)(qrt_ctx *ctx, int32_t kind, int32_t reduction,
                        int32_t dtype, uint64_t axes, const void *in, void *out,
                        int64_t count);
} qrt_api;

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
 *            argument with "count" n holds n consecutive slots: one per layer).
 *            Immutable while the call runs. Each pointer is aligned to its
 *            element only: parameters may be a mapped file.
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

/* The code of one target at one instruction-set level. */
typedef struct qrt_variant {
  const char *target;       /* "cpu", "cuda", "cuda-sim" */
  const char *level;        /* cpu: "amx", "x86-64-v4", "x86-64-v3" */
  const qrt_entry *entries; /* in the manifest's order */
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
