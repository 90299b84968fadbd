// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "marlin.h"

#include "awq.h"

#include <string.h>

const int32_t dlq_marlin_group_sizes[DLQ_MARLIN_N_GROUP_SIZES] = {-1, 32, 64, 128};

// Rows of a lane's fragment within a 16-row tile, and its columns within one group a column's
// block.
static const uint8_t fragment_rows[4] = {0, 1, 8, 9};
static const uint8_t channel_columns[8] = {0, 1, 8, 9, 16, 17, 24, 25};

const char *
dlq_marlin_verdict_string(enum dlq_marlin_verdict verdict)
{
    switch (verdict) {
    case DLQ_MARLIN_OK:
        return "Supported";
    case DLQ_MARLIN_CAPABILITY:
        return "The compute capability is below 8.0";
    case DLQ_MARLIN_TYPE:
        return "The type is not uint4 or uint8 with zero points, nor uint4b8 or uint8b128 without";
    case DLQ_MARLIN_GROUP:
        return "The group size is not -1, 32, 64 or 128";
    case DLQ_MARLIN_SHAPE_N:
        return "The output size of the partition is not a multiple of 64";
    case DLQ_MARLIN_SHAPE_K:
        return "The input size of the partition is not a multiple of 128";
    case DLQ_MARLIN_SHAPE_GROUP:
        return "The input size of the partition is not a multiple of the group size";
    }
    return "Unknown verdict";
}

enum dlq_marlin_verdict
dlq_marlin_check_config(int64_t scalar_type, int64_t group_size, bool has_zero_points,
                        int32_t capability)
{
    if (capability != 0 && capability < DLQ_MARLIN_MIN_CAPABILITY) {
        return DLQ_MARLIN_CAPABILITY;
    }
    const bool type_ok = has_zero_points
                             ? scalar_type == DLQ_ST_UINT4 || scalar_type == DLQ_ST_UINT8
                             : scalar_type == DLQ_ST_UINT4B8 || scalar_type == DLQ_ST_UINT8B128;
    if (!type_ok) {
        return DLQ_MARLIN_TYPE;
    }
    for (int i = 0; i < DLQ_MARLIN_N_GROUP_SIZES; i++) {
        if (group_size == dlq_marlin_group_sizes[i]) {
            return DLQ_MARLIN_OK;
        }
    }
    return DLQ_MARLIN_GROUP;
}

enum dlq_marlin_verdict
dlq_marlin_check_shape(int64_t n, int64_t k, int64_t k_full, int64_t group_size)
{
    if (n <= 0 || n % DLQ_MARLIN_MIN_THREAD_N != 0) {
        return DLQ_MARLIN_SHAPE_N;
    }
    if (k <= 0 || k % DLQ_MARLIN_MIN_THREAD_K != 0) {
        return DLQ_MARLIN_SHAPE_K;
    }
    if (group_size > 0 && group_size < k_full && k % group_size != 0) {
        return DLQ_MARLIN_SHAPE_GROUP;
    }
    return DLQ_MARLIN_OK;
}

static int64_t
round_up(int64_t value, int64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

enum dlq_marlin_verdict
dlq_marlin_plan(struct dlq_marlin_layer *layer, int64_t n, int64_t k, int64_t group, int bits,
                bool has_zero_points, bool act_order)
{
    const int64_t most = 1 << 24;
    if ((bits != 4 && bits != 8) || (bits == 8 && has_zero_points)) {
        return DLQ_MARLIN_TYPE;
    }
    if (n < 1 || n > most) {
        return DLQ_MARLIN_SHAPE_N;
    }
    if (k < 1 || k > most) {
        return DLQ_MARLIN_SHAPE_K;
    }
    const bool grouped = group > 0 && group < k;
    if (grouped && group % 32 != 0) {
        return DLQ_MARLIN_GROUP;
    }
    memset(layer, 0, sizeof(*layer));
    layer->n = n;
    layer->k = k;
    layer->group = grouped ? group : k;
    layer->bits = bits;
    layer->packed_group = !grouped ? -1 : group % 128 == 0 ? 128 : group % 64 == 0 ? 64 : 32;
    layer->has_zero_points = has_zero_points;
    layer->act_order = act_order;
    layer->n_padded = round_up(n, DLQ_MARLIN_MIN_THREAD_N);
    layer->k_padded = round_up(k, DLQ_MARLIN_MIN_THREAD_K);
    layer->groups = grouped ? layer->k_padded / layer->packed_group : 1;
    layer->scales_at = round_up(layer->k_padded * layer->n_padded * bits / 8, 256);
    layer->zeros_at = layer->scales_at + round_up(layer->groups * layer->n_padded * 2, 256);
    layer->order_at = layer->zeros_at;
    if (has_zero_points) {
        layer->order_at += round_up(layer->groups * layer->n_padded * bits / 8, 256);
    }
    layer->bytes = layer->order_at;
    if (act_order) {
        layer->bytes += round_up(k * (int64_t)sizeof(int32_t), 256);
    }
    return DLQ_MARLIN_OK;
}

int64_t
dlq_marlin_workspace_size(int32_t sm_count)
{
    return sm_count > 0 ? sm_count : 0;
}

int
dlq_marlin_scale_perm(bool grouped, uint8_t out[64])
{
    const int length = grouped ? 64 : 32;
    for (int i = 0; i < length; i++) {
        out[i] = (uint8_t)(grouped ? i / 8 + 8 * (i % 8) : 2 * (i / 8) + channel_columns[i % 8]);
    }
    return length;
}

bool
dlq_marlin_permute_scales(const void *scales, size_t element_size, int64_t k, int64_t n,
                          int64_t group_size, void *out)
{
    const bool grouped = group_size > 0 && group_size < k;
    uint8_t perm[64];
    const int block = dlq_marlin_scale_perm(grouped, perm);
    if (n <= 0 || n % block != 0 || k <= 0) {
        return false;
    }
    const int64_t groups = grouped ? (k + group_size - 1) / group_size : 1;
    const char *from = scales;
    char *to = out;
    for (int64_t i = 0; i < groups * n; i++) {
        const int64_t source = i / block * block + perm[i % block];
        memcpy(to + (size_t)i * element_size, from + (size_t)source * element_size, element_size);
    }
    return true;
}

bool
dlq_marlin_zero_points(const uint8_t *zp, int64_t rows, int64_t n, int bits, uint32_t *out)
{
    const uint8_t *order = dlq_awq_order(bits);
    if (order == NULL || rows < 0 || n <= 0 || n % 64 != 0) {
        return false;
    }
    uint8_t perm[64];
    dlq_marlin_scale_perm(true, perm);
    const int per_word = 32 / bits;
    const uint32_t mask = (1u << bits) - 1u;
    for (int64_t w = 0; w < rows * (n / per_word); w++) {
        uint32_t word = 0;
        for (int i = 0; i < per_word; i++) {
            const int64_t column = w * per_word + order[i];
            const uint32_t code = zp[column / 64 * 64 + perm[column % 64]];
            word |= (code & mask) << i * bits;
        }
        out[w] = word;
    }
    return true;
}

bool
dlq_marlin_zero_points_from_awq(const uint32_t *packed, int64_t rows, int64_t n, int bits,
                                uint32_t *out)
{
    if (dlq_awq_order(bits) == NULL || rows < 0 || n <= 0 || n % 64 != 0) {
        return false;
    }
    const int64_t words = n / (32 / bits);
    const int block_words = 64 * bits / 32;
    uint8_t codes[64];
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t w = 0; w < words; w += block_words) {
            if (!dlq_awq_unpack(packed + r * words + w, bits, 1, 64, codes) ||
                !dlq_marlin_zero_points(codes, 1, 64, bits, out + r * words + w)) {
                return false;
            }
        }
    }
    return true;
}

// Code of row k, column n of a checkpoint's packed weights of shape[0] rows, shape[1] columns.
typedef uint32_t (*code_fn)(const uint32_t *qweight, const int64_t shape[2], int bits, int64_t k,
                            int64_t n);

static uint32_t
awq_code(const uint32_t *qweight, const int64_t shape[2], int bits, int64_t k, int64_t n)
{
    // Nibble or byte that holds column j of a word: the inverse of dlq_awq_order.
    static const uint8_t slot4[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    static const uint8_t slot8[4] = {0, 2, 1, 3};
    const int per_word = 32 / bits;
    const int slot = bits == 4 ? slot4[n % 8] : slot8[n % 4];
    return qweight[k * (shape[1] / per_word) + n / per_word] >> slot * bits & ((1u << bits) - 1u);
}

static uint32_t
gptq_code(const uint32_t *qweight, const int64_t shape[2], int bits, int64_t k, int64_t n)
{
    const int per_word = 32 / bits;
    return qweight[k / per_word * shape[1] + n] >> (int)(k % per_word) * bits & ((1u << bits) - 1u);
}

static uint32_t
ct_code(const uint32_t *qweight, const int64_t shape[2], int bits, int64_t k, int64_t n)
{
    const int per_word = 32 / bits;
    return qweight[n * (shape[0] / per_word) + k / per_word] >> (int)(k % per_word) * bits &
           ((1u << bits) - 1u);
}

static bool
repack(const uint32_t *qweight, code_fn code, const int32_t *perm, int64_t k, int64_t n, int bits,
       uint32_t *out)
{
    const uint8_t *order = dlq_awq_order(bits);
    if (order == NULL || k <= 0 || n <= 0 || k % DLQ_MARLIN_TILE != 0 || n % 64 != 0) {
        return false;
    }
    const int64_t shape[2] = {k, n};
    const int per_word = 32 / bits;
    const int words_per_lane = 4 * 8 / per_word; // 4 for 4 bit, 8 for 8 bit
    for (int64_t tile = 0; tile < k / 16 * (n / 64); tile++) {
        const int64_t k0 = tile / (n / 64) * 16;
        const int64_t n0 = tile % (n / 64) * 64;
        for (int j = 0; j < 32 * words_per_lane; j++) {
            const int lane = j / words_per_lane;
            const int w = bits == 4 ? j % 4 : j % 8 / 2;
            uint32_t word = 0;
            for (int i = 0; i < per_word; i++) {
                const int v = order[i];
                const int upper = bits == 4 ? v >= 4 : j % 2;
                const int64_t row = k0 + 2 * (lane % 4) + fragment_rows[v % 4];
                const int64_t column = n0 + 16 * w + lane / 4 + 8 * upper;
                word |= code(qweight, shape, bits, perm != NULL ? perm[row] : row, column)
                        << i * bits;
            }
            *out++ = word;
        }
    }
    return true;
}

// Marks the rows seen in `bitmap`, which must be zero and is left zero.
static bool
is_permutation(const int32_t *perm, int64_t k, uint32_t *bitmap)
{
    bool ok = true;
    for (int64_t i = 0; i < k && ok; i++) {
        ok = perm[i] >= 0 && perm[i] < k && (bitmap[perm[i] / 32] >> perm[i] % 32 & 1u) == 0;
        if (ok) {
            bitmap[perm[i] / 32] |= 1u << perm[i] % 32;
        }
    }
    memset(bitmap, 0, (size_t)(k + 31) / 32 * sizeof(*bitmap));
    return ok;
}

bool
dlq_marlin_repack_awq(const uint32_t *qweight, int64_t k, int64_t n, int bits, uint32_t *out)
{
    return repack(qweight, awq_code, NULL, k, n, bits, out);
}

static bool
repack_permuted(const uint32_t *qweight, code_fn code, const int32_t *perm, int64_t k, int64_t n,
                int bits, uint32_t *out)
{
    if (perm != NULL) {
        if (k <= 0 || n <= 0 || k % DLQ_MARLIN_TILE != 0 || n % 64 != 0) {
            return false;
        }
        // The output is at least k * 64 * 4 bits: room for the bitmap.
        memset(out, 0, (size_t)(k + 31) / 32 * sizeof(*out));
        if (!is_permutation(perm, k, out)) {
            return false;
        }
    }
    return repack(qweight, code, perm, k, n, bits, out);
}

bool
dlq_marlin_repack_gptq(const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n, int bits,
                       uint32_t *out)
{
    return repack_permuted(qweight, gptq_code, perm, k, n, bits, out);
}

bool
dlq_marlin_repack_ct(const uint32_t *qweight, const int32_t *perm, int64_t k, int64_t n, int bits,
                     uint32_t *out)
{
    return repack_permuted(qweight, ct_code, perm, k, n, bits, out);
}

bool
dlq_marlin_sort_rows(const int32_t *g_idx, int64_t k, int64_t group, int32_t *perm)
{
    if (k <= 0 || group <= 0) {
        return false;
    }
    const int64_t groups = (k + group - 1) / group;
    // A group's first place keeps -1 - (rows placed) until its last row comes, which is put there.
    // Rows come in order, so that each group is shifted by one at its end.
    for (int64_t g = 0; g < groups; g++) {
        perm[g * group] = -1;
    }
    for (int64_t i = 0; i < k; i++) {
        if (g_idx[i] < 0 || g_idx[i] >= groups) {
            return false;
        }
        int32_t *const first = perm + g_idx[i] * group;
        const int64_t size = (g_idx[i] + 1) * group <= k ? group : k - g_idx[i] * group;
        if (*first >= 0) {
            return false;
        }
        const int64_t placed = -1 - (int64_t)*first;
        if (placed + 1 < size) {
            first[placed + 1] = (int32_t)i;
            --*first;
        } else {
            memmove(first, first + 1, (size_t)(size - 1) * sizeof(*first));
            first[size - 1] = (int32_t)i;
        }
    }
    // k rows in groups that never overflow fill every group.
    return true;
}
