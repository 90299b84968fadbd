// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
#include "cuda/w4_plan.h"
#include "pack/w4_fragment.h"

#include <stdlib.h>
#include <string.h>

// The fragment layout, walked from its own side after the drawing in w4_fragment.h, against a
// checkpoint read by the formulas of its format; and the table of measured plans.

struct w4_case {
    int n, k, group, ct, symmetric, bf16;
};

struct w4_tensors {
    struct dlq_k_w4_source source;
    uint32_t *weights, *zeros;
    uint16_t *scales;
    int size, groups;
};

static uint32_t *
random_words(struct check_rng *rng, size_t n)
{
    uint32_t *words = malloc(n * sizeof(*words));
    for (size_t i = 0; words && i < n; i++) {
        words[i] = check_random(rng);
    }
    return words;
}

static bool
tensors_create(struct w4_tensors *t, const struct w4_case *c, struct check_rng *rng)
{
    t->size = c->group ? c->group : c->k;
    t->groups = (c->k + t->size - 1) / t->size;
    const size_t n8 = (size_t)(c->n + 7) / 8, k8 = (size_t)(c->k + 7) / 8;
    const size_t n = (size_t)c->n, k = (size_t)c->k, groups = (size_t)t->groups;
    t->weights = random_words(rng, c->ct ? n * k8 : k * n8);
    t->zeros = random_words(rng, n8 * groups);
    t->scales = malloc(n * groups * sizeof(*t->scales));
    if (!t->weights || !t->zeros || !t->scales) {
        return false;
    }
    for (size_t i = 0; i < n * groups; i++) {
        t->scales[i] = (uint16_t)check_random(rng);
    }
    const struct dlq_k_w4_source source = {
        c->n, c->k, c->group, c->bf16, t->weights, c->symmetric ? NULL : t->zeros, t->scales};
    t->source = source;
    return true;
}

static void
tensors_destroy(struct w4_tensors *t)
{
    free(t->weights);
    free(t->zeros);
    free(t->scales);
}

static unsigned
awq_field(const uint32_t *words, int row_of_words, int n, int column)
{
    static const int position[8] = {0, 2, 4, 6,
                                    1, 3, 5, 7}; // nibble i holds column 8c + position[i]
    for (int i = 0; i < 8; i++) {
        if (position[i] == column % 8) {
            return words[(size_t)row_of_words * (size_t)(n / 8) + (size_t)(column / 8)] >> 4 * i &
                   15u;
        }
    }
    return 99;
}

static unsigned
source_zero(const struct w4_tensors *t, const struct w4_case *c, int row, int g)
{
    if (c->symmetric) {
        return 8;
    }
    return c->ct ? t->zeros[(size_t)(row / 8) * (size_t)t->groups + (size_t)g] >> row % 8 * 4 & 15u
                 : awq_field(t->zeros, g, c->n, row);
}

// What one nibble should hold: the code, the zero point past the end of k, 0 where nothing is.
static unsigned
source_code(const struct w4_tensors *t, const struct w4_case *c, int row, int col)
{
    if (row >= c->n || col / t->size >= t->groups) {
        return 0;
    }
    if (col >= c->k) {
        return source_zero(t, c, row, col / t->size);
    }
    const size_t words = (size_t)(c->k + 7) / 8;
    return c->ct ? t->weights[(size_t)row * words + (size_t)(col / 8)] >> col % 8 * 4 & 15u
                 : awq_field(t->weights, col, c->n, row);
}

static bool
codes_agree(const struct w4_tensors *t, const struct w4_case *c, const uint8_t *unit, int strip,
            int u)
{
    static const int high_row[8] = {0, 8, 0, 8, 0, 8, 0, 8};
    static const int k_of[8] = {0, 0, 8, 8, 1, 1, 9, 9};
    for (int block = 0; block < 2; block++) {
        for (int lane = 0; lane < 32; lane++) {
            for (int j = 0; j < 4; j++) {
                uint32_t word;
                memcpy(&word, unit + block * 512 + lane * 16 + j * 4, sizeof(word));
                for (int i = 0; i < 8; i++) {
                    const int row = 16 * strip + lane / 4 + high_row[i];
                    const int col = 128 * u + 64 * block + 16 * j + lane % 4 * 2 + k_of[i];
                    if ((word >> 4 * i & 15u) != source_code(t, c, row, col)) {
                        return false;
                    }
                }
            }
        }
    }
    return true;
}

static bool
pairs_agree(const struct w4_tensors *t, const struct w4_case *c, const uint8_t *pairs, int strip,
            int g)
{
    static const uint16_t integers[2][16] = {
        {0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x4800, 0x4880, 0x4900, 0x4980,
         0x4a00, 0x4a80, 0x4b00, 0x4b80},
        {0, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0x4100, 0x4110, 0x4120, 0x4130,
         0x4140, 0x4150, 0x4160, 0x4170}};
    for (int i = 0; i < 16; i++) {
        const int row = 16 * strip + i / 2 + i % 2 * 8;
        uint16_t pair[2], expected[2] = {0, 0};
        memcpy(pair, pairs + i * 4, sizeof(pair));
        if (row < c->n && g < t->groups) {
            const size_t at = c->ct ? (size_t)row * (size_t)t->groups + (size_t)g
                                    : (size_t)g * (size_t)c->n + (size_t)row;
            expected[0] = t->scales[at];
            expected[1] = integers[c->bf16][source_zero(t, c, row, g)];
        }
        if (pair[0] != expected[0] || pair[1] != expected[1]) {
            return false;
        }
    }
    return true;
}

static void
check_packing(const struct w4_case *c, struct check_rng *rng)
{
    struct w4_tensors t = {0};
    const int packed = dlq_k_w4_packed_group(c->k, c->group), per_unit = packed ? 128 / packed : 0;
    const int strips = (c->n + 63) / 64 * 4, units = (c->k + 127) / 128;
    const size_t unit_bytes = 1024 + 64 * (size_t)per_unit;
    const size_t bytes = (size_t)strips * ((size_t)units * unit_bytes + (packed ? 0 : 64));
    uint8_t *out = malloc(bytes + 1);
    if (check_that(out && tensors_create(&t, c, rng), "memory") &&
        check_that(dlq_k_w4_packed_bytes(c->n, c->k, c->group) == bytes, "packed bytes of %dx%d",
                   c->n, c->k)) {
        memset(out, 0xa5, bytes + 1);
        check_that((c->ct ? dlq_k_w4_pack_ct : dlq_k_w4_pack_awq)(&t.source, out) == 0, "pack");
        bool same = out[bytes] == 0xa5;
        for (int strip = 0; strip < strips && same; strip++) {
            for (int u = 0; u < units && same; u++) {
                const uint8_t *unit =
                    out + ((size_t)strip * (size_t)units + (size_t)u) * unit_bytes;
                same = codes_agree(&t, c, unit, strip, u);
                for (int i = 0; i < per_unit && same; i++) {
                    same = pairs_agree(&t, c, unit + 1024 + 64 * i, strip,
                                       (128 * u + i * packed) / t.size);
                }
            }
            if (!packed && same) {
                same = pairs_agree(&t, c,
                                   out + (size_t)strips * (size_t)units * unit_bytes + 64 * strip,
                                   strip, 0);
            }
        }
        check_that(same, "fragment layout n %d k %d group %d ct %d symmetric %d bf16 %d", c->n,
                   c->k, c->group, c->ct, c->symmetric, c->bf16);
        unsigned code = 0;
        uint16_t scale = 0, zero = 0;
        dlq_k_w4_packed_at(out, c->n, c->k, c->group, c->n - 1, c->k - 1, &code, &scale, &zero);
        check_that(code == source_code(&t, c, c->n - 1, c->k - 1), "the last code read back");
    }
    tensors_destroy(&t);
    free(out);
}

static void
check_plans(void)
{
    static const int tokens[] = {1, 2, 7, 16, 17, 64, 65, 300, 5000, 100000};
    static const int shapes[][2] = {{128, 64}, {4096, 4096}, {4000, 11008}, {53248, 16384}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++) {
            for (int pdl = 0; pdl < 2; pdl++) {
                const struct dlq_k_w4_plan plan =
                    dlq_k_w4_plan_find(shapes[s][0], shapes[s][1], tokens[i], pdl);
                check_that(plan.kernel == DLQ_K_W4_WIDE ||
                               (plan.kernel == DLQ_K_W4_SMALL && tokens[i] <= 16) ||
                               (plan.kernel == DLQ_K_W4_DIRECT && tokens[i] <= 8 &&
                                plan.split == 1 && plan.ctas == 1),
                           "a kernel that takes %d tokens", tokens[i]);
                check_that(plan.tile >= 0 && plan.tile < DLQ_K_W4_TILES && plan.ctas >= 1 &&
                               plan.ctas <= 4 &&
                               (plan.split == 1 || plan.split == 2 || plan.split == 4 ||
                                plan.split == 8 ||
                                (plan.split == 0 && plan.kernel == DLQ_K_W4_WIDE)),
                           "a plan in range");
            }
        }
    }
    const struct dlq_k_w4_plan measured = dlq_k_w4_plan_find(8192, 8192, 64, 0);
    const struct dlq_k_w4_plan near = dlq_k_w4_plan_find(8000, 8320, 50, 0);
    check_that(!memcmp(&measured, &near, sizeof(near)),
               "the nearest shape and the next number of tokens");
    const struct dlq_k_w4_plan more = dlq_k_w4_plan_find(8192, 8192, 65, 0);
    const struct dlq_k_w4_plan next = dlq_k_w4_plan_find(8192, 8192, 128, 0);
    check_that(!memcmp(&more, &next, sizeof(next)), "65 tokens run as 128");
}

void
check_w4(void)
{
    static const int shapes[][3] = {{64, 128, 128}, {200, 1152, 128}, {96, 96, 32},   {72, 320, 64},
                                    {136, 1000, 0}, {40, 172, 0},     {24, 512, 256}, {8, 160, 64}};
    struct check_rng rng = {7};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++) {
        for (int form = 0; form < 8; form++) {
            const struct w4_case c = {shapes[s][0], shapes[s][1],  shapes[s][2],
                                      form & 1,     form >> 1 & 1, form >> 2 & 1};
            check_packing(&c, &rng);
        }
    }
    const struct w4_case odd = {13, 200, 0, 1, 0, 0};
    check_packing(&odd, &rng);
    uint32_t word = 0;
    uint16_t scale = 0;
    const struct dlq_k_w4_source bad = {12, 1, 0, 0, &word, &word, &scale};
    uint8_t out[16];
    check_that(dlq_k_w4_pack_awq(&bad, out) == -1, "AWQ refuses outputs that are no multiple of 8");
    check_that(dlq_k_w4_packed_group(4096, 48) == -1 && dlq_k_w4_packed_bytes(64, 4096, 48) == 0,
               "group 48 refused");
    check_that(dlq_k_w4_packed_bytes(0, 128, 128) == 0 && dlq_k_w4_packed_bytes(64, 0, 0) == 0,
               "empty shapes refused");
    check_that(dlq_k_w4_packed_group(4096, 4096) == 0 && dlq_k_w4_packed_group(4096, 512) == 128,
               "packed groups");
    check_plans();
}
