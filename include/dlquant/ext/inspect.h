// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_EXT_INSPECT_H
#define DLQUANT_EXT_INSPECT_H

#include <dlquant/abi.h>
#include <dlquant/plugin.h>

#include <stdint.h>

/// Plugin extension "dlq.inspect/1": what a processed layer really holds, for self-checks, goldens
/// and conformance tests. Host memory everywhere, also for layers on another device.

DLQ_BEGIN_DECLS

#define DLQ_EXT_INSPECT "dlq.inspect/1"

/// Form of the activation codes that a method multiplies.
enum dlq_code_kind {
    DLQ_CODES_NONE = 0, ///< Activations are not quantized by the checkpoint's scheme
    DLQ_CODES_I8 = 1,   ///< int8, one scale a row or one a tensor
    DLQ_CODES_E4M3 = 2, ///< e4m3 bits
    DLQ_CODES_E2M1 = 3  ///< e2m1 values as binary16
};

/// The functions of the extension.
struct dlq_ext_inspect {
    uint32_t struct_size; ///< Size of this struct as the plugin knows it
    uint32_t reserved;    ///< Zero

    /// The weights that the layer multiplies with, [N, K] of this rank, row-major, as real numbers:
    /// codes, zero points and scales as the processed layer stores them, one rounding to float at
    /// the most. DLQ_ESTATE before process_weights(). [per-layer]
    int32_t (*dequantize)(const void *method, const struct dlq_host *host,
                          const struct dlq_layer_info *info, float *weight, struct dlq_error *err);

    /// enum dlq_code_kind of the layer's activations, and in `*scales_per_row` how many scales a
    /// row has (1, or K / group). [any-thread]
    int32_t (*code_kind)(const void *method, int64_t *scales_per_row);

    /// Quantize m rows of x (act_dtype, contiguous) as apply() does. `codes`: [m, K], one byte
    /// each, two for DLQ_CODES_E2M1. `scales`: [m, scales_per_row]. `zero_points`: [m] or NULL.
    /// NULL function: activations are not quantized. [per-layer]
    int32_t (*quantize)(const void *method, const struct dlq_host *host,
                        const struct dlq_layer_info *info, const void *x, int64_t m, void *codes,
                        float *scales, int32_t *zero_points, struct dlq_error *err);

    /// The exact integer accumulators [m, N] of codes from quantize(), zero points already
    /// corrected. NULL function: the method has none. [per-layer]
    int32_t (*accumulate)(const void *method, const struct dlq_host *host,
                          const struct dlq_layer_info *info, const void *codes,
                          const int32_t *zero_points, int64_t m, int32_t *acc,
                          struct dlq_error *err);

    /// quantize() of a share of the rows that ranks split: `stats` [ranks, m, n_stats] as
    /// multiply() of ext/row_split.h gets them. NULL, or DLQ_EUNSUPPORTED for a layer without
    /// statistics: a share is quantized by itself. [per-layer]
    int32_t (*quantize_split)(const void *method, const struct dlq_host *host,
                              const struct dlq_layer_info *info, const void *x, int64_t m,
                              const float *stats, int32_t ranks, void *codes, float *scales,
                              int32_t *zero_points, struct dlq_error *err);
};

DLQ_END_DECLS

#endif // DLQUANT_EXT_INSPECT_H
