// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Tensor maps for the copy engine (TMA), without linking the driver library.
#ifndef DLQ_KERNELS_CUDA_TENSORMAP_H
#define DLQ_KERNELS_CUDA_TENSORMAP_H

#include <cuda.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum dlq_k_swizzle { DLQ_K_SWIZZLE_NONE, DLQ_K_SWIZZLE_32, DLQ_K_SWIZZLE_64, DLQ_K_SWIZZLE_128 };

// A row-major matrix of `rows` x `cols` elements of `elem_bytes` (1, 2, 4 or 8; the bits are only
// moved), `pitch_bytes` from row to row (a multiple of 16), copied in boxes of box_rows x box_cols.
// Parts of a box outside the matrix read as zero and are not written. The base address is a
// multiple of 16. Returns 0, -1 when the driver has no tensor maps, or a CUresult. [any thread]
int
dlq_k_tensormap_2d(CUtensorMap *map, const void *base, int elem_bytes, uint64_t rows, uint64_t cols,
                   uint64_t pitch_bytes, uint32_t box_rows, uint32_t box_cols,
                   enum dlq_k_swizzle swizzle);

// Blocks of `block_bytes` (a multiple of 2048, at most 512 KiB) one behind the other, `across` rows
// of `along` blocks each, copied in boxes of one block of `box_across` neighbouring rows: they are
// a tensor {256 words of 8 bytes, 2 KiB pieces, rows}. A box beyond the last row reads as zero
// there. The base address is a multiple of 16. Returns as dlq_k_tensormap_2d does. [any thread]
int
dlq_k_tensormap_blocks(CUtensorMap *map, const void *base, uint32_t block_bytes, uint64_t along,
                       uint64_t across, uint32_t box_across);

#ifdef __cplusplus
}
#endif

#endif
