// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_AVX2_H
#define DLQ_KERNELS_CPU_AVX2_H

#include <immintrin.h>
#include <stdint.h>

/// What translation units compiled for AVX2 share. With DLQ_AVX_VNNI defined, products of int16
/// pairs are one instruction instead of two. Never include it elsewhere.

#define DLQ_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define DLQ_UNROLL _Pragma("clang loop unroll(full)")
#else
#define DLQ_UNROLL _Pragma("GCC unroll 16")
#endif

// Ordered assembly keeps GCC 12 from spilling the accumulators of a tile.

/// d = the dword at p in every lane
#define DLQ_BROADCAST(d, p)                                                                        \
    __asm__ volatile("vpbroadcastd %1, %0" : "=x"(d) : "m"(*(const int32_t *)(const void *)(p)))

/// c += two products of int16, in every dword
#ifdef DLQ_AVX_VNNI
#define DLQ_DPWSSD(c, w, a)                                                                        \
    __asm__ volatile("%{vex%} vpdpwssd %2, %1, %0" : "+x"(c) : "x"(w), "x"(a))
#else
#define DLQ_DPWSSD(c, w, a)                                                                        \
    do {                                                                                           \
        __m256i product_;                                                                          \
        __asm__ volatile("vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0"                                \
                         : "+x"(c), "=&x"(product_)                                                \
                         : "x"(w), "x"(a));                                                        \
    } while (0)
#endif

DLQ_INLINE __m256i
dlq_load256(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

DLQ_INLINE void
dlq_store256(void *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

#endif // DLQ_KERNELS_CPU_AVX2_H
