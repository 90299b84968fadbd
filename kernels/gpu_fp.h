// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_GPU_FP_H
#define DLQ_KERNELS_GPU_FP_H

#include "gpu_call.h"
#include "linear_fp.h"
#include "pack/bits.h"

/// linear_fp.h on a GPU: fp8 (e4m3) and fp4 (e2m1) weights, weight-only or with activations
/// quantized to fp8 or fp4.
///
/// Products are exact and sums fp32, with one exception: one scale a row on both sides, 16-bit y,
/// sm_90 and K from 4096 on takes the e4m3 products of the tensor cores ("wgmma e4m3" in kernel()),
/// which cut each term off about 13 bits below the largest of the 32 that they add.

/// What a layer is, before its weights are known.
struct dlq_kg_fp_desc {
    struct dlq_k_fp_shape shape;
    struct dlq_kg_device device;
    uint32_t act_dtype;  ///< DLQ_F16, DLQ_BF16 or DLQ_F32: x and y
    bool column_factors; ///< There will be factors
};

/// Packed weights. plan() fills everything but `data`.
struct dlq_kg_fp {
    struct dlq_kg_fp_desc desc;
    int32_t form;     ///< Packed form, the kernels' own numbering
    int64_t padded_k; ///< K that is computed
    int64_t padded_n; ///< N that is computed
    int64_t bytes;    ///< Size of the packed form
    void *data;       ///< The caller's device memory, 256-byte aligned
    int64_t own[16];  ///< The form's own numbers
};

/// Where the values of one layer are. Every pointer may be host or device memory.
struct dlq_kg_fp_source {
    const void *codes;    ///< fp8 [n, k] bytes; fp4 [n, k / 2] bytes, low nibble first; integers
    int32_t integer_bits; ///< 0, or 2 to 5: codes are integers, whose values e4m3 holds
    bool packed;          ///< Integers are words [n, words of k] in `layout`, unsigned; else int8
    enum dlq_bits_layout layout;
    const void *scales;   ///< [ceil(n / scale_rows), groups] in shape.scale_dtype
    const float *factors; ///< [n], or NULL for 1
};

struct dlq_kg_fp_ops {
    /// As dlq_k_fp_plan(). [any-thread]
    int (*plan)(struct dlq_kg_fp *w, const struct dlq_kg_fp_desc *desc);
    /// Packs into `data` (w->bytes) on the device and sets w->data; waits for the result.
    /// DLQ_K_ESCALE with the index of a scale or factor in `*bad`, DLQ_K_ECODE with that of a code
    /// (row n, column k: n * shape.k + k).
    int (*pack)(struct dlq_kg_fp *w, const struct dlq_kg_fp_source *source, void *data,
                int64_t *bad);
    /// Bytes of workspace for up to max_m rows; grows with max_m. [any-thread]
    size_t (*workspace_size)(const struct dlq_kg_fp *w, int64_t max_m);
    /// Enqueues the quantization of x, where there is one, and the product. [stream]
    int (*apply)(const struct dlq_kg_fp *w, const struct dlq_kg_call *call);
    /// The kernel for m rows, as "fp sm90 wgmma e4m3"; has the word "rounded" where a weight times
    /// its scale is rounded to the activation dtype. [any-thread]
    const char *(*kernel)(const struct dlq_kg_fp *w, int64_t m);
    /// out[rows, k] = W[n0 .. n0 + rows, :] in host memory; waits. [setup]
    int (*dequantize)(const struct dlq_kg_fp *w, int64_t n0, int64_t rows, float *out);
    /// The codes that apply() makes of x [m, k], one a byte as dlq_k_fp_quantize_row() gives them,
    /// and scales [m, dlq_k_fp_act_scales()], as that function gives
    /// them; x and the results in host memory; waits. [setup]
    int (*quantize)(const struct dlq_kg_fp *w, const void *x, int64_t m, uint8_t *codes,
                    float *scales);
};

/// The operation, or NULL in a build without CUDA. [any-thread]
const struct dlq_kg_fp_ops *
dlq_kg_fp(void);

#endif // DLQ_KERNELS_GPU_FP_H
