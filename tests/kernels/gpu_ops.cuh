// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What the checks of whole operations (kernels/gpu_<op>.h) share: one layer's calls on the device,
// with everything about them that does not depend on the operation.
#ifndef DLQ_TESTS_KERNELS_GPU_OPS_CUH
#define DLQ_TESTS_KERNELS_GPU_OPS_CUH

extern "C" {
#include "kernels/float16.h"
#include "kernels/gpu_call.h"
}

#include "gpu_harness.cuh"

#include <stdarg.h>

namespace ops
{

// Counts a check; prints what failed.
void
check(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct tally {
    int passed, failed, skipped;
};
extern tally counts;

struct dlq_kg_device
device_info(void);

const char *
dtype_name(uint32_t dtype);

// Uniform in [0, 2^32), and roughly normal.
uint32_t
random_word(uint64_t *state);
float
random_normal(uint64_t *state);

// Spacing of the numbers of a type at v.
double
ulp(uint32_t dtype, double v);

// The shape of one call and how its operands lie.
struct layout {
    int64_t m, k, n;
    uint32_t act;
    bool bias;
    bool odd; // rows that do not follow each other, pointers and pitches that nothing wide divides
};

// Rows of x that are not random: the first of several is zero; the last of several may hold a NaN
// or an infinity.
enum bad_row { CLEAN, WITH_NAN, WITH_INF };

// What the operation is, for one prepared layer.
struct layer {
    const void *w;
    size_t (*workspace_size)(const void *w, int64_t m);
    int (*apply)(const void *w, const struct dlq_kg_call *call);
    bool rows_depend; // a NaN in a row shows in all, by definition
    // Before the first call, whose pointers are those of all; or NULL.
    void (*begin)(const void *w, const struct dlq_kg_call *call) = nullptr;
};

// x [m, k] with values of `act`, as fp32.
void
fill_x(float *x, const layout &l, uint64_t seed);
void
fill_bias(float *bias, const layout &l, uint64_t seed);

// Runs y = layer(x) in every way that must not matter, and compares: poisoned outputs twice, guards
// around y and the workspace, a captured graph, a NaN and an infinity in the last row. y [m, n]
// gets the result. False when apply failed.
bool
run_layer(const layer &op, const layout &l, const float *x, const float *bias, float *y,
          const char *what);

void
check_dense(void);
// Of all shapes, or of one with many turns: "4096x28672".
void
bench_dense(const char *only);
void
check_w8a8(void);
void
check_fp(void);
void
bench_quantized(void);
void
check_grouped(void);
void
check_wide(void);
// Kinds whose name begins with `only`, or all with NULL; `plans`: each one too.
void
bench_grouped(const char *only, bool plans);
void
check_wna16(void);
void
bench_wna16(void);
// That no layer's apply takes more than `limit` microseconds beyond its launches; prints each.
void
check_host(double limit);
void
check_host_dense(double limit);
// The fastest of some turns that a thread takes to enqueue a call, and what is within it alone.
void
check_host_time(harness_call call, harness_call alone, void *context, cudaStream_t stream,
                const char *what, double limit);

} // namespace ops

#endif
