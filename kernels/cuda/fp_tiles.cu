// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "fp_tiles.h"

#include "gpu_device.cuh"
#include "grouped_codes.cuh"
#include "integer_codes.cuh"
#include "w8.h"
#include "w8_tiles.cuh"

#include <cuda_fp8.h>

namespace
{

enum { BAD_SCALE, BAD_FACTOR, BAD_CODE, BAD_KINDS };

__global__ void __launch_bounds__(256)
    row_scales(float *out, dlq_fp_tiles_source from, int64_t n, unsigned long long *bad)
{
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= n) {
        return;
    }
    const float scale = dlq::float_at(from.scales, from.scale_dtype, i / from.scale_rows);
    const float factor = from.factors ? from.factors[i] : 1.0f;
    out[i] = __fmul_rn(factor, scale);
    if (!isfinite(scale)) {
        dlq::note_bad(&bad[BAD_SCALE], i / from.scale_rows);
    }
    if (!isfinite(factor)) {
        dlq::note_bad(&bad[BAD_FACTOR], i);
    }
}

__global__ void __launch_bounds__(256)
    check_codes(const uint8_t *codes, int64_t count, unsigned long long *bad)
{
    const int64_t step = (int64_t)gridDim.x * 256;
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < count; i += step) {
        if ((codes[i] & 0x7fu) == 0x7fu) {
            dlq::note_bad(&bad[BAD_CODE], i);
        }
    }
}

__global__ void __launch_bounds__(256) unpack(float *out, const uint8_t *tiles, const float *scales,
                                              int64_t n0, int64_t rows, int64_t k)
{
    const int64_t step = (int64_t)gridDim.x * 256;
    const int64_t k_blocks = (k + 255) / 256 * 2;
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < rows * k; i += step) {
        const int64_t n = n0 + i / k;
        const float value = dlq::float_at(tiles, DLQ_F8_E4M3, dlq::w8_tiles_at(k_blocks, n, i % k));
        out[i] = __fmul_rn(value, scales[n]);
    }
}

__global__ void __launch_bounds__(256)
    from_integers(uint8_t *e4m3, dlq::integer_codes from, int64_t count, unsigned long long *bad)
{
    const int64_t step = (int64_t)gridDim.x * 256;
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < count; i += step) {
        const int v = from.value(i);
        if (!from.holds(v)) {
            dlq::note_bad(bad, i);
        }
        e4m3[i] = __nv_cvt_float_to_fp8((float)v, __NV_SATFINITE, __NV_E4M3);
    }
}

} // namespace

int64_t
dlq_fp_tiles_bytes(int64_t n, int64_t k)
{
    return dlq_k_w8_packed_size(n, k) + (n + 127) / 128 * 512 + 256;
}

const float *
dlq_fp_tiles_scales(const void *data, int64_t n, int64_t k)
{
    return (const float *)((const char *)data + dlq_k_w8_packed_size(n, k));
}

const float *
dlq_fp_tiles_act_scale(const void *data, int64_t n, int64_t k)
{
    return dlq_fp_tiles_scales(data, n, k) + (n + 127) / 128 * 128;
}

int
dlq_fp_tiles_pack(void *data, int64_t n, int64_t k, const struct dlq_fp_tiles_source *source,
                  float act_scale, int64_t *bad)
{
    unsigned long long found[BAD_KINDS] = {dlq::NOTHING, dlq::NOTHING, dlq::NOTHING};
    const dlq::device_words status(found, sizeof(found));
    int rc = dlq_k_w8_prepare();
    rc = rc == 0 ? dlq_k_w8_pack(data, source->codes, n, k, k, 0) : rc;
    if (rc != 0 || status.error != cudaSuccess) {
        return rc != 0 ? dlq::w8_result(rc) : (int)status.error;
    }
    row_scales<<<(unsigned)((n + 255) / 256), 256>>>((float *)dlq_fp_tiles_scales(data, n, k),
                                                     *source, n, status.data);
    check_codes<<<dlq::blocks_for(n * k), 256>>>((const uint8_t *)source->codes, n * k,
                                                 status.data);
    rc = (int)cudaMemcpy((void *)dlq_fp_tiles_act_scale(data, n, k), &act_scale, sizeof(act_scale),
                         cudaMemcpyHostToDevice);
    rc = rc ? rc : (int)status.read(found, sizeof(found));
    return rc ? rc : dlq::bad_value(found, BAD_KINDS, BAD_CODE, bad);
}

int
dlq_fp_tiles_unpack(const void *data, int64_t n, int64_t k, int64_t n0, int64_t rows, float *out)
{
    unpack<<<dlq::blocks_for(rows * k), 256>>>(out, (const uint8_t *)data,
                                               dlq_fp_tiles_scales(data, n, k), n0, rows, k);
    return (int)cudaGetLastError();
}

int
dlq_fp_tiles_from_integers(uint8_t *e4m3, const void *codes, int64_t n, int64_t k, int bits,
                           bool packed, bool dense, int64_t *bad)
{
    unsigned long long found = dlq::NOTHING;
    const dlq::device_words status(&found, sizeof(found));
    if (status.error != cudaSuccess) {
        return (int)status.error;
    }
    const dlq::integer_codes from = {codes, k, bits, packed, dense};
    from_integers<<<dlq::blocks_for(n * k), 256>>>(e4m3, from, n * k, status.data);
    const int rc = (int)status.read(&found, sizeof(found));
    return rc ? rc : dlq::bad_value(&found, 1, 0, bad);
}
