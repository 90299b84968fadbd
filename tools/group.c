// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "group.h"

#include "tool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/// NCCL takes seconds to connect GPUs, whatever limit is good for a rank that is late.
enum { CONNECT_MS = 60000 };

static int32_t
connect_ms(int32_t timeout_ms)
{
    return timeout_ms < CONNECT_MS ? CONNECT_MS : timeout_ms;
}

/// The end of one rank on a GPU.
struct end {
    dlq_runtime *rt;
    struct dlq_collective_nccl_options options;
    dlq_collective_nccl *nccl; ///< NULL on the CPU
    int32_t status;
    struct dlq_error err;
};

struct tool_group {
    dlq_collective_threads *threads; ///< NULL where ranks are processes
    dlq_collective_mpi *mpi;         ///< NULL where they are threads
    int32_t size;
    struct end *ends; ///< One a rank
};

static void *
join_main(void *arg)
{
    struct end *end = arg;
    end->err = (struct dlq_error)DLQ_ERROR_INIT;
    end->status = dlq_collective_nccl_create(end->rt, &end->options, &end->nccl, &end->err);
    return NULL;
}

/// All ranks join at the same time, each in a thread of its own.
static int32_t
join_gpus(struct tool_group *group, dlq_runtime *rt, struct dlq_device first, int32_t timeout_ms,
          struct dlq_error *err)
{
    pthread_t *threads = tool_alloc((size_t)group->size, sizeof(*threads));
    int32_t started = 0;
    for (; started < group->size; ++started) {
        struct end *end = &group->ends[started];
        end->rt = rt;
        end->options = (struct dlq_collective_nccl_options){
            .struct_size = sizeof(end->options),
            .timeout_ms = timeout_ms,
            .connect_ms = connect_ms(timeout_ms),
            .device = tool_group_device(first, started).index,
            .host = dlq_collective_threads_get(group->threads, started),
        };
        if (pthread_create(&threads[started], NULL, join_main, end) != 0) {
            dlq_collective_threads_abort(group->threads, started, "cannot start a thread");
            break;
        }
    }
    const struct end *wrong = NULL;
    for (int32_t i = 0; i < started; ++i) {
        pthread_join(threads[i], NULL);
        // The cause is the error of the rank that others only heard of.
        const struct end *end = &group->ends[i];
        if (end->status != DLQ_OK && (!wrong || wrong->status == DLQ_ECOMM)) {
            wrong = end;
        }
    }
    free(threads);
    if (wrong) {
        *err = wrong->err;
        return wrong->status;
    }
    return started == group->size ? DLQ_OK : DLQ_ENOMEM;
}

int32_t
tool_group_create(dlq_runtime *rt, struct dlq_device first, int32_t size, int32_t timeout_ms,
                  struct tool_group **out, struct dlq_error *err)
{
    *out = NULL;
    if (size == 1) {
        return DLQ_OK;
    }
    struct tool_group *group = tool_alloc(1, sizeof(*group));
    group->size = size;
    group->ends = tool_alloc((size_t)size, sizeof(*group->ends));
    int32_t status = dlq_collective_threads_create(rt, size, timeout_ms, &group->threads, err);
    if (status == DLQ_OK && first.kind != DLQ_DEVICE_CPU) {
        status = join_gpus(group, rt, first, timeout_ms, err);
    }
    if (status != DLQ_OK) {
        tool_group_destroy(group);
        return status;
    }
    *out = group;
    return DLQ_OK;
}

/// Number of this process among those of its host, as the launcher says it.
static int32_t
local_rank(int32_t rank)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID",
                                        "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        const char *text = getenv(names[i]);
        if (text) {
            return atoi(text);
        }
    }
    return rank;
}

int32_t
tool_group_join(dlq_runtime *rt, struct dlq_device *device, int32_t timeout_ms,
                struct tool_group **out, struct dlq_error *err)
{
    const struct dlq_collective_mpi_options options = {.struct_size = sizeof(options),
                                                       .timeout_ms = timeout_ms};
    struct tool_group *group = tool_alloc(1, sizeof(*group));
    int32_t status = dlq_collective_mpi_create(rt, &options, &group->mpi, err);
    if (status != DLQ_OK) {
        free(group);
        return status;
    }
    const struct dlq_collective *host = dlq_collective_mpi_get(group->mpi);
    group->size = host->size;
    group->ends = tool_alloc((size_t)group->size, sizeof(*group->ends));
    if (device->kind != DLQ_DEVICE_CPU) {
        device->index += local_rank(host->rank);
        const struct dlq_collective_nccl_options gpu = {.struct_size = sizeof(gpu),
                                                        .timeout_ms = timeout_ms,
                                                        .connect_ms = connect_ms(timeout_ms),
                                                        .device = device->index,
                                                        .host = host};
        status = dlq_collective_nccl_create(rt, &gpu, &group->ends[host->rank].nccl, err);
    }
    if (status != DLQ_OK) {
        tool_group_destroy(group);
        return status;
    }
    *out = group;
    return DLQ_OK;
}

int32_t
tool_group_ranks(const struct tool_group *group)
{
    return group ? group->size : 1;
}

int32_t
tool_group_self(const struct tool_group *group)
{
    return group && group->mpi ? dlq_collective_mpi_get(group->mpi)->rank : -1;
}

int32_t
tool_group_agree(struct tool_group *group, uint64_t number, struct dlq_error *err)
{
    const struct dlq_collective *c = dlq_collective_mpi_get(group->mpi);
    uint64_t *all = tool_alloc((size_t)group->size, sizeof(*all));
    int64_t *counts = tool_alloc((size_t)group->size, sizeof(*counts));
    for (int32_t r = 0; r < group->size; ++r) {
        counts[r] = 1;
    }
    int32_t status = c->all_gather(c->ctx, &number, all, counts, DLQ_U64, NULL, err);
    for (int32_t r = 1; r < group->size && status == DLQ_OK; ++r) {
        if (all[r] != all[0]) {
            status = err->code = DLQ_ECOMM;
            snprintf(err->msg, sizeof(err->msg),
                     "rank %d of %d: rank %d has another checkpoint or other options than rank 0",
                     (int)c->rank, (int)group->size, (int)r);
        }
    }
    free(counts);
    free(all);
    return status;
}

struct dlq_device
tool_group_device(struct dlq_device first, int32_t rank)
{
    if (first.kind != DLQ_DEVICE_CPU) {
        first.index += rank;
    }
    return first;
}

const struct dlq_collective *
tool_group_host(struct tool_group *group, int32_t rank)
{
    return group->mpi ? dlq_collective_mpi_get(group->mpi)
                      : dlq_collective_threads_get(group->threads, rank);
}

const struct dlq_collective *
tool_group_get(struct tool_group *group, int32_t rank)
{
    if (!group) {
        return NULL;
    }
    const dlq_collective_nccl *nccl = group->ends[rank].nccl;
    return nccl ? dlq_collective_nccl_get(nccl) : tool_group_host(group, rank);
}

int32_t
tool_group_wait(struct tool_group *group, int32_t rank, void *stream, struct dlq_error *err)
{
    dlq_collective_nccl *nccl = group ? group->ends[rank].nccl : NULL;
    return nccl ? dlq_collective_nccl_wait(nccl, stream, err) : DLQ_OK;
}

void
tool_group_abort(struct tool_group *group, int32_t rank, const char *reason)
{
    if (!group) {
        return;
    }
    if (group->mpi) {
        dlq_collective_mpi_abort(group->mpi, reason);
    } else {
        dlq_collective_threads_abort(group->threads, rank, reason);
    }
    if (group->ends[rank].nccl) {
        dlq_collective_nccl_abort(group->ends[rank].nccl, reason);
    }
}

void
tool_group_destroy(struct tool_group *group)
{
    if (!group) {
        return;
    }
    for (int32_t i = 0; i < group->size; ++i) {
        dlq_collective_nccl_destroy(group->ends[i].nccl);
    }
    dlq_collective_threads_destroy(group->threads);
    dlq_collective_mpi_destroy(group->mpi);
    free(group->ends);
    free(group);
}
