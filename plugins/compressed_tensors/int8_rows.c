// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "int8_rows.h"

#include <dlquant/ext/inspect.h>

int32_t
ct_int8_code_kind(const struct ct_layer *l, int64_t *scales_per_row)
{
    (void)l;
    *scales_per_row = 1;
    return DLQ_CODES_I8;
}

void
ct_int8_rows_inspect(const struct dlq_k_w8a8 *quantizer, const struct dlq_k_linear_call *call,
                     int8_t *codes, float *scales, int32_t *zero_points)
{
    const int64_t k = quantizer->k;
    const int64_t row = k * (int64_t)(DLQ_DTYPE_BITS(call->x_dtype) / 8);
    for (int64_t i = 0; i < call->m; i++) {
        int32_t azp = 0;
        const char *const x = (const char *)call->x + i * row;
        if (call->ranges) {
            dlq_k_w8a8_quantize_share(quantizer, x, call->x_dtype, call->ranges + 2 * i,
                                      codes + i * k, &scales[i], &azp);
        } else {
            dlq_k_w8a8_quantize_row(quantizer, x, call->x_dtype, codes + i * k, &scales[i], &azp);
        }
        if (zero_points) {
            zero_points[i] = azp;
        }
    }
}
