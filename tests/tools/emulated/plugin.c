// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../../kernels/float16.h"
#include "emulator.h"

#include <dlquant/ext/inspect.h>
#include <dlquant/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// The method "unquantized" on emulated GPUs: weights in the dtype of the activations, double sums.
/// With DLQ_TEST_ONE_STREAM a layer is wrong on any stream but the first that it was called on.

struct method {
    const struct dlq_layer_info *info;
    const void *weight; ///< [N, K] on the device
    const void *stream; ///< Of the first call
};

static float
get(uint32_t dtype, const void *p, int64_t i)
{
    return dtype == DLQ_F32   ? ((const float *)p)[i]
           : dtype == DLQ_F16 ? dlq_k_f16_to_f32(((const uint16_t *)p)[i])
                              : dlq_k_bf16_to_f32(((const uint16_t *)p)[i]);
}

static void
put(uint32_t dtype, void *p, int64_t i, float v)
{
    if (dtype == DLQ_F32) {
        ((float *)p)[i] = v;
    } else {
        ((uint16_t *)p)[i] = dtype == DLQ_F16 ? dlq_k_f32_to_f16(v) : dlq_k_f32_to_bf16(v);
    }
}

static int32_t
can_implement(void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_error *err)
{
    (void)method;
    (void)host;
    (void)info;
    (void)err;
    return DLQ_OK;
}

static int32_t
create_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct method *const m = method;
    const struct dlq_param_desc desc = {
        .struct_size = sizeof(desc),
        .flags = DLQ_PARAM_CAST,
        .name = "weight",
        .dtype = info->act_dtype,
        .ndim = 2,
        .shape = {info->output_size_per_partition, info->input_size_per_partition},
        .output_dim = 0,
        .input_dim = 1,
        .packed_dim = -1,
    };
    m->info = info;
    return host->param_declare(layer, &desc, err);
}

static int32_t
process_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct method *const m = method;
    struct dlq_tensor view = {.struct_size = sizeof(view)};
    (void)info;
    const int32_t rc = host->param_get(layer, "weight", &view, err);
    m->weight = view.data;
    return rc;
}

static size_t
workspace_size(const void *method, int64_t max_m)
{
    (void)method;
    return 4 * (size_t)max_m;
}

static int32_t
apply(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    struct method *const m = (struct method *)(uintptr_t)method;
    const int64_t n = m->info->output_size_per_partition;
    const int64_t k = m->info->input_size_per_partition;
    const uint32_t dtype = m->info->act_dtype;
    const void *const w = emulator_touch(m->weight);
    const void *const x = emulator_touch(call->x);
    const float *const bias = emulator_touch(call->bias);
    (void)err;
    memset(emulator_touch(call->workspace), 0x3C, workspace_size(method, call->m));
    for (int64_t i = 0; i < call->m * n; i++) {
        const int64_t row = i / n;
        double sum = bias ? (double)bias[i % n] : 0.0;
        for (int64_t j = 0; j < k; j++) {
            sum += (double)get(dtype, x, row * call->x_stride + j) *
                   (double)get(dtype, w, i % n * k + j);
        }
        put(dtype, emulator_touch(call->y), row * call->y_stride + i % n, (float)sum);
    }
    m->stream = m->stream ? m->stream : call->stream;
    if (call->stream != m->stream && getenv("DLQ_TEST_ONE_STREAM")) {
        put(dtype, emulator_touch(call->y), 0, 0.0f);
    }
    return DLQ_OK;
}

static int32_t
explain(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    (void)method;
    (void)host;
    (void)err;
    snprintf(out->scheme, sizeof(out->scheme), "unquantized");
    snprintf(out->kernel, sizeof(out->kernel), "emulated on %d of capability %d",
             info->device.device.index, info->device.capability);
    out->padded_k = info->input_size_per_partition;
    out->padded_n = info->output_size_per_partition;
    return DLQ_OK;
}

static void
destroy(void *method, const struct dlq_host *host)
{
    host->free(host->ctx, (struct dlq_device){DLQ_DEVICE_CPU, 0}, method);
}

static const struct dlq_linear_method_ops method_ops = {
    .struct_size = sizeof(method_ops),
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .destroy = destroy,
};

static int32_t
config_create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **config,
              struct dlq_error *err)
{
    (void)host;
    (void)text;
    (void)len;
    (void)err;
    *config = ctx;
    return DLQ_OK;
}

static int32_t
get_quant_method(void *config, const struct dlq_host *host, const struct dlq_layer_info *info,
                 struct dlq_decision *out, struct dlq_error *err)
{
    (void)config;
    (void)info;
    out->answer = DLQ_METHOD;
    out->ops = &method_ops;
    struct method *const m =
        host->alloc(host->ctx, (struct dlq_device){DLQ_DEVICE_CPU, 0}, sizeof(*m), 16);
    if (!m) {
        return host->fail(err, DLQ_ENOMEM, "no memory for a method");
    }
    *m = (struct method){NULL, NULL, NULL};
    out->method = m;
    return DLQ_OK;
}

static int32_t
config_describe(const void *config, char *buf, size_t size)
{
    (void)config;
    return snprintf(buf, size, "emulated");
}

static void
config_destroy(void *config, const struct dlq_host *host)
{
    (void)config;
    (void)host;
}

static int32_t
dequantize(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
           float *weight, struct dlq_error *err)
{
    const struct method *const m = method;
    const int64_t count = info->output_size_per_partition * info->input_size_per_partition;
    (void)host;
    (void)err;
    for (int64_t i = 0; i < count; i++) {
        weight[i] = get(info->act_dtype, emulator_touch(m->weight), i);
    }
    return DLQ_OK;
}

static int32_t
code_kind(const void *method, int64_t *scales_per_row)
{
    (void)method;
    *scales_per_row = 0;
    return DLQ_CODES_NONE;
}

static const struct dlq_ext_inspect inspect = {
    .struct_size = sizeof(inspect),
    .dequantize = dequantize,
    .code_kind = code_kind,
};

static const void *
get_extension(void *ctx, const char *id)
{
    (void)ctx;
    return strcmp(id, DLQ_EXT_INSPECT) == 0 ? &inspect : NULL;
}

static const struct dlq_device_support devices[] = {{DLQ_DEVICE_CUDA, 80}, {0, 0}};
static const char *const filenames[] = {NULL};

static const struct dlq_quant_config_ops config_ops = {
    .struct_size = sizeof(config_ops),
    .act_dtypes = DLQ_ACT_F16 | DLQ_ACT_BF16 | DLQ_ACT_F32,
    .devices = devices,
    .config_filenames = filenames,
    .create = config_create,
    .get_quant_method = get_quant_method,
    .describe = config_describe,
    .destroy = config_destroy,
};

static const struct dlq_plugin plugin = {
    .header = {.magic = DLQ_PLUGIN_MAGIC,
               .abi_major = DLQ_ABI_MAJOR,
               .abi_minor = DLQ_ABI_MINOR,
               .struct_size = sizeof(plugin)},
    .name = "unquantized",
    .version = "1.0",
    .config = &config_ops,
    .get_extension = get_extension,
};

DLQ_EXPORT const struct dlq_plugin *
dlq_plugin_query(void);

const struct dlq_plugin *
dlq_plugin_query(void)
{
    return &plugin;
}
