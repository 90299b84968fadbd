// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "int8_rows.h"

void
ct_int8_rows_inspect(const struct dlq_k_w8a8 *quantizer, uint32_t x_dtype, const void *x, int64_t m,
                     int8_t *codes, float *scales, int32_t *zero_points)
{
    const int64_t k = quantizer->k;
    const int64_t row = k * (int64_t)(DLQ_DTYPE_BITS(x_dtype) / 8);
    for (int64_t i = 0; i < m; i++) {
        int32_t azp = 0;
        dlq_k_w8a8_quantize_row(quantizer, (const char *)x + i * row, x_dtype, codes + i * k,
                                &scales[i], &azp);
        if (zero_points) {
            zero_points[i] = azp;
        }
    }
}
