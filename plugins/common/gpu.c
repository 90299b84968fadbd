// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include "groups.h"
#include "layer.h"
#include "run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct dlq_device_support dlq_gpu_devices[] = {
    {DLQ_DEVICE_CPU, 0},
#if DLQ_WITH_CUDA
    {DLQ_DEVICE_CUDA, DLQ_GPU_MIN_CAPABILITY},
#endif
    {0, 0},
};

bool
dlq_gpu_is(const struct dlq_layer_info *info)
{
    return info->device.device.kind == DLQ_DEVICE_CUDA;
}

bool
dlq_gpu_runs(const struct dlq_device_info *device)
{
    return device->device.kind == DLQ_DEVICE_CPU ||
           (device->device.kind == DLQ_DEVICE_CUDA && dlq_kg_available() &&
            device->capability >= DLQ_GPU_MIN_CAPABILITY);
}

int32_t
dlq_gpu_check_device(const struct dlq_host *host, const struct dlq_layer_info *info,
                     const char *plugin, struct dlq_error *err)
{
    if (dlq_gpu_runs(&info->device)) {
        return DLQ_OK;
    }
    if (!dlq_kg_available()) {
        return host->fail(err, DLQ_EUNSUPPORTED,
                          "%s: the layer is on %s; %s was built without CUDA and runs on cpu",
                          info->prefix, dlq_device_kind_name(info->device.device.kind), plugin);
    }
    return host->fail(err, DLQ_EUNSUPPORTED,
                      "%s: the layer is on %s of capability %" PRId32
                      "; %s runs on cpu and on cuda from capability %d",
                      info->prefix, dlq_device_kind_name(info->device.device.kind),
                      info->device.capability, plugin, DLQ_GPU_MIN_CAPABILITY);
}

struct dlq_kg_device
dlq_gpu_device(const struct dlq_layer_info *info)
{
    const char *const early = getenv("DLQ_EARLY_LAUNCH");
    const struct dlq_kg_device device = {
        .index = info->device.device.index,
        .capability = info->device.capability,
        .multiprocessors = info->device.multiprocessors,
        .early = info->device.capability >= 90 && !(early && strcmp(early, "0") == 0),
    };
    return device;
}

struct dlq_kg_call
dlq_gpu_call(const struct dlq_linear_call *call)
{
    const struct dlq_kg_call out = {
        .m = call->m,
        .x = call->x,
        .x_stride = call->x_stride,
        .y = call->y,
        .y_stride = call->y_stride,
        .bias = call->bias,
        .workspace = call->workspace,
        .workspace_size = call->workspace_size,
        .stream = call->stream,
    };
    return out;
}

int32_t
dlq_gpu_result(int result, struct dlq_error *err)
{
    if (result <= 0) {
        return dlq_run_result(-result, err);
    }
    dlq_run_set_error(err, DLQ_EDEVICE, result, "a kernel could not be launched");
    return DLQ_EDEVICE;
}

int32_t
dlq_gpu_fail(const struct dlq_host *host, const struct dlq_layer_info *info, const char *tensor,
             int result, int64_t bad, struct dlq_error *err)
{
    if (result <= 0) {
        return dlq_run_fail(host, info, tensor, -result, bad, err);
    }
    host->fail(err, DLQ_EDEVICE, "%s: CUDA error %d: %s", info->prefix, result,
               dlq_kg_error_string(result));
    if (err) {
        err->native = result;
    }
    return DLQ_EDEVICE;
}

int32_t
dlq_gpu_fetch(const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_tensor *tensor, void **copy, struct dlq_error *err)
{
    if (!tensor->data || tensor->device.kind == DLQ_DEVICE_CPU) {
        return DLQ_OK;
    }
    const size_t bytes = (size_t)dlq_tensor_count(tensor) * (DLQ_DTYPE_BITS(tensor->dtype) / 8);
    *copy = dlq_host_calloc(host, bytes, err);
    if (!*copy) {
        return DLQ_ENOMEM;
    }
    const struct dlq_kg_device device = dlq_gpu_device(info);
    const int result = dlq_kg_copy(&device, *copy, tensor->data, bytes);
    tensor->data = *copy;
    return result == DLQ_K_OK ? DLQ_OK : dlq_gpu_fail(host, info, "", result, 0, err);
}

int32_t
dlq_gpu_scales_warn_zero(const struct dlq_host *host, const struct dlq_layer_info *info,
                         const char *name, const struct dlq_tensor *scales, struct dlq_error *err)
{
    const struct dlq_kg_device device = dlq_gpu_device(info);
    const int64_t n = dlq_tensor_count(scales);
    int64_t count = 0;
    int64_t first = 0;
    const int result = dlq_kg_count_zeros(&device, scales->data, scales->dtype, n, &count, &first);
    if (result != DLQ_K_OK) {
        return dlq_gpu_fail(host, info, name, result, 0, err);
    }
    dlq_scales_report_zero(host, info, name, n, count, first);
    return DLQ_OK;
}

int64_t
dlq_gpu_many_rows(const struct dlq_layer_info *info)
{
    return info->max_m > 0 ? info->max_m : 4096;
}

void
dlq_gpu_explain(struct dlq_explanation *out, const char *one, const char *many, int64_t padded_k,
                int64_t padded_n, int64_t bytes)
{
    const bool same = strcmp(one, many) == 0;
    snprintf(out->kernel, sizeof(out->kernel), "%s%s%s", one, same ? "" : " | ", same ? "" : many);
    out->padded_k = padded_k;
    out->padded_n = padded_n;
    out->weight_bytes = bytes;
}
