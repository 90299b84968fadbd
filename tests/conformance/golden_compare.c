// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "golden_compare.h"

#include "golden_layer.h"
#include "numerics.h"

#include <dlquant/ext/inspect.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// The rows that a layer multiplies; in the recording's own dtype they must be the recorded ones,
// but for codes that lie one step apart because their value was a tie.
static float *
effective_rows(const struct golden_layer *r, const dlq_linear *layer, const struct dlq_host *host,
               uint32_t dtype)
{
    struct check_result result = {0};
    void *const x = golden_x(r, dtype);
    float *const out = numerics_rows(layer, host, x, r->m, &result);
    if (!out) {
        fail_msg("%s: %s", r->name, result.text);
    }
    int64_t ties = 0;
    for (int64_t i = 0; r->coded && dtype != DLQ_BF16 && i < r->m * r->k; i++) {
        const float value = rig_get(x, dtype, i);
        const float error = fabsf(out[i] - r->coded[i]);
        ties += error > 0x1p-20F * fabsf(value);
        // Both are nearest codes of the same value.
        if (error > 2.001F * fabsf(value - r->coded[i]) + 0x1p-20F * fabsf(value)) {
            fail_msg("%s: x[%lld] %g is multiplied as %g, %g is recorded", r->name, (long long)i,
                     (double)value, (double)out[i], (double)r->coded[i]);
        }
    }
    assert_in_range(ties, 0, r->m * r->k / 200);
    free(x);
    return out;
}

// Recorded codes: equal but for ties, and their exact sums.
static void
compare_codes(const struct golden_layer *r, const dlq_linear *layer, const struct dlq_host *host)
{
    void *method = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const struct dlq_ext_inspect *const inspect =
        dlq_linear_extension(layer, DLQ_EXT_INSPECT, &method);
    const struct dlq_layer_info *const info = dlq_linear_info(layer);
    int8_t *const codes = malloc((size_t)(r->m * r->k));
    int32_t *const acc = malloc((size_t)(r->m * r->n) * sizeof(*acc));
    void *const x = golden_x(r, info->act_dtype);
    float scales[8];
    int32_t zeros[8];
    assert_non_null(codes);
    assert_non_null(acc);
    test_assert_ok(inspect->quantize(method, host, info, x, r->m, codes, scales, zeros, &err),
                   &err);
    int64_t ties = 0;
    for (int64_t i = 0; i < r->m * r->k; i++) {
        const int difference = codes[i] - r->codes[i];
        const double v = (double)rig_get(x, info->act_dtype, i) / (double)scales[i / r->k];
        const bool tie = fabs(v - floor(v) - 0.5) < 1e-4;
        if (difference != 0 && !(abs(difference) == 1 && tie)) {
            fail_msg("%s: code %lld is %d, %d is recorded", r->name, (long long)i, codes[i],
                     r->codes[i]);
        }
        ties += difference != 0;
    }
    assert_in_range(ties, 0, r->m * r->k / 500);
    for (int64_t i = 0; i < r->m; i++) {
        assert_int_equal(zeros[i], r->zeros ? r->zeros[i] : 0);
        assert_true(fabsf(scales[i] - r->scales[i]) <= 0x1p-22F * r->scales[i]);
    }
    test_assert_ok(inspect->accumulate(method, host, info, r->codes, r->zeros, r->m, acc, &err),
                   &err);
    assert_memory_equal(acc, r->acc, (size_t)(r->m * r->n) * sizeof(*acc));
    free(codes);
    free(acc);
    free(x);
}

// With the weights that the plugin reports the recorded y must come out.
static void
compare_recording(const struct golden_layer *r)
{
    for (int64_t j = 0; j < r->m * r->n; j++) {
        double y = r->bias ? (double)r->bias[j % r->n] : 0.0;
        double sum = fabs(y);
        for (int64_t k = 0; k < r->k; k++) {
            const int64_t at = j / r->n * r->k + k;
            const double x = r->coded ? (double)r->coded[at] : (double)rig_get(r->x, DLQ_F16, at);
            const double p = x * (double)r->weight[j % r->n * r->k + k];
            y += p;
            sum += fabs(p);
        }
        // Each reported weight is one rounding to float away from the truth.
        if (!(fabs(y - r->y[j]) <= 0x1p-22 * sum)) {
            fail_msg("%s: y[%lld] is %.12g with the reported weights, %.12g is recorded", r->name,
                     (long long)j, y, r->y[j]);
        }
    }
}

void
golden_learn(struct golden *g)
{
    const struct dlq_host *const host = dlq_runtime_host(g->rt);
    for (size_t i = 0; i < g->n_layers; i++) {
        struct golden_layer *const r = &g->layers[i];
        struct golden_plan plan = {.kind = DLQ_REPLICATED, .n_parts = 1};
        snprintf(plan.prefix, sizeof(plan.prefix), "%s", r->name);
        snprintf(plan.parts[0], sizeof(plan.parts[0]), "%s", r->name);
        for (size_t d = 0; d < GOLDEN_DTYPES; d++) {
            struct dlq_error err = DLQ_ERROR_INIT;
            struct check_result result = {0};
            dlq_linear *layer = NULL;
            test_assert_ok(golden_layer_make(g, &plan, golden_dtypes[d], NULL, &layer, &err), &err);
            if (!r->weight && !numerics_weights(layer, host, &r->weight, &result)) {
                fail_msg("%s: %s", r->name, result.text);
            }
            if (r->acc && golden_dtypes[d] != DLQ_BF16) {
                compare_codes(r, layer, host);
            }
            r->rows[d] = effective_rows(r, layer, host, golden_dtypes[d]);
            dlq_linear_destroy(layer);
        }
        compare_recording(r);
    }
}

static size_t
dtype_index(uint32_t dtype)
{
    return dtype == DLQ_F16 ? 0 : dtype == DLQ_BF16 ? 1 : 2;
}

// One element of a recorded layer's output against the float64 product of its effective rows.
static void
compare_element(const struct golden_layer *r, uint32_t dtype, int64_t row, int64_t column,
                int32_t cut, double found)
{
    const float *const w = r->weight + column * r->k;
    const float *const x = r->rows[dtype_index(dtype)] + row * r->k;
    double y = r->bias ? (double)r->bias[column] : 0.0;
    double sum = fabs(y);
    for (int64_t k = 0; k < r->k; k++) {
        y += (double)x[k] * (double)w[k];
        sum += fabs((double)x[k] * (double)w[k]);
    }
    double bound = numerics_bound(x, w, r->k, dtype, y);
    if (cut > 1) {
        bound += (cut + 1) * numerics_ulp(dtype, sum);
    }
    if (!(fabs(found - y) <= bound)) {
        fail_msg("%s, %s, K cut in %d: y[%lld, %lld] is %.9g, %.9g +- %.3g is expected", r->name,
                 rig_dtype_name(dtype), (int)cut, (long long)row, (long long)column, found, y,
                 bound);
    }
    // Without rounding of x and without a cut the recording itself must be met; by int8 layers to
    // the last place, up to codes that were ties.
    const double recorded = r->y[row * r->n + column];
    const double limit = r->codes ? fmax(numerics_ulp(dtype, recorded), bound) : bound;
    if (dtype != DLQ_BF16 && cut == 1 && !(fabs(found - recorded) <= limit)) {
        fail_msg("%s, %s: y[%lld, %lld] is %.9g, %.9g +- %.3g is recorded", r->name,
                 rig_dtype_name(dtype), (long long)row, (long long)column, found, recorded, limit);
    }
}

void
golden_compare_part(struct golden *g, const struct dlq_layer_info *info, int32_t p, uint32_t dtype,
                    int32_t ranks, const void *y, const void *whole)
{
    const struct dlq_part *const part = info->parts[p];
    const struct golden_layer *r = golden_find(g, part->prefix);
    const int64_t base = r ? 0 : part->full_offset;
    r = r ? r : golden_find(g, info->prefix);
    assert_non_null(r);
    for (int64_t row = 0; row < r->m; row++) {
        for (int64_t i = 0; i < part->local_size; i++) {
            const int64_t column = part->source_offset + i;
            const int64_t at = row * info->output_size_per_partition + part->local_offset + i;
            const float found = rig_get(y, dtype, at);
            compare_element(r, dtype, row, base + column, info->kind == DLQ_ROW ? ranks : 1,
                            (double)found);
            // A cut of N changes no sum, a cut of K none of integers: the same bits as the whole
            // layer's.
            if (whole && (info->kind != DLQ_ROW || r->acc)) {
                const int64_t same = row * info->ckpt_output_size + part->full_offset + column;
                const float other = rig_get(whole, dtype, same);
                assert_memory_equal(&found, &other, sizeof(found));
            }
        }
    }
}
