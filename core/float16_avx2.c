// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "float16_avx2.h"

#ifdef __x86_64__

#include "device_cpu.h"

#include <immintrin.h>
#include <stdbool.h>

// By attribute instead of a compiler flag for the file, so that nothing else in it needs AVX2.
#define AVX2 __attribute__((target("avx2,f16c")))

AVX2 static inline __m256
load8(const char *src, uint32_t dtype, size_t i)
{
    if (dtype == DLQ_F32) {
        return _mm256_loadu_ps((const float *)(const void *)(src + 4 * i));
    }
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i));
    if (dtype == DLQ_F16) {
        return _mm256_cvtph_ps(half);
    }
    const __m256 wide = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    const __m256 nan = _mm256_cmp_ps(wide, wide, _CMP_UNORD_Q);
    const __m256 quiet = _mm256_castsi256_ps(_mm256_set1_epi32(0x00400000));
    return _mm256_or_ps(wide, _mm256_and_ps(nan, quiet));
}

AVX2 static inline __m128i
round_bf16(__m256 v)
{
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i half = _mm256_add_epi32(_mm256_set1_epi32(0x7FFF), odd);
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m256i nan = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i words = _mm256_blendv_epi8(rounded, nan, is_nan);
    // Packing works on the two halves of a register apart: 0 1 2 3 . . . . | 4 5 6 7 . . . .
    const __m256i packed = _mm256_packus_epi32(words, words);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

AVX2 static inline void
store8(char *dst, uint32_t dtype, size_t i, __m256 v)
{
    if (dtype == DLQ_F32) {
        _mm256_storeu_ps((float *)(void *)(dst + 4 * i), v);
        return;
    }
    const __m128i half =
        dtype == DLQ_F16 ? _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT) : round_bf16(v);
    _mm_storeu_si128((__m128i *)(void *)(dst + 2 * i), half);
}

#define PAIR(to, from)                                                                             \
    if (dst_dtype == (to) && src_dtype == (from)) {                                                \
        for (size_t i = 0; i < n; i += 8) {                                                        \
            store8(dst, to, i, load8(src, from, i));                                               \
        }                                                                                          \
        return n;                                                                                  \
    }

AVX2 static size_t
cast8(char *dst, uint32_t dst_dtype, const char *src, uint32_t src_dtype, size_t n)
{
    PAIR(DLQ_F16, DLQ_F32)
    PAIR(DLQ_BF16, DLQ_F32)
    PAIR(DLQ_F32, DLQ_F16)
    PAIR(DLQ_F32, DLQ_BF16)
    PAIR(DLQ_F16, DLQ_BF16)
    PAIR(DLQ_BF16, DLQ_F16)
    return 0;
}

size_t
dlq_cast_avx2(void *dst, uint32_t dst_dtype, const void *src, uint32_t src_dtype, size_t count)
{
    uint32_t flags = 0;
    if (count < 8 || dlq_device_cpu_flags(&flags, NULL) != DLQ_OK || !(flags & DLQ_CPU_AVX2)) {
        return 0;
    }
    return cast8(dst, dst_dtype, src, src_dtype, count / 8 * 8);
}

#else

size_t
dlq_cast_avx2(void *dst, uint32_t dst_dtype, const void *src, uint32_t src_dtype, size_t count)
{
    (void)dst;
    (void)dst_dtype;
    (void)src;
    (void)src_dtype;
    (void)count;
    return 0;
}

#endif
