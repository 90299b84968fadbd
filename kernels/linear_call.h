// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_LINEAR_CALL_H
#define DLQ_KERNELS_LINEAR_CALL_H

#include "parallel.h"

#include <dlquant/types.h>

/// What every CPU linear kernel shares: result codes and the arguments of one product
/// y[m, n] = sum_k x[m, k] * W[n, k] + bias[n].

/// Result of a kernel function. Zero is success. Functions that can point at one element write its
/// index to `*bad`.
enum dlq_k_result {
    DLQ_K_OK = 0,
    DLQ_K_ESHAPE,      ///< A size is zero, negative, too large, or does not fit another
    DLQ_K_EDTYPE,      ///< An element type that the kernel does not take
    DLQ_K_ESCALE,      ///< A scale is NaN or infinite; `*bad` is its index
    DLQ_K_EINDEX,      ///< A group index is out of range; `*bad` is its position
    DLQ_K_ECODE,       ///< A zero point is out of range; `*bad` is its index
    DLQ_K_EUNSUPPORTED ///< Valid, and this kernel has no code for it
};

/// Alignment of packed weights and workspaces, in bytes.
#define DLQ_K_ALIGN 64

/// The arguments of one product. Strides count elements between rows; within a row elements are
/// contiguous. `x`, `y` and `bias` need the alignment of their element only. `y` overlaps nothing.
/// With m == 0 nothing is read or written.
///
/// A row of x with a NaN gives NaN in that row of y only; a row with an infinity gives NaN or
/// infinity; a row of zeros gives the bias exactly.
struct dlq_k_linear_call {
    int64_t m;           ///< Rows of x and y
    const void *x;       ///< [m, k]
    int64_t x_stride;    ///< At least k
    uint32_t x_dtype;    ///< DLQ_F16, DLQ_BF16 or DLQ_F32
    uint32_t y_dtype;    ///< DLQ_F16, DLQ_BF16 or DLQ_F32
    void *y;             ///< [m, n]
    int64_t y_stride;    ///< At least n
    const void *bias;    ///< [n], or NULL
    uint32_t bias_dtype; ///< DLQ_F16, DLQ_BF16 or DLQ_F32; ignored without bias
    uint32_t reserved;   ///< Zero
    void *workspace;     ///< DLQ_K_ALIGN aligned, at least workspace_size(m) bytes
    /// [m, 2], for x that is a share of longer rows: of each whole row the smallest and the largest
    /// value, as dlq_k_row_ranges() finds them in a share. One scale a row is then that of the
    /// whole row. NULL: x has the whole rows.
    const float *ranges;
    /// [m, group_max_stride], for x that begins or ends inside a group of activations
    /// (linear_fp.h): max|x| of every whole group that x touches. NULL: of what x has of them.
    const float *group_max;
    int64_t group_max_stride;              ///< At least the groups that x touches
    const struct dlq_k_parallel *parallel; ///< NULL: run on the calling thread
};

/// ranges[m, 2]: of each row x[m, k] the smallest and the largest value, 0 among them. One that is
/// not finite makes the largest infinite. Reads m, x, its stride and dtype, and parallel of the
/// call. `cpu_flags`: mask of enum dlq_cpu_flags. [any-thread]
void
dlq_k_row_ranges(uint32_t cpu_flags, const struct dlq_k_linear_call *call, int64_t k,
                 float *ranges);

/// Whether a dtype can be that of x, y or bias.
static inline int
dlq_k_is_act_dtype(uint32_t dtype)
{
    return dtype == DLQ_F16 || dtype == DLQ_BF16 || dtype == DLQ_F32;
}

#endif // DLQ_KERNELS_LINEAR_CALL_H
