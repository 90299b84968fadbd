// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "w4_plan.h"

#include <math.h>
#include <stddef.h>

static const struct choice {
    int k, n, m, pdl;
    struct dlq_k_w4_plan plan;
} choices[] = {
#include "w4_table.inc"
};

static double
distance(const struct choice *choice, int k, int n)
{
    return fabs(log2((double)k / choice->k)) + fabs(log2((double)n / choice->n));
}

// Whether tokens a serve m better than tokens b: the least not below m, else the most.
static int
better_tokens(int a, int b, int m)
{
    if (a < m || b < m) {
        return a > b;
    }
    return a < b;
}

struct dlq_k_w4_plan
dlq_k_w4_plan_find(int k, int n, int m, int pdl)
{
    const struct choice *best = NULL;
    double least = 0, away = 0;
    for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
        const struct choice *choice = &choices[i];
        // Logarithms for each of the choices of a shape would take 1.5 us a call.
        if (i == 0 || choice->k != choice[-1].k || choice->n != choice[-1].n) {
            away = distance(choice, k, n);
        }
        if (choice->pdl != (pdl != 0)) {
            continue;
        }
        if (!best || away < least || (away <= least && better_tokens(choice->m, best->m, m))) {
            best = choice;
            least = away;
        }
    }
    return best->plan;
}
