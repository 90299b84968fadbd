// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_LINEAR_FP_H
#define DLQ_KERNELS_LINEAR_FP_H

#include "linear_call.h"

/// Layers with fp8 (e4m3) or fp4 (e2m1) weights, weight-only or with activations quantized to fp8
/// or fp4.
///
///     y[m, n] = sum_k a[m, k] * W[n, k] + bias[n]
///     W[n, k] = code[n, k] * scale[n / scale_rows, k / group] * factor[n]
///     a       = x, or x rounded to fp8 or fp4 codes times their scales
///
/// Products are exact in fp32, sums are fp32 (plain C: fp64). A scale for a whole row of W, the
/// factor, and the scale of a whole row of x are applied after the sum, as one product in fp32: y =
/// acc * (row * column) + bias.
///
/// Use: plan, allocate `bytes`, pack, then apply as often as wanted.
///
/// Packed form: N is padded with zeros to blocks of 16 columns. In a block, K runs over groups of
/// `group` rows:
///
///     [codes of group 0][16 scales][codes of group 1][16 scales] ... [16 fp32 column factors]
///
///     fp8 codes: row k is 16 bytes, columns 16 b .. 16 b + 15
///     fp4 codes: rows k and k + 1 are 16 bytes, row k in the low nibbles; k is relative to the
///     group
///
/// Scales of one byte (e4m3, e8m0) are kept as they are, others as fp32. A single group a row keeps
/// its scale in the column factors and has none in the group.

/// How x is quantized (numerics: the field's own formulas).
enum dlq_k_fp_activation {
    DLQ_K_FP_NONE = 0,   ///< Weight-only: x as it is
    DLQ_K_FP_FP8_TOKEN,  ///< Row: s = max(max|x| / 448, 1 / (448 * 512)), e4m3(x / s)
    DLQ_K_FP_FP8_TENSOR, ///< All rows: s = max|x| / 448, e4m3(x * (1 / s))
    DLQ_K_FP_FP8_STATIC, ///< A given s, e4m3(x * (1 / s))
    DLQ_K_FP_FP8_GROUP,  ///< act_group of K: s = max(max|x|, 1e-10) / 448, e4m3(x / s)
    DLQ_K_FP_NVFP4,      ///< 16 of K: s = e4m3(max|x| * gs / 6), e2m1(x * gs / s), gs = act_scale
    DLQ_K_FP_MXFP4,      ///< 32 of K: s = a power of two from max|x|, e2m1(x / s)
    DLQ_K_FP_MXFP8       ///< 32 of K: s = a power of two from max|x|, e4m3(x / s)
};

/// What a checkpoint says about one layer's partition.
struct dlq_k_fp_shape {
    int64_t k;            ///< Input size; even for fp4
    int64_t n;            ///< Output size
    uint32_t dtype;       ///< DLQ_F8_E4M3 or DLQ_F4_E2M1
    uint32_t scale_dtype; ///< DLQ_F32, DLQ_F16, DLQ_BF16, DLQ_F8_E4M3 or DLQ_F8_E8M0
    int64_t group;        ///< Rows of K that share a scale, 1..k; k is one scale a row of W
    int64_t scale_rows;   ///< Columns that share a row of scales: 1, 128 (block), n (tensor)
    enum dlq_k_fp_activation activation;
    int64_t act_group; ///< FP8_GROUP: 1 or more; above k, x is part of one group
    /// Inputs before x that belong to its first group of activations: x is a share of a longer row.
    /// 0 .. group - 1; ignored by modes without groups.
    int64_t act_offset;
    float act_scale; ///< FP8_STATIC: s; NVFP4: gs, a divisor; else ignored
};

/// Packed weights. `dlq_k_fp_plan` fills everything but `data`.
struct dlq_k_fp {
    struct dlq_k_fp_shape shape;
    int64_t groups;      ///< ceil(k / group)
    int64_t code_bytes;  ///< Codes of a whole group of a block
    int64_t group_bytes; ///< From one group of a block to the next
    int64_t blocks;      ///< ceil(n / 16)
    int64_t block_bytes; ///< From one block to the next
    int64_t bytes;       ///< Size of the packed form
    const uint8_t *data; ///< The caller's memory, DLQ_K_ALIGN aligned
};

/// Chooses the packed form. DLQ_K_ESHAPE, DLQ_K_EDTYPE, DLQ_K_ESCALE for an act_scale that is NaN,
/// infinite or zero where one is used. [any-thread]
int
dlq_k_fp_plan(struct dlq_k_fp *w, const struct dlq_k_fp_shape *shape);

/// Packs codes (fp8: [n, k] bytes; fp4: [n, k / 2] bytes, low nibble first), scales
/// [ceil(n / scale_rows), groups] and factors[n] (fp32, or NULL for 1) into `data` and sets
/// w->data. DLQ_K_ESCALE for a scale or factor that is NaN or infinite, DLQ_K_ECODE for a weight
/// that is NaN, each with its index in `*bad` (may be NULL). [any-thread]
int
dlq_k_fp_pack(struct dlq_k_fp *w, const uint8_t *codes, const void *scales, const float *factors,
              void *data, const struct dlq_k_parallel *parallel, int64_t *bad);

/// out[rows, k] = W[n0 .. n0 + rows, :] in fp32. [any-thread]
void
dlq_k_fp_dequantize(const struct dlq_k_fp *w, int64_t n0, int64_t rows, float *out);

/// Scales of one row of quantized x: 1, or the groups of the mode that it touches.
int64_t
dlq_k_fp_act_scales(const struct dlq_k_fp *w);

/// Inputs that share a scale of quantized x: the mode's group, or k.
int64_t
dlq_k_fp_act_group(const struct dlq_k_fp *w);

/// max[m, dlq_k_fp_act_scales()] of what x has of each group; infinite where that is not finite.
/// [any-thread]
void
dlq_k_fp_group_max(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call, float *max);

/// Quantizes one row of x: the definition that every level meets. `values` gets a / row_scale,
/// `codes` (may be NULL) one code a byte, `scales` (may be NULL) dlq_k_fp_act_scales() scales as
/// fp32, `row_scale` what the sum is multiplied with. `tensor_max` is max|x| over all rows for
/// FP8_TENSOR, ignored otherwise. NaN and infinity come out as NaN in values or row_scale.
/// [any-thread]
void
dlq_k_fp_quantize_row(const struct dlq_k_fp *w, const void *x, uint32_t x_dtype, float tensor_max,
                      float *values, uint8_t *codes, float *scales, float *row_scale);

/// The same for a share of a row: `max`, max|x| that one scale a row (FP8_TOKEN) or of all rows
/// (FP8_TENSOR) is made from, is that of whole rows, NaN where they are not finite. `group_max`:
/// those of whole groups, for modes that have some; NULL: of what x has of them. [any-thread]
void
dlq_k_fp_quantize_share(const struct dlq_k_fp *w, const void *x, uint32_t x_dtype, float max,
                        const float *group_max, float *values, uint8_t *codes, float *scales,
                        float *row_scale);

/// The kernels of one set of instructions.
struct dlq_k_fp_ops {
    const char *name; ///< Strongest level in use
    /// Bytes of workspace for up to max_m rows on up to n_threads threads.
    int64_t (*workspace_size)(const struct dlq_k_fp *w, int64_t max_m, int n_threads);
    /// y as above. DLQ_K_EDTYPE or DLQ_K_ESHAPE for a bad call. No allocation. A row's result is
    /// the same in any batch (but for FP8_TENSOR, by definition) and on any number of threads.
    /// [per-layer]
    int (*apply)(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call);
};

/// Fills the table with the best kernels for a set of enum dlq_cpu_flags; 0 is plain C.
/// [any-thread]
void
dlq_k_fp_init(struct dlq_k_fp_ops *ops, uint32_t cpu_flags);

#endif // DLQ_KERNELS_LINEAR_FP_H
