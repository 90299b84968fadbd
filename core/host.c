// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "config.h"
#include "error.h"
#include "params.h"
#include "runtime_state.h"

// The table itself: each function either belongs to the part of the core that does the work, or
// finds the runtime in `ctx` and calls it.

static void
host_log(void *ctx, int32_t level, const char *line)
{
    const dlq_runtime *const rt = ctx;
    dlq_log_line(&rt->log, level, line);
}

static int32_t
host_fail(struct dlq_error *err, int32_t code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    dlq_vfail(err, code, DLQ_DOMAIN_PLUGIN, 0, fmt, args);
    va_end(args);
    return code;
}

static void *
host_alloc(void *ctx, struct dlq_device device, size_t size, size_t align)
{
    return dlq_runtime_device_alloc(ctx, device, size, align);
}

static void
host_free(void *ctx, struct dlq_device device, void *ptr)
{
    dlq_runtime_device_free(ctx, device, ptr);
}

static int32_t
host_device_info(void *ctx, struct dlq_device device, struct dlq_device_info *out)
{
    return dlq_runtime_device_info(ctx, device, out, NULL);
}

static int32_t
host_json_parse(void *ctx, const char *text, size_t len, struct dlq_json **out,
                struct dlq_error *err)
{
    const dlq_runtime *const rt = ctx;
    return dlq_json_parse(&rt->alloc, NULL, text, len, out, err);
}

static void
host_json_free(void *ctx, struct dlq_json *root)
{
    const dlq_runtime *const rt = ctx;
    dlq_json_free(&rt->alloc, root);
}

static void
host_parallel_for(void *ctx, int32_t n_tasks, void (*fn)(void *arg, int32_t task), void *arg)
{
    const dlq_runtime *const rt = ctx;
    rt->threads.run(rt->threads.ctx, n_tasks, fn, arg);
}

static int32_t
host_n_threads(void *ctx)
{
    const dlq_runtime *const rt = ctx;
    return rt->threads.n_threads;
}

static const void *
host_get_extension(void *ctx, const char *id)
{
    // No service is optional yet.
    (void)ctx;
    (void)id;
    return NULL;
}

void
dlq_host_init(struct dlq_host *host, dlq_runtime *rt)
{
    *host = (struct dlq_host){
        .struct_size = sizeof(*host),
        .abi_major = DLQ_ABI_MAJOR,
        .abi_minor = DLQ_ABI_MINOR,
        .ctx = rt,
        .log = host_log,
        .fail = host_fail,
        .alloc = host_alloc,
        .free = host_free,
        .device_info = host_device_info,
        .json_parse = host_json_parse,
        .json_free = host_json_free,
        .json_get = dlq_json_get,
        .json_type = dlq_json_type,
        .json_size = dlq_json_size,
        .json_at = dlq_json_at,
        .json_key = dlq_json_key,
        .json_i64 = dlq_json_i64,
        .json_f64 = dlq_json_f64,
        .json_bool = dlq_json_bool,
        .json_str = dlq_json_str,
        .param_declare = dlq_layer_param_declare,
        .param_get = dlq_layer_param_get,
        .param_replace = dlq_layer_param_replace,
        .parallel_for = host_parallel_for,
        .n_threads = host_n_threads,
        .get_extension = host_get_extension,
    };
}
