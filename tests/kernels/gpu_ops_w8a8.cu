// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// int8 layers: codes, sums, weights and outputs are those of plain C bit by bit, but for the sign
// of a zero output (a kernel may add a bias of 0).
extern "C" {
#include "kernels/gpu_w8a8.h"
}
#include "kernels/cuda/w8.h"

#include "gpu_ops.cuh"

#include <string.h>

// In place of the measured choices, of which none may share the sums of an int8 layer.
static const struct dlq_k_w8_config *plan_instead;
static int asked_with_workspace, asked_without;

extern "C" struct dlq_k_w8_config
__real_dlq_k_w8_select(const struct dlq_k_w8_gemm *g);

extern "C" struct dlq_k_w8_config
__wrap_dlq_k_w8_select(const struct dlq_k_w8_gemm *g)
{
    *(g->workspace ? &asked_with_workspace : &asked_without) += 1;
    return plan_instead ? *plan_instead : __real_dlq_k_w8_select(g);
}

extern "C" int64_t
__real_dlq_k_w8_shared_outputs(const struct dlq_k_w8_gemm *g, int64_t max_m);

extern "C" int64_t
__wrap_dlq_k_w8_shared_outputs(const struct dlq_k_w8_gemm *g, int64_t max_m)
{
    return plan_instead ? plan_instead->rows * plan_instead->tokens
                        : __real_dlq_k_w8_shared_outputs(g, max_m);
}

namespace ops
{

namespace
{

size_t
workspace_size(const void *w, int64_t m)
{
    return dlq_kg_w8a8()->workspace_size((const struct dlq_kg_w8a8 *)w, m);
}

int
apply(const void *w, const struct dlq_kg_call *call)
{
    return dlq_kg_w8a8()->apply((const struct dlq_kg_w8a8 *)w, call);
}

// How the checkpoint holds the codes.
enum storage { BYTES, DENSE, PADDED };

struct variant {
    enum dlq_k_w8a8_activation activation;
    float act_scale;
    int32_t act_zero;
    bool zeros;
    enum storage storage;
    int bits;
};

// One layer on both sides.
struct pair {
    layout l;
    variant v;
    struct dlq_k_w8a8 cpu;
    struct dlq_kg_w8a8 gpu;
    int8_t *codes;
    uint32_t *words;
    float *scales;
    int32_t *zeros; // or NULL
    void *cpu_data, *gpu_data;
    char what[160];
};

struct dlq_kg_w8a8_desc
desc_of(const layout &l, const variant &v)
{
    struct dlq_kg_w8a8_desc d = {};
    d.k = l.k;
    d.n = l.n;
    d.device = device_info();
    d.act_dtype = l.act;
    d.activation = v.activation;
    d.act_scale = v.act_scale;
    d.act_zero = v.act_zero;
    d.asymmetric = v.zeros;
    return d;
}

struct dlq_kg_w8a8_source
source_of(const pair &p)
{
    struct dlq_kg_w8a8_source s = {};
    s.packed = p.v.storage != BYTES;
    s.codes = s.packed ? (const void *)p.words : p.codes;
    s.layout = p.v.storage == DENSE ? DLQ_BITS_DENSE : DLQ_BITS_PADDED;
    s.bits = p.v.bits;
    s.scales = p.scales;
    s.zeros = p.zeros;
    return s;
}

void
pair_fill(pair *p)
{
    const int64_t n = p->l.n, k = p->l.k;
    const int half = 1 << (p->v.bits - 1);
    uint64_t state = (uint64_t)(n * 131 + k * 7 + p->v.bits);
    uint8_t *const row = (uint8_t *)malloc((size_t)k);
    const enum dlq_bits_layout layout = p->v.storage == DENSE ? DLQ_BITS_DENSE : DLQ_BITS_PADDED;
    const int64_t words = dlq_bits_words(layout, k, p->v.bits);
    p->codes = (int8_t *)malloc((size_t)(n * k));
    p->words = (uint32_t *)malloc((size_t)(n * words) * 4);
    p->scales = (float *)malloc((size_t)n * 4);
    p->zeros = p->v.zeros ? (int32_t *)malloc((size_t)n * 4) : nullptr;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < k; j++) {
            row[j] = (uint8_t)(random_word(&state) % (2u * (unsigned)half));
            p->codes[i * k + j] = (int8_t)(row[j] - half);
        }
        dlq_bits_pack(row, k, layout, p->v.bits, p->words + i * words, 1);
        p->scales[i] = i == 3 ? 0.0f : 0.01f * random_normal(&state);
        if (p->zeros) {
            p->zeros[i] = (int32_t)(random_word(&state) % 256) - 128;
        }
    }
    free(row);
}

bool
pair_make(pair *p, const layout &l, const variant &v)
{
    static const char *const modes[] = {"token", "static", "static azp", "token azp"};
    *p = {};
    p->l = l;
    p->v = v;
    snprintf(p->what, sizeof(p->what), "w8a8 %s %s m %ld k %ld n %ld%s%s%s bits %d store %d",
             modes[v.activation], dtype_name(l.act), (long)l.m, (long)l.k, (long)l.n,
             l.bias ? " bias" : "", l.odd ? " odd" : "", v.zeros ? " zeros" : "", v.bits,
             v.storage);
    pair_fill(p);
    check(dlq_k_w8a8_plan(&p->cpu, l.k, l.n, v.activation, v.act_scale, v.act_zero) == 0,
          "%s: plan on the CPU", p->what);
    p->cpu_data = aligned_alloc(DLQ_K_ALIGN, (size_t)p->cpu.bytes);
    check(dlq_k_w8a8_pack(&p->cpu, p->codes, l.k, p->scales, p->zeros, p->cpu_data, nullptr,
                          nullptr) == 0,
          "%s: pack on the CPU", p->what);
    const struct dlq_kg_w8a8_desc desc = desc_of(l, v);
    const struct dlq_kg_w8a8_source source = source_of(*p);
    int rc = dlq_kg_w8a8()->plan(&p->gpu, &desc);
    check(rc == 0, "%s: plan gives %d", p->what, rc);
    if (rc != 0) {
        return false;
    }
    HARNESS_CUDA(cudaMalloc(&p->gpu_data, (size_t)p->gpu.bytes));
    HARNESS_CUDA(cudaMemset(p->gpu_data, 0x77, (size_t)p->gpu.bytes));
    rc = dlq_kg_w8a8()->pack(&p->gpu, &source, p->gpu_data, nullptr);
    check(rc == 0, "%s: pack gives %d (%s)", p->what, rc, dlq_kg_error_string(rc));
    return rc == 0;
}

void
pair_free(pair *p)
{
    free(p->codes);
    free(p->words);
    free(p->scales);
    free(p->zeros);
    free(p->cpu_data);
    HARNESS_CUDA(cudaFree(p->gpu_data));
}

void
check_weights(const pair &p)
{
    const int64_t n0 = p.l.n / 3, rows = p.l.n - n0;
    float *const cpu = (float *)malloc((size_t)(rows * p.l.k) * 4);
    float *const gpu = (float *)malloc((size_t)(rows * p.l.k) * 4);
    dlq_k_w8a8_dequantize(&p.cpu, n0, rows, cpu);
    check(dlq_kg_w8a8()->dequantize(&p.gpu, n0, rows, gpu) == 0 &&
              memcmp(cpu, gpu, (size_t)(rows * p.l.k) * 4) == 0,
          "%s: weights differ", p.what);
    free(cpu);
    free(gpu);
}

bool
same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

void
check_codes(const pair &p, const float *x)
{
    const int64_t m = p.l.m, k = p.l.k;
    const size_t size = dlq_k_act_size(p.l.act);
    uint8_t *const rows = (uint8_t *)malloc((size_t)(m * k) * size);
    int8_t *const gpu = (int8_t *)malloc((size_t)(m * k));
    int8_t *const cpu = (int8_t *)malloc((size_t)k);
    float *const scales = (float *)malloc((size_t)m * 4);
    int32_t *const zeros = (int32_t *)malloc((size_t)m * 4);
    for (int64_t i = 0; i < m * k; i++) {
        dlq_k_store_f32(rows, p.l.act, i, i == m * k - 1 ? INFINITY : x[i]);
    }
    check(dlq_kg_w8a8()->quantize(&p.gpu, rows, m, gpu, scales, zeros) == 0, "%s: quantize",
          p.what);
    int64_t wrong = 0;
    for (int64_t i = 0; i < m; i++) {
        float scale;
        int32_t azp;
        dlq_k_w8a8_quantize_row(&p.cpu, rows + (size_t)(i * k) * size, p.l.act, cpu, &scale, &azp);
        wrong += memcmp(cpu, gpu + i * k, (size_t)k) != 0 || !same_float(scale, scales[i]) ||
                 zeros[i] != azp;
    }
    check(wrong == 0, "%s: codes of %ld rows differ", p.what, (long)wrong);
    free(rows);
    free(gpu);
    free(cpu);
    free(scales);
    free(zeros);
}

void
check_sums(const pair &p)
{
    const int64_t m = p.l.m, k = p.l.k, n = p.l.n;
    const bool with_azp =
        p.v.activation == DLQ_K_W8A8_STATIC_AZP || p.v.activation == DLQ_K_W8A8_TOKEN_AZP;
    int8_t *const codes = (int8_t *)malloc((size_t)(m * k));
    int32_t *const azp = (int32_t *)calloc((size_t)m, 4);
    int32_t *const cpu = (int32_t *)malloc((size_t)n * 4);
    int32_t *const gpu = (int32_t *)malloc((size_t)(m * n) * 4);
    uint64_t state = (uint64_t)(m + k);
    for (int64_t i = 0; i < m * k; i++) {
        codes[i] = (int8_t)(i < k ? -128 : (int)(random_word(&state) % 256) - 128);
    }
    for (int64_t i = 0; with_azp && i < m; i++) {
        azp[i] = (int32_t)(random_word(&state) % 256) - 128;
    }
    check(dlq_kg_w8a8()->accumulate(&p.gpu, codes, with_azp ? azp : nullptr, m, gpu) == 0,
          "%s: accumulate", p.what);
    int64_t wrong = 0;
    for (int64_t i = 0; i < m; i++) {
        dlq_k_w8a8_accumulate_row(&p.cpu, codes + i * k, azp[i], cpu);
        wrong += memcmp(cpu, gpu + i * n, (size_t)n * 4) != 0;
    }
    check(wrong == 0, "%s: sums of %ld rows differ", p.what, (long)wrong);
    free(codes);
    free(azp);
    free(cpu);
    free(gpu);
}

void
reference(const pair &p, const float *x, const float *bias, float *y)
{
    struct dlq_k_w8a8_ops op;
    struct dlq_k_linear_call c = {};
    const size_t size = dlq_k_act_size(p.l.act);
    uint8_t *const rows = (uint8_t *)malloc((size_t)(p.l.m * p.l.k) * size);
    uint8_t *const out = (uint8_t *)malloc((size_t)(p.l.m * p.l.n) * size);
    for (int64_t i = 0; i < p.l.m * p.l.k; i++) {
        dlq_k_store_f32(rows, p.l.act, i, x[i]);
    }
    dlq_k_w8a8_init(&op, 0);
    c.m = p.l.m;
    c.x = rows;
    c.x_stride = p.l.k;
    c.x_dtype = c.y_dtype = p.l.act;
    c.y = out;
    c.y_stride = p.l.n;
    c.bias = p.l.bias ? bias : nullptr;
    c.bias_dtype = DLQ_F32;
    c.workspace = aligned_alloc(
        DLQ_K_ALIGN, (size_t)(op.workspace_size(&p.cpu, p.l.m, 1) + DLQ_K_ALIGN) / 64 * 64);
    check(op.apply(&p.cpu, &c) == 0, "%s: apply on the CPU", p.what);
    for (int64_t i = 0; i < p.l.m * p.l.n; i++) {
        y[i] = dlq_k_load_f32(out, p.l.act, i);
    }
    free(c.workspace);
    free(rows);
    free(out);
}

void
check_one(const layout &l, const variant &v)
{
    pair p;
    if (pair_make(&p, l, v)) {
        float *const x = (float *)malloc((size_t)(l.m * l.k) * 4);
        float *const bias = (float *)malloc((size_t)l.n * 4);
        float *const y = (float *)malloc((size_t)(l.m * l.n) * 4);
        float *const expected = (float *)malloc((size_t)(l.m * l.n) * 4);
        fill_x(x, l, (uint64_t)(l.m * 3 + l.k));
        fill_bias(bias, l, 77);
        const layer op = {&p.gpu, workspace_size, apply, false};
        check_weights(p);
        check_codes(p, x);
        check_sums(p);
        if (run_layer(op, l, x, bias, y, p.what)) {
            reference(p, x, bias, expected);
            int64_t wrong = 0, first = -1;
            for (int64_t i = 0; i < l.m * l.n; i++) {
                if (!(y[i] == expected[i] || (isnan(y[i]) && isnan(expected[i])))) {
                    first = wrong++ == 0 ? i : first;
                }
            }
            check(wrong == 0, "%s: %ld outputs differ, [%ld] %g not %g (%s)", p.what, (long)wrong,
                  (long)first, first < 0 ? 0.0 : (double)y[first],
                  first < 0 ? 0.0 : (double)expected[first], dlq_kg_w8a8()->kernel(&p.gpu, l.m));
        }
        free(x);
        free(bias);
        free(y);
        free(expected);
    }
    pair_free(&p);
}

// CTAs of a tile that share K meet in the workspace.
void
check_shared_sums(const variant &v)
{
    static const struct dlq_k_w8_config plans[] = {{1, 128, 128, 0, 1, 1, 0, 8, 0},
                                                   {1, 192, 128, 0, 1, 1, 0, 1, 0},
                                                   {1, 128, 256, 0, 2, 1, 0, 8, 0}};
    if (device_info().capability != 90 || !dlq_k_w8_available()) {
        counts.skipped++; // no other device has the kernel
        return;
    }
    for (const struct dlq_k_w8_config &each : plans) {
        plan_instead = &each;
        asked_with_workspace = asked_without = 0;
        check_one({140, 2176, 1160, DLQ_BF16, true, false}, v);
        // A plan that does not fit is asked for anew, without the workspace.
        check(asked_with_workspace > 0 && asked_without == 0,
              "w8a8: no sums are shared by tiles of %d rows and %d tokens", each.rows, each.tokens);
    }
    plan_instead = nullptr;
}

// Packing into memory that another layer has, with one value spoiled.
void
check_refusals(void)
{
    const layout l = {4, 100, 40, DLQ_BF16, false, false};
    const variant v = {DLQ_K_W8A8_TOKEN, 0.0f, 0, true, BYTES, 4};
    const struct dlq_kg_w8a8_ops *const op = dlq_kg_w8a8();
    pair p;
    int64_t bad = -1;
    if (pair_make(&p, l, v)) {
        struct dlq_kg_w8a8_source source = source_of(p);
        p.scales[17] = NAN;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ESCALE && bad == 17,
              "w8a8: a NaN scale at 17 gives %ld", (long)bad);
        p.scales[17] = 1.0f;
        p.zeros[18] = 128;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ECODE && bad == 18,
              "w8a8: a zero point 128 at 18 gives %ld", (long)bad);
        p.zeros[18] = 0;
        p.codes[7 * l.k + 5] = 8;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ECODE &&
                  bad == l.n + 7 * l.k + 5,
              "w8a8: a code beyond 4 bits gives %ld", (long)bad);
        p.codes[7 * l.k + 5] = 7;
        source.bits = 9;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ESHAPE, "w8a8: 9 bits");
        source.bits = 4;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == 0, "w8a8: all is well again");
    }
    struct dlq_kg_w8a8_desc desc = desc_of(l, v);
    desc.k = DLQ_K_W8A8_MAX_K_ASYMMETRIC + 1;
    check(op->plan(&p.gpu, &desc) == -DLQ_K_ESHAPE, "w8a8: sums beyond int32 are planned");
    desc.k = 100;
    desc.act_dtype = DLQ_I8;
    check(op->plan(&p.gpu, &desc) == -DLQ_K_EDTYPE, "w8a8: int8 activations are planned");
    desc.act_dtype = DLQ_BF16;
    desc.activation = DLQ_K_W8A8_STATIC;
    desc.act_scale = NAN;
    check(op->plan(&p.gpu, &desc) == -DLQ_K_ESCALE, "w8a8: a NaN scale of x is planned");
    desc.activation = DLQ_K_W8A8_TOKEN;
    desc.device.capability = 75;
    check(op->plan(&p.gpu, &desc) == -DLQ_K_EUNSUPPORTED, "w8a8: sm_75 is planned");
    pair_free(&p);
}

} // namespace

void
check_w8a8(void)
{
    static const uint32_t types[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    static const struct {
        int64_t m, k, n;
    } shapes[] = {{1, 128, 64},   {1, 4097, 130}, {3, 17, 5},     {8, 1, 1},       {16, 512, 320},
                  {33, 129, 131}, {65, 300, 256}, {100, 640, 72}, {150, 96, 2056}, {257, 260, 128}};
    static const variant variants[] = {
        {DLQ_K_W8A8_TOKEN, 0.0f, 0, false, BYTES, 8},
        {DLQ_K_W8A8_TOKEN, 0.0f, 0, true, BYTES, 8},
        {DLQ_K_W8A8_STATIC, 0.02f, 0, false, PADDED, 8},
        {DLQ_K_W8A8_STATIC, 0.0f, 0, true, DENSE, 6},
        {DLQ_K_W8A8_STATIC_AZP, 0.025f, -7, false, PADDED, 4},
        {DLQ_K_W8A8_STATIC_AZP, 0.025f, 100, true, PADDED, 5},
        {DLQ_K_W8A8_TOKEN_AZP, 0.0f, 0, false, BYTES, 8},
        {DLQ_K_W8A8_TOKEN_AZP, 0.0f, 0, true, BYTES, 3},
    };
    check_refusals();
    unsigned turn = 0;
    for (const auto &v : variants) {
        for (const auto &s : shapes) {
            for (uint32_t act : types) {
                turn++;
                if (!GPU_SAMPLED()) {
                    continue;
                }
                check_one({s.m, s.k, s.n, act, turn % 2 != 0, turn / 2 % 2 != 0}, v);
                check_one({s.m, s.k, s.n, act, turn % 2 == 0, turn / 2 % 2 == 0}, v);
            }
        }
    }
    // Sums beyond 2^24, whose conversion to fp32 rounds.
    check_one({40, 33000, 70, DLQ_BF16, true, false}, variants[6]);
    check_one({2, 33000, 70, DLQ_F32, true, false}, variants[7]);
    check_one({2, 132104, 70, DLQ_F16, true, false}, variants[0]);
    check_shared_sums(variants[0]);
    check_shared_sums(variants[6]);
}

} // namespace ops
