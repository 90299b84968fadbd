// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../pack/awq.h"
#include "../pack/bits.h"
#include "wna16_layout.h"

// From checkpoints to the packed form of linear_wna16.h.

typedef uint8_t vec_u8 __attribute__((vector_size(16)));
typedef uint16_t vec_u16 __attribute__((vector_size(16)));

static int64_t
round_up(int64_t v, int64_t to)
{
    return (v + to - 1) / to * to;
}

static int64_t
group_count(const struct dlq_k_wna16_shape *shape)
{
    return shape->n_groups > 0 ? shape->n_groups : (shape->k + shape->group - 1) / shape->group;
}

// Packed groups of `group_k` rows that act order needs: each group of the checkpoint begins a new
// one.
static int64_t
count_ordered_groups(const struct dlq_k_wna16_shape *shape, const int32_t *g_idx, int64_t group_k)
{
    int64_t packed = 0;
    for (int64_t g = 0; g < group_count(shape); g++) {
        int64_t rows = 0;
        for (int64_t k = 0; k < shape->k; k++) {
            rows += g_idx[k] == g;
        }
        packed += (rows + group_k - 1) / group_k;
    }
    return packed;
}

// A shard of an act-ordered layer holds uneven parts of its groups: take the packed length that
// moves the fewest bytes, counting scales and zero points as 8 rows.
static void
choose_ordered_group(struct dlq_k_wna16 *w, const int32_t *g_idx)
{
    int64_t best_rows = INT64_MAX;
    const int64_t longest = w->group_k;
    for (int64_t group_k = longest; group_k >= 8;
         group_k = round_up(group_k / 2, group_k >= 64 ? 32 : 8)) {
        const int64_t groups = count_ordered_groups(&w->shape, g_idx, group_k);
        if (groups * (group_k + 8) < best_rows) {
            best_rows = groups * (group_k + 8);
            w->group_k = group_k;
            w->groups = groups;
        }
        if (groups * longest <= w->shape.k || group_k == 8) {
            break; // nothing is padded, or nothing is shorter
        }
    }
}

int
dlq_k_wna16_plan(struct dlq_k_wna16 *w, const struct dlq_k_wna16_shape *shape, uint32_t scale_dtype,
                 const int32_t *g_idx, int64_t *bad)
{
    if (shape->k <= 0 || shape->n <= 0 || shape->k > INT32_MAX || shape->n > INT32_MAX ||
        shape->group <= 0 || shape->group > shape->k || shape->bits < 2 || shape->bits > 8 ||
        shape->n_groups < 0 || shape->n_groups > shape->k + INT32_MAX / 2 ||
        (g_idx == NULL && shape->n_groups != 0 &&
         shape->n_groups != (shape->k + shape->group - 1) / shape->group)) {
        return DLQ_K_ESHAPE;
    }
    if (!dlq_k_is_act_dtype(scale_dtype)) {
        return DLQ_K_EDTYPE;
    }
    for (int64_t k = 0; g_idx != NULL && k < shape->k; k++) {
        if (g_idx[k] < 0 || g_idx[k] >= group_count(shape)) {
            if (bad != NULL) {
                *bad = k;
            }
            return DLQ_K_EINDEX;
        }
    }
    *w = (struct dlq_k_wna16){.shape = *shape, .scale_dtype = scale_dtype};
    w->code_bits = shape->bits <= 4 ? 4 : 8;
    const int64_t longest = DLQ_WNA16_MAX_GROUP;
    w->group_k = round_up(shape->group, 8);
    w->splits = 1;
    if (shape->group > longest) {
        const int64_t parts = (shape->group + longest - 1) / longest;
        w->group_k = round_up((shape->group + parts - 1) / parts, 64);
        w->splits = (shape->group + w->group_k - 1) / w->group_k;
    }
    w->groups = group_count(shape) * w->splits;
    if (g_idx != NULL) {
        choose_ordered_group(w, g_idx);
    }
    w->blocks = (shape->n + 15) / 16;
    w->group_bytes = dlq_wna16_code_bytes(w) + (scale_dtype == DLQ_F32 ? 128 : 64);
    w->block_bytes = w->groups * w->group_bytes;
    w->bytes = w->blocks * w->block_bytes;
    if (g_idx != NULL) {
        w->order_offset = w->bytes;
        w->bytes = round_up(w->bytes + w->groups * w->group_k * (int64_t)sizeof(int32_t), 64);
    }
    return DLQ_K_OK;
}

struct pack_job {
    const struct dlq_k_wna16 *w; // with `data` already set
    const struct dlq_k_wna16_source *source;
    uint8_t *data;
    int n_tasks;
    int64_t n_groups; // of the checkpoint
    int64_t *bad;     // one a task, and its result code
    int *result;
};

// Codes of `count` rows from `first`, column by column, into tile[row][16].
static void
load_run(const struct pack_job *job, int64_t column, int c, int64_t first, int64_t count,
         uint8_t (*tile)[16])
{
    const struct dlq_k_wna16_shape *shape = &job->w->shape;
    const uint32_t *words = job->source->codes;
    uint8_t run[DLQ_WNA16_MAX_GROUP];
    const enum dlq_bits_layout bits_layout =
        job->source->layout == DLQ_K_WNA16_K_PADDED ? DLQ_BITS_PADDED : DLQ_BITS_DENSE;
    switch (job->source->layout) {
    case DLQ_K_WNA16_BYTES:
        memcpy(run, (const uint8_t *)job->source->codes + column * shape->k + first, (size_t)count);
        break;
    case DLQ_K_WNA16_K_DENSE:
    case DLQ_K_WNA16_K_PADDED:
        dlq_bits_unpack(words + column * dlq_bits_words(bits_layout, shape->k, shape->bits), 1,
                        bits_layout, shape->bits, first, count, run);
        break;
    case DLQ_K_WNA16_GPTQ:
        dlq_bits_unpack(words + column, shape->n, DLQ_BITS_DENSE, shape->bits, first, count, run);
        break;
    case DLQ_K_WNA16_AWQ:
        for (int64_t i = 0; i < count; i++) {
            const uint32_t word = words[(first + i) * (shape->n / 8) + column / 8];
            run[i] = (uint8_t)(dlq_awq_unpack_word4(word) >> (column % 8 * 8));
        }
        break;
    }
    for (int64_t i = 0; i < count; i++) {
        tile[i][c] = run[i];
    }
}

// Two words of a row hold a whole block.
static void
load_awq_rows(const struct pack_job *job, int64_t block, int64_t first, int64_t count,
              uint8_t (*tile)[16])
{
    const int64_t row_words = job->w->shape.n / 8;
    const uint32_t *words = (const uint32_t *)job->source->codes + first * row_words + block * 2;
    const int n_words = block * 2 + 1 < row_words ? 2 : 1;
    for (int64_t i = 0; i < count; i++, words += row_words) {
        for (int h = 0; h < n_words; h++) {
            const uint64_t codes = dlq_awq_unpack_word4(words[h]);
            memcpy(tile[i] + 8 * h, &codes, sizeof(codes));
        }
    }
}

static void
load_tile(const struct pack_job *job, int64_t block, int64_t group, uint8_t (*tile)[16])
{
    const struct dlq_k_wna16 *w = job->w;
    const int32_t *order = dlq_wna16_order(w);
    int64_t count = 0;
    const int64_t first = dlq_wna16_group_rows(w, group, &count);
    memset(tile, 0, (size_t)w->group_k * 16);
    if (order == NULL && job->source->layout == DLQ_K_WNA16_AWQ) {
        load_awq_rows(job, block, first, count, tile);
        return;
    }
    for (int c = 0; c < 16 && block * 16 + c < w->shape.n; c++) {
        if (order == NULL) {
            load_run(job, block * 16 + c, c, first, count, tile);
            continue;
        }
        for (int64_t i = 0; i < w->group_k && order[group * w->group_k + i] >= 0; i++) {
            load_run(job, block * 16 + c, c, order[group * w->group_k + i], 1, tile + i);
        }
    }
}

// Four rows of 16 bytes to 16 columns of 4 bytes.
static void
interleave_rows(vec_u8 r0, vec_u8 r1, vec_u8 r2, vec_u8 r3, uint8_t *out)
{
#define INTERLEAVE8(a, b, h)                                                                       \
    __builtin_shufflevector(a, b, h, h + 16, h + 1, h + 17, h + 2, h + 18, h + 3, h + 19, h + 4,   \
                            h + 20, h + 5, h + 21, h + 6, h + 22, h + 7, h + 23)
#define INTERLEAVE16(a, b, h)                                                                      \
    __builtin_shufflevector(a, b, h, h + 8, h + 1, h + 9, h + 2, h + 10, h + 3, h + 11)
    const vec_u16 low01 = (vec_u16)INTERLEAVE8(r0, r1, 0);
    const vec_u16 high01 = (vec_u16)INTERLEAVE8(r0, r1, 8);
    const vec_u16 low23 = (vec_u16)INTERLEAVE8(r2, r3, 0);
    const vec_u16 high23 = (vec_u16)INTERLEAVE8(r2, r3, 8);
    const vec_u16 lanes[4] = {INTERLEAVE16(low01, low23, 0), INTERLEAVE16(low01, low23, 4),
                              INTERLEAVE16(high01, high23, 0), INTERLEAVE16(high01, high23, 4)};
#undef INTERLEAVE8
#undef INTERLEAVE16
    memcpy(out, lanes, sizeof(lanes));
}

static void
store_codes(const struct dlq_k_wna16 *w, uint8_t (*tile)[16], uint8_t *out)
{
    if (w->code_bits == 8) {
        for (int64_t i = 0; i < w->group_k; i += 4, out += 64) {
            vec_u8 r[4];
            memcpy(r, tile[i], sizeof(r));
            interleave_rows(r[0], r[1], r[2], r[3], out);
        }
        return;
    }
    for (int64_t i = 0; i < w->group_k; i += 8, out += 64) {
        vec_u8 r[8];
        memcpy(r, tile[i], sizeof(r));
        interleave_rows(r[0] | r[4] << 4, r[1] | r[5] << 4, r[2] | r[6] << 4, r[3] | r[7] << 4,
                        out);
    }
}

// Words of 8 codes along K are 4 bytes of the packed form with their nibbles reordered.
static void
store_k_words4(const struct pack_job *job, int64_t block, int64_t first, int64_t count,
               uint8_t *out)
{
    const int64_t n = job->w->shape.n;
    const int64_t row_words = dlq_bits_words(DLQ_BITS_DENSE, job->w->shape.k, 4);
    const uint32_t *words = (const uint32_t *)job->source->codes + first / 8;
    for (int c = 0; c < 16 && block * 16 + c < n; c++) {
        const uint32_t *column = words + (block * 16 + c) * row_words;
        for (int64_t i = 0; i < count / 8; i++) {
            uint32_t low = column[i] & 0xffffu;
            uint32_t high = column[i] >> 16;
            low = (low | low << 8) & 0x00ff00ffu;
            high = (high | high << 8) & 0x00ff00ffu;
            low = (low | low << 4) & 0x0f0f0f0fu;
            high = (high | high << 4) & 0x0f0f0f0fu;
            const uint32_t lane = low | high << 4;
            memcpy(out + i * 64 + 4 * c, &lane, sizeof(lane));
        }
    }
}

static void
pack_codes(const struct pack_job *job, int64_t block, int64_t group)
{
    const struct dlq_k_wna16 *w = job->w;
    uint8_t *out = job->data + block * w->block_bytes + group * w->group_bytes;
    int64_t count = 0;
    const int64_t first = dlq_wna16_group_rows(w, group, &count);
    if (w->order_offset == 0 && job->source->layout == DLQ_K_WNA16_K_DENSE && w->shape.bits == 4 &&
        first % 8 == 0 && count == w->group_k) {
        if (block * 16 + 16 > w->shape.n) {
            memset(out, 0, (size_t)dlq_wna16_code_bytes(w));
        }
        store_k_words4(job, block, first, count, out);
        return;
    }
    uint8_t tile[DLQ_WNA16_MAX_GROUP][16] __attribute__((aligned(16)));
    load_tile(job, block, group, tile);
    store_codes(w, tile, out);
}

static int32_t
load_zero(const struct pack_job *job, int64_t column, int64_t g)
{
    const struct dlq_k_wna16_shape *shape = &job->w->shape;
    const uint32_t *words = job->source->zeros;
    const int bits = shape->bits;
    if (!shape->has_zero_points) {
        return 1 << (bits - 1);
    }
    uint32_t z = 0;
    switch (job->source->layout) {
    case DLQ_K_WNA16_BYTES:
        z = ((const uint8_t *)job->source->zeros)[column * job->n_groups + g];
        break;
    case DLQ_K_WNA16_K_DENSE:
        z = dlq_bits_get(words + g, job->n_groups, DLQ_BITS_DENSE, bits, column);
        break;
    case DLQ_K_WNA16_K_PADDED:
        z = dlq_bits_get(words + g, job->n_groups, DLQ_BITS_PADDED, bits, column);
        break;
    case DLQ_K_WNA16_GPTQ:
        z = dlq_bits_get(words + g * dlq_bits_words(DLQ_BITS_DENSE, shape->n, bits), 1,
                         DLQ_BITS_DENSE, bits, column);
        break;
    case DLQ_K_WNA16_AWQ:
        z = (uint32_t)(dlq_awq_unpack_word4(words[g * (shape->n / 8) + column / 8]) >>
                       (column % 8 * 8)) &
            15u;
        break;
    }
    return (int32_t)z + job->source->zero_add;
}

static int
pack_scales(const struct pack_job *job, int64_t block, int64_t group, int64_t *bad)
{
    const struct dlq_k_wna16 *w = job->w;
    const struct dlq_k_wna16_source *source = job->source;
    const int32_t *order = dlq_wna16_order(w);
    const int64_t g = order != NULL ? source->g_idx[order[group * w->group_k]] : group / w->splits;
    const bool by_group = source->layout == DLQ_K_WNA16_AWQ || source->layout == DLQ_K_WNA16_GPTQ;
    uint8_t *scales = job->data + (dlq_wna16_scales(w, block, group) - w->data);
    uint8_t *zeros = job->data + (dlq_wna16_zeros(w, block, group) - w->data);
    memset(scales, 0, (size_t)(w->group_bytes - dlq_wna16_code_bytes(w)));
    for (int c = 0; c < 16 && block * 16 + c < w->shape.n; c++) {
        const int64_t column = block * 16 + c;
        const int64_t i = by_group ? g * w->shape.n + column : column * job->n_groups + g;
        dlq_k_store_f32(scales, w->scale_dtype, c,
                        dlq_k_load_f32(source->scales, source->scale_dtype, i));
        if (!dlq_k_f32_is_finite(dlq_k_load_f32(scales, w->scale_dtype, c))) {
            *bad = i;
            return DLQ_K_ESCALE;
        }
        const int32_t z = load_zero(job, column, g);
        if (z < 0 || z > (w->code_bits == 4 ? 16 : 255)) {
            *bad = i;
            return DLQ_K_ECODE;
        }
        zeros[c] = (uint8_t)z;
    }
    return DLQ_K_OK;
}

static void
pack_task(void *arg, int task)
{
    const struct pack_job *job = arg;
    const int64_t begin = job->w->blocks * task / job->n_tasks;
    const int64_t end = job->w->blocks * (task + 1) / job->n_tasks;
    for (int64_t b = begin; b < end; b++) {
        for (int64_t g = 0; g < job->w->groups; g++) {
            pack_codes(job, b, g);
            const int result = pack_scales(job, b, g, &job->bad[task]);
            if (result != DLQ_K_OK) {
                job->result[task] = result;
                return;
            }
        }
    }
}

static void
store_order(const struct dlq_k_wna16 *w, const int32_t *g_idx, int64_t n_groups, uint8_t *data)
{
    int32_t *order = (int32_t *)(void *)(data + w->order_offset);
    memset(order, 0, (size_t)(w->bytes - w->order_offset));
    int64_t used = 0;
    for (int64_t g = 0; g < n_groups; g++) {
        for (int64_t k = 0; k < w->shape.k; k++) {
            if (g_idx[k] == g) {
                order[used++] = (int32_t)k;
            }
        }
        while (used % w->group_k != 0) {
            order[used++] = -1;
        }
    }
}

int
dlq_k_wna16_pack(struct dlq_k_wna16 *w, const struct dlq_k_wna16_source *source, void *data,
                 const struct dlq_k_parallel *parallel, int64_t *bad)
{
    const struct dlq_k_wna16_shape *shape = &w->shape;
    if (!dlq_k_is_act_dtype(source->scale_dtype)) {
        return DLQ_K_EDTYPE;
    }
    if ((source->g_idx != NULL) != (w->order_offset != 0) ||
        (source->layout == DLQ_K_WNA16_AWQ && (shape->bits != 4 || shape->n % 8 != 0))) {
        return DLQ_K_ESHAPE;
    }
    enum { MAX_TASKS = 256 };
    int64_t task_bad[MAX_TASKS];
    int task_result[MAX_TASKS] = {0};
    struct dlq_k_wna16 packed = *w;
    packed.data = data;
    struct pack_job job = {.w = &packed,
                           .source = source,
                           .data = data,
                           .n_groups = group_count(shape),
                           .bad = task_bad,
                           .result = task_result};
    if (w->order_offset != 0) {
        store_order(w, source->g_idx, job.n_groups, data);
    }
    job.n_tasks = dlq_k_parallel_threads(parallel) * 4;
    job.n_tasks = job.n_tasks > MAX_TASKS ? MAX_TASKS : job.n_tasks;
    dlq_k_parallel_run(parallel, job.n_tasks, pack_task, &job);
    for (int t = 0; t < job.n_tasks; t++) {
        if (task_result[t] != DLQ_K_OK) {
            if (bad != NULL) {
                *bad = task_bad[t];
            }
            return task_result[t];
        }
    }
    w->data = data;
    return DLQ_K_OK;
}

void
dlq_k_wna16_dequantize(const struct dlq_k_wna16 *w, int64_t n0, int64_t rows, float *out)
{
    const int32_t *order = dlq_wna16_order(w);
    for (int64_t r = 0; r < rows; r++, out += w->shape.k) {
        const int64_t block = (n0 + r) / 16;
        const int c = (int)((n0 + r) % 16);
        for (int64_t g = 0; g < w->groups; g++) {
            const uint8_t *codes = dlq_wna16_codes(w, block, g);
            const float s = dlq_k_load_f32(dlq_wna16_scales(w, block, g), w->scale_dtype, c);
            const int z = dlq_wna16_zeros(w, block, g)[c];
            int64_t count = w->group_k;
            const int64_t first = order == NULL ? dlq_wna16_group_rows(w, g, &count) : 0;
            for (int64_t i = 0; i < count; i++) {
                const int64_t k = order == NULL ? first + i : order[g * w->group_k + i];
                if (k >= 0) {
                    out[k] = (float)(dlq_wna16_code(codes, w->code_bits, i, c) - z) * s;
                }
            }
        }
    }
}
