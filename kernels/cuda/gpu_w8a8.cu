// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "gpu_w8a8.cuh"

using namespace dlq::w8a8;

namespace
{

int
act_kind(const struct dlq_kg_w8a8 *w)
{
    switch (w->desc.activation) {
    case DLQ_K_W8A8_STATIC:
        return DLQ_K_ACT_I8_STATIC;
    case DLQ_K_W8A8_STATIC_AZP:
        return DLQ_K_ACT_I8_STATIC_ASYM;
    case DLQ_K_W8A8_TOKEN_AZP:
        return DLQ_K_ACT_I8_TOKEN_ASYM;
    case DLQ_K_W8A8_TOKEN:
        break;
    }
    return DLQ_K_ACT_I8_TOKEN;
}

} // namespace

parts
dlq::w8a8::parts_of(const struct dlq_kg_w8a8 *w, int64_t m)
{
    parts p;
    struct dlq_k_w8_gemm g = {};
    g.n = w->desc.n;
    g.k = w->desc.k;
    g.dtype = DLQ_I8;
    p.pitch = dlq::round_up(w->desc.k, 16);
    // First, so that it has one address for all m: the address is its name.
    p.shared = uses_wgmma(w) ? dlq::round_up(dlq_k_w8_workspace_size(&g, m), 256) : 0;
    p.codes = p.shared;
    p.scales = p.codes + dlq::round_up(m * p.pitch, 256);
    p.zeros = p.scales + dlq::round_up(m * 4, 256);
    p.sums = p.zeros + dlq::round_up(m * 4, 256);
    p.partial = p.sums + dlq::round_up(m * 4, 256);
    p.bytes = p.partial;
    if (!uses_wgmma(w)) {
        p.bytes += dlq_k_w8_mma_workspace(w->desc.n, w->desc.k, m, w->desc.device.multiprocessors);
    }
    return p;
}

int
dlq::w8a8::quantize_rows(const struct dlq_kg_w8a8 *w, const void *x, int64_t x_stride, int64_t m,
                         const parts &p, char *workspace, cudaStream_t stream)
{
    struct dlq_k_quantize_act a = {};
    a.x = x;
    a.q = workspace + p.codes;
    a.scale = (float *)(workspace + p.scales);
    a.zero = has_azp(w) ? (int32_t *)(workspace + p.zeros) : nullptr;
    a.static_scale = is_static(w) ? at<float>(w, STATIC_AT) : nullptr;
    a.static_zero =
        w->desc.activation == DLQ_K_W8A8_STATIC_AZP ? at<int32_t>(w, STATIC_AT) + 1 : nullptr;
    a.m = m;
    a.k = w->desc.k;
    a.ldx = x_stride;
    a.ldq = p.pitch;
    a.x_dtype = w->desc.act_dtype;
    a.kind = act_kind(w);
    a.pdl = w->desc.device.early != 0;
    return dlq::w8_result(dlq_k_quantize_act_run(&a, stream));
}

struct dlq_k_w8_mma
dlq::w8a8::mma_of(const struct dlq_kg_w8a8 *w, int64_t m, const parts &p, char *workspace)
{
    struct dlq_k_w8_mma g = {};
    g.x = (const int8_t *)(workspace + p.codes);
    g.w = w->data;
    g.x_zero = has_azp(w) ? (const int32_t *)(workspace + p.zeros) : nullptr;
    g.w_sum = at<int32_t>(w, SUMS_AT);
    g.w_zero = w->own[HAS_ZEROS] ? at<int32_t>(w, ZEROS_AT) : nullptr;
    g.x_sum = (const int32_t *)(workspace + p.sums);
    g.m = m;
    g.n = w->desc.n;
    g.k = w->desc.k;
    g.ldx = p.pitch;
    g.multiprocessors = w->desc.device.multiprocessors;
    g.workspace = (int32_t *)(workspace + p.partial);
    g.early = w->desc.device.early != 0;
    return g;
}

namespace
{

int
plan(struct dlq_kg_w8a8 *w, const struct dlq_kg_w8a8_desc *desc)
{
    struct dlq_k_w8a8 sibling;
    const int result = dlq_k_w8a8_plan(&sibling, desc->k, desc->n, desc->activation,
                                       desc->act_scale, desc->act_zero);
    if (result != DLQ_K_OK) {
        return -result;
    }
    if (desc->n > 1 << 24 || (desc->asymmetric && desc->k > DLQ_K_W8A8_MAX_K_ASYMMETRIC)) {
        return -DLQ_K_ESHAPE;
    }
    if (!dlq_k_is_act_dtype(desc->act_dtype)) {
        return -DLQ_K_EDTYPE;
    }
    if (desc->device.capability < 80) {
        return -DLQ_K_EUNSUPPORTED;
    }
    *w = {};
    w->desc = *desc;
    w->desc.act_scale = sibling.act_scale;
    w->desc.act_zero = sibling.act_zero;
    w->padded_k = dlq::round_up(desc->k, 256);
    w->padded_n = dlq::round_up(desc->n, 128);
    int64_t end = dlq_k_w8_packed_size(desc->n, desc->k);
    for (int i = SCALES_AT; i <= SUMS_AT; i++) {
        w->own[i] = end;
        end += w->padded_n * 4;
    }
    w->own[STATIC_AT] = end;
    w->own[HAS_ZEROS] = desc->asymmetric;
    w->bytes = end + 256;
    return 0;
}

size_t
workspace_size(const struct dlq_kg_w8a8 *w, int64_t max_m)
{
    return max_m > 0 ? (size_t)parts_of(w, max_m).bytes : 0;
}

int
run_wgmma(const struct dlq_kg_w8a8 *w, const struct dlq_kg_call *call, const parts &p)
{
    char *const workspace = (char *)call->workspace;
    struct dlq_k_w8_gemm g = {};
    g.x = workspace + p.codes;
    g.w = w->data;
    g.y = call->y;
    g.x_scale = (const float *)(workspace + p.scales);
    g.w_scale = at<float>(w, SCALES_AT);
    g.bias = call->bias;
    if (has_azp(w)) {
        g.x_zero = (const int32_t *)(workspace + p.zeros);
        g.w_sum = at<int32_t>(w, SUMS_AT);
    } else if (w->own[HAS_ZEROS]) {
        g.x_zero = (const int32_t *)(workspace + p.sums);
        g.w_sum = at<int32_t>(w, ZEROS_AT);
    }
    g.m = call->m;
    g.n = w->desc.n;
    g.k = w->desc.k;
    g.ldx = p.pitch;
    g.ldy = call->y_stride;
    g.dtype = DLQ_I8;
    g.y_dtype = w->desc.act_dtype;
    g.bias_dtype = DLQ_F32;
    g.layout = DLQ_K_W8_TILES;
    g.accumulate = DLQ_K_W8_FAST;
    g.workspace = p.shared > 0 ? workspace : nullptr;
    g.workspace_bytes = p.shared;
    g.pdl = w->desc.device.early != 0;
    return dlq::w8_result(dlq_k_w8_gemm_run(&g, nullptr, (cudaStream_t)call->stream));
}

int
run_mma(const struct dlq_kg_w8a8 *w, const struct dlq_kg_call *call, const parts &p)
{
    char *const workspace = (char *)call->workspace;
    struct dlq_k_w8_mma g = mma_of(w, call->m, p, workspace);
    g.y = call->y;
    g.ldy = call->y_stride;
    g.y_dtype = w->desc.act_dtype;
    g.x_scale = (const float *)(workspace + p.scales);
    g.w_scale = at<float>(w, SCALES_AT);
    g.bias = call->bias;
    return dlq_k_w8_mma_run(&g, (cudaStream_t)call->stream);
}

int
apply(const struct dlq_kg_w8a8 *w, const struct dlq_kg_call *call)
{
    if (call->m < 0 || call->m > 1 << 24 || call->x_stride < w->desc.k ||
        call->y_stride < w->desc.n) {
        return -DLQ_K_ESHAPE;
    }
    if (call->m == 0) {
        return 0;
    }
    const parts p = parts_of(w, call->m);
    if (call->workspace_size < (size_t)p.bytes) {
        return -DLQ_K_ESHAPE;
    }
    const cudaStream_t stream = (cudaStream_t)call->stream;
    char *const workspace = (char *)call->workspace;
    int rc = quantize_rows(w, call->x, call->x_stride, call->m, p, workspace, stream);
    if (rc == 0 && w->own[HAS_ZEROS]) {
        rc = dlq::w8_result(dlq_k_w8_row_sums((int32_t *)(workspace + p.sums), workspace + p.codes,
                                              call->m, w->desc.k, p.pitch, stream));
    }
    if (rc != 0) {
        return rc;
    }
    return uses_wgmma(w) ? run_wgmma(w, call, p) : run_mma(w, call, p);
}

const char *
kernel(const struct dlq_kg_w8a8 *w, int64_t m)
{
    (void)m;
    return uses_wgmma(w) ? "w8a8 sm90 wgmma" : "w8a8 mma.sync";
}

const struct dlq_kg_w8a8_ops ops = {plan,   pack,       workspace_size, apply,
                                    kernel, dequantize, quantize,       accumulate};

} // namespace

extern "C" const struct dlq_kg_w8a8_ops *
dlq_kg_w8a8(void)
{
    return &ops;
}
