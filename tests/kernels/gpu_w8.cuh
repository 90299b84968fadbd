// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// What the checks and timings of the W8A8 kernels share.
#ifndef DLQ_TESTS_GPU_W8_CUH
#define DLQ_TESTS_GPU_W8_CUH

#include "kernels/cuda/w8.h"

#include <stdio.h>
#include <stdlib.h>

#define CUDA_OK(call)                                                                              \
    do {                                                                                           \
        const int rc_ = (int)(call);                                                               \
        if (rc_ != 0) {                                                                            \
            fprintf(stderr, "%s:%d: %s: %d %s\n", __FILE__, __LINE__, #call, rc_,                  \
                    rc_ > 0 ? cudaGetErrorString((cudaError_t)rc_) : "refused");                   \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

enum { GUARD = 4096 };

struct shape {
    int k;
    int n;
};

// Linear layers of an 8B and a 70B model (qkv, o, gate and up, down).
static const struct shape shapes[8] = {{4096, 6144},  {4096, 4096}, {4096, 28672}, {14336, 4096},
                                       {8192, 10240}, {8192, 8192}, {8192, 57344}, {28672, 8192}};

// How far outputs are from the definition.
struct verdict {
    unsigned long long wrong;     // int8: other bits than the formula; fp8: outside the bound
    unsigned long long unwritten; // poison left in the output
    unsigned long long outside;   // guard or padding overwritten
    double worst;                 // fp8: largest error beyond an ulp, in units of sum |x w|
    double limit;                 // fp8: largest that would have been accepted, in the same units
    double share;                 // fp8: largest error beyond an ulp, in units of its limit
    double err2;                  // sum of squared differences to the exact result
    double ref2;                  // sum of squares of the exact result
};

// Device buffers of one product.
struct problem {
    struct dlq_k_w8_gemm g;
    void *y_block; // GUARD bytes, y, GUARD bytes
    size_t y_bytes;
};

void
fill_codes(void *p, size_t bytes, bool f8, unsigned seed);
void
fill_floats(float *p, size_t count, float lo, float hi, unsigned seed);
void
fill_bf16(void *p, size_t count, unsigned seed);
void
poison(const struct problem *p);
struct verdict
judge(const struct problem *p, const void *w_rows, int64_t w_ld);
unsigned long long
digest(const struct problem *p);

// What timings use: operands of the largest product, weights in many copies.
struct bed {
    uint8_t *x, *w, *packed;
    uint8_t *y_block;
    float *x_scale, *w_scale;
    void *workspace;
    size_t w_bytes;
    cudaStream_t stream;
    cudaEvent_t from, to;
};

enum { MAX_M = 8192, MAX_N = 57344, MAX_K = 28672, WORKSPACE = 132 * 131072 };

// Enqueues one product with the weights `w`; 0 or an error.
typedef int (*w8_call)(void *context, const void *w, cudaStream_t stream);

// Median microseconds of one call; negative when it is refused.
float
time_calls(const struct bed *b, const struct problem *p, w8_call call, void *context,
           float budget_us, int replays);
void
pause_ms(int64_t m);

// The fastest of cuBLASLt's first choices for p; negative where it has none.
float
time_peer(const struct bed *b, const struct problem *p);

int
check_quantize(void);
int
check_gemm(bool quick);
int
bench(const char *out_path, bool tune, const char *only);

#endif
