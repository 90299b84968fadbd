// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_AVX512_H
#define DLQ_KERNELS_CPU_AVX512_H

#include "call.h"
#include "wna16_layout.h"

#include <immintrin.h>

/// What translation units compiled for AVX-512 share. Never include it elsewhere.

#define DLQ_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define DLQ_UNROLL _Pragma("clang loop unroll(full)")
#else
#define DLQ_UNROLL _Pragma("GCC unroll 32")
#endif

// Dot products as ordered assembly: GCC 12 keeps the accumulators of a tile in registers this way
// and spills them when the same tile is written with intrinsics (half of the speed).

/// c += four products of unsigned bytes w and signed bytes a, in every dword
#define DLQ_DPBUSD(c, w, a) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(w), "v"(a))

/// c += two products of int16, in every dword
#define DLQ_DPWSSD(c, w, a) __asm__ volatile("vpdpwssd %2, %1, %0" : "+v"(c) : "v"(w), "v"(a))

/// c += two products of bf16, in every lane of fp32
#define DLQ_DPBF16(c, w, a) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(w), "v"(a))

/// d = the dword at p in every lane
#define DLQ_BROADCAST(d, p)                                                                        \
    __asm__ volatile("vpbroadcastd %1, %0" : "=v"(d) : "m"(*(const int32_t *)(const void *)(p)))

/// Where panels share a part of four blocks of weights that stays in L1: how many lines a step each
/// brings to L2 of the part after it, so that the first panel there does not wait for memory. 0: a
/// panel alone streams the weights whole.
DLQ_INLINE int
dlq_lines_ahead(int64_t n_panels)
{
    return n_panels == 1 ? 0 : n_panels == 2 ? 2 : 1;
}

/// x[i .. i + 16) of fp16, bf16 or fp32 as fp32.
DLQ_INLINE __m512
dlq_load16(const void *x, const uint32_t DTYPE, int64_t i)
{
    if (DTYPE == DLQ_F32) {
        return _mm512_loadu_ps((const float *)x + i);
    }
    const __m256i bits =
        _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)x + i));
    if (DTYPE == DLQ_F16) {
        return _mm512_cvtph_ps(bits);
    }
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/// 16 fp32 to y[i .. i + 16) of fp16, bf16 or fp32, rounded to nearest even; a NaN stays one.
DLQ_INLINE void
dlq_store16(void *y, const uint32_t DTYPE, int64_t i, __m512 v)
{
    if (DTYPE == DLQ_F32) {
        _mm512_storeu_ps((float *)y + i, v);
        return;
    }
    __m256i *to = (__m256i *)(void *)((uint16_t *)y + i);
    if (DTYPE == DLQ_F16) {
        _mm256_storeu_si256(to, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
        return;
    }
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i high = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256(to, _mm512_cvtepi32_epi16(_mm512_srli_epi32(high, 16)));
}

/// Brings lines of y, of n columns, that are written soon: rows [m0, m0 + rows) and columns
/// [n0, n0 + 64), as far as there are.
DLQ_INLINE void
dlq_bring_outputs(const struct dlq_k_linear_call *call, int64_t m0, int64_t rows, int64_t n0,
                  int64_t n)
{
    const size_t size = dlq_k_act_size(call->y_dtype);
    const size_t bytes = (size_t)(n - n0 < 64 ? n - n0 : 64) * size;
    const int64_t end = m0 + rows < call->m ? m0 + rows : call->m;
    for (int64_t m = m0; m < end; m++) {
        const char *y = (const char *)dlq_call_y(call, m) + (size_t)n0 * size;
        for (size_t i = 0; i < bytes; i += 64) {
            __asm__ volatile("prefetchw %0" : : "m"(y[i]));
        }
    }
}

/// Bits of the largest magnitude of x[count] as fp32, count a multiple of 32; NaN is above infinity
/// is above the rest.
DLQ_INLINE uint32_t
dlq_largest_bits(const void *x, const uint32_t DTYPE, int64_t count)
{
    if (DTYPE == DLQ_F32) {
        const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
        __m512i max = _mm512_setzero_si512();
        for (int64_t i = 0; i < count; i += 16) {
            const __m512i bits = _mm512_loadu_si512((const float *)x + i);
            max = _mm512_max_epu32(max, _mm512_and_si512(bits, magnitude));
        }
        return _mm512_reduce_max_epu32(max);
    }
    const __m512i magnitude = _mm512_set1_epi16(0x7fff);
    __m512i max = _mm512_setzero_si512();
    for (int64_t i = 0; i < count; i += 32) {
        const __m512i bits = _mm512_loadu_si512((const uint16_t *)x + i);
        max = _mm512_max_epu16(max, _mm512_and_si512(bits, magnitude));
    }
    const __m256i half =
        _mm256_max_epu16(_mm512_castsi512_si256(max), _mm512_extracti64x4_epi64(max, 1));
    const __m128i quarter =
        _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(quarter, _mm_set1_epi16(-1)));
    const uint16_t bits = (uint16_t)~_mm_cvtsi128_si32(least);
    return DTYPE == DLQ_BF16 ? (uint32_t)bits << 16 : dlq_k_f32_bits(dlq_k_f16_to_f32(bits));
}

/// For permutexvar_epi32 on bytes that two levels of packs made from four vectors of dwords: in the
/// order of the vectors again.
DLQ_INLINE __m512i
dlq_unpack_order(void)
{
    return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

/// 16 scales of a packed group as fp32.
DLQ_INLINE __m512
dlq_load_scales(const uint8_t *p, uint32_t dtype)
{
    if (dtype == DLQ_F32) {
        return _mm512_loadu_ps(p);
    }
    const __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)p);
    if (dtype == DLQ_F16) {
        return _mm512_cvtph_ps(bits);
    }
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/// 16 zero points of a packed group as int32.
DLQ_INLINE __m512i
dlq_load_zeros(const uint8_t *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

#endif // DLQ_KERNELS_CPU_AVX512_H
