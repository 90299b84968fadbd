// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_GPU_W8A8_H
#define DLQ_KERNELS_GPU_W8A8_H

#include "gpu_call.h"
#include "linear_w8a8.h"
#include "pack/bits.h"

/// linear_w8a8.h on a GPU: int8 weights and int8 activations, exact int32 sums.

/// What a layer is, before its weights are known.
struct dlq_kg_w8a8_desc {
    int64_t k, n;
    struct dlq_kg_device device;
    uint32_t act_dtype;                    ///< DLQ_F16, DLQ_BF16 or DLQ_F32: x and y
    enum dlq_k_w8a8_activation activation; ///< How x is quantized
    float act_scale;                       ///< STATIC and STATIC_AZP
    int32_t act_zero;                      ///< STATIC_AZP: -128..127
    bool asymmetric;                       ///< There will be weight zero points
};

/// Packed weights. plan() fills everything but `data`.
struct dlq_kg_w8a8 {
    struct dlq_kg_w8a8_desc desc;
    int32_t form;     ///< Packed form, the kernels' own numbering
    int64_t padded_k; ///< K that is computed
    int64_t padded_n; ///< N that is computed
    int64_t bytes;    ///< Size of the packed form
    void *data;       ///< The caller's device memory, 256-byte aligned
    int64_t own[16];  ///< The form's own numbers
};

/// Where the values of one layer are. Every pointer may be host or device memory.
struct dlq_kg_w8a8_source {
    const void *codes; ///< int8 [n, k], or words [n, words of k] of unsigned codes
    bool packed;       ///< Words of `bits` in `layout`, else int8
    enum dlq_bits_layout layout;
    int32_t bits;         ///< 2 to 8; bytes outside -2^(bits-1) .. 2^(bits-1)-1 are DLQ_K_ECODE
    const float *scales;  ///< [n]
    const int32_t *zeros; ///< [n], -128..127, or NULL for 0
};

struct dlq_kg_w8a8_ops {
    /// As dlq_k_w8a8_plan(). [any-thread]
    int (*plan)(struct dlq_kg_w8a8 *w, const struct dlq_kg_w8a8_desc *desc);
    /// Packs into `data` (w->bytes) on the device and sets w->data; waits for the result.
    /// DLQ_K_ESCALE with the scale's index in `*bad`, DLQ_K_ECODE with a zero point's index or n +
    /// a code's (row n, column k: n * desc.k + k); DLQ_K_ESHAPE when zero points make K too large.
    int (*pack)(struct dlq_kg_w8a8 *w, const struct dlq_kg_w8a8_source *source, void *data,
                int64_t *bad);
    /// Bytes of workspace for up to max_m rows; grows with max_m. [any-thread]
    size_t (*workspace_size)(const struct dlq_kg_w8a8 *w, int64_t max_m);
    /// Enqueues the quantization of x and the product. [stream]
    int (*apply)(const struct dlq_kg_w8a8 *w, const struct dlq_kg_call *call);
    /// The kernel for m rows, as "w8a8 sm90 wgmma". [any-thread]
    const char *(*kernel)(const struct dlq_kg_w8a8 *w, int64_t m);
    /// out[rows, k] = W[n0 .. n0 + rows, :] in host memory; waits. [setup]
    int (*dequantize)(const struct dlq_kg_w8a8 *w, int64_t n0, int64_t rows, float *out);
    /// Codes int8 [m, k], scales [m], zero points [m] (or NULL) that apply() makes of x [m, k];
    /// x and the results in host memory; waits. [setup]
    int (*quantize)(const struct dlq_kg_w8a8 *w, const void *x, int64_t m, int8_t *codes,
                    float *scales, int32_t *zeros);
    /// acc[m, n], zero points corrected, of codes [m, k] and azp [m] (or NULL) in host memory, by
    /// the mma.sync kernel: the sums are exact, so every kernel has these; waits. [setup]
    int (*accumulate)(const struct dlq_kg_w8a8 *w, const int8_t *codes, const int32_t *azp,
                      int64_t m, int32_t *acc);
};

/// The operation, or NULL in a build without CUDA. [any-thread]
const struct dlq_kg_w8a8_ops *
dlq_kg_w8a8(void);

#endif // DLQ_KERNELS_GPU_W8A8_H
