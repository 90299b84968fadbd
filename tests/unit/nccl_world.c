// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "nccl_world.h"

#include "alloc.h"
#include "float16.h"
#include "nccl/group.h"

#include <string.h>

const struct dlq_nccl_ops *
dlq_nccl_module(void);

void (*world_prepare)(struct seat *s);

void
world_begin_with(struct world *w, int32_t host_ms)
{
    fake_nccl_reset();
    *w = (struct world){0};
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_runtime_options options = {.struct_size = sizeof(options), .n_threads = 1};
    test_assert_ok(dlq_runtime_create(&options, &w->rt, &err), &err);
    test_assert_ok(dlq_collective_threads_create(w->rt, RANKS, host_ms, &w->host, &err), &err);
    for (int32_t r = 0; r < RANKS; r++) {
        w->options[r] = (struct dlq_collective_nccl_options){
            .struct_size = sizeof(w->options[r]),
            .timeout_ms = LONG_MS,
            .device = r,
            .host = dlq_collective_threads_get(w->host, r),
        };
        w->seats[r] = (struct seat){.w = w, .rank = r, .err = DLQ_ERROR_INIT};
    }
}

void
world_begin(struct world *w)
{
    world_begin_with(w, LONG_MS);
}

static void *
seat_main(void *arg)
{
    struct seat *const s = arg;
    if (world_prepare) {
        world_prepare(s);
    }
    (void)cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking);
    s->rc = dlq_nccl_module()->create(&dlq_system_allocator, &s->w->options[s->rank], &s->group,
                                      &s->err);
    if (s->rc == DLQ_OK && s->w->body) {
        s->w->body(s);
    }
    return NULL;
}

void
world_run(struct world *w, void (*body)(struct seat *s))
{
    w->body = body;
    for (int32_t r = 0; r < RANKS; r++) {
        assert_int_equal(pthread_create(&w->seats[r].thread, NULL, seat_main, &w->seats[r]), 0);
    }
    for (int32_t r = 0; r < RANKS; r++) {
        pthread_join(w->seats[r].thread, NULL);
    }
}

void
world_end(struct world *w)
{
    for (int32_t r = 0; r < RANKS; r++) {
        dlq_collective_nccl_destroy(w->seats[r].group);
        (void)cudaStreamDestroy(w->seats[r].stream);
    }
    dlq_collective_threads_destroy(w->host);
    dlq_runtime_destroy(w->rt);
}

void
world_assert(const struct world *w, int32_t rc, const char *text)
{
    for (int32_t r = 0; r < RANKS; r++) {
        const struct seat *const s = &w->seats[r];
        if (s->rc != rc || (rc != DLQ_OK && !strstr(s->err.msg, text))) {
            fail_msg("rank %d: %d '%s', expected %d '%s'", r, s->rc, s->err.msg, rc, text);
        }
    }
}

void
seat_hurry(struct seat *s)
{
    ((struct dlq_nccl_group *)s->group)->timeout_ms = SHORT_MS;
}

void
seat_settle(struct seat *s, int32_t rc)
{
    s->rc = rc == DLQ_OK ? dlq_collective_nccl_wait(s->group, s->stream, &s->err) : rc;
}

void
seat_sum_all_dtypes(struct seat *s)
{
    const struct dlq_collective *const c = dlq_collective_nccl_get(s->group);
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    assert_int_equal(c->rank, s->rank);
    assert_int_equal(c->size, RANKS);
    for (int d = 0; d < 3; d++) {
        for (uint32_t flags = 0; flags <= DLQ_REDUCE_FP32; flags++) {
            float values[5];
            uint32_t data[5];
            for (int i = 0; i < 5; i++) {
                values[i] = (float)((s->rank + 1) * (i + 1));
            }
            (void)dlq_cast(dtypes[d], data, DLQ_F32, values, 5);
            seat_settle(s, c->all_reduce(c->ctx, data, 5, dtypes[d], flags, s->stream, &s->err));
            (void)dlq_cast(DLQ_F32, values, dtypes[d], data, 5);
            for (int i = 0; i < 5; i++) {
                if (s->rc == DLQ_OK && values[i] != (float)(6 * (i + 1))) {
                    s->rc = -1;
                }
            }
            if (s->rc != DLQ_OK) {
                return;
            }
        }
    }
    // Integers are added as they are, whatever the flags say; 2^24 + 1 is no fp32.
    int32_t sum = s->rank == 0 ? (1 << 24) + 1 : 0;
    assert_true(c->flags & DLQ_COLLECTIVE_SUMS_I32);
    seat_settle(s, c->all_reduce(c->ctx, &sum, 1, DLQ_I32, DLQ_REDUCE_FP32, s->stream, &s->err));
    s->rc = s->rc == DLQ_OK && sum != (1 << 24) + 1 ? -2 : s->rc;
}
