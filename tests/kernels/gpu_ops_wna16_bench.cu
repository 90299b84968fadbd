// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Times of weight-only integer layers through dlq_kg_wna16(): microseconds a call in a graph, with
// weights that rotate through more memory than the L2 cache holds.
extern "C" {
#include "kernels/gpu_wna16.h"
}

#include "gpu_ops.cuh"

namespace ops
{

namespace
{

constexpr int64_t COLD_BYTES = 300 << 20;
constexpr int MAX_COPIES = 64;

struct bench {
    struct dlq_kg_wna16 w;
    void *data[MAX_COPIES];
    int copies;
    struct dlq_kg_call call;
};

int
run_call(void *context, int i, cudaStream_t stream)
{
    const bench *const b = (const bench *)context;
    struct dlq_kg_wna16 w = b->w;
    struct dlq_kg_call call = b->call;
    w.data = b->data[i % b->copies];
    call.stream = stream;
    return dlq_kg_wna16()->apply(&w, &call);
}

void *
device_memory(size_t bytes)
{
    void *p;
    HARNESS_CUDA(cudaMalloc(&p, bytes));
    return p;
}

// Random codes, all scales the same.
bool
bench_make(bench *b, const struct dlq_kg_wna16_desc *d)
{
    const struct dlq_kg_wna16_ops *const op = dlq_kg_wna16();
    const struct dlq_k_wna16_shape *const s = &d->shape;
    const int64_t groups = (s->k + s->group - 1) / s->group, words = s->n * s->k * s->bits / 32;
    *b = {};
    if (op->plan(&b->w, d) != 0) {
        return false;
    }
    uint32_t *const codes = (uint32_t *)device_memory((size_t)words * 4);
    uint32_t *const zeros = (uint32_t *)device_memory((size_t)(groups * s->n) * s->bits / 8 + 4);
    uint16_t *const scales = (uint16_t *)device_memory((size_t)(groups * s->n) * 2);
    int32_t *const g_idx = (int32_t *)malloc((size_t)s->k * 4);
    for (int64_t i = 0; i < s->k; i++) {
        g_idx[i] = (int32_t)(i * 7919 % s->k / s->group);
    }
    harness_fill_words<<<1024, 256>>>(codes, (size_t)words, 1);
    harness_fill_words<<<1024, 256>>>(zeros, (size_t)(groups * s->n) * s->bits / 32, 2);
    harness_fill_normal<<<1024, 256>>>(scales, (size_t)(groups * s->n), 3, 0.01f, 0.001f,
                                       d->act_dtype == DLQ_BF16);
    struct dlq_kg_wna16_source source = {};
    source.arrays.layout = DLQ_K_WNA16_K_DENSE;
    source.arrays.codes = codes;
    source.arrays.zeros = s->has_zero_points ? zeros : nullptr;
    source.arrays.scales = scales;
    source.arrays.scale_dtype = d->scale_dtype;
    source.arrays.g_idx = d->act_order ? g_idx : nullptr;
    b->data[0] = device_memory((size_t)b->w.bytes);
    const int rc = op->pack(&b->w, &source, b->data[0], nullptr);
    const int64_t wanted = COLD_BYTES / b->w.bytes + 1;
    b->copies = (int)(wanted < 2 ? 2 : wanted > MAX_COPIES ? MAX_COPIES : wanted);
    for (int i = 1; i < b->copies; i++) {
        b->data[i] = device_memory((size_t)b->w.bytes);
        HARNESS_CUDA(
            cudaMemcpy(b->data[i], b->data[0], (size_t)b->w.bytes, cudaMemcpyDeviceToDevice));
    }
    HARNESS_CUDA(cudaFree(codes));
    HARNESS_CUDA(cudaFree(zeros));
    HARNESS_CUDA(cudaFree(scales));
    free(g_idx);
    return rc == 0;
}

double
bench_time(bench *b, int64_t m, cudaStream_t stream)
{
    const struct dlq_kg_wna16_desc *const d = &b->w.desc;
    const size_t size = DLQ_DTYPE_BITS(d->act_dtype) / 8;
    b->call.m = m;
    b->call.x_stride = d->shape.k;
    b->call.y_stride = d->shape.n;
    b->call.workspace_size = dlq_kg_wna16()->workspace_size(&b->w, m);
    void *const x = device_memory((size_t)(m * d->shape.k) * size);
    b->call.x = x;
    b->call.y = device_memory((size_t)(m * d->shape.n) * size);
    b->call.workspace = device_memory(b->call.workspace_size + 256);
    if (size == 2) {
        harness_fill_normal<<<1024, 256>>>((uint16_t *)x, (size_t)(m * d->shape.k), 4, 0, 1,
                                           d->act_dtype == DLQ_BF16);
    } else {
        HARNESS_CUDA(cudaMemset(x, 0, (size_t)(m * d->shape.k) * size));
    }
    HARNESS_CUDA(cudaDeviceSynchronize());
    const double us = harness_time(run_call, b, b->copies, 2.0, 2000.0, stream);
    HARNESS_CUDA(cudaFree(x));
    HARNESS_CUDA(cudaFree(b->call.y));
    HARNESS_CUDA(cudaFree(b->call.workspace));
    return us;
}

} // namespace

void
bench_wna16(void)
{
    static const int64_t rows[] = {1, 4, 8, 16, 32, 64, 128, 256, 512, 2048};
    static const struct {
        int64_t k, n;
    } shapes[] = {{4096, 6144},  {4096, 4096}, {4096, 28672}, {14336, 4096},
                  {8192, 10240}, {8192, 8192}, {8192, 57344}, {28672, 8192}};
    static const struct {
        const char *name;
        int bits;
        int64_t group;
        bool zeros, order, early;
        uint32_t act;
        int capability;
        bool all; // every shape, or only one
    } kinds[] = {
        {"u4 g128 zeros f16, as on sm_80", 4, 128, true, false, false, DLQ_F16, 80, true},
        {"u8 g128 f16", 8, 128, false, false, false, DLQ_F16, 0, true},
        {"u4 g128 zeros f16, as on sm_80, early launch", 4, 128, true, false, true, DLQ_F16, 80,
         true},
        {"u8 g128 bf16", 8, 128, false, false, false, DLQ_BF16, 0, false},
        {"u4 g128 bf16, as on sm_80", 4, 128, true, false, false, DLQ_BF16, 80, false},
        {"u8 one group f16", 8, 0, false, false, false, DLQ_F16, 0, false},
        {"u4 g32 f16, as on sm_80", 4, 32, true, false, false, DLQ_F16, 80, false},
        {"u4 g128 act order f16", 4, 128, false, true, false, DLQ_F16, 0, false},
        {"u4 g128 f32", 4, 128, false, false, false, DLQ_F32, 0, false},
        {"u4 g128 zeros f16, own form", 4, 128, true, false, false, DLQ_F16, 0, false},
    };
    cudaStream_t stream;
    HARNESS_CUDA(cudaStreamCreate(&stream));
    for (const auto &kind : kinds) {
        printf("%s\n%14s", kind.name, "us, m =");
        for (int64_t m : rows) {
            printf(" %8ld", (long)m);
        }
        printf("\n");
        for (const auto &s : shapes) {
            if (!kind.all && (s.k != 8192 || s.n != 8192)) {
                continue;
            }
            struct dlq_kg_wna16_desc d = {};
            d.shape.k = s.k;
            d.shape.n = s.n;
            d.shape.group = kind.group != 0 ? kind.group : s.k;
            d.shape.bits = kind.bits;
            d.shape.has_zero_points = kind.zeros;
            d.device = device_info();
            d.device.early = kind.early;
            d.device.capability = kind.capability != 0 ? kind.capability : device_info().capability;
            d.act_dtype = kind.act;
            d.scale_dtype = kind.act == DLQ_F32 ? (uint32_t)DLQ_F16 : kind.act;
            d.act_order = kind.order;
            bench b;
            if (!bench_make(&b, &d)) {
                printf("%ld x %ld: not packed\n", (long)s.k, (long)s.n);
                continue;
            }
            printf("%6ld x %5ld", (long)s.k, (long)s.n);
            for (int64_t m : rows) {
                printf(" %8.1f", bench_time(&b, m, stream));
            }
            printf("\n");
            for (int i = 0; i < b.copies; i++) {
                HARNESS_CUDA(cudaFree(b.data[i]));
            }
        }
    }
    HARNESS_CUDA(cudaStreamDestroy(stream));
}

} // namespace ops
