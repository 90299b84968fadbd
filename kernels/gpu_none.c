// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu_call.h"
#include "gpu_dense.h"
#include "gpu_fp.h"
#include "gpu_w8a8.h"
#include "gpu_wna16.h"

/// A build without CUDA: no operation exists.

int
dlq_kg_copy(const struct dlq_kg_device *device, void *dst, const void *src, size_t bytes)
{
    (void)device;
    (void)dst;
    (void)src;
    (void)bytes;
    return -DLQ_K_EUNSUPPORTED;
}

int
dlq_kg_count_zeros(const struct dlq_kg_device *device, const void *values, uint32_t dtype,
                   int64_t n, int64_t *count, int64_t *first)
{
    (void)device;
    (void)values;
    (void)dtype;
    (void)n;
    (void)count;
    (void)first;
    return -DLQ_K_EUNSUPPORTED;
}

bool
dlq_kg_available(void)
{
    return false;
}

const char *
dlq_kg_error_string(int result)
{
    (void)result;
    return "built without CUDA";
}

const struct dlq_kg_wna16_ops *
dlq_kg_wna16(void)
{
    return NULL;
}

const struct dlq_kg_w8a8_ops *
dlq_kg_w8a8(void)
{
    return NULL;
}

const struct dlq_kg_fp_ops *
dlq_kg_fp(void)
{
    return NULL;
}

const struct dlq_kg_dense_ops *
dlq_kg_dense(void)
{
    return NULL;
}
