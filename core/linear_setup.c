// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "linear_setup.h"

#include "error.h"
#include "known.h"
#include "linear_internal.h"
#include "params_shape.h"

#include <string.h>

// Flags that every kind understands.
#define COMMON_FLAGS                                                                               \
    (DLQ_LINEAR_BIAS | DLQ_LINEAR_SKIP_BIAS_ADD | DLQ_LINEAR_DISABLE_TP | DLQ_LINEAR_PLAN)

static const struct {
    const char *class_name;
    uint32_t flags;
    bool split;
} kinds[] = {
    [DLQ_REPLICATED] = {"ReplicatedLinear", 0, false},
    [DLQ_COLUMN] = {"ColumnParallelLinear", DLQ_LINEAR_GATHER_OUTPUT, true},
    [DLQ_ROW] = {"RowParallelLinear",
                 DLQ_LINEAR_INPUT_IS_FULL | DLQ_LINEAR_NO_REDUCE | DLQ_LINEAR_REDUCE_FP32, true},
    [DLQ_MERGED_COLUMN] = {"MergedColumnParallelLinear", DLQ_LINEAR_GATHER_OUTPUT, true},
    [DLQ_QKV] = {"QKVParallelLinear", 0, true},
};

static const char *const flag_names[] = {
    "bias",      "skip_bias_add", "gather_output", "input_is_full",
    "no_reduce", "reduce_fp32",   "disable_tp",    "plan",
};

static int32_t
check_flags(const struct dlq_linear_setup *s, struct dlq_error *err)
{
    const uint32_t wrong = s->desc.flags & ~(COMMON_FLAGS | kinds[s->kind].flags);
    if (wrong == 0) {
        return DLQ_OK;
    }
    const int bit = __builtin_ctz(wrong);
    const int known = bit < (int)(sizeof(flag_names) / sizeof(*flag_names));
    return dlq_fail(err, DLQ_EINVAL, "layer '%s': flag %d (%s) means nothing to a %s",
                    s->desc.prefix, bit, known ? flag_names[bit] : "unknown", s->class_name);
}

static int32_t
check_dtypes(struct dlq_linear_setup *s, struct dlq_error *err)
{
    const uint32_t act = s->desc.act_dtype;
    if (act != DLQ_F16 && act != DLQ_BF16 && act != DLQ_F32) {
        return dlq_fail(err, DLQ_EDTYPE,
                        "layer '%s': act_dtype: expected F16, BF16 or F32, found %s",
                        s->desc.prefix, dlq_param_dtype_text(act));
    }
    if (s->desc.params_dtype == DLQ_DTYPE_NONE) {
        s->desc.params_dtype = act;
    }
    return DLQ_OK;
}

// A kind that is not split is rank 0 of 1, whatever the group is.
static int32_t
take_group(struct dlq_linear_setup *s, struct dlq_error *err)
{
    s->coll = (struct dlq_collective){.struct_size = sizeof(s->coll), .size = 1};
    if (s->desc.collective) {
        const uint32_t need = DLQ_SIZE_UPTO(struct dlq_collective, barrier);
        if (s->desc.collective->struct_size < need) {
            return dlq_fail(err, DLQ_EINVAL,
                            "layer '%s': collective: expected a struct of %u bytes or more, found "
                            "%u",
                            s->desc.prefix, need, s->desc.collective->struct_size);
        }
        dlq_copy_known(&s->coll, sizeof(s->coll), s->desc.collective);
    }
    const struct dlq_collective *const c = &s->coll;
    const bool given = s->desc.tp_size > 0;
    const int32_t rank = given ? s->desc.tp_rank : c->rank;
    const int32_t size = given ? s->desc.tp_size : c->size;
    if (size < 1 || size > DLQ_MAX_RANKS || rank < 0 || rank >= size || s->desc.tp_size < 0) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer '%s': tensor parallelism: rank %d of %d is outside 0 to size - 1 "
                        "with a size of 1 to %d",
                        s->desc.prefix, rank, s->desc.tp_size < 0 ? s->desc.tp_size : size,
                        DLQ_MAX_RANKS);
    }
    const bool split = kinds[s->kind].split && !(s->desc.flags & DLQ_LINEAR_DISABLE_TP);
    s->rank = split ? rank : 0;
    s->ranks = split ? size : 1;
    return DLQ_OK;
}

// Equal shares are a partition too, but need not have units.
static int32_t
take_partition(struct dlq_linear_setup *s, struct dlq_error *err)
{
    const struct dlq_partition *const p = s->desc.partition;
    if (!p || s->ranks == 1) {
        return DLQ_OK;
    }
    const uint32_t need = DLQ_SIZE_UPTO(struct dlq_partition, bounds);
    if (p->struct_size < need || !p->bounds || p->ranks != s->ranks) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer '%s': partition: expected a struct of %u bytes or more with bounds "
                        "of %d ranks, found %u bytes and %d ranks",
                        s->desc.prefix, need, s->ranks, p->struct_size, p->ranks);
    }
    for (int32_t r = 0; r < s->ranks; ++r) {
        const int64_t first = p->bounds[r];
        if ((r == 0 && first != 0) || p->bounds[r + 1] <= first || p->bounds[r + 1] > INT32_MAX) {
            return dlq_fail(err, DLQ_ESHAPE,
                            "layer '%s': partition: rank %d of %d has the units %lld to %lld, "
                            "expected one or more from 0 upwards",
                            s->desc.prefix, r, s->ranks, (long long)first,
                            (long long)p->bounds[r + 1]);
        }
    }
    s->bounds = p->bounds;
    return DLQ_OK;
}

// Ranks that have to talk need a group of just their number.
static int32_t
check_communication(const struct dlq_linear_setup *s, struct dlq_error *err)
{
    const uint32_t flags = s->desc.flags;
    const bool talks = s->kind == DLQ_ROW ? !(flags & DLQ_LINEAR_NO_REDUCE)
                                          : (flags & DLQ_LINEAR_GATHER_OUTPUT) != 0;
    if (!talks || s->ranks == 1 || (flags & DLQ_LINEAR_PLAN) ||
        (s->coll.size == s->ranks && s->coll.rank == s->rank)) {
        return DLQ_OK;
    }
    return dlq_fail(err, DLQ_EINVAL,
                    "layer '%s': %s as rank %d of %d needs a collective of that rank and size, "
                    "found rank %d of %d",
                    s->desc.prefix,
                    s->kind == DLQ_ROW ? "summing the outputs" : "gathering the outputs", s->rank,
                    s->ranks, s->coll.rank, s->coll.size);
}

int32_t
dlq_linear_begin(dlq_runtime *rt, const struct dlq_linear_desc *desc, int32_t kind,
                 struct dlq_linear_setup *setup, struct dlq_error *err)
{
    const uint32_t size = DLQ_SIZE_UPTO(struct dlq_linear_desc, evidence);
    if (!rt || !desc || desc->struct_size < size) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer: expected a runtime and a descriptor of %u bytes or more, found %u",
                        size, desc ? desc->struct_size : 0);
    }
    *setup =
        (struct dlq_linear_setup){.rt = rt, .kind = kind, .class_name = kinds[kind].class_name};
    struct dlq_linear_desc *const d = &setup->desc;
    dlq_copy_known(d, sizeof(*d), desc);
    d->prefix = d->prefix ? d->prefix : "";
    if (d->device.kind == 0) {
        d->device = (struct dlq_device){.kind = DLQ_DEVICE_CPU};
    }
    if (d->input_size <= 0) {
        return dlq_fail(err, DLQ_ESHAPE, "layer '%s': input_size: expected above 0, found %lld",
                        d->prefix, (long long)d->input_size);
    }
    int32_t rc = check_flags(setup, err);
    if (rc == DLQ_OK) {
        rc = check_dtypes(setup, err);
    }
    if (rc == DLQ_OK) {
        rc = take_group(setup, err);
    }
    if (rc == DLQ_OK) {
        rc = take_partition(setup, err);
    }
    if (rc == DLQ_OK) {
        rc = check_communication(setup, err);
    }
    return rc;
}

int32_t
dlq_linear_sum_outputs(const struct dlq_linear_setup *setup, const int64_t *sizes, int32_t n,
                       int64_t *sum, struct dlq_error *err)
{
    const struct dlq_linear_desc *const d = &setup->desc;
    *sum = 0;
    for (int32_t i = 0; i < n; ++i) {
        if (sizes[i] <= 0 || __builtin_add_overflow(*sum, sizes[i], sum)) {
            return dlq_fail(err, DLQ_ESHAPE,
                            "layer '%s': outputs of part '%d': expected above 0 with a sum that "
                            "fits 63 bits, found %lld",
                            d->prefix, i, (long long)sizes[i]);
        }
    }
    int64_t weights;
    if (__builtin_mul_overflow(d->input_size, *sum, &weights) || weights > DLQ_MAX_WEIGHTS) {
        return dlq_fail(err, DLQ_EOVERFLOW,
                        "layer '%s': K %lld and N %lld: expected at most 2^48 weights", d->prefix,
                        (long long)d->input_size, (long long)*sum);
    }
    return DLQ_OK;
}

int32_t
dlq_linear_take_sizes(struct dlq_linear_setup *setup, struct dlq_error *err)
{
    const struct dlq_linear_desc *const d = &setup->desc;
    if (d->n_output_sizes < 0 || (d->n_output_sizes > 0) != (d->output_sizes != NULL)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "layer '%s': output_sizes: expected n_output_sizes of them, found %d",
                        d->prefix, d->n_output_sizes);
    }
    setup->sizes = d->n_output_sizes > 0 ? d->output_sizes : &d->output_size;
    setup->n_parts = d->n_output_sizes > 0 ? d->n_output_sizes : 1;
    int64_t sum;
    const int32_t rc = dlq_linear_sum_outputs(setup, setup->sizes, setup->n_parts, &sum, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    if (d->output_size != 0 && d->output_size != sum) {
        return dlq_fail(err, DLQ_ESHAPE,
                        "layer '%s': output_size: expected %lld, the sum of its %d parts, found "
                        "%lld",
                        d->prefix, (long long)sum, setup->n_parts, (long long)d->output_size);
    }
    return DLQ_OK;
}

int32_t
dlq_linear_create_sized(dlq_runtime *rt, const struct dlq_linear_desc *desc, int32_t kind,
                        dlq_linear **out, struct dlq_error *err)
{
    struct dlq_linear_setup setup;
    int32_t rc = dlq_linear_begin(rt, desc, kind, &setup, err);
    if (rc == DLQ_OK) {
        rc = dlq_linear_take_sizes(&setup, err);
    }
    return rc == DLQ_OK ? dlq_linear_finish(&setup, out, err) : rc;
}
