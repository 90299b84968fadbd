// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Between the launcher of the Marlin-layout product and its kernels, one file an activation type.
#ifndef DLQ_KERNELS_CUDA_SM80_MARLIN_H
#define DLQ_KERNELS_CUDA_SM80_MARLIN_H

#include <cuda_runtime_api.h>
#include <stdint.h>

// n / by for n below 2^31, as (n * multiplier >> 32) >> shift; multiplier 0: by is 1.
struct sm80_marlin_divisor {
    int by;
    uint32_t multiplier;
    int shift;
};

struct sm80_marlin_args {
    const char *weights;
    const uint16_t *scales;
    const uint32_t *zeros; // NULL: symmetric codes
    const uint16_t *x;
    int64_t ldx;
    uint16_t *y;
    int64_t ldy;
    const float *bias;
    float4 *partial;
    unsigned long long *counters;
    int m, n, k;
    int n_padded;
    int group_shift; // log2 of the group; 31: one group a column
    struct sm80_marlin_divisor m_tiles, iters;
    int stages;
    // The first sk_tiles tiles are cut along k into sk_ctas runs, a run a CTA; before it every CTA
    // does dp_each whole ones of the others. Groups of CTAs share `span` stages, of one tile or, in
    // one group, of all: each has a run of `run` stages, the first longer_runs of them one more.
    int sk_tiles, sk_ctas, dp_each;
    struct sm80_marlin_divisor group, span, run, longer_run;
    int longer_runs;
    int pdl;
    int wide; // y can be written eight values at a time
};

#ifdef __cplusplus
extern "C" {
#endif

// `tile` counts from 0.
int
sm80_marlin_launch_f16(const struct sm80_marlin_args *args, int tile, int bits, int grid,
                       cudaStream_t stream);
int
sm80_marlin_launch_bf16(const struct sm80_marlin_args *args, int tile, int bits, int grid,
                        cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
