// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "avx512.h"
#include "dense.h"
#include "float_fast.h"
#include "fp.h"
#include "rows.h"

// fp32 tiles and decoders with AVX-512.

#define FMA(c, a, b) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b))

DLQ_INLINE void
tile(const int MR, int64_t count, const float *a, const float *b, int64_t stride, bool first,
     float *c)
{
    enum { PREFETCH = 512 }; // floats ahead: 2 KiB, for weights that are read in place
    __m512 acc[DLQ_FLOAT_ROWS][4];
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int i = 0; i < 4; i++)
        {
            acc[m][i] =
                first ? _mm512_setzero_ps() : _mm512_load_ps(c + m * DLQ_FLOAT_UNIT + i * 16);
        }
    }
    for (int64_t k = 0; k < count; k++, a += MR, b += 16) {
        __m512 w[4];
        DLQ_UNROLL for (int i = 0; i < 4; i++)
        {
            _mm_prefetch((const char *)(b + i * stride + PREFETCH), _MM_HINT_T0);
            w[i] = _mm512_loadu_ps(b + i * stride);
        }
        DLQ_UNROLL for (int m = 0; m < MR; m++)
        {
            const __m512 x = _mm512_set1_ps(a[m]);
            DLQ_UNROLL for (int i = 0; i < 4; i++)
            {
                FMA(acc[m][i], w[i], x);
            }
        }
    }
    DLQ_UNROLL for (int m = 0; m < MR; m++)
    {
        DLQ_UNROLL for (int i = 0; i < 4; i++)
        {
            _mm512_store_ps(c + m * DLQ_FLOAT_UNIT + i * 16, acc[m][i]);
        }
    }
}

#define TILE(MR)                                                                                   \
    static __attribute__((noinline)) void tile_##MR(int64_t count, const float *a, const float *b, \
                                                    int64_t stride, bool first, float *c)          \
    {                                                                                              \
        tile(MR, count, a, b, stride, first, c);                                                   \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)

const struct dlq_float_level dlq_float_level_avx512 = {
    "avx512", {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6}};

void
dlq_dense_decode_avx512(const void *w, int64_t block, int64_t k0, int64_t count, float *out)
{
    const struct dlq_k_dense *dense = w;
    const uint16_t *p = (const uint16_t *)(const void *)(dense->data + block * dense->block_bytes);
    if (dense->dtype == DLQ_F16) {
        p += k0 * 16;
        for (int64_t k = 0; k < count; k++) {
            _mm_prefetch((const char *)(p + k * 16 + 1024), _MM_HINT_T0);
            const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)(p + k * 16));
            _mm512_store_ps(out + k * 16, _mm512_cvtph_ps(bits));
        }
        return;
    }
    // Pairs of rows: the even one in the low halves. k0 is even, padding rows are there.
    p += k0 * 16;
    for (int64_t k = 0; k < count; k += 2) {
        _mm_prefetch((const char *)(p + k * 16 + 1024), _MM_HINT_T0);
        const __m512i pair = _mm512_load_si512(p + k * 16);
        const __m512i odd = _mm512_and_si512(pair, _mm512_set1_epi32((int)0xffff0000u));
        _mm512_store_si512(out + k * 16, _mm512_slli_epi32(pair, 16));
        if (k + 1 < count) {
            _mm512_store_si512(out + k * 16 + 16, odd);
        }
    }
}

// 16 fp8 codes to 2^-8 of their values: with its sign and seven bits moved to their places, e4m3 is
// such a binary16, subnormals included. There is no NaN among packed weights.
DLQ_INLINE __m512
decode_fp8(const uint8_t *p)
{
    // Sign extension puts the sign where it belongs and, after the shift, into the bit below too.
    const __m256i code = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
    const __m256i keep = _mm256_set1_epi16((int16_t)0xbfff);
    return _mm512_cvtph_ps(_mm256_and_si256(_mm256_slli_epi16(code, 7), keep));
}

DLQ_INLINE __m512
load_scale(const struct dlq_k_fp *w, int64_t block, int64_t group)
{
    if (w->groups == 1) {
        return _mm512_set1_ps(1.0f);
    }
    const uint8_t *p = dlq_fp_group(w, block, group) + w->code_bytes;
    if (w->shape.scale_dtype == DLQ_F8_E4M3) {
        return _mm512_mul_ps(decode_fp8(p), _mm512_set1_ps(256.0f));
    }
    if (w->shape.scale_dtype == DLQ_F8_E8M0) {
        // Exponent 0 is 2^-127: half of the smallest normal number.
        const __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
        const __m512i least = _mm512_set1_epi32(0x00400000);
        return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_slli_epi32(e, 23), least));
    }
    return _mm512_loadu_ps(p);
}

void
dlq_fp_decode_avx512(const void *layer, int64_t block, int64_t k0, int64_t count, float *out)
{
    const struct dlq_k_fp *w = layer;
    const int64_t size = w->shape.group;
    const __m512 fp4 = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f,
                                      -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f);
    for (int64_t k = k0; k < k0 + count;) {
        const int64_t g = k / size;
        const int64_t end = (g + 1) * size < k0 + count ? (g + 1) * size : k0 + count;
        const uint8_t *codes = dlq_fp_group(w, block, g);
        const __m512 scale = load_scale(w, block, g);
        const __m512 scale8 = _mm512_mul_ps(scale, _mm512_set1_ps(256.0f));
        for (; k < end && w->shape.dtype == DLQ_F8_E4M3; k++, out += 16) {
            _mm512_store_ps(out, _mm512_mul_ps(decode_fp8(codes + (k - g * size) * 16), scale8));
        }
        for (; k < end; k += 2, out += 32) { // fp4: k0, count and groups are even
            const __m128i pair =
                _mm_loadu_si128((const __m128i *)(const void *)(codes + (k - g * size) * 8));
            const __m512i code = _mm512_cvtepu8_epi32(pair);
            const __m512 low = _mm512_permutexvar_ps(code, fp4);
            const __m512 high = _mm512_permutexvar_ps(_mm512_srli_epi32(code, 4), fp4);
            _mm512_store_ps(out, _mm512_mul_ps(low, scale));
            _mm512_store_ps(out + 16, _mm512_mul_ps(high, scale));
        }
    }
}
