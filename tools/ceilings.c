// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "ceilings.h"

#include <dlquant/types.h>

#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { REPEATS = 9, STEPS = 2000000, LANES = 12 };

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile int sink;

struct loop {
    void (*body)(const struct loop *loop, int32_t task);
    const uint8_t *data;
    int64_t bytes;
    const struct tool_workers *workers;
};

static void
keep(int read)
{
    (void)__atomic_fetch_add(&sink, read, __ATOMIC_RELAXED);
}

static void
loop_task(void *arg, int32_t task)
{
    const struct loop *loop = arg;
    loop->body(loop, task);
}

// Work units a second of `units` per task.
static double
rate(const struct loop *loop, double units)
{
    double fastest = 0.0;
    for (int r = 0; r < REPEATS; r++) {
        const double start = now();
        loop->workers->run(loop->workers->ctx, loop->workers->n, loop_task, (void *)loop);
        const double seconds = now() - start;
        fastest = r == 0 || seconds < fastest ? seconds : fastest;
    }
    return units * loop->workers->n / fastest;
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void
read_body(const struct loop *loop, int32_t task)
{
    const int64_t part = loop->bytes / loop->workers->n / 4096 * 4096;
    const uint8_t *p = loop->data + task * part;
    __m256i a = _mm256_setzero_si256();
    __m256i b = a;
    __m256i c = a;
    __m256i d = a;
    for (int64_t i = 0; i < part; i += 128, p += 128) {
        _mm_prefetch((const char *)p + 4096, _MM_HINT_T0);
        _mm_prefetch((const char *)p + 4096 + 64, _MM_HINT_T0);
        a = _mm256_or_si256(a, _mm256_load_si256((const __m256i *)(const void *)p));
        b = _mm256_or_si256(b, _mm256_load_si256((const __m256i *)(const void *)(p + 32)));
        c = _mm256_or_si256(c, _mm256_load_si256((const __m256i *)(const void *)(p + 64)));
        d = _mm256_or_si256(d, _mm256_load_si256((const __m256i *)(const void *)(p + 96)));
    }
    a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    keep(_mm256_extract_epi32(a, 0));
}

// Twelve independent chains of one instruction; all registers stay zero, the time does not depend
// on it.
#define CHAIN_BODY(name, isa, type, instruction)                                                   \
    __attribute__((target(isa))) static void name(const struct loop *loop, int32_t task)           \
    {                                                                                              \
        (void)loop;                                                                                \
        (void)task;                                                                                \
        type x;                                                                                    \
        memset(&x, 0, sizeof(x));                                                                  \
        type r[LANES];                                                                             \
        _Pragma("GCC unroll 12") for (int j = 0; j < LANES; j++)                                   \
        {                                                                                          \
            r[j] = x;                                                                              \
        }                                                                                          \
        for (int i = 0; i < STEPS; i++) {                                                          \
            _Pragma("GCC unroll 12") for (int j = 0; j < LANES; j++)                               \
            {                                                                                      \
                __asm__ volatile(instruction : "+v"(r[j]) : "v"(x));                               \
            }                                                                                      \
        }                                                                                          \
    }

CHAIN_BODY(fma_ymm, "avx2,fma", __m256, "vfmadd231ps %1, %1, %0")
CHAIN_BODY(fma_zmm, "avx512f", __m512, "vfmadd231ps %1, %1, %0")
CHAIN_BODY(bf16_zmm, "avx512f,avx512bf16", __m512, "vdpbf16ps %1, %1, %0")
CHAIN_BODY(int8_zmm, "avx512f,avx512vnni", __m512i, "vpdpbusd %1, %1, %0")
CHAIN_BODY(int16_zmm, "avx512f,avx512vnni", __m512i, "vpdpwssd %1, %1, %0")

// vpmaddwd and vpaddd: what AVX2 has instead of a dot product.
__attribute__((target("avx2"))) static void
int16_ymm(const struct loop *loop, int32_t task)
{
    (void)loop;
    (void)task;
    const __m256i x = _mm256_setzero_si256();
    __m256i r[LANES];
    _Pragma("GCC unroll 12") for (int j = 0; j < LANES; j++)
    {
        r[j] = x;
    }
    for (int i = 0; i < STEPS; i++) {
        _Pragma("GCC unroll 12") for (int j = 0; j < LANES; j++)
        {
            __m256i t;
            __asm__ volatile("vpmaddwd %2, %2, %1\n\tvpaddd %1, %0, %0"
                             : "+x"(r[j]), "=&x"(t)
                             : "x"(x));
        }
    }
}

#define AMX_STEPS (STEPS / 16)

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};

static void
tile_begin(void)
{
    struct tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.colsb[i] = 64;
        config.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
    __asm__ volatile("tilezero %tmm0\n\ttilezero %tmm1\n\ttilezero %tmm2\n\ttilezero %tmm3\n\t"
                     "tilezero %tmm4\n\ttilezero %tmm5\n\ttilezero %tmm6\n\ttilezero %tmm7");
}

#define AMX_BODY(name, instruction)                                                                \
    static void name(const struct loop *loop, int32_t task)                                        \
    {                                                                                              \
        (void)loop;                                                                                \
        (void)task;                                                                                \
        tile_begin();                                                                              \
        for (int i = 0; i < AMX_STEPS; i++) {                                                      \
            __asm__ volatile(instruction " %tmm4, %tmm6, %tmm0\n\t" instruction                    \
                                         " %tmm4, %tmm7, %tmm1\n\t" instruction                    \
                                         " %tmm5, %tmm6, %tmm2\n\t" instruction                    \
                                         " %tmm5, %tmm7, %tmm3");                                  \
        }                                                                                          \
        __asm__ volatile("tilerelease");                                                           \
    }
AMX_BODY(amx_int8_body, "tdpbssd")
AMX_BODY(amx_bf16_body, "tdpbf16ps")

static void
measure(struct tool_ceilings *c, struct loop *loop, uint32_t flags)
{
    if ((flags & DLQ_CPU_AVX2) != 0) {
        loop->body = read_body;
        c->read = rate(loop, (double)(loop->bytes / loop->workers->n / 4096 * 4096));
        loop->body = fma_ymm;
        c->fma32 = rate(loop, 16.0 * LANES * STEPS);
        loop->body = int16_ymm;
        c->int16 = rate(loop, 32.0 * LANES * STEPS);
    }
    if ((flags & DLQ_CPU_AVX512) != 0) {
        loop->body = fma_zmm;
        c->fma32 = rate(loop, 32.0 * LANES * STEPS);
    }
    if ((flags & DLQ_CPU_AVX512_VNNI) != 0) {
        loop->body = int8_zmm;
        c->int8 = rate(loop, 128.0 * LANES * STEPS);
        loop->body = int16_zmm;
        c->int16 = rate(loop, 64.0 * LANES * STEPS);
    }
    if ((flags & DLQ_CPU_AVX512_BF16) != 0) {
        loop->body = bf16_zmm;
        c->bf16_dot = rate(loop, 64.0 * LANES * STEPS);
    }
    if ((flags & DLQ_CPU_AMX_INT8) != 0) {
        loop->body = amx_int8_body;
        c->amx_int8 = rate(loop, 4.0 * 2.0 * 16 * 16 * 64 * AMX_STEPS);
    }
    if ((flags & DLQ_CPU_AMX_BF16) != 0) {
        loop->body = amx_bf16_body;
        c->amx_bf16 = rate(loop, 4.0 * 2.0 * 16 * 16 * 32 * AMX_STEPS);
    }
}

#else

static void
read_body(const struct loop *loop, int32_t task)
{
    const int64_t part = loop->bytes / loop->workers->n / 4096 * 4096;
    const uint64_t *p = (const uint64_t *)(const void *)(loop->data + task * part);
    uint64_t all = 0;
    for (int64_t i = 0; i < part / 8; i++) {
        all |= p[i];
    }
    keep((int)all);
}

static void
measure(struct tool_ceilings *c, struct loop *loop, uint32_t flags)
{
    (void)flags;
    loop->body = read_body;
    c->read = rate(loop, (double)(loop->bytes / loop->workers->n / 4096 * 4096));
}

#endif

void
tool_ceilings_measure(struct tool_ceilings *out, const struct tool_workers *workers,
                      uint32_t cpu_flags, const void *data, int64_t bytes)
{
    struct loop loop = {.data = data, .bytes = bytes, .workers = workers};
    *out = (struct tool_ceilings){0};
    measure(out, &loop, cpu_flags);
}
