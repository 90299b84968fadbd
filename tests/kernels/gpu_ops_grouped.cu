// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Grouped products of fp8 and fp4 weights (kernels/cuda/grouped_gemm.h), which no operation's own
// checks reach with every kind of scale: weights are those of plain C, outputs within the bounds.
extern "C" {
#include "kernels/linear_fp.h"
#include "tools/bounds.h"
}
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/grouped_layout.h"

#include "gpu_ops.cuh"

namespace ops
{

namespace
{

struct variant {
    uint32_t dtype, scale_dtype;
    int64_t group, scale_rows;
    bool factors;
};

struct pair {
    layout l;
    variant v;
    int64_t groups, scale_count, code_bytes;
    uint8_t *codes;
    void *scales;
    float *factors; // or NULL
    struct dlq_k_fp cpu;
    void *cpu_data;
    float *weights; // [n, k], the CPU's
    struct dlq_k_grouped gpu;
    uint8_t *gpu_data;
    char what[160];
};

int64_t
scale_size(uint32_t dtype)
{
    return DLQ_DTYPE_BITS(dtype) / 8;
}

void
fill_values(pair *p)
{
    const int64_t k = p->l.k, n = p->l.n;
    uint64_t state = (uint64_t)(k * 31 + n);
    p->groups = (k + p->v.group - 1) / p->v.group;
    p->scale_count = (n + p->v.scale_rows - 1) / p->v.scale_rows * p->groups;
    p->code_bytes = p->v.dtype == DLQ_F8_E4M3 ? n * k : n * k / 2;
    p->codes = (uint8_t *)malloc((size_t)p->code_bytes);
    p->scales = malloc((size_t)(p->scale_count * scale_size(p->v.scale_dtype)));
    p->factors = p->v.factors ? (float *)malloc((size_t)n * 4) : nullptr;
    for (int64_t i = 0; i < p->code_bytes; i++) {
        const uint8_t code = (uint8_t)random_word(&state);
        p->codes[i] = p->v.dtype == DLQ_F8_E4M3 && (code & 127) == 127 ? 0x7e : code;
    }
    for (int64_t i = 0; i < p->scale_count; i++) {
        const uint32_t word = random_word(&state);
        uint8_t *const bytes = (uint8_t *)p->scales;
        if (p->v.scale_dtype == DLQ_F8_E4M3) {
            bytes[i] = (uint8_t)(word % 0x7f);
        } else if (p->v.scale_dtype == DLQ_F8_E8M0) {
            bytes[i] = (uint8_t)(i == 3 ? 0 : 118 + word % 10);
        } else {
            dlq_k_store_f32(p->scales, p->v.scale_dtype, i, 0.01f * random_normal(&state));
        }
    }
    for (int64_t i = 0; i < n && p->factors; i++) {
        p->factors[i] = 1.0f + 0.5f * random_normal(&state);
    }
}

void *
to_device(const void *host, int64_t bytes)
{
    void *device = nullptr;
    if (host != nullptr) {
        HARNESS_CUDA(cudaMalloc(&device, (size_t)bytes));
        HARNESS_CUDA(cudaMemcpy(device, host, (size_t)bytes, cudaMemcpyHostToDevice));
    }
    return device;
}

void
pack_on_cpu(pair *p)
{
    struct dlq_k_fp_shape s = {};
    s.k = p->l.k;
    s.n = p->l.n;
    s.dtype = p->v.dtype;
    s.scale_dtype = p->v.scale_dtype;
    s.group = p->v.group;
    s.scale_rows = p->v.scale_rows;
    check(dlq_k_fp_plan(&p->cpu, &s) == 0, "%s: plan on the CPU", p->what);
    p->cpu_data = aligned_alloc(DLQ_K_ALIGN, (size_t)(p->cpu.bytes + 63) / 64 * 64);
    check(dlq_k_fp_pack(&p->cpu, p->codes, p->scales, p->factors, p->cpu_data, nullptr, nullptr) ==
              0,
          "%s: pack on the CPU", p->what);
    p->weights = (float *)malloc((size_t)(p->l.n * p->l.k) * 4);
    dlq_k_fp_dequantize(&p->cpu, 0, p->l.n, p->weights);
}

bool
pack_on_gpu(pair *p, int64_t *bad)
{
    struct dlq_k_grouped_desc d = {};
    d.k = p->l.k;
    d.n = p->l.n;
    d.group = p->v.group;
    d.code = p->v.dtype == DLQ_F8_E4M3 ? DLQ_K_GROUPED_E4M3 : DLQ_K_GROUPED_E2M1;
    d.scale_dtype = p->v.scale_dtype;
    d.factors = p->v.factors;
    int rc = dlq_k_grouped_plan(&p->gpu, &d);
    check(rc == 0, "%s: plan gives %d", p->what, rc);
    struct dlq_k_grouped_source s = {};
    void *const codes = to_device(p->codes, p->code_bytes);
    void *const scales = to_device(p->scales, p->scale_count * scale_size(p->v.scale_dtype));
    void *const factors = to_device(p->factors, p->l.n * 4);
    s.layout = p->v.dtype == DLQ_F8_E4M3 ? DLQ_K_GROUPED_BYTES : DLQ_K_GROUPED_NIBBLES;
    s.codes = codes;
    s.scales = scales;
    s.scale_rows = p->v.scale_rows;
    s.factors = (const float *)factors;
    HARNESS_CUDA(cudaMalloc(&p->gpu_data, (size_t)p->gpu.bytes));
    rc = dlq_k_grouped_pack(&p->gpu, &s, p->gpu_data, bad);
    HARNESS_CUDA(cudaFree(codes));
    HARNESS_CUDA(cudaFree(scales));
    HARNESS_CUDA(cudaFree(factors));
    return rc == 0;
}

void
pair_free(pair *p)
{
    void *const host[] = {p->codes, p->scales, p->factors, p->cpu_data, p->weights};
    for (void *each : host) {
        free(each);
    }
    HARNESS_CUDA(cudaFree(p->gpu_data));
}

void
check_weights(const pair &p)
{
    const int64_t count = p.l.n * p.l.k;
    float *device, *const host = (float *)malloc((size_t)count * 4);
    HARNESS_CUDA(cudaMalloc(&device, (size_t)count * 4));
    const int rc = dlq_k_grouped_unpack(&p.gpu, 0, p.l.n, device, nullptr);
    HARNESS_CUDA(cudaMemcpy(host, device, (size_t)count * 4, cudaMemcpyDeviceToHost));
    int64_t wrong = 0, first = -1;
    for (int64_t i = 0; i < count; i++) {
        if (host[i] != p.weights[i]) {
            first = wrong++ == 0 ? i : first;
        }
    }
    check(rc == 0 && wrong == 0, "%s: %ld weights differ, [%ld] %g not %g", p.what, (long)wrong,
          (long)first, first < 0 ? 0.0 : (double)host[first],
          first < 0 ? 0.0 : (double)p.weights[first]);
    HARNESS_CUDA(cudaFree(device));
    free(host);
}

struct context {
    const pair *p;
    const float *row_scale;
};

size_t
workspace_size(const void *w, int64_t m)
{
    const pair *const p = ((const context *)w)->p;
    const int parts = p->l.act == DLQ_F32 ? 3 : 1;
    const size_t rows = (size_t)dlq_k_grouped_gather_bytes(&p->gpu, p->l.act, m);
    int64_t sizes[DLQ_K_GROUPED_SIZES];
    dlq_k_grouped_sizes(&p->gpu, device_info().multiprocessors, sizes);
    return (rows + 255) / 256 * 256 + dlq_k_grouped_workspace(&p->gpu, sizes, m, parts);
}

int
apply(const void *w, const struct dlq_kg_call *call)
{
    const context *const c = (const context *)w;
    const pair *const p = c->p;
    const cudaStream_t stream = (cudaStream_t)call->stream;
    const size_t rows =
        ((size_t)dlq_k_grouped_gather_bytes(&p->gpu, p->l.act, call->m) + 255) / 256 * 256;
    struct dlq_k_grouped_call g = {};
    if (call->workspace_size < workspace_size(w, call->m) || call->x_stride < p->l.k ||
        call->y_stride < p->l.n) {
        return -DLQ_K_ESHAPE;
    }
    const int rc = dlq_k_grouped_gather(&p->gpu, call->x, p->l.act, call->x_stride, nullptr,
                                        call->m, call->workspace, &g.x, false, stream);
    g.m = call->m;
    g.row_scale = c->row_scale;
    g.bias = call->bias;
    g.y = call->y;
    g.y_stride = call->y_stride;
    g.y_dtype = p->l.act;
    g.multiprocessors = device_info().multiprocessors;
    g.capability = device_info().capability;
    g.workspace = (uint8_t *)call->workspace + rows;
    g.workspace_size = call->workspace_size - rows;
    return rc != 0 ? rc : dlq_k_grouped_run(&p->gpu, &g, stream);
}

void
judge(const pair &p, const float *x, const float *row_scale, const float *bias, const float *y)
{
    struct tool_bound_facts facts = {};
    facts.arith = TOOL_EXACT;
    facts.dtype = p.l.act;
    facts.k = p.l.k;
    facts.groups = facts.ranks = 1;
    facts.recomputed = 1; // weights and factors are rounded once more than in the product
    int64_t beyond = 0;
    double worst = 0;
    for (int64_t i = 0; i < p.l.m * p.l.n; i++) {
        const int64_t m = i / p.l.n, n = i % p.l.n;
        struct tool_sums t = {};
        double sum = 0;
        for (int64_t k = 0; k < p.l.k; k++) {
            const double v = (double)x[m * p.l.k + k] * p.weights[n * p.l.k + k] * row_scale[m];
            sum += v;
            t.s += fabs(v);
        }
        sum += p.l.bias ? (double)bias[n] : 0.0;
        if (fabs(sum) > 0.999 * tool_largest(p.l.act)) {
            continue; // infinity where the type ends
        }
        t.y = fmax(fabs(sum), fabs((double)y[i]));
        const double ratio = fabs(y[i] - sum) / tool_bound_element(&facts, &t);
        worst = ratio <= worst ? worst : ratio;
        beyond += !(ratio <= 1.0);
    }
    check(beyond == 0, "%s: %ld elements beyond, %g times the bound", p.what, (long)beyond, worst);
}

void
check_one(const layout &l, const variant &v)
{
    pair p = {};
    p.l = l;
    p.v = v;
    snprintf(p.what, sizeof(p.what),
             "grouped %s code %x scale %x m %ld k %ld n %ld g %ld rows %ld%s", dtype_name(l.act),
             v.dtype, v.scale_dtype, (long)l.m, (long)l.k, (long)l.n, (long)v.group,
             (long)v.scale_rows, v.factors ? " factors" : "");
    int64_t bad = -1;
    fill_values(&p);
    pack_on_cpu(&p);
    const bool packed = pack_on_gpu(&p, &bad);
    check(packed, "%s: pack, bad %ld", p.what, (long)bad);
    if (packed) {
        float *const x = (float *)malloc((size_t)(l.m * l.k) * 4);
        float *const bias = (float *)malloc((size_t)l.n * 4);
        float *const y = (float *)malloc((size_t)(l.m * l.n) * 4);
        float *const row_scale = (float *)malloc((size_t)l.m * 4);
        for (int64_t m = 0; m < l.m; m++) {
            row_scale[m] = 0.5f + (float)(m % 5);
        }
        fill_x(x, l, (uint64_t)(l.m * 3 + l.k));
        fill_bias(bias, l, 77);
        check_weights(p);
        float *const device_scale = (float *)to_device(row_scale, l.m * 4);
        const context c = {&p, device_scale};
        const layer op = {&c, workspace_size, apply, false};
        if (run_layer(op, l, x, bias, y, p.what)) {
            judge(p, x, row_scale, bias, y);
        }
        HARNESS_CUDA(cudaFree(device_scale));
        free(x);
        free(bias);
        free(y);
        free(row_scale);
    }
    pair_free(&p);
}

// Any number of rows fits the workspace that is said to be enough for it, with which nothing runs:
// the products go into a graph that is thrown away.
void
check_workspaces(void)
{
    static const int64_t shapes[][2] = {{8192, 8192}, {4096, 1000}, {14336, 64}, {300, 4096}};
    cudaStream_t stream;
    HARNESS_CUDA(cudaStreamCreate(&stream));
    void *const memory = (void *)4096;
    for (const auto &s : shapes) {
        struct dlq_k_grouped_desc d = {};
        struct dlq_k_grouped w;
        int64_t sizes[DLQ_K_GROUPED_SIZES];
        d.k = s[0];
        d.n = s[1];
        d.group = s[0];
        d.code = DLQ_K_GROUPED_E4M3;
        d.scale_dtype = DLQ_F32;
        check(dlq_k_grouped_plan(&w, &d) == 0, "grouped: plan");
        w.data = (const uint8_t *)memory;
        check(grouped_prepare(&w) == 0, "grouped: kernels are made ready");
        dlq_k_grouped_sizes(&w, device_info().multiprocessors, sizes);
        for (int parts = 1; parts <= 3; parts += 2) {
            size_t before = 0;
            for (int64_t m = 1; m < 40000; m += m < 130 ? 1 : m < 1500 ? 61 : 3001) {
                struct dlq_k_grouped_call c = {};
                c.m = m;
                c.x = {memory, w.padded_k, w.padded_k, true, parts};
                c.y = c.workspace = memory;
                c.y_stride = s[1];
                c.y_dtype = DLQ_F32; // never on wgmma, which needs none
                c.multiprocessors = device_info().multiprocessors;
                c.capability = device_info().capability;
                c.workspace_size = dlq_k_grouped_workspace(&w, sizes, m, parts);
                cudaGraph_t graph;
                HARNESS_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
                const int rc = dlq_k_grouped_run(&w, &c, stream);
                HARNESS_CUDA(cudaStreamEndCapture(stream, &graph));
                HARNESS_CUDA(cudaGraphDestroy(graph));
                check(rc == 0 && c.workspace_size >= before,
                      "grouped: %ld rows in %d parts, k %ld n %ld, give %d in %zu bytes", (long)m,
                      parts, (long)s[0], (long)s[1], rc, c.workspace_size);
                before = c.workspace_size;
            }
        }
    }
    HARNESS_CUDA(cudaStreamDestroy(stream));
}

// A value that is not a number, and where it is.
void
check_spoiled(void)
{
    pair p = {};
    p.l = {1, 64, 24, DLQ_BF16, false, false};
    p.v = {DLQ_F8_E4M3, DLQ_F32, 32, 1, true};
    snprintf(p.what, sizeof(p.what), "grouped, spoiled");
    int64_t bad = -1;
    fill_values(&p);
    const uint8_t saved = p.codes[77];
    p.codes[77] = 0xff;
    check(!pack_on_gpu(&p, &bad) && bad == 77, "grouped: a NaN weight gives %ld", (long)bad);
    HARNESS_CUDA(cudaFree(p.gpu_data));
    p.codes[77] = saved;
    p.factors[9] = NAN;
    check(!pack_on_gpu(&p, &bad) && bad == 9, "grouped: a NaN factor gives %ld", (long)bad);
    HARNESS_CUDA(cudaFree(p.gpu_data));
    p.factors[9] = 1.0f;
    ((float *)p.scales)[11] = INFINITY;
    check(!pack_on_gpu(&p, &bad) && bad == 11, "grouped: an infinite scale gives %ld", (long)bad);
    pair_free(&p);
}

} // namespace

void
check_grouped(void)
{
    static const uint32_t types[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    static const variant variants[] = {
        {DLQ_F8_E4M3, DLQ_F32, 128, 128, false},  {DLQ_F8_E4M3, DLQ_BF16, 0, 1, false},
        {DLQ_F8_E4M3, DLQ_F32, 0, 1 << 20, true}, {DLQ_F8_E4M3, DLQ_F16, 64, 1, true},
        {DLQ_F8_E4M3, DLQ_F8_E8M0, 32, 1, false}, {DLQ_F4_E2M1, DLQ_F8_E4M3, 16, 1, true},
        {DLQ_F4_E2M1, DLQ_F8_E8M0, 32, 1, false}, {DLQ_F4_E2M1, DLQ_F32, 24, 1, false},
        {DLQ_F4_E2M1, DLQ_F16, 0, 1, false},
    };
    static const struct {
        int64_t m, k, n;
    } shapes[] = {{1, 128, 64},   {5, 260, 72},  {8, 1024, 33},  {17, 96, 200},
                  {40, 512, 130}, {70, 320, 65}, {130, 224, 136}};
    unsigned turn = 0;
    check_spoiled();
    check_workspaces();
    for (const auto &v : variants) {
        for (const auto &s : shapes) {
            for (int pass = 0; pass < 2; pass++) {
                turn++;
                const layout l = {s.m,           s.k,          s.n, types[(turn + turn / 7) % 3],
                                  turn % 2 == 0, turn % 3 == 0};
                variant each = v;
                each.group = v.group != 0 && v.group < s.k ? v.group : s.k;
                each.scale_rows = v.scale_rows < s.n ? v.scale_rows : s.n;
                if (GPU_SAMPLED()) {
                    check_one(l, each);
                }
            }
        }
    }
}

} // namespace ops
