// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights, scales and zero points from a checkpoint's form to the Marlin layout on the GPU. The
// layout is drawn in kernels/pack/marlin.h; the bytes equal those of its CPU functions. Padding is
// part of it: a row or column that the checkpoint does not have gets the zero point as its code
// where its group is real, and scale 0 where it is not.
#include "marlin.h"

#include <cuda_runtime.h>

namespace
{

constexpr int threads = 256;

struct pack_args {
    struct dlq_k_marlin_source s;
    int64_t n, k, n_padded, k_padded;
    int64_t group, packed_group, groups; // packed_group k_padded: one group; groups of the source
    int bits;
    bool has_zeros;
    uint32_t *out;
    int64_t words;
};

// Nibble or byte that holds column j of an AWQ word; of both, the inverse of dlq_awq_order.
__device__ __forceinline__ int
awq_slot(int bits, int64_t n)
{
    return bits == 4 ? (int)(n % 2 * 4 + n % 8 / 2) : (int)(n % 2 * 2 + n % 4 / 2);
}

// Column within a block that nibble or byte i of a word holds, dlq_awq_order.
__device__ __forceinline__ int
interleaved(int bits, int i)
{
    return bits == 4 ? i % 4 * 2 + i / 4 : i % 2 * 2 + i / 2;
}

__device__ __forceinline__ uint32_t
zero_at(const pack_args &a, int64_t n, int64_t g)
{
    const int per_word = 32 / a.bits;
    const uint32_t mask = (1u << a.bits) - 1;
    if (!a.has_zeros)
        return 1u << (a.bits - 1);
    uint32_t word;
    int slot = (int)(n % per_word);
    if (a.s.from == DLQ_K_MARLIN_CT) {
        word = a.s.zeros[n / per_word * a.groups + g];
    } else {
        word = a.s.zeros[g * ((a.n + per_word - 1) / per_word) + n / per_word];
        if (a.s.from == DLQ_K_MARLIN_AWQ)
            slot = awq_slot(a.bits, n);
    }
    return ((word >> slot * a.bits) + (uint32_t)a.s.zero_add) & mask;
}

__device__ __forceinline__ uint32_t
code_at(const pack_args &a, int64_t k, int64_t n)
{
    const int per_word = 32 / a.bits;
    const uint32_t mask = (1u << a.bits) - 1;
    const int64_t g = a.groups == 1 ? 0 : k / a.group;
    if (n >= a.n || g >= a.groups)
        return a.has_zeros ? 0 : 1u << (a.bits - 1);
    if (k >= a.k)
        return zero_at(a, n, g);
    if (a.s.order)
        k = a.s.order[k];
    switch (a.s.from) {
    case DLQ_K_MARLIN_AWQ:
        return __ldg(a.s.weights + k * (a.n / per_word) + n / per_word) >>
                   awq_slot(a.bits, n) * a.bits &
               mask;
    case DLQ_K_MARLIN_GPTQ:
        return __ldg(a.s.weights + k / per_word * a.n + n) >> (int)(k % per_word) * a.bits & mask;
    default:
        return __ldg(a.s.weights + n * ((a.k + per_word - 1) / per_word) + k / per_word) >>
                   (int)(k % per_word) * a.bits &
               mask;
    }
}

// One thread a word. A block of threads takes one column of tiles and, in it, neighbours along k:
// they share the words of sources that are packed along k.
__global__ void
__launch_bounds__(threads) weights_kernel(const pack_args a)
{
    const int per_word = 32 / a.bits, tile_words = 1024 / per_word, per_lane = tile_words / 32;
    const int64_t tiles_k = a.k_padded / 16, tiles_n = a.n_padded / 64;
    for (int64_t i = blockIdx.x * (int64_t)threads + threadIdx.x; i < a.words;
         i += (int64_t)gridDim.x * threads) {
        const int64_t tile = i / tile_words, tk = tile % tiles_k, tn = tile / tiles_k;
        const int j = (int)(i % tile_words), lane = j / per_lane;
        const int w = a.bits == 4 ? j % 4 : j % 8 / 2;
        uint32_t word = 0;
        for (int s = 0; s < per_word; s++) {
            const int v = interleaved(a.bits, s), upper = a.bits == 4 ? v / 4 : j % 2;
            const int64_t k = tk * 16 + 2 * (lane % 4) + v % 2 + v % 4 / 2 * 8,
                          n = tn * 64 + 16 * w + lane / 4 + 8 * upper;
            word |= code_at(a, k, n) << s * a.bits;
        }
        a.out[(tk * tiles_n + tn) * tile_words + j] = word;
    }
}

__device__ __forceinline__ int64_t
grouped_column(int64_t i)
{
    return i / 64 * 64 + i % 64 / 8 + 8 * (i % 8);
}

__device__ __forceinline__ int64_t
channel_column(int64_t i)
{
    const int j = (int)(i % 8);
    return i / 32 * 32 + i % 32 / 8 * 2 + j % 2 + j / 2 * 8;
}

__global__ void
__launch_bounds__(threads)
    scales_kernel(const pack_args a, bool grouped, int64_t rows, uint16_t *out)
{
    const int64_t i = blockIdx.x * (int64_t)threads + threadIdx.x;
    if (i >= rows * a.n_padded)
        return;
    const int64_t r = i / a.n_padded, at = i % a.n_padded;
    const int64_t n = grouped ? grouped_column(at) : channel_column(at);
    const int64_t g = r * a.packed_group / a.group;
    uint16_t scale = 0;
    if (n < a.n && g < a.groups)
        scale =
            a.s.from == DLQ_K_MARLIN_CT ? a.s.scales[n * a.groups + g] : a.s.scales[g * a.n + n];
    out[i] = scale;
}

__global__ void
__launch_bounds__(threads)
    zeros_kernel(const pack_args a, const uint8_t *codes, int64_t rows, uint32_t *out)
{
    const int per_word = 32 / a.bits;
    const int64_t words = a.n_padded / per_word;
    const int64_t i = blockIdx.x * (int64_t)threads + threadIdx.x;
    if (i >= rows * words)
        return;
    const int64_t r = i / words, g = r * a.packed_group / a.group;
    uint32_t word = 0;
    for (int s = 0; s < per_word; s++) {
        const int64_t n = grouped_column(i % words * per_word + interleaved(a.bits, s));
        const uint32_t z = codes                     ? codes[r * a.n + n] & ((1u << a.bits) - 1)
                           : n < a.n && g < a.groups ? zero_at(a, n, g)
                                                     : 0;
        word |= z << s * a.bits;
    }
    out[i] = word;
}

unsigned
blocks_of(int64_t count)
{
    return (unsigned)((count + threads - 1) / threads);
}

int
pack_weights(const pack_args &a, cudaStream_t stream)
{
    const unsigned most = 1u << 20, all = blocks_of(a.words), blocks = all < most ? all : most;
    weights_kernel<<<blocks, threads, 0, stream>>>(a);
    return (int)cudaGetLastError();
}

int
repack(int from, const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n, int bits,
       uint32_t *out, cudaStream_t stream)
{
    if ((bits != 4 && bits != 8) || k < 16 || k % 16 || n < 64 || n % 64)
        return DLQ_K_MARLIN_SHAPE;
    pack_args a = {};
    a.s.from = from;
    a.s.weights = qweight;
    a.s.order = perm;
    a.n = a.n_padded = n;
    a.k = a.k_padded = a.group = a.packed_group = k;
    a.groups = 1;
    a.bits = bits;
    a.out = out;
    a.words = k * n * bits / 32;
    return pack_weights(a, stream);
}

} // namespace

extern "C" int
dlq_k_marlin_repack_awq(const uint32_t *qweight, int64_t k, int64_t n, int bits, uint32_t *out,
                        cudaStream_t stream)
{
    return repack(DLQ_K_MARLIN_AWQ, qweight, nullptr, k, n, bits, out, stream);
}

extern "C" int
dlq_k_marlin_repack_gptq(const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n,
                         int bits, uint32_t *out, cudaStream_t stream)
{
    return repack(DLQ_K_MARLIN_GPTQ, qweight, perm, k, n, bits, out, stream);
}

extern "C" int
dlq_k_marlin_repack_ct(const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n, int bits,
                       uint32_t *out, cudaStream_t stream)
{
    return repack(DLQ_K_MARLIN_CT, qweight, perm, k, n, bits, out, stream);
}

extern "C" int
dlq_k_marlin_permute_scales(const uint16_t *scales, int64_t k, int64_t n, int64_t group,
                            uint16_t *out, cudaStream_t stream)
{
    const bool grouped = group > 0 && group < k;
    if (k < 1 || n < 1 || n % (grouped ? 64 : 32))
        return DLQ_K_MARLIN_SHAPE;
    pack_args a = {};
    a.s.scales = scales;
    a.n = a.n_padded = n;
    a.group = a.packed_group = grouped ? group : k;
    a.groups = (k + a.group - 1) / a.group;
    scales_kernel<<<blocks_of(a.groups * n), threads, 0, stream>>>(a, grouped, a.groups, out);
    return (int)cudaGetLastError();
}

extern "C" int
dlq_k_marlin_zero_points(const uint8_t *zp, int64_t rows, int64_t n, int bits, uint32_t *out,
                         cudaStream_t stream)
{
    if ((bits != 4 && bits != 8) || rows < 0 || n < 64 || n % 64)
        return DLQ_K_MARLIN_SHAPE;
    pack_args a = {};
    a.bits = bits;
    a.n = a.n_padded = n;
    a.group = a.packed_group = 1;
    if (rows > 0)
        zeros_kernel<<<blocks_of(rows * (n * bits / 32)), threads, 0, stream>>>(a, zp, rows, out);
    return (int)cudaGetLastError();
}

extern "C" int
dlq_k_marlin_zero_points_from_awq(const uint32_t *packed, int64_t rows, int64_t n, int bits,
                                  uint32_t *out, cudaStream_t stream)
{
    if ((bits != 4 && bits != 8) || rows < 0 || n < 64 || n % 64)
        return DLQ_K_MARLIN_SHAPE;
    pack_args a = {};
    a.s.from = DLQ_K_MARLIN_AWQ;
    a.s.zeros = packed;
    a.has_zeros = true;
    a.bits = bits;
    a.n = a.n_padded = n;
    a.group = a.packed_group = 1;
    a.groups = rows;
    if (rows > 0)
        zeros_kernel<<<blocks_of(rows * (n * bits / 32)), threads, 0, stream>>>(a, nullptr, rows,
                                                                                out);
    return (int)cudaGetLastError();
}

extern "C" int
dlq_k_marlin_pack(const struct dlq_marlin_layer *layer, const struct dlq_k_marlin_source *source,
                  void *out, cudaStream_t stream)
{
    const int per_word = 32 / layer->bits;
    if ((source->from == DLQ_K_MARLIN_AWQ && layer->n % per_word) ||
        (source->from == DLQ_K_MARLIN_GPTQ && layer->k % per_word) ||
        (source->zeros != nullptr) != layer->has_zero_points ||
        (source->order != nullptr) != layer->act_order)
        return DLQ_K_MARLIN_SHAPE;
    if ((uintptr_t)out & 255)
        return DLQ_K_MARLIN_ALIGN;
    pack_args a = {};
    a.s = *source;
    a.n = layer->n, a.k = layer->k;
    a.n_padded = layer->n_padded, a.k_padded = layer->k_padded;
    a.group = layer->group;
    a.packed_group = layer->packed_group > 0 ? layer->packed_group : layer->k_padded;
    a.groups = (layer->k + layer->group - 1) / layer->group;
    a.bits = layer->bits;
    a.has_zeros = layer->has_zero_points;
    a.out = (uint32_t *)out;
    a.words = layer->n_padded * layer->k_padded / per_word;
    // Everything is written, gaps between the parts too: equal layers have equal bytes.
    cudaError_t err = cudaMemsetAsync((char *)out + layer->scales_at, 0,
                                      (size_t)(layer->bytes - layer->scales_at), stream);
    if (err != cudaSuccess)
        return (int)err;
    const int failed = pack_weights(a, stream);
    if (failed)
        return failed;
    scales_kernel<<<blocks_of(layer->groups * a.n_padded), threads, 0, stream>>>(
        a, layer->packed_group > 0, layer->groups, (uint16_t *)((char *)out + layer->scales_at));
    if (a.has_zeros)
        zeros_kernel<<<blocks_of(layer->groups * a.n_padded / per_word), threads, 0, stream>>>(
            a, nullptr, layer->groups, (uint32_t *)((char *)out + layer->zeros_at));
    err = cudaGetLastError();
    if (err == cudaSuccess && layer->act_order)
        err = cudaMemcpyAsync((char *)out + layer->order_at, source->order,
                              (size_t)layer->k * sizeof(int32_t), cudaMemcpyDeviceToDevice, stream);
    return (int)err;
}
