// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Which grouped products run on sm90_grouped.cuh, and how they are cut up.
#include "sm90_grouped.h"

#include "round.cuh"

#include <dlquant/types.h>

namespace
{

// Nanoseconds, as an H100 was measured: of a block of K, of a tile beside its blocks, of meeting in
// a cluster, and of a launch beside its tiles.
struct cost {
    int block, tile, meeting, launch;
};

// How scales meet sums decides what tiles cost, and from how many rows of x on they are faster than
// mma.sync: where the CTAs of one row of tiles keep half of the multiprocessors busy, and where
// not.
struct choice {
    int busy_rows, rows;
    cost costs[SM90_GROUPED_TILES];
};

const choice choices[] = {
    {9, // WHOLE
     33,
     {{273, 1162, 2746, -954},
      {280, 2565, 4314, -3491},
      {328, 462, 6222, -2132},
      {435, 476, 7103, -1543},
      {705, -968, 0, -558}}},
    {1, // FOLDED
     17,
     {{289, 1051, 816, 784},
      {297, 405, 1689, 293},
      {317, 826, 2452, 31},
      {409, 1609, 5008, -916},
      {645, 2123, 0, -831}}},
    {9, // POWERS
     33,
     {{291, 4299, 850, -2394},
      {299, 104, 1569, 860},
      {322, 687, 2189, 558},
      {419, 2001, 4535, -994},
      {639, 2552, 0, -1167}}},
    {33, // RESCALED
     65,
     {{452, 1551, 1908, -1197},
      {447, 568, 2671, -482},
      {483, 656, 3463, -481},
      {551, 1484, 5217, -573},
      {756, 2967, 0, -1187}}},
    {17, // GROUPS and X_SCALED
     33,
     {{405, 779, 1196, -155},
      {436, 263, 2375, 188},
      {463, 281, 2711, 650},
      {592, 2199, 4621, -602},
      {}}},
};

const choice *
choice_of(enum sm90_grouped_sums sums)
{
    return &choices[sums == SM90_GROUPED_X_SCALED ? SM90_GROUPED_GROUPS : sums];
}

int64_t
tiles_of(const struct dlq_k_grouped *w, int tile, int64_t rows)
{
    const struct sm90_grouped_tile *const t = &sm90_grouped_tiles[tile];
    return dlq::divide_up(rows, t->rows) * dlq::divide_up(w->padded_n, 128 * t->pair);
}

int64_t
cost_of(const struct dlq_k_grouped *w, const struct sm90_grouped_plan *p, int64_t rows,
        enum sm90_grouped_sums sums, int multiprocessors)
{
    const cost *const c = &choice_of(sums)->costs[p->tile];
    const int64_t turns = dlq::divide_up(tiles_of(w, p->tile, rows) * p->splits,
                                         multiprocessors / sm90_grouped_tiles[p->tile].pair);
    return turns * (p->split * c->block + c->tile) + (p->splits > 1 ? c->meeting : 0) + c->launch;
}

// Fewest rows that are faster so than on mma.sync. Of formats that were not timed with few rows,
// more.
int64_t
least_rows(const struct dlq_k_grouped *w, const struct sm90_grouped_plan *p,
           enum sm90_grouped_sums sums, int multiprocessors)
{
    const int64_t of_a_row = tiles_of(w, p->tile, 1) * sm90_grouped_tiles[p->tile].pair * p->splits;
    const bool busy = 2 * of_a_row >= multiprocessors;
    const int64_t least = busy ? choice_of(sums)->busy_rows : choice_of(sums)->rows;
    switch (w->desc.code) {
    case DLQ_K_GROUPED_U4:
        return 65;
    case DLQ_K_GROUPED_U8:
        return least > 33 ? least : busy ? 33 : 65;
    case DLQ_K_GROUPED_E4M3:
        return sums == SM90_GROUPED_POWERS ? 33 : least;
    default:
        return least;
    }
}

// How many clusters of a size run at once: they lie within groups of 16 to 18 multiprocessors, of
// which some are missing.
int64_t
clusters(int size, int multiprocessors)
{
    return size <= 2 ? multiprocessors / size : multiprocessors / 16 * (14 / size);
}

} // namespace

bool
sm90_grouped_takes(const struct dlq_k_grouped *w, bool bf16, bool x_scaled,
                   enum sm90_grouped_sums *sums)
{
    const struct dlq_k_grouped_desc *const d = &w->desc;
    const bool integers = d->code == DLQ_K_GROUPED_U4 || d->code == DLQ_K_GROUPED_U8;
    if (d->act_order || w->order_at != 0)
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
    if ((d->group != 16 && d->group != 32) || integers)
        return false;
    // e4m3 scales times e2m1 codes have 6 bits and fp16's range; powers of two keep bf16's.
    *sums = d->scale_dtype == DLQ_F8_E8M0 ? SM90_GROUPED_POWERS : SM90_GROUPED_FOLDED;
    return d->scale_dtype == DLQ_F8_E8M0
               ? bf16
               : d->scale_dtype == DLQ_F8_E4M3 && d->code == DLQ_K_GROUPED_E2M1;
}

bool
sm90_grouped_choose(const struct dlq_k_grouped *w, int64_t rows, enum sm90_grouped_sums sums,
                    int multiprocessors, struct sm90_grouped_plan *plan)
{
    if (multiprocessors < 16)
        return false;
    const bool both = sums == SM90_GROUPED_GROUPS || sums == SM90_GROUPED_X_SCALED;
    const int64_t pairs = dlq::divide_up(w->padded_k / 64, 2);
    int64_t least = INT64_MAX;
    for (int tile = 0; tile < SM90_GROUPED_TILES - (both ? 1 : 0); tile++) {
        const int64_t tiles = tiles_of(w, tile, rows);
        // Parts of K are for tiles that leave multiprocessors idle.
        for (int splits = 1;
             splits == 1 || (splits <= 8 && splits <= pairs && sm90_grouped_tiles[tile].pair == 1 &&
                             tiles <= clusters(splits, multiprocessors));
             splits *= 2) {
            const struct sm90_grouped_plan p = {tile, splits, 2 * dlq::divide_up(pairs, splits)};
            const int64_t cost = cost_of(w, &p, rows, sums, multiprocessors);
            if (cost < least) {
                least = cost;
                *plan = p;
            }
        }
    }
    return rows >= least_rows(w, plan, sums, multiprocessors);
}

int
sm90_grouped_run(int32_t code, const struct sm90_grouped_launch *launch,
                 const struct grouped_args *args, cudaStream_t stream)
{
    switch (code) {
    case DLQ_K_GROUPED_U4:
        return sm90_grouped_u4(launch, args, stream);
    case DLQ_K_GROUPED_U8:
        return sm90_grouped_u8(launch, args, stream);
    case DLQ_K_GROUPED_E4M3:
        return sm90_grouped_e4m3(launch, args, stream);
    default:
        return sm90_grouped_e2m1(launch, args, stream);
    }
}
