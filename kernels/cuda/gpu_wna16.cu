// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// dlq_kg_wna16(): the fragment form where Hopper has one, else the Marlin form where the layer has
// one, else the grouped form.
#include "gpu_device.cuh"
#include "gpu_wna16_forms.h"

#include <dlquant/types.h>
#include <stdlib.h>

extern "C" {
#include "../pack/bits.h"
}

namespace
{

int
plan(struct dlq_kg_wna16 *w, const struct dlq_kg_wna16_desc *d)
{
    if (d->shape.bits < 2 || d->shape.bits > 8 || d->activation < DLQ_KG_WNA16_AS_IS ||
        d->activation > DLQ_KG_WNA16_I8_TOKEN_AZP)
        return -DLQ_K_ESHAPE;
    if (!dlq_k_is_act_dtype(d->act_dtype) || !dlq_k_is_act_dtype(d->scale_dtype))
        return -DLQ_K_EDTYPE;
    struct dlq_kg_wna16 grouped = {}, out = {};
    grouped.desc = out.desc = *d;
    const int err = wna16_grouped_plan(&grouped);
    if (err != 0)
        return err;
    if (!wna16_fragment_plan(&out)) {
        out = grouped;
        // Packing may find that only the grouped form holds the zero points.
        if (wna16_marlin_plan(&out) && out.bytes < grouped.bytes)
            out.bytes = grouped.bytes;
    }
    *w = out;
    return 0;
}

// Bytes of a source's arrays.
struct source_bytes {
    int64_t codes, zeros, scales;
};

source_bytes
bytes_of(const struct dlq_kg_wna16_desc *d, const struct dlq_k_wna16_source *s)
{
    const int64_t n = d->shape.n, k = d->shape.k;
    const int64_t groups =
        d->shape.n_groups > 0 ? d->shape.n_groups : (k + d->shape.group - 1) / d->shape.group;
    const enum dlq_bits_layout bits =
        s->layout == DLQ_K_WNA16_K_PADDED ? DLQ_BITS_PADDED : DLQ_BITS_DENSE;
    const int64_t k_words = dlq_bits_words(bits, k, d->shape.bits);
    const int64_t n_words = dlq_bits_words(bits, n, d->shape.bits);
    source_bytes b = {4 * n * k_words, 4 * groups * n_words,
                      groups * n * (int64_t)dlq_k_act_size(d->scale_dtype)};
    if (s->layout == DLQ_K_WNA16_BYTES)
        b = {n * k, n * groups, b.scales};
    else if (s->layout == DLQ_K_WNA16_AWQ)
        b = {k * n / 2, groups * n / 2, b.scales};
    return b;
}

int32_t
grouped_layout_of(enum dlq_k_wna16_source_layout layout)
{
    switch (layout) {
    case DLQ_K_WNA16_BYTES:
        return DLQ_K_GROUPED_BYTES;
    case DLQ_K_WNA16_K_DENSE:
        return DLQ_K_GROUPED_K_DENSE;
    case DLQ_K_WNA16_K_PADDED:
        return DLQ_K_GROUPED_K_PADDED;
    case DLQ_K_WNA16_AWQ:
        return DLQ_K_GROUPED_AWQ;
    default:
        return DLQ_K_GROUPED_GPTQ;
    }
}

// With every array on the device and g_idx on the host.
int
pack_source(struct dlq_kg_wna16 *w, const struct dlq_k_grouped_source *source, void *data,
            int64_t *bad)
{
    if (w->form == WNA16_FRAGMENT)
        return wna16_fragment_pack(w, source, data, bad);
    if (w->form == WNA16_MARLIN) {
        bool wide = false;
        const int err = wna16_marlin_pack(w, source, data, &wide, bad);
        if (err != 0 || !wide)
            return err;
    }
    return wna16_grouped_pack(w, source, data, bad);
}

int
pack(struct dlq_kg_wna16 *w, const struct dlq_kg_wna16_source *source, void *data, int64_t *bad)
{
    const struct dlq_k_wna16_source *const s = &source->arrays;
    const struct dlq_k_wna16_shape *const shape = &w->desc.shape;
    int64_t ignored;
    if ((s->g_idx != nullptr) != w->desc.act_order ||
        (s->layout == DLQ_K_WNA16_AWQ && (shape->bits != 4 || shape->n % 8 != 0)) ||
        (source->signed_codes && s->layout != DLQ_K_WNA16_BYTES) || (uintptr_t)data % 256 != 0)
        return -DLQ_K_ESHAPE;
    if (s->scale_dtype != w->desc.scale_dtype)
        return -DLQ_K_EDTYPE;
    const dlq::device_scope scope(w->desc.device.index);
    if (scope.error != cudaSuccess)
        return (int)scope.error;
    const source_bytes bytes = bytes_of(&w->desc, s);
    const dlq::device_view codes(s->codes, (size_t)bytes.codes);
    const dlq::device_view zeros(shape->has_zero_points ? s->zeros : nullptr, (size_t)bytes.zeros);
    const dlq::device_view scales(s->scales, (size_t)bytes.scales);
    cudaError_t err = codes.error != cudaSuccess   ? codes.error
                      : zeros.error != cudaSuccess ? zeros.error
                                                   : scales.error;
    int32_t *g_idx = nullptr;
    if (err == cudaSuccess && s->g_idx != nullptr) {
        g_idx = (int32_t *)malloc((size_t)shape->k * sizeof(*g_idx));
        err = g_idx == nullptr ? cudaErrorMemoryAllocation
                               : cudaMemcpy(g_idx, s->g_idx, (size_t)shape->k * sizeof(*g_idx),
                                            cudaMemcpyDefault);
    }
    int result = (int)err;
    if (err == cudaSuccess) {
        struct dlq_k_grouped_source g = {};
        g.layout = grouped_layout_of(s->layout);
        g.bits = shape->bits;
        g.signed_codes = source->signed_codes;
        g.codes = codes.data;
        g.zeros = zeros.data;
        g.zero_add = s->zero_add;
        g.scales = scales.data;
        g.scale_rows = 1;
        g.scales_by_group = s->layout == DLQ_K_WNA16_AWQ || s->layout == DLQ_K_WNA16_GPTQ;
        g.group_of = g_idx;
        result = pack_source(w, &g, data, bad != nullptr ? bad : &ignored);
    }
    free(g_idx);
    if (result == 0)
        w->data = data;
    return result;
}

size_t
workspace_size(const struct dlq_kg_wna16 *w, int64_t max_m)
{
    if (max_m <= 0)
        return 0;
    if (w->form == WNA16_FRAGMENT)
        return wna16_fragment_workspace(w, max_m);
    const size_t grouped = wna16_grouped_workspace(w, max_m);
    const size_t marlin = w->form == WNA16_MARLIN ? wna16_marlin_workspace(w, max_m) : 0;
    return marlin > grouped ? marlin : grouped;
}

int
apply(const struct dlq_kg_wna16 *w, const struct dlq_kg_call *call)
{
    const struct dlq_k_wna16_shape *const shape = &w->desc.shape;
    if (call->m < 0 || call->m > INT32_MAX / 8 || call->x_stride < shape->k ||
        call->y_stride < shape->n)
        return -DLQ_K_ESHAPE;
    if (call->m == 0)
        return 0;
    if (call->workspace_size < workspace_size(w, call->m))
        return -DLQ_K_ESHAPE;
    if (w->form == WNA16_FRAGMENT)
        return wna16_fragment_apply(w, call);
    if (w->form == WNA16_MARLIN)
        return wna16_marlin_apply(w, call);
    return wna16_grouped_apply(w, call);
}

const char *
kernel(const struct dlq_kg_wna16 *w, int64_t m)
{
    if (w->form == WNA16_FRAGMENT)
        return wna16_fragment_kernel(w, m);
    if (w->form == WNA16_MARLIN)
        return wna16_marlin_kernel(w, m);
    return wna16_grouped_kernel(w, m);
}

const char *
why_generic(const struct dlq_kg_wna16 *w)
{
    const struct dlq_kg_wna16_desc *const d = &w->desc;
    if (w->form != WNA16_GROUPED)
        return "";
    if (d->activation != DLQ_KG_WNA16_AS_IS)
        return "x is quantized";
    if (d->act_dtype == DLQ_F32)
        return "x is fp32";
    if (d->act_order)
        return "act order";
    if (d->shape.bits != 4 && (d->shape.bits != 8 || d->device.capability >= 90))
        return "not of 4 bits";
    if (d->shape.bits == 8 && d->shape.has_zero_points)
        return "8 bits with zero points";
    if (d->act_dtype == DLQ_F16 && d->scale_dtype != DLQ_F16)
        return "scales may be beyond fp16";
    if (d->shape.group % 32 != 0 && d->shape.group < d->shape.k)
        return "groups are no multiple of 32";
    return "a zero point is beyond 4 bits";
}

int
dequantize(const struct dlq_kg_wna16 *w, int64_t n0, int64_t rows, float *out)
{
    const int64_t k = w->desc.shape.k;
    if (n0 < 0 || rows < 0 || n0 + rows > w->desc.shape.n)
        return -DLQ_K_ESHAPE;
    const dlq::device_scope scope(w->desc.device.index);
    if (scope.error != cudaSuccess)
        return (int)scope.error;
    const int64_t slice = (16 << 20) / k + 1;
    const dlq::device_memory memory((rows < slice ? rows : slice) * k * 4);
    float *const device = memory.as<float>();
    int err = (int)memory.error;
    for (int64_t r = 0; r < rows && err == 0; r += slice) {
        const int64_t some = rows - r < slice ? rows - r : slice;
        err = w->form == WNA16_FRAGMENT ? wna16_fragment_unpack(w, n0 + r, some, device, nullptr)
              : w->form == WNA16_MARLIN ? wna16_marlin_unpack(w, n0 + r, some, device, nullptr)
                                        : wna16_grouped_unpack(w, n0 + r, some, device, nullptr);
        if (err == 0)
            err = (int)cudaMemcpy(out + r * k, device, (size_t)(some * k * 4),
                                  cudaMemcpyDeviceToHost);
    }
    return err;
}

const struct dlq_kg_wna16_ops ops = {plan,   pack,        workspace_size, apply,
                                     kernel, why_generic, dequantize,     wna16_grouped_quantize};

} // namespace

extern "C" const struct dlq_kg_wna16_ops *
dlq_kg_wna16(void)
{
    return &ops;
}
