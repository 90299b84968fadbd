// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_LINEAR_DENSE_H
#define DLQ_KERNELS_LINEAR_DENSE_H

#include "linear_call.h"

/// Unquantized layers with fp32, fp16 or bf16 weights.
///
/// Use: plan, allocate `bytes`, pack, then apply as often as wanted.
///
/// Packed form: N is padded with zeros to blocks of 16 columns; a block is K-major.
///
///     fp32, fp16:  row k of a block is 16 elements, columns 16 b .. 16 b + 15
///     bf16:        K is padded with zeros to a multiple of 32; 64 bytes hold rows k and k + 1:
///                  element 2 c + j (c = 0..15, j = 0, 1) is W[16 b + c, k + j]
///
/// which is what vdpbf16ps and an AMX tile row want.

/// Packed weights. `dlq_k_dense_plan` fills everything but `data`.
struct dlq_k_dense {
    int64_t k;           ///< Input size
    int64_t n;           ///< Output size
    uint32_t dtype;      ///< DLQ_F32, DLQ_F16 or DLQ_BF16
    uint32_t reserved;   ///< Zero
    int64_t k_padded;    ///< Rows of a block
    int64_t blocks;      ///< ceil(n / 16)
    int64_t block_bytes; ///< From one block to the next
    int64_t bytes;       ///< Size of the packed form
    const uint8_t *data; ///< The caller's memory, DLQ_K_ALIGN aligned
};

/// Chooses the packed form. DLQ_K_ESHAPE or DLQ_K_EDTYPE. [any-thread]
int
dlq_k_dense_plan(struct dlq_k_dense *w, int64_t k, int64_t n, uint32_t dtype);

/// Packs weights[n, k], whose rows lie `stride` elements apart, into `data` and sets w->data.
/// [any-thread]
int
dlq_k_dense_pack(struct dlq_k_dense *w, const void *weights, int64_t stride, void *data,
                 const struct dlq_k_parallel *parallel);

/// out[rows, k] = W[n0 .. n0 + rows, :]. [any-thread]
void
dlq_k_dense_unpack(const struct dlq_k_dense *w, int64_t n0, int64_t rows, float *out);

/// The kernels of one set of instructions.
struct dlq_k_dense_ops {
    const char *name; ///< Strongest level in use
    /// Bytes of workspace for up to max_m rows on up to n_threads threads.
    int64_t (*workspace_size)(const struct dlq_k_dense *w, int64_t max_m, int n_threads);
    /// y = x W^T + bias, summed in fp32 (plain C: fp64) in an order that depends neither on N nor
    /// on the number of threads. bf16 x with bf16 weights may use instructions that flush
    /// subnormals. DLQ_K_EDTYPE or DLQ_K_ESHAPE for a bad call. No allocation. [per-layer]
    int (*apply)(const struct dlq_k_dense *w, const struct dlq_k_linear_call *call);
};

/// Fills the table with the best kernels for a set of enum dlq_cpu_flags; 0 is plain C.
/// [any-thread]
void
dlq_k_dense_init(struct dlq_k_dense_ops *ops, uint32_t cpu_flags);

#endif // DLQ_KERNELS_LINEAR_DENSE_H
