// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "w8a8.h"
#include "call.h"
#include "ranges.h"

void
dlq_k_w8a8_init(struct dlq_k_w8a8_ops *ops, uint32_t cpu_flags)
{
    dlq_w8a8_init_ref(ops);
#if defined(__x86_64__)
    if ((cpu_flags & DLQ_CPU_AVX2) == 0) {
        return;
    }
    dlq_w8a8_init_avx2(ops);
    const uint32_t vnni = DLQ_CPU_AVX512 | DLQ_CPU_AVX512_VNNI;
    if ((cpu_flags & vnni) != vnni) {
        return;
    }
    dlq_w8a8_init_avx512_vnni(ops);
    if ((cpu_flags & DLQ_CPU_AMX_INT8) != 0) {
        dlq_w8a8_init_amx_int8(ops);
    }
#elif defined(__aarch64__)
    if ((cpu_flags & DLQ_CPU_NEON_DOTPROD) != 0) {
        dlq_w8a8_init_neon_dotprod(ops);
    }
#else
    (void)cpu_flags;
#endif
}

int
dlq_k_w8a8_plan(struct dlq_k_w8a8 *w, int64_t k, int64_t n, enum dlq_k_w8a8_activation activation,
                float act_scale, int32_t act_zero)
{
    const bool is_static = activation == DLQ_K_W8A8_STATIC || activation == DLQ_K_W8A8_STATIC_AZP;
    const bool has_azp = activation == DLQ_K_W8A8_TOKEN_AZP || activation == DLQ_K_W8A8_STATIC_AZP;
    if (k <= 0 || n <= 0 || n > INT32_MAX ||
        k > (has_azp ? DLQ_K_W8A8_MAX_K_ASYMMETRIC : DLQ_K_W8A8_MAX_K)) {
        return DLQ_K_ESHAPE;
    }
    if (is_static && !dlq_k_f32_is_finite(act_scale)) {
        return DLQ_K_ESCALE;
    }
    if (activation == DLQ_K_W8A8_STATIC_AZP && (act_zero < -128 || act_zero > 127)) {
        return DLQ_K_ECODE;
    }
    *w = (struct dlq_k_w8a8){.k = k, .n = n, .activation = activation};
    w->act_scale = is_static ? act_scale : 0.0f;
    w->act_zero = activation == DLQ_K_W8A8_STATIC_AZP ? act_zero : 0;
    w->k_padded = dlq_round_up(k, 64);
    w->blocks = (n + 15) / 16;
    w->block_bytes = w->k_padded * 16 + (int64_t)sizeof(struct dlq_w8a8_tail);
    w->bytes = w->blocks * w->block_bytes;
    return DLQ_K_OK;
}

struct pack_job {
    const struct dlq_k_w8a8 *w;
    const int8_t *weights;
    int64_t stride;
    const float *scales;
    const int32_t *zeros;
    uint8_t *data;
    int n_tasks;
};

static void
pack_column(const struct pack_job *job, int64_t block, int c)
{
    const struct dlq_k_w8a8 *w = job->w;
    uint8_t *codes = job->data + block * w->block_bytes;
    struct dlq_w8a8_tail *tail = (struct dlq_w8a8_tail *)(void *)(codes + w->k_padded * 16);
    const int64_t n = block * 16 + c;
    const int8_t *row = job->weights + n * job->stride;
    const int32_t zero = job->zeros != NULL ? job->zeros[n] : 0;
    int32_t sum = 0;
    for (int64_t k = 0; k < w->k; k++) {
        codes[k / 4 * 64 + 4 * c + k % 4] = (uint8_t)(row[k] + 128);
        sum += row[k] - zero;
    }
    tail->scale[c] = job->scales[n];
    tail->zero[c] = zero;
    tail->sum[c] = sum;
}

static void
pack_task(void *arg, int task)
{
    const struct pack_job *job = arg;
    const struct dlq_k_w8a8 *w = job->w;
    const int64_t end = dlq_task_begin(w->blocks, task + 1, job->n_tasks);
    for (int64_t b = dlq_task_begin(w->blocks, task, job->n_tasks); b < end; b++) {
        uint8_t *codes = job->data + b * w->block_bytes;
        memset(codes, 128, (size_t)w->k_padded * 16);
        memset(codes + w->k_padded * 16, 0, sizeof(struct dlq_w8a8_tail));
        for (int c = 0; c < 16 && b * 16 + c < w->n; c++) {
            pack_column(job, b, c);
        }
    }
}

int
dlq_k_w8a8_pack(struct dlq_k_w8a8 *w, const int8_t *weights, int64_t stride, const float *scales,
                const int32_t *zeros, void *data, const struct dlq_k_parallel *parallel,
                int64_t *bad)
{
    bool asymmetric = false;
    for (int64_t n = 0; n < w->n; n++) {
        const bool scale_ok = dlq_k_f32_is_finite(scales[n]);
        const bool zero_ok = zeros == NULL || (zeros[n] >= -128 && zeros[n] <= 127);
        if (!scale_ok || !zero_ok) {
            if (bad != NULL) {
                *bad = n;
            }
            return scale_ok ? DLQ_K_ECODE : DLQ_K_ESCALE;
        }
        asymmetric = asymmetric || (zeros != NULL && zeros[n] != 0);
    }
    if (stride < w->k || (asymmetric && w->k > DLQ_K_W8A8_MAX_K_ASYMMETRIC)) {
        return DLQ_K_ESHAPE;
    }
    struct pack_job job = {
        w, weights, stride, scales, zeros, data, dlq_k_parallel_threads(parallel)};
    dlq_k_parallel_run(parallel, job.n_tasks, pack_task, &job);
    w->asymmetric = asymmetric;
    w->data = data;
    return DLQ_K_OK;
}

static int8_t
saturate(float v)
{
    return (int8_t)(v < -128.0f ? -128.0f : v > 127.0f ? 127.0f : v);
}

struct dlq_w8a8_codes
dlq_w8a8_choose_codes(const struct dlq_k_w8a8 *w, float lo, float hi)
{
    struct dlq_w8a8_codes c = {.scale = w->act_scale, .azp = w->act_zero};
    if (!dlq_k_f32_is_finite(lo) || !dlq_k_f32_is_finite(hi)) {
        // Also with a static scale: a NaN or infinity in the row shows.
        return (struct dlq_w8a8_codes){.scale = dlq_k_f32_from_bits(0x7fc00000u)};
    }
    const float a = -lo > hi ? -lo : hi;
    if (w->activation == DLQ_K_W8A8_TOKEN) {
        c.scale = a < 0x1p-100f ? 0.0f : a / 127.0f;
    }
    if (w->activation == DLQ_K_W8A8_TOKEN_AZP) {
        // hi - lo may overflow for fp32 rows beyond 1.7e38; halves do not.
        const float range = hi * 0.5f - lo * 0.5f;
        c.scale = range < 0x1p-101f ? 0.0f : range / 127.5f;
        c.azp = c.scale != 0.0f ? (int32_t)rintf(-128.0f - lo / c.scale) : 0;
    }
    if (c.scale == 0.0f) {
        return (struct dlq_w8a8_codes){0};
    }
    c.divide = w->activation == DLQ_K_W8A8_STATIC;
    c.factor = c.divide ? c.scale : w->activation == DLQ_K_W8A8_TOKEN ? 127.0f / a : 1.0f / c.scale;
    return c;
}

void
dlq_k_w8a8_quantize_share(const struct dlq_k_w8a8 *w, const void *x, uint32_t x_dtype,
                          const float *range, int8_t *codes, float *scale, int32_t *azp)
{
    const struct dlq_w8a8_codes c = dlq_w8a8_choose_codes(w, range[0], range[1]);
    *scale = c.scale;
    *azp = c.azp;
    if (c.factor == 0.0f) {
        memset(codes, 0, (size_t)w->k);
        return;
    }
    for (int64_t k = 0; k < w->k; k++) {
        const float v = dlq_k_load_f32(x, x_dtype, k);
        const float t = c.divide ? v / c.factor : v * c.factor;
        codes[k] = saturate(rintf(t) + (float)c.azp);
    }
}

void
dlq_k_w8a8_quantize_row(const struct dlq_k_w8a8 *w, const void *x, uint32_t x_dtype, int8_t *codes,
                        float *scale, int32_t *azp)
{
    float range[2];
    dlq_row_range(x, x_dtype, w->k, range);
    dlq_k_w8a8_quantize_share(w, x, x_dtype, range, codes, scale, azp);
}

void
dlq_k_w8a8_dequantize(const struct dlq_k_w8a8 *w, int64_t n0, int64_t rows, float *out)
{
    for (int64_t n = n0; n < n0 + rows; n++) {
        const struct dlq_w8a8_tail *const tail = dlq_w8a8_tail(w, n / 16);
        const uint8_t *const column = dlq_w8a8_codes(w, n / 16) + 4 * (n % 16);
        for (int64_t k = 0; k < w->k; k++) {
            const int32_t code = column[k / 4 * 64 + k % 4] - 128 - tail->zero[n % 16];
            out[(n - n0) * w->k + k] = (float)code * tail->scale[n % 16];
        }
    }
}

void
dlq_k_w8a8_accumulate_row(const struct dlq_k_w8a8 *w, const int8_t *codes, int32_t azp,
                          int32_t *acc)
{
    for (int64_t b = 0; b < w->blocks; b++) {
        const uint8_t *weights = dlq_w8a8_codes(w, b);
        const struct dlq_w8a8_tail *tail = dlq_w8a8_tail(w, b);
        int32_t sum[16] = {0};
        int32_t a_sum = 0;
        for (int64_t k = 0; k < w->k; k++) {
            const uint8_t *row = weights + k / 4 * 64 + k % 4;
            a_sum += codes[k];
            for (int c = 0; c < 16; c++) {
                sum[c] += codes[k] * (row[4 * c] - 128);
            }
        }
        for (int c = 0; c < 16 && b * 16 + c < w->n; c++) {
            acc[b * 16 + c] = sum[c] - tail->zero[c] * a_sum - azp * tail->sum[c];
        }
    }
}
