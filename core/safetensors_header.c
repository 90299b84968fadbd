// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "safetensors_internal.h"
#include "text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t dtype;
} dtypes[] = {
    {"F16", DLQ_F16},
    {"BF16", DLQ_BF16},
    {"F32", DLQ_F32},
    {"I32", DLQ_I32},
    {"I8", DLQ_I8},
    {"U8", DLQ_U8},
    {"F8_E4M3", DLQ_F8_E4M3},
    {"I64", DLQ_I64},
    {"F64", DLQ_F64},
    {"BOOL", DLQ_BOOL},
    {"I16", DLQ_I16},
    {"U16", DLQ_U16},
    {"U32", DLQ_U32},
    {"U64", DLQ_U64},
    {"C64", DLQ_C64},
    {"F8_E5M2", DLQ_F8_E5M2},
    {"F8_E8M0", DLQ_F8_E8M0},
    {"F8_E4M3FNUZ", DLQ_F8_E4M3FNUZ},
    {"F8_E5M2FNUZ", DLQ_F8_E5M2FNUZ},
    {"F4", DLQ_F4_E2M1},
    {"F6_E2M3", DLQ_F6_E2M3},
    {"F6_E3M2", DLQ_F6_E3M2},
};

#define N_DTYPES (sizeof(dtypes) / sizeof(*dtypes))

const char *
dlq_safetensors_dtype_name(uint32_t dtype)
{
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (dtypes[i].dtype == dtype) {
            return dtypes[i].name;
        }
    }
    return "?";
}

// A fault in the header's JSON; `name` is the tensor that is being read, or NULL.
static int32_t
fail_json(struct dlq_st_parse *p, const char *name, const char *problem)
{
    char quoted[DLQ_QUOTE_SIZE];
    const unsigned long long byte = (unsigned long long)(p->r.at - p->r.text);
    if (name) {
        return DLQ_ST_FAIL(p, "%s: InvalidHeaderDeserialization: tensor '%s', byte %llu: %s",
                           p->file, dlq_quote(quoted, name), byte, problem);
    }
    return DLQ_ST_FAIL(p, "%s: InvalidHeaderDeserialization: byte %llu: %s", p->file, byte,
                       problem);
}

static int
compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int32_t
check_metadata_names(struct dlq_st_parse *p, char **names, size_t n)
{
    char quoted[DLQ_QUOTE_SIZE];
    if (n > 0) {
        qsort(names, n, sizeof(*names), compare_strings);
    }
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i - 1], names[i]) == 0) {
            return DLQ_ST_FAIL(p, "%s: InvalidHeaderDeserialization: __metadata__ holds '%s' twice",
                               p->file, dlq_quote(quoted, names[i]));
        }
    }
    return DLQ_OK;
}

static int32_t
parse_metadata(struct dlq_st_parse *p)
{
    struct dlq_json_reader *const r = &p->r;
    if (dlq_json_reader_peek(r) == 'n') {
        return dlq_json_reader_skip(r) ? DLQ_OK : fail_json(p, "__metadata__", r->problem);
    }
    char **names = NULL;
    size_t n = 0;
    size_t capacity = 0;
    bool first = true;
    int32_t rc = DLQ_OK;
    struct dlq_json_span key;
    struct dlq_json_span value;
    dlq_json_reader_enter(r, '{');
    while (rc == DLQ_OK && dlq_json_reader_next(r, '}', &first) && dlq_json_reader_key(r, &key)) {
        char **const grown = dlq_grow(p->a, names, n, &capacity, n + 1, sizeof(*names));
        if (!grown) {
            rc = dlq_st_fail_memory(p);
            break;
        }
        names = grown;
        names[n] = dlq_json_take(p->header, &key);
        if (!names[n]) {
            rc = fail_json(p, "__metadata__", "a zero byte in a name");
        }
        n++;
        dlq_json_reader_string(r, &value);
    }
    if (rc == DLQ_OK) {
        rc = r->problem ? fail_json(p, "__metadata__", r->problem)
                        : check_metadata_names(p, names, n);
    }
    dlq_free(p->a, names);
    return rc;
}

static int32_t
parse_dtype(struct dlq_st_parse *p, struct dlq_checkpoint_tensor *t)
{
    struct dlq_json_span span;
    if (!dlq_json_reader_string(&p->r, &span)) {
        return fail_json(p, t->name, p->r.problem);
    }
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (dlq_json_span_equal(&span, dtypes[i].name)) {
            t->dtype = dtypes[i].dtype;
            return DLQ_OK;
        }
    }
    char quoted[DLQ_QUOTE_SIZE];
    char name[DLQ_QUOTE_SIZE];
    char *const text = dlq_json_take(p->header, &span);
    return DLQ_ST_FAIL(p, "%s: InvalidHeaderDeserialization: tensor '%s': unknown dtype '%s'",
                       p->file, dlq_quote(name, t->name), text ? dlq_quote(quoted, text) : "");
}

static int32_t
parse_shape(struct dlq_st_parse *p, struct dlq_checkpoint_tensor *t)
{
    bool first = true;
    dlq_json_reader_enter(&p->r, '[');
    while (dlq_json_reader_next(&p->r, ']', &first)) {
        uint64_t size = 0;
        if (!dlq_json_reader_u64(&p->r, &size)) {
            break;
        }
        // All of them are counted for the message; unsigned sizes are kept as they are until
        // check_size() has looked at them.
        if (t->ndim < DLQ_MAX_DIMS) {
            memcpy(&t->shape[t->ndim], &size, sizeof(size));
        }
        t->ndim++;
    }
    if (p->r.problem) {
        return fail_json(p, t->name, p->r.problem);
    }
    if (t->ndim > DLQ_MAX_DIMS) {
        char quoted[DLQ_QUOTE_SIZE];
        return dlq_fail_native(p->err, DLQ_EUNSUPPORTED, DLQ_DOMAIN_CHECKPOINT, 0,
                               "%s: tensor '%s' has %d dimensions, at most %d are supported",
                               p->file, dlq_quote(quoted, t->name), t->ndim, DLQ_MAX_DIMS);
    }
    return DLQ_OK;
}

// Until check_offsets() turns them, `file_offset` and `nbytes` are the two data_offsets.
static int32_t
parse_offsets(struct dlq_st_parse *p, struct dlq_checkpoint_tensor *t)
{
    bool first = true;
    int n = 0;
    uint64_t offsets[2] = {0, 0};
    dlq_json_reader_enter(&p->r, '[');
    while (dlq_json_reader_next(&p->r, ']', &first)) {
        if (n == 2) {
            return fail_json(p, t->name, "data_offsets must be two integers, found more");
        }
        dlq_json_reader_u64(&p->r, &offsets[n++]);
    }
    if (p->r.problem) {
        return fail_json(p, t->name, p->r.problem);
    }
    if (n != 2) {
        return fail_json(p, t->name, "data_offsets must be two integers, found fewer");
    }
    t->file_offset = offsets[0];
    t->nbytes = offsets[1];
    return DLQ_OK;
}

static int32_t
parse_tensor(struct dlq_st_parse *p, struct dlq_checkpoint_tensor *t)
{
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    static int32_t (*const parsers[])(struct dlq_st_parse *, struct dlq_checkpoint_tensor *) = {
        parse_dtype, parse_shape, parse_offsets};
    bool seen[3] = {false, false, false};
    bool first = true;
    struct dlq_json_span key;
    dlq_json_reader_enter(&p->r, '{');
    while (dlq_json_reader_next(&p->r, '}', &first) && dlq_json_reader_key(&p->r, &key)) {
        size_t f = 0;
        while (f < 3 && !dlq_json_span_equal(&key, fields[f])) {
            f++;
        }
        if (f == 3) {
            dlq_json_reader_skip(&p->r);
            continue;
        }
        if (seen[f]) {
            return fail_json(p, t->name, "dtype, shape or data_offsets occurs twice");
        }
        seen[f] = true;
        const int32_t rc = parsers[f](p, t);
        if (rc != DLQ_OK) {
            return rc;
        }
    }
    if (p->r.problem) {
        return fail_json(p, t->name, p->r.problem);
    }
    for (size_t f = 0; f < 3; f++) {
        char quoted[DLQ_QUOTE_SIZE];
        if (!seen[f]) {
            return DLQ_ST_FAIL(p, "%s: InvalidHeaderDeserialization: tensor '%s' has no %s",
                               p->file, dlq_quote(quoted, t->name), fields[f]);
        }
    }
    return DLQ_OK;
}

static int32_t
parse_entry(struct dlq_st_parse *p, bool *metadata)
{
    struct dlq_json_span key;
    if (!dlq_json_reader_key(&p->r, &key)) {
        return fail_json(p, NULL, p->r.problem);
    }
    char *const name = dlq_json_take(p->header, &key);
    if (!name) {
        return fail_json(p, NULL, "a zero byte in a tensor's name");
    }
    if (strcmp(name, "__metadata__") == 0) {
        if (*metadata) {
            return fail_json(p, NULL, "__metadata__ occurs twice");
        }
        *metadata = true;
        return parse_metadata(p);
    }
    struct dlq_safetensors *const st = p->out;
    struct dlq_checkpoint_tensor *const grown =
        dlq_grow(p->a, st->tensors, st->n, &st->capacity, st->n + 1, sizeof(*grown));
    if (!grown) {
        return dlq_st_fail_memory(p);
    }
    st->tensors = grown;
    struct dlq_checkpoint_tensor *const t = &grown[st->n++];
    *t = (struct dlq_checkpoint_tensor){
        .struct_size = sizeof(*t),
        .name = name,
        .file = p->file,
    };
    return parse_tensor(p, t);
}

int32_t
dlq_st_parse_json(struct dlq_st_parse *p)
{
    bool first = true;
    bool metadata = false;
    if (dlq_json_reader_peek(&p->r) != '{' || p->r.at != p->r.text) {
        p->r.at = p->r.text;
        return fail_json(p, NULL, "the header must begin with '{'");
    }
    dlq_json_reader_enter(&p->r, '{');
    while (dlq_json_reader_next(&p->r, '}', &first)) {
        const int32_t rc = parse_entry(p, &metadata);
        if (rc != DLQ_OK) {
            return rc;
        }
    }
    return p->r.problem || !dlq_json_reader_end(&p->r) ? fail_json(p, NULL, p->r.problem) : DLQ_OK;
}
