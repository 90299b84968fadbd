// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_finite.h"

#include <stdatomic.h>
#include <string.h>

// Elements that are worth another thread.
#define TASK_ELEMENTS ((int64_t)128 * 1024)

static bool
is_finite(uint32_t dtype, const unsigned char *p)
{
    uint16_t h;
    uint32_t w;
    uint64_t q;
    switch (dtype) {
    case DLQ_F16:
        memcpy(&h, p, sizeof(h));
        return (h & 0x7C00) != 0x7C00;
    case DLQ_BF16:
        memcpy(&h, p, sizeof(h));
        return (h & 0x7F80) != 0x7F80;
    case DLQ_F32:
        memcpy(&w, p, sizeof(w));
        return (w & 0x7F800000u) != 0x7F800000u;
    case DLQ_F64:
        memcpy(&q, p, sizeof(q));
        return (q & 0x7FF0000000000000u) != 0x7FF0000000000000u;
    case DLQ_F8_E4M3:
        return (*p & 0x7F) != 0x7F;
    case DLQ_F8_E5M2:
        return (*p & 0x7C) != 0x7C;
    case DLQ_F8_E4M3FNUZ:
    case DLQ_F8_E5M2FNUZ:
        return *p != 0x80;
    case DLQ_F8_E8M0:
        return *p != 0xFF;
    default:
        return true;
    }
}

// Without a branch in the loop, so that compilers make vectors of it: scales of a large model are a
// gigabyte.
static bool
all_finite_16(const unsigned char *p, int64_t count, uint16_t exponent)
{
    uint16_t bad = 0;
    for (int64_t i = 0; i < count; ++i) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof(h));
        bad = (uint16_t)(bad | ((h & exponent) == exponent));
    }
    return bad == 0;
}

static bool
all_finite_32(const unsigned char *p, int64_t count)
{
    uint32_t bad = 0;
    for (int64_t i = 0; i < count; ++i) {
        uint32_t w;
        memcpy(&w, p + 4 * i, sizeof(w));
        bad |= (w & 0x7F800000u) == 0x7F800000u;
    }
    return bad == 0;
}

int64_t
dlq_param_find_infinite(uint32_t dtype, const void *data, int64_t count)
{
    const unsigned char *const p = data;
    const int64_t es = DLQ_DTYPE_BITS(dtype) / 8;
    if ((dtype == DLQ_F16 && all_finite_16(p, count, 0x7C00)) ||
        (dtype == DLQ_BF16 && all_finite_16(p, count, 0x7F80)) ||
        (dtype == DLQ_F32 && all_finite_32(p, count))) {
        return -1;
    }
    for (int64_t i = 0; i < count; ++i) {
        if (!is_finite(dtype, p + i * es)) {
            return i;
        }
    }
    return -1;
}

// The rows of a box, counted through all dimensions but the last.
struct rows {
    const struct dlq_param_copy *copy;
    const struct dlq_param_box *box;
    int64_t count;
    int64_t rows_a_task;
    _Atomic int64_t first_bad; ///< `count`: none
};

// Index of element 0 of a row in each dimension of the tensor; the place of that element.
static const char *
place_row(const struct rows *r, int64_t row, int64_t index[DLQ_MAX_DIMS])
{
    const struct dlq_param_box *const box = r->box;
    const int32_t last = box->ndim - 1;
    int64_t at = 0;
    int64_t stride = box->src_shape[last];
    index[last] = box->base[last] + box->src[last];
    at += index[last];
    for (int32_t d = last - 1; d >= 0; --d) {
        index[d] = box->base[d] + box->src[d] + row % box->len[d];
        row /= box->len[d];
        at += index[d] * stride;
        stride *= box->src_shape[d];
    }
    return (const char *)r->copy->src + at * (DLQ_DTYPE_BITS(r->copy->src_dtype) / 8);
}

static void
look_at_rows(void *arg, int32_t task)
{
    struct rows *const r = arg;
    const int64_t begin = task * r->rows_a_task;
    const int64_t end = begin + r->rows_a_task < r->count ? begin + r->rows_a_task : r->count;
    const int64_t n = r->box->len[r->box->ndim - 1];
    int64_t index[DLQ_MAX_DIMS];
    for (int64_t row = begin; row < end && row < atomic_load(&r->first_bad); ++row) {
        if (dlq_param_find_infinite(r->copy->src_dtype, place_row(r, row, index), n) >= 0) {
            int64_t first = atomic_load(&r->first_bad);
            while (row < first && !atomic_compare_exchange_weak(&r->first_bad, &first, row)) {
            }
        }
    }
}

bool
dlq_param_box_is_finite(struct dlq_param_copy *copy, const struct dlq_param_box *box)
{
    const int64_t n = box->len[box->ndim - 1];
    struct rows r = {.copy = copy, .box = box, .count = 1};
    for (int32_t d = 0; d < box->ndim - 1; ++d) {
        r.count *= box->len[d];
    }
    r.first_bad = r.count;
    r.rows_a_task = n < TASK_ELEMENTS ? TASK_ELEMENTS / n : 1;
    const int64_t tasks = (r.count + r.rows_a_task - 1) / r.rows_a_task;
    if (tasks > 1 && tasks <= INT32_MAX && copy->store->parallel) {
        copy->store->parallel(copy->store->ctx, (int32_t)tasks, look_at_rows, &r);
    } else {
        r.rows_a_task = r.count;
        look_at_rows(&r, 0);
    }
    if (r.first_bad == r.count) {
        return true;
    }
    const char *const row = place_row(&r, r.first_bad, copy->bad_index);
    copy->bad_index[box->ndim - 1] += dlq_param_find_infinite(copy->src_dtype, row, n);
    copy->refused = true;
    return false;
}
