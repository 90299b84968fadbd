// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CT_SCHEME_WNA16_H
#define DLQ_CT_SCHEME_WNA16_H

#include "../../kernels/linear_w8a8.h"
#include "../../kernels/linear_wna16.h"
#include "../../kernels/pack/bits.h"
#include "../common/groups.h"
#include "ct.h"

/// What the files of the wna16 scheme share.

struct ct_wna16 {
    struct ct_layer base;
    struct dlq_groups groups;
    enum dlq_bits_layout layout; ///< Of packed codes
    uint32_t scale_dtype;        ///< As the checkpoint stores scales, so that none is rounded
    bool act_order;
    bool idle_zeros;           ///< Symmetric, and zero points are stored all the same: all 0
    struct dlq_k_wna16 weight; ///< data is NULL before process_weights()
    struct dlq_k_wna16_ops ops;
    enum dlq_k_wna16_arithmetic arithmetic;
    struct dlq_k_w8a8 quantizer; ///< Of int8 activations: never packed, it only shows their codes
};

static inline const struct ct_args *
ct_wna16_args(const struct ct_layer *l)
{
    return &l->group->weights;
}

static inline bool
ct_wna16_has_zeros(const struct ct_wna16 *s)
{
    return !ct_wna16_args(&s->base)->symmetric || s->idle_zeros;
}

/// Choose the packed form; dlq_k_wna16_plan() says what goes wrong.
int
ct_wna16_plan(const struct ct_wna16 *s, const struct dlq_layer_info *info, const int32_t *g_idx,
              struct dlq_k_wna16 *weight, int64_t *bad);

/// The loaded tensors, and what had to be made of them.
struct ct_wna16_loaded {
    struct dlq_tensor codes;
    struct dlq_tensor scales;
    struct dlq_tensor zeros;
    struct dlq_tensor g_idx;
    void *wide_scales; ///< Per-tensor scales, one an output; freed by ct_wna16_process()
    uint8_t *wide_zeros;
};

/// Make of the tensors, in host memory, what packers take: unsigned codes, a known layout, one
/// scale an output.
int32_t
ct_wna16_convert(struct ct_wna16 *s, const struct dlq_host *host, const struct dlq_layer_info *info,
                 struct ct_wna16_loaded *in, struct dlq_error *err);

/// The tensors as packers take them.
struct dlq_k_wna16_source
ct_wna16_source(const struct ct_wna16 *s, const struct ct_wna16_loaded *in);

/// From loaded tensors to the packed form in the place of the codes.
typedef int32_t (*ct_wna16_pack_fn)(struct ct_wna16 *s, const struct dlq_host *host,
                                    struct dlq_layer *layer, const struct dlq_layer_info *info,
                                    struct ct_wna16_loaded *in, struct dlq_error *err);

/// Pack with `pack` and drop what is then not needed.
int32_t
ct_wna16_process(struct ct_wna16 *s, const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, ct_wna16_pack_fn pack, struct dlq_error *err);

int32_t
ct_wna16_process_weights(struct ct_layer *l, const struct dlq_host *host, struct dlq_layer *layer,
                         const struct dlq_layer_info *info, struct dlq_error *err);

extern const struct ct_scheme_ops ct_scheme_wna16_gpu;
extern const struct ct_scheme_ops ct_scheme_wna8_gpu;

#endif // DLQ_CT_SCHEME_WNA16_H
