// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check_fp.h"

// fp8 and fp4 layers: levels against fp64 products of the two definitions.

void
check_fp(void)
{
    static const int64_t rows[] = {1, 3, 6, 7, 16, 33, 100};
    static const struct dlq_k_fp_shape shapes[] = {
        {.k = 256,
         .n = 72,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F32,
         .group = 256,
         .scale_rows = 1,
         .activation = DLQ_K_FP_FP8_TOKEN},
        {.k = 200,
         .n = 40,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_BF16,
         .group = 200,
         .scale_rows = 40,
         .activation = DLQ_K_FP_FP8_TENSOR},
        {.k = 129,
         .n = 24,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F16,
         .group = 129,
         .scale_rows = 1,
         .activation = DLQ_K_FP_FP8_STATIC,
         .act_scale = 0.01f},
        {.k = 300,
         .n = 200,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F32,
         .group = 128,
         .scale_rows = 128,
         .activation = DLQ_K_FP_FP8_GROUP,
         .act_group = 128},
        {.k = 300,
         .n = 130,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F32,
         .group = 128,
         .scale_rows = 128,
         .activation = DLQ_K_FP_NONE},
        {.k = 172,
         .n = 48,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F32,
         .group = 172,
         .scale_rows = 1,
         .activation = DLQ_K_FP_NONE},
        {.k = 320,
         .n = 56,
         .dtype = DLQ_F4_E2M1,
         .scale_dtype = DLQ_F8_E4M3,
         .group = 16,
         .scale_rows = 1,
         .activation = DLQ_K_FP_NONE},
        {.k = 320,
         .n = 56,
         .dtype = DLQ_F4_E2M1,
         .scale_dtype = DLQ_F8_E4M3,
         .group = 16,
         .scale_rows = 1,
         .activation = DLQ_K_FP_NVFP4,
         .act_scale = 300.0f},
        {.k = 160,
         .n = 17,
         .dtype = DLQ_F4_E2M1,
         .scale_dtype = DLQ_F8_E8M0,
         .group = 32,
         .scale_rows = 1,
         .activation = DLQ_K_FP_MXFP4},
        {.k = 176,
         .n = 64,
         .dtype = DLQ_F8_E4M3,
         .scale_dtype = DLQ_F8_E8M0,
         .group = 32,
         .scale_rows = 1,
         .activation = DLQ_K_FP_MXFP8},
    };
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
            struct check_fp_layer l;
            check_fp_make(&l, rows[r], &shapes[s], dtypes[(s + r) % 3]);
            check_layer_levels(&l.op);
            check_fp_free(&l);
        }
        struct check_fp_layer l;
        check_fp_make(&l, 9, &shapes[s], dtypes[s % 3]);
        check_layer_special(&l.op);
        check_fp_free(&l);
    }
    check_fp_edges();
}
