// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
#include "pack/awq.h"
#include "pack/bits.h"
#include "pack/marlin.h"

#include <stdlib.h>
#include <string.h>

// Layout conversions, bit by bit against the formats' own words and against independent formulas.

static void
check_words(void)
{
    static const struct {
        int bits, count, dense, padded;
    } widths[] = {{3, 33, 4, 4}, {3, 100, 10, 10}, {3, 128, 12, 13}, {3, 700, 66, 70},
                  {5, 33, 6, 6}, {5, 100, 16, 17}, {5, 128, 20, 22}, {5, 700, 110, 117},
                  {6, 33, 7, 6}, {6, 100, 19, 20}, {6, 128, 24, 26}, {6, 700, 132, 140},
                  {7, 33, 8, 9}, {7, 100, 22, 25}, {7, 128, 28, 32}, {7, 700, 154, 175}};
    for (size_t i = 0; i < sizeof(widths) / sizeof(*widths); i++) {
        const int bits = widths[i].bits;
        const int64_t count = widths[i].count;
        const int64_t dense = (count * bits + 31) / 32;
        const int64_t padded = (count + 32 / bits - 1) / (32 / bits);
        check_that(dlq_bits_words(DLQ_BITS_DENSE, count, bits) == dense, "dense words");
        check_that(dlq_bits_words(DLQ_BITS_PADDED, count, bits) == padded, "padded words");
        const enum dlq_bits_layout found = dlq_bits_detect(count, bits, dense);
        check_that(found == (dense == padded ? DLQ_BITS_EITHER : DLQ_BITS_DENSE), "detect dense");
        check_that(dlq_bits_detect(count, bits, padded) ==
                       (dense == padded ? DLQ_BITS_EITHER : DLQ_BITS_PADDED),
                   "detect padded");
        check_that(dlq_bits_detect(count, bits, dense + padded) == DLQ_BITS_NONE, "detect none");
    }
    check_that(dlq_bits_detect(64, 4, 8) == DLQ_BITS_DENSE, "4 bit has one layout");
    check_that(dlq_bits_detect(6, 5, 1) == DLQ_BITS_DENSE, "one word has one layout");
    check_that(dlq_bits_detect(64, 9, 8) == DLQ_BITS_NONE, "9 bits");
}

static void
check_round_trips(void)
{
    static const int64_t counts[] = {1, 7, 31, 32, 33, 64, 100, 545, 1024};
    struct check_rng rng = {3};
    uint8_t codes[1024];
    uint8_t back[1024];
    uint32_t words[1024 * 3];
    for (int bits = 1; bits <= 8; bits++) {
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
            for (int layout = DLQ_BITS_DENSE; layout <= DLQ_BITS_PADDED; layout++) {
                const int64_t n = counts[i];
                const int64_t stride = 1 + (int64_t)(i % 3);
                for (int64_t j = 0; j < n; j++) {
                    codes[j] = (uint8_t)(check_random(&rng) & ((1u << bits) - 1u));
                }
                codes[n - 1] = (uint8_t)((1u << bits) - 1u);
                memset(words, 0xFF, sizeof(words));
                dlq_bits_pack(codes, n, (enum dlq_bits_layout)layout, bits, words, stride);
                dlq_bits_unpack(words, stride, (enum dlq_bits_layout)layout, bits, 0, n, back);
                check_that(memcmp(codes, back, (size_t)n) == 0, "%d bits, %ld codes", bits,
                           (long)n);
                dlq_bits_unpack(words, stride, (enum dlq_bits_layout)layout, bits, n / 3, n - n / 3,
                                back);
                check_that(memcmp(codes + n / 3, back, (size_t)(n - n / 3)) == 0,
                           "%d bits from the middle", bits);
                const enum dlq_bits_layout row = dlq_bits_detect_row(words, stride, n, bits);
                check_that(row == DLQ_BITS_EITHER || row == (enum dlq_bits_layout)layout ||
                               n < 64 || 32 % bits == 0,
                           "content of %ld codes of %d bits read as the other layout", (long)n,
                           bits);
            }
        }
    }
}

static void
check_literals(void)
{
    // The compressed-tensors library's own cases, as unsigned codes.
    const uint8_t four[] = {9, 10, 11, 12, 13, 14, 15, 8};
    const uint8_t negative[] = {7, 6, 5, 4, 3, 2, 1, 0};
    const uint8_t eight[] = {138, 148, 158, 173, 118, 98, 78, 48};
    uint32_t words[2];
    dlq_bits_pack(four, 8, DLQ_BITS_DENSE, 4, words, 1);
    check_that(words[0] == 0x8fedcba9u, "1..7,0");
    dlq_bits_pack(negative, 8, DLQ_BITS_DENSE, 4, words, 1);
    check_that(words[0] == 0x01234567u, "-1..-8");
    dlq_bits_pack(eight, 8, DLQ_BITS_DENSE, 8, words, 1);
    check_that(words[0] == 0xad9e948au && words[1] == 0x304e6276u, "8 bit");
    // Three-bit dense codes straddle words; padded ones do not.
    uint8_t three[11];
    for (int i = 0; i < 11; i++) {
        three[i] = (uint8_t)(i % 8);
    }
    dlq_bits_pack(three, 11, DLQ_BITS_DENSE, 3, words, 1);
    check_that(words[0] == 0x88fac688u && words[1] == 0u, "3 bit dense");
    dlq_bits_pack(three, 11, DLQ_BITS_PADDED, 3, words, 1);
    check_that(words[0] == 0x08fac688u && words[1] == 2u, "3 bit padded");
    check_that(!dlq_pack_cols(three, 4, 1, 11, words), "cols must fill words");
    check_that(!dlq_pack_cols(three, 3, 1, 32, words), "3 bit columns");
}

static void
check_awq(void)
{
    const uint8_t rows[2][8] = {{8, 9, 10, 11, 12, 13, 14, 15}, {0, 1, 2, 3, 4, 5, 6, 7}};
    const uint32_t expected[2] = {0xfdb9eca8u, 0x75316420u};
    uint32_t packed[2];
    uint8_t back[16];
    check_that(dlq_awq_pack(rows[0], 4, 2, 8, packed) && packed[0] == expected[0] &&
                   packed[1] == expected[1],
               "awq words");
    check_that(dlq_awq_unpack(packed, 4, 2, 8, back) && memcmp(back, rows, 16) == 0, "awq back");
    for (int i = 0; i < 2; i++) {
        const uint64_t word = dlq_awq_unpack_word4(packed[i]);
        check_that(memcmp(&word, rows[i], 8) == 0, "awq word to bytes");
    }
    const uint8_t eight[4] = {1, 2, 3, 4};
    check_that(dlq_awq_pack(eight, 8, 1, 4, packed) && packed[0] == 0x04020301u, "awq 8 bit");
    check_that(!dlq_awq_pack(eight, 4, 1, 4, packed) && !dlq_awq_unpack(packed, 3, 1, 8, back),
               "awq refuses other widths");
}

// The canonical construction: permute 1024 elements of a 16 x 64 tile for the tensor cores, then
// interleave 8 (or 4) codes of a word.
static void
canonical_tile(const uint8_t *q, int64_t n, int64_t k0, int64_t n0, int bits, uint32_t *out)
{
    int source[1024];
    int used = 0;
    for (int i = 0; i < 32; i++) {
        int one[8];
        int n_one = 0;
        for (int block = 0; block < 2; block++) {
            const int r[4] = {2 * (i % 4), 2 * (i % 4) + 1, 2 * (i % 4 + 4), 2 * (i % 4 + 4) + 1};
            for (int j = 0; j < 4; j++) {
                one[n_one++] = 16 * r[j] + i / 4 + 8 * block;
            }
        }
        for (int j = 0; j < 4; j++) {
            for (int v = 0; v < 8; v++) {
                source[used++] = one[v] + 256 * j;
            }
        }
    }
    const int per_word = 32 / bits;
    const uint8_t *order = dlq_awq_order(bits);
    for (int w = 0; w < 1024 / per_word; w++) {
        out[w] = 0;
        for (int v = 0; v < per_word; v++) {
            // Element e of the permuted tile: 256 consecutive ones are a 16 x 16 sub-tile.
            const int e = source[w * per_word + order[v]];
            const int64_t k = k0 + e % 256 / 16;
            const int64_t col = n0 + e / 256 * 16 + e % 16;
            out[w] |= (uint32_t)q[k * n + col] << v * bits;
        }
    }
}

static void
check_marlin_repack(int64_t k, int64_t n, int bits)
{
    struct check_rng rng = {(uint64_t)(k + n + bits)};
    const int per_word = 32 / bits;
    uint8_t *q = malloc((size_t)(k * n));
    uint8_t *row = malloc((size_t)k);
    int32_t *perm = malloc((size_t)k * sizeof(*perm));
    uint32_t *packed = malloc((size_t)(k * n / per_word) * 4);
    uint32_t *marlin = check_alloc(k * n / per_word * 4, 0);
    uint32_t *expected = malloc((size_t)(k * n / per_word) * 4);
    for (int64_t i = 0; i < k * n; i++) {
        q[i] = (uint8_t)(check_random(&rng) & ((1u << bits) - 1u));
    }
    uint32_t *tile = expected;
    for (int64_t k0 = 0; k0 < k; k0 += 16) {
        for (int64_t n0 = 0; n0 < n; n0 += 64, tile += 1024 / per_word) {
            canonical_tile(q, n, k0, n0, bits, tile);
        }
    }
    const size_t bytes = (size_t)(k * n / per_word) * 4;
    check_that(dlq_awq_pack(q, bits, k, n, packed) &&
                   dlq_marlin_repack_awq(packed, k, n, bits, marlin) &&
                   memcmp(marlin, expected, bytes) == 0,
               "marlin from awq, %d bits", bits);
    for (int64_t c = 0; c < n; c++) {
        for (int64_t i = 0; i < k; i++) {
            row[i] = q[i * n + c];
        }
        dlq_bits_pack(row, k, DLQ_BITS_DENSE, bits, packed + c, n);
    }
    check_that(dlq_marlin_repack_gptq(packed, NULL, k, n, bits, marlin) &&
                   memcmp(marlin, expected, bytes) == 0,
               "marlin from gptq, %d bits", bits);
    // A rolled permutation: packed rows are stored out of order, perm finds them.
    for (int64_t i = 0; i < k; i++) {
        perm[i] = (int32_t)((i + 5) % k);
    }
    for (int64_t c = 0; c < n; c++) {
        for (int64_t i = 0; i < k; i++) {
            row[perm[i]] = q[i * n + c];
        }
        dlq_bits_pack(row, k, DLQ_BITS_DENSE, bits, packed + c, n);
    }
    check_that(dlq_marlin_repack_gptq(packed, perm, k, n, bits, marlin) &&
                   memcmp(marlin, expected, bytes) == 0,
               "marlin from gptq with a permutation, %d bits", bits);
    for (int64_t c = 0; c < n; c++) {
        for (int64_t i = 0; i < k; i++) {
            row[perm[i]] = q[i * n + c];
        }
        dlq_bits_pack(row, k, DLQ_BITS_DENSE, bits, packed + c * (k / per_word), 1);
    }
    check_that(dlq_marlin_repack_ct(packed, perm, k, n, bits, marlin) &&
                   memcmp(marlin, expected, bytes) == 0,
               "marlin from pack-quantized with a permutation, %d bits", bits);
    const int32_t saved = perm[3];
    const int32_t evil[] = {-1, (int32_t)k, perm[4]};
    for (int i = 0; i < 3; i++) {
        perm[3] = evil[i];
        check_that(!dlq_marlin_repack_gptq(packed, perm, k, n, bits, marlin),
                   "perm value %d is refused", evil[i]);
        check_that(!dlq_marlin_repack_ct(packed, perm, k, n, bits, marlin),
                   "perm value %d is refused from pack-quantized", evil[i]);
    }
    perm[3] = saved;
    check_that(!dlq_marlin_repack_gptq(packed, perm, k - 8, n, bits, marlin), "k %% 16");
    check_that(!dlq_marlin_repack_awq(packed, k, n - 32, bits, marlin), "n %% 64");
    check_that(!dlq_marlin_repack_awq(packed, k, n, 3, marlin), "3 bits");
    free(q);
    free(row);
    free(perm);
    free(packed);
    free(expected);
    check_free(marlin);
}

static void
check_marlin_scales(void)
{
    uint16_t in[3 * 128];
    uint16_t out[3 * 128];
    for (int i = 0; i < 3 * 128; i++) {
        in[i] = (uint16_t)i;
    }
    static const int channel[8] = {0, 1, 8, 9, 16, 17, 24, 25};
    bool ok = dlq_marlin_permute_scales(in, 2, 384, 128, 128, out);
    for (int r = 0; r < 3; r++) {
        for (int c = 0; c < 128; c++) {
            ok = ok && out[r * 128 + c] == r * 128 + c / 64 * 64 + c % 64 / 8 + 8 * (c % 8);
        }
    }
    check_that(ok, "grouped scales");
    for (int g = -1; g <= 384; g += 385) {
        ok = dlq_marlin_permute_scales(in, 2, 384, 128, g, out);
        for (int c = 0; c < 128; c++) {
            ok = ok && out[c] == c / 32 * 32 + 2 * (c % 32 / 8) + channel[c % 8];
        }
        check_that(ok, "channel scales, group %d", g);
    }
    check_that(!dlq_marlin_permute_scales(in, 2, 384, 96, 128, out), "n %% 64");
}

static void
check_marlin_zeros(void)
{
    uint8_t zeros[2 * 64];
    uint32_t packed[2 * 64 / 4];
    uint32_t out[2 * 64 / 4];
    uint32_t again[2 * 64 / 4];
    struct check_rng rng = {8};
    static const int p4[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    for (int bits = 4; bits <= 8; bits += 4) {
        for (int i = 0; i < 2 * 64; i++) {
            zeros[i] = (uint8_t)(check_random(&rng) & ((1u << bits) - 1u));
        }
        check_that(dlq_marlin_zero_points(zeros, 2, 64, bits, out), "zero points");
        for (int w = 0; bits == 4 && w < 16; w++) {
            uint32_t word = 0;
            for (int i = 0; i < 8; i++) {
                word |= (uint32_t)zeros[w / 8 * 64 + w % 8 + 8 * p4[i]] << 4 * i;
            }
            check_that(out[w] == word, "zero point word %d", w);
        }
        check_that(dlq_awq_pack(zeros, bits, 2, 64, packed) &&
                       dlq_marlin_zero_points_from_awq(packed, 2, 64, bits, again) &&
                       memcmp(out, again, (size_t)(2 * 64 * bits / 8)) == 0,
                   "zero points from awq, %d bits", bits);
    }
    check_that(!dlq_marlin_zero_points(zeros, 2, 64, 5, out), "5 bit zero points");
    check_that(!dlq_marlin_zero_points(zeros, 1, 32, 4, out), "32 columns");
}

static void
check_marlin_plan(void)
{
    struct dlq_marlin_layer l;
    check_that(dlq_marlin_plan(&l, 4096, 4096, 128, 4, true, false) == DLQ_MARLIN_OK &&
                   l.n_padded == 4096 && l.k_padded == 4096 && l.packed_group == 128 &&
                   l.groups == 32 && l.scales_at == 4096 * 4096 / 2 &&
                   l.zeros_at == l.scales_at + 32 * 4096 * 2 &&
                   l.bytes == l.zeros_at + 32 * 4096 / 2,
               "a layer that needs no padding");
    check_that(dlq_marlin_plan(&l, 200, 1000, 96, 4, false, true) == DLQ_MARLIN_OK &&
                   l.n_padded == 256 && l.k_padded == 1024 && l.packed_group == 32 &&
                   l.group == 96 && l.groups == 32 && l.order_at == l.zeros_at &&
                   l.order_at >= l.scales_at + 32 * 256 * 2 && l.bytes >= l.order_at + 4000 &&
                   l.bytes % 256 == 0,
               "a padded layer with act order");
    static const int64_t one[] = {-1, 0, 172, 500};
    for (int i = 0; i < 4; i++) {
        check_that(dlq_marlin_plan(&l, 40, 172, one[i], 8, false, false) == DLQ_MARLIN_OK &&
                       l.packed_group == -1 && l.group == 172 && l.groups == 1,
                   "group %d of 172 rows is one group", (int)one[i]);
    }
    static const struct {
        int64_t n, k, group;
        int bits;
        bool zeros;
        enum dlq_marlin_verdict verdict;
    } refused[] = {
        {64, 128, 128, 3, false, DLQ_MARLIN_TYPE},
        {64, 128, 128, 8, true, DLQ_MARLIN_TYPE},
        {64, 128, 16, 4, true, DLQ_MARLIN_GROUP},
        {64, 128, 40, 4, true, DLQ_MARLIN_GROUP},
        {0, 128, 128, 4, true, DLQ_MARLIN_SHAPE_N},
        {64, 0, 128, 4, true, DLQ_MARLIN_SHAPE_K},
        {64, (1 << 24) + 1, -1, 4, true, DLQ_MARLIN_SHAPE_K},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        check_that(dlq_marlin_plan(&l, refused[i].n, refused[i].k, refused[i].group,
                                   refused[i].bits, refused[i].zeros, false) == refused[i].verdict,
                   "marlin plan %d is refused", (int)i);
    }
}

static void
check_marlin_sort(void)
{
    enum { K = 100, G = 32 };
    int32_t g_idx[K], perm[K];
    // Group of row i of a shuffled layer: 37 and 100 have no common factor.
    for (int i = 0; i < K; i++) {
        g_idx[i] = i * 37 % K / G;
    }
    bool ok = dlq_marlin_sort_rows(g_idx, K, G, perm);
    for (int i = 0; i < K && ok; i++) {
        ok = g_idx[perm[i]] == i / G && (i % G == 0 || perm[i] > perm[i - 1]);
    }
    check_that(ok, "rows are sorted by group and stay in order within one");
    for (int i = 0; i < K; i++) {
        g_idx[i] = i;
    }
    ok = dlq_marlin_sort_rows(g_idx, K, 1, perm);
    for (int i = 0; i < K && ok; i++) {
        ok = perm[i] == i;
    }
    check_that(ok, "groups of one row");
    for (int i = 0; i < K; i++) {
        g_idx[i] = i / G;
    }
    const int32_t evil[] = {-1, 4, 1};
    for (int i = 0; i < 3; i++) {
        g_idx[5] = evil[i];
        check_that(!dlq_marlin_sort_rows(g_idx, K, G, perm), "g_idx %d is refused", evil[i]);
    }
    check_that(!dlq_marlin_sort_rows(g_idx, K, 0, perm), "groups of no rows");
}

static void
check_marlin_verdicts(void)
{
    check_that(DLQ_ST_UINT4 == 1125899906843648 && DLQ_ST_UINT4B8 == 1125899907892224 &&
                   DLQ_ST_UINT8 == 1125899906844672 && DLQ_ST_UINT8B128 == 1125899923621888 &&
                   DLQ_ST_INT4 == 1125899906908928 && DLQ_ST_INT8 == 1125899906909952 &&
                   DLQ_ST_UINT2B2 == 1125899907105280 && DLQ_ST_UINT3B4 == 1125899907367680,
               "ids of integer types");
    check_that(DLQ_ST_FLOAT8_E4M3FN == 2814749767172868 && DLQ_ST_FLOAT8_E5M2 == 1125899906908677 &&
                   DLQ_ST_FLOAT8_E8M0FNU == 2814749767106568 &&
                   DLQ_ST_FLOAT4_E2M1F == 562949953487106 && DLQ_ST_FLOAT16 == 1125899906910725 &&
                   DLQ_ST_BFLOAT16 == 1125899906909960,
               "ids of float types");
    static const int64_t groups[] = {-1, 32, 64, 128};
    for (int i = 0; i < 4; i++) {
        check_that(dlq_marlin_check_config(DLQ_ST_UINT4, groups[i], true, 80) == DLQ_MARLIN_OK,
                   "group %ld", (long)groups[i]);
        check_that(dlq_marlin_group_sizes[i] == groups[i], "group table");
    }
    check_that(dlq_marlin_check_config(DLQ_ST_UINT4, 16, true, 90) == DLQ_MARLIN_GROUP, "group 16");
    check_that(dlq_marlin_check_config(DLQ_ST_UINT4, 128, true, 75) == DLQ_MARLIN_CAPABILITY,
               "capability 75");
    check_that(dlq_marlin_check_config(DLQ_ST_UINT4, 128, false, 0) == DLQ_MARLIN_TYPE,
               "uint4 without zero points");
    check_that(dlq_marlin_check_config(DLQ_ST_UINT4B8, 128, false, 0) == DLQ_MARLIN_OK, "uint4b8");
    check_that(dlq_marlin_check_shape(64, 128, 128, 128) == DLQ_MARLIN_OK, "smallest shape");
    check_that(dlq_marlin_check_shape(96, 128, 128, 128) == DLQ_MARLIN_SHAPE_N, "n 96");
    check_that(dlq_marlin_check_shape(64, 192, 192, 64) == DLQ_MARLIN_SHAPE_K, "k 192");
    check_that(dlq_marlin_check_shape(64, 128, 512, 256) == DLQ_MARLIN_SHAPE_GROUP, "half a group");
    check_that(dlq_marlin_check_shape(64, 128, 256, 256) == DLQ_MARLIN_OK, "one group a column");
    check_that(dlq_marlin_workspace_size(132) == 132 && dlq_marlin_workspace_size(-1) == 0,
               "workspace");
    for (int v = DLQ_MARLIN_OK; v <= DLQ_MARLIN_SHAPE_GROUP; v++) {
        const char *text = dlq_marlin_verdict_string((enum dlq_marlin_verdict)v);
        check_that(strcmp(text, "Unknown verdict") != 0, "verdict %d has a sentence", v);
    }
}

void
check_pack(void)
{
    check_words();
    check_round_trips();
    check_literals();
    check_awq();
    check_marlin_repack(128, 64, 4);
    check_marlin_repack(128, 64, 8);
    check_marlin_repack(256, 128, 4);
    check_marlin_repack(256, 128, 8);
    check_marlin_scales();
    check_marlin_zeros();
    check_marlin_plan();
    check_marlin_sort();
    check_marlin_verdicts();
}
