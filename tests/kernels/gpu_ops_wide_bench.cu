// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Grouped products on mma.sync and on wgmma side by side: microseconds a call in a graph, weights
// rotate through more memory than the L2 cache holds. Both results are compared first.
#include "kernels/cuda/sm90_grouped.h"

#include "gpu_ops.cuh"

#include <string.h>

namespace ops
{

namespace
{

constexpr int64_t COLD_BYTES = 300 << 20, MAX_M = 4096, PITCH = 4096;
constexpr int MAX_COPIES = 64;
constexpr int MMA_ONLY = 91; // a capability that has all of Hopper's shared memory and no wgmma

struct kind {
    const char *name;
    int32_t code;
    uint32_t scale_dtype;
    int64_t group; // 0: one
    bool bf16, x_scaled;
};

struct bed {
    kind v;
    int64_t k, n;
    struct dlq_k_grouped w;
    enum sm90_grouped_sums sums;
    uint8_t *data[MAX_COPIES];
    int copies;
    uint16_t *x, *y[2];
    float *x_scale;
    void *workspace;
    size_t workspace_size;
    unsigned long long *different;
    // Of the calls that are timed.
    int64_t m;
    int32_t capability;
    const struct sm90_grouped_plan *plan; // or NULL: what is chosen
    uint16_t *out;
};

template <class T>
T *
device_memory(int64_t bytes)
{
    void *p;
    HARNESS_CUDA(cudaMalloc(&p, (size_t)bytes));
    return (T *)p;
}

__global__ void
fill_bytes(uint8_t *p, size_t n, uint32_t seed, uint32_t least, uint32_t count)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x)
        p[i] = (uint8_t)(least + harness_hash(i, seed) % count);
}

__global__ void
fill_floats(float *p, size_t n, uint32_t seed)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x)
        p[i] = 0.001f + 0.01f * (float)(harness_hash(i, seed) % 64);
}

// Elements that differ by more than rounding and sums of 2^-14 of a typical one can make them.
__global__ void
count_different(const uint16_t *a, const uint16_t *b, size_t n, int bf16, float typical,
                unsigned long long *count)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x) {
        const float v = harness_value(a[i], bf16), u = harness_value(b[i], bf16);
        const float ulp = fmaxf(fabsf(v), fabsf(u)) * (bf16 ? 0x1p-7f : 0x1p-10f);
        if (!(fabsf(v - u) <= ulp + typical * 0x1p-12f))
            atomicAdd(count, 1ull);
    }
}

bool
bed_make(bed *b, const kind &v, int64_t k, int64_t n)
{
    *b = {};
    b->v = v;
    b->k = k;
    b->n = n;
    struct dlq_k_grouped_desc d = {};
    d.k = k;
    d.n = n;
    d.group = v.group != 0 ? v.group : k;
    d.code = v.code;
    d.scale_dtype = v.scale_dtype;
    d.zero = v.code == DLQ_K_GROUPED_U8 ? 128 : 0;
    if (dlq_k_grouped_plan(&b->w, &d) != 0)
        return false;
    const bool nibbles = v.code == DLQ_K_GROUPED_E2M1;
    const int64_t codes = n * k / (nibbles ? 2 : 1), scales = n * (k / d.group);
    uint8_t *const source = device_memory<uint8_t>(codes);
    uint8_t *const scale = device_memory<uint8_t>(scales * 4);
    // e4m3 codes below 127 and all scales positive, none zero.
    fill_bytes<<<1024, 256>>>(source, (size_t)codes, 1, 0,
                              v.code == DLQ_K_GROUPED_E4M3 ? 127 : 256);
    if (v.scale_dtype == DLQ_F32)
        fill_floats<<<1024, 256>>>((float *)scale, (size_t)scales, 2);
    else if (v.scale_dtype == DLQ_F16)
        harness_fill_normal<<<1024, 256>>>((uint16_t *)scale, (size_t)scales, 2, 0.01f, 0.001f, 0);
    else
        fill_bytes<<<1024, 256>>>(scale, (size_t)scales, 2,
                                  v.scale_dtype == DLQ_F8_E8M0 ? 118 : 0x20, 8);
    struct dlq_k_grouped_source s = {};
    s.layout = nibbles ? DLQ_K_GROUPED_NIBBLES : DLQ_K_GROUPED_BYTES;
    s.bits = 8;
    s.codes = source;
    s.scales = scale;
    s.scale_rows = 1;
    b->data[0] = device_memory<uint8_t>(b->w.bytes);
    const int rc = dlq_k_grouped_pack(&b->w, &s, b->data[0], nullptr);
    const int64_t wanted = COLD_BYTES / b->w.bytes + 1;
    b->copies = (int)(wanted < 2 ? 2 : wanted > MAX_COPIES ? MAX_COPIES : wanted);
    for (int i = 1; i < b->copies; i++) {
        b->data[i] = device_memory<uint8_t>(b->w.bytes);
        HARNESS_CUDA(
            cudaMemcpy(b->data[i], b->data[0], (size_t)b->w.bytes, cudaMemcpyDeviceToDevice));
    }
    HARNESS_CUDA(cudaFree(source));
    HARNESS_CUDA(cudaFree(scale));
    b->x = device_memory<uint16_t>(MAX_M * k * 2);
    harness_fill_normal<<<1024, 256>>>(b->x, (size_t)(MAX_M * k), 4, 0, 0.05f, v.bf16);
    b->y[0] = device_memory<uint16_t>(MAX_M * n * 2);
    b->y[1] = device_memory<uint16_t>(MAX_M * n * 2);
    b->x_scale = device_memory<float>(k / 64 * PITCH * 4);
    fill_floats<<<1024, 256>>>(b->x_scale, (size_t)(k / 64 * PITCH), 5);
    int64_t sizes[DLQ_K_GROUPED_SIZES];
    dlq_k_grouped_sizes(&b->w, device_info().multiprocessors, sizes);
    b->workspace_size = dlq_k_grouped_workspace(&b->w, sizes, MAX_M, 1);
    b->workspace = device_memory<void>((int64_t)b->workspace_size + 256);
    b->different = device_memory<unsigned long long>(8);
    HARNESS_CUDA(cudaDeviceSynchronize());
    return rc == 0 && sm90_grouped_takes(&b->w, v.bf16, v.x_scaled, &b->sums);
}

void
bed_free(bed *b)
{
    void *const all[] = {b->x, b->y[0], b->y[1], b->x_scale, b->workspace, b->different};
    for (void *p : all)
        HARNESS_CUDA(cudaFree(p));
    for (int i = 0; i < b->copies; i++)
        HARNESS_CUDA(cudaFree(b->data[i]));
}

int
run_call(void *context, int i, cudaStream_t stream)
{
    const bed *const b = (const bed *)context;
    struct dlq_k_grouped w = b->w;
    w.data = b->data[i % b->copies];
    struct dlq_k_grouped_call c = {};
    c.m = b->m;
    c.x.data = b->x;
    c.x.stride = c.x.k = b->k;
    c.x.bf16 = b->v.bf16;
    c.x.parts = 1;
    c.x_scale = b->v.x_scaled ? b->x_scale : nullptr;
    c.x_scale_stride = PITCH;
    c.y = b->out;
    c.y_stride = b->n;
    c.y_dtype = b->v.bf16 ? DLQ_BF16 : DLQ_F16;
    c.multiprocessors = device_info().multiprocessors;
    c.capability = b->capability;
    c.early = device_info().early != 0;
    c.workspace = b->workspace;
    c.workspace_size = b->workspace_size;
    return b->plan != nullptr ? grouped_run_wide(&w, &c, b->sums, b->plan, stream)
                              : dlq_k_grouped_run(&w, &c, stream);
}

double
time_calls(bed *b, int32_t capability, const struct sm90_grouped_plan *plan, cudaStream_t stream)
{
    b->capability = capability;
    b->plan = plan;
    b->out = b->y[0];
    return harness_time(run_call, b, b->copies, 1.0, 3000.0, stream);
}

// How many elements of the last rows differ between both.
long
compare(bed *b, cudaStream_t stream)
{
    const size_t count = (size_t)(b->m * b->n);
    b->plan = nullptr;
    for (int i = 0; i < 2; i++) {
        b->capability = i == 0 ? MMA_ONLY : 90;
        b->out = b->y[i];
        HARNESS_CUDA(cudaMemsetAsync(b->out, 0xff, count * 2, stream));
        check(run_call(b, 0, stream) == 0, "bench %s: a call", b->v.name);
    }
    HARNESS_CUDA(cudaMemsetAsync(b->different, 0, 8, stream));
    const float typical = (b->v.x_scaled ? 0.3f : 1.0f) * 0.05f * sqrtf((float)b->k) *
                          (b->v.code == DLQ_K_GROUPED_U8     ? 0.7f
                           : b->v.code == DLQ_K_GROUPED_E4M3 ? 30.0f
                                                             : 0.1f);
    count_different<<<1024, 256, 0, stream>>>(b->y[0], b->y[1], count, b->v.bf16, typical,
                                              b->different);
    unsigned long long different;
    HARNESS_CUDA(cudaStreamSynchronize(stream));
    HARNESS_CUDA(cudaMemcpy(&different, b->different, 8, cudaMemcpyDeviceToHost));
    return (long)different;
}

// Every plan of tiles that suit the rows, for the costs that plans are chosen by.
void
time_plans(bed *b, cudaStream_t stream)
{
    const int64_t pairs = (b->w.padded_k / 64 + 1) / 2;
    for (int tile = 0; tile < SM90_GROUPED_TILES; tile++)
        for (int splits = 1; splits <= (sm90_grouped_tiles[tile].pair > 1 ? 1 : 8); splits *= 2) {
            const struct sm90_grouped_plan plan = {tile, splits, (pairs + splits - 1) / splits * 2};
            const int64_t tall = sm90_grouped_tiles[tile].rows;
            if (b->m * 4 <= tall || b->m > 8 * tall || splits > pairs)
                continue;
            const double us = time_calls(b, 90, &plan, stream);
            if (us > 0)
                printf(" %d/%d:%.2f", tile, splits, us);
        }
}

} // namespace

void
bench_grouped(const char *only, bool plans)
{
    static const int64_t rows[] = {1,   8,   16,  24,  32,  48,   64,   96,  128,
                                   192, 256, 384, 512, 768, 1024, 2048, 4096};
    static const struct {
        int64_t k, n;
    } shapes[] = {{8192, 8192},  {4096, 4096},  {4096, 6144},  {4096, 28672},
                  {14336, 4096}, {8192, 10240}, {8192, 57344}, {28672, 8192}};
    static const kind kinds[] = {
        {"u8 g128 f16", DLQ_K_GROUPED_U8, DLQ_F16, 128, false, false},
        {"fp8 channel bf16", DLQ_K_GROUPED_E4M3, DLQ_F32, 0, true, false},
        {"nvfp4 bf16", DLQ_K_GROUPED_E2M1, DLQ_F8_E4M3, 16, true, false},
        {"fp8 block bf16", DLQ_K_GROUPED_E4M3, DLQ_F32, 128, true, false},
        {"fp8 block bf16 x scaled", DLQ_K_GROUPED_E4M3, DLQ_F32, 128, true, true},
        {"mxfp4 bf16", DLQ_K_GROUPED_E2M1, DLQ_F8_E8M0, 32, true, false},
        {"mxfp8 bf16", DLQ_K_GROUPED_E4M3, DLQ_F8_E8M0, 32, true, false},
        {"u8 channel bf16", DLQ_K_GROUPED_U8, DLQ_F16, 0, true, false},
    };
    cudaStream_t stream;
    HARNESS_CUDA(cudaStreamCreate(&stream));
    printf("kind: K x N, m: us on mma.sync / as chosen / elements that differ%s\n",
           plans ? " / every tile and number of parts" : "");
    for (const kind &v : kinds) {
        if (only != nullptr && strncmp(v.name, only, strlen(only)) != 0)
            continue;
        for (const auto &s : shapes) {
            bed b;
            if (!bed_make(&b, v, s.k, s.n)) {
                printf("%s: %ld x %ld not packed\n", v.name, (long)s.k, (long)s.n);
                continue;
            }
            for (int64_t m : rows) {
                if (!plans && (m & (m - 1)) != 0)
                    continue;
                b.m = m;
                const long different = compare(&b, stream);
                const double mma = time_calls(&b, MMA_ONLY, nullptr, stream);
                printf("%s: %ld x %ld, %ld: %.2f / %.2f / %ld", v.name, (long)s.k, (long)s.n,
                       (long)m, mma, time_calls(&b, 90, nullptr, stream), different);
                if (plans && m >= 8 && m <= 1024)
                    time_plans(&b, stream);
                printf("\n");
            }
            bed_free(&b);
        }
    }
    HARNESS_CUDA(cudaStreamDestroy(stream));
}

} // namespace ops
