// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "gpu_w8a8.cuh"
#include "integer_codes.cuh"

using namespace dlq::w8a8;

namespace
{

// What packing finds: where the first bad value of each kind is, and whether a zero point is not 0.
struct findings {
    unsigned long long scale, zero, code, some_zero;
};

// To int8 [n][k]; `to` NULL only checks.
__global__ void __launch_bounds__(256)
    convert(int8_t *to, dlq::integer_codes from, int64_t count, findings *found)
{
    const int64_t step = (int64_t)gridDim.x * 256;
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < count; i += step) {
        const int v = from.value(i);
        if (to) {
            to[i] = (int8_t)v;
        }
        if (!from.holds(v)) {
            dlq::note_bad(&found->code, i);
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
        dlq::note_bad(&found->scale, i);
    }
    if (z < -128 || z > 127) {
        dlq::note_bad(&found->zero, i);
    }
    if (z != 0) {
        found->some_zero = 1;
    }
}

int
pack_columns(const struct dlq_kg_w8a8 *w, const struct dlq_kg_w8a8_source *source,
             const int8_t *codes, void *data, findings *found)
{
    const int64_t n = w->desc.n;
    const dlq::device_view scales(source->scales, (size_t)n * 4);
    const dlq::device_view zeros(source->zeros, (size_t)n * 4);
    *found = {dlq::NOTHING, dlq::NOTHING, dlq::NOTHING, 0};
    const dlq::device_words status(found, sizeof(*found));
    findings *const on_device = (findings *)status.data;
    const cudaError_t errors[] = {scales.error, zeros.error, status.error};
    for (const cudaError_t error : errors) {
        if (error != cudaSuccess) {
            return (int)error;
        }
    }
    struct dlq_kg_w8a8 target = *w;
    target.data = data;
    int rc = dlq_k_w8_pack(data, codes, n, w->desc.k, w->desc.k, 0);
    rc = rc ? rc
            : dlq_k_w8_row_sums(at<int32_t>(&target, SUMS_AT), codes, n, w->desc.k, w->desc.k, 0);
    if (rc) {
        return dlq::w8_result(rc);
    }
    columns<<<(unsigned)((n + 255) / 256), 256>>>(
        at<float>(&target, SCALES_AT), at<int32_t>(&target, ZEROS_AT),
        at<int32_t>(&target, SUMS_AT), scales.as<float>(), zeros.as<int32_t>(), (int)n,
        (int32_t)w->desc.k, on_device);
    if (source->bits < 8 && !source->packed) {
        const dlq::integer_codes bytes = {codes, w->desc.k, source->bits, false, false};
        convert<<<dlq::blocks_for(n * w->desc.k), 256>>>(nullptr, bytes, n * w->desc.k, on_device);
    }
    const struct {
        float scale;
        int32_t zero;
    } fixed = {w->desc.act_scale, w->desc.act_zero};
    rc = (int)cudaMemcpy(at<void>(&target, STATIC_AT), &fixed, sizeof(fixed),
                         cudaMemcpyHostToDevice);
    return rc ? rc : (int)status.read(found, sizeof(*found));
}

} // namespace

int
dlq::w8a8::pack(struct dlq_kg_w8a8 *w, const struct dlq_kg_w8a8_source *source, void *data,
                int64_t *bad)
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
    if (rc == 0 && dlq_k_w8_available() && w->desc.device.capability == 90) {
        rc = dlq_k_w8_prepare();
    }
    if (rc != 0) {
        return dlq::w8_result(rc);
    }
    const dlq::device_view codes(source->codes, (size_t)(words ? n * n_words * 4 : n * k));
    const dlq::device_memory unpacked(words ? n * k : 0);
    if (codes.error != cudaSuccess || unpacked.error != cudaSuccess) {
        return (int)(codes.error != cudaSuccess ? codes.error : unpacked.error);
    }
    if (words) {
        const dlq::integer_codes from = {codes.data, k, source->bits, true,
                                         source->layout == DLQ_BITS_DENSE};
        convert<<<dlq::blocks_for(n * k), 256>>>(unpacked.as<int8_t>(), from, n * k, nullptr);
    }
    findings found;
    rc = pack_columns(w, source, words ? unpacked.as<int8_t>() : codes.as<int8_t>(), data, &found);
    if (rc != 0) {
        return rc;
    }
    unsigned long long first = found.scale <= found.zero ? found.scale : found.zero;
    const int code = found.scale <= found.zero ? DLQ_K_ESCALE : DLQ_K_ECODE;
    if (first == dlq::NOTHING && found.code != dlq::NOTHING) {
        first = (unsigned long long)n + found.code;
    }
    if (first != dlq::NOTHING) {
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
