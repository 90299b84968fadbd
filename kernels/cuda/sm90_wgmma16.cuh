// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// wgmma with 16-bit inputs, the 64 x 16 operand in registers, the N x 16 operand in shared memory
// (K-major, ptx_wgmma_desc128), fp32 sums: d[4i..4i+3] are rows r, r, r+8, r+8 and columns 8i+2t,
// 8i+2t+1, 8i+2t, 8i+2t+1 of a warp's 16 rows (r = lane / 4, t = lane % 4).
#ifndef DLQ_KERNELS_CUDA_SM90_WGMMA16_CUH
#define DLQ_KERNELS_CUDA_SM90_WGMMA16_CUH

#include "ptx.cuh"

// `keep` 0: d = a b, 1: d += a b.
template <bool Bf16, int N> struct wgmma16;

#define W_D8(d, i)                                                                                 \
    "+f"((d)[i]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3]), "+f"((d)[(i) + 4]),  \
        "+f"((d)[(i) + 5]), "+f"((d)[(i) + 6]), "+f"((d)[(i) + 7])
#define W_D32(d, i) W_D8(d, i), W_D8(d, (i) + 8), W_D8(d, (i) + 16), W_D8(d, (i) + 24)

template <> struct wgmma16<false, 16> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile("{.reg .pred p; setp.ne.b32 p, %13, 0; "
                     "wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 "
                     "{%0, %1, %2, %3, %4, %5, %6, %7}, "
                     "{%8, %9, %10, %11}, %12, p, 1, 1, 0;}"
                     : W_D8(d, 0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<true, 16> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile("{.reg .pred p; setp.ne.b32 p, %13, 0; "
                     "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 "
                     "{%0, %1, %2, %3, %4, %5, %6, %7}, "
                     "{%8, %9, %10, %11}, %12, p, 1, 1, 0;}"
                     : W_D8(d, 0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<false, 32> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile("{.reg .pred p; setp.ne.b32 p, %21, 0; "
                     "wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 "
                     "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
                     "{%16, %17, %18, %19}, %20, p, 1, 1, 0;}"
                     : W_D8(d, 0), W_D8(d, 8)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<true, 32> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile("{.reg .pred p; setp.ne.b32 p, %21, 0; "
                     "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
                     "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
                     "{%16, %17, %18, %19}, %20, p, 1, 1, 0;}"
                     : W_D8(d, 0), W_D8(d, 8)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<false, 64> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, %37, 0; "
            "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
            "{%32, %33, %34, %35}, %36, p, 1, 1, 0;}"
            : W_D32(d, 0)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<true, 64> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, %37, 0; "
            "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
            "{%32, %33, %34, %35}, %36, p, 1, 1, 0;}"
            : W_D32(d, 0)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<false, 128> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, %69, 0; "
            "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
            "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
            "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
            "{%64, %65, %66, %67}, %68, p, 1, 1, 0;}"
            : W_D32(d, 0), W_D32(d, 32)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<true, 128> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, %69, 0; "
            "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
            "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
            "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
            "{%64, %65, %66, %67}, %68, p, 1, 1, 0;}"
            : W_D32(d, 0), W_D32(d, 32)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<false, 256> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, %133, 0; "
            "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
            "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
            "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
            "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
            "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
            "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, "
            "%111, "
            "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, "
            "%126, %127}, "
            "{%128, %129, %130, %131}, %132, p, 1, 1, 0;}"
            : W_D32(d, 0), W_D32(d, 32), W_D32(d, 64), W_D32(d, 96)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

template <> struct wgmma16<true, 256> {
    static __device__ __forceinline__ void run(float *d, const uint32_t *a, uint64_t desc, int keep)
    {
        asm volatile(
            "{.reg .pred p; setp.ne.b32 p, %133, 0; "
            "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
            "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
            "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
            "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
            "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
            "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, "
            "%111, "
            "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, "
            "%126, %127}, "
            "{%128, %129, %130, %131}, %132, p, 1, 1, 0;}"
            : W_D32(d, 0), W_D32(d, 32), W_D32(d, 64), W_D32(d, 96)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(desc), "r"(keep));
    }
};

#undef W_D8
#undef W_D32

#endif
