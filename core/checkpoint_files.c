// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "checkpoint_internal.h"
#include "path.h"
#include "safetensors.h"
#include "text.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

// Names of files in a folder.
struct names {
    char **items;
    size_t n;
    size_t capacity;
};

static int32_t
fail_memory(const dlq_checkpoint *ckpt, struct dlq_error *err)
{
    return DLQ_CKPT_FAIL(err, DLQ_ENOMEM, "%s: out of memory for its files", ckpt->path);
}

static bool
has_suffix(const char *name, const char *suffix)
{
    const size_t len = strlen(name);
    const size_t tail = strlen(suffix);
    return len >= tail && strcmp(name + len - tail, suffix) == 0;
}

bool
dlq_is_pickle_name(const char *name)
{
    static const char *const suffixes[] = {".bin", ".pt", ".pth", ".ckpt"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
        if (has_suffix(name, suffixes[i])) {
            return true;
        }
    }
    return false;
}

int32_t
dlq_checkpoint_refuse_pickle(const char *path, struct dlq_error *err)
{
    char quoted[DLQ_QUOTE_SIZE];
    return DLQ_CKPT_FAIL(err, DLQ_EUNSUPPORTED,
                         "%s: pickled weights run code when they are read and are not supported; "
                         "convert them to safetensors, for instance by loading and saving the "
                         "model with safe_serialization=True",
                         dlq_quote(quoted, path));
}

// Of the tensors of a file, keep those that the index maps to it; both are sorted by name.
static int32_t
select_mapped(dlq_checkpoint *ckpt, const char *path, struct dlq_safetensors *st,
              const struct dlq_index_entry *mapped, size_t n, struct dlq_error *err)
{
    char quoted[DLQ_QUOTE_SIZE];
    const char *ignored = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < st->n; i++) {
        const int order = kept < n ? strcmp(mapped[kept].tensor, st->tensors[i].name) : 1;
        if (order < 0) {
            break;
        }
        if (order == 0) {
            st->tensors[kept++] = st->tensors[i];
        } else if (!ignored) {
            ignored = st->tensors[i].name;
        }
    }
    if (kept < n) {
        return DLQ_CKPT_FAIL(err, DLQ_EFORMAT,
                             "%s: the index maps tensor '%s' to this file, which does not hold it",
                             path, dlq_quote(quoted, mapped[kept].tensor));
    }
    const size_t extra = st->n - kept;
    st->n = kept;
    return extra == 0 ? DLQ_OK
                      : dlq_trace_add(&ckpt->trace, err, DLQ_LOG_DEBUG,
                                      "%s: ignored %zu tensors that the index does not map to it, "
                                      "the first is '%s'",
                                      path, extra, dlq_quote(quoted, ignored));
}

// Takes the tensors over from `st`.
static int32_t
append_tensors(dlq_checkpoint *ckpt, const struct dlq_shard *shard, struct dlq_safetensors *st,
               struct dlq_error *err)
{
    for (size_t i = 0; i < st->n; i++) {
        struct dlq_checkpoint_tensor *const t = &st->tensors[i];
        t->file = shard->name;
        t->data = shard->file.map ? (const char *)shard->file.map + t->file_offset : NULL;
    }
    if (ckpt->n_tensors == 0) {
        dlq_free(ckpt->a, ckpt->tensors);
        ckpt->tensors = st->tensors;
        ckpt->n_tensors = st->n;
        ckpt->tensors_capacity = st->capacity;
        st->tensors = NULL;
        return DLQ_OK;
    }
    struct dlq_checkpoint_tensor *const grown =
        dlq_grow(ckpt->a, ckpt->tensors, ckpt->n_tensors, &ckpt->tensors_capacity,
                 ckpt->n_tensors + st->n, sizeof(*grown));
    if (!grown) {
        return fail_memory(ckpt, err);
    }
    ckpt->tensors = grown;
    if (st->n > 0) {
        memcpy(grown + ckpt->n_tensors, st->tensors, st->n * sizeof(*grown));
    }
    ckpt->n_tensors += st->n;
    return DLQ_OK;
}

static int32_t
add_shard(dlq_checkpoint *ckpt, const char *name, struct dlq_shard **out, struct dlq_error *err)
{
    struct dlq_shard *const grown =
        dlq_grow(ckpt->a, ckpt->shards, ckpt->n_shards, &ckpt->shards_capacity, ckpt->n_shards + 1,
                 sizeof(*grown));
    if (!grown) {
        return fail_memory(ckpt, err);
    }
    ckpt->shards = grown;
    struct dlq_shard *const shard = &grown[ckpt->n_shards];
    *shard = (struct dlq_shard){.file = DLQ_FILE_INIT};
    shard->name = dlq_strdup(ckpt->a, name);
    shard->path =
        ckpt->folder ? dlq_path_join(ckpt->a, ckpt->path, name) : dlq_strdup(ckpt->a, ckpt->path);
    // The checkpoint's close() frees it from here on.
    ckpt->n_shards++;
    *out = shard;
    return shard->name && shard->path ? DLQ_OK : fail_memory(ckpt, err);
}

// Open one file, check its header and take its tensors: all of them when `mapped` is NULL.
static int32_t
open_shard(dlq_checkpoint *ckpt, const char *name, const struct dlq_index_entry *mapped, size_t n,
           struct dlq_error *err)
{
    struct dlq_shard *shard = NULL;
    struct dlq_safetensors st = {0};
    int32_t rc = add_shard(ckpt, name, &shard, err);
    if (rc == DLQ_OK) {
        rc = dlq_file_open(&shard->file, shard->path, err);
        if (rc == DLQ_ENOTFOUND && mapped) {
            char quoted[DLQ_QUOTE_SIZE];
            rc = dlq_fail_prefix(err, rc, "the index maps tensor '%s' to a file that is missing",
                                 dlq_quote(quoted, mapped->tensor));
        }
    }
    if (rc == DLQ_OK) {
        rc = dlq_safetensors_read(ckpt->a, &shard->file, shard->path, &st, err);
        shard->header = st.header;
        st.header = NULL;
    }
    if (rc == DLQ_OK && mapped) {
        rc = select_mapped(ckpt, shard->path, &st, mapped, n, err);
    }
    if (rc == DLQ_OK && (ckpt->flags & DLQ_CHECKPOINT_HEADERS_ONLY)) {
        dlq_file_close(&shard->file);
    } else if (rc == DLQ_OK) {
        rc = dlq_file_map(&shard->file, shard->path, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_trace_add(&ckpt->trace, err, DLQ_LOG_DEBUG, "%s: %zu tensors", shard->name, st.n);
    }
    if (rc == DLQ_OK) {
        rc = append_tensors(ckpt, shard, &st, err);
    }
    dlq_safetensors_free(ckpt->a, &st);
    return rc;
}

static int32_t
open_indexed(dlq_checkpoint *ckpt, const struct dlq_index *index, struct dlq_error *err)
{
    const struct dlq_index_entry *const e = index->entries;
    int32_t rc = DLQ_OK;
    for (size_t begin = 0, end = 0; rc == DLQ_OK && begin < index->n; begin = end) {
        while (end < index->n && strcmp(e[end].file, e[begin].file) == 0) {
            end++;
        }
        rc = open_shard(ckpt, e[begin].file, &e[begin], end - begin, err);
    }
    return rc;
}

static int32_t
add_name(dlq_checkpoint *ckpt, struct names *names, const char *name, struct dlq_error *err)
{
    char **const grown =
        dlq_grow(ckpt->a, names->items, names->n, &names->capacity, names->n + 1, sizeof(*grown));
    if (grown) {
        names->items = grown;
        grown[names->n] = dlq_strdup(ckpt->a, name);
    }
    if (!grown || !grown[names->n]) {
        return fail_memory(ckpt, err);
    }
    names->n++;
    return DLQ_OK;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The safetensors files of the folder. Hidden ones are left out: macOS puts a "._model.safetensors"
// beside each file on foreign disks.
static int32_t
list_folder(dlq_checkpoint *ckpt, struct names *names, struct dlq_error *err)
{
    DIR *const dir = opendir(ckpt->path);
    if (!dir) {
        return dlq_file_fail(err, ckpt->path, "cannot list the folder");
    }
    bool pickle = false;
    int32_t rc = DLQ_OK;
    const struct dirent *entry;
    while (rc == DLQ_OK && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.' && has_suffix(entry->d_name, ".safetensors")) {
            rc = add_name(ckpt, names, entry->d_name, err);
        }
        pickle = pickle || dlq_is_pickle_name(entry->d_name);
    }
    closedir(dir);
    if (rc == DLQ_OK && names->n == 0) {
        return pickle ? dlq_checkpoint_refuse_pickle(ckpt->path, err)
                      : DLQ_CKPT_FAIL(err, DLQ_ENOTFOUND, "%s: no *.safetensors file in it",
                                      ckpt->path);
    }
    if (rc == DLQ_OK) {
        qsort(names->items, names->n, sizeof(*names->items), compare_names);
    }
    return rc;
}

static int32_t
open_all(dlq_checkpoint *ckpt, struct dlq_error *err)
{
    struct names names = {0};
    int32_t rc = list_folder(ckpt, &names, err);
    for (size_t i = 0; rc == DLQ_OK && i < names.n; i++) {
        rc = open_shard(ckpt, names.items[i], NULL, 0, err);
    }
    for (size_t i = 0; i < names.n; i++) {
        dlq_free(ckpt->a, names.items[i]);
    }
    dlq_free(ckpt->a, names.items);
    return rc;
}

static int32_t
open_folder(dlq_checkpoint *ckpt, struct dlq_error *err)
{
    static const char index_name[] = "model.safetensors.index.json";
    struct dlq_index index;
    char *const path = dlq_path_join(ckpt->a, ckpt->path, index_name);
    if (!path) {
        return fail_memory(ckpt, err);
    }
    int32_t rc = dlq_index_read(ckpt->a, path, &index, err);
    if (rc == DLQ_OK && index.text) {
        rc = dlq_trace_add(&ckpt->trace, err, DLQ_LOG_DEBUG, "%s: maps %zu tensors", index_name,
                           index.n);
        if (rc == DLQ_OK) {
            rc = open_indexed(ckpt, &index, err);
        }
        dlq_index_free(ckpt->a, &index);
    } else if (rc == DLQ_OK) {
        rc = dlq_trace_add(&ckpt->trace, err, DLQ_LOG_DEBUG,
                           "%s: absent, all *.safetensors are read", index_name);
        if (rc == DLQ_OK) {
            rc = open_all(ckpt, err);
        }
    }
    dlq_free(ckpt->a, path);
    return rc;
}

static int32_t
sort_tensors(dlq_checkpoint *ckpt, struct dlq_error *err)
{
    struct dlq_checkpoint_tensor *const t = ckpt->tensors;
    const size_t n = ckpt->n_tensors;
    if (ckpt->n_shards < 2 || n < 2) {
        return DLQ_OK; // One file's are sorted and different
    }
    qsort(t, n, sizeof(*t), dlq_tensor_compare_names);
    for (size_t i = 1; i < n; i++) {
        char quoted[DLQ_QUOTE_SIZE];
        if (strcmp(t[i - 1].name, t[i].name) == 0) {
            return DLQ_CKPT_FAIL(err, DLQ_EFORMAT,
                                 "%s: tensor '%s' is in two files, %s and %s, and there is no "
                                 "index that chooses one",
                                 ckpt->path, dlq_quote(quoted, t[i].name), t[i - 1].file,
                                 t[i].file);
        }
    }
    return DLQ_OK;
}

int32_t
dlq_checkpoint_open_files(dlq_checkpoint *ckpt, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    if (ckpt->folder) {
        rc = open_folder(ckpt, err);
    } else if (dlq_is_pickle_name(ckpt->path)) {
        rc = dlq_checkpoint_refuse_pickle(ckpt->path, err);
    } else {
        const char *const slash = strrchr(ckpt->path, '/');
        rc = open_shard(ckpt, slash ? slash + 1 : ckpt->path, NULL, 0, err);
    }
    return rc == DLQ_OK ? sort_tensors(ckpt, err) : rc;
}
