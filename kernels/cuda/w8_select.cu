// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Choice of a configuration: the measured one where the weight's shape was measured, else by rule.
#include "w8_table.h"

namespace
{

const dlq_k_w8_choice table[] = {
#include "w8_table.inc"
};

int64_t
ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

// Small m: as many CTAs as fill the multiprocessors about twice; each extra part of K costs a
// reduction, so only as many as that needs.
dlq_k_w8_config
by_rule_stream(const dlq_k_w8_gemm *g)
{
    dlq_k_w8_config c = {0, 128, 8, 1, 1, 2, 0, 0};
    while (c.tokens < g->m && c.tokens < 128)
        c.tokens = (uint16_t)(c.tokens * 2);
    const int64_t blocks = ceil_div(g->n, 128) * ceil_div(g->m, c.tokens);
    const int64_t k_blocks = ceil_div(g->k, 128);
    while (c.split < 8 && blocks * c.split < 128 && k_blocks >= 4 * c.split)
        c.split = (uint8_t)(c.split * 2);
    if (c.tokens >= 128)
        c.per_sm = 1;
    return c;
}

dlq_k_w8_config
by_rule(const dlq_k_w8_gemm *g, bool can_tile)
{
    const int64_t blocks = ceil_div(g->n, 128) * ceil_div(g->m, 128);
    if (!can_tile || g->m <= 128 || (g->m <= 256 && blocks < 100))
        return by_rule_stream(g);
    const uint8_t share = g->n > 128 ? 2 : 1;
    // 128 x 256 blocks once they fill the device several times.
    if (blocks >= 132 * 6)
        return {1, 128, 256, 1, share, 1, 0, 8};
    return {1, 128, 128, 1, share, 1, 1, 8};
}

} // namespace

extern "C" struct dlq_k_w8_config
dlq_k_w8_select(const struct dlq_k_w8_gemm *g)
{
    const bool can_tile = (uintptr_t)g->y % 16 == 0 && g->ldy % 8 == 0;
    const bool f8 = g->dtype == DLQ_F8_E4M3;
    dlq_k_w8_config c = by_rule(g, can_tile);
    int best = INT32_MAX;
    for (const dlq_k_w8_choice &t : table)
        if (t.f8 == f8 && t.pdl == g->pdl && t.n == g->n && t.k == g->k && t.max_m >= g->m &&
            t.max_m < best && (t.config.kernel == 0 || can_tile)) {
            best = t.max_m;
            c = t.config;
        }
    if (g->accumulate != DLQ_K_W8_FAST) {
        c.rows = 128;
        c.tokens = c.tokens < 128 ? c.tokens : 128;
        c.pingpong = 0;
    }
    return c;
}
