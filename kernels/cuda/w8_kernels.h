// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The compiled variants of the W8A8 kernels, by what their template arguments are; NULL when a
// combination does not exist. The tables are in files of their own so that they compile apart.
#ifndef DLQ_KERNELS_CUDA_W8_KERNELS_H
#define DLQ_KERNELS_CUDA_W8_KERNELS_H

#ifdef __cplusplus
extern "C" {
#endif

const void *
dlq_k_w8_stream_i8(int rows, int tokens);
const void *
dlq_k_w8_stream_f8(int rows, int tokens, int accumulate);
const void *
dlq_k_w8_tile_i8(int rows, int tokens, int in_turn);
const void *
dlq_k_w8_tile_f8(int rows, int tokens, int in_turn, int accumulate);

#ifdef __cplusplus
}
#endif

#endif
