// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx2.h"
#include "dense.h"
#include "float_fast.h"
#include "fp.h"
#include "rows.h"

// fp32 tiles and decoders with AVX2, FMA and F16C.

#define FMA(c, a, b) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(c) : "x"(a), "x"(b))

// MR rows times NV vectors of 8 columns from `b`: one block has two.
DLQ_INLINE void
tile(const int MR, const int NV, int64_t count, const float *a, const float *b, int64_t stride,
     bool first, float *c)
{
    __m256 acc[DLQ_FLOAT_ROWS][8];
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int v = 0; v < NV; v++)
        {
            acc[m][v] =
                first ? _mm256_setzero_ps() : _mm256_load_ps(c + m * DLQ_FLOAT_UNIT + v * 8);
        }
    }
    for (int64_t k = 0; k < count; k++, a += MR, b += 16) {
        __m256 w[8];
        DLQ_UNROLL for (int v = 0; v < NV; v++)
        {
            w[v] = _mm256_loadu_ps(b + v / 2 * stride + v % 2 * 8);
        }
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            const __m256 x = _mm256_broadcast_ss(a + m);
            DLQ_UNROLL for (int v = 0; v < NV; v++)
            {
                FMA(acc[m][v], w[v], x);
            }
        }
    }
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int v = 0; v < NV; v++)
        {
            _mm256_store_ps(c + m * DLQ_FLOAT_UNIT + v * 8, acc[m][v]);
        }
    }
}

// One row is a chain of additions a column: take two blocks at a time to hide their latency. More
// rows have chains enough with one block.
static void
tile_1(int64_t count, const float *a, const float *b, int64_t stride, bool first, float *c)
{
    tile(1, 4, count, a, b, stride, first, c);
    tile(1, 4, count, a, b + 2 * stride, stride, first, c + 32);
}

#define TILE(MR)                                                                                   \
    static __attribute__((noinline)) void tile_##MR(int64_t count, const float *a, const float *b, \
                                                    int64_t stride, bool first, float *c)          \
    {                                                                                              \
        for (int i = 0; i < 4; i++) {                                                              \
            tile(MR, 2, count, a, b + i * stride, stride, first, c + i * 16);                      \
        }                                                                                          \
    }
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

const struct dlq_float_level dlq_float_level_avx2 = {
    "avx2", {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6}};

void
dlq_dense_decode_avx2(const void *w, int64_t block, int64_t k0, int64_t count, float *out)
{
    const struct dlq_k_dense *dense = w;
    const uint16_t *p = (const uint16_t *)(const void *)(dense->data + block * dense->block_bytes);
    p += k0 * 16;
    if (dense->dtype == DLQ_F16) {
        dlq_rows_widen_avx2(p, DLQ_F16, count * 16, out);
        return;
    }
    const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    for (int64_t k = 0; k < count; k += 2) {
        for (int h = 0; h < 2; h++) {
            const __m256i pair =
                _mm256_loadu_si256((const __m256i *)(const void *)(p + k * 16 + h * 16));
            float *to = out + k * 16 + h * 8;
            _mm256_storeu_ps(to, _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)));
            if (k + 1 < count) {
                _mm256_storeu_ps(to + 16, _mm256_castsi256_ps(_mm256_and_si256(pair, high)));
            }
        }
    }
}

// 8 fp8 codes to 2^-8 of their values: with its sign and seven bits moved to their places, e4m3 is
// such a binary16, subnormals included. There is no NaN among packed weights.
DLQ_INLINE __m256
decode_fp8(const uint8_t *p)
{
    // Sign extension puts the sign where it belongs and, after the shift, into the bit below too.
    const __m128i code = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)p));
    const __m128i keep = _mm_set1_epi16((int16_t)0xbfff);
    return _mm256_cvtph_ps(_mm_and_si128(_mm_slli_epi16(code, 7), keep));
}

// 8 fp4 codes, one in the low nibble of each dword, to fp32.
DLQ_INLINE __m256
decode_fp4(__m256i code)
{
    const __m256 magnitudes = _mm256_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f);
    const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(code, _mm256_set1_epi32(8)), 28);
    return _mm256_xor_ps(_mm256_permutevar8x32_ps(magnitudes, code), _mm256_castsi256_ps(sign));
}

DLQ_INLINE __m256
load_scale(const struct dlq_k_fp *w, int64_t block, int64_t group, int half)
{
    if (w->groups == 1) {
        return _mm256_set1_ps(1.0f);
    }
    const uint8_t *p = dlq_fp_group(w, block, group) + w->code_bytes;
    if (w->shape.scale_dtype == DLQ_F8_E4M3) {
        return _mm256_mul_ps(decode_fp8(p + half * 8), _mm256_set1_ps(256.0f));
    }
    if (w->shape.scale_dtype == DLQ_F8_E8M0) {
        // Exponent 0 is 2^-127: half of the smallest normal number.
        const __m128i e8 = _mm_loadl_epi64((const __m128i *)(const void *)(p + half * 8));
        const __m256i e = _mm256_slli_epi32(_mm256_cvtepu8_epi32(e8), 23);
        return _mm256_castsi256_ps(_mm256_max_epi32(e, _mm256_set1_epi32(0x00400000)));
    }
    return _mm256_loadu_ps((const float *)(const void *)p + half * 8);
}

void
dlq_fp_decode_avx2(const void *layer, int64_t block, int64_t k0, int64_t count, float *out)
{
    const struct dlq_k_fp *w = layer;
    const int64_t size = w->shape.group;
    for (int64_t k = k0; k < k0 + count;) {
        const int64_t g = k / size;
        const int64_t end = (g + 1) * size < k0 + count ? (g + 1) * size : k0 + count;
        const uint8_t *codes = dlq_fp_group(w, block, g);
        const __m256 scale[2] = {load_scale(w, block, g, 0), load_scale(w, block, g, 1)};
        const __m256 lift = _mm256_set1_ps(256.0f);
        const __m256 scale8[2] = {_mm256_mul_ps(scale[0], lift), _mm256_mul_ps(scale[1], lift)};
        for (; k < end && w->shape.dtype == DLQ_F8_E4M3; k++, out += 16) {
            for (int h = 0; h < 2; h++) {
                const __m256 v = decode_fp8(codes + (k - g * size) * 16 + h * 8);
                _mm256_storeu_ps(out + h * 8, _mm256_mul_ps(v, scale8[h]));
            }
        }
        for (; k < end; k += 2, out += 32) { // fp4: k0, count and groups are even
            for (int h = 0; h < 2; h++) {
                const uint8_t *p = codes + (k - g * size) * 8 + h * 8;
                const __m256i code =
                    _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
                const __m256 low = decode_fp4(_mm256_and_si256(code, _mm256_set1_epi32(15)));
                const __m256 high = decode_fp4(_mm256_srli_epi32(code, 4));
                _mm256_storeu_ps(out + h * 8, _mm256_mul_ps(low, scale[h]));
                _mm256_storeu_ps(out + 16 + h * 8, _mm256_mul_ps(high, scale[h]));
            }
        }
    }
}
