// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "w8a8_fast.h"

#include "rows.h"

#include <immintrin.h>

// Compiled for AVX2: every level that uses it has that.

enum { INLINE_ELEMENTS = 16384 };

static void
run_init(struct dlq_w8a8_run *run, const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
         int64_t m)
{
    *run = (struct dlq_w8a8_run){.w = w};
    level->choose(m, run);
    run->panels = (m + run->rows - 1) / run->rows;
    run->panel_bytes = dlq_round_up(
        w->k_padded * run->rows * (run->format == DLQ_W8A8_PAIRS ? 2 : 1), DLQ_K_ALIGN);
}

static int64_t
rows_bytes(const struct dlq_w8a8_run *run)
{
    return dlq_round_up(run->panels * run->rows * (int64_t)sizeof(struct dlq_w8a8_row),
                        DLQ_K_ALIGN);
}

static int64_t
buffer_floats(const struct dlq_k_w8a8 *w)
{
    return w->k_padded;
}

int64_t
dlq_w8a8_fast_workspace(const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
                        int64_t max_m, int n_threads)
{
    // Panels of small products may be padded more than those of large ones.
    int64_t most = 0;
    for (int64_t m = max_m > 64 ? max_m - 32 : 1; m <= max_m; m++) {
        struct dlq_w8a8_run run;
        run_init(&run, level, w, m);
        const int64_t bytes = run.panels * run.panel_bytes + rows_bytes(&run);
        most = bytes > most ? bytes : most;
    }
    return most + buffer_floats(w) * 4 * (n_threads > 1 ? n_threads : 1);
}

// The formulas of dlq_k_w8a8_quantize_share, eight at a time; x and q are padded with zeros.
static void
quantize_row(const struct dlq_k_w8a8 *w, float *x, const float *range, int8_t *q,
             struct dlq_w8a8_row *row)
{
    float own[2];
    if (range == NULL) {
        dlq_rows_range_avx2(x, DLQ_F32, w->k_padded, own);
        range = own;
    }
    const struct dlq_w8a8_codes choice = dlq_w8a8_choose_codes(w, range[0], range[1]);
    *row = (struct dlq_w8a8_row){.scale = choice.scale, .azp = choice.azp};
    if (choice.factor == 0.0f) {
        memset(q, 0, (size_t)w->k_padded);
        return;
    }
    const bool divide = choice.divide;
    const __m256 factor = _mm256_set1_ps(choice.factor);
    const __m256 azp = _mm256_set1_ps((float)row->azp);
    const __m256 least = _mm256_set1_ps(-128.0f);
    const __m256 most = _mm256_set1_ps(127.0f);
    __m256i sums = _mm256_setzero_si256();
    for (int64_t k = 0; k < w->k_padded; k += 8) {
        const __m256 v = _mm256_loadu_ps(x + k);
        const __m256 t = divide ? _mm256_div_ps(v, factor) : _mm256_mul_ps(v, factor);
        const __m256 r = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __m256 s = _mm256_min_ps(_mm256_max_ps(_mm256_add_ps(r, azp), least), most);
        __m256i codes = _mm256_cvtps_epi32(s);
        if (k + 8 > w->k) { // rows of padding are 0, not azp
            int32_t keep[8];
            for (int i = 0; i < 8; i++) {
                keep[i] = k + i < w->k ? -1 : 0;
            }
            codes =
                _mm256_and_si256(codes, _mm256_loadu_si256((const __m256i *)(const void *)keep));
        }
        sums = _mm256_add_epi32(sums, codes);
        const __m256i words = _mm256_packs_epi32(codes, codes);
        const __m128i half =
            _mm_unpacklo_epi64(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storel_epi64((__m128i *)(void *)(q + k), _mm_packs_epi16(half, half));
    }
    int32_t parts[8];
    _mm256_storeu_si256((__m256i *)(void *)parts, sums);
    for (int i = 0; i < 8; i++) {
        row->sum += parts[i];
    }
}

static void
store_row(const struct dlq_w8a8_run *run, const int8_t *q, int row, uint8_t *out)
{
    const int64_t k_padded = run->w->k_padded;
    if (run->format == DLQ_W8A8_TILES) {
        for (int64_t k = 0; k < k_padded; k += 64) {
            memcpy(out + (k / 64 * run->rows + row) * 64, q + k, 64);
        }
        return;
    }
    for (int64_t k = 0; k < k_padded; k += 4) {
        if (run->format == DLQ_W8A8_BYTES) {
            memcpy(out + (k / 4 * run->rows + row) * 4, q + k, 4);
            continue;
        }
        const int16_t pairs[4] = {q[k], q[k + 2], q[k + 1], q[k + 3]};
        memcpy(out + (k / 2 * run->rows + row) * 4, pairs, 4);
        memcpy(out + ((k / 2 + 1) * run->rows + row) * 4, pairs + 2, 4);
    }
}

static void
quantize_task(void *arg, int task)
{
    const struct dlq_w8a8_run *run = arg;
    const struct dlq_k_w8a8 *w = run->w;
    float *x = run->row_buffers + task * buffer_floats(w);
    const int64_t end = dlq_task_begin(run->panels, task + 1, run->quantize_tasks);
    for (int64_t p = dlq_task_begin(run->panels, task, run->quantize_tasks); p < end; p++) {
        for (int r = 0; r < run->rows; r++) {
            const int64_t m = p * run->rows + r;
            struct dlq_w8a8_row *row = &run->row[m];
            // Codes are written over the fp32 values that they were made from.
            int8_t *q = (int8_t *)x;
            if (m < run->call->m) {
                dlq_rows_widen_avx2(dlq_call_x(run->call, m), run->call->x_dtype, w->k, x);
                memset(x + w->k, 0, (size_t)(w->k_padded - w->k) * sizeof(*x));
                const float *ranges = run->call->ranges;
                quantize_row(w, x, ranges != NULL ? ranges + 2 * m : NULL, q, row);
            } else {
                memset(q, 0, (size_t)w->k_padded);
                *row = (struct dlq_w8a8_row){0};
            }
            store_row(run, q, r, run->codes + p * run->panel_bytes);
        }
    }
}

// Takes out of the sums what the kernel's weights are too large by and what zero points add.
static void
correct_sums(const struct dlq_w8a8_run *run, int64_t m0, int64_t rows, int64_t block, int n_blocks,
             int32_t *c)
{
    for (int b = 0; b < n_blocks; b++) {
        const struct dlq_w8a8_tail *tail = dlq_w8a8_tail(run->w, block + b);
        for (int64_t r = 0; r < rows; r++) {
            const struct dlq_w8a8_row *row = &run->row[m0 + r];
            const __m256i sum = _mm256_set1_epi32(row->sum);
            const __m256i azp = _mm256_set1_epi32(row->azp);
            const __m256i offset = _mm256_set1_epi32(run->offset);
            for (int h = 0; h < 16; h += 8) {
                int32_t *at = c + r * DLQ_W8A8_UNIT + b * 16 + h;
                const __m256i zero =
                    _mm256_loadu_si256((const __m256i *)(const void *)(tail->zero + h));
                const __m256i w_sum =
                    _mm256_loadu_si256((const __m256i *)(const void *)(tail->sum + h));
                const __m256i too_much =
                    _mm256_add_epi32(_mm256_mullo_epi32(sum, _mm256_add_epi32(zero, offset)),
                                     _mm256_mullo_epi32(azp, w_sum));
                const __m256i exact = _mm256_sub_epi32(
                    _mm256_loadu_si256((const __m256i *)(const void *)at), too_much);
                _mm256_storeu_si256((__m256i *)(void *)at, exact);
            }
        }
    }
}

// Exact sums of a unit to y; `scales` are those of the rows. Overwrites the sums.
static void
finish_unit(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call, int64_t m0,
            int64_t rows, int64_t block, int n_blocks, const struct dlq_w8a8_row *row, int32_t *c)
{
    for (int b = 0; b < n_blocks; b++) {
        const struct dlq_w8a8_tail *tail = dlq_w8a8_tail(w, block + b);
        for (int64_t r = 0; r < rows; r++) {
            const __m256 row_scale = _mm256_set1_ps(row[r].scale);
            for (int h = 0; h < 16; h += 8) {
                int32_t *at = c + r * DLQ_W8A8_UNIT + b * 16 + h;
                const __m256i sum = _mm256_loadu_si256((const __m256i *)(const void *)at);
                const __m256 scale = _mm256_mul_ps(_mm256_loadu_ps(tail->scale + h), row_scale);
                _mm256_storeu_ps((float *)(void *)at,
                                 _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale));
            }
        }
    }
    const int64_t columns = w->n - block * 16;
    dlq_rows_finish_avx2(call, m0, rows, block * 16,
                         columns < DLQ_W8A8_UNIT ? columns : DLQ_W8A8_UNIT,
                         (const float *)(const void *)c, DLQ_W8A8_UNIT);
}

// A unit's columns of sums [m, n] from or to the unit's own rows.
static void
copy_sums(const struct dlq_k_w8a8 *w, int64_t m0, int64_t rows, int64_t block, const int32_t *from,
          int32_t *to, bool to_unit)
{
    const int64_t left = w->n - block * 16;
    const size_t bytes = (size_t)(left < DLQ_W8A8_UNIT ? left : DLQ_W8A8_UNIT) * sizeof(*from);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t whole = (m0 + r) * w->n + block * 16;
        const int64_t unit = r * DLQ_W8A8_UNIT;
        memcpy(to + (to_unit ? unit : whole), from + (to_unit ? whole : unit), bytes);
    }
}

static void
product_task(void *arg, int task)
{
    const struct dlq_w8a8_run *run = arg;
    int32_t c[DLQ_W8A8_CHUNK_ROWS * DLQ_W8A8_UNIT] __attribute__((aligned(64)));
    const int64_t panel = task / run->col_tasks * run->chunk;
    const int64_t n_panels = run->panels - panel < run->chunk ? run->panels - panel : run->chunk;
    const int column = (int)(task % run->col_tasks);
    const int64_t m0 = panel * run->rows;
    const int64_t left = run->call->m - m0;
    const int64_t rows = left < n_panels * run->rows ? left : n_panels * run->rows;
    const int64_t end = dlq_task_begin(run->col_units, column + 1, (int)run->col_tasks);
    for (int64_t u = dlq_task_begin(run->col_units, column, (int)run->col_tasks); u < end; u++) {
        const int64_t block = u * 4;
        const int n_blocks = (int)(run->w->blocks - block < 4 ? run->w->blocks - block : 4);
        run->product(run, panel, n_panels, block, n_blocks, c);
        correct_sums(run, m0, rows, block, n_blocks, c);
        if (run->sums != NULL) {
            copy_sums(run->w, m0, rows, block, c, run->sums, false);
        } else {
            finish_unit(run->w, run->call, m0, rows, block, n_blocks, run->row + m0, c);
        }
    }
}

int
dlq_w8a8_fast_run(const struct dlq_w8a8_level *level, const struct dlq_k_w8a8 *w,
                  const struct dlq_k_linear_call *call, int32_t *sums)
{
    const int result = dlq_call_check(call, w->k, w->n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct dlq_w8a8_run run;
    run_init(&run, level, w, call->m);
    const int threads = dlq_k_parallel_threads(call->parallel);
    run.call = call;
    run.sums = sums;
    run.codes = call->workspace;
    run.row = (struct dlq_w8a8_row *)(void *)(run.codes + run.panels * run.panel_bytes);
    run.row_buffers = (float *)(void *)((uint8_t *)run.row + rows_bytes(&run));
    run.quantize_tasks = call->m * w->k <= INLINE_ELEMENTS ? 1 : threads;
    dlq_k_parallel_run(call->parallel, run.quantize_tasks, quantize_task, &run);

    run.col_units = (w->blocks + 3) / 4;
    const int64_t wanted = threads > 1 ? threads * 4 : 1;
    run.col_tasks = run.col_units < wanted ? run.col_units : wanted;
    const int64_t row_tasks = (run.panels + run.chunk - 1) / run.chunk;
    dlq_k_parallel_run(call->parallel, (int)(row_tasks * run.col_tasks), product_task, &run);
    return DLQ_K_OK;
}

struct finish_job {
    const struct dlq_k_w8a8 *w;
    const struct dlq_k_linear_call *call;
    const int32_t *sums;
    int n_tasks;
};

static void
finish_task(void *arg, int task)
{
    const struct finish_job *job = arg;
    const struct dlq_k_w8a8 *w = job->w;
    const int64_t units = (w->blocks + 3) / 4;
    int32_t c[DLQ_W8A8_UNIT] __attribute__((aligned(64)));
    const int64_t end = dlq_task_begin(units, task + 1, job->n_tasks);
    for (int64_t m = 0; m < job->call->m; m++) {
        const float *range = job->call->ranges + 2 * m;
        const struct dlq_w8a8_row row = {.scale =
                                             dlq_w8a8_choose_codes(w, range[0], range[1]).scale};
        for (int64_t u = dlq_task_begin(units, task, job->n_tasks); u < end; u++) {
            const int n_blocks = (int)(w->blocks - u * 4 < 4 ? w->blocks - u * 4 : 4);
            copy_sums(w, m, 1, u * 4, job->sums, c, true);
            finish_unit(w, job->call, m, 1, u * 4, n_blocks, &row, c);
        }
    }
}

int
dlq_w8a8_fast_finish(const struct dlq_k_w8a8 *w, const struct dlq_k_linear_call *call,
                     const int32_t *sums)
{
    const int result = dlq_call_check(call, w->k, w->n);
    if (result != DLQ_K_OK || call->m == 0) {
        return result;
    }
    struct finish_job job = {w, call, sums, 1};
    job.n_tasks = call->m * w->n <= INLINE_ELEMENTS ? 1 : dlq_k_parallel_threads(call->parallel);
    dlq_k_parallel_run(call->parallel, job.n_tasks, finish_task, &job);
    return DLQ_K_OK;
}
