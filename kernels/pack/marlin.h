// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_PACK_MARLIN_H
#define DLQ_KERNELS_PACK_MARLIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The Marlin layout of 4 and 8 bit weights, its scales and its zero points.
///
/// Weights, [K / 16, N * 16 / pf] words with pf = 32 / bits. A tile is 16 rows of K by 64 columns;
/// in tile row a, tile column B, lane t = 0..31 and w = 0..3 (O = 0, 1, 8, 9):
///
///     4 bit: word 128 B + 4 t + w, nibble i, v = (0,2,4,6,1,3,5,7)[i]:
///            k = 16 a + 2 (t mod 4) + O[v mod 4]
///            n = 64 B + 16 w + t / 4 + 8 (v >= 4)
///     8 bit: word 256 B + 8 t + 2 w + h, byte i, v = (0,2,1,3)[i]:
///            k = 16 a + 2 (t mod 4) + O[v]
///            n = 64 B + 16 w + t / 4 + 8 h
///
/// which is the register image of mma.m16n8k16's B operand for a warp.

#define DLQ_MARLIN_TILE 16
#define DLQ_MARLIN_MIN_THREAD_N 64
#define DLQ_MARLIN_MIN_THREAD_K 128
#define DLQ_MARLIN_MAX_PARALLEL 16
#define DLQ_MARLIN_MIN_CAPABILITY 80

/// Group sizes that the Marlin kernels have; -1 is one group a column.
#define DLQ_MARLIN_N_GROUP_SIZES 4
extern const int32_t dlq_marlin_group_sizes[DLQ_MARLIN_N_GROUP_SIZES];

/// Ids of element types: exponent | mantissa << 8 | signed << 16 | bias << 17 | finite_only << 49 |
/// nan_repr << 50.
#define DLQ_SCALAR_TYPE(exponent, mantissa, is_signed, bias, finite_only, nan_repr)                \
    ((int64_t)(exponent) | (int64_t)(mantissa) << 8 | (int64_t)(is_signed) << 16 |                 \
     (int64_t)(bias) << 17 | (int64_t)(finite_only) << 49 | (int64_t)(nan_repr) << 50)

#define DLQ_ST_INT4 DLQ_SCALAR_TYPE(0, 3, 1, 0, 0, 1)
#define DLQ_ST_UINT4 DLQ_SCALAR_TYPE(0, 4, 0, 0, 0, 1)
#define DLQ_ST_INT8 DLQ_SCALAR_TYPE(0, 7, 1, 0, 0, 1)
#define DLQ_ST_UINT8 DLQ_SCALAR_TYPE(0, 8, 0, 0, 0, 1)
#define DLQ_ST_UINT2B2 DLQ_SCALAR_TYPE(0, 2, 0, 2, 0, 1)
#define DLQ_ST_UINT3B4 DLQ_SCALAR_TYPE(0, 3, 0, 4, 0, 1)
#define DLQ_ST_UINT4B8 DLQ_SCALAR_TYPE(0, 4, 0, 8, 0, 1)
#define DLQ_ST_UINT8B128 DLQ_SCALAR_TYPE(0, 8, 0, 128, 0, 1)
#define DLQ_ST_FLOAT8_E4M3FN DLQ_SCALAR_TYPE(4, 3, 1, 0, 1, 2)
#define DLQ_ST_FLOAT8_E5M2 DLQ_SCALAR_TYPE(5, 2, 1, 0, 0, 1)
#define DLQ_ST_FLOAT8_E8M0FNU DLQ_SCALAR_TYPE(8, 0, 0, 0, 1, 2)
#define DLQ_ST_FLOAT4_E2M1F DLQ_SCALAR_TYPE(2, 1, 1, 0, 1, 0)
#define DLQ_ST_FLOAT16 DLQ_SCALAR_TYPE(5, 10, 1, 0, 0, 1)
#define DLQ_ST_BFLOAT16 DLQ_SCALAR_TYPE(8, 7, 1, 0, 0, 1)

/// Why the Marlin kernels cannot run something. The first condition that fails, in this order.
enum dlq_marlin_verdict {
    DLQ_MARLIN_OK = 0,
    DLQ_MARLIN_CAPABILITY, ///< Compute capability below DLQ_MARLIN_MIN_CAPABILITY
    DLQ_MARLIN_TYPE,    ///< Not uint4 or uint8 with zero points; not uint4b8 or uint8b128 without
    DLQ_MARLIN_GROUP,   ///< Group size not in dlq_marlin_group_sizes
    DLQ_MARLIN_SHAPE_N, ///< N of the partition is not a multiple of DLQ_MARLIN_MIN_THREAD_N
    DLQ_MARLIN_SHAPE_K, ///< K of the partition is not a multiple of DLQ_MARLIN_MIN_THREAD_K
    DLQ_MARLIN_SHAPE_GROUP ///< K of the partition is not a multiple of a group smaller than K
};

/// One sentence with the condition that failed.
const char *
dlq_marlin_verdict_string(enum dlq_marlin_verdict verdict);

/// Whether the kernels have a variant for this type (DLQ_ST_*), group size and zero points.
/// `capability` is 10 * major + minor, or 0 to leave the device out.
enum dlq_marlin_verdict
dlq_marlin_check_config(int64_t scalar_type, int64_t group_size, bool has_zero_points,
                        int32_t capability);

/// Whether the kernels can run a partition of n columns and k rows of a layer with k_full rows.
enum dlq_marlin_verdict
dlq_marlin_check_shape(int64_t n, int64_t k, int64_t k_full, int64_t group_size);

/// How a layer lies in one buffer in this layout, zero-padded where the kernels refuse its shape:
///
///     weights [k_padded / 16, n_padded * 16 / pf]  at 0
///     scales  [groups, n_padded], 16 bits each     at scales_at
///     zeros   [groups, n_padded / pf]              at zeros_at, only with zero points
///     order   int32[k], source rows of x           at order_at, only with act order
///
/// Groups of a checkpoint that are a larger multiple of 32 are stored as several of 128, 64 or 32
/// with the same scale. Padded rows and columns have codes equal to the zero point where their
/// group is real, else scale 0.
struct dlq_marlin_layer {
    int64_t n, k;                          ///< Outputs, inputs
    int64_t group;                         ///< Of the checkpoint; k: one group a column
    int32_t bits;                          ///< 4 or 8
    int32_t packed_group;                  ///< 32, 64, 128, or -1 for one group a column
    bool has_zero_points;                  ///< 4 bit only; otherwise z = 2^(bits - 1)
    bool act_order;                        ///< Rows of x are gathered by `order`
    int64_t n_padded, k_padded;            ///< Multiples of 64 and 128
    int64_t groups;                        ///< Rows of stored scales
    int64_t scales_at, zeros_at, order_at; ///< Byte offsets, multiples of 256
    int64_t bytes;                         ///< Of the buffer
};

/// Lays a layer out. `group` -1, 0 or at least k is one group a column. DLQ_MARLIN_TYPE for bits or
/// zero points without a kernel, DLQ_MARLIN_GROUP for a group that is no multiple of 32,
/// DLQ_MARLIN_SHAPE_N or _K for a size below 1 or above 2^24. [any-thread]
enum dlq_marlin_verdict
dlq_marlin_plan(struct dlq_marlin_layer *layer, int64_t n, int64_t k, int64_t group, int bits,
                bool has_zero_points, bool act_order);

/// int32 elements of the lock workspace of a device: one a multiprocessor, zero before the first
/// launch. 0 when sm_count is not positive.
int64_t
dlq_marlin_workspace_size(int32_t sm_count);

/// Permutation of the columns of scales: 64 entries for grouped, 32 for one group a column.
/// out[i] is the source of element i of a block; returns the length.
int
dlq_marlin_scale_perm(bool grouped, uint8_t out[64]);

/// Permutes scales[groups, n] of `element_size` bytes each. `out` must not overlap. False when n is
/// not a multiple of the block (64 or 32).
bool
dlq_marlin_permute_scales(const void *scales, size_t element_size, int64_t k, int64_t n,
                          int64_t group_size, void *out);

/// zp[rows, n] as codes to [rows, n / pf] words. False for other bits than 4 and 8 or n % 64 != 0.
bool
dlq_marlin_zero_points(const uint8_t *zp, int64_t rows, int64_t n, int bits, uint32_t *out);

/// The same from AWQ's packed zero points [rows, n / pf].
bool
dlq_marlin_zero_points_from_awq(const uint32_t *packed, int64_t rows, int64_t n, int bits,
                                uint32_t *out);

/// AWQ qweight [k, n / pf] to the Marlin layout. False unless k % 16 == 0, n % 64 == 0 and bits is
/// 4 or 8.
bool
dlq_marlin_repack_awq(const uint32_t *qweight, int64_t k, int64_t n, int bits, uint32_t *out);

/// GPTQ qweight [k / pf, n] to the Marlin layout. `perm` (length k, values 0..k-1, each once) names
/// the source row of each row; NULL is identity. False as above, or when perm is not a permutation.
bool
dlq_marlin_repack_gptq(const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n, int bits,
                       uint32_t *out);

/// pack-quantized weights [n, k / pf] to the Marlin layout, otherwise as dlq_marlin_repack_gptq.
bool
dlq_marlin_repack_ct(const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n, int bits,
                     uint32_t *out);

/// Act order: perm = stable argsort of g_idx[k], values 0 .. groups - 1. False when a value is out
/// of range or, after sorting, row i does not belong to group i / group: then no permutation makes
/// the groups contiguous and equal.
bool
dlq_marlin_sort_rows(const int32_t *g_idx, int64_t k, int64_t group, int32_t *perm);

#endif // DLQ_KERNELS_PACK_MARLIN_H
