// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rows.h"
#include "wna16.h"
#include "wna16_fast.h"

#include <arm_neon.h>

// Arm, with sdot, and with smmla when compiled with DLQ_NEON_I8MM: int8 limbs of x times codes
// unpacked in registers. A quarter of a line is four columns by four rows of K; smmla wants two
// columns by eight, which is what zipping two such quarters of the same columns yields.

#define DLQ_INLINE static inline __attribute__((always_inline))
#define DLQ_UNROLL _Pragma("GCC unroll 16")

enum {
    MAX_ROWS = 4,
    CHUNK_ROWS = 64 // rows that pass through a block's weights while they are in L1
};

// Codes of four columns, rows of K [4 * half, 4 * half + 4) of a step of eight: 8-bit codes less
// 128, which the zero points make up for.
DLQ_INLINE int8x16_t
unpack(const int BITS, const uint8_t *p, int quarter, int half)
{
    if (BITS == 8) {
        const uint8x16_t codes = vld1q_u8(p + half * 64 + quarter * 16);
        return vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128)));
    }
    const uint8x16_t codes = vld1q_u8(p + quarter * 16);
    return vreinterpretq_s8_u8(half == 0 ? vandq_u8(codes, vdupq_n_u8(15)) : vshrq_n_u8(codes, 4));
}

DLQ_INLINE int32x4_t
dwords(const int32_t *d0, const int32_t *d1, const int32_t *d2, const int32_t *d3)
{
    int32x4_t v = vld1q_dup_s32(d0);
    v = vld1q_lane_s32(d1, v, 1);
    v = vld1q_lane_s32(d2, v, 2);
    return vld1q_lane_s32(d3, v, 3);
}

// Sums of MR rows times a block's group: dot[m][quarter] of high * 256 + low, or of the one limb.
DLQ_INLINE void
group_sums(const int MR, const int L, const int BITS, int64_t group_k, const uint8_t *p,
           const uint8_t *codes, int32x4_t dot[MAX_ROWS][4])
{
    const int32_t *a = (const int32_t *)(const void *)codes;
    const int step = BITS == 4 ? 64 : 128;
#ifdef DLQ_NEON_I8MM
    // Two rows of smmla: the limbs of a row of x, or two rows of one limb. A single row of one limb
    // repeats itself.
    const int pairs = L == 2 ? MR : (MR + 1) / 2;
    int32x4_t acc[MAX_ROWS][8];
    DLQ_UNROLL for (int i = 0; i < pairs * 8; i++)
    {
        acc[i / 8][i % 8] = vdupq_n_s32(0);
    }
    for (int64_t k = 0; k < group_k; k += 8, p += step, a += 2 * L * MR) {
        int8x16_t x[MAX_ROWS];
        DLQ_UNROLL for (int i = 0; i < pairs; i++)
        {
            const int32_t *first = L == 2 ? a + i : a + 2 * i;
            const int32_t *second = L == 2 ? a + MR + i : 2 * i + 1 < MR ? first + 1 : first;
            x[i] = vreinterpretq_s8_s32(dwords(first, first + L * MR, second, second + L * MR));
        }
        DLQ_UNROLL for (int q = 0; q < 4; q++)
        {
            const int32x4_t low = vreinterpretq_s32_s8(unpack(BITS, p, q, 0));
            const int32x4_t high = vreinterpretq_s32_s8(unpack(BITS, p, q, 1));
            const int8x16_t w0 = vreinterpretq_s8_s32(vzip1q_s32(low, high));
            const int8x16_t w1 = vreinterpretq_s8_s32(vzip2q_s32(low, high));
            DLQ_UNROLL for (int i = 0; i < pairs; i++)
            {
                acc[i][2 * q] = vmmlaq_s32(acc[i][2 * q], x[i], w0);
                acc[i][2 * q + 1] = vmmlaq_s32(acc[i][2 * q + 1], x[i], w1);
            }
        }
    }
    DLQ_UNROLL for (int i = 0; i < pairs * 4; i++)
    {
        const int32x4_t c01 = acc[i / 4][i % 4 * 2];
        const int32x4_t c23 = acc[i / 4][i % 4 * 2 + 1];
        const int32x4_t first = vcombine_s32(vget_low_s32(c01), vget_low_s32(c23));
        const int32x4_t second = vcombine_s32(vget_high_s32(c01), vget_high_s32(c23));
        if (L == 2) {
            dot[i / 4][i % 4] = vaddq_s32(vshlq_n_s32(first, 8), second);
        } else {
            dot[i / 4 * 2][i % 4] = first;
            if (i / 4 * 2 + 1 < MR) {
                dot[i / 4 * 2 + 1][i % 4] = second;
            }
        }
    }
#else
    int32x4_t acc[MAX_ROWS][2][4];
    DLQ_UNROLL for (int i = 0; i < MR * L * 4; i++)
    {
        acc[i / 4 / L][i / 4 % L][i % 4] = vdupq_n_s32(0);
    }
    for (int64_t k = 0; k < group_k; k += 8, p += step) {
        DLQ_UNROLL for (int half = 0; half < 2; half++, a += L * MR)
        {
            int8x16_t x[MAX_ROWS][2];
            DLQ_UNROLL for (int i = 0; i < MR * L; i++)
            {
                x[i / L][i % L] = vreinterpretq_s8_s32(vld1q_dup_s32(a + i % L * MR + i / L));
            }
            DLQ_UNROLL for (int q = 0; q < 4; q++)
            {
                const int8x16_t w = unpack(BITS, p, q, half);
                DLQ_UNROLL for (int i = 0; i < MR * L; i++)
                {
                    acc[i / L][i % L][q] = vdotq_s32(acc[i / L][i % L][q], w, x[i / L][i % L]);
                }
            }
        }
    }
    DLQ_UNROLL for (int i = 0; i < MR * 4; i++)
    {
        const int32x4_t low = acc[i / 4][L - 1][i % 4];
        dot[i / 4][i % 4] = L == 2 ? vaddq_s32(vshlq_n_s32(acc[i / 4][0][i % 4], 8), low) : low;
    }
#endif
}

DLQ_INLINE float32x4_t
load_scales(const uint8_t *p, uint32_t dtype, int quarter)
{
    if (dtype == DLQ_F32) {
        return vld1q_f32((const float *)(const void *)p + 4 * quarter);
    }
    const uint16x4_t bits = vld1_u16((const uint16_t *)(const void *)p + 4 * quarter);
    if (dtype == DLQ_F16) {
        return vcvt_f32_f16(vreinterpret_f16_u16(bits));
    }
    return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

// One panel of MR rows times one block, to c[MR][64].
DLQ_INLINE void
tile(const int MR, const int L, const int BITS, const struct dlq_wna16_run *run,
     const struct dlq_wna16_part *part, int64_t panel, int64_t block, float *c)
{
    const struct dlq_k_wna16 *w = run->w;
    float32x4_t sum[MAX_ROWS][4];
    DLQ_UNROLL for (int i = 0; i < MR * 4; i++)
    {
        sum[i / 4][i % 4] = vdupq_n_f32(0.0f);
    }
    for (int64_t g = 0; g < w->groups; g++) {
        const int64_t slot = dlq_wna16_slot(part, panel, g);
        const uint8_t *scales = dlq_wna16_scales(w, block, g);
        const uint8x16_t z8 = vld1q_u8(dlq_wna16_zeros(w, block, g));
        int32x4_t dot[MAX_ROWS][4];
        group_sums(MR, L, BITS, w->group_k, dlq_wna16_codes(w, block, g),
                   part->codes + slot * run->group_bytes, dot);
        DLQ_UNROLL for (int q = 0; q < 4; q++)
        {
            const uint16x8_t z16 = q < 2 ? vmovl_u8(vget_low_u8(z8)) : vmovl_u8(vget_high_u8(z8));
            const uint32x4_t z32 = vmovl_u16(q % 2 == 0 ? vget_low_u16(z16) : vget_high_u16(z16));
            const int32x4_t z =
                vsubq_s32(vreinterpretq_s32_u32(z32), vdupq_n_s32(BITS == 8 ? 128 : 0));
            const float32x4_t s = load_scales(scales, w->scale_dtype, q);
            DLQ_UNROLL for (int m = 0; m < MR; m++)
            {
                const int64_t factor = slot * MR + m;
                const int32x4_t exact =
                    vsubq_s32(dot[m][q], vmulq_s32(z, vdupq_n_s32(part->sums[factor])));
                const float32x4_t t =
                    vmulq_f32(vcvtq_f32_s32(exact), vdupq_n_f32(part->sx[factor]));
                sum[m][q] = vfmaq_f32(sum[m][q], t, s);
            }
        }
    }
    DLQ_UNROLL for (int i = 0; i < MR * 4; i++)
    {
        vst1q_f32(c + i / 4 * DLQ_WNA16_UNIT + i % 4 * 4, sum[i / 4][i % 4]);
    }
}

typedef void (*tile_fn)(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part,
                        int64_t panel, int64_t block, float *c);
#define TILE(MR, L, BITS)                                                                          \
    static void tile_##MR##_##L##_##BITS(const struct dlq_wna16_run *run,                          \
                                         const struct dlq_wna16_part *part, int64_t panel,         \
                                         int64_t block, float *c)                                  \
    {                                                                                              \
        tile(MR, L, BITS, run, part, panel, block, c);                                             \
    }
TILE(1, 2, 4)
TILE(2, 2, 4)
TILE(1, 2, 8)
TILE(2, 2, 8)
TILE(1, 1, 4)
TILE(2, 1, 4)
TILE(3, 1, 4)
TILE(4, 1, 4)
TILE(1, 1, 8)
TILE(2, 1, 8)
TILE(3, 1, 8)
TILE(4, 1, 8)
// By 8-bit codes, limbs, rows.
static const tile_fn tiles[2][2][MAX_ROWS] = {
    {{tile_1_1_4, tile_2_1_4, tile_3_1_4, tile_4_1_4}, {tile_1_2_4, tile_2_2_4}},
    {{tile_1_1_8, tile_2_1_8, tile_3_1_8, tile_4_1_8}, {tile_1_2_8, tile_2_2_8}}};

static void
product(const struct dlq_wna16_run *run, const struct dlq_wna16_part *part, int64_t block,
        int n_blocks)
{
    const tile_fn fn = tiles[run->w->code_bits == 8][run->limbs - 1][run->rows - 1];
    float c[CHUNK_ROWS * DLQ_WNA16_UNIT] __attribute__((aligned(64)));
    for (int b = 0; b < n_blocks; b++) {
        for (int64_t p = 0; p < part->n_panels; p++) {
            fn(run, part, p, block + b, c + p * run->rows * DLQ_WNA16_UNIT + b * 16);
        }
    }
    dlq_wna16_finish(run, part, 0, part->n_panels, block, c);
}

static void
choose(const struct dlq_k_wna16 *w, int limbs, int64_t m, struct dlq_wna16_run *run)
{
    (void)w;
    const int tallest = limbs == 2 ? 2 : MAX_ROWS;
    run->format = DLQ_WNA16_LIMBS;
    run->rows = m < tallest ? (int)m : tallest;
    run->chunk = CHUNK_ROWS / run->rows;
    run->product = product;
}

#ifdef DLQ_NEON_I8MM
DLQ_WNA16_LEVEL(neon_i8mm, choose)
#else
DLQ_WNA16_LEVEL(neon_dotprod, choose)
#endif
