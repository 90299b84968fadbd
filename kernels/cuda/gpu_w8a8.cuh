// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The int8 operation's parts: planning and running (gpu_w8a8.cu), packing (gpu_w8a8_pack.cu),
// looking inside (gpu_w8a8_inspect.cu).
//
// Packed form: DLQ_K_W8_TILES, then for each column its scale, its zero point z and the sum of
// w - z, then the static scale and zero point of x. Both families of kernels read it:
//
//     sm90 wgmma  16-bit y, zero points of x or of w but not of both (its one correction is
//                 x_zero[m] * w_sum[n]; with zero points of w that is the codes' sum times z)
//     mma.sync    everything, sm_80 on
#ifndef DLQ_KERNELS_CUDA_GPU_W8A8_CUH
#define DLQ_KERNELS_CUDA_GPU_W8A8_CUH

extern "C" {
#include "../gpu_w8a8.h"
}

#include "gpu_device.cuh"
#include "sm80_w8.h"
#include "w8.h"

namespace dlq
{

namespace w8a8
{

enum own { SCALES_AT, ZEROS_AT, SUMS_AT, STATIC_AT, HAS_ZEROS };

template <class T>
inline T *
at(const struct dlq_kg_w8a8 *w, int what)
{
    return (T *)((char *)w->data + w->own[what]);
}

inline bool
has_azp(const struct dlq_kg_w8a8 *w)
{
    return w->desc.activation == DLQ_K_W8A8_STATIC_AZP ||
           w->desc.activation == DLQ_K_W8A8_TOKEN_AZP;
}

inline bool
is_static(const struct dlq_kg_w8a8 *w)
{
    return w->desc.activation == DLQ_K_W8A8_STATIC || w->desc.activation == DLQ_K_W8A8_STATIC_AZP;
}

inline bool
uses_wgmma(const struct dlq_kg_w8a8 *w)
{
    return dlq_k_w8_available() && w->desc.device.capability == 90 &&
           w->desc.act_dtype != DLQ_F32 && !(has_azp(w) && w->own[HAS_ZEROS]);
}

// The parts of a call's workspace; `shared` bytes at its beginning are for sums that CTAs share.
struct parts {
    int64_t shared, codes, scales, zeros, sums, partial, bytes;
    int64_t pitch; // of codes
};

parts
parts_of(const struct dlq_kg_w8a8 *w, int64_t m);

// Enqueues codes, scales and zero points of x.
int
quantize_rows(const struct dlq_kg_w8a8 *w, const void *x, int64_t x_stride, int64_t m,
              const parts &p, char *workspace, cudaStream_t stream);

// The product by mma.sync, but for y and what only a rounded y needs.
struct dlq_k_w8_mma
mma_of(const struct dlq_kg_w8a8 *w, int64_t m, const parts &p, char *workspace);

// Members of struct dlq_kg_w8a8_ops.
int
pack(struct dlq_kg_w8a8 *w, const struct dlq_kg_w8a8_source *source, void *data, int64_t *bad);
int
dequantize(const struct dlq_kg_w8a8 *w, int64_t n0, int64_t rows, float *out);
int
quantize(const struct dlq_kg_w8a8 *w, const void *x, int64_t m, int8_t *codes, float *scales,
         int32_t *zeros);
int
accumulate(const struct dlq_kg_w8a8 *w, const int8_t *codes, const int32_t *azp, int64_t m,
           int32_t *acc);

} // namespace w8a8

} // namespace dlq

#endif
