// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "device.h"
#include "error.h"
#include "known.h"
#include "runtime_state.h"

#include <stdarg.h>

// More threads than any machine has: a number out of an uninitialised struct.
#define MAX_THREADS 4096

// Options of another library version: members that the caller does not know are zero, members that
// this library does not know must be.
static int32_t
read_options(struct dlq_runtime_options *out, const struct dlq_runtime_options *options,
             struct dlq_error *err)
{
    *out = (struct dlq_runtime_options){.struct_size = sizeof(*out)};
    if (!options) {
        return DLQ_OK;
    }
    const size_t size = options->struct_size;
    const unsigned char *const bytes = (const unsigned char *)options;
    if (size < sizeof(options->struct_size)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "dlq_runtime_options: struct_size: expected the size of the struct, found "
                        "%zu",
                        size);
    }
    for (size_t i = sizeof(*out); i < size; i++) {
        if (bytes[i] != 0) {
            return dlq_fail(err, DLQ_EINVAL,
                            "dlq_runtime_options: byte %zu is set, this library knows %zu bytes", i,
                            sizeof(*out));
        }
    }
    dlq_copy_known(out, sizeof(*out), options);
    return DLQ_OK;
}

static int32_t
check_options(const struct dlq_runtime_options *o, struct dlq_error *err)
{
    const struct dlq_allocator *const a = o->allocator;
    if (a &&
        (a->struct_size < DLQ_SIZE_UPTO(struct dlq_allocator, free) || !a->alloc || !a->free)) {
        return dlq_fail(err, DLQ_EINVAL, "allocator: a size or a function is missing");
    }
    const struct dlq_threads *const t = o->threads;
    if (t && (t->struct_size < DLQ_SIZE_UPTO(struct dlq_threads, run) || !t->run)) {
        return dlq_fail(err, DLQ_EINVAL, "threads: a size or a function is missing");
    }
    const struct dlq_device_info *const planned = o->planned_device;
    if (planned && planned->struct_size < DLQ_SIZE_UPTO(struct dlq_device_info, name)) {
        return dlq_fail(err, DLQ_EINVAL, "planned_device: a size is missing");
    }
    const int32_t n = t ? t->n_threads : o->n_threads;
    if (n < (t ? 1 : 0) || n > MAX_THREADS) {
        return dlq_fail(err, DLQ_EINVAL, "n_threads: expected %d to %d, found %d", t ? 1 : 0,
                        MAX_THREADS, (int)n);
    }
    return DLQ_OK;
}

static int32_t
init_threads(dlq_runtime *rt, const struct dlq_runtime_options *o, struct dlq_error *err)
{
    if (o->threads) {
        dlq_copy_known(&rt->threads, sizeof(rt->threads), o->threads);
        return DLQ_OK;
    }
    const int32_t n = o->n_threads ? o->n_threads : dlq_device_cpu_cores();
    const int32_t rc = dlq_pool_create(&rt->alloc, n, &rt->pool, err);
    rt->threads = (struct dlq_threads){
        .struct_size = sizeof(rt->threads), .n_threads = n, .ctx = rt->pool, .run = dlq_pool_run};
    return rc;
}

int32_t
dlq_runtime_create(const struct dlq_runtime_options *options, dlq_runtime **out,
                   struct dlq_error *err)
{
    struct dlq_runtime_options o;
    int32_t rc = read_options(&o, options, err);
    if (rc == DLQ_OK) {
        rc = check_options(&o, err);
    }
    if (rc != DLQ_OK) {
        return rc;
    }
    const struct dlq_allocator *const a = o.allocator ? o.allocator : &dlq_system_allocator;
    dlq_runtime *const rt = dlq_calloc(a, 1, sizeof(*rt));
    if (!rt) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a runtime");
    }
    dlq_copy_known(&rt->alloc, sizeof(rt->alloc), a);
    rt->log = (struct dlq_log){.level = o.log_level, .ctx = o.log_ctx, .write = o.log};
    if (o.planned_device) {
        dlq_copy_known(&rt->planned, sizeof(rt->planned), o.planned_device);
    }
    pthread_mutex_init(&rt->lock, NULL);
    dlq_host_init(&rt->host, rt);
    rc = dlq_registry_init(&rt->registry, &o, &rt->alloc, &rt->log, &rt->host, err);
    if (rc == DLQ_OK) {
        rc = init_threads(rt, &o, err);
        if (rc != DLQ_OK) {
            dlq_registry_finish(&rt->registry);
        }
    }
    if (rc != DLQ_OK) {
        pthread_mutex_destroy(&rt->lock);
        dlq_free(a, rt);
        return rc;
    }
    *out = rt;
    return DLQ_OK;
}

void
dlq_runtime_destroy(dlq_runtime *rt)
{
    if (!rt) {
        return;
    }
    const struct dlq_allocator alloc = rt->alloc;
    dlq_quant_config_destroy(rt->unquantized);
    dlq_registry_finish(&rt->registry);
    dlq_pool_destroy(rt->pool);
    pthread_mutex_destroy(&rt->lock);
    dlq_free(&alloc, rt);
}

int32_t
dlq_runtime_add_plugin(dlq_runtime *rt, const struct dlq_plugin *plugin, struct dlq_error *err)
{
    return dlq_registry_add(&rt->registry, plugin, err);
}

int32_t
dlq_runtime_find(dlq_runtime *rt, const char *name, const struct dlq_plugin **out,
                 struct dlq_error *err)
{
    struct dlq_loaded loaded;
    const int32_t rc = dlq_registry_find(&rt->registry, name, &loaded, err);
    if (rc == DLQ_OK) {
        *out = loaded.plugin;
    }
    return rc;
}

int32_t
dlq_runtime_list(dlq_runtime *rt, void (*visit)(void *ctx, const struct dlq_plugin_info *info),
                 void *ctx, struct dlq_error *err)
{
    return dlq_registry_list(&rt->registry, visit, ctx, err);
}

const struct dlq_host *
dlq_runtime_host(dlq_runtime *rt)
{
    return &rt->host;
}

const struct dlq_allocator *
dlq_runtime_allocator(const dlq_runtime *rt)
{
    return &rt->alloc;
}

void
dlq_runtime_log(const dlq_runtime *rt, int32_t level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    dlq_log_vformat(&rt->log, level, fmt, args);
    va_end(args);
}
