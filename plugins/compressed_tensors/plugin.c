// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/gpu.h"
#include "ct.h"

#include <string.h>

/// The descriptor of the plugin "compressed-tensors".

DLQ_PLUGIN_NOTE(note, "{\"name\":\"compressed-tensors\",\"aliases\":[\"compressed_tensors\"],"
                      "\"version\":\"0.1.0\",\"abi\":[1,0]," DLQ_GPU_NOTE ","
                      "\"dtypes\":[\"fp16\",\"bf16\",\"fp32\"]}");

static const char *const aliases[] = {"compressed_tensors", NULL};

static const void *
get_extension(void *ctx, const char *id)
{
    (void)ctx;
    if (strcmp(id, DLQ_EXT_KV_CACHE) == 0) {
        return &ct_kv_cache;
    }
    if (strcmp(id, DLQ_EXT_ROW_SPLIT) == 0) {
        return &ct_row_split;
    }
    return strcmp(id, DLQ_EXT_INSPECT) == 0 ? &ct_inspect : NULL;
}

static const struct dlq_plugin plugin = {
    .header =
        {
            .magic = DLQ_PLUGIN_MAGIC,
            .abi_major = DLQ_ABI_MAJOR,
            .abi_minor = DLQ_ABI_MINOR,
            .struct_size = DLQ_SIZE_UPTO(struct dlq_plugin, get_extension),
            .need = DLQ_NEED_ALLOC | DLQ_NEED_CONFIG | DLQ_NEED_PARAMS | DLQ_NEED_PARALLEL,
        },
    .name = "compressed-tensors",
    .aliases = aliases,
    .version = "0.1.0",
    .note = note,
    .config = &ct_config_ops,
    .get_extension = get_extension,
};

DLQ_EXPORT const struct dlq_plugin *
dlq_plugin_query(void);

const struct dlq_plugin *
dlq_plugin_query(void)
{
    return &plugin;
}
