// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Packing into the Marlin layout of kernels/pack/marlin.h, from whatever a reader reads:
//
//     uint32_t code(int64_t n, int64_t k)    an unsigned code, k a row in packed order
//     uint32_t zero(int64_t n, int64_t g)    its zero point
//     uint16_t scale(int64_t n, int64_t g)   its scale in the type of x
//
// of rows, columns and groups that exist. Padding is made here: a row or column that the checkpoint
// does not have gets the zero point as its code where its group is real, and scale 0 where it is
// not.
#ifndef DLQ_KERNELS_CUDA_MARLIN_PACK_CUH
#define DLQ_KERNELS_CUDA_MARLIN_PACK_CUH

#include "marlin.h"

#include <cuda_runtime.h>

namespace dlq
{

constexpr int marlin_threads = 256;

struct marlin_geometry {
    int64_t n, k, n_padded, k_padded;
    int64_t group, packed_group, groups; // packed_group k_padded: one group; groups of the source
    int bits;
    bool has_zeros;
};

static inline marlin_geometry
marlin_geometry_of(const struct dlq_marlin_layer *layer)
{
    marlin_geometry g;
    g.n = layer->n;
    g.k = layer->k;
    g.n_padded = layer->n_padded;
    g.k_padded = layer->k_padded;
    g.group = layer->group;
    g.packed_group = layer->packed_group > 0 ? layer->packed_group : layer->k_padded;
    g.groups = (layer->k + layer->group - 1) / layer->group;
    g.bits = layer->bits;
    g.has_zeros = layer->has_zero_points;
    return g;
}

static inline unsigned
marlin_blocks(int64_t count)
{
    const int64_t most = 1 << 20, blocks = (count + marlin_threads - 1) / marlin_threads;
    return (unsigned)(blocks < most ? blocks : most);
}

// Column within a block that nibble or byte i of a word holds, dlq_awq_order.
__device__ __forceinline__ int
marlin_order(int bits, int i)
{
    return bits == 4 ? i % 4 * 2 + i / 4 : i % 2 * 2 + i / 2;
}

// Source columns of scale i of a row, grouped and with one group a column.
__device__ __forceinline__ int64_t
marlin_grouped_column(int64_t i)
{
    return i / 64 * 64 + i % 64 / 8 + 8 * (i % 8);
}

__device__ __forceinline__ int64_t
marlin_channel_column(int64_t i)
{
    const int j = (int)(i % 8);
    return i / 32 * 32 + i % 32 / 8 * 2 + j % 2 + j / 2 * 8;
}

template <class Reader>
__device__ __forceinline__ uint32_t
marlin_code(const marlin_geometry &m, const Reader &from, int64_t n, int64_t k)
{
    const int64_t g = m.groups == 1 ? 0 : k / m.group;
    if (n >= m.n || g >= m.groups)
        return m.has_zeros ? 0 : 1u << (m.bits - 1);
    if (k >= m.k)
        return m.has_zeros ? from.zero(n, g) : 1u << (m.bits - 1);
    return from.code(n, k);
}

// One thread a word. Neighbours along k come one after the other: they share the words of sources
// that are packed along k.
template <class Reader>
__global__ void
__launch_bounds__(marlin_threads) marlin_weights(const __grid_constant__ marlin_geometry m,
                                                 const __grid_constant__ Reader from, uint32_t *out)
{
    const int per_word = 32 / m.bits, tile_words = 1024 / per_word, per_lane = tile_words / 32;
    const int64_t tiles_k = m.k_padded / 16, tiles_n = m.n_padded / 64;
    for (int64_t i = blockIdx.x * (int64_t)marlin_threads + threadIdx.x;
         i < tiles_k * tiles_n * tile_words; i += (int64_t)gridDim.x * marlin_threads) {
        const int64_t tile = i / tile_words, tk = tile % tiles_k, tn = tile / tiles_k;
        const int j = (int)(i % tile_words), lane = j / per_lane;
        const int w = m.bits == 4 ? j % 4 : j % 8 / 2;
        uint32_t word = 0;
        for (int s = 0; s < per_word; s++) {
            const int v = marlin_order(m.bits, s), upper = m.bits == 4 ? v / 4 : j % 2;
            const int64_t k = tk * 16 + 2 * (lane % 4) + v % 2 + v % 4 / 2 * 8,
                          n = tn * 64 + 16 * w + lane / 4 + 8 * upper;
            word |= marlin_code(m, from, n, k) << s * m.bits;
        }
        out[(tk * tiles_n + tn) * tile_words + j] = word;
    }
}

template <class Reader>
__global__ void
__launch_bounds__(marlin_threads)
    marlin_scales(const __grid_constant__ marlin_geometry m, const __grid_constant__ Reader from,
                  bool grouped, int64_t rows, uint16_t *out)
{
    for (int64_t i = blockIdx.x * (int64_t)marlin_threads + threadIdx.x; i < rows * m.n_padded;
         i += (int64_t)gridDim.x * marlin_threads) {
        const int64_t at = i % m.n_padded, g = i / m.n_padded * m.packed_group / m.group;
        const int64_t n = grouped ? marlin_grouped_column(at) : marlin_channel_column(at);
        out[i] = n < m.n && g < m.groups ? from.scale(n, g) : (uint16_t)0;
    }
}

template <class Reader>
__global__ void
__launch_bounds__(marlin_threads)
    marlin_zeros(const __grid_constant__ marlin_geometry m, const __grid_constant__ Reader from,
                 int64_t rows, uint32_t *out)
{
    const int per_word = 32 / m.bits;
    const int64_t words = m.n_padded / per_word;
    for (int64_t i = blockIdx.x * (int64_t)marlin_threads + threadIdx.x; i < rows * words;
         i += (int64_t)gridDim.x * marlin_threads) {
        const int64_t g = i / words * m.packed_group / m.group;
        uint32_t word = 0;
        for (int s = 0; s < per_word; s++) {
            const int64_t n = marlin_grouped_column(i % words * per_word + marlin_order(m.bits, s));
            if (n < m.n && g < m.groups)
                word |= from.zero(n, g) << s * m.bits;
        }
        out[i] = word;
    }
}

// A whole layer but for its order of rows. 0 or a cudaError_t.
template <class Reader>
int
marlin_pack_layer(const struct dlq_marlin_layer *layer, const Reader &from, void *out,
                  cudaStream_t stream)
{
    const marlin_geometry m = marlin_geometry_of(layer);
    char *const base = (char *)out;
    // Everything is written, gaps between the parts too: equal layers have equal bytes.
    const cudaError_t err = cudaMemsetAsync(base + layer->scales_at, 0,
                                            (size_t)(layer->bytes - layer->scales_at), stream);
    if (err != cudaSuccess)
        return (int)err;
    marlin_weights<<<marlin_blocks(m.n_padded * m.k_padded * m.bits / 32), marlin_threads, 0,
                     stream>>>(m, from, (uint32_t *)out);
    marlin_scales<<<marlin_blocks(layer->groups * m.n_padded), marlin_threads, 0, stream>>>(
        m, from, layer->packed_group > 0, layer->groups, (uint16_t *)(base + layer->scales_at));
    if (m.has_zeros)
        marlin_zeros<<<marlin_blocks(layer->groups * m.n_padded * m.bits / 32), marlin_threads, 0,
                       stream>>>(m, from, layer->groups, (uint32_t *)(base + layer->zeros_at));
    return (int)cudaGetLastError();
}

} // namespace dlq

#endif
