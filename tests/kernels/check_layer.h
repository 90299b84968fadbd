// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_KERNELS_CHECK_LAYER_H
#define DLQ_TESTS_KERNELS_CHECK_LAYER_H

#include "check.h"

/// What every linear kernel must do, whatever its weights: one body of checks for all operations.

/// A packed layer with rows to multiply, behind functions that hide which operation it is.
struct check_layer {
    const char *what; ///< For messages: operation, shape, options
    int64_t m, k, n;
    uint32_t dtype; ///< Of x, y and bias
    void *x;        ///< [m, x_stride]
    void *bias;     ///< [n]
    int64_t x_stride, y_stride;
    const void *w;
    /// Fills the table for a level and returns its name.
    const char *(*init)(void *ops, uint32_t flags);
    int64_t (*workspace_size)(const void *ops, const void *w, int64_t m, int threads);
    int (*apply)(const void *ops, const void *w, const struct dlq_k_linear_call *call);
    /// Truth of one element, bias included.
    struct check_element (*element)(const struct check_layer *layer, int64_t m, int64_t n);
    /// What a level does with x, by its name.
    enum check_class (*class_of)(const struct check_layer *layer, const char *level);
    /// Whether a level must give the bits of the level below it, by their names.
    bool (*same_bits)(const char *level, const char *below);
    bool rows_depend; ///< Rows influence each other by definition (one scale for all)
    const void *ctx;
};

/// Makes x, strides and bias; the caller has set m, k, n and dtype.
void
check_layer_fill(struct check_layer *layer, struct check_rng *rng, enum check_data data);

void
check_layer_free(struct check_layer *layer);

/// One product on freshly poisoned memory: nothing outside y's columns and the workspace is
/// written.
void *
check_layer_apply(const struct check_layer *layer, const void *ops, const char *level,
                  const void *x, int64_t m, int threads, const void *bias);

/// Whether rows of y are the same bits.
bool
check_layer_same(const struct check_layer *layer, const void *a, const void *b, int64_t m);

/// Every level of the machine: values, thread counts 1, 2 and 5, a row alone, bits between levels.
void
check_layer_levels(const struct check_layer *layer);

/// Rows of zeros, NaN and infinities beside ordinary rows, m >= 9: overwrites rows 0, 2, 4 and 6.
void
check_layer_special(const struct check_layer *layer);

/// init_ops(), workspace_size() and apply() of an operation, for a struct check_layer.
#define CHECK_LAYER_CALLS(OP)                                                                      \
    static const char *init_ops(void *ops, uint32_t flags)                                         \
    {                                                                                              \
        dlq_k_##OP##_init(ops, flags);                                                             \
        return ((struct dlq_k_##OP##_ops *)ops)->name;                                             \
    }                                                                                              \
                                                                                                   \
    static int64_t workspace_size(const void *ops, const void *w, int64_t m, int threads)          \
    {                                                                                              \
        return ((const struct dlq_k_##OP##_ops *)ops)->workspace_size(w, m, threads);              \
    }                                                                                              \
                                                                                                   \
    static int apply(const void *ops, const void *w, const struct dlq_k_linear_call *call)         \
    {                                                                                              \
        return ((const struct dlq_k_##OP##_ops *)ops)->apply(w, call);                             \
    }

#endif // DLQ_TESTS_KERNELS_CHECK_LAYER_H
