// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "ranks.h"

#include "convert.h"
#include "remote.h"
#include "tool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JUDGE_TIMEOUT_MS = 60000 };

/// A step that every rank takes.
struct step {
    struct tool_ranks *ranks;
    int32_t rank;
    int32_t (*run)(struct tool_ranks *r, int32_t rank, const void *arg, struct dlq_error *err);
    const void *arg;
};

static const struct tool_seat *
seat_of(const struct tool_ranks *r, int32_t rank)
{
    return &r->seats[r->self >= 0 ? 0 : rank];
}

static struct dlq_device
device_of(const struct tool_ranks *r, int32_t rank)
{
    return r->self >= 0 || r->together ? r->device : tool_group_device(r->device, rank);
}

static void *
step_main(void *arg)
{
    const struct step *s = arg;
    struct tool_rank *rank = &s->ranks->rank[s->rank];
    rank->err = (struct dlq_error)DLQ_ERROR_INIT;
    rank->status =
        dlq_device_use(seat_of(s->ranks, s->rank)->rt, device_of(s->ranks, s->rank), &rank->err);
    if (rank->status == DLQ_OK) {
        rank->status = s->run(s->ranks, s->rank, s->arg, &rank->err);
    }
    if (rank->status != DLQ_OK) {
        tool_group_abort(s->ranks->group, s->rank, rank->err.msg);
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
    if (r->self >= 0) {
        step_main(&(struct step){r, r->self, run, arg});
        return first_error(r, err);
    }
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
            tool_group_abort(r->group, started, rank->err.msg);
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
    desc.collective = tool_group_get(r->group, index);
    desc.device = device_of(r, index);
    desc.config = seat_of(r, index)->config;
    int32_t status = tool_layer_create(seat_of(r, index)->rt, r->layer, &desc, &rank->layer, err);
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

static int32_t
make_ranks(struct tool_ranks *r, const struct dlq_linear_desc *desc, struct dlq_error *err)
{
    r->rt = r->seats[0].rt;
    r->size = tool_group_ranks(r->group);
    r->self = tool_group_self(r->group);
    r->dtype = desc->act_dtype;
    r->device = desc->device;
    r->rank = tool_alloc((size_t)r->size, sizeof(*r->rank));
    return take_step(r, build, desc, err);
}

/// All ranks as threads of this process, on its device.
static int32_t
make_judge(struct tool_ranks *r, const struct dlq_linear_desc *desc, struct dlq_error *err)
{
    const struct dlq_device cpu = {.kind = DLQ_DEVICE_CPU};
    const int32_t status =
        tool_group_create(r->rt, cpu, r->size, JUDGE_TIMEOUT_MS, &r->judge_group, err);
    if (status != DLQ_OK) {
        return status;
    }
    r->judge = tool_alloc(1, sizeof(*r->judge));
    *r->judge = (struct tool_ranks){
        .seats = r->seats, .group = r->judge_group, .layer = r->layer, .together = true};
    return make_ranks(r->judge, desc, err);
}

int32_t
tool_ranks_create(const struct tool_seat *seats, struct tool_group *group,
                  const struct tool_layer *layer, const struct dlq_linear_desc *desc, bool judged,
                  struct tool_ranks *out, struct dlq_error *err)
{
    *out = (struct tool_ranks){.seats = seats, .group = group, .layer = layer};
    int32_t status = make_ranks(out, desc, err);
    if (status == DLQ_OK && out->self >= 0) {
        status = tool_remote_plan(out, desc, err);
    }
    if (status == DLQ_OK && out->self == 0 && judged) {
        status = make_judge(out, desc, err);
    }
    return status;
}

struct tool_ranks *
tool_ranks_judge(struct tool_ranks *r)
{
    return r->judge ? r->judge : r->self > 0 ? NULL : r;
}

void
tool_ranks_destroy(struct tool_ranks *r)
{
    if (r->judge) {
        tool_ranks_destroy(r->judge);
        free(r->judge);
    }
    tool_group_destroy(r->judge_group);
    for (int32_t i = 0; i < r->size && r->rank; ++i) {
        tool_buffers_free(&r->rank[i].act);
        free(r->rank[i].weight);
        dlq_linear_destroy(r->rank[i].layer);
    }
    free(r->rank);
    *r = (struct tool_ranks){0};
}

/// This rank's columns of x, rounded to the layer's dtype.
static int32_t
prepare(const struct tool_ranks *r, int32_t index, const float *x, struct dlq_error *err)
{
    struct tool_rank *rank = &r->rank[index];
    const int64_t full = r->layer->k;
    const int64_t own = dlq_linear_x_size(rank->layer);
    const size_t size = tool_act_size(r->dtype);
    tool_buffers_free(&rank->act);
    int32_t status = tool_buffers_make(&rank->act, seat_of(r, index)->rt, device_of(r, index),
                                       (size_t)(r->m * own) * size,
                                       (size_t)(r->m * dlq_linear_y_size(rank->layer)) * size,
                                       dlq_linear_workspace_size(rank->layer, r->m), err);
    if (status != DLQ_OK) {
        return status;
    }
    rank->act.group = r->group;
    rank->act.rank = index;
    const int64_t first = own == full ? 0 : rank->info->input_offset;
    for (int64_t i = 0; i < r->m; ++i) {
        tool_to_act((char *)rank->act.host_x + (size_t)(i * own) * size, r->dtype,
                    x + i * full + first, own);
    }
    status = tool_buffers_send(&rank->act, err);
    return status == DLQ_OK ? tool_buffers_poison(&rank->act, err) : status;
}

/// What every rank does with its share.
struct apply_arg {
    const float *x;
    int timed;
};

static int32_t
apply(struct tool_ranks *r, int32_t index, const void *arg, struct dlq_error *err)
{
    const struct apply_arg *a = arg;
    struct tool_rank *rank = &r->rank[index];
    struct tool_buffers *act = &rank->act;
    int32_t status = prepare(r, index, a->x, err);
    if (status != DLQ_OK) {
        return status;
    }
    const struct dlq_linear_io io = {
        .struct_size = sizeof(io),
        .m = r->m,
        .x = act->x,
        .y = act->y,
        .stream = dlq_stream_handle(act->stream),
        .workspace = act->workspace,
        .workspace_size = act->workspace_size,
    };
    status = dlq_linear_apply(rank->layer, &io, err);
    if (status == DLQ_OK) {
        status = tool_buffers_fetch(act, act->host_y, err);
    }
    if (status == DLQ_OK) {
        status = tool_replay_check(rank->layer, act, &io, &rank->replay, err);
    }
    // A group does one thing after the other.
    if (status == DLQ_OK && r->size == 1) {
        status = tool_replay_overlap(rank->layer, act, &io, &rank->beside, err);
    }
    if (status == DLQ_OK && a->timed) {
        status = tool_replay_time(rank->layer, act, &io, r->size > 1, &rank->times, err);
    }
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
        tool_from_act(row, r->dtype, (const char *)rank->act.host_y + (size_t)(i * own) * size,
                      own);
        for (int64_t c = 0; c < own; ++c) {
            const int64_t column = own == n ? c : tool_rank_column(rank, c);
            if (column >= 0 && column < n) {
                y[i * n + column] = row[c];
            }
        }
    }
    free(row);
}

static int32_t
prepare_only(struct tool_ranks *r, int32_t index, const void *arg, struct dlq_error *err)
{
    return prepare(r, index, arg, err);
}

/// Give the judge the same inputs. On the CPU it applies them too, and has to get the same bits;
/// several ranks of one GPU cannot talk.
static int32_t
ask_judge(struct tool_ranks *r, const float *x, const float *y, struct dlq_error *err)
{
    if (r->device.kind != DLQ_DEVICE_CPU) {
        r->judge->m = r->m;
        return take_step(r->judge, prepare_only, x, err);
    }
    const size_t size = (size_t)(r->m * r->layer->n) * sizeof(*y);
    float *own = tool_alloc(size, 1);
    int32_t status = tool_ranks_apply(r->judge, x, r->m, 0, own, err);
    if (status == DLQ_OK && memcmp(own, y, size) != 0) {
        status = err->code = DLQ_EINTERNAL;
        snprintf(err->msg, sizeof(err->msg),
                 "layer '%s': %d processes give other bits than as many threads", r->layer->prefix,
                 (int)r->size);
    }
    free(own);
    return status;
}

int32_t
tool_ranks_apply(struct tool_ranks *r, const float *x, int64_t m, int timed, float *y,
                 struct dlq_error *err)
{
    const struct apply_arg arg = {x, timed};
    r->m = m;
    int32_t status = take_step(r, apply, &arg, err);
    if (status == DLQ_OK && r->self >= 0) {
        status = tool_remote_gather(r, err);
    }
    for (int32_t i = 0; status == DLQ_OK && i < r->size; ++i) {
        collect(r, &r->rank[i], y);
    }
    return status == DLQ_OK && r->judge ? ask_judge(r, x, y, err) : status;
}

struct tool_times
tool_ranks_times(const struct tool_ranks *r)
{
    struct tool_times t = {0};
    for (int32_t i = 0; i < r->size; ++i) {
        const struct tool_times *own = &r->rank[i].times;
        t.us = own->us > t.us ? own->us : t.us;
        t.host_us = own->host_us > t.host_us ? own->host_us : t.host_us;
    }
    return t;
}

enum tool_replay_verdict
tool_ranks_replay(const struct tool_ranks *r)
{
    enum tool_replay_verdict worst = TOOL_REPLAY_NONE;
    for (int32_t i = 0; i < r->size; ++i) {
        worst = r->rank[i].replay > worst ? r->rank[i].replay : worst;
    }
    return worst;
}

enum tool_replay_verdict
tool_ranks_beside(const struct tool_ranks *r)
{
    return r->rank[0].beside;
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
    if (r->self >= 0) {
        return r->judge ? tool_ranks_dequantize(r->judge, err) : DLQ_OK;
    }
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
