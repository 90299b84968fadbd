// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_shape.h"

#include "error.h"
#include "known.h"
#include "params_bits.h"
#include "shard.h"

#include <stdio.h>
#include <string.h>

static int32_t
fail_desc(const struct dlq_layer_info *info, const struct dlq_param_desc *desc, const char *why,
          struct dlq_error *err)
{
    return dlq_fail(err, DLQ_EPLUGIN, "layer '%s': parameter '%s': %s", info->prefix, desc->name,
                    why);
}

static int
is_dim(int32_t dim, int32_t ndim)
{
    return dim >= -1 && dim < ndim;
}

// Bytes may not overflow 64 bits, and sizes not the 63 that pointer arithmetic has.
static int32_t
check_bytes(const struct dlq_layer_info *info, const struct dlq_param_desc *desc,
            struct dlq_error *err)
{
    int64_t bytes = DLQ_DTYPE_BITS(desc->dtype) / 8;
    for (int32_t d = 0; d < desc->ndim; ++d) {
        if (desc->shape[d] < 0) {
            return fail_desc(info, desc, "a dimension is negative", err);
        }
        if (dlq_shard_mul(bytes, desc->shape[d], &bytes) != DLQ_OK) {
            char shape[128];
            dlq_param_shape_text(desc->ndim, desc->shape, shape, sizeof(shape));
            return dlq_fail(err, DLQ_EOVERFLOW,
                            "layer '%s': parameter '%s': the bytes of %s %s overflow 64 bits",
                            info->prefix, desc->name, shape, dlq_param_dtype_text(desc->dtype));
        }
    }
    return DLQ_OK;
}

static int32_t
check_packing(const struct dlq_layer_info *info, struct dlq_param_desc *d, struct dlq_error *err)
{
    for (int32_t i = 0; i < DLQ_MAX_DIMS; ++i) {
        if (d->block[i] < 0 || d->ckpt_block[i] < 0) {
            return fail_desc(info, d, "a block is negative", err);
        }
        d->block[i] = d->block[i] ? d->block[i] : 1;
        d->ckpt_block[i] = d->ckpt_block[i] ? d->ckpt_block[i] : d->block[i];
        if (d->ckpt_block[i] % d->block[i] != 0) {
            return fail_desc(info, d, "block does not divide ckpt_block", err);
        }
    }
    if (d->tile < 0 || d->pack_num < 0 || d->pack_den < 0) {
        return fail_desc(info, d, "tile, pack_num or pack_den is negative", err);
    }
    d->tile = d->tile ? d->tile : 1;
    d->pack_num = d->pack_num ? d->pack_num : 1;
    d->pack_den = d->pack_den ? d->pack_den : 1;
    if (d->packed_dim < 0 && d->pack_num != d->pack_den) {
        return fail_desc(info, d, "a pack ratio needs a packed_dim", err);
    }
    if (d->pack_num < d->pack_den) {
        return fail_desc(info, d, "a word holds less than one element", err);
    }
    if (d->packed_dim >= 0 && d->ckpt_block[d->packed_dim] != d->block[d->packed_dim]) {
        return fail_desc(info, d, "a packed dimension cannot be refined", err);
    }
    const char *const wrong = dlq_param_bits_normalize(d);
    return wrong ? fail_desc(info, d, wrong, err) : DLQ_OK;
}

static int32_t
check_parts(const struct dlq_layer_info *info, const struct dlq_param_desc *d,
            struct dlq_error *err)
{
    const int replicated = (d->flags & DLQ_PARAM_REPLICATED) != 0;
    if (d->slot_count != 0) {
        if (d->slot_count != info->n_parts || d->ndim < 1 || d->shape[0] != d->slot_count) {
            return dlq_fail(err, DLQ_EPLUGIN,
                            "layer '%s': parameter '%s': %d slots and a first dimension of %lld, "
                            "where the layer has %d parts",
                            info->prefix, d->name, d->slot_count,
                            (long long)(d->ndim > 0 ? d->shape[0] : 0), info->n_parts);
        }
        if (replicated || d->output_dim >= 0 || d->input_dim >= 0) {
            return fail_desc(info, d, "slots are neither sharded nor replicated", err);
        }
    } else if (replicated && d->output_dim >= 0) {
        return fail_desc(info, d, "a replicated parameter cannot follow the outputs", err);
    } else if (!replicated && d->output_dim < 0 && info->n_parts > 1) {
        return dlq_fail(err, DLQ_EPLUGIN,
                        "layer '%s': parameter '%s': the layer has %d parts, so it needs an "
                        "output_dim, slots or DLQ_PARAM_REPLICATED",
                        info->prefix, d->name, info->n_parts);
    }
    return DLQ_OK;
}

int32_t
dlq_param_normalize(const struct dlq_layer_info *info, const struct dlq_param_desc *desc,
                    struct dlq_param_desc *out, struct dlq_error *err)
{
    if (!desc || desc->struct_size < DLQ_SIZE_UPTO(struct dlq_param_desc, fill) || !desc->name ||
        desc->name[0] == '\0') {
        return dlq_fail(err, DLQ_EPLUGIN,
                        "layer '%s': a parameter was declared without a name or with a descriptor "
                        "of %u bytes, expected %u",
                        info->prefix, desc ? desc->struct_size : 0,
                        DLQ_SIZE_UPTO(struct dlq_param_desc, fill));
    }
    dlq_copy_known(out, sizeof(*out), desc);
    out->struct_size = DLQ_SIZE_UPTO(struct dlq_param_desc, fill);
    const uint32_t bits = DLQ_DTYPE_BITS(desc->dtype);
    if (bits == 0 || bits % 8 != 0) {
        return dlq_fail(err, DLQ_EDTYPE,
                        "layer '%s': parameter '%s': storage of %u-bit elements is expected in "
                        "bytes or words with a packed_dim",
                        info->prefix, desc->name, bits);
    }
    if (desc->ndim < 0 || desc->ndim > DLQ_MAX_DIMS || !is_dim(desc->output_dim, desc->ndim) ||
        !is_dim(desc->input_dim, desc->ndim) || !is_dim(desc->packed_dim, desc->ndim) ||
        (desc->output_dim >= 0 && desc->output_dim == desc->input_dim)) {
        return dlq_fail(err, DLQ_EPLUGIN,
                        "layer '%s': parameter '%s': dimensions output %d, input %d, packed %d do "
                        "not fit %d dimensions",
                        info->prefix, desc->name, desc->output_dim, desc->input_dim,
                        desc->packed_dim, desc->ndim);
    }
    int32_t rc = check_bytes(info, out, err);
    if (rc == DLQ_OK) {
        rc = check_packing(info, out, err);
    }
    if (rc == DLQ_OK) {
        rc = check_parts(info, out, err);
    }
    return rc;
}

// Tiles multiply the dimension that is packed; without packing, the one that follows the outputs.
static struct dlq_shard_unit
unit_along(const struct dlq_param_desc *d, int32_t dim, int64_t block)
{
    const int32_t tiled = d->packed_dim >= 0 ? d->packed_dim : d->output_dim;
    const bool words = dim == d->packed_dim && !dlq_param_bits_along(d, dim);
    return (struct dlq_shard_unit){
        .block = block,
        .num = words ? d->pack_num : 1,
        .den = words ? d->pack_den : 1,
        .tile = dim == tiled ? d->tile : 1,
    };
}

static int32_t
make_run(const struct dlq_param_desc *d, int32_t dim, const struct dlq_part *part,
         int64_t local_total, struct dlq_param_run *run)
{
    const struct dlq_shard_unit local = unit_along(d, dim, d->block[dim]);
    const struct dlq_shard_unit disk = unit_along(d, dim, d->ckpt_block[dim]);
    int64_t len;
    int32_t rc = dlq_shard_span(&local, part->local_offset, part->local_size, local_total,
                                &run->dst, &run->len);
    // Where both begin and end between words, or at the end of all, they are equally long.
    if (rc == DLQ_OK) {
        rc = dlq_shard_span(&local, part->source_offset, part->local_size, part->full_size,
                            &run->src, &len);
    }
    if (rc == DLQ_OK) {
        rc = dlq_shard_units_ceil(&disk, part->full_size, &run->disk);
    }
    run->repeat = d->ckpt_block[dim] / d->block[dim];
    if (rc == DLQ_OK && dlq_param_bits_along(d, dim)) {
        int64_t bits;
        const int64_t full = part->full_offset + part->full_size;
        rc = dlq_shard_mul(full > local_total ? full : local_total, 32, &bits);
    }
    return rc;
}

static int32_t
fail_cut(int32_t code, const struct dlq_layer_info *info, const struct dlq_param_desc *d,
         int32_t dim, const char *what, const struct dlq_part *part, int64_t fits,
         struct dlq_error *err)
{
    if (code == DLQ_EOVERFLOW) {
        return dlq_fail(err, code, "layer '%s': parameter '%s': sizes overflow 64 bits",
                        info->prefix, d->name);
    }
    char unit[160] = "";
    size_t n = 0;
    if (dim == d->packed_dim && !dlq_param_bits_along(d, dim)) {
        const uint32_t word = DLQ_DTYPE_BITS(d->dtype);
        n = (size_t)snprintf(unit, sizeof(unit), "%u-bit words of %d/%d elements (%g bits each)",
                             word, d->pack_num, d->pack_den,
                             (double)word * d->pack_den / d->pack_num);
    }
    if (d->block[dim] > 1) {
        snprintf(unit + n, sizeof(unit) - n, "%sgroups of %lld elements (groups of %lld would fit)",
                 n ? " and " : "", (long long)d->block[dim], (long long)fits);
    }
    return dlq_fail(err, code,
                    "layer '%s': parameter '%s': %s: offset %lld and size %lld in the checkpoint's "
                    "%lld, offset %lld on rank %d of %d, cut inside %s",
                    info->prefix, d->name, what, (long long)part->source_offset,
                    (long long)part->local_size, (long long)part->full_size,
                    (long long)part->local_offset, info->tp_rank, info->tp_size, unit);
}

static int64_t
sum_of_parts(const struct dlq_part *const *parts, int32_t n)
{
    return parts[n - 1]->local_offset + parts[n - 1]->local_size;
}

int32_t
dlq_param_output_run(const struct dlq_layer_info *info, const struct dlq_param *param, int32_t part,
                     struct dlq_param_run *run, struct dlq_error *err)
{
    const struct dlq_param_desc *const d = &param->desc;
    const struct dlq_part *const p = param->parts[part];
    const int32_t rc =
        make_run(d, d->output_dim, p, sum_of_parts(param->parts, info->n_parts), run);
    if (rc == DLQ_OK) {
        return DLQ_OK;
    }
    const int64_t bounds[] = {p->source_offset, p->local_offset, p->local_size};
    char what[64] = "outputs";
    if (info->n_parts > 1) {
        snprintf(what, sizeof(what), "outputs of part '%s'", p->tag);
    }
    return fail_cut(rc, info, d, d->output_dim, what, p,
                    dlq_shard_refine(d->ckpt_block[d->output_dim], bounds, 3), err);
}

int32_t
dlq_param_input_run(const struct dlq_layer_info *info, const struct dlq_param *param,
                    struct dlq_param_run *run, struct dlq_error *err)
{
    const struct dlq_param_desc *const d = &param->desc;
    const struct dlq_part whole = {
        .full_size = info->input_size,
        .local_size = info->input_size_per_partition,
        .source_offset = info->input_offset,
    };
    const int32_t rc = make_run(d, d->input_dim, &whole, whole.local_size, run);
    if (rc == DLQ_OK) {
        return DLQ_OK;
    }
    return fail_cut(
        rc, info, d, d->input_dim, "inputs", &whole,
        dlq_shard_refine(d->ckpt_block[d->input_dim], info->input_bounds, info->tp_size + 1), err);
}

static int32_t
fail_size(const struct dlq_layer_info *info, const struct dlq_param_desc *d, const char *what,
          int32_t dim, int64_t expected, struct dlq_error *err)
{
    char shape[128];
    return dlq_fail(err, DLQ_ESHAPE,
                    "layer '%s': parameter '%s' was declared as %s; along its %s dimension %d the "
                    "layer's sizes give %lld",
                    info->prefix, d->name,
                    dlq_param_shape_text(d->ndim, d->shape, shape, sizeof(shape)), what, dim,
                    (long long)expected);
}

int32_t
dlq_param_check_shape(const struct dlq_layer_info *info, const struct dlq_param *param,
                      struct dlq_error *err)
{
    const struct dlq_param_desc *const d = &param->desc;
    struct dlq_param_run run = {0};
    if (d->output_dim >= 0) {
        int64_t sum = 0;
        for (int32_t i = 0; i < info->n_parts; ++i) {
            const int32_t rc = dlq_param_output_run(info, param, i, &run, err);
            if (rc != DLQ_OK) {
                return rc;
            }
            sum += run.len;
        }
        sum = dlq_param_bits_along(d, d->output_dim) ? dlq_param_bits_words(d, sum) : sum;
        if (sum != d->shape[d->output_dim]) {
            return fail_size(info, d, "output", d->output_dim, sum, err);
        }
    }
    if (d->input_dim >= 0) {
        const int32_t rc = dlq_param_input_run(info, param, &run, err);
        if (rc != DLQ_OK) {
            return rc;
        }
        const int64_t len =
            dlq_param_bits_along(d, d->input_dim) ? dlq_param_bits_words(d, run.len) : run.len;
        if (len != d->shape[d->input_dim]) {
            return fail_size(info, d, "input", d->input_dim, len, err);
        }
    }
    return DLQ_OK;
}

const char *
dlq_param_shape_text(int32_t ndim, const int64_t *shape, char *buf, size_t size)
{
    size_t n = (size_t)snprintf(buf, size, "[");
    for (int32_t d = 0; d < ndim && n < size; ++d) {
        n += (size_t)snprintf(buf + n, size - n, "%s%lld", d ? ", " : "", (long long)shape[d]);
    }
    if (n < size) {
        snprintf(buf + n, size - n, "]");
    }
    return buf;
}

const char *
dlq_param_dtype_text(uint32_t dtype)
{
    static const struct {
        uint32_t dtype;
        const char *text;
    } names[] = {
        {DLQ_I8, "I8"},           {DLQ_I16, "I16"},
        {DLQ_I32, "I32"},         {DLQ_I64, "I64"},
        {DLQ_U8, "U8"},           {DLQ_U16, "U16"},
        {DLQ_U32, "U32"},         {DLQ_U64, "U64"},
        {DLQ_F16, "F16"},         {DLQ_F32, "F32"},
        {DLQ_F64, "F64"},         {DLQ_BF16, "BF16"},
        {DLQ_C64, "C64"},         {DLQ_BOOL, "BOOL"},
        {DLQ_F8_E4M3, "F8_E4M3"}, {DLQ_F8_E4M3FNUZ, "F8_E4M3FNUZ"},
        {DLQ_F8_E5M2, "F8_E5M2"}, {DLQ_F8_E5M2FNUZ, "F8_E5M2FNUZ"},
        {DLQ_F8_E8M0, "F8_E8M0"}, {DLQ_F6_E2M3, "F6_E2M3"},
        {DLQ_F6_E3M2, "F6_E3M2"}, {DLQ_F4_E2M1, "F4"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); ++i) {
        if (names[i].dtype == dtype) {
            return names[i].text;
        }
    }
    return "unknown";
}
