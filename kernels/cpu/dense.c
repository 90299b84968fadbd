// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "dense.h"
#include "call.h"

void
dlq_k_dense_init(struct dlq_k_dense_ops *ops, uint32_t cpu_flags)
{
    dlq_dense_init_ref(ops);
#if defined(__x86_64__)
    if ((cpu_flags & DLQ_CPU_AVX2) == 0) {
        return;
    }
    dlq_dense_init_avx2(ops);
    if ((cpu_flags & DLQ_CPU_AVX512) == 0) {
        return;
    }
    dlq_dense_init_avx512(ops);
    if ((cpu_flags & DLQ_CPU_AVX512_BF16) != 0) {
        dlq_dense_init_avx512_bf16(ops);
    }
    if ((cpu_flags & DLQ_CPU_AMX_BF16) != 0) {
        dlq_dense_init_amx_bf16(ops);
    }
#else
    (void)cpu_flags;
#endif
}

int
dlq_k_dense_plan(struct dlq_k_dense *w, int64_t k, int64_t n, uint32_t dtype)
{
    if (k <= 0 || n <= 0 || k > INT32_MAX || n > INT32_MAX) {
        return DLQ_K_ESHAPE;
    }
    if (!dlq_k_is_act_dtype(dtype)) {
        return DLQ_K_EDTYPE;
    }
    *w = (struct dlq_k_dense){.k = k, .n = n, .dtype = dtype};
    w->k_padded = dtype == DLQ_BF16 ? dlq_round_up(k, 32) : k;
    w->blocks = (n + 15) / 16;
    w->block_bytes = w->k_padded * 16 * (int64_t)dlq_k_act_size(dtype);
    w->bytes = dlq_round_up(w->blocks * w->block_bytes, DLQ_K_ALIGN);
    return DLQ_K_OK;
}

struct pack_job {
    const struct dlq_k_dense *w;
    const void *weights;
    int64_t stride;
    uint8_t *data;
    int n_tasks;
};

// Rows of the checkpoint are columns here: walk 64 of K at a time so that both sides stay in cache.
static void
pack_block16(const struct pack_job *job, int64_t block)
{
    const struct dlq_k_dense *w = job->w;
    const bool pairs = w->dtype == DLQ_BF16;
    uint16_t *out = (uint16_t *)(void *)(job->data + block * w->block_bytes);
    for (int64_t k0 = 0; k0 < w->k; k0 += 64) {
        const int64_t k1 = k0 + 64 < w->k ? k0 + 64 : w->k;
        for (int c = 0; c < 16 && block * 16 + c < w->n; c++) {
            const uint16_t *row = (const uint16_t *)job->weights + (block * 16 + c) * job->stride;
            for (int64_t k = k0; k < k1; k++) {
                out[pairs ? k / 2 * 32 + 2 * c + k % 2 : k * 16 + c] = row[k];
            }
        }
    }
}

static void
pack_block32(const struct pack_job *job, int64_t block)
{
    const struct dlq_k_dense *w = job->w;
    uint32_t *out = (uint32_t *)(void *)(job->data + block * w->block_bytes);
    for (int64_t k0 = 0; k0 < w->k; k0 += 64) {
        const int64_t k1 = k0 + 64 < w->k ? k0 + 64 : w->k;
        for (int c = 0; c < 16 && block * 16 + c < w->n; c++) {
            const uint32_t *row = (const uint32_t *)job->weights + (block * 16 + c) * job->stride;
            for (int64_t k = k0; k < k1; k++) {
                out[k * 16 + c] = row[k];
            }
        }
    }
}

static void
pack_task(void *arg, int task)
{
    const struct pack_job *job = arg;
    const struct dlq_k_dense *w = job->w;
    const int64_t end = dlq_task_begin(w->blocks, task + 1, job->n_tasks);
    for (int64_t b = dlq_task_begin(w->blocks, task, job->n_tasks); b < end; b++) {
        if (b * 16 + 16 > w->n || w->k_padded != w->k) {
            memset(job->data + b * w->block_bytes, 0, (size_t)w->block_bytes);
        }
        if (w->dtype == DLQ_F32) {
            pack_block32(job, b);
        } else {
            pack_block16(job, b);
        }
    }
}

int
dlq_k_dense_pack(struct dlq_k_dense *w, const void *weights, int64_t stride, void *data,
                 const struct dlq_k_parallel *parallel)
{
    if (stride < w->k) {
        return DLQ_K_ESHAPE;
    }
    struct pack_job job = {w, weights, stride, data, dlq_k_parallel_threads(parallel)};
    dlq_k_parallel_run(parallel, job.n_tasks, pack_task, &job);
    w->data = data;
    return DLQ_K_OK;
}

void
dlq_k_dense_unpack(const struct dlq_k_dense *w, int64_t n0, int64_t rows, float *out)
{
    const bool pairs = w->dtype == DLQ_BF16;
    for (int64_t n = n0; n < n0 + rows; n++) {
        const uint8_t *const block = w->data + n / 16 * w->block_bytes;
        const int64_t c = n % 16;
        for (int64_t k = 0; k < w->k; k++) {
            const int64_t at = pairs ? k / 2 * 32 + 2 * c + k % 2 : k * 16 + c;
            out[(n - n0) * w->k + k] = dlq_k_load_f32(block, w->dtype, at);
        }
    }
}
