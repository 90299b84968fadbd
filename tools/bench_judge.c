// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench_judge.h"

#include "bounds.h"
#include "convert.h"
#include "reference.h"
#include "tool.h"

#include <dlquant/ext/inspect.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ROWS = 6,    ///< Rows that are looked at, the last with its outliers among them
    COLUMNS = 97 ///< Columns, spread over all
};

/// Row i of n samples of `count`, first and last included.
static int64_t
sample(int64_t i, int64_t n, int64_t count)
{
    return n > 1 ? i * (count - 1) / (n - 1) : 0;
}

/// One row of x as the numbers that the layer multiplies.
static int32_t
effective_row(const struct tool_rank *rank, const struct dlq_host *host, uint32_t dtype,
              const void *x, double *out, struct dlq_error *err)
{
    const int64_t k = rank->info->input_size;
    void *method = NULL;
    int64_t groups = 1;
    const struct dlq_ext_inspect *ext = tool_rank_inspect(rank, &method);
    const int32_t kind = ext ? ext->code_kind(method, &groups) : DLQ_CODES_NONE;
    if (kind == DLQ_CODES_NONE) {
        float *plain = tool_alloc((size_t)k, sizeof(*plain));
        tool_from_act(plain, dtype, x, k);
        for (int64_t i = 0; i < k; ++i) {
            out[i] = plain[i];
        }
        free(plain);
        return DLQ_OK;
    }
    void *codes = tool_alloc((size_t)k, 2);
    float *scales = tool_alloc((size_t)groups, sizeof(*scales));
    int32_t zero = 0;
    const int32_t status = ext->quantize(method, host, rank->info, x, 1, codes, scales, &zero, err);
    const int64_t group = tool_group_size(k, groups);
    for (int64_t i = 0; i < k && status == DLQ_OK; ++i) {
        out[i] = (tool_code_value(kind, codes, i) - zero) * (double)scales[i / group];
    }
    free(codes);
    free(scales);
    return status;
}

/// What the comparison of all samples sums up.
struct sum {
    struct tool_bound_facts facts;
    double diff2, norm2, worst;
    int64_t row, column; ///< Of the worst element
};

static void
compare_row(const struct tool_bench_weights *w, const double *x, const char *y, int64_t row,
            struct sum *sum)
{
    const int64_t columns = w->n < COLUMNS ? w->n : COLUMNS;
    for (int64_t c = 0; c < columns; ++c) {
        const int64_t n = sample(c, columns, w->n);
        struct tool_sums s = {0};
        double expected = 0.0;
        for (int64_t k = 0; k < w->k; ++k) {
            const double weight = tool_bench_weight(w, n, k);
            const double t = weight * x[k];
            expected += t;
            s.s += fabs(t);
            s.q += t * t;
            s.w2 += weight * weight;
            s.xmax = fabs(x[k]) > s.xmax ? fabs(x[k]) : s.xmax;
        }
        float found = 0.0F;
        tool_from_act(&found, w->op->dtype, y + (size_t)n * tool_act_size(w->op->dtype), 1);
        s.y = fmax(fabs(expected), fabs((double)found));
        const double error = fabs((double)found - expected);
        const double ratio = isfinite(found) ? error / tool_bound_element(&sum->facts, &s) : 1e9;
        if (ratio > sum->worst) {
            sum->worst = ratio;
            sum->row = row;
            sum->column = n;
        }
        sum->diff2 += error * error;
        sum->norm2 += expected * expected;
    }
}

int32_t
tool_bench_judge(const struct tool_bench_weights *w, dlq_linear *layer, const struct dlq_host *host,
                 const void *x, const void *y, int64_t m, struct tool_bench_result *out,
                 struct dlq_error *err)
{
    const struct tool_rank rank = {.layer = layer, .info = dlq_linear_info(layer)};
    const size_t size = tool_act_size(w->op->dtype);
    struct sum sum = {.facts = {.dtype = w->op->dtype, .k = w->k, .ranks = 1, .recomputed = 1}};
    sum.facts.arith = tool_rank_arith(&rank, &sum.facts.groups);
    double *row = tool_alloc((size_t)w->k, sizeof(*row));
    const int64_t rows = m < ROWS ? m : ROWS;
    int32_t status = DLQ_OK;
    for (int64_t i = 0; i < rows && status == DLQ_OK; ++i) {
        const int64_t at = sample(i, rows, m);
        status = effective_row(&rank, host, w->op->dtype,
                               (const char *)x + (size_t)(at * w->k) * size, row, err);
        if (status == DLQ_OK) {
            compare_row(w, row, (const char *)y + (size_t)(at * w->n) * size, at, &sum);
        }
    }
    free(row);
    if (status != DLQ_OK) {
        return status;
    }
    out->arith = tool_arith_name(sum.facts.arith);
    out->err = sum.norm2 > 0.0 ? sqrt(sum.diff2 / sum.norm2) : sqrt(sum.diff2);
    out->bound = tool_bound_norm(sum.facts.arith, w->op->dtype);
    out->worst = sum.worst;
    if (sum.worst <= 1.0 && (out->bound == 0.0 || out->err <= out->bound)) {
        return DLQ_OK;
    }
    err->code = DLQ_EINTERNAL;
    snprintf(err->msg, sizeof(err->msg),
             "%s, %lld x %lld, %lld rows (%s): error %.3g of %.3g, worst element %.3g of its bound "
             "in row %lld, column %lld",
             w->op->name, (long long)w->k, (long long)w->n, (long long)m, out->kernel, out->err,
             out->bound, sum.worst, (long long)sum.row, (long long)sum.column);
    return DLQ_EINTERNAL;
}
