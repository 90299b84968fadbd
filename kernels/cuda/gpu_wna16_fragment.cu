// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// dlq_kg_wna16() on Hopper: the fragment layout and its kernels, for every layer that it can hold.
#include "gpu_device.cuh"
#include "gpu_wna16_forms.h"
#include "grouped_codes.cuh"
#include "w4_gemm.h"

#include <cuda_bf16.h>

namespace
{

constexpr int WARPS = 8;
enum { BAD_SCALE, BAD_ZERO, BAD_CODE, BAD_KINDS };

struct geometry {
    int64_t n, k, size, groups; // of the checkpoint
    int packed_group;
    int64_t strips, units, unit_bytes;
    bool bf16;
};

geometry
geometry_of(const struct dlq_kg_wna16 *w)
{
    const struct dlq_k_wna16_shape *const s = &w->desc.shape;
    geometry g = {};
    g.n = s->n;
    g.k = s->k;
    g.packed_group = dlq_k_w4_packed_group((int)s->k, (int)s->group);
    g.size = s->group;
    g.groups = (s->k + s->group - 1) / s->group;
    g.strips = (s->n + 63) / 64 * 4;
    g.units = (s->k + 127) / 128;
    g.unit_bytes =
        DLQ_K_W4_UNIT_WEIGHTS + (g.packed_group != 0 ? 128 / g.packed_group * DLQ_K_W4_PAIRS : 0);
    g.bf16 = w->desc.act_dtype == DLQ_BF16;
    return g;
}

struct pack_args {
    geometry g;
    struct dlq_k_grouped_source s;
    uint8_t *out;
    uint32_t scale_dtype;
    unsigned long long *bad; // [BAD_KINDS]
};

__device__ __forceinline__ int
zero_of(const pack_args &a, int64_t n, int64_t g)
{
    if (a.s.zeros == nullptr)
        return 1 << (a.s.bits - 1);
    const uint32_t z = dlq::zero_at(a.s, a.g.n, a.g.groups, n, g);
    return z > 255 ? 256 : (int)z + a.s.zero_add;
}

__device__ __forceinline__ uint32_t
code_of(const pack_args &a, int64_t n, int64_t k)
{
    if (n >= a.g.n || k / a.g.size >= a.g.groups)
        return 0;
    if (k >= a.g.k)
        return (uint32_t)zero_of(a, n, k / a.g.size) & 15;
    const uint32_t q = dlq::code_at(a.s, true, a.g.n, a.g.k, n, k);
    if (q > 15)
        dlq::note_bad(a.bad + BAD_CODE, n * a.g.k + k);
    return q & 15;
}

__device__ __forceinline__ uint32_t
type_bits(float v, bool bf16)
{
    return bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(v))
                : __half_as_ushort(__float2half_rn(v));
}

// Scale and zero point of a column, in the type of x.
__device__ __forceinline__ uint32_t
pair_of(const pack_args &a, int64_t n, int64_t g)
{
    if (n >= a.g.n || g >= a.g.groups)
        return 0;
    const int64_t i = a.s.scales_by_group ? g * a.g.n + n : n * a.g.groups + g;
    const uint32_t scale = type_bits(dlq::float_at(a.s.scales, a.scale_dtype, i), a.g.bf16);
    const uint32_t special = a.g.bf16 ? 0x7f80u : 0x7c00u;
    if ((scale & special) == special)
        dlq::note_bad(a.bad + BAD_SCALE, i);
    const int zero = zero_of(a, n, g);
    if (zero < 0 || zero > 16)
        dlq::note_bad(a.bad + BAD_ZERO, i);
    return scale | type_bits((float)zero, a.g.bf16) << 16;
}

__device__ __forceinline__ uint2
pairs_of(const pack_args &a, int64_t n, int64_t g)
{
    return make_uint2(pair_of(a, n, g), pair_of(a, n + 8, g));
}

// Pairs of the group `set` of a unit, one row a lane of eight; those of one group over all of K
// stand behind the strips.
__device__ __forceinline__ void
write_pairs(const pack_args &a, int64_t strip, int64_t unit, int set, int r)
{
    uint8_t *const at =
        a.g.packed_group != 0
            ? a.out + (strip * a.g.units + unit) * a.g.unit_bytes + DLQ_K_W4_UNIT_WEIGHTS +
                  set * DLQ_K_W4_PAIRS
            : a.out + a.g.strips * a.g.units * a.g.unit_bytes + strip * DLQ_K_W4_PAIRS;
    const int64_t group = (unit * 128 + set * a.g.packed_group) / a.g.size;
    *(uint2 *)(at + r * 8) = pairs_of(a, strip * 16 + r, group);
}

// Groups whose pairs are written with a unit.
__device__ __forceinline__ int
sets_of(const pack_args &a, int64_t unit)
{
    return a.g.packed_group != 0 ? 128 / a.g.packed_group : unit == 0;
}

// A warp packs one unit of a strip; neighbours in a CTA are neighbours in n, whose words of AWQ and
// GPTQ lie side by side.
__global__ void __launch_bounds__(32 * WARPS) pack(const __grid_constant__ pack_args a)
{
    const int64_t strip = (int64_t)blockIdx.y * WARPS + threadIdx.x / 32, unit = blockIdx.x;
    const int lane = threadIdx.x % 32, r = lane / 4, t = lane % 4;
    if (strip >= a.g.strips)
        return;
    uint8_t *const out = a.out + (strip * a.g.units + unit) * a.g.unit_bytes;
    for (int word = 0; word < 8; word++) {
        uint32_t v = 0;
#pragma unroll
        for (int e = 0; e < 8; e++)
            v |= code_of(a, strip * 16 + r + e % 2 * 8,
                         unit * 128 + word * 16 + 2 * t + e / 4 + e % 4 / 2 * 8)
                 << 4 * e;
        *(uint32_t *)(out + word / 4 * 512 + lane * 16 + word % 4 * 4) = v;
    }
    for (int i = lane; i < 8 * sets_of(a, unit); i += 32)
        write_pairs(a, strip, unit, i / 8, i % 8);
}

// Let word p have nibble p of all words, that of word i in nibble i.
__device__ __forceinline__ void
transpose_nibbles(uint32_t (&w)[8])
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t low = w[i], high = w[i + 4];
        w[i] = __byte_perm(low, high, 0x5410);
        w[i + 4] = __byte_perm(low, high, 0x7632);
    }
#pragma unroll
    for (int i = 0; i < 8; i += i % 2 == 0 ? 1 : 3) {
        const uint32_t low = w[i], high = w[i + 2];
        w[i] = __byte_perm(low, high, 0x6240);
        w[i + 2] = __byte_perm(low, high, 0x7351);
    }
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
        const uint32_t low = w[i], high = w[i + 1];
        w[i] = (low & 0x0f0f0f0fu) | (high << 4 & 0xf0f0f0f0u);
        w[i + 1] = (low >> 4 & 0x0f0f0f0fu) | (high & 0xf0f0f0f0u);
    }
}

// pack() of whole units of AWQ. A warp takes one block of eight strips, a lane all words of its
// eight rows and their counterparts: what it reads is eight rows of k and what it writes eight
// lanes of the block, 64 bytes of a strip side by side with its neighbours'.
__global__ void __launch_bounds__(32 * WARPS) pack_awq(const __grid_constant__ pack_args a)
{
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = lane % 4, block = warp % 2;
    const int64_t first = ((int64_t)blockIdx.x * WARPS + warp) / 2 * 8, unit = blockIdx.y;
    const int64_t strip = first + lane / 4, pitch = a.g.n / 8;
    if (strip < a.g.strips) {
        const uint32_t *const from =
            (const uint32_t *)a.s.codes + (unit * 128 + block * 64 + 2 * t) * pitch + strip * 2;
        uint32_t w[4][8];
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const uint2 v =
                    __ldcs((const uint2 *)(from + (j * 16 + i / 2 + i % 2 * 8) * pitch));
                w[j][2 * i] = v.x;
                w[j][2 * i + 1] = v.y;
            }
#pragma unroll
        for (int j = 0; j < 4; j++)
            transpose_nibbles(w[j]);
        uint8_t *const out =
            a.out + (strip * a.g.units + unit) * a.g.unit_bytes + block * 512 + t * 16;
#pragma unroll
        for (int r = 0; r < 8; r++) {
            const int p = r % 2 * 4 + r / 2; // nibble of row r in a word of AWQ
            *(uint4 *)(out + r * 64) = make_uint4(w[0][p], w[1][p], w[2][p], w[3][p]);
        }
    }
    const int64_t paired = first + block * 4 + lane / 8;
    for (int set = 0; set < sets_of(a, unit) && paired < a.g.strips; set++)
        write_pairs(a, paired, unit, set, lane % 8);
}

// pack() of whole units of rows of words. A warp takes one unit of a strip, a lane four words of a
// row and of its counterpart, which are half of four lanes of the block.
__global__ void __launch_bounds__(32 * WARPS) pack_rows(const __grid_constant__ pack_args a)
{
    const int64_t unit = (int64_t)blockIdx.y * WARPS + threadIdx.x / 32, strip = blockIdx.x;
    const int lane = threadIdx.x % 32, r = lane / 4, t = lane % 4;
    if (unit >= a.g.units)
        return;
    const int64_t pitch = a.g.k / 8;
    const uint32_t *const from =
        (const uint32_t *)a.s.codes + (strip * 16 + r) * pitch + unit * 16 + t * 4;
    const uint4 low = __ldcs((const uint4 *)from);
    const uint4 high = __ldcs((const uint4 *)(from + 8 * pitch));
    uint8_t *const out =
        a.out + (strip * a.g.units + unit) * a.g.unit_bytes + t / 2 * 512 + r * 64 + t % 2 * 8;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t w[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
            // Byte i of each word holds k 2i and 2i + 1.
            const uint32_t first =
                __byte_perm(j == 0 ? low.x : low.z, j == 0 ? high.x : high.z, 0x4040 + 0x1111 * i);
            const uint32_t second =
                __byte_perm(j == 0 ? low.y : low.w, j == 0 ? high.y : high.w, 0x4040 + 0x1111 * i);
            const uint32_t bytes = __byte_perm(first, second, 0x5410);
            const uint32_t even = bytes & 0x0f0f0f0fu, odd = bytes >> 4 & 0x0f0f0f0fu;
            w[j] = __byte_perm(even | even >> 4, odd | odd >> 4, 0x6420);
        }
        *(uint2 *)(out + i * 16) = make_uint2(w[0], w[1]);
    }
    for (int i = lane; i < 8 * sets_of(a, unit); i += 32)
        write_pairs(a, strip, unit, i / 8, i % 8);
}

// The fastest kernel that packs the layer.
void
launch_pack(const pack_args &a)
{
    const geometry &g = a.g;
    const int threads = 32 * WARPS;
    const bool whole = g.n % 64 == 0 && g.k % 128 == 0 && (uintptr_t)a.s.codes % 16 == 0;
    const bool rows = a.s.layout == DLQ_K_GROUPED_K_DENSE || a.s.layout == DLQ_K_GROUPED_K_PADDED;
    if (whole && a.s.layout == DLQ_K_GROUPED_AWQ)
        pack_awq<<<dim3((unsigned)((g.strips + 4 * WARPS - 1) / (4 * WARPS)), (unsigned)g.units),
                   threads>>>(a);
    else if (whole && rows && a.s.bits == 4)
        pack_rows<<<dim3((unsigned)g.strips, (unsigned)((g.units + WARPS - 1) / WARPS)), threads>>>(
            a);
    else
        pack<<<dim3((unsigned)g.units, (unsigned)((g.strips + WARPS - 1) / WARPS)), threads>>>(a);
}

__global__ void __launch_bounds__(256)
    unpack(const geometry g, const uint8_t *packed, int64_t n0, float *out)
{
    const int64_t k = (int64_t)blockIdx.x * 256 + threadIdx.x, n = n0 + blockIdx.y;
    if (k >= g.k)
        return;
    const int r = (int)(n % 8), high = (int)(n % 16 / 8), in = (int)(k % 128);
    const uint8_t *const unit = packed + (n / 16 * g.units + k / 128) * g.unit_bytes;
    const uint32_t word =
        *(const uint32_t *)(unit + in / 64 * 512 + (4 * r + in % 8 / 2) * 16 + in % 64 / 16 * 4);
    const int q = word >> (in % 2 * 16 + in % 16 / 8 * 8 + high * 4) & 15;
    const uint8_t *const pairs =
        g.packed_group != 0 ? unit + DLQ_K_W4_UNIT_WEIGHTS + in / g.packed_group * DLQ_K_W4_PAIRS
                            : packed + g.strips * g.units * g.unit_bytes + n / 16 * DLQ_K_W4_PAIRS;
    const int at = 4 * r + 2 * high;
    const uint32_t dtype = g.bf16 ? DLQ_BF16 : DLQ_F16;
    const float scale = dlq::float_at(pairs, dtype, at), zero = dlq::float_at(pairs, dtype, at + 1);
    out[(n - n0) * g.k + k] = __fmul_rn((float)q - zero, scale);
}

} // namespace

bool
wna16_fragment_plan(struct dlq_kg_wna16 *w)
{
    const struct dlq_kg_wna16_desc *const d = &w->desc;
    // Scales are kept in the activations' type: fp16 has not the range of the others.
    const bool scales_fit = d->act_dtype != DLQ_F16 || d->scale_dtype == DLQ_F16;
    if (!scales_fit || d->device.capability != 90 || d->shape.bits != 4 || d->act_order ||
        d->act_dtype == DLQ_F32 || d->activation != DLQ_KG_WNA16_AS_IS ||
        d->shape.k > INT32_MAX / 2 || d->shape.n > INT32_MAX / 2)
        return false;
    const size_t bytes =
        dlq_k_w4_packed_bytes((int)d->shape.n, (int)d->shape.k, (int)d->shape.group);
    if (bytes == 0)
        return false;
    w->form = WNA16_FRAGMENT;
    w->padded_k = (d->shape.k + 127) / 128 * 128;
    w->padded_n = (d->shape.n + 63) / 64 * 64;
    w->bytes = (int64_t)bytes;
    return true;
}

int
wna16_fragment_pack(const struct dlq_kg_wna16 *w, const struct dlq_k_grouped_source *source,
                    void *data, int64_t *bad)
{
    unsigned long long found[BAD_KINDS] = {dlq::NOTHING, dlq::NOTHING, dlq::NOTHING};
    const dlq::device_words status(found, sizeof(found));
    if (status.error != cudaSuccess)
        return (int)status.error;
    pack_args a = {};
    a.g = geometry_of(w);
    a.s = *source;
    a.out = (uint8_t *)data;
    a.scale_dtype = w->desc.scale_dtype;
    a.bad = status.data;
    launch_pack(a);
    const cudaError_t err = status.read(found, sizeof(found));
    return err != cudaSuccess ? (int)err : dlq::bad_value(found, BAD_KINDS, BAD_ZERO, bad);
}

int
wna16_fragment_unpack(const struct dlq_kg_wna16 *w, int64_t n0, int64_t rows, float *out,
                      cudaStream_t stream)
{
    const geometry g = geometry_of(w);
    for (int64_t r = 0; r < rows; r += 65535) {
        const int64_t some = rows - r < 65535 ? rows - r : 65535;
        unpack<<<dim3((unsigned)((g.k + 255) / 256), (unsigned)some), 256, 0, stream>>>(
            g, (const uint8_t *)w->data, n0 + r, out + r * g.k);
    }
    return (int)cudaGetLastError();
}

size_t
wna16_fragment_workspace(const struct dlq_kg_wna16 *w, int64_t max_m)
{
    const struct dlq_k_wna16_shape *const s = &w->desc.shape;
    return dlq_k_w4_workspace_bytes((int)s->n, (int)s->k, (int)s->group,
                                    (int)(max_m < INT32_MAX ? max_m : INT32_MAX));
}

int
wna16_fragment_apply(const struct dlq_kg_wna16 *w, const struct dlq_kg_call *call)
{
    const struct dlq_k_wna16_shape *const s = &w->desc.shape;
    struct dlq_k_w4_gemm g = {};
    g.m = (int)call->m;
    g.n = (int)s->n;
    g.k = (int)s->k;
    g.group = (int)s->group;
    g.bf16 = w->desc.act_dtype == DLQ_BF16;
    g.pdl = w->desc.device.early;
    g.packed = w->data;
    g.x = call->x;
    g.ldx = call->x_stride;
    g.y = call->y;
    g.ldy = call->y_stride;
    g.bias = call->bias;
    g.workspace = call->workspace;
    g.workspace_bytes = call->workspace_size;
    const int err = dlq_k_w4_gemm_sm90(&g, nullptr, (cudaStream_t)call->stream);
    return err < 0 ? -DLQ_K_ESHAPE : err;
}

const char *
wna16_fragment_kernel(const struct dlq_kg_wna16 *w, int64_t m)
{
    const struct dlq_k_wna16_shape *const s = &w->desc.shape;
    struct dlq_k_w4_gemm g = {};
    g.m = (int)m;
    g.n = (int)s->n;
    g.k = (int)s->k;
    g.group = (int)s->group;
    g.bf16 = w->desc.act_dtype == DLQ_BF16;
    const int kernel = dlq_k_w4_plan_find(g.k, g.n, g.m, w->desc.device.early).kernel;
    return kernel != DLQ_K_W4_WIDE            ? "wna16 sm90 mma, exact weights"
           : dlq_k_w4_plan_rounds(&g, kernel) ? "wna16 sm90 wgmma, rounded weights"
                                              : "wna16 sm90 wgmma, exact weights";
}
