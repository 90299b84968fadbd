// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Into the packed form of grouped_gemm.h, and back to plain weights.
#include "gpu_device.cuh"
#include "grouped_codes.cuh"
#include "grouped_layout.h"

#include <cuda_bf16.h>
#include <stdlib.h>
#include <string.h>

namespace
{

// Least index of what is wrong, by kind, in the order in which they are reported.
enum { BAD_SCALE, BAD_FACTOR, BAD_ZERO, BAD_CODE, BAD_KINDS, UNEVEN = BAD_KINDS, FOUND };

struct pack_args {
    struct dlq_k_grouped w;
    struct dlq_k_grouped_source s;
    uint8_t *data;
    const int32_t *rows; // group in the checkpoint of each packed row of scales, or NULL: the same
    int64_t source_groups;
    unsigned long long *bad; // [FOUND]
};

__device__ __forceinline__ bool
four_bits(const struct dlq_k_grouped &w)
{
    return w.desc.code == DLQ_K_GROUPED_U4 || w.desc.code == DLQ_K_GROUPED_E2M1;
}

__device__ __forceinline__ bool
integers(const struct dlq_k_grouped &w)
{
    return w.desc.code == DLQ_K_GROUPED_U4 || w.desc.code == DLQ_K_GROUPED_U8;
}

// Place of a column in a row of scales: 0 8 1 9 ... in each strip.
__device__ __forceinline__ int64_t
scale_place(int64_t n)
{
    return n / 16 * 16 + n % 8 * 2 + n % 16 / 8;
}

__device__ __forceinline__ uint32_t
packed_code(const pack_args &a, int64_t n, int64_t at)
{
    const int32_t *const order = (const int32_t *)(a.data + a.w.order_at);
    const int64_t k = a.w.order_at != 0 ? order[at] : at;
    if (n >= a.w.desc.n || k < 0 || k >= a.w.desc.k)
        return 0;
    const uint32_t q = dlq::code_at(a.s, integers(a.w), a.w.desc.n, a.w.desc.k, n, k);
    const bool bad = q > 255 || (a.w.desc.code == DLQ_K_GROUPED_E4M3 && (q & 127) == 127);
    if (bad)
        dlq::note_bad(a.bad + BAD_CODE, n * a.w.desc.k + k);
    return bad ? 0 : q;
}

// A warp packs one block of a strip. Neighbours in a CTA are neighbours in n, whose words of AWQ
// and GPTQ lie side by side.
__global__ void __launch_bounds__(256) pack_codes(const __grid_constant__ pack_args a)
{
    const int lane = threadIdx.x & 31, r = lane >> 2, t = lane & 3;
    const int64_t blocks = a.w.padded_k / 64;
    const int64_t strip = (int64_t)blockIdx.y * 8 + (threadIdx.x >> 5), block = blockIdx.x;
    if (strip >= a.w.padded_n / 16)
        return;
    if (four_bits(a.w)) {
        uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll 1
        for (int i = 0; i < 32; i++) {
            const int j = i / 8, e = i % 8;
            const int64_t n = strip * 16 + r + e % 2 * 8;
            const int64_t k = block * 64 + j * 16 + 2 * t + e / 4 + e % 4 / 2 * 8;
            const uint32_t q = packed_code(a, n, k) << 4 * e;
            words[0] |= j == 0 ? q : 0;
            words[1] |= j == 1 ? q : 0;
            words[2] |= j == 2 ? q : 0;
            words[3] |= j == 3 ? q : 0;
        }
        *(uint4 *)(a.data + (strip * blocks + block) * 512 + lane * 16) =
            make_uint4(words[0], words[1], words[2], words[3]);
        return;
    }
    for (int half = 0; half < 2; half++) {
        uint32_t words[4];
        for (int j = 0; j < 4; j++) {
            words[j] = 0;
            for (int e = 0; e < 4; e++) {
                const int64_t n = strip * 16 + r + e % 2 * 8;
                const int64_t k = block * 64 + half * 32 + j / 2 * 16 + 2 * t + e / 2 + j % 2 * 8;
                words[j] |= packed_code(a, n, k) << 8 * e;
            }
        }
        *(uint4 *)(a.data + (strip * blocks + block) * 1024 + half * 512 + lane * 16) =
            make_uint4(words[0], words[1], words[2], words[3]);
    }
}

__global__ void __launch_bounds__(256) pack_scales(const __grid_constant__ pack_args a)
{
    const int64_t n = (int64_t)blockIdx.y * 256 + threadIdx.x, row = blockIdx.x;
    if (n >= a.w.padded_n)
        return;
    float scale = 0.0f;
    int zero = 0;
    if (n < a.w.desc.n) {
        const int64_t g = a.rows != nullptr ? a.rows[row] : row;
        const int64_t i =
            a.s.scales_by_group ? g * a.w.desc.n + n : n / a.s.scale_rows * a.source_groups + g;
        scale = dlq::float_at(a.s.scales, a.w.desc.scale_dtype, i);
        if (!dlq::is_finite(scale))
            dlq::note_bad(a.bad + BAD_SCALE, i);
        if (a.w.zeros_at != 0) {
            const uint32_t z = dlq::zero_at(a.s, a.w.desc.n, a.source_groups, n, g);
            zero = (int)z + a.s.zero_add;
            if (z > 255 || zero < 0 || zero > (four_bits(a.w) ? 16 : 255))
                dlq::note_bad(a.bad + BAD_ZERO, i);
        }
        float factor = a.s.factors != nullptr ? a.s.factors[n] : 1.0f;
        if (!dlq::is_finite(factor))
            dlq::note_bad(a.bad + BAD_FACTOR, n);
        if (a.w.factors_at != 0 && row == 0) {
            factor = a.w.scales_at != 0 ? factor : __fmul_rn(scale, factor);
            ((float *)(a.data + a.w.factors_at))[n] = factor;
        }
    } else if (a.w.factors_at != 0 && row == 0) {
        ((float *)(a.data + a.w.factors_at))[n] = 0.0f;
    }
    const int64_t to = row * a.w.padded_n + scale_place(n);
    if (a.w.zeros_at != 0)
        a.data[a.w.zeros_at + to] = (uint8_t)zero;
    if (a.w.scales_at == 0)
        return;
    uint8_t *const scales = a.data + a.w.scales_at;
    if (a.w.packed_scale == DLQ_F32)
        ((float *)scales)[to] = scale;
    else if (a.w.packed_scale == DLQ_F16)
        ((__half *)scales)[to] = __float2half_rn(scale);
    else
        ((__nv_bfloat16 *)scales)[to] = __float2bfloat16_rn(scale);
}

// Columns whose scales are not even_scales, after pack_scales.
__global__ void __launch_bounds__(256) find_uneven(const __grid_constant__ pack_args a)
{
    const int64_t n = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (n >= a.w.desc.n)
        return;
    float least = INFINITY, most = 0.0f;
    for (int64_t g = 0; g < a.w.groups; g++) {
        const float scale = fabsf(dlq::float_at(a.data + a.w.scales_at, a.w.packed_scale,
                                                g * a.w.padded_n + scale_place(n)));
        least = fminf(least, scale);
        most = fmaxf(most, scale);
    }
    if (!(least > 0.0f && most <= least * 0x1p20f))
        dlq::note_bad(a.bad + UNEVEN, n);
}

// The tables that only the host makes, freed by the caller.
struct tables {
    int32_t *order;  // [padded_k], or NULL
    int32_t *blocks; // [padded_k / 64]
    int32_t *rows;   // [groups], or NULL
};

// A long group is added to the sum now and then: sums in a tensor core lose bits as they grow.
constexpr int64_t LONGEST_SUM = 16;

// Blocks from the group of each step.
void
fill_blocks(struct dlq_k_grouped *w, const int32_t *step_groups, int32_t *blocks)
{
    const int64_t steps = w->padded_k / 16;
    int most = 1;
    for (int64_t b = 0; b < steps / 4; b++) {
        int32_t ends = b % LONGEST_SUM == LONGEST_SUM - 1 ? 8 : 0;
        for (int64_t s = 4 * b; s < 4 * b + 4 && s + 1 < steps; s++)
            ends |= step_groups[s + 1] != step_groups[s] ? 1 << s % 4 : 0;
        const int met = 1 + (ends & 1) + (ends >> 1 & 1) + (ends >> 2 & 1);
        most = met > most ? met : most;
        blocks[b] = step_groups[4 * b] << 4 | ends;
    }
    w->block_groups = most;
}

// Rows of x and groups of steps where groups follow each other in x.
void
fill_regular(const struct dlq_k_grouped *w, int32_t *order, int32_t *step_groups)
{
    const int64_t padded = w->groups == 1 ? w->padded_k : (w->desc.group + 15) / 16 * 16;
    for (int64_t s = 0; s < w->padded_k / 16; s++) {
        const int64_t g = s * 16 / padded;
        step_groups[s] = (int32_t)(g < w->groups ? g : w->groups - 1);
    }
    for (int64_t i = 0; order != nullptr && i < w->padded_k; i++) {
        const int64_t g = i / padded, in = i % padded, k = g * w->desc.group + in;
        order[i] = g < w->groups && in < w->desc.group && k < w->desc.k ? (int32_t)k : -1;
    }
}

// The same by a map, which has been checked. `counts` has n_groups elements. Returns the K that is
// computed.
int64_t
fill_ordered(struct dlq_k_grouped *w, const int32_t *group_of, int32_t *counts, int32_t *starts,
             const struct tables *t, int32_t *step_groups)
{
    const int64_t n_groups = grouped_source_groups(&w->desc);
    memset(counts, 0, (size_t)n_groups * sizeof(*counts));
    for (int64_t k = 0; k < w->desc.k; k++)
        counts[group_of[k]]++;
    int64_t at = 0, rows = 0;
    for (int64_t g = 0; g < n_groups; g++) {
        starts[g] = (int32_t)at;
        if (counts[g] == 0)
            continue;
        for (int64_t end = at + counts[g]; at < end; at += 16)
            step_groups[at / 16] = (int32_t)rows;
        t->rows[rows++] = (int32_t)g;
    }
    w->groups = rows;
    const int64_t padded_k = (at + 63) / 64 * 64;
    for (; at < padded_k; at += 16)
        step_groups[at / 16] = (int32_t)(rows - 1);
    for (int64_t i = 0; i < padded_k; i++)
        t->order[i] = -1;
    for (int64_t k = 0; k < w->desc.k; k++)
        t->order[starts[group_of[k]]++] = (int32_t)k;
    return padded_k;
}

int
check_map(const struct dlq_k_grouped_desc *d, const int32_t *group_of, int64_t *bad)
{
    const int64_t n_groups = grouped_source_groups(d);
    for (int64_t k = 0; k < d->k; k++)
        if (group_of[k] < 0 || group_of[k] >= n_groups) {
            *bad = k;
            return -DLQ_K_EINDEX;
        }
    return 0;
}

// Everything about K; lowers what act order needs less of.
int
make_tables(struct dlq_k_grouped *w, const int32_t *group_of, struct tables *t)
{
    const int64_t n_groups = grouped_source_groups(&w->desc);
    const bool ordered = w->desc.act_order && n_groups > 1;
    int32_t *const step_groups = (int32_t *)malloc((size_t)w->padded_k / 16 * 4);
    int32_t *const counts = (int32_t *)malloc((size_t)(ordered ? 2 * n_groups : 1) * 4);
    t->blocks = (int32_t *)malloc((size_t)w->padded_k / 64 * 4);
    t->order = w->order_at != 0 ? (int32_t *)malloc((size_t)w->padded_k * 4) : nullptr;
    t->rows = ordered ? (int32_t *)malloc((size_t)w->groups * 4) : nullptr;
    int err = 0;
    if (!step_groups || !counts || !t->blocks || (w->order_at != 0 && !t->order) ||
        (ordered && !t->rows)) {
        err = (int)cudaErrorMemoryAllocation;
    } else {
        if (ordered)
            w->padded_k = fill_ordered(w, group_of, counts, counts + n_groups, t, step_groups);
        else
            fill_regular(w, t->order, step_groups);
        fill_blocks(w, step_groups, t->blocks);
        grouped_lay_out(w);
    }
    free(step_groups);
    free(counts);
    return err;
}

cudaError_t
copy_up(uint8_t *data, int64_t at, const int32_t *table, int64_t count)
{
    return table == nullptr ? cudaSuccess
                            : cudaMemcpy(data + at, table, (size_t)count * sizeof(*table),
                                         cudaMemcpyHostToDevice);
}

int
pack_all(pack_args *a, const struct tables *t, unsigned long long bad[FOUND])
{
    const struct dlq_k_grouped *const w = &a->w;
    const dlq::device_view rows(t->rows, t->rows != nullptr ? (size_t)w->groups * 4 : 0);
    a->rows = rows.as<int32_t>();
    const dlq::device_words status(bad, FOUND * sizeof(*bad));
    a->bad = status.data;
    cudaError_t err = rows.error != cudaSuccess ? rows.error : status.error;
    if (err == cudaSuccess)
        err = copy_up(a->data, w->order_at, t->order, w->padded_k);
    if (err == cudaSuccess)
        err = copy_up(a->data, w->blocks_at, t->blocks, w->padded_k / 64);
    if (err != cudaSuccess)
        return (int)err;
    pack_scales<<<dim3((unsigned)w->groups, (unsigned)((w->padded_n + 255) / 256)), 256>>>(*a);
    if (w->scales_at != 0)
        find_uneven<<<(unsigned)((w->desc.n + 255) / 256), 256>>>(*a);
    pack_codes<<<dim3((unsigned)(w->padded_k / 64), (unsigned)((w->padded_n / 16 + 7) / 8)), 256>>>(
        *a);
    err = status.read(bad, FOUND * sizeof(*bad));
    a->w.even_scales = w->scales_at != 0 && bad[UNEVEN] == dlq::NOTHING;
    return (int)err;
}

} // namespace

extern "C" int
dlq_k_grouped_pack(struct dlq_k_grouped *w, const struct dlq_k_grouped_source *source, void *data,
                   int64_t *bad)
{
    int64_t ignored;
    bad = bad != nullptr ? bad : &ignored;
    if (w->desc.act_order != (source->group_of != nullptr) ||
        w->desc.zeros != (source->zeros != nullptr) || source->scale_rows < 1 ||
        (source->layout == DLQ_K_GROUPED_AWQ && w->desc.n % 8 != 0) ||
        (source->layout == DLQ_K_GROUPED_NIBBLES && w->desc.k % 2 != 0))
        return -DLQ_K_ESHAPE;
    int err = w->desc.act_order ? check_map(&w->desc, source->group_of, bad) : 0;
    if (err != 0)
        return err;
    struct tables t = {};
    pack_args a = {};
    a.w = *w;
    a.s = *source;
    a.data = (uint8_t *)data;
    a.source_groups = grouped_source_groups(&w->desc);
    unsigned long long found[FOUND] = {dlq::NOTHING, dlq::NOTHING, dlq::NOTHING, dlq::NOTHING,
                                       dlq::NOTHING};
    err = make_tables(&a.w, source->group_of, &t);
    if (err == 0)
        err = pack_all(&a, &t, found);
    if (err == 0)
        err = grouped_prepare(&a.w);
    free(t.order);
    free(t.blocks);
    free(t.rows);
    if (err == 0)
        err = dlq::bad_value(found, BAD_KINDS, BAD_ZERO, bad);
    if (err == 0) {
        *w = a.w;
        w->data = (const uint8_t *)data;
    }
    return err;
}

namespace
{

__device__ __forceinline__ float
value_of(const struct dlq_k_grouped &w, uint32_t q, int zero)
{
    switch (w.desc.code) {
    case DLQ_K_GROUPED_U4:
    case DLQ_K_GROUPED_U8:
        return (float)((int)q - zero);
    case DLQ_K_GROUPED_E4M3: {
        const uint8_t byte = (uint8_t)q;
        return dlq::float_at(&byte, DLQ_F8_E4M3, 0);
    }
    default: {
        const uint32_t half = (q & 8) << 12 | (q & 7) << 9;
        return __half2float(__ushort_as_half((unsigned short)half)) * 16384.0f;
    }
    }
}

__device__ __forceinline__ uint32_t
unpacked_code(const struct dlq_k_grouped &w, int64_t n, int64_t at)
{
    const int64_t block = n / 16 * (w.padded_k / 64) + at / 64;
    const int r = (int)(n % 8), high = (int)(n % 16 / 8), step = (int)(at % 64 / 16);
    const int t = (int)(at % 8 / 2), odd = (int)(at % 2), later = (int)(at % 16 / 8);
    if (four_bits(w)) {
        const uint32_t word =
            *(const uint32_t *)(w.data + block * 512 + (4 * r + t) * 16 + 4 * step);
        return word >> (16 * odd + 8 * later + 4 * high) & 15;
    }
    return w.data[block * 1024 + step / 2 * 512 + (4 * r + t) * 16 + step % 2 * 8 + 4 * later +
                  2 * odd + high];
}

__global__ void __launch_bounds__(256)
    unpack(const __grid_constant__ dlq_k_grouped w, int64_t n0, float *out)
{
    const int64_t at = (int64_t)blockIdx.x * 256 + threadIdx.x, n = n0 + blockIdx.y;
    if (at >= w.padded_k)
        return;
    const int64_t k = w.order_at != 0 ? ((const int32_t *)(w.data + w.order_at))[at] : at;
    if (k < 0 || k >= w.desc.k)
        return;
    const int entry = ((const int32_t *)(w.data + w.blocks_at))[at / 64];
    const int64_t row = (entry >> 4) + __popc(entry & ((1 << at % 64 / 16) - 1));
    const int64_t place = row * w.padded_n + scale_place(n);
    const int zero = w.zeros_at != 0 ? w.data[w.zeros_at + place] : w.desc.zero;
    float v = value_of(w, unpacked_code(w, n, at), zero);
    if (w.scales_at != 0)
        v = __fmul_rn(v, dlq::float_at(w.data + w.scales_at, w.packed_scale, place));
    if (w.factors_at != 0)
        v = __fmul_rn(v, ((const float *)(w.data + w.factors_at))[n]);
    out[(n - n0) * w.desc.k + k] = v;
}

} // namespace

extern "C" int
dlq_k_grouped_unpack(const struct dlq_k_grouped *w, int64_t n0, int64_t rows, float *out,
                     cudaStream_t stream)
{
    if (n0 < 0 || rows < 0 || n0 + rows > w->desc.n)
        return -DLQ_K_ESHAPE;
    for (int64_t r = 0; r < rows; r += 65535) {
        const int64_t some = rows - r < 65535 ? rows - r : 65535;
        unpack<<<dim3((unsigned)((w->padded_k + 255) / 256), (unsigned)some), 256, 0, stream>>>(
            *w, n0 + r, out + r * w->desc.k);
    }
    return (int)cudaGetLastError();
}
