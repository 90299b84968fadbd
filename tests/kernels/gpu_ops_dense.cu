// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Unquantized layers: every mixture of types against float64 within numerics' bound, and sums with
// a bias that are rounded once.
extern "C" {
#include "kernels/gpu_dense.h"
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
    return dlq_kg_dense()->workspace_size((const struct dlq_kg_dense *)w, m);
}

int
apply(const void *w, const struct dlq_kg_call *call)
{
    return dlq_kg_dense()->apply((const struct dlq_kg_dense *)w, call);
}

// Share of the bound that the worst element takes.
double
worst_error(const layout &l, uint32_t w_dtype, const float *x, const void *w, const float *bias,
            const float *y, double unit)
{
    double worst = 0.0;
    for (int64_t n = 0; n < l.n; n++) {
        for (int64_t m = 0; m < l.m; m++) {
            double sum = l.bias ? (double)bias[n] : 0.0;
            double magnitude = 0.0;
            for (int64_t k = 0; k < l.k; k++) {
                const double p =
                    (double)x[m * l.k + k] * (double)dlq_k_load_f32(w, w_dtype, n * l.k + k);
                sum += p;
                magnitude += fabs(p);
            }
            const double bound = ulp(l.act, sum) + unit * magnitude;
            const double off = fabs((double)y[m * l.n + n] - sum);
            worst = !(off <= worst * bound) ? off / bound : worst;
        }
    }
    return worst;
}

void
check_one(const layout &l, uint32_t w_dtype, bool tf32)
{
    const struct dlq_kg_dense_ops *const op = dlq_kg_dense();
    char what[128];
    snprintf(what, sizeof(what), "dense %s x %s%s m %ld k %ld n %ld%s%s", dtype_name(l.act),
             dtype_name(w_dtype), tf32 ? " tf32" : "", (long)l.m, (long)l.k, (long)l.n,
             l.bias ? " bias" : "", l.odd ? " odd" : "");
    const size_t size = dlq_k_act_size(w_dtype);
    const size_t bytes = (size_t)(l.n * l.k) * size;
    void *const w = malloc(bytes);
    float *const x = (float *)malloc((size_t)(l.m * l.k) * 4);
    float *const y = (float *)malloc((size_t)(l.m * l.n) * 4);
    float *const bias = (float *)malloc((size_t)l.n * 4);
    uint64_t state = (uint64_t)(l.m * 31 + l.k * 7 + l.n);
    for (int64_t i = 0; i < l.n * l.k; i++) {
        dlq_k_store_f32(w, w_dtype, i, 0.05f * random_normal(&state));
    }
    fill_x(x, l, state);
    fill_bias(bias, l, state);
    uint8_t *weights;
    HARNESS_CUDA(cudaMalloc(&weights, bytes + 16));
    uint8_t *const at = weights + (l.odd ? size : 0);
    HARNESS_CUDA(cudaMemcpy(at, w, bytes, cudaMemcpyHostToDevice));
    struct dlq_kg_dense_desc desc = {};
    desc.k = l.k;
    desc.n = l.n;
    desc.device = device_info();
    desc.dtype = w_dtype;
    desc.act_dtype = l.act;
    desc.tf32 = tf32;
    struct dlq_kg_dense layer_w;
    check(op->plan(&layer_w, &desc) == 0, "%s: plan", what);
    check(op->prepare(&layer_w, at, l.m) == 0, "%s: prepare", what);
    check((strstr(op->kernel(&layer_w, l.m), "tf32") != nullptr) == tf32, "%s: called %s", what,
          op->kernel(&layer_w, l.m));
    check(op->workspace_size(&layer_w, l.m) >= op->workspace_size(&layer_w, 1),
          "%s: workspace shrinks with m", what);
    const layer layer_op = {&layer_w, workspace_size, apply, false};
    if (run_layer(layer_op, l, x, bias, y, what)) {
        // tf32 keeps 10 bits of each factor.
        const double unit = tf32 ? 0x1p-10 : (double)l.k * 0x1p-23;
        const double worst = worst_error(l, w_dtype, x, w, bias, y, unit);
        check(worst <= 1.0, "%s: %.3g of the bound (%s)", what, worst, op->kernel(&layer_w, l.m));
    }
    op->release(&layer_w);
    HARNESS_CUDA(cudaFree(weights));
    free(w);
    free(x);
    free(y);
    free(bias);
}

struct bound {
    struct dlq_kg_dense *w;
    void *narrow; // for keep_bias(), or NULL
};

size_t
bound_workspace(const void *b, int64_t m)
{
    return workspace_size(((const bound *)b)->w, m);
}

int
bound_apply(const void *b, const struct dlq_kg_call *call)
{
    return apply(((const bound *)b)->w, call);
}

void
bound_begin(const void *b, const struct dlq_kg_call *call)
{
    const bound *const to = (const bound *)b;
    if (to->narrow != nullptr) {
        check(dlq_kg_dense()->keep_bias(to->w, call->bias, to->narrow) == 0, "dense: keep_bias");
    }
}

// Small integers, whose sums are exact: y is the one rounding of sum + bias, where a rounding of
// the sum before it would show. With a bias that the type of x holds and one that it does not;
// `kept`: both through keep_bias(), which says which.
void
check_bias(const layout &l, bool holds, bool kept)
{
    const struct dlq_kg_dense_ops *const op = dlq_kg_dense();
    char what[128];
    snprintf(what, sizeof(what), "dense %s bias%s%s m %ld k %ld n %ld%s", dtype_name(l.act),
             holds ? "" : " of more bits", kept ? " kept" : "", (long)l.m, (long)l.k, (long)l.n,
             l.odd ? " odd" : "");
    const size_t bytes = (size_t)(l.n * l.k) * 2;
    void *const w = malloc(bytes);
    float *const x = (float *)malloc((size_t)(l.m * l.k) * 4);
    float *const y = (float *)malloc((size_t)(l.m * l.n) * 4);
    float *const bias = (float *)malloc((size_t)l.n * 4);
    uint64_t state = (uint64_t)(l.m + l.k + l.n);
    const int most = l.act == DLQ_F16 ? 40 : 15;
    for (int64_t i = 0; i < l.n * l.k; i++) {
        dlq_k_store_f32(w, l.act, i, (float)((int)(random_word(&state) % (2u * most)) - most));
    }
    for (int64_t i = 0; i < l.m * l.k; i++) {
        x[i] = i < l.k ? 0.0f : (float)((int)(random_word(&state) % 17) - 8);
    }
    for (int64_t i = 0; i < l.n; i++) {
        bias[i] = (float)((int)(random_word(&state) % 255) - 127) + (holds ? 0.0f : 0x1p-12f);
    }
    uint8_t *device;
    const size_t room = (bytes + 255) / 256 * 256;
    HARNESS_CUDA(cudaMalloc(&device, room + (size_t)l.n * 2));
    HARNESS_CUDA(cudaMemcpy(device, w, bytes, cudaMemcpyHostToDevice));
    struct dlq_kg_dense_desc desc = {};
    desc.k = l.k;
    desc.n = l.n;
    desc.device = device_info();
    desc.dtype = l.act;
    desc.act_dtype = l.act;
    struct dlq_kg_dense layer_w;
    check(op->plan(&layer_w, &desc) == 0, "%s: plan", what);
    check(op->prepare(&layer_w, device, l.m) == 0, "%s: prepare", what);
    const bound b = {&layer_w, kept ? device + room : nullptr};
    const layer layer_op = {&b, bound_workspace, bound_apply, false, bound_begin};
    if (run_layer(layer_op, l, x, bias, y, what)) {
        int64_t wrong = 0;
        for (int64_t i = 0; i < l.m * l.n; i++) {
            double sum = bias[i % l.n];
            for (int64_t k = 0; k < l.k; k++) {
                sum += (double)x[i / l.n * l.k + k] *
                       (double)dlq_k_load_f32(w, l.act, i % l.n * l.k + k);
            }
            uint32_t once;
            dlq_k_store_f32(&once, l.act, 0, (float)sum);
            wrong += y[i] != dlq_k_load_f32(&once, l.act, 0);
        }
        check(wrong == 0, "%s: %ld elements are not rounded once", what, (long)wrong);
        check(!kept || (layer_w.narrow != nullptr) == holds, "%s: the bias is %skept", what,
              holds ? "not " : "");
    }
    op->release(&layer_w);
    HARNESS_CUDA(cudaFree(device));
    free(w);
    free(x);
    free(y);
    free(bias);
}

uint16_t *
device_integers(int64_t count, uint32_t dtype, int most)
{
    uint16_t *const host = (uint16_t *)malloc((size_t)count * 2), *device;
    uint64_t state = (uint64_t)count;
    for (int64_t i = 0; i < count; i++) {
        const int v = (int)(random_word(&state) % (2u * (unsigned)most + 1)) - most;
        dlq_k_store_f32(host, dtype, i, (float)v);
    }
    HARNESS_CUDA(cudaMalloc(&device, (size_t)count * 2));
    HARNESS_CUDA(cudaMemcpy(device, host, (size_t)count * 2, cudaMemcpyHostToDevice));
    free(host);
    return device;
}

// The algorithms that the library takes for larger layers: exact sums again, whose one rounding by
// a second kernel is what the library must give.
void
check_bias_ways(uint32_t act)
{
    const struct dlq_kg_dense_ops *const op = dlq_kg_dense();
    const int64_t k = 2048, n = 4096, most_m = 2048;
    uint16_t *const w = device_integers(n * k, act, act == DLQ_F16 ? 40 : 15);
    uint16_t *const x = device_integers(most_m * k, act, 8);
    uint16_t *const y[2] = {device_integers(most_m * n, act, 1),
                            device_integers(most_m * n, act, 2)};
    float *const host = (float *)malloc((size_t)n * 4), *bias;
    void *narrow, *workspace;
    unsigned long long *different;
    uint64_t state = 3;
    for (int64_t i = 0; i < n; i++) {
        host[i] = (float)((int)(random_word(&state) % 255) - 127);
    }
    HARNESS_CUDA(cudaMalloc(&bias, (size_t)n * 4));
    HARNESS_CUDA(cudaMalloc(&narrow, (size_t)n * 2));
    HARNESS_CUDA(cudaMalloc(&different, 8));
    HARNESS_CUDA(cudaMemcpy(bias, host, (size_t)n * 4, cudaMemcpyHostToDevice));
    struct dlq_kg_dense_desc desc = {};
    desc.k = k;
    desc.n = n;
    desc.device = device_info();
    desc.dtype = act;
    desc.act_dtype = act;
    struct dlq_kg_dense layer_w;
    check(op->plan(&layer_w, &desc) == 0 && op->prepare(&layer_w, w, 0) == 0 &&
              op->keep_bias(&layer_w, bias, narrow) == 0 && layer_w.narrow == narrow,
          "dense %s ways: set-up", dtype_name(act));
    struct dlq_kg_call call = {};
    call.workspace_size = op->workspace_size(&layer_w, most_m);
    HARNESS_CUDA(cudaMalloc(&workspace, call.workspace_size));
    call.x = x;
    call.x_stride = k;
    call.y_stride = n;
    call.bias = bias;
    call.workspace = workspace;
    for (int64_t m : {1, 2, 7, 16, 32, 64, 100, 128, 200, 256, 500, 1000, 2048}) {
        struct dlq_kg_dense wide = layer_w;
        wide.narrow = nullptr;
        unsigned long long count = 1;
        call.m = m;
        call.y = y[0];
        const int rc = op->apply(&layer_w, &call);
        call.y = y[1];
        check(rc == 0 && op->apply(&wide, &call) == 0, "dense %s ways: apply", dtype_name(act));
        HARNESS_CUDA(cudaMemset(different, 0, 8));
        harness_count_different<<<256, 256>>>(y[0], y[1], (size_t)(m * n), different);
        HARNESS_CUDA(cudaMemcpy(&count, different, 8, cudaMemcpyDeviceToHost));
        check(count == 0, "dense %s ways m %ld: %llu elements are not rounded once",
              dtype_name(act), (long)m, count);
    }
    op->release(&layer_w);
    for (void *p : {(void *)w, (void *)x, (void *)y[0], (void *)y[1], (void *)bias, narrow,
                    workspace, (void *)different}) {
        HARNESS_CUDA(cudaFree(p));
    }
    free(host);
}

void
check_refusals(void)
{
    const struct dlq_kg_dense_ops *const op = dlq_kg_dense();
    struct dlq_kg_dense_desc desc = {};
    desc.k = 64;
    desc.n = 64;
    desc.device = device_info();
    desc.dtype = DLQ_BF16;
    desc.act_dtype = DLQ_BF16;
    struct dlq_kg_dense w;
    check(op->plan(&w, &desc) == 0, "dense: a plain plan");
    desc.dtype = DLQ_I8;
    check(op->plan(&w, &desc) == -DLQ_K_EDTYPE, "dense: int8 weights are planned");
    desc.dtype = DLQ_BF16;
    desc.act_dtype = DLQ_F8_E4M3;
    check(op->plan(&w, &desc) == -DLQ_K_EDTYPE, "dense: fp8 activations are planned");
    desc.act_dtype = DLQ_F32;
    check(op->plan(&w, &desc) == 0 && op->keep_bias(&w, nullptr, nullptr) == -DLQ_K_EDTYPE,
          "dense: a bias of fp32 layers is kept");
    desc.act_dtype = DLQ_BF16;
    desc.k = 0;
    check(op->plan(&w, &desc) == -DLQ_K_ESHAPE, "dense: k 0 is planned");
    desc.k = 64;
    desc.n = (int64_t)INT32_MAX + 1;
    check(op->plan(&w, &desc) == -DLQ_K_ESHAPE, "dense: n 2^31 is planned");
}

} // namespace

void
check_dense(void)
{
    static const uint32_t types[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    static const struct {
        int64_t m, k, n;
    } shapes[] = {{1, 64, 64},   {1, 4099, 33},  {2, 31, 17},     {5, 1, 1},      {8, 512, 320},
                  {16, 96, 256}, {33, 129, 130}, {64, 1024, 200}, {100, 640, 72}, {257, 300, 128}};
    check_refusals();
    for (uint32_t w_dtype : types) {
        for (uint32_t act : types) {
            for (const auto &s : shapes) {
                for (int variant = 0; variant < 4; variant++) {
                    // Mixtures run one kernel: half of the variants say as much.
                    if ((w_dtype != act && variant % 3 == 0) || !GPU_SAMPLED()) {
                        continue;
                    }
                    check_one({s.m, s.k, s.n, act, (variant & 1) != 0, (variant & 2) != 0}, w_dtype,
                              false);
                }
            }
        }
    }
    for (int variant = 0; variant < 8; variant++) {
        const uint32_t act = variant & 1 ? DLQ_F16 : DLQ_BF16;
        const bool holds = (variant & 2) != 0, kept = (variant & 4) != 0;
        if (!GPU_SAMPLED()) {
            continue;
        }
        check_bias({1, 1024, 96, act, true, false}, holds, kept);
        check_bias({33, 129, 130, act, true, true}, holds, kept);
        check_bias({100, 512, 320, act, true, false}, holds, kept);
        check_bias({257, 640, 128, act, true, false}, holds, kept);
    }
    check_bias_ways(DLQ_F16);
    check_bias_ways(DLQ_BF16);
    check_one({33, 512, 256, DLQ_F32, true, false}, DLQ_F32, true);
    // More rows than sums fit the workspace of the wide path.
    check_one({700, 32, 16500, DLQ_BF16, true, false}, DLQ_BF16, false);
}

} // namespace ops
