// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_DEVICE_H
#define DLQ_CORE_DEVICE_H

#include "registry.h"
#include "runtime_internal.h"

#include <dlquant/host.h>
#include <dlquant/runtime.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Devices by kind. The CPU is built in; another kind is a module of this library, loaded when one
/// of its devices is first asked for, so that the library itself needs no driver.

/// What a module implements for the devices of its kind. `index` is the ordinal within the kind.
/// All functions are [any-thread] and leave the caller's current device as it was.
struct dlq_device_ops {
    uint32_t struct_size; ///< sizeof(struct dlq_device_ops)
    int32_t kind;         ///< enum dlq_device_kind
    const char *version;  ///< DLQ_VERSION; a module belongs to one library version

    /// Memory aligned to `align`, or NULL. `size` is above 0.
    void *(*alloc)(int32_t index, size_t size, size_t align);

    /// Give back what alloc() gave for the same index. Never NULL.
    void (*free)(int32_t index, void *ptr);

    /// Fill `out`, whose members are zero but for `device`; DLQ_EDEVICE when there is no such
    /// device.
    int32_t (*info)(int32_t index, struct dlq_device_info *out, struct dlq_error *err);

    /// See dlq_runtime_device_upload().
    int32_t (*upload)(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                      size_t width, size_t rows, struct dlq_error *err);

    /// See dlq_device_copy_fn.
    dlq_device_copy_fn copy;
};

/// The one symbol of a device module: returns static constant data.
typedef const struct dlq_device_ops *(*dlq_device_module_fn)(void);

/// Name of the symbol, for dlsym().
#define DLQ_DEVICE_MODULE_SYMBOL "dlq_device_module"

/// File of the module for DLQ_DEVICE_CUDA.
#define DLQ_DEVICE_MODULE_CUDA "dlquant-cuda.so"

/// The operations of a kind other than the CPU, its module loaded when it is not yet. DLQ_EDEVICE
/// says what is missing.
int32_t
dlq_device_ops_get(struct dlq_registry *reg, int32_t kind, const struct dlq_device_ops **out,
                   struct dlq_error *err);

/// Facts of the CPU that this process runs on.
int32_t
dlq_device_cpu_info(struct dlq_device_info *out, struct dlq_error *err);

/// Cores that this process may run on, 1 or more.
int32_t
dlq_device_cpu_cores(void);

#endif // DLQ_CORE_DEVICE_H
