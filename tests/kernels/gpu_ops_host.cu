// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What apply costs the calling thread, beside what its launches cost when they are all it does: the
// kernels of a captured call, with its very arguments, enqueued again.
extern "C" {
#include "kernels/gpu_w8a8.h"
#include "kernels/gpu_wna16.h"
}

#include "gpu_ops_fp.cuh"
#include "kernels/cuda/launch.cuh"

#include <string.h>
#include <time.h>

namespace ops
{

namespace
{

enum { K = 4096, N = 4096, MAX_M = 1024, MAX_NODES = 16 };

// A turn of few calls is over before others want the processor, so that some of many turns are
// undisturbed; those of a second look, more so.
enum { CALLS = 8, TURNS = 64, TURNS_AGAIN = 512 };

// What a call enqueues.
struct launches {
    cudaGraph_t graph;
    cudaStream_t stream;
    struct {
        bool is_kernel;
        cudaMemsetParams memset;
        cudaKernelNodeParams kernel;
        unsigned cluster;
    } list[MAX_NODES];
    int count;
};

// False when there is something that is neither a kernel nor a memset.
bool
launches_of(launches *l, const layer &op, const struct dlq_kg_call *call)
{
    l->stream = (cudaStream_t)call->stream;
    HARNESS_CUDA(cudaStreamBeginCapture(l->stream, cudaStreamCaptureModeThreadLocal));
    const int rc = op.apply(op.w, call);
    HARNESS_CUDA(cudaStreamEndCapture(l->stream, &l->graph));
    cudaGraphNode_t nodes[MAX_NODES];
    size_t count = MAX_NODES;
    HARNESS_CUDA(cudaGraphGetNodes(l->graph, nodes, &count));
    l->count = (int)count;
    bool good = rc == 0 && count > 0;
    for (size_t i = 0; i < count && good; i++) {
        auto *const to = &l->list[i];
        cudaGraphNodeType type;
        cudaLaunchAttributeValue value = {};
        HARNESS_CUDA(cudaGraphNodeGetType(nodes[i], &type));
        to->is_kernel = type == cudaGraphNodeTypeKernel;
        good = to->is_kernel || type == cudaGraphNodeTypeMemset;
        if (to->is_kernel) {
            HARNESS_CUDA(cudaGraphKernelNodeGetParams(nodes[i], &to->kernel));
            HARNESS_CUDA(cudaGraphKernelNodeGetAttribute(
                nodes[i], cudaLaunchAttributeClusterDimension, &value));
            to->cluster = value.clusterDim.x;
        } else if (good) {
            HARNESS_CUDA(cudaGraphMemsetNodeGetParams(nodes[i], &to->memset));
        }
    }
    return good;
}

struct both {
    const layer *op;
    const struct dlq_kg_call *call;
    const launches *l;
};

int
call_layer(void *context, int, cudaStream_t)
{
    const both *const b = (const both *)context;
    return b->op->apply(b->op->w, b->call);
}

int
call_launches(void *context, int, cudaStream_t stream)
{
    const launches *const l = ((const both *)context)->l;
    for (int i = 0; i < l->count; i++) {
        const auto &one = l->list[i];
        cudaError_t rc;
        if (one.is_kernel) {
            const dlq::launch_config launch(one.kernel.gridDim, one.kernel.blockDim.x,
                                            one.kernel.sharedMemBytes, device_info().early, stream,
                                            one.cluster);
            rc = cudaLaunchKernelExC(&launch.config, one.kernel.func, one.kernel.kernelParams);
        } else {
            rc = cudaMemsetAsync(one.memset.dst, (int)one.memset.value,
                                 one.memset.width * one.memset.elementSize * one.memset.height,
                                 stream);
        }
        if (rc != cudaSuccess) {
            return (int)rc;
        }
    }
    return 0;
}

double
seconds(void)
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Memory of bytes that are finite numbers of every type, but for codes.
struct bed {
    uint8_t *source, *packed, *x, *y, *workspace;
    size_t workspace_bytes;
    cudaStream_t stream;
};

void
time_layer(const bed &b, const layer &op, const char *name, const char *kernel, double limit)
{
    static const int64_t ms[] = {1, 64, 1024};
    for (int64_t m : ms) {
        struct dlq_kg_call c = {};
        c.m = m;
        c.x = b.x;
        c.x_stride = K;
        c.y = b.y;
        c.y_stride = N;
        c.workspace = b.workspace;
        c.workspace_size = b.workspace_bytes;
        c.stream = b.stream;
        launches l;
        const both of = {&op, &c, &l};
        char what[128];
        snprintf(what, sizeof(what), "%s (%s) m %ld", name, kernel, (long)m);
        check(op.workspace_size(op.w, m) <= b.workspace_bytes, "host: %s needs much", what);
        if (launches_of(&l, op, &c)) {
            snprintf(what + strlen(what), sizeof(what) - strlen(what), ", %d launches", l.count);
            check_host_time(call_layer, call_launches, (void *)&of, b.stream, what, limit);
        } else {
            check(false, "host: %s: its launches are not seen", what);
        }
        HARNESS_CUDA(cudaGraphDestroy(l.graph));
    }
}

template <class W, const auto *(*Ops)(void)> struct bound {
    static size_t workspace_size(const void *w, int64_t m)
    {
        return Ops()->workspace_size((const W *)w, m);
    }
    static int apply(const void *w, const struct dlq_kg_call *call)
    {
        return Ops()->apply((const W *)w, call);
    }
    static layer of(const W *w)
    {
        return {w, workspace_size, apply, false};
    }
};

void
host_fp(const bed &b, double limit)
{
    static const fp_kind kinds[] = {
        {"fp8 token", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 0, 1, DLQ_K_FP_FP8_TOKEN, 0},
        {"fp8 tensor", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 0, 1, DLQ_K_FP_FP8_TENSOR, 0},
        {"fp8 block, group 128", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 128, 128, DLQ_K_FP_FP8_GROUP, 0},
        {"w8a16 fp8 channel", DLQ_F8_E4M3, DLQ_F32, DLQ_BF16, 0, 1, DLQ_K_FP_NONE, 0},
        {"w8a16 fp8 channel, fp32 x", DLQ_F8_E4M3, DLQ_F32, DLQ_F32, 0, 1, DLQ_K_FP_NONE, 0},
        {"nvfp4a16", DLQ_F4_E2M1, DLQ_F8_E4M3, DLQ_BF16, 16, 1, DLQ_K_FP_NONE, 0},
        {"nvfp4", DLQ_F4_E2M1, DLQ_F8_E4M3, DLQ_BF16, 16, 1, DLQ_K_FP_NVFP4, 0},
        {"mxfp4a16", DLQ_F4_E2M1, DLQ_F8_E8M0, DLQ_BF16, 32, 1, DLQ_K_FP_NONE, 0},
        {"mxfp8", DLQ_F8_E4M3, DLQ_F8_E8M0, DLQ_BF16, 32, 1, DLQ_K_FP_MXFP8, 0},
    };
    const struct dlq_kg_fp_ops *const op = dlq_kg_fp();
    for (const auto &v : kinds) {
        const struct dlq_kg_fp_desc d = fp_desc(v, K, N);
        struct dlq_kg_fp_source source = {};
        source.codes = source.scales = b.source;
        struct dlq_kg_fp w;
        check(op->plan(&w, &d) == 0 && op->pack(&w, &source, b.packed, nullptr) == 0,
              "host: %s is packed", v.name);
        time_layer(b, bound<struct dlq_kg_fp, dlq_kg_fp>::of(&w), v.name, op->kernel(&w, 1), limit);
    }
}

void
host_w8a8(const bed &b, double limit)
{
    const struct dlq_kg_w8a8_ops *const op = dlq_kg_w8a8();
    for (uint32_t act : {(uint32_t)DLQ_BF16, (uint32_t)DLQ_F32}) {
        struct dlq_kg_w8a8_desc d = {};
        d.k = K;
        d.n = N;
        d.device = device_info();
        d.act_dtype = act;
        struct dlq_kg_w8a8_source source = {};
        source.codes = (const int8_t *)b.source;
        source.bits = 8;
        source.scales = (const float *)b.source;
        struct dlq_kg_w8a8 w;
        check(op->plan(&w, &d) == 0 && op->pack(&w, &source, b.packed, nullptr) == 0,
              "host: w8a8 is packed");
        time_layer(b, bound<struct dlq_kg_w8a8, dlq_kg_w8a8>::of(&w),
                   act == DLQ_F32 ? "int8 token, fp32 x" : "int8 token", op->kernel(&w, 1), limit);
    }
}

void
host_wna16(const bed &b, double limit)
{
    static const struct {
        const char *name;
        int bits;
        bool order;
        int capability;
        uint32_t act;
    } kinds[] = {{"w4a16", 4, false, 0, DLQ_BF16},
                 {"w4a16 as on 8.0", 4, false, 80, DLQ_BF16},
                 {"w4a16 act order", 4, true, 0, DLQ_BF16},
                 {"w4a16, fp32 x", 4, false, 0, DLQ_F32},
                 {"w8a16", 8, false, 0, DLQ_BF16}};
    const struct dlq_kg_wna16_ops *const op = dlq_kg_wna16();
    int32_t *const g_idx = (int32_t *)malloc(K * sizeof(*g_idx));
    for (int i = 0; i < K; i++) {
        g_idx[i] = i * 7919 % K / 128;
    }
    for (const auto &v : kinds) {
        struct dlq_kg_wna16_desc d = {};
        d.shape.k = K;
        d.shape.n = N;
        d.shape.group = 128;
        d.shape.bits = v.bits;
        d.device = device_info();
        d.device.capability = v.capability != 0 ? v.capability : d.device.capability;
        d.act_dtype = v.act;
        d.scale_dtype = DLQ_BF16;
        d.act_order = v.order;
        struct dlq_kg_wna16_source source = {};
        source.arrays.layout = DLQ_K_WNA16_K_DENSE;
        source.arrays.codes = source.arrays.scales = b.source;
        source.arrays.scale_dtype = d.scale_dtype;
        source.arrays.g_idx = v.order ? g_idx : nullptr;
        struct dlq_kg_wna16 w;
        check(op->plan(&w, &d) == 0 && op->pack(&w, &source, b.packed, nullptr) == 0,
              "host: %s is packed", v.name);
        time_layer(b, bound<struct dlq_kg_wna16, dlq_kg_wna16>::of(&w), v.name, op->kernel(&w, 1),
                   limit);
    }
    free(g_idx);
}

// Microseconds that a call takes beyond what is within it: the fastest turns of both, one after the
// other.
double
time_both(harness_call call, harness_call alone, void *context, cudaStream_t stream,
          const char *what, int turns)
{
    double us[2] = {1e9, 1e9};
    int bad = 0;
    for (int turn = 0; turn < 2 * turns; turn++) {
        HARNESS_CUDA(cudaStreamSynchronize(stream));
        const double from = seconds();
        for (int i = 0; i < CALLS; i++) {
            bad |= (turn % 2 == 0 ? call : alone)(context, i, stream);
        }
        us[turn % 2] = fmin(us[turn % 2], (seconds() - from) * 1e6 / CALLS);
    }
    HARNESS_CUDA(cudaStreamSynchronize(stream));
    check(bad == 0, "host: %s: %d", what, bad);
    printf("%s: %.2f us, %.2f beyond %.2f\n", what, us[0], us[0] - us[1], us[1]);
    return us[0] - us[1];
}

} // namespace

void
check_host_time(harness_call call, harness_call alone, void *context, cudaStream_t stream,
                const char *what, double limit)
{
    double beyond = time_both(call, alone, context, stream, what, TURNS);
    if (beyond > limit) {
        beyond = time_both(call, alone, context, stream, what, TURNS_AGAIN);
    }
    check(beyond <= limit, "host: %s: %.2f us beyond its launches", what, beyond);
}

void
check_host(double limit)
{
    const size_t source = (size_t)K * N * 2, packed = (size_t)K * N * 2;
    bed b = {};
    b.workspace_bytes = 256u << 20;
    HARNESS_CUDA(cudaMalloc(&b.source, source));
    HARNESS_CUDA(cudaMalloc(&b.packed, packed));
    HARNESS_CUDA(cudaMalloc(&b.x, (size_t)MAX_M * K * 4));
    HARNESS_CUDA(cudaMalloc(&b.y, (size_t)MAX_M * N * 4));
    HARNESS_CUDA(cudaMalloc(&b.workspace, b.workspace_bytes));
    HARNESS_CUDA(cudaStreamCreate(&b.stream));
    HARNESS_CUDA(cudaMemset(b.source, 0x3c, source));
    HARNESS_CUDA(cudaMemset(b.x, 0x3c, (size_t)MAX_M * K * 4));
    HARNESS_CUDA(cudaDeviceSynchronize());
    check_host_dense(limit);
    host_wna16(b, limit);
    host_w8a8(b, limit);
    host_fp(b, limit);
    void *const all[] = {b.source, b.packed, b.x, b.y, b.workspace};
    for (void *each : all) {
        HARNESS_CUDA(cudaFree(each));
    }
    HARNESS_CUDA(cudaStreamDestroy(b.stream));
}

} // namespace ops
