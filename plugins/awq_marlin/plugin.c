// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/gpu.h"
#include "awq_marlin.h"

#include <string.h>

/// The descriptor of the plugin "awq_marlin": AWQ checkpoints in the gemm packing.

DLQ_PLUGIN_NOTE(note, "{\"name\":\"awq_marlin\",\"aliases\":[\"awq\",\"auto_awq\"],"
                      "\"version\":\"0.1.0\",\"abi\":[1,0]," DLQ_GPU_NOTE ","
                      "\"dtypes\":[\"fp16\",\"bf16\",\"fp32\"]}");

static const char *const aliases[] = {"awq", "auto_awq", NULL};

static const void *
get_extension(void *ctx, const char *id)
{
    (void)ctx;
    return strcmp(id, DLQ_EXT_INSPECT) == 0 ? &awq_inspect : NULL;
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
    .name = "awq_marlin",
    .aliases = aliases,
    .version = "0.1.0",
    .note = note,
    .config = &awq_config_ops,
    .get_extension = get_extension,
};

DLQ_EXPORT const struct dlq_plugin *
dlq_plugin_query(void);

const struct dlq_plugin *
dlq_plugin_query(void)
{
    return &plugin;
}
