// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../kernels/float16.h"
#include "../common/layer.h"
#include "scheme_fp.h"

/// Codes of activations of the fp scheme, of whole rows and of the shares that ranks have.

static bool
has_fp4_codes(const struct ct_fp *s)
{
    return s->activation == DLQ_K_FP_NVFP4 || s->activation == DLQ_K_FP_MXFP4;
}

int32_t
ct_fp_code_kind(const struct ct_layer *l, int64_t *scales_per_row)
{
    const struct ct_fp *const s = (const struct ct_fp *)l;
    if (s->activation == DLQ_K_FP_NONE) {
        return DLQ_CODES_NONE;
    }
    *scales_per_row = dlq_k_fp_act_scales(&s->weight);
    return has_fp4_codes(s) ? DLQ_CODES_E2M1 : DLQ_CODES_E4M3;
}

// Largest magnitude of all rows, for the one scale of a whole tensor; NaN when one is not finite.
static float
tensor_max(const void *x, uint32_t dtype, int64_t count)
{
    uint32_t max = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t bits = dlq_k_f32_bits(dlq_k_load_f32(x, dtype, i)) & 0x7fffffffu;
        max = bits > max ? bits : max;
    }
    return dlq_k_f32_from_bits(max >= 0x7f800000u ? 0x7fc00000u : max);
}

static int32_t
split_quantize(const struct ct_layer *l, const struct dlq_host *host,
               const struct dlq_k_linear_call *call, void *codes, float *scales,
               int32_t *zero_points, struct dlq_error *err)
{
    const struct ct_fp *const s = (const struct ct_fp *)l;
    const int64_t k = s->weight.shape.k;
    const int64_t per_row = dlq_k_fp_act_scales(&s->weight);
    const size_t row = (size_t)k * dlq_k_act_size(call->x_dtype);
    float *const values = dlq_host_calloc(host, (size_t)k * sizeof(*values), err);
    uint8_t *const bytes = values ? dlq_host_calloc(host, (size_t)k, err) : NULL;
    const bool token = s->activation == DLQ_K_FP_FP8_TOKEN;
    float max = call->ranges ? tensor_max(call->ranges, DLQ_F32, call->m * 2)
                             : tensor_max(call->x, call->x_dtype, call->m * k);
    for (int64_t i = 0; bytes && i < call->m; i++) {
        float row_scale = 1.0F;
        const char *const from = (const char *)call->x + (size_t)i * row;
        if (token) {
            max = call->ranges ? tensor_max(call->ranges + 2 * i, DLQ_F32, 2)
                               : tensor_max(from, call->x_dtype, k);
        }
        dlq_k_fp_quantize_share(&s->weight, from, call->x_dtype, max,
                                call->group_max ? call->group_max + i * call->group_max_stride
                                                : NULL,
                                values, bytes, scales + i * per_row, &row_scale);
        // nvfp4 divides by one scale of the whole tensor: what a code stands for includes it.
        for (int64_t g = 0; g < per_row && s->activation == DLQ_K_FP_NVFP4; g++) {
            scales[i * per_row + g] *= row_scale;
        }
        for (int64_t j = 0; j < k; j++) {
            if (has_fp4_codes(s)) {
                ((uint16_t *)codes)[i * k + j] = dlq_k_f32_to_f16(dlq_k_e2m1_to_f32(bytes[j]));
            } else {
                ((uint8_t *)codes)[i * k + j] = bytes[j];
            }
        }
        if (zero_points) {
            zero_points[i] = 0;
        }
    }
    const bool ok = bytes != NULL;
    dlq_host_free(host, values);
    dlq_host_free(host, bytes);
    return ok ? DLQ_OK : DLQ_ENOMEM;
}

int32_t
ct_fp_quantize(const struct ct_layer *l, const struct dlq_host *host,
               const struct dlq_layer_info *info, const void *x, int64_t m, void *codes,
               float *scales, int32_t *zero_points, struct dlq_error *err)
{
    (void)info;
    const struct dlq_k_linear_call call = ct_rows_call(l, x, m);
    return split_quantize(l, host, &call, codes, scales, zero_points, err);
}

// One scale of a whole row or of all of them is made from what all ranks see, as is that of a group
// that a rank cuts.
static void
split_describe(const struct ct_layer *l, struct dlq_row_split *out)
{
    const struct ct_fp *const s = (const struct ct_fp *)l;
    const bool rows = s->activation == DLQ_K_FP_FP8_TOKEN || s->activation == DLQ_K_FP_FP8_TENSOR;
    out->n_stats = rows ? 2 : (int32_t)l->shared_groups;
}

static void
split_measure(const struct ct_layer *l, const struct dlq_k_linear_call *call, float *max)
{
    const struct ct_fp *const s = (const struct ct_fp *)l;
    dlq_k_fp_group_max(&s->weight, call, max);
}

const struct ct_split_ops ct_fp_split = {
    .describe = split_describe,
    .measure = split_measure,
    .quantize = split_quantize,
};
