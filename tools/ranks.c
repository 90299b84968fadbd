// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "ranks.h"

#include "convert.h"
#include "tool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 256, MAX_REPEATS = 200, TIMEOUT_MS = 60000 };

/// A step that every rank takes.
struct step {
    struct tool_ranks *ranks;
    int32_t rank;
    int32_t (*run)(struct tool_ranks *r, int32_t rank, const void *arg, struct dlq_error *err);
    const void *arg;
};

static void *
step_main(void *arg)
{
    const struct step *s = arg;
    struct tool_rank *rank = &s->ranks->rank[s->rank];
    rank->err = (struct dlq_error)DLQ_ERROR_INIT;
    rank->status = s->run(s->ranks, s->rank, s->arg, &rank->err);
    if (rank->status != DLQ_OK && s->ranks->group) {
        dlq_collective_threads_abort(s->ranks->group, s->rank, rank->err.msg);
    }
    return NULL;
}

/// The error that is the cause: not the one of a rank that only heard of it.
static int32_t
first_error(const struct tool_ranks *r, struct dlq_error *err)
{
    const struct tool_rank *cause = NULL;
    for (int32_t i = 0; i < r->size; ++i) {
        const struct tool_rank *rank = &r->rank[i];
        if (rank->status != DLQ_OK && (!cause || cause->status == DLQ_ECOMM)) {
            cause = rank;
        }
    }
    if (!cause) {
        return DLQ_OK;
    }
    if (err) {
        *err = cause->err;
        if (r->size > 1) {
            snprintf(err->msg, sizeof(err->msg), "rank %d of %d: %.950s", (int)(cause - r->rank),
                     r->size, cause->err.msg);
        }
    }
    return cause->status;
}

static int32_t
take_step(struct tool_ranks *r,
          int32_t (*run)(struct tool_ranks *, int32_t, const void *, struct dlq_error *),
          const void *arg, struct dlq_error *err)
{
    struct step *steps = tool_alloc((size_t)r->size, sizeof(*steps));
    pthread_t *threads = tool_alloc((size_t)r->size, sizeof(*threads));
    for (int32_t i = 0; i < r->size; ++i) {
        steps[i] = (struct step){r, i, run, arg};
    }
    int32_t started = 1;
    for (; started < r->size; ++started) {
        if (pthread_create(&threads[started], NULL, step_main, &steps[started]) != 0) {
            struct tool_rank *rank = &r->rank[started];
            rank->status = DLQ_ENOMEM;
            snprintf(rank->err.msg, sizeof(rank->err.msg), "cannot start a thread");
            rank->err.code = DLQ_ENOMEM;
            dlq_collective_threads_abort(r->group, started, rank->err.msg);
            break;
        }
    }
    step_main(&steps[0]);
    for (int32_t i = 1; i < started; ++i) {
        pthread_join(threads[i], NULL);
    }
    free(threads);
    free(steps);
    return first_error(r, err);
}

static int32_t
build(struct tool_ranks *r, int32_t index, const void *arg, struct dlq_error *err)
{
    struct tool_rank *rank = &r->rank[index];
    struct dlq_linear_desc desc = *(const struct dlq_linear_desc *)arg;
    const double start = tool_seconds();
    desc.collective = r->group ? dlq_collective_threads_get(r->group, index) : NULL;
    desc.config = r->seats[index].config;
    int32_t status = tool_layer_create(r->seats[index].rt, r->layer, &desc, &rank->layer, err);
    if (status == DLQ_OK) {
        status = dlq_linear_load_checkpoint(rank->layer, desc.evidence, err);
    }
    if (status == DLQ_OK) {
        status = dlq_linear_process(rank->layer, err);
    }
    if (status == DLQ_OK) {
        rank->info = dlq_linear_info(rank->layer);
        rank->bytes = dlq_linear_param_bytes(rank->layer);
        rank->load_s = tool_seconds() - start;
    }
    return status;
}

int32_t
tool_ranks_create(const struct tool_seat *seats, const struct tool_layer *layer,
                  const struct dlq_linear_desc *desc, int32_t size, struct tool_ranks *out,
                  struct dlq_error *err)
{
    *out = (struct tool_ranks){
        .rt = seats[0].rt, .seats = seats, .layer = layer, .size = size, .dtype = desc->act_dtype};
    out->rank = tool_alloc((size_t)size, sizeof(*out->rank));
    if (size > 1) {
        const int32_t status =
            dlq_collective_threads_create(seats[0].rt, size, TIMEOUT_MS, &out->group, err);
        if (status != DLQ_OK) {
            return status;
        }
    }
    return take_step(out, build, desc, err);
}

static void
free_activations(struct tool_rank *rank)
{
    free(rank->x);
    free(rank->y);
    free(rank->workspace);
    rank->x = rank->y = rank->workspace = NULL;
}

void
tool_ranks_destroy(struct tool_ranks *r)
{
    for (int32_t i = 0; i < r->size && r->rank; ++i) {
        free_activations(&r->rank[i]);
        free(r->rank[i].weight);
        dlq_linear_destroy(r->rank[i].layer);
    }
    dlq_collective_threads_destroy(r->group);
    free(r->rank);
    *r = (struct tool_ranks){0};
}

static void *
aligned(size_t size)
{
    void *p = aligned_alloc(ALIGNMENT, (size + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
    if (!p) {
        tool_alloc(SIZE_MAX / 2, 1);
    }
    return p;
}

/// This rank's columns of x, rounded to the layer's dtype.
static void
prepare(const struct tool_ranks *r, struct tool_rank *rank, const float *x)
{
    const int64_t full = r->layer->k;
    const int64_t own = dlq_linear_x_size(rank->layer);
    const size_t size = tool_act_size(r->dtype);
    free_activations(rank);
    rank->x = aligned((size_t)(r->m * own) * size);
    rank->y = aligned((size_t)(r->m * dlq_linear_y_size(rank->layer)) * size);
    memset(rank->y, 0xff, (size_t)(r->m * dlq_linear_y_size(rank->layer)) * size);
    rank->workspace_size = dlq_linear_workspace_size(rank->layer, r->m);
    rank->workspace = aligned(rank->workspace_size);
    const int64_t first = own == full ? 0 : rank->info->input_offset;
    for (int64_t i = 0; i < r->m; ++i) {
        tool_to_act((char *)rank->x + (size_t)(i * own) * size, r->dtype, x + i * full + first,
                    own);
    }
}

static int
compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static int32_t
apply(struct tool_ranks *r, int32_t index, const void *arg, struct dlq_error *err)
{
    struct tool_rank *rank = &r->rank[index];
    const struct dlq_linear_io io = {
        .struct_size = sizeof(io),
        .m = r->m,
        .x = rank->x,
        .y = rank->y,
        .workspace = rank->workspace,
        .workspace_size = rank->workspace_size,
    };
    const double start = tool_seconds();
    int32_t status = dlq_linear_apply(rank->layer, &io, err);
    const int timed = *(const int *)arg;
    if (status != DLQ_OK || !timed) {
        return status;
    }
    // Ranks must agree on the number of calls, so that none waits in a sum for another's.
    const double first = tool_seconds() - start;
    int repeats = r->size > 1 ? 9 : first < 5e-3 / MAX_REPEATS ? MAX_REPEATS : (int)(5e-3 / first);
    repeats = repeats < 5 ? 5 : repeats;
    double times[MAX_REPEATS];
    for (int i = 0; i < repeats && status == DLQ_OK; ++i) {
        const double t = tool_seconds();
        status = dlq_linear_apply(rank->layer, &io, err);
        times[i] = tool_seconds() - t;
    }
    qsort(times, (size_t)repeats, sizeof(times[0]), compare_doubles);
    rank->us = times[repeats / 2] * 1e6;
    return status;
}

int64_t
tool_rank_column(const struct tool_rank *rank, int64_t local)
{
    for (int32_t p = 0; p < rank->info->n_parts; ++p) {
        const struct dlq_part *part = rank->info->parts[p];
        if (local >= part->local_offset && local < part->local_offset + part->local_size) {
            return part->full_offset + part->source_offset + (local - part->local_offset);
        }
    }
    return -1;
}

/// Put a rank's columns of y in their places.
static void
collect(const struct tool_ranks *r, const struct tool_rank *rank, float *y)
{
    const int64_t n = r->layer->n;
    const int64_t own = dlq_linear_y_size(rank->layer);
    float *row = tool_alloc((size_t)own, sizeof(*row));
    const size_t size = tool_act_size(r->dtype);
    for (int64_t i = 0; i < r->m; ++i) {
        tool_from_act(row, r->dtype, (const char *)rank->y + (size_t)(i * own) * size, own);
        for (int64_t c = 0; c < own; ++c) {
            const int64_t column = own == n ? c : tool_rank_column(rank, c);
            if (column >= 0 && column < n) {
                y[i * n + column] = row[c];
            }
        }
    }
    free(row);
}

int32_t
tool_ranks_apply(struct tool_ranks *r, const float *x, int64_t m, int timed, float *y,
                 struct dlq_error *err)
{
    r->m = m;
    for (int32_t i = 0; i < r->size; ++i) {
        prepare(r, &r->rank[i], x);
    }
    const int32_t status = take_step(r, apply, &timed, err);
    for (int32_t i = 0; status == DLQ_OK && i < r->size; ++i) {
        collect(r, &r->rank[i], y);
    }
    return status;
}

double
tool_ranks_us(const struct tool_ranks *r)
{
    double us = 0.0;
    for (int32_t i = 0; i < r->size; ++i) {
        us = r->rank[i].us > us ? r->rank[i].us : us;
    }
    return us;
}

const struct dlq_ext_inspect *
tool_rank_inspect(const struct tool_rank *rank, void **method)
{
    const struct dlq_ext_inspect *ext = dlq_linear_extension(rank->layer, DLQ_EXT_INSPECT, method);
    return ext && DLQ_HAS(ext, accumulate) ? ext : NULL;
}

int32_t
tool_ranks_dequantize(struct tool_ranks *r, struct dlq_error *err)
{
    for (int32_t i = 0; i < r->size; ++i) {
        struct tool_rank *rank = &r->rank[i];
        void *method = NULL;
        const struct dlq_ext_inspect *ext = tool_rank_inspect(rank, &method);
        if (!ext) {
            err->code = DLQ_ENOTFOUND;
            snprintf(err->msg, sizeof(err->msg), "%s: plugin %s has no %s", r->layer->prefix,
                     dlq_linear_method_name(rank->layer), DLQ_EXT_INSPECT);
            return DLQ_ENOTFOUND;
        }
        const int64_t n = rank->info->output_size_per_partition;
        const int64_t k = rank->info->input_size_per_partition;
        rank->weight = tool_alloc((size_t)n * (size_t)k, sizeof(*rank->weight));
        const int32_t status =
            ext->dequantize(method, dlq_runtime_host(r->rt), rank->info, rank->weight, err);
        if (status != DLQ_OK) {
            return status;
        }
    }
    return DLQ_OK;
}
