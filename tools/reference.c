// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "reference.h"

#include "convert.h"
#include "shares.h"
#include "tool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_A_TASK = 16 };

void
tool_reference_free(struct tool_reference *ref)
{
    free(ref->y);
    free(ref->s);
    free(ref->q);
    free(ref->partial);
    free(ref->w2);
    free(ref->xmax);
    *ref = (struct tool_reference){0};
}

double
tool_code_value(int32_t kind, const void *codes, int64_t i)
{
    double v = 0.0;
    tool_element(codes,
                 kind == DLQ_CODES_I8     ? DLQ_I8
                 : kind == DLQ_CODES_E4M3 ? DLQ_F8_E4M3
                                          : DLQ_F16,
                 i, &v);
    return v;
}

int64_t
tool_group_size(int64_t k, int64_t groups)
{
    const int64_t least = (k + groups - 1) / groups;
    int64_t power = 1;
    while (power < least) {
        power *= 2;
    }
    // With more than one group the last may be short; then the others are a power of two long.
    return groups > 1 && (k + power - 1) / power == groups ? power : least;
}

enum tool_arith
tool_rank_arith(const struct tool_rank *rank, int64_t *groups)
{
    void *method = NULL;
    const struct dlq_ext_inspect *ext = tool_rank_inspect(rank, &method);
    *groups = 1;
    const int32_t kind = ext ? ext->code_kind(method, groups) : DLQ_CODES_NONE;
    *groups = kind == DLQ_CODES_NONE ? 1 : *groups;
    struct dlq_explanation e = {.struct_size = sizeof(e)};
    const bool explained = dlq_linear_explain(rank->layer, &e, NULL) == DLQ_OK;
    if (explained && strstr(e.kernel, "limb")) {
        return TOOL_LIMBS;
    }
    if (kind != DLQ_CODES_NONE) {
        // One exact accumulator an element needs one scale a row and one a column.
        const bool grouped = e.group > 0 && e.group < rank->info->input_size_per_partition;
        return kind == DLQ_CODES_I8 && ext->accumulate && *groups == 1 && !grouped ? TOOL_INT8
                                                                                   : TOOL_CODES;
    }
    if (!explained) {
        return TOOL_EXACT;
    }
    if (strstr(e.kernel, "tf32")) {
        return TOOL_TF32;
    }
    return strstr(e.kernel, "rounded") || strstr(e.kernel, "marlin") ? TOOL_ROUNDED : TOOL_EXACT;
}

/// Activations of one rank as the numbers that it multiplies; `codes`: what it makes of them, or
/// NULL.
static void
activation_values(const struct tool_ranks *r, const struct tool_rank *rank,
                  const struct tool_codes *codes, double *out)
{
    const int64_t k = rank->info->input_size_per_partition;
    const int64_t count = r->m * k;
    if (!codes) {
        float *x = tool_alloc((size_t)count, sizeof(*x));
        tool_from_act(x, r->dtype, rank->act.host_x, count);
        for (int64_t i = 0; i < count; ++i) {
            out[i] = x[i];
        }
        free(x);
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        const int64_t row = i / k;
        const int64_t group = (codes->before + i % k) / codes->group;
        out[i] = (tool_code_value(codes->kind, codes->codes, i) - codes->zeros[row]) *
                 (double)codes->scales[row * codes->groups + group];
    }
}

/// What every rank makes of its present activations; `*out` NULL where they are not quantized.
static int32_t
present_codes(const struct tool_ranks *r, struct tool_codes **out, struct dlq_error *err)
{
    void *method = NULL;
    const struct dlq_ext_inspect *ext = tool_rank_inspect(&r->rank[0], &method);
    int64_t groups = 1;
    *out = NULL;
    if (ext->code_kind(method, &groups) == DLQ_CODES_NONE || !ext->quantize) {
        return DLQ_OK;
    }
    void **x = tool_alloc((size_t)r->size, sizeof(*x));
    for (int32_t i = 0; i < r->size; ++i) {
        x[i] = r->rank[i].act.host_x;
    }
    const int32_t status = tool_shares_quantize(r, x, r->m, out, err);
    free(x);
    return status;
}

/// Dot products of a block of weight rows with all rows of x.
struct product {
    const float *w;  ///< [n, k]
    const double *x; ///< [m, k]
    int64_t m, n, k;
    double *y, *s, *q; ///< [m, n]
    double *w2;        ///< [n]
};

static void
product_task(void *arg, int32_t task)
{
    const struct product *p = arg;
    const int64_t end = (task + 1) * (int64_t)ROWS_A_TASK;
    for (int64_t n = task * (int64_t)ROWS_A_TASK; n < end && n < p->n; ++n) {
        const float *w = p->w + n * p->k;
        double w2 = 0.0;
        for (int64_t k = 0; k < p->k; ++k) {
            w2 += (double)w[k] * (double)w[k];
        }
        p->w2[n] = w2;
        for (int64_t m = 0; m < p->m; ++m) {
            const double *x = p->x + m * p->k;
            double y = 0.0, s = 0.0, q = 0.0;
            for (int64_t k = 0; k < p->k; ++k) {
                const double t = (double)w[k] * x[k];
                y += t;
                s += fabs(t);
                q += t * t;
            }
            p->y[m * p->n + n] = y;
            p->s[m * p->n + n] = s;
            p->q[m * p->n + n] = q;
        }
    }
}

static double *
doubles(int64_t n)
{
    return tool_alloc((size_t)n, sizeof(double));
}

/// Add one rank's product to the whole: sums of a row layer, columns of the others.
static void
add_rank(const struct tool_ranks *r, const struct tool_rank *rank, const struct product *p,
         struct tool_reference *out)
{
    const bool sum = r->layer->kind == DLQ_ROW;
    for (int64_t c = 0; c < p->n; ++c) {
        const int64_t column = tool_rank_column(rank, c);
        if (column < 0 || column >= out->n) {
            continue;
        }
        out->w2[column] = sum ? out->w2[column] + p->w2[c] : p->w2[c];
        for (int64_t m = 0; m < p->m; ++m) {
            const int64_t to = m * out->n + column;
            const int64_t from = m * p->n + c;
            out->y[to] = sum ? out->y[to] + p->y[from] : p->y[from];
            out->s[to] = sum ? out->s[to] + p->s[from] : p->s[from];
            out->q[to] = sum ? out->q[to] + p->q[from] : p->q[from];
            if (sum && r->size > 1 && fabs(p->y[from]) > out->partial[to]) {
                out->partial[to] = fabs(p->y[from]);
            }
        }
    }
}

int32_t
tool_reference_make(struct tool_ranks *r, const float *bias, struct tool_reference *out,
                    struct dlq_error *err)
{
    const int64_t n = r->layer->n;
    *out = (struct tool_reference){.m = r->m, .n = n};
    out->y = doubles(r->m * n);
    out->s = doubles(r->m * n);
    out->q = doubles(r->m * n);
    out->partial = doubles(r->m * n);
    out->w2 = doubles(n);
    out->xmax = doubles(r->m);
    struct tool_codes *codes = NULL;
    const int32_t status = present_codes(r, &codes, err);
    for (int32_t i = 0; i < r->size && status == DLQ_OK; ++i) {
        const struct tool_rank *rank = &r->rank[i];
        struct product p = {.w = rank->weight, .m = r->m};
        p.n = rank->info->output_size_per_partition;
        p.k = rank->info->input_size_per_partition;
        double *x = doubles(p.m * p.k);
        activation_values(r, rank, codes ? &codes[i] : NULL, x);
        p.x = x;
        p.y = doubles(p.m * p.n);
        p.s = doubles(p.m * p.n);
        p.q = doubles(p.m * p.n);
        p.w2 = doubles(p.n);
        const struct dlq_host *host = dlq_runtime_host(r->rt);
        host->parallel_for(host->ctx, (int32_t)((p.n + ROWS_A_TASK - 1) / ROWS_A_TASK),
                           product_task, &p);
        add_rank(r, rank, &p, out);
        for (int64_t j = 0; j < p.m * p.k; ++j) {
            const double a = fabs(x[j]);
            out->xmax[j / p.k] = a > out->xmax[j / p.k] ? a : out->xmax[j / p.k];
        }
        free(x);
        free(p.y);
        free(p.s);
        free(p.q);
        free(p.w2);
    }
    tool_codes_free(r, codes);
    for (int64_t i = 0; bias && i < r->m * n; ++i) {
        out->y[i] += (double)bias[i % n];
    }
    return status;
}

void
tool_reference_recorded(const struct tool_ranks *r, const struct tool_recorded *rec, int64_t first,
                        const float *bias, double *y)
{
    for (int64_t i = 0; i < rec->m * rec->n; ++i) {
        y[i] = bias ? (double)bias[first + i % rec->n] : 0.0;
    }
    const int64_t group = rec->codes && rec->scales ? tool_group_size(rec->k, rec->n_scales) : 1;
    double *x = doubles(rec->m * rec->k);
    for (int64_t i = 0; i < rec->m * rec->k; ++i) {
        const int64_t row = i / rec->k;
        x[i] = rec->codes && rec->scales
                   ? (rec->codes[i] - (rec->zeros ? rec->zeros[row] : 0)) *
                         (double)rec->scales[row * rec->n_scales + i % rec->k / group]
                   : (double)rec->x[i];
    }
    for (int32_t i = 0; i < r->size; ++i) {
        const struct tool_rank *rank = &r->rank[i];
        const int64_t k = rank->info->input_size_per_partition;
        const int64_t offset = k == rec->k ? 0 : rank->info->input_offset;
        for (int64_t c = 0; c < rank->info->output_size_per_partition; ++c) {
            const int64_t column = tool_rank_column(rank, c) - first;
            if (column < 0 || column >= rec->n) {
                continue;
            }
            for (int64_t m = 0; m < rec->m; ++m) {
                double sum = 0.0;
                for (int64_t j = 0; j < k; ++j) {
                    sum += (double)rank->weight[c * k + j] * x[m * rec->k + offset + j];
                }
                double *to = &y[m * rec->n + column];
                *to = r->layer->kind == DLQ_ROW ? *to + sum
                                                : sum + (bias ? (double)bias[first + column] : 0.0);
            }
        }
    }
    free(x);
}
