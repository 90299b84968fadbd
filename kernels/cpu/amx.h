// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_AMX_H
#define DLQ_KERNELS_CPU_AMX_H

#include <stdint.h>

/// Tile instructions as assembly: tile numbers are literals, memory operands are ordered, and the
/// configuration is read whole (GCC 12's _tile_loadconfig claims to read 8 of its 64 bytes, so that
/// the stores of the rest may be dropped).

struct dlq_tile_config {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
};

static inline void
dlq_tile_configure(const struct dlq_tile_config *config)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*config));
}

static inline void
dlq_tile_release(void)
{
    __asm__ volatile("tilerelease");
}

#define DLQ_TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : :)
#define DLQ_TILE_LOAD(t, base, stride)                                                             \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t                                               \
                     :                                                                             \
                     : "r"(base), "r"((int64_t)(stride))                                           \
                     : "memory")
/// The same for lines that are not needed again soon: they do not displace others in L1.
#define DLQ_TILE_STREAM(t, base, stride)                                                           \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #t                                             \
                     :                                                                             \
                     : "r"(base), "r"((int64_t)(stride))                                           \
                     : "memory")
#define DLQ_TILE_STORE(t, base, stride)                                                            \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)"                                           \
                     :                                                                             \
                     : "r"(base), "r"((int64_t)(stride))                                           \
                     : "memory")

/// tile c += products of signed bytes of tiles a (rows of x) and b (columns of W)
#define DLQ_TILE_DPBSSD(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
/// The same with unsigned bytes of W.
#define DLQ_TILE_DPBSUD(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)
/// The same with pairs of bf16, into fp32.
#define DLQ_TILE_DPBF16PS(c, a, b)                                                                 \
    __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

#endif // DLQ_KERNELS_CPU_AMX_H
