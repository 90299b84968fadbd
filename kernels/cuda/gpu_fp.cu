// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "gpu_fp.cuh"

using namespace dlq::fp;

namespace
{

enum { TILES_LEAST_K = 4096 };

bool
is_fp8_row(int activation)
{
    return activation == DLQ_K_FP_FP8_TOKEN || activation == DLQ_K_FP_FP8_TENSOR ||
           activation == DLQ_K_FP_FP8_STATIC;
}

bool
takes_tiles(const struct dlq_kg_fp_desc *d)
{
    return dlq_k_w8_available() && d->device.capability == 90 && d->shape.dtype == DLQ_F8_E4M3 &&
           d->shape.group == d->shape.k && is_fp8_row(d->shape.activation) &&
           d->act_dtype != DLQ_F32 && d->shape.k >= TILES_LEAST_K && d->shape.n <= 1 << 24;
}

// Whether the product applies the scales of groups of x.
bool
scales_in_product(const struct dlq_kg_fp *w, const struct dlq_k_grouped *g)
{
    return w->desc.shape.activation == DLQ_K_FP_FP8_GROUP &&
           w->desc.shape.act_group == w->desc.shape.group && dlq_k_grouped_takes_x_scale(g);
}

// Of the rows that are multiplied.
uint32_t
value_dtype(const struct dlq_kg_fp *w, const struct dlq_k_grouped *g)
{
    switch (w->desc.shape.activation) {
    case DLQ_K_FP_NONE:
        return w->desc.act_dtype;
    case DLQ_K_FP_FP8_GROUP:
        return scales_in_product(w, g) ? DLQ_BF16 : DLQ_F32;
    default:
        return DLQ_BF16;
    }
}

} // namespace

int
dlq::fp::grouped_of(const struct dlq_kg_fp_desc *d, const void *data, struct dlq_k_grouped *out)
{
    struct dlq_k_grouped_desc desc = {};
    desc.k = d->shape.k;
    desc.n = d->shape.n;
    desc.group = d->shape.group;
    desc.code = d->shape.dtype == DLQ_F4_E2M1 ? DLQ_K_GROUPED_E2M1 : DLQ_K_GROUPED_E4M3;
    desc.scale_dtype = d->shape.scale_dtype;
    desc.factors = d->column_factors;
    const int rc = dlq_k_grouped_plan(out, &desc);
    out->data = (const uint8_t *)data;
    return rc;
}

struct dlq_k_grouped
dlq::fp::grouped_of(const struct dlq_kg_fp *w)
{
    struct dlq_k_grouped g;
    (void)grouped_of(&w->desc, w->data, &g);
    g.even_scales = w->own[OWN_EVEN_SCALES] != 0;
    return g;
}

parts
dlq::fp::parts_of(const struct dlq_kg_fp *w, int64_t m)
{
    parts p = {};
    if (w->form == TILES) {
        p.pitch = dlq::round_up(w->desc.shape.k, 16);
        p.scales = dlq::round_up(m * p.pitch, 256);
        p.tensor = p.scales + dlq::round_up(m * 4, 256);
        p.bytes = p.tensor + 256;
        return p;
    }
    p.grouped = grouped_of(w);
    const struct dlq_k_grouped &g = p.grouped;
    const bool quantized = w->desc.shape.activation != DLQ_K_FP_NONE;
    const uint32_t dtype = value_dtype(w, &g);
    p.pitch = dlq::round_up(w->desc.shape.k, 8);
    p.scales = quantized ? dlq::round_up(m * p.pitch * (int64_t)dlq_k_act_size(dtype), 256) : 0;
    p.tensor = p.scales + dlq::round_up(m * 4, 256);
    p.group_scales = p.tensor + 256;
    p.gathered = p.group_scales;
    if (scales_in_product(w, &g)) {
        p.group_pitch = dlq::round_up(m, 128);
        p.gathered += g.groups * p.group_pitch * 4;
    }
    p.product = p.gathered;
    if (!quantized || dtype == DLQ_F32 || g.order_at != 0 || g.desc.k % 8 != 0) {
        p.product += dlq::round_up(dlq_k_grouped_gather_bytes(&g, dtype, m), 256);
    }
    p.product_bytes = dlq_k_grouped_workspace(&g, w->own + OWN_SIZES, m, dtype == DLQ_F32 ? 3 : 1);
    p.bytes = p.product + (int64_t)p.product_bytes;
    return p;
}

struct dlq_k_quantize_fp
dlq::fp::quantization(const struct dlq_kg_fp *w, const void *x, int64_t x_stride, int64_t m,
                      const parts &p, char *workspace)
{
    struct dlq_k_quantize_fp a = {};
    a.x = x;
    a.m = m;
    a.k = w->desc.shape.k;
    a.x_stride = x_stride;
    a.x_dtype = w->desc.act_dtype;
    a.activation = w->desc.shape.activation;
    a.act_group = w->desc.shape.act_group;
    a.act_scale = w->desc.shape.act_scale;
    a.stride = p.pitch;
    a.row_scale = (float *)(workspace + p.scales);
    a.tensor_scale = (float *)(workspace + p.tensor);
    a.early = w->desc.device.early != 0;
    return a;
}

int
dlq::fp::quantize_tiles(const struct dlq_kg_fp *w, const void *x, int64_t x_stride, int64_t m,
                        const parts &p, char *workspace, cudaStream_t stream)
{
    const bool tensor = w->desc.shape.activation == DLQ_K_FP_FP8_TENSOR;
    struct dlq_k_quantize_act a = {};
    a.x = x;
    a.q = workspace + p.values;
    a.scale = (float *)(workspace + p.scales);
    a.m = m;
    a.k = w->desc.shape.k;
    a.ldx = x_stride;
    a.ldq = p.pitch;
    a.x_dtype = w->desc.act_dtype;
    a.kind =
        w->desc.shape.activation == DLQ_K_FP_FP8_TOKEN ? DLQ_K_ACT_F8_TOKEN : DLQ_K_ACT_F8_STATIC;
    a.pdl = w->desc.device.early != 0;
    if (tensor) {
        const struct dlq_k_quantize_fp q = quantization(w, x, x_stride, m, p, workspace);
        const int rc = dlq_k_quantize_fp_tensor_scale(&q, stream);
        if (rc != 0) {
            return rc;
        }
        a.static_scale = q.tensor_scale;
    } else if (a.kind == DLQ_K_ACT_F8_STATIC) {
        a.static_scale = dlq_fp_tiles_act_scale(w->data, w->desc.shape.n, w->desc.shape.k);
    }
    return dlq::w8_result(dlq_k_quantize_act_run(&a, stream));
}

namespace
{

int
plan(struct dlq_kg_fp *w, const struct dlq_kg_fp_desc *desc)
{
    struct dlq_k_fp sibling;
    const int result = dlq_k_fp_plan(&sibling, &desc->shape);
    if (result != DLQ_K_OK) {
        return -result;
    }
    if (!dlq_k_is_act_dtype(desc->act_dtype)) {
        return -DLQ_K_EDTYPE;
    }
    if (desc->device.capability < 80) {
        return -DLQ_K_EUNSUPPORTED;
    }
    *w = {};
    w->desc = *desc;
    if (takes_tiles(desc)) {
        w->form = TILES;
        w->padded_k = dlq::round_up(desc->shape.k, 256);
        w->padded_n = dlq::round_up(desc->shape.n, 128);
        w->bytes = dlq_fp_tiles_bytes(desc->shape.n, desc->shape.k);
        return 0;
    }
    struct dlq_k_grouped g;
    const int rc = grouped_of(desc, nullptr, &g);
    if (rc != 0) {
        return rc;
    }
    w->form = GROUPED;
    w->padded_k = g.padded_k;
    w->padded_n = g.padded_n;
    w->bytes = g.bytes;
    static_assert(OWN_SIZES + DLQ_K_GROUPED_SIZES <= sizeof(w->own) / sizeof(w->own[0]), "own");
    dlq_k_grouped_sizes(&g, desc->device.multiprocessors, w->own + OWN_SIZES);
    return 0;
}

size_t
workspace_size(const struct dlq_kg_fp *w, int64_t max_m)
{
    return max_m > 0 ? (size_t)parts_of(w, max_m).bytes : 0;
}

int
run_grouped(const struct dlq_kg_fp *w, const struct dlq_kg_call *call, const parts &p)
{
    const struct dlq_k_grouped &g = p.grouped;
    const cudaStream_t stream = (cudaStream_t)call->stream;
    char *const workspace = (char *)call->workspace;
    const bool quantized = w->desc.shape.activation != DLQ_K_FP_NONE;
    const uint32_t dtype = value_dtype(w, &g);
    const void *x = call->x;
    int64_t stride = call->x_stride;
    int rc = 0;
    if (quantized) {
        struct dlq_k_quantize_fp a =
            quantization(w, call->x, call->x_stride, call->m, p, workspace);
        a.values = workspace + p.values;
        a.group_scale = p.group_pitch > 0 ? (float *)(workspace + p.group_scales) : nullptr;
        a.group_stride = p.group_pitch;
        rc = dlq_k_quantize_fp_run(&a, stream);
        x = a.values;
        stride = p.pitch;
    }
    struct dlq_k_grouped_call c = dlq_k_grouped_call_of(call, &w->desc.device, w->desc.act_dtype);
    if (rc == 0 && !dlq_k_grouped_direct(&g, x, dtype, stride, &c.x)) {
        rc = dlq_k_grouped_gather(&g, x, dtype, stride, nullptr, call->m, workspace + p.gathered,
                                  &c.x, c.early, stream);
    }
    if (rc != 0) {
        return rc;
    }
    c.row_scale = quantized ? (const float *)(workspace + p.scales) : nullptr;
    c.x_scale = p.group_pitch > 0 ? (const float *)(workspace + p.group_scales) : nullptr;
    c.x_scale_stride = p.group_pitch;
    c.workspace = workspace + p.product;
    c.workspace_size = p.product_bytes;
    return dlq_k_grouped_run(&g, &c, stream);
}

int
run_tiles(const struct dlq_kg_fp *w, const struct dlq_kg_call *call, const parts &p)
{
    char *const workspace = (char *)call->workspace;
    const cudaStream_t stream = (cudaStream_t)call->stream;
    const int rc = quantize_tiles(w, call->x, call->x_stride, call->m, p, workspace, stream);
    if (rc != 0) {
        return rc;
    }
    struct dlq_k_w8_gemm g = {};
    g.x = workspace + p.values;
    g.w = w->data;
    g.y = call->y;
    g.x_scale = (const float *)(workspace + p.scales);
    g.w_scale = dlq_fp_tiles_scales(w->data, w->desc.shape.n, w->desc.shape.k);
    g.bias = call->bias;
    g.m = call->m;
    g.n = w->desc.shape.n;
    g.k = w->desc.shape.k;
    g.ldx = p.pitch;
    g.ldy = call->y_stride;
    g.dtype = DLQ_F8_E4M3;
    g.y_dtype = w->desc.act_dtype;
    g.bias_dtype = DLQ_F32;
    g.layout = DLQ_K_W8_TILES;
    g.accumulate = DLQ_K_W8_PROMOTED;
    g.pdl = w->desc.device.early != 0;
    return dlq::w8_result(dlq_k_w8_gemm_run(&g, nullptr, stream));
}

int
apply(const struct dlq_kg_fp *w, const struct dlq_kg_call *call)
{
    if (call->m < 0 || call->m > 1 << 24 || call->x_stride < w->desc.shape.k ||
        call->y_stride < w->desc.shape.n) {
        return -DLQ_K_ESHAPE;
    }
    if (call->m == 0) {
        return 0;
    }
    const parts p = parts_of(w, call->m);
    if (call->workspace_size < (size_t)p.bytes) {
        return -DLQ_K_ESHAPE;
    }
    return w->form == TILES ? run_tiles(w, call, p) : run_grouped(w, call, p);
}

const char *
kernel(const struct dlq_kg_fp *w, int64_t m)
{
    if (w->form == TILES) {
        return "fp sm90 wgmma e4m3";
    }
    const struct dlq_k_grouped g = grouped_of(w);
    return dlq_k_grouped_wide(&g, m, value_dtype(w, &g), scales_in_product(w, &g),
                              w->desc.act_dtype, w->desc.device.capability,
                              w->desc.device.multiprocessors)
               ? "fp wgmma"
               : "fp mma.sync";
}

const struct dlq_kg_fp_ops ops = {plan, pack, workspace_size, apply, kernel, dequantize, quantize};

} // namespace

extern "C" const struct dlq_kg_fp_ops *
dlq_kg_fp(void)
{
    return &ops;
}
