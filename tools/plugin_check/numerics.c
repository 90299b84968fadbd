// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "numerics.h"

#include "../../kernels/float16.h"

#include <dlquant/ext/inspect.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/// Products against dequantize-then-multiply in float64.

double
numerics_ulp(uint32_t dtype, double v)
{
    const int mantissa = dtype == DLQ_F16 ? 10 : dtype == DLQ_BF16 ? 7 : 23;
    const int smallest = dtype == DLQ_F16 ? -14 : -126;
    int exponent = 0;
    frexp(v, &exponent); // v = f * 2^exponent with f in [0.5, 1)
    exponent = v == 0.0 || exponent - 1 < smallest ? smallest : exponent - 1;
    return ldexp(1.0, exponent - mantissa);
}

double
numerics_bound(const float *x, const float *w, int64_t k, uint32_t dtype, double y)
{
    double sum = 0.0;      // of abs(x w)
    double products = 0.0; // of (x w)^2
    double weights = 0.0;  // of w^2
    double largest = 0.0;  // abs(x)
    for (int64_t i = 0; i < k; i++) {
        const double p = fabs((double)x[i] * w[i]);
        sum += p;
        products += p * p;
        weights += (double)w[i] * w[i];
        largest = fmax(largest, fabs((double)x[i]));
    }
    // One rounding of y, sums in fp32 in any order, weights rounded to T, x in two 8-bit limbs.
    return numerics_ulp(dtype, y) + (double)k * 0x1p-23 * sum +
           8.0 * numerics_ulp(dtype, 1.0) / 2.0 * sqrt(products) +
           0x1p-14 * largest * 8.0 * sqrt(weights);
}

double
numerics_requantization(int32_t kind, const float *x, const float *w, int64_t k)
{
    double largest = 0.0;
    double weights = 0.0;
    double products = 0.0;
    for (int64_t i = 0; i < k; i++) {
        const double p = (double)x[i] * (double)w[i];
        largest = fmax(largest, fabs((double)x[i]));
        weights += (double)w[i] * (double)w[i];
        products += p * p;
    }
    switch (kind) {
    case DLQ_CODES_I8:
        return 8.0 * largest / 127.0 * sqrt(weights);
    case DLQ_CODES_E4M3: // 3 bits of mantissa, or the smallest step of the row's scale
        return 8.0 * (0x1p-4 * sqrt(products) + largest / 448.0 * 0x1p-9 * sqrt(weights));
    case DLQ_CODES_E2M1: // 1 bit of mantissa, or half a step of 0.5 of 6
        return 8.0 * (0x1p-2 * sqrt(products) + largest / 12.0 * sqrt(weights));
    default:
        return 0.0;
    }
}

int64_t
numerics_group(int64_t k, int64_t per_row)
{
    if (per_row == 1) {
        return k;
    }
    int64_t group = 16;
    while ((k + group - 1) / group > per_row) {
        group *= 2;
    }
    return group;
}

int32_t
numerics_code_kind(const dlq_linear *layer)
{
    void *method = NULL;
    int64_t per_row = 0;
    const struct dlq_ext_inspect *const inspect =
        dlq_linear_extension(layer, DLQ_EXT_INSPECT, &method);
    return inspect && inspect->code_kind ? inspect->code_kind(method, &per_row) : DLQ_CODES_NONE;
}

// What the codes of one row stand for; NULL code kinds are the activations themselves.
static bool
decode_row(int32_t kind, const uint8_t *codes, const float *scales, int32_t zero, int64_t k,
           int64_t per_row, float *out)
{
    const int64_t group = numerics_group(k, per_row);
    for (int64_t i = 0; i < k; i++) {
        const int64_t g = i / group;
        uint16_t half = 0;
        switch (kind) {
        case DLQ_CODES_I8:
            out[i] = (float)((int8_t)codes[i] - zero) * scales[g];
            break;
        case DLQ_CODES_E4M3:
            out[i] = dlq_k_e4m3_to_f32(codes[i]) * scales[g];
            break;
        case DLQ_CODES_E2M1:
            memcpy(&half, codes + 2 * i, sizeof(half));
            out[i] = dlq_k_f16_to_f32(half) * scales[g];
            break;
        default:
            return false;
        }
    }
    return true;
}

float *
numerics_rows(const dlq_linear *layer, const struct dlq_host *host, const void *x, int64_t m,
              struct check_result *r)
{
    void *method = NULL;
    const struct dlq_ext_inspect *const inspect =
        dlq_linear_extension(layer, DLQ_EXT_INSPECT, &method);
    const struct dlq_layer_info *const info = dlq_linear_info(layer);
    const int64_t k = info->input_size_per_partition;
    int64_t per_row = 0;
    const int32_t kind =
        inspect && inspect->code_kind ? inspect->code_kind(method, &per_row) : DLQ_CODES_NONE;
    const size_t n_scales = (size_t)(m * (per_row > 0 ? per_row : 1));
    float *out = malloc((size_t)(m * k) * sizeof(*out));
    uint8_t *const codes = malloc((size_t)(m * k) * 2);
    float *const scales = malloc(n_scales * sizeof(*scales));
    int32_t *const zeros = calloc((size_t)m, sizeof(*zeros));
    bool ok = out && codes && scales && zeros;
    for (int64_t i = 0; ok && i < m * k; i++) {
        out[i] = rig_get(x, info->act_dtype, i);
    }
    if (ok && kind != DLQ_CODES_NONE) {
        struct dlq_error err = DLQ_ERROR_INIT;
        const int64_t width = kind == DLQ_CODES_E2M1 ? 2 : 1;
        ok = per_row > 0 && inspect->quantize &&
             inspect->quantize(method, host, info, x, m, codes, scales, zeros, &err) == DLQ_OK;
        for (int64_t row = 0; ok && row < m; row++) {
            ok = decode_row(kind, codes + row * k * width, scales + row * per_row, zeros[row], k,
                            per_row, out + row * k);
        }
        if (!ok) {
            rig_fail(r, "inspect: quantize failed: %s", err.msg);
        }
    }
    free(codes);
    free(scales);
    free(zeros);
    if (!ok) {
        free(out);
        out = NULL;
    }
    return out;
}

// The rows of a product without the gaps between them.
static float *
effective_rows(const struct rig_io *io, const dlq_linear *layer, const struct dlq_host *host,
               struct check_result *r)
{
    uint8_t *const packed = malloc((size_t)(io->m * io->k) * rig_size(io->dtype));
    for (int64_t i = 0; packed && i < io->m * io->k; i++) {
        rig_set(packed, io->dtype, i,
                rig_get(io->x, io->dtype, i / io->k * io->x_stride + i % io->k));
    }
    float *const out = packed ? numerics_rows(layer, host, packed, io->m, r) : NULL;
    free(packed);
    return out;
}

bool
numerics_weights(const dlq_linear *layer, const struct dlq_host *host, float **out,
                 struct check_result *r)
{
    void *method = NULL;
    const struct dlq_ext_inspect *const inspect =
        dlq_linear_extension(layer, DLQ_EXT_INSPECT, &method);
    if (!inspect || !inspect->dequantize) {
        return rig_skip(r, "the plugin has no extension " DLQ_EXT_INSPECT);
    }
    const struct dlq_layer_info *const info = dlq_linear_info(layer);
    const size_t count = (size_t)(info->input_size_per_partition * info->output_size_per_partition);
    struct dlq_error err = DLQ_ERROR_INIT;
    *out = malloc(count * sizeof(**out));
    if (!*out || inspect->dequantize(method, host, info, *out, &err) != DLQ_OK) {
        free(*out);
        *out = NULL;
        return rig_fail(r, "inspect: dequantize failed: %s", err.msg);
    }
    return true;
}

bool
numerics_compare(const struct rig_io *io, const dlq_linear *layer, const struct dlq_host *host,
                 const float *bias, const char *what, struct check_result *r)
{
    float *w = NULL;
    if (!numerics_weights(layer, host, &w, r)) {
        return false;
    }
    float *const x = effective_rows(io, layer, host, r);
    bool ok = x != NULL;
    for (int64_t i = 0; ok && i < io->m * io->n; i++) {
        const float *const row = x + i / io->n * io->k;
        const float *const column = w + i % io->n * io->k;
        double y = bias ? bias[i % io->n] : 0.0;
        for (int64_t k = 0; k < io->k; k++) {
            y += (double)row[k] * column[k];
        }
        const double found = rig_get(rig_io_y(io, i / io->n), io->dtype, i % io->n);
        const double bound = numerics_bound(row, column, io->k, io->dtype, y);
        if (!(fabs(found - y) <= bound)) {
            ok = rig_fail(r, "%s: y[%lld, %lld] is %.9g, %.9g +- %.3g is expected", what,
                          (long long)(i / io->n), (long long)(i % io->n), found, y, bound);
        }
    }
    free(x);
    free(w);
    return ok;
}

// One case, one dtype, with or without bias: several M.
static void
check_products(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
               struct check_result *r)
{
    static const int64_t rows[] = {1, 2, 3, 17};
    struct rig_image image;
    if (!rig_image_make(rig, c, spec, &image, r)) {
        return;
    }
    dlq_linear *layer = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    float *const bias = spec->bias ? rig_image_floats(&image, "bias") : NULL;
    if (spec->bias && !bias) {
        rig_fail(r, "%s: the layer has no float parameter 'bias'", c->name);
    } else if (rig_layer_make(rig, spec, &image, &layer, &err) != DLQ_OK) {
        rig_fail(r, "%s: %s", c->name, err.msg);
    }
    for (size_t i = 0; layer && i < sizeof(rows) / sizeof(*rows); i++) {
        struct rig_io io;
        if (rig_io_make(&io, layer, rows[i], i % 2 == 1, rig->subject->seed + i)) {
            if (rig_io_apply(&io, layer, r)) {
                numerics_compare(&io, layer, dlq_runtime_host(rig->rt), bias, c->name, r);
            }
            rig_io_free(&io);
        }
    }
    free(bias);
    dlq_linear_destroy(layer);
    rig_image_free(&image);
}

void
check_numerics(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, true, check_products, r);
}

// Row 0 is zeros, row 1 has a NaN, row 2 is as before: its bits must not change.
static void
compare_special(const struct check_case *c, const struct rig_io *io, const struct rig_io *same,
                const float *bias, struct check_result *r)
{
    for (int64_t n = 0; n < io->n; n++) {
        uint8_t expected[4] = {0};
        rig_set(expected, io->dtype, 0, bias ? bias[n] : 0.0F);
        const float zero = rig_get(rig_io_y(io, 0), io->dtype, n);
        if (zero != rig_get(expected, io->dtype, 0)) {
            rig_fail(r, "%s: a row of zeros gives %g at column %lld, the bias is expected", c->name,
                     (double)zero, (long long)n);
        }
        if (!isnan(rig_get(rig_io_y(io, 1), io->dtype, n))) {
            rig_fail(r, "%s: a row with a NaN gives a number at column %lld", c->name,
                     (long long)n);
        }
    }
    if (memcmp(rig_io_y(io, 2), rig_io_y(same, 2), (size_t)io->n * rig_size(io->dtype)) != 0) {
        rig_fail(r, "%s: a NaN in row 1 changes row 2", c->name);
    }
}

static void
check_special(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
              struct check_result *r)
{
    struct rig_trial t;
    struct rig_io same;
    if (!rig_trial_make(rig, c, spec, 3, false, &t, r)) {
        return;
    }
    struct rig_io *const io = &t.io;
    float *const bias = spec->bias ? rig_image_floats(&t.image, "bias") : NULL;
    if (rig_io_make(&same, t.layer, 3, false, rig->subject->seed)) {
        for (int64_t k = 0; k < io->k; k++) {
            rig_set(io->x, io->dtype, k, 0.0F);
        }
        rig_set(io->x, io->dtype, io->x_stride + io->k / 2, NAN);
        if (rig_io_apply(io, t.layer, r) && rig_io_apply(&same, t.layer, r)) {
            compare_special(c, io, &same, bias, r);
        }
        rig_io_free(&same);
    }
    free(bias);
    rig_trial_free(&t);
}

void
check_special_rows(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, true, check_special, r);
}
