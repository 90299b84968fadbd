// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// fp8 and fp4 layers: codes, scales and weights are those of plain C, outputs within numerics'
// bound of the exact product of the rounded operands.
extern "C" {
#include "kernels/gpu_fp.h"
}

#include "gpu_ops.cuh"

#include <string.h>

namespace ops
{

namespace
{

size_t
workspace_size(const void *w, int64_t m)
{
    return dlq_kg_fp()->workspace_size((const struct dlq_kg_fp *)w, m);
}

int
apply(const void *w, const struct dlq_kg_call *call)
{
    return dlq_kg_fp()->apply((const struct dlq_kg_fp *)w, call);
}

struct variant {
    const char *name;
    uint32_t dtype, scale_dtype;
    int64_t group;      // 0: a whole row
    int64_t scale_rows; // 0: all columns
    enum dlq_k_fp_activation activation;
    int64_t act_group;
    float act_scale;
    bool factors;
    int bits;      // of integers, or 0
    int words;     // 0: bytes, 1: DLQ_BITS_DENSE, 2: DLQ_BITS_PADDED
    bool one_sign; // every product is positive: what cuts bits off shows
};

struct pair {
    layout l;
    variant v;
    struct dlq_k_fp cpu;
    struct dlq_kg_fp gpu;
    int64_t n_scales, code_bytes;
    uint8_t *codes; // as the CPU takes them
    void *stored;   // as the GPU takes them
    uint8_t *scales;
    float *factors;
    void *cpu_data, *gpu_data;
    float *weights; // [n, k]
    char what[160];
};

struct dlq_kg_fp_desc
desc_of(const layout &l, const variant &v)
{
    struct dlq_kg_fp_desc d = {};
    d.shape.k = l.k;
    d.shape.n = l.n;
    d.shape.dtype = v.dtype;
    d.shape.scale_dtype = v.scale_dtype;
    d.shape.group = v.group == 0 || v.group > l.k ? l.k : v.group;
    d.shape.scale_rows = v.scale_rows == 0 ? l.n : v.scale_rows;
    d.shape.activation = v.activation;
    d.shape.act_group = v.act_group > l.k ? l.k : v.act_group;
    d.shape.act_scale = v.act_scale;
    d.device = device_info();
    d.act_dtype = l.act;
    d.column_factors = v.factors;
    return d;
}

struct dlq_kg_fp_source
source_of(const pair &p)
{
    struct dlq_kg_fp_source s = {};
    s.codes = p.stored;
    s.integer_bits = p.v.bits;
    s.packed = p.v.words != 0;
    s.layout = p.v.words == 1 ? DLQ_BITS_DENSE : DLQ_BITS_PADDED;
    s.scales = p.scales;
    s.factors = p.factors;
    return s;
}

void
fill_scales(pair *p, uint64_t *state)
{
    for (int64_t i = 0; i < p->n_scales; i++) {
        const float v = i == 5 ? 0.0f : 0.01f * random_normal(state);
        switch (p->v.scale_dtype) {
        case DLQ_F8_E4M3:
            p->scales[i] = (uint8_t)(i == 5 ? 0 : 0x20 + random_word(state) % 0x30);
            break;
        case DLQ_F8_E8M0:
            p->scales[i] = (uint8_t)(116 + random_word(state) % 7);
            break;
        default:
            dlq_k_store_f32(p->scales, p->v.scale_dtype, i, v);
            break;
        }
    }
}

void
fill_integers(pair *p, uint64_t *state)
{
    const int64_t n = p->l.n, k = p->l.k;
    const int half = 1 << (p->v.bits - 1);
    const enum dlq_bits_layout layout = p->v.words == 1 ? DLQ_BITS_DENSE : DLQ_BITS_PADDED;
    const int64_t words = dlq_bits_words(layout, k, p->v.bits);
    uint8_t *const row = (uint8_t *)malloc((size_t)k);
    p->stored = malloc((size_t)(n * (words * 4 > k ? words * 4 : k)));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < k; j++) {
            row[j] = (uint8_t)(random_word(state) % (2u * (unsigned)half));
            p->codes[i * k + j] = dlq_k_f32_to_e4m3((float)(row[j] - half));
            if (p->v.words == 0) {
                ((int8_t *)p->stored)[i * k + j] = (int8_t)(row[j] - half);
            }
        }
        if (p->v.words != 0) {
            dlq_bits_pack(row, k, layout, p->v.bits, (uint32_t *)p->stored + i * words, 1);
        }
    }
    free(row);
}

void
pair_fill(pair *p)
{
    uint64_t state = (uint64_t)(p->l.n * 131 + p->l.k * 7 + p->v.bits);
    p->code_bytes = p->l.n * p->l.k / (p->v.dtype == DLQ_F4_E2M1 ? 2 : 1);
    p->n_scales = (p->l.n + p->cpu.shape.scale_rows - 1) / p->cpu.shape.scale_rows * p->cpu.groups;
    p->codes = (uint8_t *)malloc((size_t)p->code_bytes);
    p->scales = (uint8_t *)malloc((size_t)p->n_scales * 4);
    p->factors = p->v.factors ? (float *)malloc((size_t)p->l.n * 4) : nullptr;
    for (int64_t i = 0; i < p->code_bytes; i++) {
        const uint8_t code = (uint8_t)random_word(&state);
        p->codes[i] = p->v.dtype == DLQ_F8_E4M3 && (code & 0x7f) == 0x7f ? 0x31 : code;
        p->codes[i] &= p->v.one_sign ? 0x7f : 0xff;
    }
    for (int64_t i = 0; p->factors && i < p->l.n; i++) {
        p->factors[i] = 0.02f * random_normal(&state);
    }
    fill_scales(p, &state);
    p->stored = p->codes;
    if (p->v.bits != 0) {
        fill_integers(p, &state);
    }
}

bool
pair_make(pair *p, const layout &l, const variant &v)
{
    *p = {};
    p->l = l;
    p->v = v;
    snprintf(p->what, sizeof(p->what), "fp %s %s m %ld k %ld n %ld%s%s", v.name, dtype_name(l.act),
             (long)l.m, (long)l.k, (long)l.n, l.bias ? " bias" : "", l.odd ? " odd" : "");
    const struct dlq_kg_fp_desc desc = desc_of(l, v);
    int rc = dlq_k_fp_plan(&p->cpu, &desc.shape);
    check(rc == 0, "%s: plan on the CPU gives %d", p->what, rc);
    if (rc != 0) {
        return false;
    }
    pair_fill(p);
    p->cpu_data = aligned_alloc(DLQ_K_ALIGN, (size_t)p->cpu.bytes);
    check(dlq_k_fp_pack(&p->cpu, p->codes, p->scales, p->factors, p->cpu_data, nullptr, nullptr) ==
              0,
          "%s: pack on the CPU", p->what);
    p->weights = (float *)malloc((size_t)(l.n * l.k) * 4);
    dlq_k_fp_dequantize(&p->cpu, 0, l.n, p->weights);
    rc = dlq_kg_fp()->plan(&p->gpu, &desc);
    check(rc == 0, "%s: plan gives %d", p->what, rc);
    if (rc != 0) {
        return false;
    }
    const struct dlq_kg_fp_source source = source_of(*p);
    HARNESS_CUDA(cudaMalloc(&p->gpu_data, (size_t)p->gpu.bytes));
    HARNESS_CUDA(cudaMemset(p->gpu_data, 0x77, (size_t)p->gpu.bytes));
    rc = dlq_kg_fp()->pack(&p->gpu, &source, p->gpu_data, nullptr);
    check(rc == 0, "%s: pack gives %d (%s)", p->what, rc, dlq_kg_error_string(rc));
    return rc == 0;
}

void
pair_free(pair *p)
{
    if (p->stored != p->codes) {
        free(p->stored);
    }
    free(p->codes);
    free(p->scales);
    free(p->factors);
    free(p->cpu_data);
    free(p->weights);
    HARNESS_CUDA(cudaFree(p->gpu_data));
}

void
check_weights(const pair &p)
{
    const int64_t n0 = p.l.n / 3, rows = p.l.n - n0;
    float *const gpu = (float *)malloc((size_t)(rows * p.l.k) * 4);
    const int rc = dlq_kg_fp()->dequantize(&p.gpu, n0, rows, gpu);
    int64_t wrong = 0;
    for (int64_t i = 0; rc == 0 && i < rows * p.l.k; i++) {
        wrong += gpu[i] != p.weights[n0 * p.l.k + i];
    }
    check(rc == 0 && wrong == 0, "%s: dequantize gives %d, %ld weights differ", p.what, rc,
          (long)wrong);
    free(gpu);
}

// What plain C makes of x: values [m, k] without the row's scale, and that.
struct rounded {
    float *values, *row_scales, *scales;
    uint8_t *codes, *x;
    float tensor_max;
};

rounded
round_x(const pair &p, const float *x)
{
    const int64_t m = p.l.m, k = p.l.k, n_scales = dlq_k_fp_act_scales(&p.cpu);
    const size_t size = dlq_k_act_size(p.l.act);
    rounded r;
    r.values = (float *)malloc((size_t)(m * k) * 4);
    r.row_scales = (float *)malloc((size_t)m * 4);
    r.scales = (float *)calloc((size_t)(m * n_scales), 4);
    r.codes = (uint8_t *)calloc((size_t)(m * k), 1);
    r.x = (uint8_t *)malloc((size_t)(m * k) * size);
    r.tensor_max = 0.0f;
    for (int64_t i = 0; i < m * k; i++) {
        dlq_k_store_f32(r.x, p.l.act, i, x[i]);
        r.tensor_max = fmaxf(r.tensor_max, fabsf(x[i]));
    }
    for (int64_t i = 0; i < m; i++) {
        dlq_k_fp_quantize_row(&p.cpu, r.x + (size_t)(i * k) * size, p.l.act, r.tensor_max,
                              r.values + i * k, r.codes + i * k, r.scales + i * n_scales,
                              r.row_scales + i);
    }
    return r;
}

void
rounded_free(rounded *r)
{
    free(r->values);
    free(r->row_scales);
    free(r->scales);
    free(r->codes);
    free(r->x);
}

void
check_codes(const pair &p, const rounded &r)
{
    const int64_t m = p.l.m, k = p.l.k, n_scales = dlq_k_fp_act_scales(&p.cpu);
    uint8_t *const codes = (uint8_t *)malloc((size_t)(m * k));
    float *const scales = (float *)malloc((size_t)(m * n_scales) * 4);
    const int rc = dlq_kg_fp()->quantize(&p.gpu, r.x, m, codes, scales);
    if (p.v.activation == DLQ_K_FP_NONE) {
        check(rc == -DLQ_K_EUNSUPPORTED, "%s: quantize of weight-only gives %d", p.what, rc);
    } else {
        int64_t wrong = 0;
        for (int64_t i = 0; i < m; i++) {
            wrong +=
                memcmp(codes + i * k, r.codes + i * k, (size_t)k) != 0 ||
                memcmp(scales + i * n_scales, r.scales + i * n_scales, (size_t)n_scales * 4) != 0;
        }
        check(rc == 0 && wrong == 0, "%s: quantize gives %d, codes of %ld rows differ", p.what, rc,
              (long)wrong);
    }
    free(codes);
    free(scales);
}

// Share of the bound that the worst element takes; `*relative`: error beyond an ulp over sum |x w|.
double
worst_error(const pair &p, const rounded &r, const float *bias, const float *y)
{
    const layout &l = p.l;
    const double k = (double)l.k;
    const double unit = (p.v.activation == DLQ_K_FP_FP8_GROUP ? k / 128 + 128 : k) * 0x1p-23;
    double worst = 0.0;
    for (int64_t m = 0; m < l.m; m++) {
        for (int64_t n = 0; n < l.n; n++) {
            double sum = 0.0, magnitude = 0.0;
            for (int64_t i = 0; i < l.k; i++) {
                const double v = (double)r.values[m * l.k + i] * (double)p.weights[n * l.k + i];
                sum += v;
                magnitude += fabs(v);
            }
            const double scale = (double)r.row_scales[m];
            const double exact = sum * scale + (l.bias ? (double)bias[n] : 0.0);
            const double bound = ulp(l.act, exact) + unit * magnitude * fabs(scale);
            const double off = fabs((double)y[m * l.n + n] - exact);
            worst = !(off <= worst * bound) ? off / bound : worst;
        }
    }
    return worst;
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
        for (int64_t i = 0; v.one_sign && i < l.m * l.k; i++) {
            x[i] = fabsf(x[i]);
        }
        fill_bias(bias, l, 77);
        rounded r = round_x(p, x);
        check_weights(p);
        check_codes(p, r);
        const layer op = {&p.gpu, workspace_size, apply, v.activation == DLQ_K_FP_FP8_TENSOR};
        if (run_layer(op, l, x, bias, y, p.what)) {
            const double worst = worst_error(p, r, bias, y);
            check(worst <= 1.0, "%s: %.3g of the bound (%s)", p.what, worst,
                  dlq_kg_fp()->kernel(&p.gpu, l.m));
        }
        rounded_free(&r);
        free(x);
        free(bias);
        free(y);
    }
    pair_free(&p);
}

void
check_refusals(int64_t k)
{
    const layout l = {4, k, 40, DLQ_BF16, false, false};
    variant v = {"refusals", DLQ_F8_E4M3, DLQ_F32, 0, 1, DLQ_K_FP_FP8_TOKEN,
                 0,          0.0f,        true,    0, 0, false};
    const struct dlq_kg_fp_ops *const op = dlq_kg_fp();
    pair p;
    int64_t bad = -1;
    if (pair_make(&p, l, v)) {
        struct dlq_kg_fp_source source = source_of(p);
        float *const scales = (float *)(void *)p.scales;
        scales[17] = NAN;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ESCALE && bad == 17,
              "fp: a NaN scale at 17 gives %ld", (long)bad);
        scales[17] = 1.0f;
        p.factors[18] = INFINITY;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ESCALE && bad == 18,
              "fp: an infinite factor at 18 gives %ld", (long)bad);
        p.factors[18] = 1.0f;
        p.codes[7 * k + 5] = 0xff;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ECODE && bad == 7 * k + 5,
              "fp: a NaN code gives %ld", (long)bad);
        p.codes[7 * k + 5] = 0;
        source.integer_bits = 6;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ESHAPE, "fp: 6 bits");
        source.integer_bits = 0;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == 0, "fp: all is well again");
    }
    pair_free(&p);
    v.bits = 4;
    if (pair_make(&p, l, v)) {
        const struct dlq_kg_fp_source source = source_of(p);
        ((int8_t *)p.stored)[3 * k + 1] = -9;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ECODE && bad == 3 * k + 1,
              "fp: an integer beyond 4 bits gives %ld", (long)bad);
    }
    struct dlq_kg_fp_desc desc = desc_of(l, v);
    desc.act_dtype = DLQ_I8;
    check(op->plan(&p.gpu, &desc) == -DLQ_K_EDTYPE, "fp: int8 activations are planned");
    desc.act_dtype = DLQ_BF16;
    desc.shape.scale_dtype = DLQ_I8;
    check(op->plan(&p.gpu, &desc) == -DLQ_K_EDTYPE, "fp: int8 scales are planned");
    desc.shape.scale_dtype = DLQ_F32;
    desc.shape.group = 0;
    check(op->plan(&p.gpu, &desc) == -DLQ_K_ESHAPE, "fp: groups of 0 are planned");
    desc.shape.group = k;
    desc.device.capability = 75;
    check(op->plan(&p.gpu, &desc) == -DLQ_K_EUNSUPPORTED, "fp: sm_75 is planned");
    pair_free(&p);
}

const variant variants[] = {
    {"w8a16 channel", DLQ_F8_E4M3, DLQ_F32, 0, 1, DLQ_K_FP_NONE, 0, 0.0f, false, 0, 0, false},
    {"w8a16 tensor", DLQ_F8_E4M3, DLQ_BF16, 0, 0, DLQ_K_FP_NONE, 0, 0.0f, true, 0, 0, false},
    {"w8a16 block", DLQ_F8_E4M3, DLQ_F32, 128, 128, DLQ_K_FP_NONE, 0, 0.0f, false, 0, 0, false},
    {"w8a16 group 24", DLQ_F8_E4M3, DLQ_F16, 24, 1, DLQ_K_FP_NONE, 0, 0.0f, true, 0, 0, false},
    {"w8a8 token", DLQ_F8_E4M3, DLQ_F32, 0, 1, DLQ_K_FP_FP8_TOKEN, 0, 0.0f, false, 0, 0, false},
    {"w8a8 tensor", DLQ_F8_E4M3, DLQ_F32, 0, 0, DLQ_K_FP_FP8_TENSOR, 0, 0.0f, false, 0, 0, false},
    {"w8a8 static", DLQ_F8_E4M3, DLQ_BF16, 0, 1, DLQ_K_FP_FP8_STATIC, 0, 0.01f, true, 0, 0, false},
    {"w8a8 block", DLQ_F8_E4M3, DLQ_F32, 128, 128, DLQ_K_FP_FP8_GROUP, 128, 0.0f, false, 0, 0,
     false},
    {"w8a8 groups 48 40", DLQ_F8_E4M3, DLQ_F32, 48, 1, DLQ_K_FP_FP8_GROUP, 40, 0.0f, false, 0, 0,
     false},
    {"nvfp4a16", DLQ_F4_E2M1, DLQ_F8_E4M3, 16, 1, DLQ_K_FP_NONE, 0, 0.0f, true, 0, 0, false},
    {"nvfp4", DLQ_F4_E2M1, DLQ_F8_E4M3, 16, 1, DLQ_K_FP_NVFP4, 0, 300.0f, true, 0, 0, false},
    {"mxfp4a16", DLQ_F4_E2M1, DLQ_F8_E8M0, 32, 1, DLQ_K_FP_NONE, 0, 0.0f, false, 0, 0, false},
    {"mxfp4", DLQ_F4_E2M1, DLQ_F8_E8M0, 32, 1, DLQ_K_FP_MXFP4, 0, 0.0f, false, 0, 0, false},
    {"mxfp8a16", DLQ_F8_E4M3, DLQ_F8_E8M0, 32, 1, DLQ_K_FP_NONE, 0, 0.0f, false, 0, 0, false},
    {"mxfp8", DLQ_F8_E4M3, DLQ_F8_E8M0, 32, 1, DLQ_K_FP_MXFP8, 0, 0.0f, false, 0, 0, false},
    {"w4afp8", DLQ_F8_E4M3, DLQ_F8_E4M3, 128, 1, DLQ_K_FP_FP8_TOKEN, 0, 0.0f, true, 4, 2, false},
    {"w5afp8", DLQ_F8_E4M3, DLQ_F32, 0, 1, DLQ_K_FP_FP8_TOKEN, 0, 0.0f, false, 5, 0, false},
    {"w8a8 token one sign", DLQ_F8_E4M3, DLQ_F32, 0, 1, DLQ_K_FP_FP8_TOKEN, 0, 0.0f, false, 0, 0,
     true},
    {"w3afp8", DLQ_F8_E4M3, DLQ_F16, 64, 1, DLQ_K_FP_FP8_STATIC, 0, 0.02f, false, 3, 1, false},
};

} // namespace

void
check_fp(void)
{
    static const uint32_t types[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    static const struct {
        int64_t m, k, n;
    } shapes[] = {{1, 128, 64},   {3, 34, 5},     {8, 48, 17},    {16, 512, 320},
                  {33, 130, 131}, {65, 300, 72},  {130, 640, 96}, {257, 256, 72},
                  {1, 4096, 64},  {17, 4102, 70}, {150, 4500, 40}};
    check_refusals(100);
    check_refusals(4100);
    unsigned turn = 0;
    for (const variant &v : variants) {
        for (const auto &s : shapes) {
            for (uint32_t act : types) {
                turn++;
                // The long ones are for the kernels that begin there.
                if (s.k > 4000 && act == DLQ_F32 && v.activation != DLQ_K_FP_FP8_TOKEN) {
                    continue;
                }
                if (!GPU_SAMPLED()) {
                    continue;
                }
                check_one({s.m, s.k, s.n, act, turn % 2 != 0, turn / 2 % 2 != 0}, v);
            }
        }
    }
}

} // namespace ops
