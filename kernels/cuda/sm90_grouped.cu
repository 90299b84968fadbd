// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Which grouped products run on sm90_grouped.cuh, and how they are cut up.
#include "sm90_grouped.h"

#include <dlquant/types.h>

namespace
{

int64_t
divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

// Nanoseconds, as an H100 was measured: tiles come in waves, a block of K takes so long, and
// meeting in a cluster 2000.
int64_t
cost_of(const struct dlq_k_grouped *w, const struct sm90_grouped_plan *p, int64_t rows,
        enum sm90_grouped_sums sums, int multiprocessors)
{
    static const int block_ns[][SM90_GROUPED_TILES] = {
        {285, 410, 640}, {335, 440, 640}, {395, 500, 710}, {455, 575, 0}, {455, 575, 0}};
    const struct sm90_grouped_tile *const t = &sm90_grouped_tiles[p->tile];
    const int64_t tiles = divide_up(rows, t->rows) * divide_up(w->padded_n, 128 * t->pair);
    const int64_t waves = divide_up(tiles * p->splits, multiprocessors / t->pair);
    return waves * (p->split * block_ns[sums][p->tile] + 2500) + (p->splits > 1 ? 2000 : 0);
}

// Fewest rows that are faster here than on mma.sync.
constexpr int64_t LEAST_ROWS = 65;

} // namespace

bool
sm90_grouped_takes(const struct dlq_k_grouped *w, bool bf16, bool x_scaled,
                   enum sm90_grouped_sums *sums)
{
    const struct dlq_k_grouped_desc *const d = &w->desc;
    if (d->code == DLQ_K_GROUPED_U4 || d->zeros || d->act_order || w->order_at != 0)
        return false;
    *sums = SM90_GROUPED_WHOLE;
    if (w->scales_at == 0)
        return d->code != DLQ_K_GROUPED_E2M1 && !x_scaled;
    if (d->group % 64 == 0) {
        *sums = x_scaled         ? SM90_GROUPED_X_SCALED
                : w->even_scales ? SM90_GROUPED_RESCALED
                                 : SM90_GROUPED_GROUPS;
        return d->code != DLQ_K_GROUPED_E2M1;
    }
    // e4m3 scales times e2m1 codes have 6 bits and fp16's range; powers of two keep bf16's.
    *sums = SM90_GROUPED_FOLDED;
    return (d->group == 16 || d->group == 32) && d->code != DLQ_K_GROUPED_U8 &&
           ((d->code == DLQ_K_GROUPED_E2M1 && d->scale_dtype == DLQ_F8_E4M3) ||
            (d->scale_dtype == DLQ_F8_E8M0 && bf16));
}

bool
sm90_grouped_choose(const struct dlq_k_grouped *w, int64_t rows, enum sm90_grouped_sums sums,
                    int multiprocessors, struct sm90_grouped_plan *plan)
{
    if (rows < LEAST_ROWS || multiprocessors < 16)
        return false;
    const bool both = sums == SM90_GROUPED_GROUPS || sums == SM90_GROUPED_X_SCALED;
    const int64_t pairs = divide_up(w->padded_k / 64, 2);
    int64_t least = INT64_MAX;
    for (int tile = 0; tile < SM90_GROUPED_TILES - (both ? 1 : 0); tile++) {
        const struct sm90_grouped_tile *const t = &sm90_grouped_tiles[tile];
        const int64_t tiles = divide_up(rows, t->rows) * divide_up(w->padded_n, 128 * t->pair);
        const struct sm90_grouped_plan p = {tile, 1, 2 * pairs};
        const int64_t cost = cost_of(w, &p, rows, sums, multiprocessors);
        // Fewer tiles leave too many multiprocessors idle.
        if (tiles * t->pair * 3 >= multiprocessors * 2 && cost < least) {
            least = cost;
            *plan = p;
        }
    }
    return least < INT64_MAX;
}

int
sm90_grouped_run(int32_t code, const struct sm90_grouped_launch *launch,
                 const struct grouped_args *args, cudaStream_t stream)
{
    switch (code) {
    case DLQ_K_GROUPED_U8:
        return sm90_grouped_u8(launch, args, stream);
    case DLQ_K_GROUPED_E4M3:
        return sm90_grouped_e4m3(launch, args, stream);
    default:
        return sm90_grouped_e2m1(launch, args, stream);
    }
}
