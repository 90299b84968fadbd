// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_SCHEME_FP_H
#define DLQ_CT_SCHEME_FP_H

#include "../../kernels/linear_fp.h"
#include "../common/groups.h"
#include "ct.h"

/// What the files of the fp scheme share.

struct ct_fp {
    struct ct_layer base;
    struct dlq_groups groups;    ///< Of group strategies
    int64_t block[2];            ///< Of strategy block: outputs, inputs; no part or rank cuts one
    enum dlq_bits_layout layout; ///< Of packed integers
    enum dlq_k_fp_activation activation;
    int64_t act_offset; ///< Inputs of the first group of activations that lie on the rank before
    struct dlq_k_fp weight; ///< data is NULL before process_weights()
    struct dlq_k_fp_ops ops;
};

static inline const struct ct_args *
ct_fp_weights(const struct ct_fp *s)
{
    return &s->base.group->weights;
}

static inline bool
ct_fp_is_integer(const struct ct_fp *s)
{
    return ct_fp_weights(s)->type == CT_INT;
}

static inline bool
ct_fp_has_global(const struct ct_fp *s)
{
    return ct_fp_weights(s)->strategy == CT_TENSOR_GROUP;
}

/// Name of the one scale of static activations, or NULL.
const char *
ct_fp_input_name(const struct ct_fp *s);

/// Choose the packed form; `act_scale` is that of static activations, which changes no sizes.
int
ct_fp_plan(const struct ct_fp *s, const struct dlq_layer_info *info, float act_scale,
           struct dlq_k_fp *weight);

/// What packing needs beside codes and scales; arrays are in host memory.
struct ct_fp_inputs {
    float *scales;  ///< Per-tensor scales, one an output; NULL: the parameter itself
    float *factors; ///< One an output, or NULL
    float act_scale;
};

/// From loaded tensors to the packed form in the place of the codes.
typedef int32_t (*ct_fp_pack_fn)(struct ct_fp *s, const struct dlq_host *host,
                                 struct dlq_layer *layer, const struct dlq_layer_info *info,
                                 const struct dlq_tensor *codes, const struct dlq_tensor *scales,
                                 const struct ct_fp_inputs *in, struct dlq_error *err);

/// Pack with `pack` and drop what is then not needed.
int32_t
ct_fp_process(struct ct_fp *s, const struct dlq_host *host, struct dlq_layer *layer,
              const struct dlq_layer_info *info, ct_fp_pack_fn pack, struct dlq_error *err);

int32_t
ct_fp_process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                      const struct dlq_layer_info *info, struct dlq_error *err);

extern const struct ct_scheme_ops ct_scheme_fp_gpu;

// scheme_fp_codes.c

int32_t
ct_fp_code_kind(const struct ct_layer *l, int64_t *scales_per_row);
int32_t
ct_fp_quantize(const struct ct_layer *l, const struct dlq_host *host,
               const struct dlq_layer_info *info, const void *x, int64_t m, void *codes,
               float *scales, int32_t *zero_points, struct dlq_error *err);
extern const struct ct_split_ops ct_fp_split;

#endif // DLQ_CT_SCHEME_FP_H
