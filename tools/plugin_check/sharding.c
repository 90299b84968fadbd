// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "numerics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/// Shards against the whole layer.

static const int32_t sizes[] = {1, 2, 4, 8};

// The output of one layer for rows of x, [m, n] floats; free() them. NULL when the layer cannot be
// made (cleanly, or `r` is set).
static float *
shard_output(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
             const struct rig_image *image, const struct rig_io *whole, struct check_result *r)
{
    dlq_linear *layer = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t status = rig_layer_make(rig, spec, image, &layer, &err);
    if (status != DLQ_OK) {
        rig_refusal_is_clean(status, &err, c->name, r);
        return NULL;
    }
    struct rig_io io;
    float *out = NULL;
    if (rig_io_make(&io, layer, whole->m, false, 0)) {
        const int64_t offset = dlq_linear_info(layer)->input_offset;
        for (int64_t i = 0; i < io.m * io.k; i++) {
            rig_set(io.x, io.dtype, i / io.k * io.x_stride + i % io.k,
                    rig_get(whole->x, io.dtype, i / io.k * whole->x_stride + offset + i % io.k));
        }
        out = malloc((size_t)(io.m * io.n) * sizeof(*out));
        if (!rig_io_apply(&io, layer, r)) {
            free(out);
            out = NULL;
        }
        for (int64_t i = 0; out && i < io.m * io.n; i++) {
            out[i] = rig_get(rig_io_y(&io, i / io.n), io.dtype, i % io.n);
        }
        rig_io_free(&io);
    }
    dlq_linear_destroy(layer);
    return out;
}

// Compare columns [r * n / T, ...) of the whole with rank r's.
static void
compare_columns(struct rig *rig, const struct check_case *c, struct rig_spec spec,
                const struct rig_image *image, const struct rig_io *whole, struct check_result *r)
{
    spec.kind = DLQ_COLUMN;
    for (spec.rank = 0; spec.rank < spec.size; spec.rank++) {
        float *const part = shard_output(rig, c, &spec, image, whole, r);
        if (!part) {
            return;
        }
        const int64_t n = spec.n / spec.size;
        for (int64_t i = 0; i < whole->m * n; i++) {
            const int64_t column = spec.rank * n + i % n;
            const float expected = rig_get(rig_io_y(whole, i / n), whole->dtype, column);
            if (memcmp(&expected, &part[i], sizeof(expected)) != 0) {
                rig_fail(r, "%s: T %d, rank %d: y[%lld, %lld] is %.9g, %.9g in the whole layer",
                         c->name, (int)spec.size, (int)spec.rank, (long long)(i / n),
                         (long long)column, (double)part[i], (double)expected);
            }
        }
        free(part);
    }
}

// Sum the ranks' partial outputs in float64 and compare within what T roundings allow.
static void
compare_rows(struct rig *rig, const struct check_case *c, struct rig_spec spec,
             const struct rig_image *image, const struct rig_io *whole, const float *w,
             int32_t code_kind, struct check_result *r)
{
    const size_t count = (size_t)(whole->m * whole->n);
    double *const sum = calloc(count, sizeof(*sum));
    double *const largest = calloc(count, sizeof(*largest));
    bool complete = sum && largest;
    spec.kind = DLQ_ROW;
    for (spec.rank = 0; complete && spec.rank < spec.size; spec.rank++) {
        float *const part = shard_output(rig, c, &spec, image, whole, r);
        complete = part != NULL;
        for (size_t i = 0; complete && i < count; i++) {
            sum[i] += part[i];
            largest[i] = fmax(largest[i], fabs((double)part[i]));
        }
        free(part);
    }
    float *const x = malloc((size_t)whole->k * sizeof(*x));
    for (size_t i = 0; complete && x && i < count; i++) {
        const int64_t row = (int64_t)i / whole->n;
        const int64_t column = (int64_t)i % whole->n;
        for (int64_t k = 0; k < whole->k; k++) {
            x[k] = rig_get(whole->x, whole->dtype, row * whole->x_stride + k);
        }
        const double y = rig_get(rig_io_y(whole, row), whole->dtype, column);
        const double bound =
            2.0 * numerics_bound(x, w + column * whole->k, whole->k, whole->dtype, y) +
            (spec.size + 1) * numerics_ulp(whole->dtype, largest[i]) +
            (spec.size > 1 ? numerics_requantization(code_kind, x, w + column * whole->k, whole->k)
                           : 0.0);
        if (!(fabs(sum[i] - y) <= bound)) {
            rig_fail(r, "%s: T %d: the sum of y[%lld, %lld] is %.9g, %.9g +- %.3g is expected",
                     c->name, (int)spec.size, (long long)row, (long long)column, sum[i], y, bound);
        }
    }
    free(x);
    free(sum);
    free(largest);
}

static void
check_shards(struct rig *rig, const struct check_case *c, const struct rig_spec *spec, bool columns,
             struct check_result *r)
{
    struct rig_trial t;
    float *w = NULL;
    if (!rig_trial_make(rig, c, spec, 3, false, &t, r)) {
        return;
    }
    const bool ok = rig_io_apply(&t.io, t.layer, r) &&
                    (columns || numerics_weights(t.layer, dlq_runtime_host(rig->rt), &w, r));
    for (size_t i = 0; ok && i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct rig_spec shard = *spec;
        shard.size = sizes[i];
        if (columns) {
            compare_columns(rig, c, shard, &t.image, &t.io, r);
        } else {
            compare_rows(rig, c, shard, &t.image, &t.io, w, numerics_code_kind(t.layer), r);
        }
    }
    free(w);
    rig_trial_free(&t);
}

static void
check_columns_of_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
                      struct check_result *r)
{
    check_shards(rig, c, spec, true, r);
}

static void
check_rows_of_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
                   struct check_result *r)
{
    check_shards(rig, c, spec, false, r);
}

void
check_column(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, check_columns_of_case, r);
}

void
check_row(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, check_rows_of_case, r);
}
