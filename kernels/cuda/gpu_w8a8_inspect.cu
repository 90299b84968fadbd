// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "gpu_w8a8.cuh"
#include "w8_tiles.cuh"

using namespace dlq::w8a8;

namespace
{

__global__ void __launch_bounds__(256)
    dequantize_tiles(float *out, const uint8_t *tiles, const float *scales, const int32_t *zeros,
                     int64_t n0, int64_t rows, int64_t k, int64_t k_blocks)
{
    const int64_t step = (int64_t)gridDim.x * 256;
    for (int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x; i < rows * k; i += step) {
        const int64_t n = n0 + i / k;
        const int8_t code = (int8_t)tiles[dlq::w8_tiles_at(k_blocks, n, i % k)];
        out[i] = __fmul_rn((float)(code - zeros[n]), scales[n]);
    }
}

} // namespace

int
dlq::w8a8::dequantize(const struct dlq_kg_w8a8 *w, int64_t n0, int64_t rows, float *out)
{
    if (n0 < 0 || rows < 0 || n0 + rows > w->desc.n) {
        return -DLQ_K_ESHAPE;
    }
    const dlq::device_scope scope(w->desc.device.index);
    const int64_t count = rows * w->desc.k;
    const dlq::device_memory values(count * 4);
    if (scope.error != cudaSuccess || values.error != cudaSuccess || rows == 0) {
        return (int)(scope.error != cudaSuccess ? scope.error : values.error);
    }
    dequantize_tiles<<<dlq::blocks_for(count), 256>>>(
        values.as<float>(), (const uint8_t *)w->data, at<float>(w, SCALES_AT),
        at<int32_t>(w, ZEROS_AT), n0, rows, w->desc.k, w->padded_k / 128);
    const int rc = (int)cudaGetLastError();
    return rc ? rc : (int)cudaMemcpy(out, values.data, (size_t)count * 4, cudaMemcpyDeviceToHost);
}

int
dlq::w8a8::quantize(const struct dlq_kg_w8a8 *w, const void *x, int64_t m, int8_t *codes,
                    float *scales, int32_t *zeros)
{
    const dlq::device_scope scope(w->desc.device.index);
    const size_t row = (size_t)w->desc.k * dlq_k_act_size(w->desc.act_dtype);
    const parts p = parts_of(w, m);
    const dlq::device_memory workspace(p.bytes);
    const dlq::device_memory device_x(m * (int64_t)row);
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
dlq::w8a8::accumulate(const struct dlq_kg_w8a8 *w, const int8_t *codes, const int32_t *azp,
                      int64_t m, int32_t *acc)
{
    const dlq::device_scope scope(w->desc.device.index);
    struct dlq_kg_w8a8 integers = *w;
    integers.desc.act_dtype = DLQ_F32; // the family that writes sums
    const parts p = parts_of(&integers, m);
    const dlq::device_memory workspace(p.bytes);
    const dlq::device_memory sums(m * w->desc.n * 4);
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
            : dlq::w8_result(dlq_k_w8_row_sums((int32_t *)(base + p.sums), base + p.codes, m,
                                               w->desc.k, p.pitch, 0));
    rc = rc ? rc : dlq_k_w8_mma_run(&g, 0);
    return rc ? rc
              : (int)cudaMemcpy(acc, sums.data, (size_t)(m * w->desc.n) * 4,
                                cudaMemcpyDeviceToHost);
}
