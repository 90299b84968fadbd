// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include <dlquant/plugin.h>

#include <signal.h>
#include <unistd.h>

/// A plugin whose open() never returns, or ends the process, or that is of another ABI: what
/// dlquant-plugin-check must survive.

#if defined(HANG)
#define NAME "hang"
#elif defined(FOREIGN)
#define NAME "foreign"
#undef DLQ_ABI_MAJOR
#define DLQ_ABI_MAJOR 99
#else
#define NAME "crash"
#endif

DLQ_PLUGIN_NOTE(note, "{\"name\":\"" NAME "\",\"aliases\":[],\"version\":\"1.0.0\",\"abi\":[1,0],"
                      "\"devices\":[\"cpu\"],\"dtypes\":[\"fp32\"],\"archs\":[]}");

static int32_t
open_never(const struct dlq_host *host, void **ctx, struct dlq_error *err)
{
    (void)host;
    (void)ctx;
    (void)err;
#ifdef HANG
    pause();
#else
    raise(SIGSEGV);
#endif
    return DLQ_EPLUGIN;
}

static int32_t
create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **config,
       struct dlq_error *err)
{
    (void)ctx;
    (void)text;
    (void)len;
    (void)config;
    return host->fail(err, DLQ_ECONFIG, "never asked");
}

static int32_t
get_quant_method(void *config, const struct dlq_host *host, const struct dlq_layer_info *info,
                 struct dlq_decision *out, struct dlq_error *err)
{
    (void)config;
    (void)info;
    (void)out;
    return host->fail(err, DLQ_ECONFIG, "never asked");
}

static int32_t
describe(const void *config, char *buf, size_t size)
{
    (void)config;
    if (size > 0) {
        buf[0] = '\0';
    }
    return 0;
}

static void
destroy(void *config, const struct dlq_host *host)
{
    (void)config;
    (void)host;
}

static const struct dlq_device_support devices[] = {{DLQ_DEVICE_CPU, 0}, {0, 0}};
static const char *const filenames[] = {NULL};
static const struct dlq_quant_config_ops ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_quant_config_ops, destroy),
    .act_dtypes = DLQ_ACT_F32,
    .devices = devices,
    .config_filenames = filenames,
    .create = create,
    .get_quant_method = get_quant_method,
    .describe = describe,
    .destroy = destroy,
};

static const struct dlq_plugin plugin = {
    .header = {.magic = DLQ_PLUGIN_MAGIC,
               .abi_major = DLQ_ABI_MAJOR,
               .abi_minor = DLQ_ABI_MINOR,
               .struct_size = DLQ_SIZE_UPTO(struct dlq_plugin, get_extension)},
    .name = NAME,
    .version = "1.0.0",
    .note = note,
    .open = open_never,
    .config = &ops,
};

DLQ_EXPORT const struct dlq_plugin *
dlq_plugin_query(void);

const struct dlq_plugin *
dlq_plugin_query(void)
{
    return &plugin;
}
