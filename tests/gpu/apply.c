// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "gpu.h"

#include <cuda_runtime_api.h>

#include <stdio.h>
#include <string.h>

/// A method that launches two things and computes nothing, called by a layer and directly.

enum { CALLS = 200, BATCHES = 51, LAUNCHES = 2, K = 4096, N = 4096 };

static int32_t
launch(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    (void)method;
    (void)err;
    for (int i = 0; i < LAUNCHES; i++) {
        if (cudaMemsetAsync(call->y, i, N * 2, call->stream) != cudaSuccess) {
            return DLQ_EDEVICE;
        }
    }
    return DLQ_OK;
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
    (void)layer;
    return can_implement(method, host, info, err);
}

static size_t
workspace_size(const void *method, int64_t max_m)
{
    (void)method;
    return (size_t)max_m * 256;
}

static int32_t
explain(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    (void)method;
    (void)host;
    (void)info;
    (void)out;
    (void)err;
    return DLQ_OK;
}

static void
destroy_method(void *method, const struct dlq_host *host)
{
    (void)method;
    (void)host;
}

static const struct dlq_linear_method_ops method_ops = {
    .struct_size = sizeof(method_ops),
    .can_implement = can_implement,
    .create_weights = create_weights,
    .workspace_size = workspace_size,
    .apply = launch,
    .explain = explain,
    .destroy = destroy_method,
};

static int32_t
create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **config,
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
    (void)host;
    (void)info;
    (void)err;
    out->answer = DLQ_METHOD;
    out->ops = &method_ops;
    out->method = config;
    return DLQ_OK;
}

static int32_t
describe(const void *config, char *buf, size_t size)
{
    (void)config;
    return snprintf(buf, size, "launches");
}

static const struct dlq_device_support devices[] = {{DLQ_DEVICE_CUDA, 0}, {0, 0}};
static const char *const filenames[] = {NULL};

static const struct dlq_quant_config_ops config_ops = {
    .struct_size = sizeof(config_ops),
    .act_dtypes = DLQ_ACT_F16,
    .devices = devices,
    .config_filenames = filenames,
    .create = create,
    .get_quant_method = get_quant_method,
    .describe = describe,
    .destroy = destroy_method,
};

static const struct dlq_plugin plugin = {
    .header = {.magic = DLQ_PLUGIN_MAGIC,
               .abi_major = DLQ_ABI_MAJOR,
               .abi_minor = DLQ_ABI_MINOR,
               .struct_size = sizeof(plugin)},
    .name = "launches",
    .version = "1.0",
    .config = &config_ops,
};

// Microseconds of a call, through the layer (NULL: directly), of one batch.
static double
time_batch(dlq_linear *layer, const struct dlq_linear_io *io)
{
    const struct dlq_linear_call call = {
        .struct_size = sizeof(call), .m = io->m, .x = io->x, .y = io->y, .stream = io->stream};
    const double t = gpu_seconds();
    for (int i = 0; i < CALLS; i++) {
        if (layer) {
            (void)dlq_linear_apply(layer, io, NULL);
        } else {
            (void)method_ops.apply(NULL, &call, NULL);
        }
    }
    const double us = (gpu_seconds() - t) / CALLS * 1e6;
    // The device catches up, so that no launch ever waits for room in its queue.
    (void)cudaDeviceSynchronize();
    return us;
}

// Medians of both, taken in turn.
static void
time_both(dlq_linear *layer, const struct dlq_linear_io *io, double *direct, double *through)
{
    double direct_us[BATCHES];
    double through_us[BATCHES];
    for (int b = 0; b < BATCHES; b++) {
        direct_us[b] = time_batch(NULL, io);
        through_us[b] = time_batch(layer, io);
    }
    *direct = gpu_median(direct_us, BATCHES);
    *through = gpu_median(through_us, BATCHES);
}

static int32_t
make_layer(const struct gpu_world *w, dlq_quant_config **config, dlq_linear **layer,
           struct dlq_error *err)
{
    int32_t rc = dlq_runtime_add_plugin(w->rt, &plugin, err);
    if (rc == DLQ_OK) {
        rc = dlq_quant_config_create(w->rt, "launches", "{}", 2, config, err);
    }
    const struct dlq_linear_desc desc = {.struct_size = sizeof(desc),
                                         .prefix = "l",
                                         .input_size = K,
                                         .output_size = N,
                                         .act_dtype = DLQ_F16,
                                         .device = w->device,
                                         .config = *config};
    if (rc == DLQ_OK) {
        rc = dlq_linear_column_create(w->rt, &desc, layer, err);
    }
    return rc == DLQ_OK ? dlq_linear_process(*layer, err) : rc;
}

int
gpu_apply_cost(double limit)
{
    struct gpu_world w;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_quant_config *config = NULL;
    dlq_linear *layer = NULL;
    dlq_stream *stream = NULL;
    void *memory = NULL;
    double more = -1.0;
    gpu_begin(&w, 1);
    if (make_layer(&w, &config, &layer, &err) == DLQ_OK &&
        dlq_stream_create(w.rt, w.device, &stream, &err) == DLQ_OK &&
        dlq_device_alloc(w.rt, w.device, 1 << 20, &memory, &err) == DLQ_OK) {
        const struct dlq_linear_io io = {.struct_size = sizeof(io),
                                         .m = 1,
                                         .x = (char *)memory + (64 << 10),
                                         .y = memory,
                                         .stream = dlq_stream_handle(stream),
                                         .workspace = (char *)memory + (512 << 10),
                                         .workspace_size = 64 << 10};
        double direct = 0.0;
        double through = 0.0;
        time_both(layer, &io, &direct, &through);
        more = through - direct;
        printf("%sok - apply adds %.3f us to %.3f us of %d launches, limit %.1f us\n",
               more <= limit ? "" : "not ", more, direct, LAUNCHES, limit);
    } else {
        printf("not ok - apply: %s\n", err.msg);
        more = limit + 1.0;
    }
    dlq_device_free(w.rt, w.device, memory);
    dlq_stream_destroy(stream);
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(config);
    gpu_end(&w);
    return more > limit;
}
