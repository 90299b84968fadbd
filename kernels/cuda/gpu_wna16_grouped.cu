// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// dlq_kg_wna16() in the grouped form, whose x may have to be quantized, gathered or cut into parts
// first.
#include "gpu_device.cuh"
#include "gpu_wna16_forms.h"
#include "grouped_layout.h"
#include "w8.h"

#include <dlquant/types.h>

namespace
{

// Rows whose x is brought into packed order at a time: bounds the workspace.
constexpr int64_t GATHERED_ROWS = 1024, PARTED_ROWS = 256;

int64_t
align(int64_t bytes)
{
    return dlq::round_up(bytes, 256);
}

// What own[] keeps of a packed grouped form: what packing may change, and dlq_k_grouped_sizes().
enum { OWN_PADDED_K, OWN_GROUPS, OWN_BLOCK_GROUPS, OWN_EVEN_SCALES, OWN_SIZES };

int
grouped_of(const struct dlq_kg_wna16_desc *d, struct dlq_k_grouped *g)
{
    struct dlq_k_grouped_desc desc = {};
    desc.k = d->shape.k;
    desc.n = d->shape.n;
    desc.group = d->shape.group;
    desc.n_groups = d->shape.n_groups;
    desc.code = d->shape.bits <= 4 ? DLQ_K_GROUPED_U4 : DLQ_K_GROUPED_U8;
    desc.scale_dtype = d->scale_dtype;
    desc.zeros = d->shape.has_zero_points;
    desc.zero = 1 << (d->shape.bits - 1);
    desc.act_order = d->act_order;
    return dlq_k_grouped_plan(g, &desc);
}

struct dlq_k_grouped
packed_of(const struct dlq_kg_wna16 *w)
{
    struct dlq_k_grouped g;
    (void)grouped_of(&w->desc, &g);
    g.padded_k = w->own[OWN_PADDED_K];
    g.groups = w->own[OWN_GROUPS];
    g.block_groups = (int32_t)w->own[OWN_BLOCK_GROUPS];
    g.even_scales = w->own[OWN_EVEN_SCALES] != 0;
    grouped_lay_out(&g);
    g.data = (const uint8_t *)w->data;
    return g;
}

void
keep(struct dlq_kg_wna16 *w, const struct dlq_k_grouped *g)
{
    w->padded_k = g->padded_k;
    w->padded_n = g->padded_n;
    w->own[OWN_PADDED_K] = g->padded_k;
    w->own[OWN_GROUPS] = g->groups;
    w->own[OWN_BLOCK_GROUPS] = g->block_groups;
    w->own[OWN_EVEN_SCALES] = g->even_scales;
    static_assert(OWN_SIZES + DLQ_K_GROUPED_SIZES <= sizeof(w->own) / sizeof(w->own[0]), "own");
    dlq_k_grouped_sizes(g, w->desc.device.multiprocessors, w->own + OWN_SIZES);
}

// Where the parts of a workspace begin.
struct scratch {
    int64_t rows, scales, zeros, codes, sums, end;
};

bool
quantized(const struct dlq_kg_wna16 *w)
{
    return w->desc.activation != DLQ_KG_WNA16_AS_IS;
}

int32_t
parts_of(const struct dlq_kg_wna16 *w)
{
    return w->desc.act_dtype == DLQ_F32 && !quantized(w) ? 3 : 1;
}

int64_t
code_pitch(const struct dlq_kg_wna16 *w)
{
    return dlq::round_up(w->desc.shape.k, 16);
}

// Rows of x that one product takes where x is not used as it lies.
int64_t
slice_of(const struct dlq_kg_wna16 *w, int64_t m)
{
    const int64_t most = parts_of(w) > 1 ? PARTED_ROWS : GATHERED_ROWS;
    return m < most ? m : most;
}

scratch
scratch_of(const struct dlq_kg_wna16 *w, const struct dlq_k_grouped *g, int64_t max_m)
{
    const int64_t slice = slice_of(w, max_m), parts = parts_of(w);
    const uint32_t dtype = quantized(w) ? (uint32_t)DLQ_I8 : w->desc.act_dtype;
    scratch s = {};
    s.scales = align(dlq_k_grouped_gather_bytes(g, dtype, slice));
    s.zeros = s.scales + (quantized(w) ? align(slice * 4) : 0);
    s.codes = s.zeros + (quantized(w) ? align(slice * 4) : 0);
    s.sums = s.codes + (quantized(w) ? align(slice * code_pitch(w)) : 0);
    // Rows that are used as they lie are multiplied all at once.
    const int64_t sums = parts > 1 || quantized(w) ? slice : max_m;
    s.end = s.sums +
            align((int64_t)dlq_k_grouped_workspace(g, w->own + OWN_SIZES, sums, (int32_t)parts));
    return s;
}

int
quantize_rows(const struct dlq_kg_wna16 *w, const void *x, int64_t stride, int64_t m, void *codes,
              float *scales, int32_t *zeros, cudaStream_t stream)
{
    const bool azp = w->desc.activation == DLQ_KG_WNA16_I8_TOKEN_AZP;
    struct dlq_k_quantize_act q = {};
    q.x = x;
    q.q = codes;
    q.scale = scales;
    q.zero = azp ? zeros : nullptr;
    q.m = m;
    q.k = w->desc.shape.k;
    q.ldx = stride;
    q.ldq = code_pitch(w);
    q.x_dtype = w->desc.act_dtype;
    q.kind = azp ? DLQ_K_ACT_I8_TOKEN_ASYM : DLQ_K_ACT_I8_TOKEN;
    q.pdl = w->desc.device.early != 0;
    const int err = dlq_k_quantize_act_run(&q, stream);
    return err < 0 ? -DLQ_K_ESHAPE : err;
}

// Rows of one product: as they lie, or with `rows` NULL through the workspace.
int
apply_slice(const struct dlq_kg_wna16 *w, const struct dlq_k_grouped *g, const scratch *s,
            const struct dlq_kg_call *call, const struct dlq_k_grouped_rows *rows)
{
    const cudaStream_t stream = (cudaStream_t)call->stream;
    uint8_t *const work = (uint8_t *)call->workspace;
    float *const scales = (float *)(work + s->scales);
    int32_t *const zeros = (int32_t *)(work + s->zeros);
    const bool azp = w->desc.activation == DLQ_KG_WNA16_I8_TOKEN_AZP;
    struct dlq_k_grouped_call c = dlq_k_grouped_call_of(call, &w->desc.device, w->desc.act_dtype);
    int err = 0;
    if (rows != nullptr) {
        c.x = *rows;
    } else if (quantized(w)) {
        err = quantize_rows(w, call->x, call->x_stride, call->m, work + s->codes, scales, zeros,
                            stream);
        if (err == 0)
            err = dlq_k_grouped_gather(g, work + s->codes, DLQ_I8, code_pitch(w),
                                       azp ? zeros : nullptr, call->m, work, &c.x, c.early, stream);
        c.row_scale = scales;
    } else {
        err = dlq_k_grouped_gather(g, call->x, w->desc.act_dtype, call->x_stride, nullptr, call->m,
                                   work, &c.x, c.early, stream);
    }
    if (err != 0)
        return err;
    c.workspace = work + s->sums;
    c.workspace_size = (size_t)(s->end - s->sums);
    return dlq_k_grouped_run(g, &c, stream);
}

// What wna16_grouped_quantize() brings back from the device.
int
quantize_back(const struct dlq_kg_wna16 *w, const void *x, int64_t m, uint8_t *work,
              const scratch *s, int8_t *codes, float *scales, int32_t *zeros)
{
    const int64_t k = w->desc.shape.k, pitch = code_pitch(w);
    int err = (int)cudaMemset(work, 0, (size_t)s->codes);
    if (err == 0)
        err = quantize_rows(w, x, k, m, work + s->codes, (float *)(work + s->scales),
                            (int32_t *)(work + s->zeros), nullptr);
    if (err == 0)
        err = (int)cudaMemcpy2D(codes, (size_t)k, work + s->codes, (size_t)pitch, (size_t)k,
                                (size_t)m, cudaMemcpyDeviceToHost);
    if (err == 0)
        err = (int)cudaMemcpy(scales, work + s->scales, (size_t)m * 4, cudaMemcpyDeviceToHost);
    if (err == 0 && zeros != nullptr)
        err = (int)cudaMemcpy(zeros, work + s->zeros, (size_t)m * 4, cudaMemcpyDeviceToHost);
    return err;
}

} // namespace

int
wna16_grouped_plan(struct dlq_kg_wna16 *w)
{
    struct dlq_k_grouped g;
    const int err = grouped_of(&w->desc, &g);
    if (err != 0)
        return err;
    if (w->desc.device.capability < 80)
        return -DLQ_K_EUNSUPPORTED;
    keep(w, &g);
    w->form = WNA16_GROUPED;
    w->bytes = g.bytes;
    return 0;
}

int
wna16_grouped_pack(struct dlq_kg_wna16 *w, const struct dlq_k_grouped_source *source, void *data,
                   int64_t *bad)
{
    struct dlq_k_grouped g = packed_of(w);
    const int err = dlq_k_grouped_pack(&g, source, data, bad);
    if (err == 0) {
        w->form = WNA16_GROUPED;
        keep(w, &g);
    }
    return err;
}

int
wna16_grouped_unpack(const struct dlq_kg_wna16 *w, int64_t n0, int64_t rows, float *out,
                     cudaStream_t stream)
{
    const struct dlq_k_grouped g = packed_of(w);
    return dlq_k_grouped_unpack(&g, n0, rows, out, stream);
}

size_t
wna16_grouped_workspace(const struct dlq_kg_wna16 *w, int64_t max_m)
{
    const struct dlq_k_grouped g = packed_of(w);
    return (size_t)scratch_of(w, &g, max_m).end;
}

int
wna16_grouped_apply(const struct dlq_kg_wna16 *w, const struct dlq_kg_call *call)
{
    const struct dlq_k_grouped g = packed_of(w);
    const scratch s = scratch_of(w, &g, call->m);
    const uint32_t dtype = w->desc.act_dtype;
    struct dlq_k_grouped_rows rows;
    if (!quantized(w) && dlq_k_grouped_direct(&g, call->x, dtype, call->x_stride, &rows))
        return apply_slice(w, &g, &s, call, &rows);
    struct dlq_kg_call slice = *call;
    int err = 0;
    for (int64_t m = 0; m < call->m && err == 0; m += slice.m) {
        slice.m = slice_of(w, call->m - m);
        slice.x = (const uint8_t *)call->x + m * call->x_stride * (int64_t)dlq_k_act_size(dtype);
        slice.y = (uint8_t *)call->y + m * call->y_stride * (int64_t)dlq_k_act_size(dtype);
        err = apply_slice(w, &g, &s, &slice, nullptr);
    }
    return err;
}

const char *
wna16_grouped_kernel(const struct dlq_kg_wna16 *w, int64_t m)
{
    const struct dlq_k_grouped g = packed_of(w);
    const uint32_t dtype = quantized(w) ? (uint32_t)DLQ_F16 : w->desc.act_dtype;
    if (dlq_k_grouped_wide(&g, m, dtype, false, w->desc.act_dtype, w->desc.device.capability,
                           w->desc.device.multiprocessors))
        return quantized(w) ? "wna16 wgmma, int8 codes" : "wna16 wgmma, exact weights";
    return quantized(w)        ? "wna16 mma, int8 codes"
           : parts_of(w) > 1   ? "wna16 mma, exact weights, x in three parts"
           : w->desc.act_order ? "wna16 mma, exact weights, act order"
                               : "wna16 mma, exact weights";
}

int
wna16_grouped_quantize(const struct dlq_kg_wna16 *w, const void *x, int64_t m, int8_t *codes,
                       float *scales, int32_t *zeros)
{
    if (!quantized(w))
        return -DLQ_K_EUNSUPPORTED;
    if (m <= 0)
        return m == 0 ? 0 : -DLQ_K_ESHAPE;
    const dlq::device_scope scope(w->desc.device.index);
    if (scope.error != cudaSuccess)
        return (int)scope.error;
    const int64_t k = w->desc.shape.k;
    const dlq::device_view rows(x, (size_t)(m * k) * dlq_k_act_size(w->desc.act_dtype));
    scratch s = {};
    s.zeros = align(m * 4);
    s.codes = 2 * s.zeros;
    const dlq::device_memory work(s.codes + m * code_pitch(w));
    if (rows.error != cudaSuccess || work.error != cudaSuccess)
        return (int)(rows.error != cudaSuccess ? rows.error : work.error);
    return quantize_back(w, rows.data, m, work.as<uint8_t>(), &s, codes, scales, zeros);
}
