// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_CONVERT_H
#define DLQ_TOOLS_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Values of stored elements, and seeded inputs.

/// Element `i` of unaligned little-endian data; false for a dtype that holds no plain numbers.
bool
tool_element(const void *data, uint32_t dtype, int64_t i, double *out);

/// Bytes of an activation of `dtype`.
size_t
tool_act_size(uint32_t dtype);

/// Round `n` floats to `dtype`.
void
tool_to_act(void *out, uint32_t dtype, const float *in, int64_t n);

/// The values of `n` activations.
void
tool_from_act(float *out, uint32_t dtype, const void *in, int64_t n);

/// Fill [m, k] with the same numbers for the same seed text on every machine: bell-shaped, standard
/// deviation 1; in the last of several rows 1 % of the columns are 20 times as large, as
/// activations of real models are.
void
tool_fill_inputs(float *x, int64_t m, int64_t k, const char *seed);

/// Fill x with -1, 0 and 1 from a seed.
void
tool_fill_integers(float *x, int64_t count, const char *seed);

#endif // DLQ_TOOLS_CONVERT_H
