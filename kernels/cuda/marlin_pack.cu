// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Weights, scales and zero points from a checkpoint's form to the Marlin layout on the GPU; the
// bytes equal those of the CPU's functions in kernels/pack/marlin.c.
#include "marlin_pack.cuh"

namespace
{

// Nibble or byte that holds column j of an AWQ word, the inverse of dlq_awq_order.
__device__ __forceinline__ int
awq_slot(int bits, int64_t n)
{
    return bits == 4 ? (int)(n % 2 * 4 + n % 8 / 2) : (int)(n % 2 * 2 + n % 4 / 2);
}

struct checkpoint_reader {
    struct dlq_k_marlin_source s;
    int64_t n_columns, k_rows, groups;
    int bits;

    __device__ __forceinline__ uint32_t field(uint32_t word, int slot) const
    {
        return word >> slot * bits & ((1u << bits) - 1);
    }

    __device__ __forceinline__ uint32_t code(int64_t n, int64_t k) const
    {
        const int per_word = 32 / bits;
        if (s.order)
            k = s.order[k];
        switch (s.from) {
        case DLQ_K_MARLIN_AWQ:
            return field(__ldg(s.weights + k * (n_columns / per_word) + n / per_word),
                         awq_slot(bits, n));
        case DLQ_K_MARLIN_GPTQ:
            return field(__ldg(s.weights + k / per_word * n_columns + n), (int)(k % per_word));
        default:
            return field(__ldg(s.weights + n * ((k_rows + per_word - 1) / per_word) + k / per_word),
                         (int)(k % per_word));
        }
    }

    __device__ __forceinline__ uint32_t zero(int64_t n, int64_t g) const
    {
        const int per_word = 32 / bits;
        const int64_t at = s.from == DLQ_K_MARLIN_CT
                               ? n / per_word * groups + g
                               : g * ((n_columns + per_word - 1) / per_word) + n / per_word;
        const int slot = s.from == DLQ_K_MARLIN_AWQ ? awq_slot(bits, n) : (int)(n % per_word);
        return (field(s.zeros[at], slot) + (uint32_t)s.zero_add) & ((1u << bits) - 1);
    }

    __device__ __forceinline__ uint16_t scale(int64_t n, int64_t g) const
    {
        return s.from == DLQ_K_MARLIN_CT ? s.scales[n * groups + g] : s.scales[g * n_columns + n];
    }
};

struct plain_zeros {
    const uint8_t *codes;
    int64_t n_columns;
    int bits;

    __device__ __forceinline__ uint32_t zero(int64_t n, int64_t g) const
    {
        return codes[g * n_columns + n] & ((1u << bits) - 1);
    }
};

bool
is_packable(int bits)
{
    return bits == 4 || bits == 8;
}

int
repack(int from, const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n, int bits,
       uint32_t *out, cudaStream_t stream)
{
    if (!is_packable(bits) || k < 16 || k % 16 || n < 64 || n % 64)
        return DLQ_K_MARLIN_SHAPE;
    const dlq::marlin_geometry m = {n, k, n, k, k, k, 1, bits, false};
    checkpoint_reader reader = {};
    reader.s.from = from;
    reader.s.weights = qweight;
    reader.s.order = perm;
    reader.n_columns = n;
    reader.k_rows = k;
    reader.bits = bits;
    dlq::marlin_weights<<<dlq::marlin_blocks(k * n * bits / 32), dlq::marlin_threads, 0, stream>>>(
        m, reader, out);
    return (int)cudaGetLastError();
}

template <class Reader>
int
repack_zeros(const Reader &reader, int64_t rows, int64_t n, int bits, uint32_t *out,
             cudaStream_t stream)
{
    if (!is_packable(bits) || rows < 0 || n < 64 || n % 64)
        return DLQ_K_MARLIN_SHAPE;
    const dlq::marlin_geometry m = {n, rows, n, rows, 1, 1, rows, bits, true};
    if (rows > 0)
        dlq::marlin_zeros<<<dlq::marlin_blocks(rows * n * bits / 32), dlq::marlin_threads, 0,
                            stream>>>(m, reader, rows, out);
    return (int)cudaGetLastError();
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
    const int64_t size = grouped ? group : k, groups = (k + size - 1) / size;
    const dlq::marlin_geometry m = {n, k, n, k, size, size, groups, 4, false};
    checkpoint_reader reader = {};
    reader.s.scales = scales;
    reader.n_columns = n;
    dlq::marlin_scales<<<dlq::marlin_blocks(groups * n), dlq::marlin_threads, 0, stream>>>(
        m, reader, grouped, groups, out);
    return (int)cudaGetLastError();
}

extern "C" int
dlq_k_marlin_zero_points(const uint8_t *zp, int64_t rows, int64_t n, int bits, uint32_t *out,
                         cudaStream_t stream)
{
    const plain_zeros reader = {zp, n, bits};
    return repack_zeros(reader, rows, n, bits, out, stream);
}

extern "C" int
dlq_k_marlin_zero_points_from_awq(const uint32_t *packed, int64_t rows, int64_t n, int bits,
                                  uint32_t *out, cudaStream_t stream)
{
    checkpoint_reader reader = {};
    reader.s.from = DLQ_K_MARLIN_AWQ;
    reader.s.zeros = packed;
    reader.n_columns = n;
    reader.bits = bits;
    return repack_zeros(reader, rows, n, bits, out, stream);
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
    const checkpoint_reader reader = {*source, layer->n, layer->k,
                                      (layer->k + layer->group - 1) / layer->group, layer->bits};
    const int err = dlq::marlin_pack_layer(layer, reader, out, stream);
    if (err || !layer->act_order)
        return err;
    return (int)cudaMemcpyAsync((char *)out + layer->order_at, source->order,
                                (size_t)layer->k * sizeof(int32_t), cudaMemcpyDeviceToDevice,
                                stream);
}
