// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "checkpoint_internal.h"
#include "config.h"
#include "path.h"
#include "runtime_internal.h"

#include <string.h>
#include <sys/stat.h>

static int32_t
look_at_path(dlq_checkpoint *ckpt, struct dlq_error *err)
{
    struct stat st;
    if (stat(ckpt->path, &st) != 0) {
        return dlq_file_fail(err, ckpt->path, "expected a folder or a .safetensors file");
    }
    ckpt->folder = S_ISDIR(st.st_mode);
    return DLQ_OK;
}

static int32_t
read_config(dlq_checkpoint *ckpt, struct dlq_json **root, struct dlq_error *err)
{
    if (!ckpt->folder) {
        return dlq_trace_add(&ckpt->trace, err, DLQ_LOG_DEBUG,
                             "a single file: no configuration is looked for");
    }
    char *const path = dlq_path_join(ckpt->a, ckpt->path, "config.json");
    if (!path) {
        return DLQ_CKPT_FAIL(err, DLQ_ENOMEM, "%s: out of memory for a path", ckpt->path);
    }
    int32_t rc = dlq_file_read_optional(ckpt->a, path, DLQ_JSON_MAX_BYTES, &ckpt->config,
                                        &ckpt->config_len, err);
    if (rc == DLQ_OK && ckpt->config) {
        rc = dlq_json_parse(ckpt->a, path, ckpt->config, ckpt->config_len, root, err);
        if (rc == DLQ_OK && dlq_json_type(*root) != DLQ_JSON_OBJECT) {
            rc = DLQ_CKPT_FAIL(err, DLQ_ECONFIG, "%s: expected an object, found %s", path,
                               dlq_json_type_name(dlq_json_type(*root)));
        }
    } else if (rc == DLQ_OK && !(ckpt->flags & DLQ_CHECKPOINT_NO_CONFIG)) {
        rc = DLQ_CKPT_FAIL(err, DLQ_ENOTFOUND, "%s: no such file; is this folder a checkpoint?",
                           path);
    }
    dlq_free(ckpt->a, path);
    return rc;
}

// What is wrong with the section is told to whoever asks for it: tensors can be listed without it.
static int32_t
find_quant_source(dlq_checkpoint *ckpt, const struct dlq_json *root, struct dlq_error *err)
{
    const struct dlq_quant_place place = {
        .dir = ckpt->folder ? ckpt->path : NULL,
        .config = ckpt->config,
        .len = ckpt->config_len,
        .root = root,
    };
    ckpt->quant_err = (struct dlq_error)DLQ_ERROR_INIT;
    ckpt->quant_rc =
        dlq_quant_discover(ckpt->a, &place, &ckpt->trace, &ckpt->quant, &ckpt->quant_err);
    if (ckpt->quant_rc == DLQ_ENOMEM) {
        return DLQ_CKPT_FAIL(err, DLQ_ENOMEM, "%s: %s", ckpt->path, ckpt->quant_err.msg);
    }
    return DLQ_OK;
}

static void
write_log(const dlq_checkpoint *ckpt)
{
    for (size_t i = 0; i < ckpt->trace.n; i++) {
        const struct dlq_trace_line *const line = &ckpt->trace.lines[i];
        dlq_runtime_log(ckpt->rt, line->level, "checkpoint %s: %s", ckpt->path, line->text);
    }
    dlq_runtime_log(ckpt->rt, DLQ_LOG_INFO, "checkpoint %s: %zu tensors in %zu files, %s%s",
                    ckpt->path, ckpt->n_tensors, ckpt->n_shards,
                    ckpt->quant_rc != DLQ_OK      ? "unclear how it is quantized"
                    : *ckpt->quant.method != '\0' ? "quant_method "
                                                  : "not quantized",
                    ckpt->quant_rc == DLQ_OK ? ckpt->quant.method : "");
}

int32_t
dlq_checkpoint_open(dlq_runtime *rt, const char *path, uint32_t flags, dlq_checkpoint **out,
                    struct dlq_error *err)
{
    const uint32_t known = DLQ_CHECKPOINT_HEADERS_ONLY | DLQ_CHECKPOINT_NO_CONFIG;
    if (!rt || !path || !out || (flags & ~known)) {
        return DLQ_CKPT_FAIL(err, DLQ_EINVAL,
                             "dlq_checkpoint_open: expected a runtime, a path, a place for the "
                             "result and known flags, found flags 0x%x",
                             flags);
    }
    const struct dlq_allocator *const a = dlq_runtime_allocator(rt);
    dlq_checkpoint *const ckpt = dlq_calloc(a, 1, sizeof(*ckpt));
    if (!ckpt) {
        return DLQ_CKPT_FAIL(err, DLQ_ENOMEM, "%s: out of memory for a checkpoint", path);
    }
    ckpt->rt = rt;
    ckpt->a = a;
    ckpt->flags = flags;
    ckpt->trace.a = a;
    struct dlq_json *root = NULL;
    ckpt->path = dlq_strdup(a, path);
    int32_t rc = ckpt->path
                     ? look_at_path(ckpt, err)
                     : DLQ_CKPT_FAIL(err, DLQ_ENOMEM, "%s: out of memory for its path", path);
    if (rc == DLQ_OK) {
        rc = read_config(ckpt, &root, err);
    }
    if (rc == DLQ_OK) {
        rc = dlq_checkpoint_open_files(ckpt, err);
    }
    if (rc == DLQ_OK) {
        rc = find_quant_source(ckpt, root, err);
    }
    dlq_json_free(a, root);
    if (rc != DLQ_OK) {
        dlq_checkpoint_close(ckpt);
        return rc;
    }
    write_log(ckpt);
    *out = ckpt;
    return DLQ_OK;
}

void
dlq_checkpoint_close(dlq_checkpoint *ckpt)
{
    if (!ckpt) {
        return;
    }
    const struct dlq_allocator *const a = ckpt->a;
    for (size_t i = 0; i < ckpt->n_shards; i++) {
        struct dlq_shard *const shard = &ckpt->shards[i];
        dlq_file_close(&shard->file);
        dlq_free(a, shard->header);
        dlq_free(a, shard->name);
        dlq_free(a, shard->path);
    }
    dlq_free(a, ckpt->shards);
    dlq_free(a, ckpt->tensors);
    dlq_free(a, ckpt->config);
    dlq_free(a, ckpt->path);
    dlq_trace_free(&ckpt->trace);
    dlq_quant_found_free(a, &ckpt->quant);
    dlq_free(a, ckpt);
}

size_t
dlq_checkpoint_n_tensors(const dlq_checkpoint *ckpt)
{
    return ckpt->n_tensors;
}

const struct dlq_checkpoint_tensor *
dlq_checkpoint_tensor_at(const dlq_checkpoint *ckpt, size_t index)
{
    return index < ckpt->n_tensors ? &ckpt->tensors[index] : NULL;
}

size_t
dlq_checkpoint_lower_bound(const dlq_checkpoint *ckpt, const char *prefix)
{
    size_t low = 0;
    size_t high = ckpt->n_tensors;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(ckpt->tensors[middle].name, prefix) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct dlq_checkpoint_tensor *
dlq_checkpoint_find(const dlq_checkpoint *ckpt, const char *name)
{
    const struct dlq_checkpoint_tensor *const t =
        dlq_checkpoint_tensor_at(ckpt, dlq_checkpoint_lower_bound(ckpt, name));
    return t && strcmp(t->name, name) == 0 ? t : NULL;
}

const char *
dlq_checkpoint_config(const dlq_checkpoint *ckpt, size_t *len)
{
    if (len) {
        *len = ckpt->config ? ckpt->config_len : 0;
    }
    return ckpt->config;
}

int32_t
dlq_checkpoint_quant_source(const dlq_checkpoint *ckpt, struct dlq_quant_source *out,
                            struct dlq_error *err)
{
    if (ckpt->quant_rc != DLQ_OK) {
        return dlq_fail_native(err, ckpt->quant_rc, ckpt->quant_err.domain, ckpt->quant_err.native,
                               "%s: %s", ckpt->path, ckpt->quant_err.msg);
    }
    if (out->struct_size < DLQ_SIZE_UPTO(struct dlq_quant_source, pointer)) {
        return DLQ_CKPT_FAIL(err, DLQ_EINVAL,
                             "struct dlq_quant_source: expected struct_size of at least %zu, found "
                             "%u",
                             (size_t)DLQ_SIZE_UPTO(struct dlq_quant_source, pointer),
                             out->struct_size);
    }
    out->inferred = ckpt->quant.inferred;
    out->quant_method = ckpt->quant.method;
    out->text = ckpt->quant.text;
    out->len = ckpt->quant.len;
    out->file = ckpt->quant.file;
    out->pointer = ckpt->quant.pointer;
    return DLQ_OK;
}

const char *
dlq_checkpoint_trace(const dlq_checkpoint *ckpt, size_t index)
{
    return index < ckpt->trace.n ? ckpt->trace.lines[index].text : NULL;
}

// `file` of a tensor is its shard's own string.
static const struct dlq_shard *
shard_of(const dlq_checkpoint *ckpt, const struct dlq_checkpoint_tensor *tensor)
{
    for (size_t i = 0; i < ckpt->n_shards; i++) {
        if (ckpt->shards[i].name == tensor->file) {
            return &ckpt->shards[i];
        }
    }
    return NULL;
}

void
dlq_checkpoint_release(const dlq_checkpoint *ckpt, const struct dlq_checkpoint_tensor *tensor)
{
    const struct dlq_shard *const shard = shard_of(ckpt, tensor);
    if (shard) {
        dlq_file_release(&shard->file, tensor->file_offset, tensor->nbytes);
    }
}

int32_t
dlq_checkpoint_verify(const dlq_checkpoint *ckpt, const struct dlq_checkpoint_tensor *tensor,
                      struct dlq_error *err)
{
    const struct dlq_shard *const shard = shard_of(ckpt, tensor);
    if (!shard || !shard->file.map) {
        return DLQ_CKPT_FAIL(err, DLQ_EINVAL, "%s: tensor '%s' has no data: %s", ckpt->path,
                             tensor->name,
                             shard ? "the checkpoint was opened for its headers only"
                                   : "it belongs to another checkpoint");
    }
    return dlq_file_check(&shard->file, shard->path, err);
}
