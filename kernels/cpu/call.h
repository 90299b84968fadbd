// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_KERNELS_CPU_CALL_H
#define DLQ_KERNELS_CPU_CALL_H

#include "../float16.h"
#include "../linear_call.h"

/// Argument checks and small helpers that every CPU operation shares.

/// Name of a function that the fast levels of an architecture share.
#if defined(__aarch64__)
#define DLQ_SIMD(name) name##_neon
#else
#define DLQ_SIMD(name) name##_avx2
#endif

/// DLQ_K_OK, or why a call cannot be run for a layer of k rows and n columns.
static inline int
dlq_call_check(const struct dlq_k_linear_call *call, int64_t k, int64_t n)
{
    if (call->m < 0 || call->m > INT32_MAX || call->x_stride < k || call->y_stride < n) {
        return DLQ_K_ESHAPE;
    }
    if (!dlq_k_is_act_dtype(call->x_dtype) || !dlq_k_is_act_dtype(call->y_dtype) ||
        (call->bias != NULL && !dlq_k_is_act_dtype(call->bias_dtype))) {
        return DLQ_K_EDTYPE;
    }
    return DLQ_K_OK;
}

/// Row m of x.
static inline const void *
dlq_call_x(const struct dlq_k_linear_call *call, int64_t m)
{
    return (const char *)call->x + (size_t)(m * call->x_stride) * dlq_k_act_size(call->x_dtype);
}

/// Row m of y.
static inline void *
dlq_call_y(const struct dlq_k_linear_call *call, int64_t m)
{
    return (char *)call->y + (size_t)(m * call->y_stride) * dlq_k_act_size(call->y_dtype);
}

/// Bias of column n, 0 without one.
static inline float
dlq_call_bias(const struct dlq_k_linear_call *call, int64_t n)
{
    return call->bias != NULL ? dlq_k_load_f32(call->bias, call->bias_dtype, n) : 0.0f;
}

static inline int64_t
dlq_round_up(int64_t v, int64_t to)
{
    return (v + to - 1) / to * to;
}

/// First of `count` items that task `task` of `n_tasks` owns; task + 1 gives the end. Tasks that
/// own one more come first: threads that take them in turn end within one item of each other.
static inline int64_t
dlq_task_begin(int64_t count, int task, int n_tasks)
{
    const int64_t more = count % n_tasks;
    return count / n_tasks * task + (task < more ? task : more);
}

/// The panel height of at most `tallest` rows that wastes the fewest padded rows of m, the tallest
/// among equals. Waste only matters for few rows.
static inline int
dlq_panel_rows(int64_t m, int tallest)
{
    if (m <= tallest) {
        return (int)m;
    }
    int best = tallest;
    for (int rows = tallest; rows >= 4 && m <= 40; rows--) {
        best = dlq_round_up(m, rows) < dlq_round_up(m, best) ? rows : best;
    }
    return best;
}

#endif // DLQ_KERNELS_CPU_CALL_H
