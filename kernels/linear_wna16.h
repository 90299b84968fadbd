// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_LINEAR_WNA16_H
#define DLQ_KERNELS_LINEAR_WNA16_H

#include "linear_call.h"

#include <stdbool.h>

/// Weight-only integer layers: 2 to 8 bit codes with a scale and a zero point for each group of
/// rows of K,  W[n, k] = (q[n, k] - z[n, g(k)]) * s[n, g(k)].
///
/// Use: plan, allocate `bytes`, pack, then apply as often as wanted.
///
/// Packed form, one for every instruction set. N is padded to blocks of 16 columns with scale 0.
/// Within a block, K runs over packed groups of `group_k` rows (a multiple of 8; a long group is
/// cut into several that share scale and zero point; a short one is padded with rows that x
/// multiplies by 0):
///
///     block 0                                        block 1 ...
///     [codes of group 0][scales, zeros][codes of group 1][scales, zeros] ...
///
///     codes, 4 bit: 64 bytes for 8 rows:  byte 4 c + j  (c = 0..15, j = 0..3) holds
///                   q[k + j, 16 b + c] | q[k + 4 + j, 16 b + c] << 4
///     codes, 8 bit: 64 bytes for 4 rows:  byte 4 c + j holds q[k + j, 16 b + c]
///     scales, zeros: 16 scales (fp16 or bf16: 32 bytes, fp32: 64), 16 zero points of one byte,
///                    zeros up to 64 or 128 bytes
///
/// so that every 32-bit lane of a vector is one column and four consecutive rows, which is what a
/// dot product instruction of any width and an AMX tile row want.
///
/// 2, 3 and 4 bit codes are stored in 4 bits, the others in 8.

/// How x is treated.
enum dlq_k_wna16_arithmetic {
    /// Each token's group of x becomes 16-bit fixed point, products with q - z are summed exactly
    /// in
    /// int32, and scales are applied in fp32. Error about 2.5e-5 of the norm, below the rounding of
    /// a fp16 output. Plain C uses x as it is and sums in fp64.
    DLQ_K_WNA16_EXACT = 0,
    /// The same with 8-bit fixed point: error about 6e-3, 2e-2 where some channels of x are
    /// outliers.
    DLQ_K_WNA16_INT8,
    /// x becomes the int8 codes of DLQ_K_W8A8_TOKEN (linear_w8a8.h) with one scale a row, as the
    /// checkpoint asks for: exact int32 sums over each packed group, c = fma(float(sum) * s_a, s,
    /// c) over the groups in order, bias and one rounding. The same bits at every level, plain C
    /// too.
    DLQ_K_WNA16_I8_TOKEN,
    /// The same with DLQ_K_W8A8_TOKEN_AZP: sums of (code - azp) * (q - z).
    DLQ_K_WNA16_I8_TOKEN_AZP
};

static inline bool
dlq_k_wna16_is_i8(enum dlq_k_wna16_arithmetic arithmetic)
{
    return arithmetic == DLQ_K_WNA16_I8_TOKEN || arithmetic == DLQ_K_WNA16_I8_TOKEN_AZP;
}

/// What a checkpoint says about one layer's partition.
struct dlq_k_wna16_shape {
    int64_t k;            ///< Rows of K, the input size
    int64_t n;            ///< Columns, the output size
    int64_t group;        ///< Rows of K that share a scale, 1..k; k is one group a column
    int64_t n_groups;     ///< Rows of scales; 0 means ceil(k / group)
    int32_t bits;         ///< 2 to 8
    bool has_zero_points; ///< Otherwise z = 2^(bits - 1)
};

/// Packed weights. `dlq_k_wna16_plan` fills everything but `data`.
struct dlq_k_wna16 {
    struct dlq_k_wna16_shape shape;
    uint32_t scale_dtype; ///< DLQ_F16, DLQ_BF16 or DLQ_F32: how scales are rounded and kept
    int32_t code_bits;    ///< 4 or 8
    int64_t group_k;      ///< Rows of a packed group
    int64_t groups;       ///< Packed groups
    int64_t splits;       ///< Packed groups of one group of the checkpoint (without g_idx)
    int64_t blocks;       ///< ceil(n / 16)
    int64_t group_bytes;  ///< From one packed group of a block to the next
    int64_t block_bytes;  ///< From one block to the next
    /// Act order: where data holds int32[groups * group_k] source rows, -1 for padding; else 0.
    int64_t order_offset;
    int64_t bytes;       ///< Size of the packed form
    const uint8_t *data; ///< The caller's memory, DLQ_K_ALIGN aligned
};

/// How a checkpoint stores codes and zero points. Words are int32, see pack/bits.h and pack/awq.h.
enum dlq_k_wna16_source_layout {
    DLQ_K_WNA16_BYTES = 0, ///< codes uint8 [n, k], zeros uint8 [n, groups]
    DLQ_K_WNA16_K_DENSE,   ///< codes words [n, dense words of k], zeros words [dense words of n,
                           ///< groups]
    DLQ_K_WNA16_K_PADDED,  ///< the same, padded words
    DLQ_K_WNA16_AWQ, ///< codes words [k, n / 8], zeros words [groups, n / 8]; 4 bit, n % 8 == 0
    DLQ_K_WNA16_GPTQ ///< codes words [dense words of k, n], zeros words [groups, dense words of n]
};

/// Where the values of one layer are. All arrays are contiguous.
struct dlq_k_wna16_source {
    enum dlq_k_wna16_source_layout layout;
    int32_t zero_add;     ///< Added to each stored zero point: 1 for GPTQ v1, else 0
    const void *codes;    ///< As `layout` says
    const void *zeros;    ///< As `layout` says; ignored unless shape.has_zero_points
    const void *scales;   ///< AWQ and GPTQ: [groups, n]; the others: [n, groups]
    uint32_t scale_dtype; ///< DLQ_F16, DLQ_BF16 or DLQ_F32 on disk
    const int32_t *g_idx; ///< [k] group of each row of K (act order), or NULL: k / group
};

/// Chooses the packed form. Scales are rounded to `scale_dtype`, the activation dtype of the layer;
/// DLQ_F16 keeps scales of an fp16 checkpoint exact for fp32 activations too. Pass the g_idx that
/// dlq_k_wna16_pack will get. DLQ_K_ESHAPE, DLQ_K_EDTYPE, DLQ_K_EINDEX (with `*bad`, which may be
/// NULL). [any-thread]
int
dlq_k_wna16_plan(struct dlq_k_wna16 *w, const struct dlq_k_wna16_shape *shape, uint32_t scale_dtype,
                 const int32_t *g_idx, int64_t *bad);

/// Packs into `data` (w->bytes, DLQ_K_ALIGN aligned) and sets w->data. DLQ_K_ESCALE when a scale is
/// NaN or infinite after rounding: `*bad` is its index in source->scales. DLQ_K_ECODE when zero_add
/// carries a zero point out of range. On failure w->data stays as it was. [any-thread]
int
dlq_k_wna16_pack(struct dlq_k_wna16 *w, const struct dlq_k_wna16_source *source, void *data,
                 const struct dlq_k_parallel *parallel, int64_t *bad);

/// out[rows, k] = W[n0 .. n0 + rows, :], each (q - z) * s rounded to fp32 once. [any-thread]
void
dlq_k_wna16_dequantize(const struct dlq_k_wna16 *w, int64_t n0, int64_t rows, float *out);

/// The kernels of one set of instructions.
struct dlq_k_wna16_ops {
    const char *name; ///< Strongest level in use, such as "avx512_vnni"
    /// Bytes of workspace for up to max_m rows on up to n_threads threads.
    int64_t (*workspace_size)(const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic,
                              int64_t max_m, int n_threads);
    /// y = x W^T + bias. DLQ_K_EDTYPE or DLQ_K_ESHAPE for a bad call. No allocation. A row's result
    /// is the same in any batch, on any number of threads. [per-layer]
    int (*apply)(const struct dlq_k_wna16 *w, enum dlq_k_wna16_arithmetic arithmetic,
                 const struct dlq_k_linear_call *call);
    /// Whether apply() makes x fixed point, in two int8 limbs with DLQ_K_WNA16_EXACT: results are
    /// then held to the bound of two limbs.
    bool fixed_point;
};

/// Fills the table with the best kernels for a set of enum dlq_cpu_flags; 0 is plain C. Every level
/// gives the same bits, but for plain C where x is not int8. [any-thread]
void
dlq_k_wna16_init(struct dlq_k_wna16_ops *ops, uint32_t cpu_flags);

#endif // DLQ_KERNELS_LINEAR_WNA16_H
