// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_MODULE_H
#define DLQ_TESTS_MODULE_H

#include "device.h"

#include "error.h"

#include <stdlib.h>
#include <string.h>

/// A device module with one GPU of host memory. MODULE_VERSION and MODULE_KIND make it wrong.

#ifndef MODULE_VERSION
#define MODULE_VERSION DLQ_PROJECT_VERSION
#endif
#ifndef MODULE_KIND
#define MODULE_KIND DLQ_DEVICE_CUDA
#endif

static void *
module_alloc(int32_t index, size_t size, size_t align)
{
    void *ptr = NULL;
    return index == 0 && posix_memalign(&ptr, align, size) == 0 ? ptr : NULL;
}

static void
module_free(int32_t index, void *ptr)
{
    (void)index;
    free(ptr);
}

static int32_t
module_info(int32_t index, struct dlq_device_info *out, struct dlq_error *err)
{
    if (index != 0) {
        return dlq_fail_native(err, DLQ_EDEVICE, DLQ_DOMAIN_DEVICE, 101, "no CUDA device %d",
                               (int)index);
    }
    out->capability = 90;
    memcpy(out->name, "Fake GPU", 9);
    return DLQ_OK;
}

static int32_t
module_upload(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
              size_t width, size_t rows, struct dlq_error *err)
{
    (void)index;
    (void)err;
    for (size_t i = 0; i < rows; i++) {
        memcpy((char *)dst + i * dst_pitch, (const char *)src + i * src_pitch, width);
    }
    return DLQ_OK;
}

static int32_t
module_copy(int32_t index, void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
            size_t width, size_t rows, void *stream, struct dlq_error *err)
{
    (void)stream;
    return module_upload(index, dst, dst_pitch, src, src_pitch, width, rows, err);
}

static const struct dlq_device_ops module = {
    .struct_size = sizeof(module),
    .kind = MODULE_KIND,
    .version = MODULE_VERSION,
    .alloc = module_alloc,
    .free = module_free,
    .info = module_info,
    .upload = module_upload,
    .copy = module_copy,
};

DLQ_EXPORT const struct dlq_device_ops *
dlq_device_module(void);

const struct dlq_device_ops *
dlq_device_module(void)
{
    return &module;
}

#endif // DLQ_TESTS_MODULE_H
