// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// wgmma of 8-bit operands: d[64 rows of A][N rows of B] += A B^T over 32 bytes of K, both operands
// in shared memory, K-major. Thread t of the warpgroup holds, for each block j of 8 columns,
//
//     d[4j + 0], d[4j + 1]: row 16 (t / 32) + (t % 32) / 4,     columns 8j + 2 (t % 4) + {0, 1}
//     d[4j + 2], d[4j + 3]: row 16 (t / 32) + (t % 32) / 4 + 8, the same columns
//
// (PTX ISA, "Matrix fragments for wgmma.mma_async.m64nNk32", accumulator D).
#ifndef DLQ_KERNELS_CUDA_W8_WGMMA_CUH
#define DLQ_KERNELS_CUDA_W8_WGMMA_CUH

#include "ptx.cuh"

// Operands i .. i + 7 of an asm statement, by name and by value.

#define W8_N0 "%0, %1, %2, %3, %4, %5, %6, %7"
#define W8_N8 "%8, %9, %10, %11, %12, %13, %14, %15"
#define W8_N16 "%16, %17, %18, %19, %20, %21, %22, %23"
#define W8_N24 "%24, %25, %26, %27, %28, %29, %30, %31"
#define W8_N32 "%32, %33, %34, %35, %36, %37, %38, %39"
#define W8_N40 "%40, %41, %42, %43, %44, %45, %46, %47"
#define W8_N48 "%48, %49, %50, %51, %52, %53, %54, %55"
#define W8_N56 "%56, %57, %58, %59, %60, %61, %62, %63"
#define W8_N64 "%64, %65, %66, %67, %68, %69, %70, %71"
#define W8_N72 "%72, %73, %74, %75, %76, %77, %78, %79"
#define W8_N80 "%80, %81, %82, %83, %84, %85, %86, %87"
#define W8_N88 "%88, %89, %90, %91, %92, %93, %94, %95"
#define W8_N96 "%96, %97, %98, %99, %100, %101, %102, %103"
#define W8_N104 "%104, %105, %106, %107, %108, %109, %110, %111"
#define W8_N112 "%112, %113, %114, %115, %116, %117, %118, %119"
#define W8_N120 "%120, %121, %122, %123, %124, %125, %126, %127"
#define W8_D4(c, d, i) c(d[i]), c(d[(i) + 1]), c(d[(i) + 2]), c(d[(i) + 3])
#define W8_D8(c, d, i) W8_D4(c, d, i), W8_D4(c, d, (i) + 4)
#define W8_D16(c, d, i) W8_D8(c, d, i), W8_D8(c, d, (i) + 8)
#define W8_D32(c, d, i) W8_D16(c, d, i), W8_D16(c, d, (i) + 16)
#define W8_D64(c, d, i) W8_D32(c, d, i), W8_D32(c, d, (i) + 32)
#define W8_D96(c, d, i) W8_D64(c, d, i), W8_D32(c, d, (i) + 64)
#define W8_D128(c, d, i) W8_D64(c, d, i), W8_D64(c, d, (i) + 64)

#define W8_L4 "%0, %1, %2, %3"
#define W8_L8 W8_N0
#define W8_L16 W8_N0 ", " W8_N8
#define W8_L32 W8_L16 ", " W8_N16 ", " W8_N24
#define W8_L64 W8_L32 ", " W8_N32 ", " W8_N40 ", " W8_N48 ", " W8_N56
#define W8_L96 W8_L64 ", " W8_N64 ", " W8_N72 ", " W8_N80 ", " W8_N88
#define W8_L128 W8_L96 ", " W8_N96 ", " W8_N104 ", " W8_N112 ", " W8_N120

// `regs` accumulators; a, b, p: the numbers of the operands behind them. `add` 0 clears d first.
#define W8_WGMMA(n, regs, c, types, a, b, p, tail)                                                 \
    asm volatile("{.reg .pred add; setp.ne.b32 add, %" #p ", 0;\n"                                 \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k32." types " {" W8_L##regs               \
                 "}, "                                                                             \
                 "%" #a ", %" #b ", add" tail ";}"                                                 \
                 : W8_D##regs(c, d, 0)                                                             \
                 : "l"(da), "l"(db), "r"(add))

// The two operand types: accumulator, product, accumulator as fp32.
struct w8_s8 {
    typedef int32_t acc;
    static constexpr bool exact = true;

    template <int N>
    static __device__ __forceinline__ void mma(acc *d, uint64_t da, uint64_t db, uint32_t add)
    {
        if constexpr (N == 8)
            W8_WGMMA(8, 4, "+r", "s32.s8.s8", 4, 5, 6, "");
        else if constexpr (N == 16)
            W8_WGMMA(16, 8, "+r", "s32.s8.s8", 8, 9, 10, "");
        else if constexpr (N == 32)
            W8_WGMMA(32, 16, "+r", "s32.s8.s8", 16, 17, 18, "");
        else if constexpr (N == 64)
            W8_WGMMA(64, 32, "+r", "s32.s8.s8", 32, 33, 34, "");
        else if constexpr (N == 128)
            W8_WGMMA(128, 64, "+r", "s32.s8.s8", 64, 65, 66, "");
        else if constexpr (N == 192)
            W8_WGMMA(192, 96, "+r", "s32.s8.s8", 96, 97, 98, "");
        else
            W8_WGMMA(256, 128, "+r", "s32.s8.s8", 128, 129, 130, "");
    }
};

struct w8_e4m3 {
    typedef float acc;
    static constexpr bool exact = false;

    template <int N>
    static __device__ __forceinline__ void mma(acc *d, uint64_t da, uint64_t db, uint32_t add)
    {
        if constexpr (N == 8)
            W8_WGMMA(8, 4, "+f", "f32.e4m3.e4m3", 4, 5, 6, ", 1, 1");
        else if constexpr (N == 16)
            W8_WGMMA(16, 8, "+f", "f32.e4m3.e4m3", 8, 9, 10, ", 1, 1");
        else if constexpr (N == 32)
            W8_WGMMA(32, 16, "+f", "f32.e4m3.e4m3", 16, 17, 18, ", 1, 1");
        else if constexpr (N == 64)
            W8_WGMMA(64, 32, "+f", "f32.e4m3.e4m3", 32, 33, 34, ", 1, 1");
        else if constexpr (N == 128)
            W8_WGMMA(128, 64, "+f", "f32.e4m3.e4m3", 64, 65, 66, ", 1, 1");
        else if constexpr (N == 192)
            W8_WGMMA(192, 96, "+f", "f32.e4m3.e4m3", 96, 97, 98, ", 1, 1");
        else
            W8_WGMMA(256, 128, "+f", "f32.e4m3.e4m3", 128, 129, 130, ", 1, 1");
    }
};

#endif
