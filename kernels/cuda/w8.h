// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// W8A8 on CUDA devices: activation quantization, weight packing and the int8 and FP8 (e4m3)
// products with fused scales. All pointers are device memory of the current device, all functions
// only enqueue on `stream` (no allocation, no synchronization, no environment), may be captured in
// a graph and give the same bits on every run.
#ifndef DLQ_KERNELS_CUDA_W8_H
#define DLQ_KERNELS_CUDA_W8_H

#include <dlquant/types.h>

#include <cuda_runtime.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Results of the functions below that are not a cudaError_t.
enum dlq_k_w8_error {
    DLQ_K_W8_BAD_SHAPE = -1,  ///< A size is negative or above what the kernels index
    DLQ_K_W8_BAD_ALIGN = -2,  ///< A pointer or a row pitch misses its alignment
    DLQ_K_W8_BAD_DTYPE = -3,  ///< Element type or combination without a kernel
    DLQ_K_W8_BAD_CONFIG = -4, ///< The given configuration does not fit the shape
    DLQ_K_W8_NO_DEVICE = -5   ///< The device has no sm_90a instructions or the driver is too old
};

/// How activations are quantized (numerics: int8 symmetric, static, asymmetric; e4m3).
enum dlq_k_act_quant {
    DLQ_K_ACT_I8_TOKEN,        ///< Per token: scale = amax / 127
    DLQ_K_ACT_I8_TOKEN_ASYM,   ///< Per token with zero point: scale = (max - min) / 255
    DLQ_K_ACT_I8_STATIC,       ///< rint(x / scale) with one given scale
    DLQ_K_ACT_I8_STATIC_ASYM,  ///< rint(x * (1 / scale)) + zero point, both given
    DLQ_K_ACT_F8_TOKEN,        ///< Per token: scale = max(amax / 448, 1 / (448 * 512))
    DLQ_K_ACT_F8_STATIC,       ///< e4m3(x * (1 / scale)) with one given scale
    DLQ_K_ACT_F8_GROUP128,     ///< Per token and 128 elements of K: scale = amax / 448
    DLQ_K_ACT_F8_GROUP128_POW2 ///< The same with the scale rounded up to a power of two
};

/// One activation quantization: x [m][ldx] in `x_dtype` to codes q [m][ldq].
///
/// Codes from column k to the next multiple of 16 are written as zero where ldq has the room.
/// A row with NaN or Inf gets codes 0 and a scale that makes its outputs NaN or Inf.
struct dlq_k_quantize_act {
    const void *x; ///< Activations, 16-byte aligned when ldx * element size is a multiple of 16
    void *q;       ///< Codes, 16-byte aligned, ldq a multiple of 16
    float *scale;  ///< [m]; groups: [ceil(k / 128)][scale_ld], token last
    int32_t *zero; ///< [m] zero points of the asymmetric kinds, else NULL
    const float *static_scale;  ///< One scale of the static kinds, else NULL
    const int32_t *static_zero; ///< One zero point of DLQ_K_ACT_I8_STATIC_ASYM, else NULL
    int64_t m;                  ///< Tokens
    int64_t k;                  ///< Elements of a token
    int64_t ldx;                ///< Elements from token to token in x
    int64_t ldq;                ///< Bytes from token to token in q
    int64_t scale_ld;           ///< Elements from group to group, groups only
    float upper_bound;          ///< DLQ_K_ACT_F8_TOKEN: amax is at most this; 0 is no bound
    uint32_t x_dtype;           ///< DLQ_F16, DLQ_BF16 or DLQ_F32
    int kind;                   ///< enum dlq_k_act_quant
    bool pdl; ///< Launch as a programmatic dependent of the stream's previous kernel (sm_90 on)
};

int
dlq_k_quantize_act_run(const struct dlq_k_quantize_act *a, cudaStream_t stream);

/// Layout of the weight codes.
enum dlq_k_w8_layout {
    DLQ_K_W8_ROWS, ///< [n][ldw], as in a checkpoint; k and ldw multiples of 16
    DLQ_K_W8_TILES ///< Made by dlq_k_w8_pack, any n and k
};

/// How FP8 sums are kept.
enum dlq_k_w8_accumulate {
    DLQ_K_W8_FAST,        ///< In the tensor core (int8: exact)
    DLQ_K_W8_PROMOTED,    ///< FP8: moved to fp32 registers every 32 elements of K
    DLQ_K_W8_BLOCK_SCALED ///< FP8: moved every 128 elements, scaled by x_scale and w_scale of its
                          ///< block
};

/// y [m][ldy] = round((float)(x w^T - x_zero w_sum) * (w_scale x_scale) + bias).
struct dlq_k_w8_gemm {
    const void *x;         ///< Codes [m][ldx], 16-byte aligned
    const void *w;         ///< Codes in `layout`, 16-byte aligned
    void *y;               ///< Output [m][ldy] in `y_dtype`
    const float *x_scale;  ///< [m], or one; block-scaled: [ceil(k / 128)][x_scale_ld]
    const float *w_scale;  ///< [n], or one; block-scaled: [ceil(n / 128)][ceil(k / 128)]
    const void *bias;      ///< [n] in `bias_dtype`, or NULL
    const int32_t *x_zero; ///< [m] zero points of x, or NULL (int8)
    const int32_t *w_sum;  ///< [n] sums of the weight codes of a row, with x_zero
    int64_t m, n, k;
    int64_t ldx;         ///< Bytes, a multiple of 16
    int64_t ldw;         ///< Bytes, a multiple of 16 (DLQ_K_W8_ROWS)
    int64_t ldy;         ///< Elements
    int64_t x_scale_ld;  ///< Block-scaled: elements from group to group, a multiple of 4
    uint32_t dtype;      ///< DLQ_I8 or DLQ_F8_E4M3
    uint32_t y_dtype;    ///< DLQ_F16 or DLQ_BF16
    uint32_t bias_dtype; ///< DLQ_F16, DLQ_BF16 or DLQ_F32
    int layout;          ///< enum dlq_k_w8_layout
    int accumulate;      ///< enum dlq_k_w8_accumulate
    bool x_scale_one;    ///< x_scale is one value
    bool w_scale_one;    ///< w_scale is one value
    bool pdl;            ///< Launch as a programmatic dependent; weights are read before the wait
    void *workspace;     ///< dlq_k_w8_workspace_size bytes, 256-byte aligned, that no other call in
                         ///< flight uses, or NULL: then no choice is taken that shares sums;
                         ///< one of DLQ_K_W4_WORKSPACES addresses (w4_gemm.h), else as NULL
    int64_t workspace_bytes;
};

/// One way to run a product.
struct dlq_k_w8_config {
    uint8_t kernel;  ///< 0: stream (small m, K split over a cluster), 1: tile (persistent)
    uint16_t rows;   ///< Weight rows of a CTA: 64 or 128; stream also 32, 40, 48 or 56, tile 192
                     ///< or 256
    uint16_t tokens; ///< Tokens of a CTA: 8, 16, 32, 64, 128, 192 or 256
    uint8_t split;   ///< CTAs that share the K of one output block; tile: or 0, when the CTAs share
                     ///< the K of all output blocks evenly, through the workspace
    uint8_t share;   ///< tile: CTAs of a cluster that read the same x; stream: 1
    uint8_t per_sm;  ///< stream: CTAs of one multiprocessor the ring of loads is sized for
    uint8_t pingpong; ///< tile: consumer warpgroups take whole tiles in turn
    uint8_t group;    ///< tile: blocks of tokens that are walked together
    uint8_t late;     ///< Not launched early even when asked to: measured slower
};

/// Bytes of DLQ_K_W8_TILES for an [n][k] weight.
int64_t
dlq_k_w8_packed_size(int64_t n, int64_t k);

/// Packs codes [n][ldw] (any alignment) into DLQ_K_W8_TILES.
int
dlq_k_w8_pack(void *packed, const void *w, int64_t n, int64_t k, int64_t ldw, cudaStream_t stream);

/// Sums of int8 weight codes, one a row, for zero points.
int
dlq_k_w8_row_sums(int32_t *sums, const void *w, int64_t n, int64_t k, int64_t ldw,
                  cudaStream_t stream);

/// Whether this build has the kernels of sm_90a: without, only packing and quantization work.
bool
dlq_k_w8_available(void);

/// Once for each device before its first product: the limits of the kernels, outside any capture.
int
dlq_k_w8_prepare(void);

/// 0 when dlq_k_w8_gemm_run takes it, else why not.
int
dlq_k_w8_can_run(const struct dlq_k_w8_gemm *g);

/// The measured choice for a shape, or of the nearest shape that was measured.
struct dlq_k_w8_config
dlq_k_w8_select(const struct dlq_k_w8_gemm *g);

/// Bytes of workspace for up to max_m tokens: 0 where no measured choice for the shape shares sums.
int64_t
dlq_k_w8_workspace_size(const struct dlq_k_w8_gemm *g, int64_t max_m);

/// Enqueues the product; `config` NULL takes dlq_k_w8_select's.
int
dlq_k_w8_gemm_run(const struct dlq_k_w8_gemm *g, const struct dlq_k_w8_config *config,
                  cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif // DLQ_KERNELS_CUDA_W8_H
