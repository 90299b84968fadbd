// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// For sched_getaffinity().
#define _GNU_SOURCE

#include "device.h"

#include "alloc.h"
#include "device_cpu.h"
#include "error.h"
#include "runtime_state.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Device kinds that a module may serve: all below this number but 0 and the CPU.
#define MAX_KINDS 16

// Modules are the process's: a driver context is, too.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct dlq_device_ops *modules[MAX_KINDS]; // Guarded by `lock`

#define FAIL(err, ...) dlq_fail_native(err, DLQ_EDEVICE, DLQ_DOMAIN_DEVICE, 0, __VA_ARGS__)

static const char *
kind_name(int32_t kind, char buf[32])
{
    if (kind == DLQ_DEVICE_CPU) {
        return "CPU";
    }
    if (kind == DLQ_DEVICE_CUDA) {
        return "CUDA";
    }
    snprintf(buf, 32, "kind %d", (int)kind);
    return buf;
}

int32_t
dlq_device_cpu_cores(void)
{
    cpu_set_t set;
    const int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
    if (n > 0) {
        return n;
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int32_t)online : 1;
}

static void
read_cpu_name(char *out, size_t size)
{
    snprintf(out, size, "CPU");
    FILE *const f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof(line), f)) {
        const char *const colon = strchr(line, ':');
        if (colon && !strncmp(line, "model name", 10)) {
            const char *const text = colon + 1 + strspn(colon + 1, " ");
            snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
            break;
        }
    }
    if (f) {
        fclose(f);
    }
}

int32_t
dlq_device_cpu_info(struct dlq_device_info *out, struct dlq_error *err)
{
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    out->multiprocessors = dlq_device_cpu_cores();
    out->memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    read_cpu_name(out->name, sizeof(out->name));
    return dlq_device_cpu_flags(&out->cpu_flags, err);
}

static bool
is_complete(const struct dlq_device_ops *ops)
{
    return ops->count && ops->info && ops->use && ops->alloc && ops->free && ops->upload &&
           ops->post && ops->flush && ops->copy && ops->stream_create && ops->stream_destroy &&
           ops->stream_synchronize && ops->transfer && ops->capture_begin && ops->capture_end &&
           ops->graph_launch && ops->graph_destroy && ops->event_create && ops->event_destroy &&
           ops->event_record && ops->event_elapsed;
}

static int32_t
check_ops(const struct dlq_device_ops *ops, struct dlq_error *err)
{
    if (!ops || ops->struct_size != sizeof(*ops) || !is_complete(ops) ||
        ops->kind <= DLQ_DEVICE_CPU || ops->kind >= MAX_KINDS) {
        return FAIL(err, "device module: its table is incomplete or of another layout");
    }
    if (!ops->version || strcmp(ops->version, dlq_version()) != 0) {
        return FAIL(err, "device module: expected version %s, found %s", dlq_version(),
                    ops->version ? ops->version : "NULL");
    }
    return DLQ_OK;
}

// [lock held]
static int32_t
load_module(struct dlq_registry *reg, const char *file, int32_t kind, struct dlq_error *err)
{
    void *symbol = NULL;
    int32_t rc = dlq_registry_open_module(reg, file, DLQ_DEVICE_MODULE_SYMBOL, &symbol, err);
    if (rc == DLQ_OK) {
        dlq_device_module_fn module;
        memcpy(&module, &symbol, sizeof(module));
        const struct dlq_device_ops *const ops = module();
        rc = check_ops(ops, err);
        if (rc == DLQ_OK && ops->kind != kind) {
            rc = FAIL(err, "%s: kind: expected %d, found %d", file, (int)kind, (int)ops->kind);
        }
        if (rc == DLQ_OK) {
            modules[kind] = ops;
        }
    }
    return rc;
}

int32_t
dlq_device_ops_get(struct dlq_registry *reg, int32_t kind, const struct dlq_device_ops **out,
                   struct dlq_error *err)
{
    char name[32];
    if (kind <= 0 || kind >= MAX_KINDS) {
        return FAIL(err, "device kind: expected 1 to %d, found %d", MAX_KINDS - 1, (int)kind);
    }
    int32_t rc = DLQ_OK;
    pthread_mutex_lock(&lock);
    if (!modules[kind]) {
        struct dlq_error inner = DLQ_ERROR_INIT;
        rc = kind == DLQ_DEVICE_CUDA ? load_module(reg, DLQ_DEVICE_MODULE_CUDA, kind, &inner)
                                     : dlq_fail(&inner, DLQ_EDEVICE, "no module is known for it");
        if (rc != DLQ_OK) {
            rc = FAIL(err, "no %s device: %s", kind_name(kind, name), inner.msg);
        }
    }
    *out = modules[kind];
    pthread_mutex_unlock(&lock);
    return rc;
}

static bool
is_cpu(struct dlq_device device)
{
    return device.kind == DLQ_DEVICE_CPU && device.index == 0;
}

int32_t
dlq_device_ops_find(dlq_runtime *rt, struct dlq_device device, const struct dlq_device_ops **out,
                    struct dlq_error *err)
{
    if (is_cpu(device)) {
        *out = &dlq_device_host_ops;
        return DLQ_OK;
    }
    if (device.kind == DLQ_DEVICE_CPU) {
        return FAIL(err, "no CPU device %d: the CPU has index 0", (int)device.index);
    }
    return dlq_device_ops_get(&rt->registry, device.kind, out, err);
}

int32_t
dlq_runtime_device_info(dlq_runtime *rt, struct dlq_device device, struct dlq_device_info *out,
                        struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    struct dlq_device_info info = {.struct_size = sizeof(info), .device = device};
    if (out->struct_size < DLQ_SIZE_UPTO(struct dlq_device_info, name)) {
        return dlq_fail(err, DLQ_EINVAL,
                        "dlq_device_info: struct_size: expected at least %u, found %u",
                        (unsigned)sizeof(info), (unsigned)out->struct_size);
    }
    int32_t rc = DLQ_OK;
    if (rt->planned.struct_size != 0 && device.kind == rt->planned.device.kind &&
        device.index == rt->planned.device.index) {
        info = rt->planned;
    } else {
        rc = dlq_device_ops_find(rt, device, &ops, err);
        if (rc == DLQ_OK) {
            rc = ops->info(device.index, &info, err);
        }
    }
    if (rc == DLQ_OK) {
        info.struct_size = out->struct_size;
        memcpy(out, &info, sizeof(info));
    }
    return rc;
}

void *
dlq_runtime_device_alloc(dlq_runtime *rt, struct dlq_device device, size_t size, size_t align)
{
    const struct dlq_device_ops *ops = NULL;
    if (align == 0 || (align & (align - 1)) != 0) {
        return NULL;
    }
    size = size ? size : 1;
    if (is_cpu(device)) {
        return rt->alloc.alloc(rt->alloc.ctx, size, align);
    }
    return dlq_device_ops_find(rt, device, &ops, NULL) == DLQ_OK
               ? ops->alloc(device.index, size, align)
               : NULL;
}

void
dlq_runtime_device_free(dlq_runtime *rt, struct dlq_device device, void *ptr)
{
    const struct dlq_device_ops *ops = NULL;
    if (!ptr) {
        return;
    }
    if (is_cpu(device)) {
        dlq_free(&rt->alloc, ptr);
    } else if (dlq_device_ops_find(rt, device, &ops, NULL) == DLQ_OK) {
        ops->free(device.index, ptr);
    }
}

int32_t
dlq_runtime_device_upload(dlq_runtime *rt, struct dlq_device device, void *dst, size_t dst_pitch,
                          const void *src, size_t src_pitch, size_t width, size_t rows,
                          struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    if (width == 0 || rows == 0) {
        return DLQ_OK;
    }
    const int32_t rc = dlq_device_ops_find(rt, device, &ops, err);
    return rc == DLQ_OK ? ops->upload(device.index, &rt->threads, dst, dst_pitch, src, src_pitch,
                                      width, rows, err)
                        : rc;
}

int32_t
dlq_runtime_device_post(dlq_runtime *rt, struct dlq_device device, void *dst, size_t dst_pitch,
                        const void *src, size_t src_pitch, size_t width, size_t rows,
                        struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    if (width == 0 || rows == 0) {
        return DLQ_OK;
    }
    const int32_t rc = dlq_device_ops_find(rt, device, &ops, err);
    return rc == DLQ_OK ? ops->post(device.index, &rt->threads, dst, dst_pitch, src, src_pitch,
                                    width, rows, err)
                        : rc;
}

int32_t
dlq_runtime_device_flush(dlq_runtime *rt, struct dlq_device device, struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    const int32_t rc = dlq_device_ops_find(rt, device, &ops, err);
    return rc == DLQ_OK ? ops->flush(device.index, &rt->threads, err) : rc;
}

int32_t
dlq_runtime_device_copier(dlq_runtime *rt, struct dlq_device device, dlq_device_copy_fn *out,
                          struct dlq_error *err)
{
    const struct dlq_device_ops *ops = NULL;
    const int32_t rc = dlq_device_ops_find(rt, device, &ops, err);
    if (rc == DLQ_OK) {
        *out = ops->copy;
    }
    return rc;
}
