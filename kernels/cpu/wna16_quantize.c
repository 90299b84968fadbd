// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rows.h"
#include "w8a8.h"
#include "wna16_fast.h"

// Rows of x to the fixed-point panels of wna16_fast.h; the loops over elements are each
// architecture's own.

// fp32 values of packed group `group` of row m, padded with zeros.
static void
load_group(const struct dlq_wna16_run *run, int64_t m, int64_t group, float *x)
{
    const struct dlq_k_wna16 *w = run->w;
    const int32_t *order = dlq_wna16_order(w);
    const void *row = dlq_call_x(run->call, m);
    const uint32_t dtype = run->call->x_dtype;
    if (order == NULL) {
        int64_t count = 0;
        const int64_t first = dlq_wna16_group_rows(w, group, &count);
        const char *from = (const char *)row + (size_t)first * dlq_k_act_size(dtype);
        DLQ_ROWS(widen)(from, dtype, count, x);
        memset(x + count, 0, (size_t)(w->group_k - count) * sizeof(*x));
        return;
    }
    for (int64_t i = 0; i < w->group_k; i++) {
        const int32_t k = order[group * w->group_k + i];
        x[i] = k >= 0 ? dlq_k_load_f32(row, dtype, k) : 0.0f;
    }
}

// How row m becomes int8 codes.
static struct dlq_w8a8_codes
choose_codes(const struct dlq_wna16_run *run, int64_t m)
{
    const struct dlq_k_linear_call *call = run->call;
    const struct dlq_k_w8a8 w = {.activation = run->arithmetic == DLQ_K_WNA16_I8_TOKEN
                                                   ? DLQ_K_W8A8_TOKEN
                                                   : DLQ_K_W8A8_TOKEN_AZP};
    float own[2];
    const float *range = own;
    if (call->ranges != NULL) {
        range = call->ranges + 2 * m;
    } else {
        DLQ_ROWS(range)(dlq_call_x(call, m), call->x_dtype, run->w->shape.k, own);
    }
    return dlq_w8a8_choose_codes(&w, range[0], range[1]);
}

// Codes of row m of x for a group, with its factors.
static void
quantize_group(const struct dlq_wna16_run *run, int64_t m, int64_t group,
               const struct dlq_w8a8_codes *codes, int16_t *q, float *sx, int32_t *sum)
{
    const struct dlq_k_wna16 *w = run->w;
    float x[DLQ_WNA16_MAX_GROUP] __attribute__((aligned(32)));
    if (m >= run->call->m) {
        memset(q, 0, (size_t)w->group_k * sizeof(*q));
        *sum = 0;
        *sx = 0.0f;
        return;
    }
    load_group(run, m, group, x);
    if (dlq_k_wna16_is_i8(run->arithmetic)) {
        *sum = dlq_wna16_make_codes(codes, x, w->group_k, q);
        *sx = codes->scale;
        return;
    }
    const float limit = run->limbs == 2 ? DLQ_WNA16_LIMIT : DLQ_WNA16_LIMIT_INT8;
    *sum = DLQ_ROWS(fix)(x, w->group_k, limit, q, sx);
}

static void
quantize_panel(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t panel)
{
    const struct dlq_k_wna16 *w = run->w;
    const int64_t m0 = (part->panel + panel) * run->rows;
    struct dlq_w8a8_codes codes[DLQ_WNA16_MAX_ROWS] = {{0}};
    int16_t q[DLQ_WNA16_MAX_GROUP] __attribute__((aligned(32)));
    for (int r = 0; r < run->rows && dlq_k_wna16_is_i8(run->arithmetic); r++) {
        if (m0 + r < run->call->m) {
            codes[r] = choose_codes(run, m0 + r);
        }
    }
    for (int64_t g = 0; g < w->groups; g++) {
        const int64_t slot = dlq_wna16_slot(part, panel, g);
        for (int r = 0; r < run->rows; r++) {
            const int64_t factors = slot * run->rows + r;
            quantize_group(run, m0 + r, g, &codes[r], q, &part->sx[factors], &part->sums[factors]);
            dlq_wna16_store_codes(run, q, r, part->codes + slot * run->group_bytes);
        }
    }
}

void
dlq_wna16_quantize(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part)
{
    for (int64_t p = 0; p < part->n_panels; p++) {
        quantize_panel(run, part, p);
    }
}
