// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Weight-only integer layers: weights and int8 codes of x are those of plain C bit by bit, outputs
// within the bounds of tools/bounds.c.
extern "C" {
#include "kernels/linear_w8a8.h"
#include "kernels/pack/w4_fragment.h"
#include "tools/bounds.h"
}

#include "gpu_ops_wna16.cuh"

#include <string.h>

namespace ops
{

namespace
{

using namespace wna16;

size_t
workspace_size(const void *w, int64_t m)
{
    return dlq_kg_wna16()->workspace_size((const struct dlq_kg_wna16 *)w, m);
}

int
apply(const void *w, const struct dlq_kg_call *call)
{
    return dlq_kg_wna16()->apply((const struct dlq_kg_wna16 *)w, call);
}

void
check_weights(const pair &p)
{
    const int64_t n0 = p.l.n / 3, rows = p.l.n - n0;
    float *const gpu = (float *)malloc((size_t)(rows * p.l.k) * 4);
    const int rc = dlq_kg_wna16()->dequantize(&p.gpu, n0, rows, gpu);
    int64_t wrong = 0;
    for (int64_t i = 0; i < rows * p.l.k; i++) {
        wrong += gpu[i] != p.weights[n0 * p.l.k + i];
    }
    check(rc == 0 && wrong == 0, "%s: %ld weights differ (%d)", p.what, (long)wrong, rc);
    free(gpu);
}

void *
to_device(const void *host, int64_t bytes)
{
    void *device;
    HARNESS_CUDA(cudaMalloc(&device, (size_t)bytes));
    HARNESS_CUDA(cudaMemcpy(device, host, (size_t)bytes, cudaMemcpyHostToDevice));
    return device;
}

// Arrays in device memory give the packed bytes that those in host memory gave; on Hopper these are
// the CPU's of w4_fragment.h.
void
check_packing(const pair &p)
{
    struct dlq_kg_wna16 again = p.gpu;
    struct dlq_kg_wna16_source source = source_of(p);
    void *data;
    const struct dlq_kg_wna16_desc desc = desc_of(p);
    check(dlq_kg_wna16()->plan(&again, &desc) == 0, "%s: plan", p.what);
    HARNESS_CUDA(cudaMalloc(&data, (size_t)again.bytes));
    HARNESS_CUDA(cudaMemset(data, 0x77, (size_t)again.bytes));
    void *const codes = to_device(p.packed_codes, p.code_bytes);
    void *const zeros = p.v.zeros ? to_device(p.packed_zeros, p.zero_bytes) : nullptr;
    void *const scales = to_device(p.scales, p.scale_bytes);
    int32_t *const g_idx = p.g_idx ? (int32_t *)to_device(p.g_idx, p.l.k * 4) : nullptr;
    source.arrays.codes = codes;
    source.arrays.zeros = zeros;
    source.arrays.scales = scales;
    source.arrays.g_idx = g_idx;
    const int rc = dlq_kg_wna16()->pack(&again, &source, data, nullptr);
    const size_t bytes = (size_t)p.gpu.bytes;
    uint8_t *const a = (uint8_t *)malloc(bytes), *const b = (uint8_t *)malloc(bytes);
    HARNESS_CUDA(cudaMemcpy(a, p.gpu_data, bytes, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(cudaMemcpy(b, data, bytes, cudaMemcpyDeviceToHost));
    check(rc == 0 && again.bytes == p.gpu.bytes && memcmp(a, b, bytes) == 0,
          "%s: packing from device memory gives %d, other bytes", p.what, rc);
    // Padded words of 4 bits are dense ones.
    const bool words = p.v.layout == DLQ_K_WNA16_AWQ || p.v.layout == DLQ_K_WNA16_K_DENSE ||
                       p.v.layout == DLQ_K_WNA16_K_PADDED;
    if (strstr(dlq_kg_wna16()->kernel(&p.gpu, 1), "sm90") && words && p.v.zero_add == 0 &&
        p.v.scale_dtype == p.l.act) {
        const struct dlq_k_w4_source plain = {(int)p.l.n,
                                              (int)p.l.k,
                                              (int)p.v.group,
                                              p.l.act == DLQ_BF16,
                                              (const uint32_t *)p.packed_codes,
                                              p.v.zeros ? (const uint32_t *)p.packed_zeros
                                                        : nullptr,
                                              (const uint16_t *)p.scales};
        const int packed = p.v.layout == DLQ_K_WNA16_AWQ ? dlq_k_w4_pack_awq(&plain, b)
                                                         : dlq_k_w4_pack_ct(&plain, b);
        check(packed == 0 && memcmp(a, b, bytes) == 0, "%s: other bytes than the CPU's", p.what);
    }
    free(a);
    free(b);
    void *const device[] = {data, codes, zeros, scales, g_idx};
    for (void *each : device) {
        HARNESS_CUDA(cudaFree(each));
    }
}

bool
same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

// int8 activations: codes as plain C makes them. `x` becomes what they stand for.
void
check_codes(const pair &p, float *x)
{
    const int64_t m = p.l.m, k = p.l.k;
    const size_t size = dlq_k_act_size(p.l.act);
    struct dlq_k_w8a8 quantizer;
    check(dlq_k_w8a8_plan(&quantizer, k, p.l.n,
                          p.v.activation == DLQ_KG_WNA16_I8_TOKEN ? DLQ_K_W8A8_TOKEN
                                                                  : DLQ_K_W8A8_TOKEN_AZP,
                          1.0f, 0) == 0,
          "%s: plan of codes", p.what);
    uint8_t *const rows = (uint8_t *)malloc((size_t)(m * k) * size);
    int8_t *const gpu = (int8_t *)malloc((size_t)(m * k)), *const cpu = (int8_t *)malloc((size_t)k);
    float *const scales = (float *)malloc((size_t)m * 4);
    int32_t *const zeros = (int32_t *)malloc((size_t)m * 4);
    for (int64_t i = 0; i < m * k; i++) {
        dlq_k_store_f32(rows, p.l.act, i, x[i]);
    }
    check(dlq_kg_wna16()->quantize(&p.gpu, rows, m, gpu, scales, zeros) == 0, "%s: quantize",
          p.what);
    int64_t wrong = 0;
    for (int64_t i = 0; i < m; i++) {
        float scale;
        int32_t azp;
        dlq_k_w8a8_quantize_row(&quantizer, rows + (size_t)(i * k) * size, p.l.act, cpu, &scale,
                                &azp);
        wrong += memcmp(cpu, gpu + i * k, (size_t)k) != 0 || !same_float(scale, scales[i]) ||
                 zeros[i] != azp;
        for (int64_t j = 0; j < k; j++) {
            x[i * k + j] = (float)(cpu[j] - azp) * scale;
        }
    }
    check(wrong == 0, "%s: codes of %ld rows differ", p.what, (long)wrong);
    free(rows);
    free(gpu);
    free(cpu);
    free(scales);
    free(zeros);
}

// y64 and the sums of tools/bounds.h of one element a thread.
struct element_sums {
    double y, s, q;
};

__global__ void
reference_kernel(const float *x, const float *w, int64_t m, int64_t n, int64_t k, element_sums *out)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m * n) {
        return;
    }
    const float *const row = x + i / n * k, *const column = w + i % n * k;
    element_sums e = {0, 0, 0};
    for (int64_t j = 0; j < k; j++) {
        const double v = (double)row[j] * column[j];
        e.y += v;
        e.s += fabs(v);
        e.q += v * v;
    }
    out[i] = e;
}

element_sums *
reference(const pair &p, const float *x)
{
    const int64_t m = p.l.m, n = p.l.n, k = p.l.k;
    float *const xs = (float *)to_device(x, m * k * 4);
    float *const w = (float *)to_device(p.weights, n * k * 4);
    element_sums *device, *const host = (element_sums *)malloc((size_t)(m * n) * sizeof(*host));
    HARNESS_CUDA(cudaMalloc(&device, (size_t)(m * n) * sizeof(*device)));
    reference_kernel<<<(unsigned)((m * n + 127) / 128), 128>>>(xs, w, m, n, k, device);
    HARNESS_CUDA(cudaMemcpy(host, device, (size_t)(m * n) * sizeof(*host), cudaMemcpyDeviceToHost));
    HARNESS_CUDA(cudaFree(xs));
    HARNESS_CUDA(cudaFree(w));
    HARNESS_CUDA(cudaFree(device));
    return host;
}

// The plain C kernel's own sums in place of those above, where it does not take long.
void
use_plain_c(const pair &p, const float *x, element_sums *sums)
{
    struct dlq_k_wna16_ops op;
    struct dlq_k_linear_call c = {};
    dlq_k_wna16_init(&op, 0);
    c.m = p.l.m;
    c.x = x;
    c.x_stride = p.l.k;
    c.x_dtype = c.y_dtype = DLQ_F32;
    float *const y = (float *)malloc((size_t)(p.l.m * p.l.n) * 4);
    c.y = y;
    c.y_stride = p.l.n;
    const int64_t bytes = op.workspace_size(&p.cpu, DLQ_K_WNA16_EXACT, p.l.m, 1);
    c.workspace = aligned_alloc(DLQ_K_ALIGN, (size_t)(bytes + DLQ_K_ALIGN) / 64 * 64);
    check(op.apply(&p.cpu, DLQ_K_WNA16_EXACT, &c) == 0, "%s: apply on the CPU", p.what);
    for (int64_t i = 0; i < p.l.m * p.l.n; i++) {
        sums[i].y = y[i];
    }
    free(c.workspace);
    free(y);
}

void
judge(const pair &p, const float *x, const float *bias, const float *y)
{
    const int64_t m = p.l.m, n = p.l.n;
    element_sums *const sums = reference(p, x);
    if (m * n * p.l.k < 4000000) {
        use_plain_c(p, x, sums);
    }
    const char *const kernel = dlq_kg_wna16()->kernel(&p.gpu, m);
    struct tool_bound_facts facts = {};
    facts.arith = p.v.activation != DLQ_KG_WNA16_AS_IS ? TOOL_CODES
                  : strstr(kernel, "rounded")          ? TOOL_ROUNDED
                                                       : TOOL_EXACT;
    facts.dtype = p.l.act;
    facts.k = p.l.k;
    facts.groups = 1;
    facts.ranks = 1;
    double err2 = 0, ref2 = 0, worst = 0;
    int64_t at = -1, beyond = 0;
    for (int64_t i = 0; i < m * n; i++) {
        const double expected = sums[i].y + (p.l.bias ? (double)bias[i % n] : 0.0);
        struct tool_sums t = {};
        t.s = sums[i].s;
        t.q = sums[i].q;
        t.y = fmax(fabs(expected), fabs((double)y[i]));
        const double error = fabs((double)y[i] - expected);
        const double bound = tool_bound_element(&facts, &t);
        if (!(error <= bound)) {
            beyond++;
        }
        if (!(error / bound <= worst)) {
            worst = error / bound;
            at = i;
        }
        err2 += error * error;
        ref2 += expected * expected;
    }
    const double limit = tool_bound_norm(facts.arith, p.l.act), norm = sqrt(err2 / ref2);
    check(beyond == 0, "%s: %ld elements beyond, [%ld] %g times its bound (%s)", p.what,
          (long)beyond, (long)at, worst, kernel);
    check(limit == 0 || m * n < 1000 || norm <= limit, "%s: norm %.3g above %.3g (%s)", p.what,
          norm, limit, kernel);
    free(sums);
}

void
check_one(const layout &l, const variant &v)
{
    pair p;
    if (pair_make(&p, l, v)) {
        float *const x = (float *)malloc((size_t)(l.m * l.k) * 4);
        float *const bias = (float *)malloc((size_t)l.n * 4);
        float *const y = (float *)malloc((size_t)(l.m * l.n) * 4);
        fill_x(x, l, (uint64_t)(l.m * 3 + l.k));
        fill_bias(bias, l, 77);
        check_weights(p);
        check_packing(p);
        const layer op = {&p.gpu, workspace_size, apply, false};
        if (run_layer(op, l, x, bias, y, p.what)) {
            if (v.activation != DLQ_KG_WNA16_AS_IS) {
                check_codes(p, x);
            }
            judge(p, x, bias, y);
        }
        free(x);
        free(bias);
        free(y);
    }
    pair_free(&p);
}

// Layers of whole strips and units in words, which have packing of their own on Hopper, and a
// scale spoiled in each.
void
check_whole_units(void)
{
    static const struct {
        int64_t k, n, group;
    } shapes[] = {{128, 64, 128}, {256, 192, 32},   {384, 320, 64},  {1024, 576, 1024},
                  {1024, 64, 32}, {512, 1088, 256}, {1152, 704, 384}};
    unsigned turn = 0;
    for (const auto &s : shapes) {
        for (const auto layout_of : {DLQ_K_WNA16_AWQ, DLQ_K_WNA16_K_DENSE, DLQ_K_WNA16_K_PADDED}) {
            for (int zeros = 0; zeros < 2; zeros++, turn++) {
                const uint32_t act = turn / 2 % 2 == 0 ? DLQ_F16 : DLQ_BF16;
                const layout l = {1, s.k, s.n, act, false, false};
                const variant v = {s.group, 4, zeros != 0, layout_of,          false, 0,
                                   false,   0, act,        DLQ_KG_WNA16_AS_IS, 0};
                pair p;
                if (!GPU_SAMPLED()) {
                    continue;
                }
                if (pair_make(&p, l, v)) {
                    check_weights(p);
                    check_packing(p);
                    const struct dlq_kg_wna16_source source = source_of(p);
                    const int64_t at = p.scale_bytes / 2 - 1 - turn % 40;
                    int64_t bad = -1;
                    ((uint16_t *)p.scales)[at] = act == DLQ_F16 ? 0xfc00 : 0x7fc0;
                    const int rc = dlq_kg_wna16()->pack(&p.gpu, &source, p.gpu_data, &bad);
                    check(rc == -DLQ_K_ESCALE && bad == at, "%s: scale %ld spoiled gives %d at %ld",
                          p.what, (long)at, rc, (long)bad);
                }
                pair_free(&p);
            }
        }
    }
}

// Walks through the other choices so that each meets several shapes and row counts.
variant
variant_of(unsigned turn, const layout &l, int64_t group)
{
    static const enum dlq_k_wna16_source_layout layouts[] = {
        DLQ_K_WNA16_AWQ, DLQ_K_WNA16_K_DENSE, DLQ_K_WNA16_BYTES, DLQ_K_WNA16_K_PADDED,
        DLQ_K_WNA16_GPTQ};
    static const int capabilities[] = {0, 80, 0, 86, 80, 0, 0};
    variant v = {};
    v.group = group;
    v.layout = layouts[turn % 5];
    if (v.layout == DLQ_K_WNA16_AWQ && l.n % 8 != 0) {
        v.layout = DLQ_K_WNA16_GPTQ;
    }
    v.bits = v.layout == DLQ_K_WNA16_AWQ || turn % 4 < 2 ? 4 : turn % 4 == 2 ? 8 : 2 + turn % 7;
    v.zeros = turn % 3 != 1;
    v.signed_codes = v.layout == DLQ_K_WNA16_BYTES && turn % 2 == 0;
    v.zero_add = v.layout == DLQ_K_WNA16_GPTQ && turn % 2 == 0 && v.zeros ? 1 : 0;
    v.act_order = turn % 6 == 3;
    v.lost = v.act_order && turn % 4 == 1 ? 3 : 0;
    v.scale_dtype = turn % 8 == 5 ? (uint32_t)DLQ_F32 : turn % 8 == 2 ? (uint32_t)DLQ_F16 : l.act;
    v.activation = turn % 9 == 4   ? DLQ_KG_WNA16_I8_TOKEN
                   : turn % 9 == 7 ? DLQ_KG_WNA16_I8_TOKEN_AZP
                                   : DLQ_KG_WNA16_AS_IS;
    v.capability = capabilities[turn % 7];
    return v;
}

} // namespace

void
check_wna16(void)
{
    static const uint32_t types[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    static const int64_t rows[] = {1,  2,  3,  5,  8,  9,   16,  17,  31,
                                   32, 33, 64, 65, 97, 128, 129, 200, 257};
    static const struct {
        int64_t k, n, group;
    } shapes[] = {{128, 64, 128},   {256, 136, 64},    {172, 24, 43},   {100, 40, 25},
                  {384, 48, 32},    {1056, 8, 48},     {576, 80, 64},   {1024, 32, 1024},
                  {640, 56, 640},   {33, 16, 33},      {8, 16, 4},      {192, 72, 96},
                  {1408, 104, 128}, {4096, 320, 128},  {2048, 200, 16}, {1500, 130, 1500},
                  {3000, 66, 1000}, {200, 1, 128},     {1, 7, 1},       {2304, 1000, 256},
                  {516, 131, 43},   {9000, 130, 9000}, {4160, 264, 32}, {320, 3000, 80}};
    wna16::check_refusals();
    check_whole_units();
    unsigned turn = 0;
    for (const auto &s : shapes) {
        for (int64_t m : rows) {
            for (int pass = 0; pass < 2; pass++) {
                const layout l = {
                    m, s.k, s.n, types[(turn + turn / 18) % 3], turn % 2 != 0, turn / 2 % 3 == 0};
                if (GPU_SAMPLED()) {
                    check_one(l, variant_of(turn * 7 + turn / 24, l, s.group));
                }
                turn++;
            }
        }
    }
}

} // namespace ops
