// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "verify.h"

#include "convert.h"
#include "reference.h"
#include "shares.h"
#include "tool.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/// Weights that equal the recording's leave nothing but the roundings of a float per weight.
#define WEIGHTS_EQUAL 1e-6

static void
fail(struct tool_verdict *v, const char *fmt, ...) DLQ_PRINTF(2, 3);

static void
fail(struct tool_verdict *v, const char *fmt, ...)
{
    if (v->ok) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(v->why, sizeof(v->why), fmt, ap);
        va_end(ap);
    }
    v->ok = false;
}

static struct tool_bound_facts
bound_facts(const struct tool_ranks *r)
{
    struct tool_bound_facts f = {.dtype = r->dtype, .k = r->layer->k};
    f.arith = tool_rank_arith(&r->rank[0], &f.groups);
    // Integer sums are added up before they are rounded.
    const struct tool_shares shares = tool_shares_of(r);
    f.ranks = shares.cut && shares.wants.sum_dtype == DLQ_DTYPE_NONE ? r->size : 1;
    return f;
}

/// Compare the columns [first, first + n) of y with `expected`, whose row stride is `stride`.
static void
compare(const struct tool_bound_facts *facts, const struct tool_reference *ref, const float *y,
        const double *expected, int64_t expected_rows, int64_t stride, int64_t first, int64_t n,
        struct tool_verdict *v)
{
    double diff2 = 0.0, norm2 = 0.0, bound2 = 0.0, partial2 = 0.0;
    for (int64_t m = 0; m < ref->m; ++m) {
        for (int64_t c = 0; c < n; ++c) {
            const int64_t i = m * ref->n + first + c;
            const double want = expected[m % expected_rows * stride + c];
            const double got = y[i];
            struct tool_sums sums = {.s = ref->s[i],
                                     .q = ref->q[i],
                                     .w2 = ref->w2[first + c],
                                     .xmax = ref->xmax[m],
                                     .partial = ref->partial[i]};
            sums.y = fabs(want) > fabs(got) && isfinite(got) ? fabs(want) : fabs(got);
            if (isinf(got) && fabs(want) > tool_largest(facts->dtype)) {
                continue; // Overflow gives infinity, by definition.
            }
            if (!isfinite(got)) {
                fail(v, "row %lld, column %lld: found %g, expected %g", (long long)m,
                     (long long)(first + c), got, want);
                continue;
            }
            const double bound = tool_bound_element(facts, &sums);
            const double ratio = fabs(got - want) / bound;
            if (ratio > v->worst) {
                v->worst = ratio;
            }
            if (!(ratio <= 1.0)) {
                fail(v, "row %lld, column %lld: found %.9g, expected %.9g, bound %.3g",
                     (long long)m, (long long)(first + c), got, want, bound);
            }
            diff2 += (got - want) * (got - want);
            norm2 += want * want;
            bound2 += bound * bound;
            partial2 += sums.partial * sums.partial;
        }
    }
    const double norm = sqrt(norm2);
    const double err = norm > 0.0 ? sqrt(diff2) / norm : sqrt(diff2);
    double bound = tool_bound_norm(facts->arith, facts->dtype);
    if (bound == 0.0) {
        bound = norm > 0.0 ? sqrt(bound2) / norm : sqrt(bound2);
    } else if (facts->ranks > 1 && norm > 0.0) {
        // Roundings of the partial sums and of their total, independent of each other.
        bound +=
            sqrt(facts->ranks + 1.0) * tool_ulp(facts->dtype, 1.0) / 2.0 * sqrt(partial2) / norm;
    }
    if (!(err <= bound)) {
        fail(v, "mean relative error %.3g, bound %.3g", err, bound);
    }
    if (!v->compared || err / bound > v->err / v->bound) {
        v->err = err;
        v->bound = bound;
    }
    v->compared = true;
}

int32_t
tool_verify_float64(struct tool_ranks *r, const float *y, const float *bias, struct tool_verdict *v,
                    struct dlq_error *err)
{
    struct tool_reference ref;
    const int32_t status = tool_reference_make(r, bias, &ref, err);
    if (status == DLQ_OK) {
        struct tool_bound_facts facts = bound_facts(r);
        facts.recomputed = 1;
        v->arith = tool_arith_name(facts.arith);
        v->reference = "float64";
        compare(&facts, &ref, y, ref.y, ref.m, ref.n, 0, ref.n, v);
    }
    tool_reference_free(&ref);
    return status;
}

/// Whether the dtype of the layer holds the recorded inputs without rounding.
static bool
inputs_fit(uint32_t dtype, const struct tool_recorded *rec)
{
    float back = 0.0f;
    char act[4];
    for (int64_t i = 0; i < rec->m * rec->k; ++i) {
        tool_to_act(act, dtype, &rec->x[i], 1);
        tool_from_act(&back, dtype, act, 1);
        if (back != rec->x[i]) {
            return false;
        }
    }
    return true;
}

/// Relative distance of the recorded outputs from what our weights make of the recorded inputs.
static double
weight_error(const struct tool_ranks *r, const struct tool_recorded *rec, int64_t first,
             const float *bias)
{
    double *y = tool_alloc((size_t)(rec->m * rec->n), sizeof(*y));
    tool_reference_recorded(r, rec, first, bias, y);
    double diff2 = 0.0, norm2 = 0.0;
    for (int64_t i = 0; i < rec->m * rec->n; ++i) {
        diff2 += (y[i] - rec->y[i]) * (y[i] - rec->y[i]);
        norm2 += rec->y[i] * rec->y[i];
    }
    free(y);
    return norm2 > 0.0 ? sqrt(diff2 / norm2) : sqrt(diff2);
}

/// Whether a value lies so near the middle of two codes that either is right.
static bool
is_tie(double value, double a, double b)
{
    const double middle = (a + b) / 2.0;
    return fabs(value - middle) <= 0x1p-21 * (fabs(value) + fabs(a - b));
}

/// Compare the codes that one rank makes of its columns of the recorded inputs.
static void
compare_codes(const struct tool_codes *made, const struct tool_recorded *rec,
              struct tool_verdict *v)
{
    const int64_t group = tool_group_size(rec->k, rec->n_scales);
    for (int64_t i = 0; i < rec->m * made->groups; ++i) {
        // A share that begins inside the row has the scales of its own groups.
        const int64_t row = i / made->groups;
        const int64_t at = row * rec->n_scales + made->offset / group + i % made->groups;
        if (!(fabs((double)made->scales[i] - (double)rec->scales[at]) <=
              0x1p-22 * fabs((double)rec->scales[at]))) {
            fail(v, "activation scale %lld of row %lld: found %.9g, recorded %.9g",
                 (long long)(at % rec->n_scales), (long long)row, (double)made->scales[i],
                 (double)rec->scales[at]);
        }
    }
    for (int64_t i = 0; i < rec->m * made->k; ++i) {
        const int64_t row = i / made->k;
        const int64_t column = made->offset + i % made->k;
        const int64_t at = row * rec->k + column;
        const double code = tool_code_value(made->kind, made->codes, i);
        const double scale = rec->scales[row * rec->n_scales + column / group];
        const int32_t zero = rec->zeros ? rec->zeros[row] : 0;
        ++v->codes;
        if (code == rec->codes[at] && (made->kind != DLQ_CODES_I8 || made->zeros[row] == zero)) {
            continue;
        }
        if (made->zeros[row] == zero && scale > 0.0 &&
            is_tie((double)rec->x[at] / scale + zero, code, rec->codes[at])) {
            ++v->ties;
            continue;
        }
        fail(v, "activation code in row %lld, column %lld: found %g, recorded %g", (long long)row,
             (long long)column, code, rec->codes[at]);
    }
}

/// Compare the codes that the layer makes of the recorded inputs with the recorded ones.
static int32_t
verify_codes(const struct tool_ranks *r, const struct tool_recorded *rec, struct tool_verdict *v,
             struct dlq_error *err)
{
    const bool cut = tool_shares_of(r).cut;
    void *method = NULL;
    int64_t own = 0;
    if (tool_rank_inspect(&r->rank[0], &method)->code_kind(method, &own) == DLQ_CODES_NONE) {
        fail(v, "recorded activations have %lld scales a row, the layer makes none",
             (long long)rec->n_scales);
        return DLQ_OK;
    }
    void **x = tool_alloc((size_t)r->size, sizeof(*x));
    for (int32_t i = 0; i < r->size; ++i) {
        const int64_t k = r->rank[i].info->input_size_per_partition;
        const int64_t offset = r->rank[i].info->input_offset;
        char *to = tool_alloc((size_t)(rec->m * k), 4);
        x[i] = to;
        for (int64_t row = 0; row < rec->m; ++row) {
            tool_to_act(to + (size_t)(row * k) * tool_act_size(r->dtype), r->dtype,
                        rec->x + row * rec->k + offset, k);
        }
    }
    struct tool_codes *codes = NULL;
    const int32_t status = tool_shares_quantize(r, x, rec->m, &codes, err);
    const int64_t group = tool_group_size(rec->k, rec->n_scales);
    for (int32_t i = 0; status == DLQ_OK && i < (cut ? r->size : 1); ++i) {
        const struct tool_codes *made = &codes[i];
        const int64_t expected = (made->offset % group + made->k + group - 1) / group;
        if (made->groups != expected) {
            fail(v, "recorded activations have %lld scales a row, the layer makes %lld",
                 (long long)expected, (long long)made->groups);
        } else {
            compare_codes(made, rec, v);
        }
    }
    if (status == DLQ_OK) {
        tool_codes_free(r, codes);
    }
    for (int32_t i = 0; i < r->size; ++i) {
        free(x[i]);
    }
    free(x);
    return status;
}

/// Compare the exact accumulators of the recorded codes, summed over the ranks of a row layer.
static int32_t
verify_accumulators(const struct tool_ranks *r, const struct tool_recorded *rec, int64_t first,
                    struct tool_verdict *v, struct dlq_error *err)
{
    int64_t *sum = tool_alloc((size_t)(rec->m * rec->n), sizeof(*sum));
    int32_t status = DLQ_OK;
    bool absent = false; // Kernels of a device may not give them away
    for (int32_t i = 0; i < r->size && status == DLQ_OK; ++i) {
        const struct tool_rank *rank = &r->rank[i];
        void *method = NULL;
        const struct dlq_ext_inspect *ext = tool_rank_inspect(rank, &method);
        const int64_t n = rank->info->output_size_per_partition;
        const int64_t k = rank->info->input_size_per_partition;
        const int64_t offset = k == rec->k ? 0 : rank->info->input_offset;
        int8_t *codes = tool_alloc((size_t)(rec->m * k), 1);
        for (int64_t j = 0; j < rec->m * k; ++j) {
            codes[j] = (int8_t)rec->codes[j / k * rec->k + offset + j % k];
        }
        int32_t *acc = tool_alloc((size_t)(rec->m * n), sizeof(*acc));
        status = ext->accumulate(method, dlq_runtime_host(r->rt), rank->info, codes, rec->zeros,
                                 rec->m, acc, err);
        absent = status == DLQ_EUNSUPPORTED;
        for (int64_t j = 0; status == DLQ_OK && j < rec->m * n; ++j) {
            const int64_t column = tool_rank_column(rank, j % n) - first;
            if (column >= 0 && column < rec->n) {
                int64_t *to = &sum[j / n * rec->n + column];
                *to = r->layer->kind == DLQ_ROW ? *to + acc[j] : acc[j];
            }
        }
        free(acc);
        free(codes);
    }
    for (int64_t i = 0; status == DLQ_OK && i < rec->m * rec->n; ++i) {
        if (sum[i] != rec->acc[i]) {
            fail(v, "accumulator in row %lld, column %lld: found %lld, recorded %d",
                 (long long)(i / rec->n), (long long)(first + i % rec->n), (long long)sum[i],
                 rec->acc[i]);
        }
    }
    free(sum);
    return absent ? DLQ_OK : status;
}

int32_t
tool_verify_golden(struct tool_ranks *r, const float *y, const struct tool_recorded *rec,
                   int64_t first, const float *bias, struct tool_verdict *v, struct dlq_error *err)
{
    struct tool_bound_facts facts = bound_facts(r);
    v->arith = tool_arith_name(facts.arith);
    const bool fit = inputs_fit(r->dtype, rec);
    // Scales rounded to the layer's dtype make other weights than the recorded ones; never more
    // than the bound of rounded weights apart.
    const double weights = weight_error(r, rec, first, bias);
    const double allowed = tool_bound_norm(TOOL_ROUNDED, r->dtype);
    if (!(weights <= allowed)) {
        fail(v, "dequantized weights: outputs %.3g from the recorded ones, bound %.3g", weights,
             allowed);
    }
    struct tool_reference ref;
    int32_t status = tool_reference_make(r, bias, &ref, err);
    const struct tool_shares shares = tool_shares_of(r);
    const bool whole = tool_shares_whole(&shares);
    if (status == DLQ_OK && rec->codes && rec->scales && fit && whole) {
        status = verify_codes(r, rec, v, err);
    }
    if (status == DLQ_OK && rec->acc && facts.arith == TOOL_INT8) {
        status = verify_accumulators(r, rec, first, v, err);
    }
    if (status == DLQ_OK) {
        // A rank that sees a part of a row makes other codes than the recorded ones.
        const bool direct =
            fit && weights <= WEIGHTS_EQUAL && (whole || !rec->codes) && v->ties == 0;
        facts.recomputed = !direct;
        v->reference = direct && (!v->compared || v->reference[0] == 'g') ? "golden" : "recomputed";
        if (direct) {
            compare(&facts, &ref, y, rec->y, rec->m, rec->n, first, rec->n, v);
        } else {
            compare(&facts, &ref, y, ref.y + first, ref.m, ref.n, first, rec->n, v);
        }
    }
    tool_reference_free(&ref);
    return status;
}

void
tool_verify_finite(const float *y, int64_t count, struct tool_verdict *v)
{
    v->reference = "finite";
    v->arith = "";
    for (int64_t i = 0; i < count; ++i) {
        if (!isfinite(y[i])) {
            fail(v, "element %lld of y is %g", (long long)i, (double)y[i]);
            return;
        }
    }
}

void
tool_verify_replay(enum tool_replay_verdict replay, enum tool_replay_verdict beside,
                   struct tool_verdict *v)
{
    v->replay = replay > v->replay ? replay : v->replay;
    if (replay == TOOL_REPLAY_DIFFERS) {
        fail(v, "a graph that was captured from the call gives other bits than the call");
    }
    if (beside == TOOL_REPLAY_DIFFERS) {
        fail(v, "two calls on two streams at the same time give other bits than one");
    }
}
