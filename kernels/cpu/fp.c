// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fp.h"

#include "call.h"

void
dlq_k_fp_init(struct dlq_k_fp_ops *ops, uint32_t cpu_flags)
{
    dlq_fp_init_ref(ops);
#if defined(__x86_64__)
    if ((cpu_flags & DLQ_CPU_AVX2) == 0) {
        return;
    }
    dlq_fp_init_avx2(ops);
    if ((cpu_flags & DLQ_CPU_AVX512) != 0) {
        dlq_fp_init_avx512(ops);
    }
#else
    (void)cpu_flags;
#endif
}

static bool
is_byte_scale(uint32_t dtype)
{
    return dtype == DLQ_F8_E4M3 || dtype == DLQ_F8_E8M0;
}

static bool
needs_act_scale(enum dlq_k_fp_activation activation)
{
    return activation == DLQ_K_FP_FP8_STATIC || activation == DLQ_K_FP_NVFP4;
}

int
dlq_k_fp_plan(struct dlq_k_fp *w, const struct dlq_k_fp_shape *shape)
{
    const bool fp4 = shape->dtype == DLQ_F4_E2M1;
    if (shape->k <= 0 || shape->n <= 0 || shape->k > INT32_MAX || shape->n > INT32_MAX ||
        shape->group <= 0 || shape->group > shape->k || shape->scale_rows <= 0 ||
        (fp4 && (shape->k % 2 != 0 || (shape->group % 2 != 0 && shape->group != shape->k))) ||
        (shape->activation == DLQ_K_FP_FP8_GROUP && shape->act_group <= 0)) {
        return DLQ_K_ESHAPE;
    }
    const struct dlq_k_fp asked = {.shape = *shape};
    if (shape->activation >= DLQ_K_FP_FP8_GROUP &&
        (shape->act_offset < 0 || shape->act_offset >= dlq_k_fp_act_group(&asked))) {
        return DLQ_K_ESHAPE;
    }
    if ((!fp4 && shape->dtype != DLQ_F8_E4M3) ||
        (!is_byte_scale(shape->scale_dtype) && !dlq_k_is_act_dtype(shape->scale_dtype))) {
        return DLQ_K_EDTYPE;
    }
    if (needs_act_scale(shape->activation) &&
        (!dlq_k_f32_is_finite(shape->act_scale) || shape->act_scale == 0.0f)) {
        return DLQ_K_ESCALE;
    }
    *w = (struct dlq_k_fp){.shape = *shape};
    w->groups = (shape->k + shape->group - 1) / shape->group;
    w->code_bytes = fp4 ? shape->group * 8 : shape->group * 16;
    const int64_t scale_bytes = w->groups == 1 ? 0 : is_byte_scale(shape->scale_dtype) ? 16 : 64;
    w->group_bytes = w->code_bytes + scale_bytes;
    w->blocks = (shape->n + 15) / 16;
    w->block_bytes = dlq_round_up(w->groups * w->group_bytes + 64, DLQ_K_ALIGN);
    w->bytes = w->blocks * w->block_bytes;
    return DLQ_K_OK;
}

static float
scale_value(const void *scales, uint32_t dtype, int64_t i)
{
    if (dtype == DLQ_F8_E4M3) {
        return dlq_k_e4m3_to_f32(((const uint8_t *)scales)[i]);
    }
    if (dtype == DLQ_F8_E8M0) {
        return dlq_k_e8m0_to_f32(((const uint8_t *)scales)[i]);
    }
    return dlq_k_load_f32(scales, dtype, i);
}

float
dlq_fp_scale(const struct dlq_k_fp *w, int64_t block, int64_t group, int c)
{
    if (w->groups == 1) {
        return 1.0f;
    }
    const uint32_t dtype = w->shape.scale_dtype;
    return scale_value(dlq_fp_group(w, block, group) + w->code_bytes,
                       is_byte_scale(dtype) ? dtype : DLQ_F32, c);
}

struct pack_job {
    const struct dlq_k_fp *w;
    const uint8_t *codes;
    const void *scales;
    const float *factors;
    uint8_t *data;
    int n_tasks;
};

static void
pack_column(const struct pack_job *job, int64_t block, int c)
{
    const struct dlq_k_fp *w = job->w;
    const struct dlq_k_fp_shape *shape = &w->shape;
    const int64_t n = block * 16 + c;
    uint8_t *out = job->data + block * w->block_bytes;
    float factor = job->factors != NULL ? job->factors[n] : 1.0f;
    for (int64_t g = 0; g < w->groups; g++, out += w->group_bytes) {
        const int64_t first = g * shape->group;
        const int64_t left = shape->k - first;
        const int64_t count = left < shape->group ? left : shape->group;
        if (shape->dtype == DLQ_F4_E2M1) {
            const uint8_t *from = job->codes + (n * shape->k + first) / 2;
            for (int64_t i = 0; i < count / 2; i++) {
                out[i * 16 + c] = from[i];
            }
        } else {
            const uint8_t *from = job->codes + n * shape->k + first;
            for (int64_t i = 0; i < count; i++) {
                out[i * 16 + c] = from[i];
            }
        }
        const int64_t at = n / shape->scale_rows * w->groups + g;
        const float scale = scale_value(job->scales, shape->scale_dtype, at);
        if (w->groups == 1) {
            factor *= scale;
        } else if (is_byte_scale(shape->scale_dtype)) {
            out[w->code_bytes + c] = ((const uint8_t *)job->scales)[at];
        } else {
            memcpy(out + w->code_bytes + c * 4, &scale, sizeof(scale));
        }
    }
    memcpy(out + c * 4, &factor, sizeof(factor));
}

static void
pack_task(void *arg, int task)
{
    const struct pack_job *job = arg;
    const struct dlq_k_fp *w = job->w;
    const int64_t end = dlq_task_begin(w->blocks, task + 1, job->n_tasks);
    for (int64_t b = dlq_task_begin(w->blocks, task, job->n_tasks); b < end; b++) {
        memset(job->data + b * w->block_bytes, 0, (size_t)w->block_bytes);
        for (int c = 0; c < 16 && b * 16 + c < w->shape.n; c++) {
            pack_column(job, b, c);
        }
    }
}

// Index of the first value that is not finite, or -1.
static int64_t
find_bad_scale(const void *scales, uint32_t dtype, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!dlq_k_f32_is_finite(scale_value(scales, dtype, i))) {
            return i;
        }
    }
    return -1;
}

int
dlq_k_fp_pack(struct dlq_k_fp *w, const uint8_t *codes, const void *scales, const float *factors,
              void *data, const struct dlq_k_parallel *parallel, int64_t *bad)
{
    const struct dlq_k_fp_shape *shape = &w->shape;
    const int64_t scale_rows = (shape->n + shape->scale_rows - 1) / shape->scale_rows;
    int64_t at = find_bad_scale(scales, shape->scale_dtype, scale_rows * w->groups);
    if (at < 0 && factors != NULL) {
        at = find_bad_scale(factors, DLQ_F32, shape->n);
    }
    int result = at >= 0 ? DLQ_K_ESCALE : DLQ_K_OK;
    for (int64_t i = 0; shape->dtype == DLQ_F8_E4M3 && at < 0 && i < shape->n * shape->k; i++) {
        if ((codes[i] & 0x7fu) == 0x7fu) {
            at = i;
            result = DLQ_K_ECODE;
        }
    }
    if (at >= 0) {
        if (bad != NULL) {
            *bad = at;
        }
        return result;
    }
    struct pack_job job = {w, codes, scales, factors, data, dlq_k_parallel_threads(parallel)};
    dlq_k_parallel_run(parallel, job.n_tasks, pack_task, &job);
    w->data = data;
    return DLQ_K_OK;
}

void
dlq_k_fp_dequantize(const struct dlq_k_fp *w, int64_t n0, int64_t rows, float *out)
{
    const bool fp4 = w->shape.dtype == DLQ_F4_E2M1;
    for (int64_t r = 0; r < rows; r++, out += w->shape.k) {
        const int64_t block = (n0 + r) / 16;
        const int c = (int)((n0 + r) % 16);
        const float factor = dlq_fp_factors(w, block)[c];
        for (int64_t k = 0; k < w->shape.k; k++) {
            const int64_t g = k / w->shape.group;
            const int64_t i = k % w->shape.group;
            const uint8_t *codes = dlq_fp_group(w, block, g);
            const float v =
                fp4 ? dlq_k_e2m1_to_f32((uint8_t)(codes[i / 2 * 16 + c] >> (i % 2 * 4) & 15))
                    : dlq_k_e4m3_to_f32(codes[i * 16 + c]);
            out[k] = v * dlq_fp_scale(w, block, g, c) * factor;
        }
    }
}
