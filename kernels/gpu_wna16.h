// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_GPU_WNA16_H
#define DLQ_KERNELS_GPU_WNA16_H

#include "gpu_call.h"
#include "linear_wna16.h"

/// linear_wna16.h on a GPU: integer weights of 2 to 8 bits in groups, activations as they are or
/// rounded to int8 (W4A8, whose sums of a group are exact integers).

/// How x is treated.
enum dlq_kg_wna16_activation {
    DLQ_KG_WNA16_AS_IS = 0,   ///< x as it is
    DLQ_KG_WNA16_I8_TOKEN,    ///< DLQ_K_W8A8_TOKEN of linear_w8a8.h
    DLQ_KG_WNA16_I8_TOKEN_AZP ///< DLQ_K_W8A8_TOKEN_AZP
};

/// What a layer is, before its weights are known.
struct dlq_kg_wna16_desc {
    struct dlq_k_wna16_shape shape;
    struct dlq_kg_device device;
    uint32_t act_dtype;   ///< DLQ_F16, DLQ_BF16 or DLQ_F32: x and y
    uint32_t scale_dtype; ///< As the checkpoint stores scales
    int32_t activation;   ///< enum dlq_kg_wna16_activation
    bool act_order;       ///< There will be a g_idx
};

/// Packed weights. plan() fills everything but `data`.
struct dlq_kg_wna16 {
    struct dlq_kg_wna16_desc desc;
    int32_t form;     ///< Packed form, the kernels' own numbering
    int64_t padded_k; ///< K that is computed
    int64_t padded_n; ///< N that is computed
    int64_t bytes;    ///< Size of the packed form
    void *data;       ///< The caller's device memory, 256-byte aligned
    int64_t own[20];  ///< The form's own numbers
};

/// Where the values of one layer are. Every pointer may be host or device memory.
struct dlq_kg_wna16_source {
    struct dlq_k_wna16_source arrays;
    bool signed_codes; ///< DLQ_K_WNA16_BYTES: codes and zeros are signed, q - 2^(bits - 1)
};

struct dlq_kg_wna16_ops {
    /// Chooses the packed form. DLQ_K_ESHAPE, DLQ_K_EDTYPE or DLQ_K_EUNSUPPORTED. [any-thread]
    int (*plan)(struct dlq_kg_wna16 *w, const struct dlq_kg_wna16_desc *desc);
    /// Packs into `data` (w->bytes) on the device and sets w->data; waits for the result.
    /// DLQ_K_ESCALE, DLQ_K_EINDEX and DLQ_K_ECODE (also a code outside its bits) with `*bad`.
    int (*pack)(struct dlq_kg_wna16 *w, const struct dlq_kg_wna16_source *source, void *data,
                int64_t *bad);
    /// Bytes of workspace for up to max_m rows; grows with max_m. [any-thread]
    size_t (*workspace_size)(const struct dlq_kg_wna16 *w, int64_t max_m);
    /// Enqueues y = x W^T + bias. [stream]
    int (*apply)(const struct dlq_kg_wna16 *w, const struct dlq_kg_call *call);
    /// The kernel for m rows, as "wna16 sm90 wgmma, rounded weights"; has the word "rounded" where
    /// (q - z) * s is rounded to the activation dtype. [any-thread]
    const char *(*kernel)(const struct dlq_kg_wna16 *w, int64_t m);
    /// Why the layer is left to the kernel that takes every shape and format, as "act order"; empty
    /// where one of the faster forms has it. [any-thread]
    const char *(*why_generic)(const struct dlq_kg_wna16 *w);
    /// out[rows, k] = W[n0 .. n0 + rows, :] in host memory; waits. [setup]
    int (*dequantize)(const struct dlq_kg_wna16 *w, int64_t n0, int64_t rows, float *out);
    /// DLQ_KG_WNA16_I8_*: codes int8 [m, k], scales [m] and zero points [m] (or NULL) that apply()
    /// makes of x [m, k]; x and the results in host memory; waits. [setup]
    int (*quantize)(const struct dlq_kg_wna16 *w, const void *x, int64_t m, int8_t *codes,
                    float *scales, int32_t *zeros);
};

/// The operation, or NULL in a build without CUDA. [any-thread]
const struct dlq_kg_wna16_ops *
dlq_kg_wna16(void);

#endif // DLQ_KERNELS_GPU_WNA16_H
