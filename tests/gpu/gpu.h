// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_GPU_H
#define DLQ_TESTS_GPU_H

#include <dlquant/dlquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// gpu_core and gpu_load: the module of CUDA and the layers of the core on a real GPU.

/// What every part of the program has.
struct gpu_world {
    dlq_runtime *rt;
    struct dlq_device device;
};

/// The first GPU.
extern const struct dlq_device gpu_first;

/// Whether there is a GPU; else says that all is skipped.
bool
gpu_is_there(void);

/// A runtime with `n_threads` threads (0: all), whose plugins and modules come from
/// DLQ_PLUGIN_PATH; ends the program when there is none.
void
gpu_begin(struct gpu_world *w, int32_t n_threads);

void
gpu_end(struct gpu_world *w);

/// Seconds of a clock that never jumps.
double
gpu_seconds(void);

/// Sorts and gives the middle one.
double
gpu_median(double *v, int n);

/// Bytes a second from pinned memory to the device: the ceiling of uploads.
double
gpu_pinned_rate(void);

/// Bytes of device memory that are in use, by anybody.
size_t
gpu_memory_used(void);

/// The module's functions against what they promise, as TAP. Returns how many failed.
int
gpu_check(struct gpu_world *w);

/// Rates of uploads next to that of pinned memory, on standard output.
int
gpu_rates(void);

/// What dlq_linear_apply() adds to its method's launches. Returns 1 when it is above `limit` us.
int
gpu_apply_cost(double limit);

#endif // DLQ_TESTS_GPU_H
