/*===- qwen_sim.h - The ABI of simulated GPU kernels --------------*- C -*-===*\
|*
|* Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|*===----------------------------------------------------------------------===*|
|*
|* A kernel of target cuda-sim is a host function for one thread of a block
|* (qrt_kernel.thread). The runtime runs all threads of a block as fibers of one
|* host thread; what threads do together is asked for through the table below.
|* A function that waits for other threads returns when they have come.
|*
|* The fields of qrt_sim_thread and the order of qrt_sim_api are known to the
|* compiler (pass nvvm-to-host); they change with QRT_ABI_VERSION only.
|*
\*===----------------------------------------------------------------------===*/

#ifndef QWEN_RUNTIME_ABI_QWEN_SIM_H
#define QWEN_RUNTIME_ABI_QWEN_SIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qrt_sim_thread qrt_sim_thread;

typedef enum qrt_sim_access {
  QRT_SIM_READ = 0,
  QRT_SIM_WRITE = 1,
  QRT_SIM_ATOMIC = 2 /* read and written at once */
} qrt_sim_access;

typedef enum qrt_sim_shuffle {
  QRT_SIM_SHUFFLE_BFLY = 0,
  QRT_SIM_SHUFFLE_UP = 1,
  QRT_SIM_SHUFFLE_DOWN = 2,
  QRT_SIM_SHUFFLE_IDX = 3
} qrt_sim_shuffle;

typedef enum qrt_sim_vote {
  QRT_SIM_VOTE_ANY = 0,
  QRT_SIM_VOTE_ALL = 1,
  QRT_SIM_VOTE_BALLOT = 2,
  QRT_SIM_VOTE_UNI = 3
} qrt_sim_vote;

typedef enum qrt_sim_redux {
  QRT_SIM_REDUX_ADD = 0,
  QRT_SIM_REDUX_MIN = 1, /* signed */
  QRT_SIM_REDUX_MAX = 2,
  QRT_SIM_REDUX_UMIN = 3,
  QRT_SIM_REDUX_UMAX = 4,
  QRT_SIM_REDUX_AND = 5,
  QRT_SIM_REDUX_OR = 6,
  QRT_SIM_REDUX_XOR = 7
} qrt_sim_redux;

/* Names and meanings are those of the PTX instructions. */
typedef struct qrt_sim_api {
  /* bar.sync id, count: all threads of the block (count 0) or `count` of them,
   * a multiple of 32. */
  void (*barrier)(const qrt_sim_thread *thread, uint32_t id, uint32_t count);
  /* bar.warp.sync */
  void (*warp_sync)(const qrt_sim_thread *thread, uint32_t mask);
  /* shfl.sync of 32 bits; *valid: whether the source lane was in range. */
  uint32_t (*shuffle)(const qrt_sim_thread *thread, uint32_t mask,
                      uint32_t value, uint32_t offset, uint32_t clamp,
                      uint32_t kind, uint32_t *valid);
  /* vote.sync: 0 or 1, or the lanes of a ballot. */
  uint32_t (*vote)(const qrt_sim_thread *thread, uint32_t mask,
                   uint32_t predicate, uint32_t kind);
  /* redux.sync */
  uint32_t (*redux)(const qrt_sim_thread *thread, uint32_t mask, uint32_t value,
                    uint32_t kind);
  /* Called before every access to shared memory. */
  void (*access)(const qrt_sim_thread *thread, const void *address,
                 uint32_t bytes, uint32_t kind);
  /* cp.async: `bytes` to shared memory, of which the first `source_bytes` come
   * from `source` and the rest is zero. They arrive in copy_wait. */
  void (*copy_async)(const qrt_sim_thread *thread, void *destination,
                     const void *source, uint32_t bytes, uint32_t source_bytes);
  /* cp.async.commit_group, cp.async.wait_group pending */
  void (*copy_commit)(const qrt_sim_thread *thread);
  void (*copy_wait)(const qrt_sim_thread *thread, uint32_t pending);
  /* ldmatrix.sync.aligned.m8n8.x{count}[.trans].shared.b16 */
  void (*load_matrix)(const qrt_sim_thread *thread, const void *row,
                      uint32_t count, uint32_t transposed, uint32_t *result);
  /* mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32: 4, 2, 4, 4 registers;
   * c and result may be the same. */
  void (*mma_bf16)(const qrt_sim_thread *thread, const uint32_t *a,
                   const uint32_t *b, const float *c, float *result);
} qrt_sim_api;

/* One thread of a block; the runtime extends it. */
struct qrt_sim_thread {
  const qrt_sim_api *api;
  char *shared;          /* the block's shared memory, 128-byte aligned */
  uint32_t thread[3];    /* %tid */
  uint32_t block[3];     /* %ctaid */
  uint32_t block_dim[3]; /* %ntid */
  uint32_t grid_dim[3];  /* %nctaid */
  uint32_t lane;         /* %laneid */
  uint32_t warp;
};

#ifdef __cplusplus
}
#endif

#endif /* QWEN_RUNTIME_ABI_QWEN_SIM_H */
