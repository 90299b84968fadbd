// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_LINEAR_W8A8_H
#define DLQ_KERNELS_LINEAR_W8A8_H

#include "linear_call.h"

/// Layers with int8 weights and int8 activations.
///
///     y[m, n] = float(sum_k (a[m, k] - azp[m]) * (w[n, k] - z[n])) * (s[n] * s_a[m]) + bias[n]
///
/// The sum is an exact int32, the rest fp32 with one rounding to the dtype of y. A row of x with
/// NaN or infinity has scale NaN and codes 0.
///
/// Use: plan, allocate `bytes`, pack, then apply as often as wanted.
///
/// Packed form: blocks of 16 columns, K padded to a multiple of 64 with weights 0.
///
///     block b: 64 bytes for 4 rows: byte 4 c + j (c = 0..15, j = 0..3) holds w[16 b + c, k + j] +
///     128
///              then 16 fp32 scales, 16 int32 zero points z, 16 int32 sum_k (w - z)

/// Where codes of x come from (numerics: the field's own formulas).
enum dlq_k_w8a8_activation {
    DLQ_K_W8A8_TOKEN = 0,  ///< Per row, a = max |x|, s = a / 127, q = rint(x * (127 / a))
    DLQ_K_W8A8_STATIC,     ///< q = sat(rint(x / s)) with one given s
    DLQ_K_W8A8_STATIC_AZP, ///< q = sat(rint(x * (1 / s)) + azp) with one given s and azp
    DLQ_K_W8A8_TOKEN_AZP   ///< Per row, s = (hi - lo) / 255, azp = rint(-128 - lo / s)
};

/// Largest K whose sums fit int32: 127 * 128 * k < 2^31.
#define DLQ_K_W8A8_MAX_K 132104

/// Largest K with asymmetric weights or activations, whose terms reach 255 * 255.
#define DLQ_K_W8A8_MAX_K_ASYMMETRIC 33024

/// Packed weights. `dlq_k_w8a8_plan` fills everything but `data`.
struct dlq_k_w8a8 {
    int64_t k;                             ///< Input size
    int64_t n;                             ///< Output size
    enum dlq_k_w8a8_activation activation; ///< How x is quantized
    float act_scale;                       ///< STATIC and STATIC_AZP
    int32_t act_zero;                      ///< STATIC_AZP: azp, -128..127
    uint32_t asymmetric;                   ///< Set by pack: some weight zero point is not 0
    int64_t k_padded;                      ///< Rows of a block
    int64_t blocks;                        ///< ceil(n / 16)
    int64_t block_bytes;                   ///< From one block to the next
    int64_t bytes;                         ///< Size of the packed form
    const uint8_t *data;                   ///< The caller's memory, DLQ_K_ALIGN aligned
};

/// Chooses the packed form. act_scale and act_zero are ignored where the mode has none.
/// DLQ_K_ESHAPE (K above the limit for asymmetric activations too), DLQ_K_ESCALE for an act_scale
/// that is NaN or infinite, DLQ_K_ECODE for an act_zero out of range. [any-thread]
int
dlq_k_w8a8_plan(struct dlq_k_w8a8 *w, int64_t k, int64_t n, enum dlq_k_w8a8_activation activation,
                float act_scale, int32_t act_zero);

/// Packs weights[n, k] (rows `stride` apart) with scales[n] and zeros[n] (-128..127, or NULL for 0)
/// into `data` and sets w->data. DLQ_K_ESCALE for a scale that is NaN or infinite, DLQ_K_ECODE for
/// a zero point out of range, each with `*bad` (may be NULL); DLQ_K_ESHAPE when zero points make K
/// too large. [any-thread]
int
dlq_k_w8a8_pack(struct dlq_k_w8a8 *w, const int8_t *weights, int64_t stride, const float *scales,
                const int32_t *zeros, void *data, const struct dlq_k_parallel *parallel,
                int64_t *bad);

/// Quantizes one row of x to codes[k] with its scale and zero point: the definition that every
/// level meets bit by bit. [any-thread]
void
dlq_k_w8a8_quantize_row(const struct dlq_k_w8a8 *w, const void *x, uint32_t x_dtype, int8_t *codes,
                        float *scale, int32_t *azp);

/// The same for a share of a row whose smallest and largest value are range[0] and range[1].
/// [any-thread]
void
dlq_k_w8a8_quantize_share(const struct dlq_k_w8a8 *w, const void *x, uint32_t x_dtype,
                          const float *range, int8_t *codes, float *scale, int32_t *azp);

/// acc[n] = sum_k (codes[k] - azp) * (w[n, k] - z[n]) of one row: the definition. [any-thread]
void
dlq_k_w8a8_accumulate_row(const struct dlq_k_w8a8 *w, const int8_t *codes, int32_t azp,
                          int32_t *acc);

/// out[rows, k] = W[n0 .. n0 + rows, :], each (w - z) * s rounded to fp32 once. [any-thread]
void
dlq_k_w8a8_dequantize(const struct dlq_k_w8a8 *w, int64_t n0, int64_t rows, float *out);

/// The kernels of one set of instructions.
struct dlq_k_w8a8_ops {
    const char *name; ///< Strongest level in use
    /// Bytes of workspace for up to max_m rows on up to n_threads threads.
    int64_t (*workspace_size)(const struct dlq_k_w8a8 *w, int64_t max_m, int n_threads);
    /// y as above. DLQ_K_EDTYPE or DLQ_K_ESHAPE for a bad call. No allocation. The same bits at
    /// every level, in any batch, on any number of threads. [per-layer]
    int (*apply)(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call);
    /// The first half of apply(): sums[m, n], exact, zero points corrected. Reads no bias and
    /// writes no y. [per-layer]
    int (*accumulate)(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call,
                      int32_t *sums);
    /// The second half, with the call's ranges, which it needs: y of sums[m, n], which may have
    /// been added up over shares of K. Reads no x and needs no workspace. [per-layer]
    int (*finish)(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call,
                  const int32_t *sums);
};

/// Fills the table with the best kernels for a set of enum dlq_cpu_flags; 0 is plain C.
/// [any-thread]
void
dlq_k_w8a8_init(struct dlq_k_w8a8_ops *ops, uint32_t cpu_flags);

#endif // DLQ_KERNELS_LINEAR_W8A8_H
