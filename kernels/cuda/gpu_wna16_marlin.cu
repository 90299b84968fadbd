// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// dlq_kg_wna16() in the Marlin layout: every layer that it can hold and that has no form of its own
// on the device.
#include "gpu_device.cuh"
#include "gpu_wna16_forms.h"
#include "grouped_codes.cuh"
#include "marlin_pack.cuh"

#include <cuda_bf16.h>

namespace
{

enum { BAD_SCALE, BAD_ZERO, BAD_CODE, BAD_WIDE, BAD_KINDS };

// The values of a source, and where the first one is that cannot be.
struct source_reader {
    struct dlq_k_grouped_source s;
    int64_t n_columns, k_rows, groups;
    uint32_t scale_dtype;
    bool bf16;
    unsigned long long *bad; // [BAD_KINDS]

    __device__ __forceinline__ uint32_t code(int64_t n, int64_t k) const
    {
        const uint32_t q = dlq::code_at(s, true, n_columns, k_rows, n, k);
        if (q >> s.bits)
            dlq::note_bad(bad + BAD_CODE, n * k_rows + k);
        return q & ((1u << s.bits) - 1);
    }

    __device__ __forceinline__ uint32_t zero(int64_t n, int64_t g) const
    {
        const uint32_t stored = dlq::zero_at(s, n_columns, groups, n, g);
        const int z = stored > 255 ? 256 : (int)stored + s.zero_add, most = 1 << s.bits;
        if (z < 0 || z > most)
            dlq::note_bad(bad + BAD_ZERO, s.scales_by_group ? g * n_columns + n : n * groups + g);
        else if (z == most) // right, and more than a nibble holds
            dlq::note_bad(bad + BAD_WIDE, 0);
        return (uint32_t)z & (uint32_t)(most - 1);
    }

    __device__ __forceinline__ uint16_t scale(int64_t n, int64_t g) const
    {
        const int64_t i = s.scales_by_group ? g * n_columns + n : n * groups + g;
        const float v = dlq::float_at(s.scales, scale_dtype, i);
        const uint16_t bits = bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(v))
                                   : __half_as_ushort(__float2half_rn(v));
        const uint16_t special = bf16 ? 0x7f80 : 0x7c00;
        if ((bits & special) == special)
            dlq::note_bad(bad + BAD_SCALE, i);
        return bits;
    }
};

bool
layer_of(const struct dlq_kg_wna16 *w, struct dlq_marlin_layer *layer)
{
    const struct dlq_k_wna16_shape *const s = &w->desc.shape;
    return dlq_marlin_plan(layer, s->n, s->k, s->group, s->bits, s->has_zero_points, false) ==
           DLQ_MARLIN_OK;
}

__global__ void __launch_bounds__(256) unpack(const __grid_constant__ struct dlq_marlin_layer l,
                                              const char *packed, bool bf16, int64_t n0, float *out)
{
    const int64_t k = (int64_t)blockIdx.x * 256 + threadIdx.x, n = n0 + blockIdx.y;
    if (k >= l.k)
        return;
    const int row = (int)(k % 16), column = (int)(n % 64);
    const int lane = column % 8 * 4 + row % 8 / 2, upper = column % 16 / 8;
    const int v = row % 2 + row / 8 * 2; // of the four rows of a lane
    const int64_t tile = k / 16 * (l.n_padded / 64) + n / 64;
    const uint32_t *const words = (const uint32_t *)packed;
    const bool grouped = l.packed_group > 0;
    const int64_t g = grouped ? k / l.packed_group : 0;
    int q, z;
    if (l.bits == 4) {
        q = words[tile * 128 + 4 * lane + column / 16] >> 4 * (v % 2 * 4 + v / 2 + 2 * upper) & 15;
        const int slot = column / 8 % 2 * 4 + column / 16;
        z = l.has_zero_points
                ? ((const uint32_t *)(packed + l.zeros_at))[g * (l.n_padded / 8) + n / 64 * 8 +
                                                            column % 8] >>
                          4 * slot &
                      15
                : 8;
    } else {
        q = words[tile * 256 + 8 * lane + 2 * (column / 16) + upper] >> 8 * (v % 2 * 2 + v / 2) &
            255;
        z = 128;
    }
    const int64_t at = grouped
                           ? n / 64 * 64 + column % 8 * 8 + column / 8
                           : n / 32 * 32 + column % 8 / 2 * 8 + column % 32 / 8 * 2 + column % 2;
    const float scale =
        dlq::float_at(packed + l.scales_at, bf16 ? DLQ_BF16 : DLQ_F16, g * l.n_padded + at);
    out[(n - n0) * l.k + k] = __fmul_rn((float)(q - z), scale);
}

struct dlq_k_marlin_gemm
gemm_of(const struct dlq_kg_wna16 *w, const struct dlq_marlin_layer *layer, int64_t m)
{
    struct dlq_k_marlin_gemm g = {};
    g.layer = layer;
    g.packed = w->data;
    g.m = (int)m;
    g.bf16 = w->desc.act_dtype == DLQ_BF16;
    g.capability = w->desc.device.capability;
    g.sms = w->desc.device.multiprocessors;
    g.pdl = w->desc.device.early;
    return g;
}

} // namespace

bool
wna16_marlin_plan(struct dlq_kg_wna16 *w)
{
    const struct dlq_kg_wna16_desc *const d = &w->desc;
    struct dlq_marlin_layer layer;
    // Scales are kept in the type of x: fp16 has not the range of the others.
    const bool eight_bits = d->shape.bits == 8 && d->device.capability < 90;
    if ((d->shape.bits != 4 && !eight_bits) || d->act_order || d->act_dtype == DLQ_F32 ||
        d->activation != DLQ_KG_WNA16_AS_IS ||
        (d->act_dtype == DLQ_F16 && d->scale_dtype != DLQ_F16) || !layer_of(w, &layer))
        return false;
    w->form = WNA16_MARLIN;
    w->padded_k = layer.k_padded;
    w->padded_n = layer.n_padded;
    w->bytes = layer.bytes;
    return true;
}

int
wna16_marlin_pack(const struct dlq_kg_wna16 *w, const struct dlq_k_grouped_source *source,
                  void *data, bool *wide, int64_t *bad)
{
    unsigned long long found[BAD_KINDS] = {dlq::NOTHING, dlq::NOTHING, dlq::NOTHING, dlq::NOTHING};
    struct dlq_marlin_layer layer;
    (void)layer_of(w, &layer);
    const dlq::device_words status(found, sizeof(found));
    if (status.error != cudaSuccess)
        return (int)status.error;
    const int64_t groups = (layer.k + layer.group - 1) / layer.group;
    const source_reader reader = {
        *source,    layer.n, layer.k, groups, w->desc.scale_dtype, w->desc.act_dtype == DLQ_BF16,
        status.data};
    int err = dlq::marlin_pack_layer(&layer, reader, data, nullptr);
    if (err == 0)
        err = (int)cudaMemsetAsync((char *)data + layer.bytes, 0, (size_t)(w->bytes - layer.bytes),
                                   nullptr);
    if (err == 0)
        err = (int)status.read(found, sizeof(found));
    if (err != 0)
        return err;
    *wide = found[BAD_WIDE] != dlq::NOTHING;
    return dlq::bad_value(found, BAD_WIDE, BAD_ZERO, bad);
}

int
wna16_marlin_unpack(const struct dlq_kg_wna16 *w, int64_t n0, int64_t rows, float *out,
                    cudaStream_t stream)
{
    struct dlq_marlin_layer layer;
    (void)layer_of(w, &layer);
    for (int64_t r = 0; r < rows; r += 65535) {
        const int64_t some = rows - r < 65535 ? rows - r : 65535;
        unpack<<<dim3((unsigned)((layer.k + 255) / 256), (unsigned)some), 256, 0, stream>>>(
            layer, (const char *)w->data, w->desc.act_dtype == DLQ_BF16, n0 + r, out + r * layer.k);
    }
    return (int)cudaGetLastError();
}

size_t
wna16_marlin_workspace(const struct dlq_kg_wna16 *w, int64_t max_m)
{
    struct dlq_marlin_layer layer;
    (void)layer_of(w, &layer);
    return dlq_k_marlin_workspace_bytes(&layer, (int)max_m, w->desc.device.multiprocessors);
}

int
wna16_marlin_apply(const struct dlq_kg_wna16 *w, const struct dlq_kg_call *call)
{
    struct dlq_marlin_layer layer;
    (void)layer_of(w, &layer);
    struct dlq_k_marlin_gemm g = gemm_of(w, &layer, call->m);
    g.x = call->x;
    g.ldx = call->x_stride;
    g.y = call->y;
    g.ldy = call->y_stride;
    g.bias = call->bias;
    g.workspace = call->workspace;
    g.workspace_bytes = call->workspace_size;
    const int err = dlq_k_marlin_gemm(&g, nullptr, (cudaStream_t)call->stream);
    return err < 0 ? -DLQ_K_ESHAPE : err;
}

const char *
wna16_marlin_kernel(const struct dlq_kg_wna16 *w, int64_t m)
{
    struct dlq_marlin_layer layer;
    struct dlq_k_marlin_plan plan;
    (void)layer_of(w, &layer);
    const struct dlq_k_marlin_gemm g = gemm_of(w, &layer, m);
    return dlq_k_marlin_resolve(&g, nullptr, &plan) == 0 && dlq_k_marlin_rounds(&layer, &plan)
               ? "wna16 mma marlin, rounded weights"
               : "wna16 mma marlin, exact weights";
}
