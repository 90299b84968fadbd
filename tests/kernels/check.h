// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_KERNELS_CHECK_H
#define DLQ_TESTS_KERNELS_CHECK_H

#include "linear_call.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/// The harness of the CPU kernels: one program that checks every operation at every level the
/// machine has, and measures them with --bench. An operation is one file, check_<op>.c.

/// A set of instructions to test, weakest first.
struct check_level {
    const char *name;
    uint32_t flags; ///< What dlq_k_*_init gets
};

extern const struct check_level check_levels[];
extern const int check_n_levels;

/// Whether this machine has a level; counts a skip by name when it does not.
bool
check_have_level(const struct check_level *level);

/// Records a passed or failed expectation; prints failures, up to a limit. Returns `ok`.
bool
check_that(bool ok, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/// Seeded generator: the same numbers on every machine.
struct check_rng {
    uint64_t state;
};

uint32_t
check_random(struct check_rng *rng);

/// Uniform in [0, 1).
double
check_uniform(struct check_rng *rng);

/// Normal with mean 0 and deviation 1.
double
check_gaussian(struct check_rng *rng);

/// How rows of x are made.
enum check_data {
    CHECK_GAUSSIAN = 0,
    CHECK_OUTLIERS_20,  ///< 1 % of the channels times 20
    CHECK_OUTLIERS_100, ///< 0.1 % of the channels (at least one) times 100
    CHECK_SMALL_INTS    ///< -1, 0, 1
};

/// Fills x[m, stride] with rounded values of `dtype`; padding columns become NaN.
void
check_fill_x(struct check_rng *rng, enum check_data data, uint32_t dtype, void *x, int64_t m,
             int64_t k, int64_t stride);

/// Memory between guard bands, filled with poison (NaN in every format), 64-byte aligned plus
/// `offset`.
void *
check_alloc(int64_t bytes, int64_t offset);

/// Frees, and fails the check when a guard band changed.
void
check_free(void *p);

/// Threads: a persistent pool that spins briefly and then sleeps. With -n the calling thread runs
/// what n threads would, one task after the other.
const struct dlq_k_parallel *
check_threads(int n);

/// The one table of tolerances: ||y - y64|| / ||y64|| by what a kernel does with x and by dtype of
/// y.
enum check_class {
    CHECK_EXACT = 0, ///< fp32 or better sums of exact weights
    CHECK_LIMBS,     ///< 16-bit fixed point activations
    CHECK_INT8,      ///< 8-bit fixed point activations, per group
    CHECK_BF16_DOT,  ///< bf16 dot products that flush subnormals, fp32 sums
    CHECK_FORMULA    ///< integer sums: at most 1 ulp from the formula
};

/// One output element with what its bound needs.
struct check_element {
    double y64;         ///< Truth
    double abs_sum;     ///< sum_k |x w| + |bias|
    double weight_norm; ///< sqrt(sum_k w^2)
    double x_max;       ///< max_k |x|
};

/// Running comparison of one product.
struct check_compare {
    enum check_class class;
    uint32_t dtype;
    int64_t k;
    double err2;
    double ref2;
    double worst; ///< Largest error in units of the element's bound
};

void
check_compare_add(struct check_compare *compare, const struct check_element *element, double y);

/// Whether norm and elements meet the bounds. `error` gets the ratio of norms.
bool
check_compare_ok(const struct check_compare *compare, double *error);

/// Spacing of floats of a dtype at |v|.
double
check_ulp(uint32_t dtype, double v);

const char *
check_dtype_name(uint32_t dtype);

/// Operations: each checks all levels; bench_* measure when --bench is given.
void
check_float16(void);
void
check_grid(void);
void
check_pack(void);
void
check_w4(void);
void
check_wna16(void);
void
check_dense(void);
void
check_fp(void);
void
check_w8a8(void);

#endif // DLQ_TESTS_KERNELS_CHECK_H
