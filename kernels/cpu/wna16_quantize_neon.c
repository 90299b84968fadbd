// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "w8a8.h"
#include "wna16_fast.h"

#include <arm_neon.h>

// The panels of wna16_fast.h on Arm, which uses limbs alone.

int32_t
dlq_wna16_make_codes(const struct dlq_w8a8_codes *c, const float *x, int64_t count, int16_t *q)
{
    if (c->factor == 0.0f) {
        memset(q, 0, (size_t)count * sizeof(*q));
        return 0;
    }
    const float32x4_t azp = vdupq_n_f32((float)c->azp);
    int32x4_t sums = vdupq_n_s32(0);
    for (int64_t k = 0; k < count; k += 4) {
        const float32x4_t r = vrndnq_f32(vmulq_n_f32(vld1q_f32(x + k), c->factor));
        const float32x4_t s =
            vminq_f32(vmaxq_f32(vaddq_f32(r, azp), vdupq_n_f32(-128.0f)), vdupq_n_f32(127.0f));
        const int32x4_t codes = vcvtnq_s32_f32(vsubq_f32(s, azp));
        sums = vaddq_s32(sums, codes);
        vst1_s16(q + k, vmovn_s32(codes));
    }
    return vaddvq_s32(sums);
}

void
dlq_wna16_store_codes(const struct dlq_wna16_run *run, const int16_t *q, int row, uint8_t *out)
{
    const int step = run->limbs * run->rows;
    int32_t *to = (int32_t *)(void *)out + row;
    for (int64_t k = 0; k < run->w->group_k; k += 8, to += 2 * step) {
        const int16x8_t codes = vld1q_s16(q + k);
        const int32x2_t low = vreinterpret_s32_s8(vmovn_s16(codes));
        if (run->limbs == 2) {
            const int16x8_t rounded = vaddq_s16(codes, vdupq_n_s16(128));
            const int32x2_t high = vreinterpret_s32_s8(vshrn_n_s16(rounded, 8));
            vst1_lane_s32(to, high, 0);
            vst1_lane_s32(to + step, high, 1);
        }
        vst1_lane_s32(to + step - run->rows, low, 0);
        vst1_lane_s32(to + 2 * step - run->rows, low, 1);
    }
}
