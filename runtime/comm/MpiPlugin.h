/*===- MpiPlugin.h - Between qwen-rt and libqwen-comm-mpi.so ------*- C -*-===*\
|*
|* Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|*===----------------------------------------------------------------------===*|
|*
|* qwen-rt does not link MPI: what it needs of it is behind this table, in a
|* library that is loaded when ranks are MPI's. Sums are made on qwen-rt's side,
|* so the table moves bytes only.
|*
\*===----------------------------------------------------------------------===*/

#ifndef QWEN_RUNTIME_COMM_MPIPLUGIN_H
#define QWEN_RUNTIME_COMM_MPIPLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QRT_MPI_VERSION 2u
#define QRT_MPI_SYMBOL "qwen_comm_mpi"

/* Asked again and again while an operation runs: not 0 gives it up. */
typedef int (*qrt_mpi_stop)(void *data);

/* Functions return 0, or -1 and then error() says why. They are called from one
 * thread at a time, but for error() and abort(). */
typedef struct qrt_mpi {
  uint32_t version;
  int (*init)(int *rank, int *ranks);
  /* A handle for a group of ranks, made by all of its members together. */
  int (*make_group)(const int *ranks, int count, int *handle);
  /* Block i of `in`, `bytes` long, goes to rank i of the group; block i of
   * `out` comes from there. */
  int (*all_to_all)(int handle, const void *in, void *out, int64_t bytes,
                    qrt_mpi_stop stop, void *data);
  /* Block i of `out` is `in` of rank i of the group. */
  int (*all_gather)(int handle, const void *in, void *out, int64_t bytes,
                    qrt_mpi_stop stop, void *data);
  /* `bytes` bytes of rank 0 come to all ranks of the job. */
  int (*broadcast)(void *data_of_0, int64_t bytes, qrt_mpi_stop stop,
                   void *data);
  /* Block i of `out` on rank 0 is `in` of rank i of the job. */
  int (*gather)(const void *in, void *out, int64_t bytes, qrt_mpi_stop stop,
                void *data);
  /* Ends all processes of the job. */
  void (*abort)(int status);
  int (*finalize)(void);
  const char *(*error)(void);
} qrt_mpi;

/* The type of the symbol. */
typedef const qrt_mpi *(*qrt_mpi_query)(void);

#ifdef __cplusplus
}
#endif

#endif /* QWEN_RUNTIME_COMM_MPIPLUGIN_H */
