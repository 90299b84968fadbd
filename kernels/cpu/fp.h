// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_FP_H
#define DLQ_KERNELS_CPU_FP_H

#include "../linear_fp.h"

#include <stdbool.h>

/// Levels of dlq_k_fp_init, weakest first, and addresses within the packed form.

void
dlq_fp_init_ref(struct dlq_k_fp_ops *ops);
void
dlq_fp_init_avx2(struct dlq_k_fp_ops *ops);
void
dlq_fp_init_avx512(struct dlq_k_fp_ops *ops);

static inline const uint8_t *
dlq_fp_group(const struct dlq_k_fp *w, int64_t block, int64_t group)
{
    return w->data + block * w->block_bytes + group * w->group_bytes;
}

/// 16 column factors of a block.
static inline const float *
dlq_fp_factors(const struct dlq_k_fp *w, int64_t block)
{
    return (const float *)(const void *)(w->data + block * w->block_bytes +
                                         w->groups * w->group_bytes);
}

/// Weights [k0, k0 + count) of a block times their group's scale to fp32, out[count][16]; even for
/// fp4.
void
dlq_fp_decode_avx2(const void *w, int64_t block, int64_t k0, int64_t count, float *out);
void
dlq_fp_decode_avx512(const void *w, int64_t block, int64_t k0, int64_t count, float *out);

/// Row m of a call, quantized as dlq_k_fp_quantize_share() does.
void
dlq_fp_load_row(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call, int64_t m,
                float tensor_max, float *values, float *scale);

/// The same with AVX2.
void
dlq_fp_load_row_avx2(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call, int64_t m,
                     float tensor_max, float *values, float *scale);

/// How a group of x becomes codes.
struct dlq_fp_rounding {
    float scale;    ///< Of the codes
    float multiply; ///< codes = round(x * multiply), or
    float divide;   ///< codes = round(x / divide) where this is not 0
    bool fp4;
};

/// From max|x| of the group; NaN where x is not finite.
struct dlq_fp_rounding
dlq_fp_choose_rounding(const struct dlq_k_fp *w, float max);

/// max|x| over all rows for FP8_TENSOR, 0 for the other modes.
float
dlq_fp_tensor_max(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call);
float
dlq_fp_tensor_max_avx2(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call);

/// Scale of group `group`, column `c` of a block as fp32, 1 where the row has a single group.
float
dlq_fp_scale(const struct dlq_k_fp *w, int64_t block, int64_t group, int c);

#endif // DLQ_KERNELS_CPU_FP_H
