// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "gpu_fp.cuh"

using namespace dlq::fp;

int
dlq::fp::dequantize(const struct dlq_kg_fp *w, int64_t n0, int64_t rows, float *out)
{
    if (n0 < 0 || rows < 0 || n0 + rows > w->desc.shape.n) {
        return -DLQ_K_ESHAPE;
    }
    const dlq::device_scope scope(w->desc.device.index);
    const int64_t bytes = rows * w->desc.shape.k * 4;
    const dlq::device_memory values(bytes);
    if (scope.error != cudaSuccess || values.error != cudaSuccess || rows == 0) {
        return (int)(scope.error != cudaSuccess ? scope.error : values.error);
    }
    int rc = 0;
    if (w->form == TILES) {
        rc = dlq_fp_tiles_unpack(w->data, w->desc.shape.n, w->desc.shape.k, n0, rows,
                                 values.as<float>());
    } else {
        const struct dlq_k_grouped g = grouped_of(w);
        rc = dlq_k_grouped_unpack(&g, n0, rows, values.as<float>(), 0);
    }
    return rc ? rc : (int)cudaMemcpy(out, values.data, (size_t)bytes, cudaMemcpyDeviceToHost);
}

int
dlq::fp::quantize(const struct dlq_kg_fp *w, const void *x, int64_t m, uint8_t *codes,
                  float *scales)
{
    if (w->desc.shape.activation == DLQ_K_FP_NONE) {
        return -DLQ_K_EUNSUPPORTED;
    }
    struct dlq_k_fp sibling;
    (void)dlq_k_fp_plan(&sibling, &w->desc.shape);
    const dlq::device_scope scope(w->desc.device.index);
    const int64_t k = w->desc.shape.k;
    const int64_t n_scales = m * dlq_k_fp_act_scales(&sibling);
    const size_t x_bytes = (size_t)(m * k) * dlq_k_act_size(w->desc.act_dtype);
    const parts p = parts_of(w, m);
    const dlq::device_memory workspace(p.bytes);
    const dlq::device_memory device_x((int64_t)x_bytes);
    const dlq::device_memory device_codes(m * k);
    const dlq::device_memory device_scales(n_scales * 4);
    const cudaError_t errors[] = {scope.error, workspace.error, device_x.error, device_codes.error,
                                  device_scales.error};
    for (const cudaError_t error : errors) {
        if (error != cudaSuccess) {
            return (int)error;
        }
    }
    char *const base = workspace.as<char>();
    const void *from_codes = device_codes.data, *from_scales = device_scales.data;
    int64_t pitch = k;
    int rc = (int)cudaMemcpy(device_x.data, x, x_bytes, cudaMemcpyHostToDevice);
    if (rc == 0 && w->form == TILES) {
        rc = quantize_tiles(w, device_x.data, k, m, p, base, 0);
        from_codes = base + p.values;
        from_scales = base + p.scales;
        pitch = p.pitch;
    } else if (rc == 0) {
        struct dlq_k_quantize_fp a = quantization(w, device_x.data, k, m, p, base);
        a.codes = device_codes.as<uint8_t>();
        a.scales = device_scales.as<float>();
        rc = dlq_k_quantize_fp_run(&a, 0);
    }
    rc = rc ? rc
            : (int)cudaMemcpy2D(codes, (size_t)k, from_codes, (size_t)pitch, (size_t)k, (size_t)m,
                                cudaMemcpyDeviceToHost);
    return rc ? rc
              : (int)cudaMemcpy(scales, from_scales, (size_t)n_scales * 4, cudaMemcpyDeviceToHost);
}
