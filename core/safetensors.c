// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "safetensors.h"

#include "alloc.h"
#include "safetensors_internal.h"
#include "text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int32_t
dlq_st_fail_memory(struct dlq_st_parse *p)
{
    return dlq_fail_native(p->err, DLQ_ENOMEM, DLQ_DOMAIN_CHECKPOINT, 0,
                           "%s: out of memory for the header", p->file);
}

int
dlq_tensor_compare_names(const void *a, const void *b)
{
    return strcmp(((const struct dlq_checkpoint_tensor *)a)->name,
                  ((const struct dlq_checkpoint_tensor *)b)->name);
}

static int32_t
sort_names(struct dlq_st_parse *p)
{
    struct dlq_checkpoint_tensor *const t = p->out->tensors;
    const size_t n = p->out->n;
    size_t i = 1;
    while (i < n && dlq_tensor_compare_names(&t[i - 1], &t[i]) < 0) {
        i++;
    }
    if (i >= n) {
        return DLQ_OK;
    }
    qsort(t, n, sizeof(*t), dlq_tensor_compare_names);
    for (i = 1; i < n; i++) {
        char quoted[DLQ_QUOTE_SIZE];
        if (strcmp(t[i - 1].name, t[i].name) == 0) {
            return DLQ_ST_FAIL(p, "%s: InvalidHeaderDeserialization: tensor '%s' occurs twice",
                               p->file, dlq_quote(quoted, t[i].name));
        }
    }
    return DLQ_OK;
}

static int
compare_offsets(const void *a, const void *b)
{
    const struct dlq_checkpoint_tensor *const x = *(const struct dlq_checkpoint_tensor *const *)a;
    const struct dlq_checkpoint_tensor *const y = *(const struct dlq_checkpoint_tensor *const *)b;
    if (x->file_offset != y->file_offset) {
        return x->file_offset < y->file_offset ? -1 : 1;
    }
    return x->nbytes < y->nbytes ? -1 : x->nbytes > y->nbytes;
}

static bool
multiply(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

// The shape and dtype of a tensor against the length of its range.
static int32_t
check_size(struct dlq_st_parse *p, const struct dlq_checkpoint_tensor *t)
{
    char quoted[DLQ_QUOTE_SIZE];
    uint64_t bits = 1;
    bool fits = true;
    for (int32_t d = 0; d < t->ndim; d++) {
        fits = fits && multiply(bits, (uint64_t)t->shape[d], &bits);
    }
    fits = fits && multiply(bits, DLQ_DTYPE_BITS(t->dtype), &bits);
    for (int32_t d = 0; d < t->ndim; d++) {
        fits = fits && (uint64_t)t->shape[d] <= DLQ_SAFETENSORS_MAX_DIM;
    }
    if (!fits) {
        return DLQ_ST_FAIL(p,
                           "%s: ValidationOverflow: tensor '%s': its shape has too many elements",
                           p->file, dlq_quote(quoted, t->name));
    }
    if (bits % 8 != 0) {
        return DLQ_ST_FAIL(p, "%s: MisalignedSlice: tensor '%s': %llu bits are not whole bytes",
                           p->file, dlq_quote(quoted, t->name), (unsigned long long)bits);
    }
    const uint64_t nbytes = t->nbytes - t->file_offset;
    if (nbytes != bits / 8) {
        return DLQ_ST_FAIL(
            p,
            "%s: TensorInvalidInfo: tensor '%s': expected %llu bytes from its shape, "
            "found %llu from its offsets",
            p->file, dlq_quote(quoted, t->name), (unsigned long long)(bits / 8),
            (unsigned long long)nbytes);
    }
    return DLQ_OK;
}

// Tensors in the order of their offsets must lie side by side from 0 to `end`.
static int32_t
check_layout(struct dlq_st_parse *p, struct dlq_checkpoint_tensor **order, size_t n, uint64_t end)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct dlq_checkpoint_tensor *const t = order[i];
        char quoted[DLQ_QUOTE_SIZE];
        if (t->file_offset != at || t->nbytes < t->file_offset) {
            return DLQ_ST_FAIL(p,
                               "%s: InvalidOffset: tensor '%s': expected a range from %llu, found "
                               "[%llu, %llu]",
                               p->file, dlq_quote(quoted, t->name), (unsigned long long)at,
                               (unsigned long long)t->file_offset, (unsigned long long)t->nbytes);
        }
        at = t->nbytes;
        const int32_t rc = check_size(p, t);
        if (rc != DLQ_OK) {
            return rc;
        }
    }
    if (at != end) {
        return DLQ_ST_FAIL(
            p,
            "%s: MetadataIncompleteBuffer: expected %llu bytes behind the header, found "
            "%llu",
            p->file, (unsigned long long)at, (unsigned long long)end);
    }
    return DLQ_OK;
}

static int32_t
check_offsets(struct dlq_st_parse *p, uint64_t data, uint64_t file_size)
{
    const size_t n = p->out->n;
    struct dlq_checkpoint_tensor **const order = dlq_alloc(p->a, n * sizeof(*order));
    if (!order) {
        return dlq_st_fail_memory(p);
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = &p->out->tensors[i];
    }
    size_t sorted = 1;
    while (sorted < n && compare_offsets(&order[sorted - 1], &order[sorted]) <= 0) {
        sorted++;
    }
    if (sorted < n) {
        qsort(order, n, sizeof(struct dlq_checkpoint_tensor *), compare_offsets);
    }
    const int32_t rc = check_layout(p, order, n, file_size - data);
    for (size_t i = 0; rc == DLQ_OK && i < n; i++) {
        order[i]->nbytes -= order[i]->file_offset;
        order[i]->file_offset += data;
    }
    dlq_free(p->a, order);
    return rc;
}

int32_t
dlq_safetensors_parse(const struct dlq_allocator *a, char *header, size_t len, uint64_t file_size,
                      const char *name, struct dlq_safetensors *out, struct dlq_error *err)
{
    struct dlq_st_parse p = {.a = a, .file = name, .err = err, .header = header, .out = out};
    *out = (struct dlq_safetensors){0};
    const char *const invalid = dlq_utf8_invalid(header, len);
    if (invalid) {
        return DLQ_ST_FAIL(&p, "%s: InvalidHeader: byte %llu is not UTF-8", name,
                           (unsigned long long)(invalid - header));
    }
    dlq_json_reader_init(&p.r, header, len);
    int32_t rc = dlq_st_parse_json(&p);
    if (rc == DLQ_OK) {
        rc = sort_names(&p);
    }
    if (rc == DLQ_OK) {
        rc = check_offsets(&p, 8 + (uint64_t)len, file_size);
    }
    if (rc != DLQ_OK) {
        dlq_safetensors_free(a, out);
    }
    return rc;
}

int32_t
dlq_safetensors_read(const struct dlq_allocator *a, const struct dlq_file *file, const char *name,
                     struct dlq_safetensors *out, struct dlq_error *err)
{
    struct dlq_st_parse p = {.a = a, .file = name, .err = err};
    unsigned char prefix[8];
    uint64_t len = 0;
    *out = (struct dlq_safetensors){0};
    if (file->size < sizeof(prefix)) {
        return DLQ_ST_FAIL(&p, "%s: HeaderTooSmall: expected at least 8 bytes, found %llu", name,
                           (unsigned long long)file->size);
    }
    int32_t rc = dlq_file_read(file, name, 0, prefix, sizeof(prefix), err);
    if (rc != DLQ_OK) {
        return rc;
    }
    for (int i = 7; i >= 0; i--) {
        len = len << 8 | prefix[i];
    }
    if (len > DLQ_SAFETENSORS_MAX_HEADER) {
        return DLQ_ST_FAIL(&p,
                           "%s: HeaderTooLarge: expected a header of at most %u bytes, found %llu",
                           name, DLQ_SAFETENSORS_MAX_HEADER, (unsigned long long)len);
    }
    if (len > file->size - sizeof(prefix)) {
        return DLQ_ST_FAIL(&p, "%s: InvalidHeaderLength: a header of %llu bytes in a file of %llu",
                           name, (unsigned long long)len, (unsigned long long)file->size);
    }
    char *const header = dlq_alloc(a, (size_t)len);
    if (!header) {
        return dlq_st_fail_memory(&p);
    }
    rc = dlq_file_read(file, name, sizeof(prefix), header, (size_t)len, err);
    if (rc == DLQ_OK) {
        rc = dlq_safetensors_parse(a, header, (size_t)len, file->size, name, out, err);
    }
    if (rc == DLQ_OK) {
        out->header = header;
    } else {
        dlq_free(a, header);
    }
    return rc;
}

void
dlq_safetensors_free(const struct dlq_allocator *a, struct dlq_safetensors *st)
{
    dlq_free(a, st->tensors);
    dlq_free(a, st->header);
    *st = (struct dlq_safetensors){0};
}
