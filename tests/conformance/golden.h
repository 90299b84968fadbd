// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_GOLDEN_H
#define DLQ_TESTS_GOLDEN_H

#include "support.h"

#include <dlquant/dlquant.h>

#include <stdbool.h>

/// A checkpoint with recorded inputs and outputs of its layers (tests/data/jargon-llama/README.md).

/// One unfused layer of the recording.
struct golden_layer {
    char name[128];     ///< Path in the checkpoint
    int64_t m;          ///< Rows of x and y
    int64_t k;          ///< Inputs
    int64_t n;          ///< Outputs
    const void *x;      ///< [m, k] fp16
    const double *y;    ///< [m, n]: exact; for int8 the formula in fp32 before the last rounding
    const float *bias;  ///< [n], or NULL
    int32_t code_kind;  ///< enum dlq_code_kind of the recorded codes
    const float *coded; ///< [m, k] what the codes stand for, or NULL
    // int8 activations only, else NULL
    const int8_t *codes;  ///< [m, k]
    const float *scales;  ///< [m]
    const int32_t *zeros; ///< [m], or NULL: all 0
    const int32_t *acc;   ///< [m, n]
    // For the test, freed by golden_close()
    float *weight;  ///< [n, k] as the plugin reports it
    float *rows[3]; ///< [m, k] that a layer multiplies, for each dtype
};

struct golden {
    dlq_runtime *rt;
    dlq_checkpoint *ckpt;
    dlq_checkpoint *record;
    dlq_quant_config *config; ///< NULL: unquantized
    int32_t head_size;
    int32_t heads;
    int32_t kv_heads;
    uint32_t params_dtype;
    size_t n_layers;
    struct golden_layer layers[64];
};

/// Open `folder` (below tests/data) and its recording. Layers with other than int8 codes are left
/// out.
void
golden_open(struct golden *g, const char *folder, uint32_t params_dtype);

void
golden_close(struct golden *g);

/// The recorded layer of that path, or NULL.
struct golden_layer *
golden_find(struct golden *g, const char *name);

#endif // DLQ_TESTS_GOLDEN_H
