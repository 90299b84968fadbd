// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Choice of a configuration: the measured one where the weight's shape was measured, else by rule.
#include "w8_table.h"

#include "device_attribute.cuh"
#include "round.cuh"

namespace
{

constexpr dlq_k_w8_choice table[] = {
#include "w8_table.inc"
};
enum { CHOICES = sizeof(table) / sizeof(table[0]) };

constexpr bool
before(const dlq_k_w8_choice &t, int f8, int64_t n, int64_t k)
{
    return t.f8 != f8 ? t.f8 < f8 : t.n != n ? t.n < n : t.k < k;
}

constexpr bool
in_order(void)
{
    for (int i = 1; i < CHOICES; i++)
        if (before(table[i], table[i - 1].f8, table[i - 1].n, table[i - 1].k))
            return false;
    return true;
}

static_assert(in_order(), "the choices of a shape follow each other");

// The choices of one type and weight shape: looking at all would take half a microsecond a call.
struct choices {
    const dlq_k_w8_choice *first, *last;

    explicit choices(const dlq_k_w8_gemm *g) : first(table), last(table + CHOICES)
    {
        const int f8 = g->dtype == DLQ_F8_E4M3;
        while (first < last) {
            const dlq_k_w8_choice *const middle = first + (last - first) / 2;
            if (before(*middle, f8, g->n, g->k))
                first = middle + 1;
            else
                last = middle;
        }
        while (last < table + CHOICES && last->f8 == f8 && last->n == g->n && last->k == g->k)
            last++;
    }
    const dlq_k_w8_choice *begin() const
    {
        return first;
    }
    const dlq_k_w8_choice *end() const
    {
        return last;
    }
};

enum { MULTIPROCESSORS = 132 }; // of the devices the table was measured on

// The one that the current device is like.
int
measured_device(void)
{
    const int64_t khz = dlq::device_attribute<cudaDevAttrMemoryClockRate>();
    const int64_t bits = dlq::device_attribute<cudaDevAttrGlobalMemoryBusWidth>();
    const int64_t bytes_per_ms = khz * 2 * bits / 8;
    return bytes_per_ms >= 4000000000 ? DLQ_K_W8_FAST_MEMORY : DLQ_K_W8_SLOW_MEMORY;
}

// Few tokens: 64 rows a CTA, K split until the CTAs about fill the device once.
dlq_k_w8_config
by_rule_stream(const dlq_k_w8_gemm *g)
{
    const bool fast = g->accumulate == DLQ_K_W8_FAST;
    dlq_k_w8_config c = {0, 64, 8, 1, 1, 1, 0, 0, 0};
    if (!fast) // the only ones there are
        c.rows = 128;
    while (c.tokens < g->m && c.tokens < 128)
        c.tokens = (uint16_t)(c.tokens * 2);
    const int64_t units = dlq::divide_up(g->n, c.rows) * dlq::divide_up(g->m, c.tokens);
    const int64_t pairs = dlq::divide_up(g->k, 256);
    while (c.split < c.rows / 16 && units * c.split < 96 && pairs >= 2 * c.split)
        c.split = (uint8_t)(c.split * 2);
    if (units * c.split > MULTIPROCESSORS && c.split > 1 && c.tokens <= 32)
        c.per_sm = 2;
    return c;
}

// Many tokens: cycles of a block of tokens and of one K block in it, as traced on the device; a CTA
// does as many units as there are waves, and what does not overlap comes on top.
struct tile_kind {
    int tokens;
    int in_turn;
    int cycles;  // a K block
    int exposed; // a unit, outside the products
};

dlq_k_w8_config
by_rule_tile(const dlq_k_w8_gemm *g)
{
    static const tile_kind kinds[] = {
        {128, 0, 600, 2000}, {128, 1, 600, 600}, {192, 1, 800, 600}, {256, 0, 1040, 2500}};
    const int count = g->accumulate == DLQ_K_W8_FAST ? 4 : 1;
    const int64_t k_blocks = dlq::divide_up(g->k, 128);
    dlq_k_w8_config c = {1, 128, 128, 1, 1, 1, 0, 8, 0};
    int64_t least = INT64_MAX;
    for (int i = 0; i < count; i++) {
        const tile_kind &t = kinds[i];
        const int64_t units = dlq::divide_up(g->n, 128) * dlq::divide_up(g->m, t.tokens);
        const int64_t cycles =
            dlq::divide_up(units, MULTIPROCESSORS) * (k_blocks * t.cycles + t.exposed);
        if (cycles < least) {
            least = cycles;
            c.tokens = (uint16_t)t.tokens;
            c.pingpong = (uint8_t)t.in_turn;
        }
    }
    return c;
}

dlq_k_w8_config
by_rule(const dlq_k_w8_gemm *g, bool can_tile)
{
    const int64_t blocks = dlq::divide_up(g->n, 128) * dlq::divide_up(g->m, 128);
    const bool few = g->m <= 64 || (g->m <= 256 && blocks < 80);
    return few || !can_tile ? by_rule_stream(g) : by_rule_tile(g);
}

} // namespace

extern "C" struct dlq_k_w8_config
dlq_k_w8_select(const struct dlq_k_w8_gemm *g)
{
    const bool can_tile = (uintptr_t)g->y % 16 == 0 && g->ldy % 8 == 0;
    dlq_k_w8_config c = by_rule(g, can_tile);
    if (g->accumulate != DLQ_K_W8_FAST) // measured is the fast accumulation only
        return c;
    const int device = measured_device();
    int best = INT32_MAX;
    for (const dlq_k_w8_choice &t : choices(g))
        if ((t.devices & device) && t.pdl == g->pdl && t.max_m >= g->m && t.max_m < best &&
            (t.config.kernel == 0 || (can_tile && (t.config.split == 1 || g->workspace)))) {
            best = t.max_m;
            c = t.config;
        }
    return c;
}

extern "C" int64_t
dlq_k_w8_shared_outputs(const struct dlq_k_w8_gemm *g, int64_t max_m)
{
    const int device = measured_device();
    const choices all(g);
    int64_t most = 0;
    if (g->accumulate != DLQ_K_W8_FAST)
        return 0;
    for (const dlq_k_w8_choice &t : all) {
        if (!(t.devices & device) || t.config.kernel == 0 || t.config.split != 0)
            continue;
        bool reached = true; // by up to max_m tokens
        for (const dlq_k_w8_choice &u : all)
            reached &= !(u.devices & device) || u.max_m >= t.max_m || u.max_m < max_m;
        if (reached && t.config.rows * t.config.tokens > most)
            most = t.config.rows * t.config.tokens;
    }
    return most;
}
