// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "gpu_fp.cuh"

using namespace dlq::fp;

namespace
{

int
pack_grouped(struct dlq_kg_fp *w, const struct dlq_fp_tiles_source *from, void *data, int64_t *bad)
{
    struct dlq_k_grouped g;
    int rc = grouped_of(&w->desc, nullptr, &g);
    struct dlq_k_grouped_source s = {};
    s.layout = w->desc.shape.dtype == DLQ_F4_E2M1 ? DLQ_K_GROUPED_NIBBLES : DLQ_K_GROUPED_BYTES;
    s.codes = from->codes;
    s.scales = from->scales;
    s.scale_rows = w->desc.shape.scale_rows;
    s.factors = from->factors;
    rc = rc ? rc : dlq_k_grouped_pack(&g, &s, data, bad);
    w->own[OWN_EVEN_SCALES] = rc == 0 && g.even_scales;
    return rc;
}

// Bytes of the codes as they come, or 0 for a description that fits nothing.
int64_t
source_bytes(const struct dlq_kg_fp *w, const struct dlq_kg_fp_source *source)
{
    const struct dlq_k_fp_shape *const shape = &w->desc.shape;
    if (shape->dtype == DLQ_F4_E2M1) {
        return source->integer_bits == 0 ? shape->n * shape->k / 2 : 0;
    }
    if (source->integer_bits == 0 || !source->packed) {
        return shape->n * shape->k;
    }
    return source->layout == DLQ_BITS_EITHER
               ? 0
               : shape->n * 4 * dlq_bits_words(source->layout, shape->k, source->integer_bits);
}

} // namespace

int
dlq::fp::pack(struct dlq_kg_fp *w, const struct dlq_kg_fp_source *source, void *data, int64_t *bad)
{
    const struct dlq_k_fp_shape *const shape = &w->desc.shape;
    const int64_t code_bytes = source_bytes(w, source);
    const bool integers = source->integer_bits != 0;
    if (code_bytes == 0 || (integers && (source->integer_bits < 2 || source->integer_bits > 5)) ||
        (source->factors && !w->desc.column_factors)) {
        return -DLQ_K_ESHAPE;
    }
    const dlq::device_scope scope(w->desc.device.index);
    if (scope.error != cudaSuccess) {
        return (int)scope.error;
    }
    const int64_t groups = (shape->k + shape->group - 1) / shape->group;
    const int64_t scale_rows = (shape->n + shape->scale_rows - 1) / shape->scale_rows;
    const size_t scale_size = DLQ_DTYPE_BITS(shape->scale_dtype) / 8;
    const dlq::device_view codes(source->codes, (size_t)code_bytes);
    const dlq::device_view scales(source->scales, (size_t)(scale_rows * groups) * scale_size);
    const dlq::device_view factors(source->factors, (size_t)shape->n * 4);
    const dlq::device_memory widened(integers ? shape->n * shape->k : 0);
    const cudaError_t errors[] = {codes.error, scales.error, factors.error, widened.error};
    for (const cudaError_t error : errors) {
        if (error != cudaSuccess) {
            return (int)error;
        }
    }
    int64_t ignored;
    bad = bad ? bad : &ignored;
    int rc = integers ? dlq_fp_tiles_from_integers(widened.as<uint8_t>(), codes.data, shape->n,
                                                   shape->k, source->integer_bits, source->packed,
                                                   source->layout == DLQ_BITS_DENSE, bad)
                      : 0;
    if (rc != 0) {
        return rc;
    }
    const struct dlq_fp_tiles_source from = {integers ? widened.data : codes.data, scales.data,
                                             shape->scale_dtype, shape->scale_rows,
                                             factors.as<float>()};
    rc = w->form == TILES
             ? dlq_fp_tiles_pack(data, shape->n, shape->k, &from, shape->act_scale, bad)
             : pack_grouped(w, &from, data, bad);
    if (rc == 0) {
        w->data = data;
    }
    return rc;
}
