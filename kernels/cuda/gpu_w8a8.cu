// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

extern "C" {
#include "../gpu_w8a8.h"
}

#include "gpu_device.cuh"
#include "sm80_w8.h"
#include "w8.h"

// Packed form: DLQ_K_W8_TILES, then for each column its scale, its zero point z and the sum of
// w - z, then the static scale and zero point of x. Both families of kernels read it:
//
//     sm90 wgmma  16-bit y, zero points of x or of w but not of both (its one correction is
//                 x_zero[m] * w_sum[n]; with zero points of w that is the codes' sum times z)
//     mma.sync    everything, sm_80 on

namespace
{

enum own { SCALES_AT, ZEROS_AT, SUMS_AT, STATIC_AT, HAS_ZEROS };

// What packing finds: where the first bad value of each kind is, and whether a zero point is not 0.
struct findings {
    unsigned long long scale, zero, code, some_zero;
};

int64_t
round_up(int64_t a, int64_t to)
{
    return (a + to - 1) / to * to;
}

size_t
element_size(uint32_t dtype)
{
    return dtype == DLQ_F32 ? 4 : 2;
}

template <class T>
T *
at(const struct dlq_kg_w8a8 *w, int what)
{
    return (T *)((char *)w->data + w->own[what]);
}

bool
has_azp(const struct dlq_kg_w8a8 *w)
{
    return w->desc.activation == DLQ_K_W8A8_STATIC_AZP ||
           w->desc.activation == DLQ_K_W8A8_TOKEN_AZP;
}

bool
is_static(const struct dlq_kg_w8a8 *w)
{
    return w->desc.activation == DLQ_K_W8A8_STATIC || w->desc.activation == DLQ_K_W8A8_STATIC_AZP;
}

bool
uses_wgmma(const struct dlq_kg_w8a8 *w)
{
    return w->desc.device.capability == 90 && w->desc.act_dtype != DLQ_F32 &&
           !(has_azp(w) && w->own[HAS_ZEROS]);
}

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
    w->padded_k = round_up(desc->k, 256);
    w->padded_n = round_up(desc->n, 128);
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

__device__ __forceinline__ void
note_bad(unsigned long long *first, int64_t i)
{
    atomicMin(first, (unsigned long long)i);
}

// Words [n][words] of unsigned codes to int8 [n][k].
__global__ void __launch_bounds__(256) unpack(int8_t *codes, const uint32_t *words, int64_t n,
                                              int64_t k, int64_t n_words, int bits, bool dense)
{
    const int64_t step = (int64_t)gridDim.x * 256;
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < n * k; i += step) {
        const int64_t col = i % k;
        const uint32_t *const row = words + i / k * n_words;
        uint32_t v;
        if (dense) {
            const int64_t word = col * bits / 32;
            const int shift = (int)(col * bits % 32);
            const uint32_t next = shift + bits > 32 ? row[word + 1] : 0;
            v = (uint32_t)(((uint64_t)next << 32 | row[word]) >> shift);
        } else {
            const int per = 32 / bits;
            v = row[col / per] >> (col % per * bits);
        }
        codes[i] = (int8_t)((int)(v & ((1u << bits) - 1)) - (1 << (bits - 1)));
    }
}

__global__ void __launch_bounds__(256)
    check_codes(const int8_t *codes, int64_t count, int limit, findings *found)
{
    const int64_t step = (int64_t)gridDim.x * 256;
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < count; i += step) {
        if (codes[i] < -limit || codes[i] >= limit) {
            note_bad(&found->code, i);
        }
    }
}

// Copies and checks the columns' numbers; `sums` come as those of w and leave as those of w - z.
__global__ void __launch_bounds__(256)
    columns(float *scales, int32_t *zeros, int32_t *sums, const float *from_scales,
            const int32_t *from_zeros, int n, int32_t k, findings *found)
{
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= n) {
        return;
    }
    const int32_t z = from_zeros ? from_zeros[i] : 0;
    scales[i] = from_scales[i];
    zeros[i] = z;
    sums[i] -= k * z;
    if (!isfinite(from_scales[i])) {
        note_bad(&found->scale, i);
    }
    if (z < -128 || z > 127) {
        note_bad(&found->zero, i);
    }
    if (z != 0) {
        found->some_zero = 1;
    }
}

unsigned
blocks_for(int64_t count)
{
    const int64_t blocks = (count + 255) / 256;
    return (unsigned)(blocks < 65536 ? blocks : 65536);
}

// Device memory that lives as long as this.
struct scratch {
    void *data = nullptr;
    cudaError_t error;

    explicit scratch(int64_t bytes) : error(cudaMalloc(&data, (size_t)bytes)) {}
    ~scratch()
    {
        (void)cudaFree(data);
    }
    scratch(const scratch &) = delete;
    scratch &operator=(const scratch &) = delete;

    template <class T> T *as() const
    {
        return (T *)data;
    }
};

// A result of w8.h or of the runtime as one of this interface.
int
result_of(int rc)
{
    return rc < 0 ? -DLQ_K_EUNSUPPORTED : rc;
}

int
pack_columns(const struct dlq_kg_w8a8 *w, const struct dlq_kg_w8a8_source *source,
             const int8_t *codes, void *data, findings *found)
{
    const int64_t n = w->desc.n;
    const dlq::device_view scales(source->scales, (size_t)n * 4);
    const dlq::device_view zeros(source->zeros, (size_t)n * 4);
    const scratch status(sizeof(findings));
    const cudaError_t errors[] = {scales.error, zeros.error, status.error};
    for (const cudaError_t error : errors) {
        if (error != cudaSuccess) {
            return (int)error;
        }
    }
    *found = {~0ull, ~0ull, ~0ull, 0};
    struct dlq_kg_w8a8 target = *w;
    target.data = data;
    int rc = (int)cudaMemcpy(status.data, found, sizeof(*found), cudaMemcpyHostToDevice);
    rc = rc ? rc : dlq_k_w8_pack(data, codes, n, w->desc.k, w->desc.k, 0);
    rc = rc ? rc
            : dlq_k_w8_row_sums(at<int32_t>(&target, SUMS_AT), codes, n, w->desc.k, w->desc.k, 0);
    if (rc) {
        return result_of(rc);
    }
    columns<<<(unsigned)((n + 255) / 256), 256>>>(
        at<float>(&target, SCALES_AT), at<int32_t>(&target, ZEROS_AT),
        at<int32_t>(&target, SUMS_AT), scales.as<float>(), zeros.as<int32_t>(), (int)n,
        (int32_t)w->desc.k, status.as<findings>());
    if (source->bits < 8 && !source->packed) {
        check_codes<<<blocks_for(n * w->desc.k), 256>>>(
            codes, n * w->desc.k, 1 << (source->bits - 1), status.as<findings>());
    }
    const struct {
        float scale;
        int32_t zero;
    } fixed = {w->desc.act_scale, w->desc.act_zero};
    rc = (int)cudaMemcpy(at<void>(&target, STATIC_AT), &fixed, sizeof(fixed),
                         cudaMemcpyHostToDevice);
    return rc ? rc : (int)cudaMemcpy(found, status.data, sizeof(*found), cudaMemcpyDeviceToHost);
}

int
pack(struct dlq_kg_w8a8 *w, const struct dlq_kg_w8a8_source *source, void *data, int64_t *bad)
{
    const int64_t n = w->desc.n;
    const int64_t k = w->desc.k;
    if (source->bits < 2 || source->bits > 8) {
        return -DLQ_K_ESHAPE;
    }
    const bool words = source->packed;
    const int64_t n_words = words ? dlq_bits_words(source->layout, k, source->bits) : 0;
    // EITHER is settled by who reads the checkpoint; where both layouts agree it does not occur.
    if (words && (n_words == 0 || source->layout == DLQ_BITS_EITHER)) {
        return -DLQ_K_ESHAPE;
    }
    const dlq::device_scope scope(w->desc.device.index);
    if (scope.error != cudaSuccess) {
        return (int)scope.error;
    }
    int rc = dlq_k_w8_mma_prepare();
    if (rc == 0 && w->desc.device.capability == 90) {
        rc = dlq_k_w8_prepare();
    }
    if (rc != 0) {
        return result_of(rc);
    }
    const dlq::device_view codes(source->codes, (size_t)(words ? n * n_words * 4 : n * k));
    const scratch unpacked(words ? n * k : 1);
    if (codes.error != cudaSuccess || unpacked.error != cudaSuccess) {
        return (int)(codes.error != cudaSuccess ? codes.error : unpacked.error);
    }
    if (words) {
        unpack<<<blocks_for(n * k), 256>>>(unpacked.as<int8_t>(), codes.as<uint32_t>(), n, k,
                                           n_words, source->bits, source->layout == DLQ_BITS_DENSE);
    }
    findings found;
    rc = pack_columns(w, source, words ? unpacked.as<int8_t>() : codes.as<int8_t>(), data, &found);
    if (rc != 0) {
        return rc;
    }
    unsigned long long first = found.scale <= found.zero ? found.scale : found.zero;
    const int code = found.scale <= found.zero ? DLQ_K_ESCALE : DLQ_K_ECODE;
    if (first == ~0ull && found.code != ~0ull) {
        first = (unsigned long long)n + found.code;
    }
    if (first != ~0ull) {
        if (bad) {
            *bad = (int64_t)first;
        }
        return first < (unsigned long long)n ? -code : -DLQ_K_ECODE;
    }
    if (found.some_zero && k > DLQ_K_W8A8_MAX_K_ASYMMETRIC) {
        return -DLQ_K_ESHAPE;
    }
    w->own[HAS_ZEROS] = (int64_t)found.some_zero;
    w->data = data;
    return 0;
}

// The parts of a call's workspace.
struct parts {
    int64_t codes, scales, zeros, sums, partial, bytes;
    int64_t pitch; // of codes
};

parts
parts_of(const struct dlq_kg_w8a8 *w, int64_t m)
{
    parts p;
    p.pitch = round_up(w->desc.k, 16);
    p.codes = 0;
    p.scales = round_up(m * p.pitch, 256);
    p.zeros = p.scales + round_up(m * 4, 256);
    p.sums = p.zeros + round_up(m * 4, 256);
    p.partial = p.sums + round_up(m * 4, 256);
    p.bytes = p.partial;
    if (!uses_wgmma(w)) {
        p.bytes += dlq_k_w8_mma_workspace(w->desc.n, w->desc.k, m, w->desc.device.multiprocessors);
    }
    return p;
}

size_t
workspace_size(const struct dlq_kg_w8a8 *w, int64_t max_m)
{
    return max_m > 0 ? (size_t)parts_of(w, max_m).bytes : 0;
}

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

int
quantize_rows(const struct dlq_kg_w8a8 *w, const void *x, int64_t x_stride, int64_t m,
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
    return result_of(dlq_k_quantize_act_run(&a, stream));
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
    g.pdl = w->desc.device.early != 0;
    return result_of(dlq_k_w8_gemm_run(&g, nullptr, (cudaStream_t)call->stream));
}

struct dlq_k_w8_mma
mma_of(const struct dlq_kg_w8a8 *w, int64_t m, const parts &p, char *workspace)
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
        rc = result_of(dlq_k_w8_row_sums((int32_t *)(workspace + p.sums), workspace + p.codes,
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

__global__ void __launch_bounds__(256)
    dequantize_tiles(float *out, const uint8_t *tiles, const float *scales, const int32_t *zeros,
                     int64_t n0, int64_t rows, int64_t k, int64_t k_blocks)
{
    const int64_t step = (int64_t)gridDim.x * 256;
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < rows * k; i += step) {
        const int64_t n = n0 + i / k;
        const int64_t col = i % k;
        const int64_t in_block = n % 64 * 128 + ((col % 128) ^ (n % 8 * 16));
        const int8_t code = (int8_t)tiles[(n / 64 * k_blocks + col / 128) * 8192 + in_block];
        out[i] = __fmul_rn((float)(code - zeros[n]), scales[n]);
    }
}

int
dequantize(const struct dlq_kg_w8a8 *w, int64_t n0, int64_t rows, float *out)
{
    if (n0 < 0 || rows < 0 || n0 + rows > w->desc.n) {
        return -DLQ_K_ESHAPE;
    }
    const dlq::device_scope scope(w->desc.device.index);
    const int64_t count = rows * w->desc.k;
    const scratch values(count * 4);
    if (scope.error != cudaSuccess || values.error != cudaSuccess || rows == 0) {
        return (int)(scope.error != cudaSuccess ? scope.error : values.error);
    }
    dequantize_tiles<<<blocks_for(count), 256>>>(values.as<float>(), (const uint8_t *)w->data,
                                                 at<float>(w, SCALES_AT), at<int32_t>(w, ZEROS_AT),
                                                 n0, rows, w->desc.k, w->padded_k / 128);
    return (int)cudaMemcpy(out, values.data, (size_t)count * 4, cudaMemcpyDeviceToHost);
}

int
quantize(const struct dlq_kg_w8a8 *w, const void *x, int64_t m, int8_t *codes, float *scales,
         int32_t *zeros)
{
    const dlq::device_scope scope(w->desc.device.index);
    const size_t row = (size_t)w->desc.k * element_size(w->desc.act_dtype);
    const parts p = parts_of(w, m);
    const scratch workspace(p.bytes);
    const scratch device_x(m * (int64_t)row);
    if (scope.error != cudaSuccess || workspace.error != cudaSuccess ||
        device_x.error != cudaSuccess) {
        return (int)(scope.error != cudaSuccess       ? scope.error
                     : workspace.error != cudaSuccess ? workspace.error
                                                      : device_x.error);
    }
    char *const base = workspace.as<char>();
    int rc = (int)cudaMemcpy(device_x.data, x, (size_t)m * row, cudaMemcpyHostToDevice);
    rc = rc ? rc : (int)cudaMemset(base + p.zeros, 0, (size_t)m * 4);
    rc = rc ? rc : quantize_rows(w, device_x.data, w->desc.k, m, p, base, 0);
    rc = rc ? rc
            : (int)cudaMemcpy2D(codes, (size_t)w->desc.k, base + p.codes, (size_t)p.pitch,
                                (size_t)w->desc.k, (size_t)m, cudaMemcpyDeviceToHost);
    rc = rc ? rc : (int)cudaMemcpy(scales, base + p.scales, (size_t)m * 4, cudaMemcpyDeviceToHost);
    if (rc == 0 && zeros) {
        rc = (int)cudaMemcpy(zeros, base + p.zeros, (size_t)m * 4, cudaMemcpyDeviceToHost);
    }
    return rc;
}

int
accumulate(const struct dlq_kg_w8a8 *w, const int8_t *codes, const int32_t *azp, int64_t m,
           int32_t *acc)
{
    const dlq::device_scope scope(w->desc.device.index);
    struct dlq_kg_w8a8 integers = *w;
    integers.desc.act_dtype = DLQ_F32; // the family that writes sums
    const parts p = parts_of(&integers, m);
    const scratch workspace(p.bytes);
    const scratch sums(m * w->desc.n * 4);
    if (scope.error != cudaSuccess || workspace.error != cudaSuccess || sums.error != cudaSuccess) {
        return (int)(scope.error != cudaSuccess       ? scope.error
                     : workspace.error != cudaSuccess ? workspace.error
                                                      : sums.error);
    }
    char *const base = workspace.as<char>();
    struct dlq_k_w8_mma g = mma_of(w, m, p, base);
    g.x_zero = azp ? (const int32_t *)(base + p.zeros) : nullptr;
    g.y = sums.data;
    g.ldy = w->desc.n;
    g.y_dtype = DLQ_I32;
    int rc = (int)cudaMemset(base, 0, (size_t)(m * p.pitch));
    rc = rc ? rc
            : (int)cudaMemcpy2D(base + p.codes, (size_t)p.pitch, codes, (size_t)w->desc.k,
                                (size_t)w->desc.k, (size_t)m, cudaMemcpyHostToDevice);
    if (rc == 0 && azp) {
        rc = (int)cudaMemcpy(base + p.zeros, azp, (size_t)m * 4, cudaMemcpyHostToDevice);
    }
    rc = rc ? rc
            : result_of(dlq_k_w8_row_sums((int32_t *)(base + p.sums), base + p.codes, m, w->desc.k,
                                          p.pitch, 0));
    rc = rc ? rc : dlq_k_w8_mma_run(&g, 0);
    return rc ? rc
              : (int)cudaMemcpy(acc, sums.data, (size_t)(m * w->desc.n) * 4,
                                cudaMemcpyDeviceToHost);
}

const struct dlq_kg_w8a8_ops ops = {plan,   pack,       workspace_size, apply,
                                    kernel, dequantize, quantize,       accumulate};

} // namespace

extern "C" const struct dlq_kg_w8a8_ops *
dlq_kg_w8a8(void)
{
    return &ops;
}
