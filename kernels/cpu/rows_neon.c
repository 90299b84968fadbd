// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rows.h"

#include "call.h"
#include "ranges.h"

#include <arm_neon.h>
#include <stdbool.h>

static inline float32x4_t
load4(const void *p, uint32_t dtype, int64_t i)
{
    if (dtype == DLQ_F32) {
        return vld1q_f32((const float *)p + i);
    }
    const uint16x4_t bits = vld1_u16((const uint16_t *)p + i);
    if (dtype == DLQ_F16) {
        return vcvt_f32_f16(vreinterpret_f16_u16(bits));
    }
    return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

void
dlq_rows_widen_neon(const void *x, uint32_t dtype, int64_t count, float *out)
{
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        vst1q_f32(out + i, load4(x, dtype, i));
    }
    for (; i < count; i++) {
        out[i] = dlq_k_load_f32(x, dtype, i);
    }
}

void
dlq_rows_finish_neon(const struct dlq_k_linear_call *call, int64_t m0, int64_t rows, int64_t n0,
                     int64_t cols, const float *sums, int64_t stride)
{
    for (int64_t r = 0; r < rows; r++, sums += stride) {
        void *y = dlq_call_y(call, m0 + r);
        int64_t c = 0;
        for (; c + 4 <= cols && call->y_dtype != DLQ_BF16; c += 4) {
            float32x4_t v = vld1q_f32(sums + c);
            if (call->bias != NULL) {
                v = vaddq_f32(v, load4(call->bias, call->bias_dtype, n0 + c));
            }
            if (call->y_dtype == DLQ_F32) {
                vst1q_f32((float *)y + n0 + c, v);
            } else {
                vst1_u16((uint16_t *)y + n0 + c, vreinterpret_u16_f16(vcvt_f16_f32(v)));
            }
        }
        for (; c < cols; c++) {
            const float v = call->bias != NULL ? sums[c] + dlq_call_bias(call, n0 + c) : sums[c];
            dlq_k_store_f32(y, call->y_dtype, n0 + c, v);
        }
    }
}

void
dlq_rows_range_neon(const void *x, uint32_t dtype, int64_t count, float range[2])
{
    dlq_row_range(x, dtype, count, range);
}

// Whether x[count] times `factor` are integers.
static bool
is_integral(const float *x, int64_t count, float factor)
{
    uint32x4_t right = vdupq_n_u32(UINT32_MAX);
    for (int64_t i = 0; i < count; i += 4) {
        const float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), factor);
        right = vandq_u32(right, vceqq_f32(v, vrndnq_f32(v)));
    }
    return vminvq_u32(right) != 0;
}

int32_t
dlq_rows_fix_neon(const float *x, int64_t count, float limit, int16_t *q, float *scale)
{
    // As integers, NaN is above infinity is above every finite magnitude.
    const uint32x4_t magnitude = vdupq_n_u32(0x7fffffff);
    uint32x4_t max4 = vdupq_n_u32(0);
    for (int64_t i = 0; i < count; i += 4) {
        max4 = vmaxq_u32(max4, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + i)), magnitude));
    }
    const uint32_t max_bits = vmaxvq_u32(max4);
    if (max_bits == 0 || max_bits >= 0x7f800000u) {
        memset(q, 0, (size_t)count * sizeof(*q));
        *scale = max_bits == 0 ? 0.0f : dlq_k_f32_from_bits(0x7fc00000u);
        return 0;
    }
    const float max = dlq_k_f32_from_bits(max_bits);
    // The reciprocal of a tiny maximum overflows: bring such rows into range first.
    const float lift = max < 0x1p-100f ? 0x1p100f : 1.0f;
    // Small integers, and what a power of two makes of them, have a scale that rounds none.
    const float power = limit > 127.0f ? 16384.0f : 64.0f;
    if ((max_bits & 0x7fffff) == 0 && lift == 1.0f && is_integral(x, count, power / max)) {
        limit = power;
    }
    const float inverse = limit / (max * lift);
    *scale = max / limit;
    int32x4_t sum = vdupq_n_s32(0);
    for (int64_t i = 0; i < count; i += 4) {
        const float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), lift);
        const int32x4_t codes = vcvtnq_s32_f32(vmulq_n_f32(v, inverse));
        sum = vaddq_s32(sum, codes);
        vst1_s16(q + i, vmovn_s32(codes));
    }
    return vaddvq_s32(sum);
}
