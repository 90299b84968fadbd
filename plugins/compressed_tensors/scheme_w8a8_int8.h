// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_SCHEME_W8A8_INT8_H
#define DLQ_CT_SCHEME_W8A8_INT8_H

#include "../../kernels/linear_w8a8.h"
#include "ct.h"

/// What the files of the int8 scheme share.

struct ct_w8a8 {
    struct ct_layer base;
    enum dlq_bits_layout layout; ///< Of packed codes
    enum dlq_k_w8a8_activation activation;
    uint32_t zero_dtype;      ///< Of input_zero_point
    bool idle_zeros;          ///< Symmetric weights with zero points stored all the same: all 0
    bool idle_input_zero;     ///< The same for activations
    struct dlq_k_w8a8 weight; ///< data is NULL before process_weights()
    struct dlq_k_w8a8_ops ops;
};

static inline const struct ct_args *
ct_w8a8_weights(const struct ct_w8a8 *s)
{
    return &s->base.group->weights;
}

static inline bool
ct_w8a8_is_static(const struct ct_w8a8 *s)
{
    return s->base.group->input.dynamic == CT_STATIC;
}

static inline bool
ct_w8a8_has_zeros(const struct ct_w8a8 *s)
{
    return !ct_w8a8_weights(s)->symmetric || s->idle_zeros;
}

static inline bool
ct_w8a8_has_input_zero(const struct ct_w8a8 *s)
{
    return ct_w8a8_is_static(s) && (!s->base.group->input.symmetric || s->idle_input_zero);
}

/// What packing needs beside the codes, in host memory, one value an output.
struct ct_w8a8_inputs {
    float *scales;
    int32_t *zeros; ///< All 0 where the weights are symmetric
    float input_scale;
    int32_t input_zero;
};

/// From loaded tensors to the packed form in the place of the codes.
typedef int32_t (*ct_w8a8_pack_fn)(struct ct_w8a8 *s, const struct dlq_host *host,
                                   struct dlq_layer *layer, const struct dlq_layer_info *info,
                                   const struct dlq_tensor *codes, const struct ct_w8a8_inputs *in,
                                   struct dlq_error *err);

/// Pack with `pack` and drop what is then not needed.
int32_t
ct_w8a8_process(struct ct_w8a8 *s, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, ct_w8a8_pack_fn pack, struct dlq_error *err);

int32_t
ct_w8a8_process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                        const struct dlq_layer_info *info, struct dlq_error *err);

extern const struct ct_scheme_ops ct_scheme_w8a8_gpu;

#endif // DLQ_CT_SCHEME_W8A8_INT8_H
