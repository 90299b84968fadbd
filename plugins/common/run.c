// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "run.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

struct dlq_k_parallel
dlq_run_parallel(const struct dlq_host *host, int n_threads)
{
    const struct dlq_k_parallel parallel = {
        .ctx = host->ctx,
        .n_threads = n_threads,
        .run = host->parallel_for,
    };
    return parallel;
}

struct dlq_k_linear_call
dlq_run_call(const struct dlq_linear_call *call, uint32_t act_dtype,
             const struct dlq_k_parallel *parallel)
{
    const struct dlq_k_linear_call out = {
        .m = call->m,
        .x = call->x,
        .x_stride = call->x_stride,
        .x_dtype = act_dtype,
        .y_dtype = act_dtype,
        .y = call->y,
        .y_stride = call->y_stride,
        .bias = call->bias,
        .bias_dtype = DLQ_F32,
        .workspace = call->workspace,
        .parallel = parallel,
    };
    return out;
}

static int32_t
status_of(int result)
{
    switch (result) {
    case DLQ_K_OK:
        return DLQ_OK;
    case DLQ_K_ESHAPE:
        return DLQ_ESHAPE;
    case DLQ_K_EDTYPE:
        return DLQ_EDTYPE;
    case DLQ_K_EUNSUPPORTED:
        return DLQ_EUNSUPPORTED;
    default:
        return DLQ_EFORMAT;
    }
}

void
dlq_run_set_error(struct dlq_error *err, int32_t code, int32_t native, const char *message)
{
    const size_t size = strlen(message) + 1;
    if (err) {
        err->code = code;
        err->native = native;
        err->domain = native != 0 ? DLQ_DOMAIN_DEVICE : DLQ_DOMAIN_PLUGIN;
        if (err->struct_size >= offsetof(struct dlq_error, msg) + size) {
            memcpy(err->msg, message, size);
        }
    }
}

int32_t
dlq_run_result(int result, struct dlq_error *err)
{
    const int32_t code = status_of(result);
    if (code != DLQ_OK) {
        dlq_run_set_error(err, code, 0,
                          "the kernel refused the call: a size, stride or dtype of x or y");
    }
    return code;
}

int32_t
dlq_run_fail(const struct dlq_host *host, const struct dlq_layer_info *info, const char *tensor,
             int result, int64_t bad, struct dlq_error *err)
{
    const int32_t code = status_of(result);
    switch (result) {
    case DLQ_K_ESCALE:
        return host->fail(err, code, "%s.%s: element %" PRId64 " is NaN or infinite", info->prefix,
                          tensor, bad);
    case DLQ_K_ECODE:
        return host->fail(err, code, "%s.%s: element %" PRId64 " is out of range", info->prefix,
                          tensor, bad);
    case DLQ_K_EINDEX:
        return host->fail(err, code, "%s.%s: element %" PRId64 " names a group that does not exist",
                          info->prefix, tensor, bad);
    default:
        return host->fail(err, code, "%s: no kernel packs K %" PRId64 ", N %" PRId64, info->prefix,
                          info->input_size_per_partition, info->output_size_per_partition);
    }
}

void *
dlq_run_pack_alloc(const struct dlq_host *host, const struct dlq_layer_info *info, int64_t bytes,
                   struct dlq_error *err)
{
    void *const data = host->alloc(host->ctx, info->device.device, (size_t)bytes, DLQ_K_ALIGN);
    if (!data) {
        host->fail(err, DLQ_ENOMEM, "%s: no memory for %" PRId64 " bytes of packed weights",
                   info->prefix, bytes);
    }
    return data;
}

int32_t
dlq_run_pack_commit(const struct dlq_host *host, struct dlq_layer *layer,
                    const struct dlq_layer_info *info, const char *name, void *data, int64_t bytes,
                    struct dlq_error *err)
{
    const struct dlq_tensor tensor = {
        .struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
        .dtype = DLQ_U8,
        .data = data,
        .device = info->device.device,
        .ndim = 1,
        .shape = {bytes},
        .strides = {1},
    };
    const int32_t status = host->param_replace(layer, name, &tensor, err);
    if (status != DLQ_OK) {
        dlq_run_pack_free(host, info, data);
    }
    return status;
}

void
dlq_run_pack_free(const struct dlq_host *host, const struct dlq_layer_info *info, void *data)
{
    host->free(host->ctx, info->device.device, data);
}
