// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// y = x W^T on the tensor cores of every GPU from sm_80: weights of 4 or 8 bits whose rows of K
// share scales (and zero points) in groups of any size, any M, N and K. Products run on mma.sync;
// on sm_90a many rows run on wgmma, where it has the format (sm90_grouped.h).
//
//     y[m, n] = (sum over groups g of s[g, n] * (sum over k of g of x[m, k] * (q[k, n] - z[g, n])))
//               * (factor[n] * row_scale[m]) + bias[n]
//
// q - z is exact in the type of x, the inner sum and everything after it is fp32, y is rounded
// once: the exact-weight form of the numerics.
//
// Packed form. K is put into packed order: the rows of a group side by side, each group padded to a
// multiple of 16 rows (a "step"), the whole to a multiple of 64 (a "block"). N is padded to a
// multiple of 64. x has to come in that order, with zeros or nothing in the padding
// (dlq_k_grouped_gather).
//
//     codes   strip 0 | strip 1 | ... ; a strip is 16 columns of W^T, its blocks follow each other
//       4 bit block   512 bytes, as a block of pack/w4_fragment.h
//       8 bit block   2 halves of 32 rows of K: lane 0 | lane 1 | ... | lane 31, 16 bytes each: two
//                     words for either step; with r = lane / 4, t = lane % 4:
//               word          0                             1
//               byte          0      1      2       3       0       1       2       3
//               column        r      r+8    r       r+8     r       r+8     r       r+8
//               row of step   2t     2t     2t+1    2t+1    2t+8    2t+8    2t+9    2t+9
//     scales  [groups][padded n], a strip's columns in the order 0 8 1 9 2 10 ... 7 15
//     zeros   one byte each, in the same order
//     factors fp32 [padded n]
//     blocks  int32 a block: index of the group of its first step * 16, + 1 << i where a group ends
//             with step i of the block
//     order   int32 [padded k]: row of x for each row of packed order, -1 in padding
//
// Functions return 0, minus an enum dlq_k_result or a cudaError_t above 0.
#ifndef DLQ_KERNELS_CUDA_GROUPED_GEMM_H
#define DLQ_KERNELS_CUDA_GROUPED_GEMM_H

#include "../gpu_call.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/// What a packed code is.
enum dlq_k_grouped_code {
    DLQ_K_GROUPED_U4,   ///< 0..15, minus a zero point
    DLQ_K_GROUPED_U8,   ///< 0..255, minus a zero point
    DLQ_K_GROUPED_E4M3, ///< No zero point
    DLQ_K_GROUPED_E2M1, ///< No zero point
    DLQ_K_GROUPED_CODES
};

/// What a layer is, before its weights are known.
struct dlq_k_grouped_desc {
    int64_t k, n;
    int64_t group;        ///< Rows of K that share a scale, 1..k; k: one group a column
    int64_t n_groups;     ///< Act order: rows of scales; else 0
    int32_t code;         ///< enum dlq_k_grouped_code
    uint32_t scale_dtype; ///< As stored: DLQ_F32, DLQ_F16, DLQ_BF16, DLQ_F8_E4M3 or DLQ_F8_E8M0
    bool zeros;           ///< A zero point a group and column
    int32_t zero;         ///< Without them: the zero point of all (U4, U8)
    bool act_order;       ///< A map gives the group of each row of K
    bool factors;         ///< There will be factors. One group a column is a factor as well
};

/// A packed layer. Plain numbers: copy it freely. Offsets are bytes from `data`, 0 where the part
/// does not exist. dlq_k_grouped_pack() lowers padded_k and bytes where act order needs less, and
/// sets even_scales.
struct dlq_k_grouped {
    struct dlq_k_grouped_desc desc;
    uint32_t packed_scale; ///< DLQ_F32, DLQ_F16 or DLQ_BF16 (e4m3 and e8m0)
    int32_t block_groups;  ///< Most groups that meet one block, 1..4
    bool even_scales;      ///< No scale of a column is zero or beyond 2^20 times another
    int64_t groups;        ///< Rows of scales; one group a column has none (its scale is a factor)
    int64_t padded_k, padded_n;
    int64_t scales_at, zeros_at, factors_at, blocks_at, order_at;
    int64_t bytes;
    const uint8_t *data; ///< Device memory, 256-byte aligned
};

/// Fills everything but `data`. DLQ_K_ESHAPE, DLQ_K_EDTYPE. [any-thread]
int
dlq_k_grouped_plan(struct dlq_k_grouped *w, const struct dlq_k_grouped_desc *desc);

/// How a checkpoint stores codes; words as in pack/bits.h and pack/awq.h.
enum dlq_k_grouped_layout {
    DLQ_K_GROUPED_BYTES,    ///< [n, k] bytes; zeros [n, groups] bytes
    DLQ_K_GROUPED_NIBBLES,  ///< [n, k / 2] bytes, low nibble first; no zeros
    DLQ_K_GROUPED_K_DENSE,  ///< Dense words along k; zeros along n, [words of n, groups]
    DLQ_K_GROUPED_K_PADDED, ///< The same, padded words
    DLQ_K_GROUPED_AWQ,      ///< [k, n / 8] words; zeros [groups, n / 8]
    DLQ_K_GROUPED_GPTQ      ///< [words of k, n]; zeros [groups, words of n]
};

/// Where the values of one layer are: device memory, but for group_of.
struct dlq_k_grouped_source {
    int32_t layout;          ///< enum dlq_k_grouped_layout
    int32_t bits;            ///< Of an integer code, 2 to 8; ignored for E4M3 and E2M1
    bool signed_codes;       ///< BYTES of U4, U8: codes and zeros are q - 2^(bits - 1)
    const void *codes;       ///< In `layout`
    const void *zeros;       ///< NULL without desc.zeros
    int32_t zero_add;        ///< Added to each stored zero point
    const void *scales;      ///< [ceil(n / scale_rows), groups], or [groups, n] by scales_by_group
    int64_t scale_rows;      ///< Columns that share a row of scales: 1, 128 (block), n (tensor)
    bool scales_by_group;    ///< As of AWQ and GPTQ
    const float *factors;    ///< [n], or NULL for 1
    const int32_t *group_of; ///< HOST memory [k], act order only
};

/// Packs into `data` (w->bytes of device memory of the current device) and sets w->data; waits.
/// Once for each device of a process it also prepares the kernels. DLQ_K_ESCALE for a NaN or
/// infinite scale (`*bad`: its index in `scales`, or in `factors`), DLQ_K_EINDEX for a group out of
/// range, DLQ_K_ECODE for a zero point out of range (index as in `scales`), or a code outside its
/// bits or an e4m3 NaN (n * k + k). [setup]
int
dlq_k_grouped_pack(struct dlq_k_grouped *w, const struct dlq_k_grouped_source *source, void *data,
                   int64_t *bad);

/// out[rows, k] = W[n0 .. n0 + rows, :], device memory: each code times its scale (or factor, where
/// a column has one group), rounded to fp32, then times the factor where there are both. [stream]
int
dlq_k_grouped_unpack(const struct dlq_k_grouped *w, int64_t n0, int64_t rows, float *out,
                     cudaStream_t stream);

/// x in packed order, in the operand's type: one row of `k` elements for each row of x, or three
/// (fp32 x): bf16 parts that add up to x exactly, [3][m][k].
struct dlq_k_grouped_rows {
    const void *data; ///< 16-byte aligned
    int64_t stride;   ///< Elements from row to row, a multiple of 8
    int64_t k;     ///< Elements of a row, a multiple of 8: padded_k, or less when nothing follows
                   ///< but padding
    bool bf16;     ///< Else fp16
    int32_t parts; ///< 1 or 3
};

/// Whether rows of x can be used as they lie, which are `*rows` then: fp16 or bf16, aligned, K a
/// multiple of 8, packed order that of x.
bool
dlq_k_grouped_direct(const struct dlq_k_grouped *w, const void *x, uint32_t dtype, int64_t stride,
                     struct dlq_k_grouped_rows *rows);

/// Bytes of the rows that dlq_k_grouped_gather() makes of m rows of `dtype`; DLQ_I8 gives fp16 or
/// bf16 alike.
int64_t
dlq_k_grouped_gather_bytes(const struct dlq_k_grouped *w, uint32_t dtype, int64_t m);

/// Brings x [m, k] into packed order. `dtype` DLQ_F16, DLQ_BF16, DLQ_F32 (three parts), or DLQ_I8:
/// codes minus zeros[m] (or NULL), as fp16. Enqueues; `early`: as a programmatic dependent.
int
dlq_k_grouped_gather(const struct dlq_k_grouped *w, const void *x, uint32_t dtype, int64_t stride,
                     const int32_t *zeros, int64_t m, void *out, struct dlq_k_grouped_rows *rows,
                     bool early, cudaStream_t stream);

/// The arguments of one product. Device memory.
struct dlq_k_grouped_call {
    int64_t m; ///< Rows of x and y
    struct dlq_k_grouped_rows x;
    const float *row_scale; ///< [m], or NULL for 1
    const float *x_scale;   ///< [groups][x_scale_stride] scales of the groups of x, which are those
                            ///< of W, or NULL for 1: see dlq_k_grouped_takes_x_scale()
    int64_t x_scale_stride; ///< A multiple of 128, at least m
    const float *bias;      ///< [n], or NULL
    void *y;                ///< [m, n], alignment of its element
    int64_t y_stride;       ///< Elements
    uint32_t y_dtype;       ///< DLQ_F16, DLQ_BF16 or DLQ_F32
    int32_t multiprocessors;
    int32_t capability; ///< 80 and above: decides how much shared memory there is
    bool early;         ///< Launch as a programmatic dependent of the stream's previous kernel
    void *workspace;    ///< 256-byte aligned
    size_t workspace_size;
};

/// What an operation's call and device say of a product; its x, scales and workspace are to be set.
struct dlq_k_grouped_call
dlq_k_grouped_call_of(const struct dlq_kg_call *call, const struct dlq_kg_device *device,
                      uint32_t y_dtype);

/// Fills `sizes`: the workspace that up to 8 << i rows of x need, for dlq_k_grouped_workspace().
/// Takes microseconds, and a millisecond for a few columns: done once a layer. [any-thread]
enum { DLQ_K_GROUPED_SIZES = 14 };
void
dlq_k_grouped_sizes(const struct dlq_k_grouped *w, int32_t multiprocessors,
                    int64_t sizes[DLQ_K_GROUPED_SIZES]);

/// Bytes of workspace for products of up to max_m rows, `parts` as in the rows; grows with max_m.
/// [any-thread]
size_t
dlq_k_grouped_workspace(const struct dlq_k_grouped *w, const int64_t sizes[DLQ_K_GROUPED_SIZES],
                        int64_t max_m, int32_t parts);

/// Whether a layer's products take scales for groups of x: e4m3 codes, bf16 x in one part, several
/// groups of a multiple of 64 rows.
bool
dlq_k_grouped_takes_x_scale(const struct dlq_k_grouped *w);

/// Whether m rows of x, as they lie or gathered, run on wgmma. [any-thread]
bool
dlq_k_grouped_wide(const struct dlq_k_grouped *w, int64_t m, uint32_t x_dtype, bool x_scaled,
                   uint32_t y_dtype, int32_t capability, int32_t multiprocessors);

/// Enqueues the product. DLQ_K_ESHAPE, DLQ_K_EDTYPE. Capturable; equal inputs give equal bits; a
/// row's result depends on m only by which tile it takes. [stream]
int
dlq_k_grouped_run(const struct dlq_k_grouped *w, const struct dlq_k_grouped_call *call,
                  cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif // DLQ_KERNELS_CUDA_GROUPED_GEMM_H
