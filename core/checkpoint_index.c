// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "checkpoint_internal.h"
#include "json_reader.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

struct index_parse {
    const struct dlq_allocator *a;
    const char *path;
    struct dlq_error *err;
    struct dlq_json_reader r;
    struct dlq_index *out;
};

static int32_t
fail_at(struct index_parse *p, const char *at, const char *problem)
{
    size_t line = 0;
    size_t column = 0;
    dlq_text_position(p->out->text, at, &line, &column);
    return DLQ_CKPT_FAIL(p->err, DLQ_EFORMAT, "%s: line %zu, column %zu: %s", p->path, line, column,
                         problem);
}

// A first pass over the whole text, so that the second one changes only valid JSON.
static int32_t
check_json(struct index_parse *p, size_t len)
{
    const char *const invalid = dlq_utf8_invalid(p->out->text, len);
    if (invalid) {
        return fail_at(p, invalid, "a byte that is not UTF-8");
    }
    dlq_json_reader_init(&p->r, p->out->text, len);
    if (!dlq_json_reader_skip(&p->r) || !dlq_json_reader_end(&p->r)) {
        return fail_at(p, p->r.at, p->r.problem);
    }
    dlq_json_reader_init(&p->r, p->out->text, len);
    return DLQ_OK;
}

// A file is named by a downloaded text: it must be a plain name inside the folder.
static int32_t
check_file_name(struct index_parse *p, const char *tensor, const char *file)
{
    char quoted[2][DLQ_QUOTE_SIZE];
    const char *problem = NULL;
    if (*file == '\0') {
        problem = "is empty";
    } else if (strpbrk(file, "/\\")) {
        problem = "has a path separator";
    } else if (strstr(file, "..")) {
        problem = "has '..' in it";
    }
    if (problem) {
        return DLQ_CKPT_FAIL(p->err, DLQ_EFORMAT,
                             "%s: tensor '%s': the file name '%s' %s; expected a file of the "
                             "checkpoint's folder",
                             p->path, dlq_quote(quoted[0], tensor), dlq_quote(quoted[1], file),
                             problem);
    }
    return dlq_is_pickle_name(file) ? dlq_checkpoint_refuse_pickle(file, p->err) : DLQ_OK;
}

static int32_t
parse_entry(struct index_parse *p)
{
    struct dlq_json_span key;
    struct dlq_json_span value;
    if (!dlq_json_reader_key(&p->r, &key)) {
        return fail_at(p, p->r.at, p->r.problem);
    }
    const char *const tensor = dlq_json_take(p->out->text, &key);
    if (!tensor) {
        return fail_at(p, key.at, "a zero byte in a tensor's name");
    }
    char quoted[DLQ_QUOTE_SIZE];
    if (!dlq_json_reader_string(&p->r, &value)) {
        return DLQ_CKPT_FAIL(p->err, DLQ_EFORMAT, "%s: tensor '%s': expected the name of a file",
                             p->path, dlq_quote(quoted, tensor));
    }
    const char *const file = dlq_json_take(p->out->text, &value);
    if (!file) {
        return fail_at(p, value.at, "a zero byte in a file's name");
    }
    const int32_t rc = check_file_name(p, tensor, file);
    if (rc != DLQ_OK) {
        return rc;
    }
    struct dlq_index *const index = p->out;
    struct dlq_index_entry *const grown =
        dlq_grow(p->a, index->entries, index->n, &index->capacity, index->n + 1, sizeof(*grown));
    if (!grown) {
        return DLQ_CKPT_FAIL(p->err, DLQ_ENOMEM, "%s: out of memory for %zu tensors", p->path,
                             index->n + 1);
    }
    index->entries = grown;
    grown[index->n++] = (struct dlq_index_entry){tensor, file};
    return DLQ_OK;
}

static int32_t
parse_index(struct index_parse *p)
{
    bool first = true;
    bool seen = false;
    struct dlq_json_span key;
    dlq_json_reader_enter(&p->r, '{');
    while (dlq_json_reader_next(&p->r, '}', &first) && dlq_json_reader_key(&p->r, &key)) {
        if (!dlq_json_span_equal(&key, "weight_map")) {
            dlq_json_reader_skip(&p->r);
            continue;
        }
        if (seen) {
            return fail_at(p, key.at, "weight_map occurs twice");
        }
        seen = true;
        bool first_entry = true;
        dlq_json_reader_enter(&p->r, '{');
        while (dlq_json_reader_next(&p->r, '}', &first_entry)) {
            const int32_t rc = parse_entry(p);
            if (rc != DLQ_OK) {
                return rc;
            }
        }
    }
    if (p->r.problem) {
        return fail_at(p, p->r.at, p->r.problem);
    }
    return seen ? DLQ_OK : DLQ_CKPT_FAIL(p->err, DLQ_EFORMAT, "%s: no weight_map", p->path);
}

static int
compare_tensors(const void *a, const void *b)
{
    return strcmp(((const struct dlq_index_entry *)a)->tensor,
                  ((const struct dlq_index_entry *)b)->tensor);
}

static int
compare_files(const void *a, const void *b)
{
    const int order = strcmp(((const struct dlq_index_entry *)a)->file,
                             ((const struct dlq_index_entry *)b)->file);
    return order ? order : compare_tensors(a, b);
}

static int32_t
sort_entries(struct index_parse *p)
{
    struct dlq_index_entry *const e = p->out->entries;
    const size_t n = p->out->n;
    if (n == 0) {
        return DLQ_OK;
    }
    qsort(e, n, sizeof(*e), compare_tensors);
    for (size_t i = 1; i < n; i++) {
        char quoted[DLQ_QUOTE_SIZE];
        if (strcmp(e[i - 1].tensor, e[i].tensor) == 0) {
            return DLQ_CKPT_FAIL(p->err, DLQ_EFORMAT, "%s: tensor '%s' occurs twice", p->path,
                                 dlq_quote(quoted, e[i].tensor));
        }
    }
    qsort(e, n, sizeof(*e), compare_files);
    return DLQ_OK;
}

int32_t
dlq_index_read(const struct dlq_allocator *a, const char *path, struct dlq_index *out,
               struct dlq_error *err)
{
    struct index_parse p = {.a = a, .path = path, .err = err, .out = out};
    size_t len = 0;
    *out = (struct dlq_index){0};
    int32_t rc = dlq_file_read_optional(a, path, DLQ_INDEX_MAX_BYTES, &out->text, &len, err);
    if (rc == DLQ_OK && !out->text) {
        return DLQ_OK;
    }
    if (rc == DLQ_OK) {
        rc = check_json(&p, len);
    }
    if (rc == DLQ_OK) {
        rc = parse_index(&p);
    }
    if (rc == DLQ_OK) {
        rc = sort_entries(&p);
    }
    if (rc != DLQ_OK) {
        dlq_index_free(a, out);
    }
    return rc;
}

void
dlq_index_free(const struct dlq_allocator *a, struct dlq_index *index)
{
    dlq_free(a, index->entries);
    dlq_free(a, index->text);
    *index = (struct dlq_index){0};
}
