// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "layer.h"

#include <stdio.h>
#include <string.h>

static const struct dlq_device host_memory = {DLQ_DEVICE_CPU, 0};

const struct dlq_evidence *
dlq_evidence_find(const struct dlq_layer_info *info, int32_t part, const char *name)
{
    const struct dlq_evidence *found = NULL;
    for (int32_t i = 0; i < info->n_evidence; i++) {
        const struct dlq_evidence *const e = info->evidence[i];
        if (strcmp(e->name, name) == 0) {
            if (e->part == part) {
                return e;
            }
            if (e->part == -1) {
                found = e;
            }
        }
    }
    return found;
}

const char *
dlq_evidence_names(const struct dlq_layer_info *info, int32_t part, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (int32_t i = 0; i < info->n_evidence; i++) {
        const struct dlq_evidence *const e = info->evidence[i];
        if ((e->part == part || e->part == -1) && used < size) {
            const int n = snprintf(buf + used, size - used, "%s%s", used > 0 ? ", " : "", e->name);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    if (used == 0) {
        snprintf(buf, size, "none");
    }
    return buf;
}

const char *
dlq_path_last(const char *path)
{
    const char *const dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

bool
dlq_path_has_components(const char *path, const char *entry)
{
    const size_t len = strlen(entry);
    if (len == 0) {
        return false;
    }
    for (const char *p = path; p; p = strchr(p, '.')) {
        p += p != path; // past the dot
        if (strncmp(p, entry, len) == 0 && (p[len] == '\0' || p[len] == '.')) {
            return true;
        }
    }
    return false;
}

static const char *
replace_prefix(const char *path, const char *from, const char *to, char buf[DLQ_PATH_SIZE])
{
    const size_t len = strlen(from);
    if (strncmp(path, from, len) != 0) {
        return NULL;
    }
    const int n = snprintf(buf, DLQ_PATH_SIZE, "%s%s", to, path + len);
    return n >= 0 && n < DLQ_PATH_SIZE ? buf : NULL;
}

const char *
dlq_path_form(const char *path, int form, char buf[DLQ_PATH_SIZE])
{
    static const char model[] = "model.";
    static const char language[] = "model.language_model.";
    switch (form) {
    case 0:
        return path;
    case 1:
        return strncmp(path, model, strlen(model)) == 0 ? path + strlen(model)
                                                        : replace_prefix(path, "", model, buf);
    case 2:
        return strncmp(path, language, strlen(language)) == 0
                   ? replace_prefix(path, language, model, buf)
                   : replace_prefix(path, model, language, buf);
    default:
        return NULL;
    }
}

uint32_t
dlq_act_dtype_bit(uint32_t dtype)
{
    switch (dtype) {
    case DLQ_F16:
        return DLQ_ACT_F16;
    case DLQ_BF16:
        return DLQ_ACT_BF16;
    case DLQ_F32:
        return DLQ_ACT_F32;
    default:
        return 0;
    }
}

const char *
dlq_dtype_name(uint32_t dtype)
{
    static const struct {
        uint32_t dtype;
        const char *name;
    } names[] = {
        {DLQ_F16, "fp16"},
        {DLQ_BF16, "bf16"},
        {DLQ_F32, "fp32"},
        {DLQ_F64, "fp64"},
        {DLQ_I8, "int8"},
        {DLQ_U8, "uint8"},
        {DLQ_I32, "int32"},
        {DLQ_I64, "int64"},
        {DLQ_I16, "int16"},
        {DLQ_F8_E4M3, "e4m3"},
        {DLQ_F8_E5M2, "e5m2"},
        {DLQ_F8_E8M0, "e8m0"},
        {DLQ_F4_E2M1, "e2m1"},
        {DLQ_BOOL, "bool"},
        {DLQ_U16, "uint16"},
        {DLQ_U32, "uint32"},
        {DLQ_U64, "uint64"},
        {DLQ_C64, "complex64"},
        {DLQ_F6_E2M3, "e2m3"},
        {DLQ_F6_E3M2, "e3m2"},
        {DLQ_F8_E4M3FNUZ, "e4m3fnuz"},
        {DLQ_DTYPE_NONE, "none"},
        {DLQ_F8_E5M2FNUZ, "e5m2fnuz"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (names[i].dtype == dtype) {
            return names[i].name;
        }
    }
    return "unknown dtype";
}

const char *
dlq_device_kind_name(int32_t kind)
{
    return kind == DLQ_DEVICE_CPU ? "cpu" : kind == DLQ_DEVICE_CUDA ? "cuda" : "device";
}

void *
dlq_host_calloc(const struct dlq_host *host, size_t size, struct dlq_error *err)
{
    void *const ptr = host->alloc(host->ctx, host_memory, size, 64);
    if (!ptr) {
        host->fail(err, DLQ_ENOMEM, "no memory for %zu bytes", size);
        return NULL;
    }
    memset(ptr, 0, size);
    return ptr;
}

void
dlq_host_free(const struct dlq_host *host, void *ptr)
{
    host->free(host->ctx, host_memory, ptr);
}

int64_t
dlq_tensor_count(const struct dlq_tensor *tensor)
{
    int64_t n = 1;
    for (int32_t i = 0; i < tensor->ndim; i++) {
        n *= tensor->shape[i];
    }
    return n;
}

struct dlq_param_desc
dlq_param_desc_init(const char *name, uint32_t dtype, int32_t ndim, const int64_t *shape)
{
    struct dlq_param_desc desc = {
        .struct_size = DLQ_SIZE_UPTO(struct dlq_param_desc, fill),
        .name = name,
        .dtype = dtype,
        .ndim = ndim,
        .output_dim = -1,
        .input_dim = -1,
        .packed_dim = -1,
        .pack_num = 1,
        .pack_den = 1,
    };
    memcpy(desc.shape, shape, (size_t)ndim * sizeof(*shape));
    return desc;
}
