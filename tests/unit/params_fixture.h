// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_PARAMS_FIXTURE_H
#define DLQ_TESTS_PARAMS_FIXTURE_H

#include "support.h"

#include "params.h"

#include <dlquant/plugin.h>

#include <stdbool.h>

/// A layer's sizes on one rank, and its parameters in memory of the test.
struct params_fixture {
    struct dlq_layer_info info;
    struct dlq_part parts[3];
    const struct dlq_part *part_ptrs[3];
    int64_t bounds[9];
    struct dlq_params params;
    struct dlq_error err;
    long uploads;
    long tasks; ///< That were given to threads
};

/// Cut `k` inputs when `split_k`, else the outputs, over ranks; an empty set of parameters.
void
params_begin(struct params_fixture *f, int64_t k, bool split_k, const int64_t *sizes,
             int32_t n_parts, int32_t rank, int32_t ranks);

/// Free everything.
void
params_end(struct params_fixture *f);

/// A descriptor of [rows, cols] that follows outputs, then inputs.
struct dlq_param_desc
params_describe(const char *name, uint32_t dtype, int64_t rows, int64_t cols);

/// A row-major tensor of 0, 1 (`cols`) or 2 dimensions.
struct dlq_tensor
params_tensor(uint32_t dtype, int32_t ndim, int64_t rows, int64_t cols, const void *data);

/// dlq_params_declare() with the parts of the layer.
int32_t
params_declare(struct params_fixture *f, const struct dlq_param_desc *desc);

/// Load a tensor that holds parts `first` to `last`.
int32_t
params_load(struct params_fixture *f, const char *name, int32_t first, int32_t last,
            const struct dlq_tensor *t);

/// Storage of a parameter; fails the test when it has none.
const void *
params_data(struct params_fixture *f, const char *name);

/// 0, 1, 2, ...
void
params_count_up(int32_t *values, int32_t n);

/// Words of 8 codes along the outputs, which come second; blocks along the inputs.
struct dlq_param_desc
params_describe_awq(const char *name, int64_t k, int64_t words, int64_t block, int64_t ckpt_block);

/// One output of 3-bit codes, 32 of them in 3 words, along the inputs.
struct dlq_param_desc
params_describe_3bit(int64_t words);

/// Words of codes of `bits` bits along dimension `dim`, which may be cut inside words; `padded`: no
/// code lies in two.
struct dlq_param_desc
params_describe_bits(int64_t rows, int64_t cols, int32_t dim, int32_t bits, bool padded);

/// A number a part.
struct dlq_param_desc
params_describe_slots(int32_t n, uint32_t flags);

/// One dimension that follows nothing.
struct dlq_param_desc
params_describe_vector(const char *name, uint32_t dtype, int64_t n, uint32_t flags);

#endif // DLQ_TESTS_PARAMS_FIXTURE_H
