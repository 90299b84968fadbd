// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "dense_bf16.h"
#include "float_fast.h"
#include "fp.h"
#include "rows.h"

// Dense, fp8 and fp4 layers over the fp32 driver: what differs is how rows of x are loaded and how
// weights are decoded.

static void
load_plain_row(const struct dlq_float_run *run, int64_t m, float *values, float *scale)
{
    *scale = 1.0f;
    dlq_rows_widen_avx2(dlq_call_x(run->call, m), run->call->x_dtype, run->source->k, values);
}

static const float *
dense_in_place(const void *w, int64_t block, int64_t k0)
{
    const struct dlq_k_dense *dense = w;
    return (const float *)(const void *)(dense->data + block * dense->block_bytes) + k0 * 16;
}

static void
dense_copy(const void *w, int64_t block, int64_t k0, int64_t count, float *out)
{
    memcpy(out, dense_in_place(w, block, k0), (size_t)count * 16 * sizeof(*out));
}

static int64_t
dense_workspace(const struct dlq_k_dense *w, int64_t max_m, int n_threads)
{
    return dlq_float_workspace(w->k, max_m, n_threads);
}

static int
dense_apply(const struct dlq_k_dense *w, const struct dlq_k_linear_call *call,
            const struct dlq_float_level *level,
            void (*decode)(const void *w, int64_t block, int64_t k0, int64_t count, float *out))
{
    const int result = dlq_call_check(call, w->k, w->n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct dlq_float_source source = {.w = w,
                                      .k = w->k,
                                      .n = w->n,
                                      .blocks = w->blocks,
                                      .decode = decode,
                                      .load_row = load_plain_row};
    if (w->dtype == DLQ_F32) {
        source.decode = dense_copy;
        source.in_place = dense_in_place;
    }
    dlq_float_apply(&source, level, call, 0.0f);
    return DLQ_K_OK;
}

static int
dense_apply_avx2(const struct dlq_k_dense *w, const struct dlq_k_linear_call *call)
{
    return dense_apply(w, call, &dlq_float_level_avx2, dlq_dense_decode_avx2);
}

static int
dense_apply_avx512(const struct dlq_k_dense *w, const struct dlq_k_linear_call *call)
{
    return dense_apply(w, call, &dlq_float_level_avx512, dlq_dense_decode_avx512);
}

void
dlq_dense_init_avx2(struct dlq_k_dense_ops *ops)
{
    *ops = (struct dlq_k_dense_ops){"avx2", dense_workspace, dense_apply_avx2};
}

void
dlq_dense_init_avx512(struct dlq_k_dense_ops *ops)
{
    *ops = (struct dlq_k_dense_ops){"avx512", dense_workspace, dense_apply_avx512};
}

// bf16 by bf16 stays bf16; every other pair of dtypes runs in fp32. Processors with AMX run
// vdpbf16ps at half the rate of fp32: there AMX serves all row counts.

static bool
is_bf16(const struct dlq_k_dense *w, const struct dlq_k_linear_call *call)
{
    return w->dtype == DLQ_BF16 && call->x_dtype == DLQ_BF16;
}

static int64_t
bf16_workspace(dlq_bf16_choose choose, const struct dlq_k_dense *w, int64_t max_m, int n_threads)
{
    const int64_t fp32 = dense_workspace(w, max_m, n_threads);
    const int64_t bf16 = w->dtype == DLQ_BF16 ? dlq_bf16_workspace(choose, w, max_m, n_threads) : 0;
    return fp32 > bf16 ? fp32 : bf16;
}

static int
bf16_apply(dlq_bf16_choose choose, const struct dlq_k_dense *w,
           const struct dlq_k_linear_call *call)
{
    if (!is_bf16(w, call)) {
        return dense_apply_avx512(w, call);
    }
    const int result = dlq_call_check(call, w->k, w->n);
    if (result == DLQ_K_OK && call->m > 0) {
        dlq_bf16_apply(choose, w, call);
    }
    return result;
}

static int64_t
workspace_avx512_bf16(const struct dlq_k_dense *w, int64_t max_m, int n_threads)
{
    return bf16_workspace(dlq_bf16_choose_avx512, w, max_m, n_threads);
}

static int
apply_avx512_bf16(const struct dlq_k_dense *w, const struct dlq_k_linear_call *call)
{
    return bf16_apply(dlq_bf16_choose_avx512, w, call);
}

static int64_t
workspace_amx_bf16(const struct dlq_k_dense *w, int64_t max_m, int n_threads)
{
    return bf16_workspace(dlq_bf16_choose_amx, w, max_m, n_threads);
}

static int
apply_amx_bf16(const struct dlq_k_dense *w, const struct dlq_k_linear_call *call)
{
    return bf16_apply(dlq_bf16_choose_amx, w, call);
}

void
dlq_dense_init_avx512_bf16(struct dlq_k_dense_ops *ops)
{
    *ops = (struct dlq_k_dense_ops){"avx512_bf16", workspace_avx512_bf16, apply_avx512_bf16};
}

void
dlq_dense_init_amx_bf16(struct dlq_k_dense_ops *ops)
{
    *ops = (struct dlq_k_dense_ops){"amx_bf16", workspace_amx_bf16, apply_amx_bf16};
}

static void
load_fp_row(const struct dlq_float_run *run, int64_t m, float *values, float *scale)
{
    const struct dlq_k_fp *w = run->source->w;
    if (w->shape.activation == DLQ_K_FP_NONE) {
        load_plain_row(run, m, values, scale);
        return;
    }
    dlq_fp_load_row_avx2(w, run->call, m, run->tensor_max, values, scale);
}

static const float *
fp_factors(const void *w, int64_t block)
{
    return dlq_fp_factors(w, block);
}

static int64_t
fp_workspace(const struct dlq_k_fp *w, int64_t max_m, int n_threads)
{
    return dlq_float_workspace(w->shape.k, max_m, n_threads);
}

static int
fp_apply(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call,
         const struct dlq_float_level *level,
         void (*decode)(const void *w, int64_t block, int64_t k0, int64_t count, float *out))
{
    const int result = dlq_call_check(call, w->shape.k, w->shape.n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    const struct dlq_float_source source = {.w = w,
                                            .k = w->shape.k,
                                            .n = w->shape.n,
                                            .blocks = w->blocks,
                                            .decode = decode,
                                            .load_row = load_fp_row,
                                            .factors = fp_factors};
    dlq_float_apply(&source, level, call, dlq_fp_tensor_max_avx2(w, call));
    return DLQ_K_OK;
}

static int
fp_apply_avx2(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call)
{
    return fp_apply(w, call, &dlq_float_level_avx2, dlq_fp_decode_avx2);
}

static int
fp_apply_avx512(const struct dlq_k_fp *w, const struct dlq_k_linear_call *call)
{
    return fp_apply(w, call, &dlq_float_level_avx512, dlq_fp_decode_avx512);
}

void
dlq_fp_init_avx2(struct dlq_k_fp_ops *ops)
{
    *ops = (struct dlq_k_fp_ops){"avx2", fp_workspace, fp_apply_avx2};
}

void
dlq_fp_init_avx512(struct dlq_k_fp_ops *ops)
{
    *ops = (struct dlq_k_fp_ops){"avx512", fp_workspace, fp_apply_avx512};
}
