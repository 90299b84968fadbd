// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_COLLECTIVE_H
#define DLQUANT_COLLECTIVE_H

#include <dlquant/abi.h>
#include <dlquant/runtime.h>
#include <dlquant/status.h>
#include <dlquant/types.h>

#include <stddef.h>
#include <stdint.h>

/// Communication between the ranks of a tensor-parallel group. An engine may bring its own table.

DLQ_BEGIN_DECLS

/// Flags of all_reduce.
enum dlq_reduce_flags {
    DLQ_REDUCE_FP32 = 1 << 0 ///< Sum in fp32 and round once, also for 16-bit elements
};

/// What a group can do besides (`flags` of struct dlq_collective).
enum dlq_collective_flags {
    DLQ_COLLECTIVE_SUMS_I32 = 1 << 0 ///< all_reduce takes DLQ_I32
};

/// One rank's end of a group. Every rank makes the same calls in the same order. Buffers are on the
/// layers' device; `stream` orders the call there and is NULL on the CPU. All functions are
/// [stream] on a GPU and block on the CPU; DLQ_ECOMM and DLQ_ETIMEOUT name the rank at fault.
struct dlq_collective {
    uint32_t struct_size; ///< Size of this struct as its maker knows it
    int32_t rank;         ///< 0 to size - 1
    int32_t size;         ///< Ranks of the group, 1 or more
    uint32_t flags;       ///< Mask of enum dlq_collective_flags, the same on every rank
    void *ctx;            ///< First argument of every function

    /// In place: `data[i]` becomes the sum over the ranks, added in rank order; what goes over NCCL
    /// in an order of its choice. dtype: DLQ_F16, DLQ_BF16 or DLQ_F32; with DLQ_COLLECTIVE_SUMS_I32
    /// also DLQ_I32, modulo 2^32. The result is the same bits on every rank.
    int32_t (*all_reduce)(void *ctx, void *data, int64_t count, uint32_t dtype, uint32_t flags,
                          void *stream, struct dlq_error *err);

    /// `recv` becomes the ranks' `send` one after the other; rank r gives counts[r] elements.
    int32_t (*all_gather)(void *ctx, const void *send, void *recv, const int64_t *counts,
                          uint32_t dtype, void *stream, struct dlq_error *err);

    /// `data` becomes rank `root`'s.
    int32_t (*broadcast)(void *ctx, void *data, int64_t count, uint32_t dtype, int32_t root,
                         void *stream, struct dlq_error *err);

    /// Return when every rank has called it; on a GPU let the stream wait for that.
    int32_t (*barrier)(void *ctx, void *stream, struct dlq_error *err);
};

/// The group of one rank, static. [any-thread] @since 1.0
DLQ_API const struct dlq_collective *
dlq_collective_self(void);

typedef struct dlq_collective_threads dlq_collective_threads;

/// Make a group of `size` ranks that are threads of this process, on CPU memory. A rank that does
/// not arrive within `timeout_ms` (0: never) makes every other rank return DLQ_ETIMEOUT naming it.
/// On success the caller owns `*out` until dlq_collective_threads_destroy(). [any-thread]
/// @since 1.0
DLQ_API int32_t
dlq_collective_threads_create(dlq_runtime *rt, int32_t size, int32_t timeout_ms,
                              dlq_collective_threads **out, struct dlq_error *err);

/// The end of one rank; lives as long as the group. NULL when `rank` is out of range.
/// [any-thread] @since 1.0
DLQ_API const struct dlq_collective *
dlq_collective_threads_get(dlq_collective_threads *group, int32_t rank);

/// Make every present and later call of every rank fail with DLQ_ECOMM naming `rank` and `reason`:
/// a rank that cannot go on calls it so that the others do not wait. [any-thread] @since 1.0
DLQ_API void
dlq_collective_threads_abort(dlq_collective_threads *group, int32_t rank, const char *reason);

/// Free the group; no rank may be inside a call. NULL is a no-op. [setup] @since 1.0
DLQ_API void
dlq_collective_threads_destroy(dlq_collective_threads *group);

/// How to join a group of processes. Zeroes after struct_size are good defaults.
struct dlq_collective_mpi_options {
    uint32_t struct_size; ///< Size of this struct
    int32_t timeout_ms;   ///< How long a rank may be late; 0: for ever
    /// The engine's MPI_Comm by value: `(void *)comm` where it is a pointer, as in Open MPI,
    /// `(void *)(intptr_t)comm` where it is an int, as in MPICH; NULL: MPI_COMM_WORLD. It is
    /// duplicated, and the engine's stays as it was.
    void *comm;
    int32_t size;         ///< Ranks that the engine expects; 0: any number
    int32_t reserved;     ///< Zero
    uint64_t fingerprint; ///< Has to be equal on all ranks: a hash of what they will run
};

typedef struct dlq_collective_mpi dlq_collective_mpi;

/// Join a group of processes over the system's MPI, on CPU memory: every rank calls it at the same
/// time. Needs the module dlquant-mpi.so, built for the same MPI as the engine; DLQ_ECOMM says
/// what is missing. One exchange compares sizes and fingerprints; DLQ_ECOMM names the first rank
/// that differs from rank 0.
///
/// Sums have the bits that a group of threads has. A rank that is late or dead makes every other
/// return DLQ_ETIMEOUT naming it, at most half a second after the time limit; the group is then
/// broken for good. Calls come from one thread at a time, which under MPI_THREAD_FUNNELED is the
/// one that initialised MPI. If MPI is not initialised yet, this does it, and destroying the group
/// finalises MPI. On success the caller owns `*out` until dlq_collective_mpi_destroy().
/// [per-layer] @since 1.0
DLQ_API int32_t
dlq_collective_mpi_create(dlq_runtime *rt, const struct dlq_collective_mpi_options *options,
                          dlq_collective_mpi **out, struct dlq_error *err);

/// This process's end; lives as long as the group. [any-thread] @since 1.0
DLQ_API const struct dlq_collective *
dlq_collective_mpi_get(const dlq_collective_mpi *group);

/// Make every present and later call of every rank fail with DLQ_ECOMM naming this rank and
/// `reason`. Not while this rank is inside a call. [per-layer] @since 1.0
DLQ_API void
dlq_collective_mpi_abort(dlq_collective_mpi *group, const char *reason);

/// Leave the group, outside any call; every rank does. What MPI may still write to after a failure
/// is never freed. NULL is a no-op. [per-layer] @since 1.0
DLQ_API void
dlq_collective_mpi_destroy(dlq_collective_mpi *group);

/// Bytes of an id that dlq_collective_nccl_id() makes.
#define DLQ_NCCL_ID_SIZE 128

/// How to join a group of GPUs. Zeroes after struct_size are good defaults, but for one of `host`,
/// `id` and `comm`.
struct dlq_collective_nccl_options {
    uint32_t struct_size; ///< Size of this struct
    int32_t timeout_ms;   ///< Limit of setup, dlq_collective_nccl_wait() and a sum's wait; 0: none
    int32_t device;       ///< Index of this rank's GPU; without meaning next to `comm`
    int32_t rank;         ///< With `id` alone: this rank
    int32_t size;         ///< Ranks that the engine expects; 0: those of `host` or `comm`
    int32_t connect_ms;   ///< How long NCCL may connect the ranks, often seconds; 0: timeout_ms
    /// The same ranks on CPU memory: threads, MPI or the engine's own. It carries the id, compares
    /// the ranks before NCCL waits for any, and names the rank that is missing later: without it
    /// an error cannot say which. Outlives the group, and is not used by others meanwhile.
    const struct dlq_collective *host;
    const void *id; ///< DLQ_NCCL_ID_SIZE bytes, equal on all ranks; NULL: rank 0 of `host` makes it
    /// The engine's ncclComm_t, to be used as it is. It outlives the group and is never aborted or
    /// destroyed here: after a failure that is for the engine to do.
    void *comm;
    uint64_t fingerprint; ///< Has to be equal on all ranks: a hash of what they will run
};

typedef struct dlq_collective_nccl dlq_collective_nccl;

/// Make the id of one group, on one rank, for the engine to give to all. `id` has DLQ_NCCL_ID_SIZE
/// bytes. Needs the module dlquant-nccl.so and NCCL itself; DLQ_ECOMM says what is missing.
/// [any-thread] @since 1.0
DLQ_API int32_t
dlq_collective_nccl_id(dlq_runtime *rt, void *id, struct dlq_error *err);

/// Join a group of GPUs over NCCL: every rank calls it at the same time, be it a thread of one
/// process, a process of one host or of several. Needs what dlq_collective_nccl_id() needs. One
/// exchange compares versions, sizes and fingerprints; DLQ_ECOMM names the first rank that differs
/// from rank 0.
///
/// The calls only enqueue: nothing waits on the host, and a CUDA graph may capture them. Those of
/// one rank come from one thread at a time, and on one stream. Groups that share GPUs take
/// turns: kernels of one that wait for its ranks may leave no room for the other's.
///
/// Where all GPUs reach each other's memory, sums of few bytes do without NCCL: one kernel adds
/// them up in fp32 and in rank order, in less than half of the time for most. So do gathers of few
/// bytes, of elements of 16 bits and more, and barriers. Setup tries that memory with a sum; it
/// takes 11 to 16 MiB of each GPU. DLQ_PEER_SUMS=0 or NCCL_P2P_DISABLE=1 in the environment of any
/// rank leaves all to NCCL.
///
/// Such a kernel gives up when what another rank sends does not come within `timeout_ms`, counted
/// from when the kernel begins to wait; those behind it end at once, in graphs too, and what they
/// leave is no result. Ranks that pause for longer with these enqueued need a longer limit.
///
/// What fails on the GPU is found by dlq_collective_nccl_wait(), a sum that gave up by the next
/// call as well. On success the caller owns `*out` until dlq_collective_nccl_destroy().
/// [per-layer] @since 1.0
DLQ_API int32_t
dlq_collective_nccl_create(dlq_runtime *rt, const struct dlq_collective_nccl_options *options,
                           dlq_collective_nccl **out, struct dlq_error *err);

/// This rank's end; lives as long as the group. [any-thread] @since 1.0
DLQ_API const struct dlq_collective *
dlq_collective_nccl_get(const dlq_collective_nccl *group);

/// Wait until all work of a stream (cudaStream_t) is done, in the place of
/// cudaStreamSynchronize(), which a dead rank would hold for ever. After the time limit, and when
/// NCCL reports a failure, the ranks meet in `host`; who does not come within its time limit is
/// named by DLQ_ETIMEOUT. The group is then broken for good and the stream free again, unless the
/// communicator is the engine's. A thread that waits in CUDA itself, as in cudaGraphLaunch() behind
/// launches of that graph that are under way, is released when a sum over memory of peers gives up,
/// but not from what NCCL does. [per-layer] @since 1.0
DLQ_API int32_t
dlq_collective_nccl_wait(dlq_collective_nccl *group, void *stream, struct dlq_error *err);

/// Let NCCL send `size` bytes at `data` from where they are and receive them there, in all calls
/// that come, where the loaded NCCL and its transports can; elsewhere nothing changes. `data` is on
/// the group's GPU and is not freed before dlq_collective_nccl_unregister() or the end of the
/// group. DLQ_EINVAL for no memory and for what is registered already. [per-layer] @since 1.0
DLQ_API int32_t
dlq_collective_nccl_register(dlq_collective_nccl *group, void *data, size_t size,
                             struct dlq_error *err);

/// Take that back, no call with it being under way; in a broken group too. DLQ_ENOTFOUND for memory
/// that is not registered. [per-layer] @since 1.0
DLQ_API int32_t
dlq_collective_nccl_unregister(dlq_collective_nccl *group, const void *data, struct dlq_error *err);

/// Break this rank's end, releasing what waits on its GPU: every present and later call fails with
/// DLQ_ECOMM and `reason`. The others learn it in dlq_collective_nccl_wait(), and from whom where
/// the engine gives up in `host` as well. [per-layer] @since 1.0
DLQ_API void
dlq_collective_nccl_abort(dlq_collective_nccl *group, const char *reason);

/// Leave the group; no work of it may be under way. What kernels of others may still write to after
/// a failure is never freed. NULL is a no-op. [per-layer] @since 1.0
DLQ_API void
dlq_collective_nccl_destroy(dlq_collective_nccl *group);

DLQ_END_DECLS

#endif // DLQUANT_COLLECTIVE_H
