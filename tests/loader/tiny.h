// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_TINY_H
#define DLQ_TESTS_TINY_H

#include <dlquant/plugin.h>

#include <stddef.h>

/// A plugin that does nothing, right in every detail. A file that defines some of the macros below
/// before it includes this one makes exactly those details wrong.

#ifndef TINY_NAME
#define TINY_NAME "tiny"
#endif
#ifndef TINY_ALIAS
#define TINY_ALIAS "tiny-alias"
#endif
#ifndef TINY_VERSION
#define TINY_VERSION "1.2.3"
#endif
#ifndef TINY_MAGIC
#define TINY_MAGIC DLQ_PLUGIN_MAGIC
#endif
#ifndef TINY_MAJOR
#define TINY_MAJOR DLQ_ABI_MAJOR
#endif
#ifndef TINY_MINOR
#define TINY_MINOR DLQ_ABI_MINOR
#endif
#ifndef TINY_HOST_MIN
#define TINY_HOST_MIN 0
#endif
#ifndef TINY_SIZE
#define TINY_SIZE sizeof(struct dlq_plugin)
#endif
#ifndef TINY_NEED
#define TINY_NEED DLQ_NEED_ALLOC
#endif
#ifndef TINY_OPEN
#define TINY_OPEN tiny_open
#endif
#ifndef TINY_CONFIG
#define TINY_CONFIG &tiny_config
#endif
#ifndef TINY_CONFIG_SIZE
#define TINY_CONFIG_SIZE sizeof(struct dlq_quant_config_ops)
#endif
#ifndef TINY_DEVICES
#define TINY_DEVICES tiny_devices
#endif
#ifndef TINY_FILENAMES
#define TINY_FILENAMES tiny_filenames
#endif
#ifndef TINY_CLAIMS
#define TINY_CLAIMS tiny_claims
#endif
#ifndef TINY_CREATE
#define TINY_CREATE tiny_create
#endif
#ifndef TINY_GET_QUANT_METHOD
#define TINY_GET_QUANT_METHOD tiny_get_quant_method
#endif
#ifndef TINY_DESCRIBE
#define TINY_DESCRIBE tiny_describe
#endif
#ifndef TINY_DESTROY
#define TINY_DESTROY tiny_destroy
#endif
#ifndef TINY_NOTE
#define TINY_NOTE                                                                                  \
    "{\"name\":\"" TINY_NAME "\",\"aliases\":[\"" TINY_ALIAS "\"],\"version\":\"" TINY_VERSION     \
    "\",\"abi\":[1,0],\"claims\":[\"claimed\"]}"
#endif
#ifndef TINY_QUERY_RESULT
#define TINY_QUERY_RESULT &tiny_plugin
#endif

// Not every defect uses every function.
#define TINY_FN __attribute__((unused)) static

DLQ_PLUGIN_NOTE(tiny_note, TINY_NOTE);

// open() may run once only; the context counts.
TINY_FN int32_t
tiny_open(const struct dlq_host *host, void **ctx, struct dlq_error *err)
{
    static int opened;
    (void)err;
    opened++;
    host->log(host->ctx, DLQ_LOG_DEBUG, opened == 1 ? "tiny opened" : "tiny opened again");
    *ctx = &opened;
    return DLQ_OK;
}

TINY_FN int32_t
tiny_claims(void *ctx, const struct dlq_host *host, const char *quant_method, const char *text,
            size_t len, const struct dlq_device_info *device, struct dlq_error *err)
{
    (void)ctx;
    (void)quant_method;
    (void)device;
    return len > 0 && text[0] == '{' ? 1 : (host->fail(err, DLQ_EUNSUPPORTED, "no object"), 0);
}

// A configuration is one block of the host's memory.
TINY_FN int32_t
tiny_create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **config,
            struct dlq_error *err)
{
    (void)ctx;
    if (len > 0 && text[0] != '{') {
        return host->fail(err, DLQ_ECONFIG, "expected an object, found '%c'", text[0]);
    }
    const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
    *config = host->alloc(host->ctx, cpu, 16, 16);
    return *config ? DLQ_OK : host->fail(err, DLQ_ENOMEM, "no memory");
}

TINY_FN int32_t
tiny_get_quant_method(void *config, const struct dlq_host *host, const struct dlq_layer_info *info,
                      struct dlq_decision *out, struct dlq_error *err)
{
    (void)config;
    out->answer = DLQ_UNSUPPORTED;
    host->fail(err, DLQ_EUNSUPPORTED, "%s: tiny runs nothing", info->prefix);
    return DLQ_OK;
}

TINY_FN int32_t
tiny_describe(const void *config, char *buf, size_t size)
{
    static const char text[] = "nothing";
    (void)config;
    for (size_t i = 0; i < size; i++) {
        buf[i] = i + 1 < size && i < sizeof(text) ? text[i] : '\0';
        if (buf[i] == '\0') {
            break;
        }
    }
    return (int32_t)sizeof(text) - 1;
}

TINY_FN void
tiny_destroy(void *config, const struct dlq_host *host)
{
    const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
    host->free(host->ctx, cpu, config);
}

__attribute__((unused)) static const struct dlq_device_support tiny_devices[] = {
    {DLQ_DEVICE_CPU, 0}, {0, 0}};
__attribute__((unused)) static const char *const tiny_filenames[] = {"config.json", NULL};
static const char *const tiny_aliases[] = {TINY_ALIAS, NULL};

__attribute__((unused)) static const struct dlq_quant_config_ops tiny_config = {
    .struct_size = TINY_CONFIG_SIZE,
    .act_dtypes = DLQ_ACT_F32,
    .devices = TINY_DEVICES,
    .config_filenames = TINY_FILENAMES,
    .claims = TINY_CLAIMS,
    .create = TINY_CREATE,
    .get_quant_method = TINY_GET_QUANT_METHOD,
    .describe = TINY_DESCRIBE,
    .destroy = TINY_DESTROY,
};

__attribute__((unused)) static const struct dlq_plugin tiny_plugin = {
    .header = {.magic = TINY_MAGIC,
               .abi_major = TINY_MAJOR,
               .abi_minor = TINY_MINOR,
               .host_min_minor = TINY_HOST_MIN,
               .struct_size = TINY_SIZE,
               .need = TINY_NEED,
               .build_id = 7},
#ifndef TINY_NULL_NAME
    .name = TINY_NAME,
#endif
    .aliases = tiny_aliases,
#ifndef TINY_NULL_VERSION
    .version = TINY_VERSION,
#endif
    .note = tiny_note,
    .open = TINY_OPEN,
    .config = TINY_CONFIG,
};

#ifndef TINY_NO_QUERY
DLQ_EXPORT const struct dlq_plugin *
dlq_plugin_query(void);

const struct dlq_plugin *
dlq_plugin_query(void)
{
    return TINY_QUERY_RESULT;
}
#endif

#endif // DLQ_TESTS_TINY_H
