// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

extern "C" {
#include "../gpu_dense.h"
}

#include "cublaslt.h"
#include "dense_simt.h"
#include "gpu_device.cuh"

#include <pthread.h>
#include <stdlib.h>

// cuBLASLt computes y^T = W x^T, column-major: W is [k, n] there and transposed, x is [k, m].
//
// Algorithms are chosen by prepare() and kept by shape, for every layer of that shape: for counts
// of rows 1, 2, 4, 8, 16, 20, 24, 28, 32, 40, ... 16384, for operands that begin at multiples of 16
// bytes in every row and for such that do not, and for four ways to treat the bias:
//
//     PLAIN   there is none
//     FUSED   the library adds it, in fp32; for 16-bit y it may not take an fp32 bias
//     NARROW  the library adds a copy of it in the type of y, which holds every value; in fp32 too
//     WIDE    the library writes fp32 sums to the workspace, a second kernel adds it and rounds
//
// so that y is rounded once in each. What the library does not take runs in dense_simt.cu.

namespace
{

enum { PLAIN, FUSED, NARROW, WIDE, KINDS };
enum { BUCKETS = 45, DEVICES = 64 };

// About the sums of WIDE that the L2 still holds when they are read again; more rows go in parts.
const int64_t WIDE_BYTES = 24 << 20;
const int64_t WIDE_ROWS = 256; // parts are multiples of it: whole tiles of the library

struct choice {
    bool usable;
    size_t workspace;
    cublasLtMatmulAlgo_t algo;
};

struct key {
    int64_t k, n;
    int32_t device;
    uint32_t dtype;
    bool tf32;
    bool weights_aligned;
};

struct shape {
    struct key key;
    cublasLtHandle_t handle;
    shape *next;
    int refs;
    int buckets; // chosen so far
    choice choices[BUCKETS][KINDS][2];
    size_t workspace[BUCKETS]; // the most of it and of the buckets before
    bool wide[BUCKETS];        // WIDE is usable in it or in one before
};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
shape *shapes;
struct {
    cublasLtHandle_t handle;
    int refs;
} handles[DEVICES];

enum own { OWN_BUCKETS };

int64_t
bucket_rows(int b)
{
    return b < 4 ? 1 << b : (4ll + b % 4) << (b / 4 + 1);
}

int
bucket_of(int64_t m)
{
    int b = 0;
    while (b < BUCKETS - 1 && bucket_rows(b) < m) {
        b++;
    }
    return b;
}

cudaDataType
cuda_type(uint32_t dtype)
{
    return dtype == DLQ_F32 ? CUDA_R_32F : dtype == DLQ_F16 ? CUDA_R_16F : CUDA_R_16BF;
}

int64_t
wide_pitch(int64_t n)
{
    return (n + 3) / 4 * 4;
}

int64_t
wide_rows(int64_t n)
{
    const int64_t parts = WIDE_BYTES / (wide_pitch(n) * 4 * WIDE_ROWS);
    return (parts < 1 ? 1 : parts) * WIDE_ROWS;
}

// The library's descriptions of one product, which live on the stack.
struct operation {
    cublasLtMatmulDescOpaque_t desc;
    cublasLtMatrixLayoutOpaque_t w, x, y;
};

bool
operation_make(const dlq_cublaslt *lt, operation *op, const key &s, int kind, int64_t m,
               int64_t x_stride, int64_t y_stride, const void *bias)
{
    const cudaDataType type = cuda_type(s.dtype);
    const cudaDataType y_type = kind == WIDE ? CUDA_R_32F : type;
    const cublasComputeType_t compute =
        s.tf32 && s.dtype == DLQ_F32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    if (lt->desc_init(&op->desc, sizeof(op->desc), compute, CUDA_R_32F) ||
        lt->desc_set(&op->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)) ||
        lt->layout_init(&op->w, sizeof(op->w), type, (uint64_t)s.k, (uint64_t)s.n, s.k) ||
        lt->layout_init(&op->x, sizeof(op->x), type, (uint64_t)s.k, (uint64_t)m, x_stride) ||
        lt->layout_init(&op->y, sizeof(op->y), y_type, (uint64_t)s.n, (uint64_t)m, y_stride)) {
        return false;
    }
    if (kind != FUSED && kind != NARROW) {
        return true;
    }
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const int32_t bias_type = kind == FUSED ? CUDA_R_32F : type;
    return !lt->desc_set(&op->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)) &&
           !lt->desc_set(&op->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type,
                         sizeof(bias_type)) &&
           !lt->desc_set(&op->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias));
}

bool
preference_make(const dlq_cublaslt *lt, cublasLtMatmulPreferenceOpaque_t *pref, const key &s,
                bool y_aligned, bool aligned)
{
    // Partial sums of a split K may be added in fp32 only.
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint64_t workspace = 32 << 20;
    const uint32_t element = (uint32_t)dlq_k_act_size(s.dtype);
    const uint32_t w_align = s.weights_aligned ? 16 : element;
    const uint32_t x_align = aligned ? 16 : element;
    const uint32_t y_align = y_aligned ? 16 : element;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t size;
    } attributes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof(workspace)},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof(reduction)},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &w_align, sizeof(w_align)},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &x_align, sizeof(x_align)},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &y_align, sizeof(y_align)},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &y_align, sizeof(y_align)},
    };
    if (lt->preference_init(pref, sizeof(*pref))) {
        return false;
    }
    for (const auto &a : attributes) {
        if (lt->preference_set(pref, a.name, a.value, a.size)) {
            return false;
        }
    }
    return true;
}

// The library's first choice for `m` rows.
choice
choose(const dlq_cublaslt *lt, const shape *s, int kind, bool aligned, int64_t m)
{
    // A pitch that no wide access divides stands for all unaligned ones.
    const int64_t x_stride = aligned ? s->key.k : s->key.k | 1;
    const int64_t y_stride = kind == WIDE ? wide_pitch(s->key.n)
                             : aligned    ? s->key.n
                                          : s->key.n | 1;
    alignas(256) static const float any_bias = 0.0f; // the library looks at its alignment
    choice c = {};
    operation op;
    cublasLtMatmulPreferenceOpaque_t pref;
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    if (!operation_make(lt, &op, s->key, kind, m, x_stride, y_stride, &any_bias) ||
        !preference_make(lt, &pref, s->key, kind == WIDE || aligned, aligned) ||
        lt->heuristic(s->handle, &op.desc, &op.w, &op.x, &op.y, &op.y, &pref, 1, &result, &found) ||
        found < 1 || result.state != CUBLAS_STATUS_SUCCESS) {
        return c;
    }
    c.usable = true;
    c.workspace = (result.workspaceSize + 255) / 256 * 256;
    c.algo = result.algo;
    return c;
}

void
shape_extend(const dlq_cublaslt *lt, shape *s, int buckets)
{
    const size_t size = dlq_k_act_size(s->key.dtype);
    const bool can_align = s->key.weights_aligned && (size_t)s->key.n * size % 16 == 0;
    for (; s->buckets < buckets; s->buckets++) {
        size_t most = s->buckets > 0 ? s->workspace[s->buckets - 1] : 0;
        bool wide = s->buckets > 0 && s->wide[s->buckets - 1];
        for (int kind = 0; kind < KINDS; kind++) {
            for (int aligned = 0; aligned <= 1; aligned++) {
                choice *const c = &s->choices[s->buckets][kind][aligned];
                *c = {};
                // What is refused for one row is refused for all. fp32 has no narrower copy, and
                // without alignment the library rounds before it adds a narrow one.
                const bool refused =
                    (kind == FUSED && s->buckets > 0 && !s->choices[0][kind][0].usable) ||
                    (kind == NARROW && (s->key.dtype == DLQ_F32 || aligned == 0));
                if (!refused && (aligned == 0 || can_align || kind == WIDE)) {
                    *c = choose(lt, s, kind, aligned != 0, bucket_rows(s->buckets));
                }
                most = c->workspace > most ? c->workspace : most;
                wide = wide || (kind == WIDE && c->usable);
            }
        }
        s->workspace[s->buckets] = most;
        s->wide[s->buckets] = wide;
    }
}

bool
same_key(const key &a, const key &b)
{
    return a.k == b.k && a.n == b.n && a.device == b.device && a.dtype == b.dtype &&
           a.tf32 == b.tf32 && a.weights_aligned == b.weights_aligned;
}

// With the lock held and the device current; NULL when the library cannot start or memory is short.
shape *
shape_get(const dlq_cublaslt *lt, const key &wanted)
{
    for (shape *s = shapes; s; s = s->next) {
        if (same_key(s->key, wanted)) {
            s->refs++;
            return s;
        }
    }
    auto *const slot = &handles[wanted.device];
    if (slot->refs == 0 && lt->create(&slot->handle)) {
        return nullptr;
    }
    shape *const s = (shape *)calloc(1, sizeof(*s));
    if (!s) {
        if (slot->refs == 0) {
            (void)lt->destroy(slot->handle);
        }
        return nullptr;
    }
    slot->refs++;
    s->key = wanted;
    s->handle = slot->handle;
    s->refs = 1;
    s->next = shapes;
    shapes = s;
    return s;
}

void
shape_put(const dlq_cublaslt *lt, shape *s)
{
    if (--s->refs > 0) {
        return;
    }
    shape **at = &shapes;
    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    auto *const slot = &handles[s->key.device];
    if (--slot->refs == 0) {
        (void)lt->destroy(slot->handle);
    }
    free(s);
}

int
plan(struct dlq_kg_dense *w, const struct dlq_kg_dense_desc *desc)
{
    if (desc->k <= 0 || desc->n <= 0 || desc->k > INT32_MAX || desc->n > INT32_MAX) {
        return -DLQ_K_ESHAPE;
    }
    if (!dlq_k_is_act_dtype(desc->dtype) || !dlq_k_is_act_dtype(desc->act_dtype)) {
        return -DLQ_K_EDTYPE;
    }
    *w = {};
    w->desc = *desc;
    return 0;
}

bool
library_takes(const struct dlq_kg_dense_desc *desc)
{
    return desc->dtype == desc->act_dtype && desc->device.index >= 0 &&
           desc->device.index < DEVICES;
}

void
release(struct dlq_kg_dense *w)
{
    if (!w->cache) {
        return;
    }
    const dlq::device_scope scope(w->desc.device.index);
    pthread_mutex_lock(&lock);
    shape_put(dlq_cublaslt_load(), (shape *)w->cache);
    pthread_mutex_unlock(&lock);
    w->cache = nullptr;
}

int
prepare(struct dlq_kg_dense *w, const void *weights, int64_t max_m)
{
    const dlq::device_scope scope(w->desc.device.index);
    if (scope.error != cudaSuccess) {
        return (int)scope.error;
    }
    release(w);
    w->weights = weights;
    const dlq_cublaslt *const lt = library_takes(&w->desc) ? dlq_cublaslt_load() : nullptr;
    if (!lt) {
        return 0;
    }
    const size_t pitch = (size_t)w->desc.k * dlq_k_act_size(w->desc.dtype);
    const key wanted = {
        w->desc.k,     w->desc.n,    w->desc.device.index,
        w->desc.dtype, w->desc.tf32, (uintptr_t)weights % 16 == 0 && pitch % 16 == 0};
    const int buckets = max_m > 0 ? bucket_of(max_m) + 1 : (int)BUCKETS;
    pthread_mutex_lock(&lock);
    shape *const s = shape_get(lt, wanted);
    if (s) {
        // Those that other layers use already are not written again.
        shape_extend(lt, s, buckets);
    }
    pthread_mutex_unlock(&lock);
    w->cache = s;
    w->own[OWN_BUCKETS] = buckets;
    return 0;
}

int
keep_bias(struct dlq_kg_dense *w, const float *bias, void *narrow)
{
    if (w->desc.act_dtype == DLQ_F32) {
        return -DLQ_K_EDTYPE;
    }
    const dlq::device_scope scope(w->desc.device.index);
    bool exact = false;
    const cudaError_t err =
        scope.error != cudaSuccess
            ? scope.error
            : dlq_dense_narrow(bias, w->desc.n, w->desc.act_dtype, narrow, &exact);
    w->bias = exact ? bias : nullptr;
    w->narrow = exact ? narrow : nullptr;
    return (int)err;
}

int
layer_bucket(const struct dlq_kg_dense *w, int64_t m)
{
    const int b = bucket_of(m);
    return b < w->own[OWN_BUCKETS] ? b : (int)w->own[OWN_BUCKETS] - 1;
}

// Bytes that `m` rows need at most behind the library's own workspace.
size_t
wide_bytes(const struct dlq_kg_dense *w, int64_t m)
{
    const int64_t rows = wide_rows(w->desc.n);
    return (size_t)((m < rows ? m : rows) * wide_pitch(w->desc.n)) * 4;
}

size_t
workspace_size(const struct dlq_kg_dense *w, int64_t max_m)
{
    const shape *const s = (const shape *)w->cache;
    if (!s || max_m <= 0) {
        return 0;
    }
    const int last = layer_bucket(w, max_m);
    return s->workspace[last] + (s->wide[last] ? wide_bytes(w, max_m) : 0);
}

bool
is_aligned(const void *p, int64_t stride, size_t size)
{
    return (uintptr_t)p % 16 == 0 && (size_t)stride * size % 16 == 0;
}

// False when the library refuses, before anything is enqueued.
bool
run(const struct dlq_kg_dense *w, const struct dlq_kg_call *call, int kind, const choice &c,
    void *y, int64_t y_stride)
{
    const dlq_cublaslt *const lt = dlq_cublaslt_load();
    const shape *const s = (const shape *)w->cache;
    const float one = 1.0f;
    const float zero = 0.0f;
    operation op;
    const void *const bias = kind == NARROW ? w->narrow : call->bias;
    return operation_make(lt, &op, s->key, kind, call->m, call->x_stride, y_stride, bias) &&
           lt->matmul(s->handle, &op.desc, &one, w->weights, &op.w, call->x, &op.x, &zero, y, &op.y,
                      y, &op.y, &c.algo, call->workspace, c.workspace,
                      (cudaStream_t)call->stream) == CUBLAS_STATUS_SUCCESS;
}

int
run_simt(const struct dlq_kg_dense *w, const struct dlq_kg_call *call)
{
    return (int)dlq_dense_simt(call, w->desc.k, w->desc.n, w->weights, w->desc.dtype,
                               w->desc.act_dtype, (cudaStream_t)call->stream);
}

int
run_wide(const struct dlq_kg_dense *w, const struct dlq_kg_call *call)
{
    const shape *const s = (const shape *)w->cache;
    const size_t size = dlq_k_act_size(w->desc.act_dtype);
    const int64_t most = wide_rows(w->desc.n);
    const int64_t pitch = wide_pitch(w->desc.n);
    const bool aligned = s->key.weights_aligned && is_aligned(call->x, call->x_stride, size);
    struct dlq_kg_call part = *call;
    for (int64_t m = 0; m < call->m; m += part.m) {
        part.m = call->m - m < most ? call->m - m : most;
        part.x = (const char *)call->x + (size_t)(m * call->x_stride) * size;
        part.y = (char *)call->y + (size_t)(m * call->y_stride) * size;
        const choice &c = s->choices[layer_bucket(w, part.m)][WIDE][aligned];
        float *const sums = (float *)((char *)call->workspace + c.workspace);
        int result = 0;
        if (!c.usable || !run(w, &part, WIDE, c, sums, pitch)) {
            result = run_simt(w, &part);
        } else {
            result = (int)dlq_dense_finish(&part, w->desc.n, sums, pitch, w->desc.act_dtype,
                                           (cudaStream_t)call->stream);
        }
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

int
apply(const struct dlq_kg_dense *w, const struct dlq_kg_call *call)
{
    const shape *const s = (const shape *)w->cache;
    const size_t size = dlq_k_act_size(w->desc.act_dtype);
    if (call->m < 0 || call->m > INT32_MAX || call->x_stride < w->desc.k ||
        call->y_stride < w->desc.n || call->workspace_size < workspace_size(w, call->m)) {
        return -DLQ_K_ESHAPE;
    }
    if (call->m == 0) {
        return 0;
    }
    if (!s) {
        return run_simt(w, call);
    }
    const bool aligned = s->key.weights_aligned && is_aligned(call->x, call->x_stride, size) &&
                         is_aligned(call->y, call->y_stride, size);
    const auto &choices = s->choices[layer_bucket(w, call->m)];
    const bool fused = (uintptr_t)call->bias % 16 == 0 && choices[FUSED][aligned].usable;
    const bool narrow = w->narrow && call->bias == w->bias && choices[NARROW][aligned].usable;
    const int kind = !call->bias ? PLAIN : fused ? FUSED : narrow ? NARROW : WIDE;
    if (kind == WIDE) {
        return run_wide(w, call);
    }
    const choice &c = choices[kind][aligned];
    if (c.usable && run(w, call, kind, c, call->y, call->y_stride)) {
        return 0;
    }
    return run_simt(w, call);
}

const char *
kernel(const struct dlq_kg_dense *w, int64_t m)
{
    (void)m;
    if (!library_takes(&w->desc)) {
        return "dense simt";
    }
    const dlq_cublaslt *const lt = dlq_cublaslt_load();
    const bool tf32 = w->desc.tf32 && w->desc.dtype == DLQ_F32;
    return !lt ? "dense simt, no cublasLt" : tf32 ? lt->tf32 : lt->name;
}

const struct dlq_kg_dense_ops ops = {plan,           prepare, keep_bias, release,
                                     workspace_size, apply,   kernel};

} // namespace

extern "C" const struct dlq_kg_dense_ops *
dlq_kg_dense(void)
{
    return &ops;
}
