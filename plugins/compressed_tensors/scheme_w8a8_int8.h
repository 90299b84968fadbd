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

int32_t
ct_w8a8_process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                        const struct dlq_layer_info *info, struct dlq_error *err);

#endif // DLQ_CT_SCHEME_W8A8_INT8_H
