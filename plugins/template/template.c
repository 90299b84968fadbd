// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include <dlquant/ext/inspect.h>
#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/// The smallest complete plugin: int8 weights with one scale per output.
///
///     W[n, k] = weight[n, k] * scale[n]        weight int8 [N, K], scale fp32 [N]
///
/// Read it from the bottom to the top: the descriptor, the configuration, the method. Copy the
/// folder to begin a plugin of your own; README.md says what to change first.

// The method: how one layer is created, filled and applied.

/// The object that stands for one layer. It keeps what apply() needs, because apply() gets no
/// layer: sizes, and pointers to parameters that belong to the host.
struct method {
    int64_t k;
    int64_t n;
    const int8_t *weight; ///< NULL before process_weights()
    const float *scale;
};

static int32_t
can_implement(void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_error *err)
{
    (void)method;
    if (info->device.device.kind != DLQ_DEVICE_CPU || info->act_dtype != DLQ_F32) {
        return host->fail(err, DLQ_EUNSUPPORTED, "%s: template runs fp32 activations on cpu",
                          info->prefix);
    }
    if (info->output_size_per_partition > INT32_MAX) {
        return host->fail(err, DLQ_ESHAPE, "%s: template runs one task an output, N is too large",
                          info->prefix);
    }
    return DLQ_OK;
}

// Declare parameters with the sizes of this rank. The host allocates them, finds the tensors of
// these names under the layer's path, and cuts this rank's share out of each: `output_dim` is the
// dimension that follows N, `input_dim` the one that follows K.
static int32_t
create_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct method *const m = method;
    m->k = info->input_size_per_partition;
    m->n = info->output_size_per_partition;
    const struct dlq_param_desc weight = {
        .struct_size = DLQ_SIZE_UPTO(struct dlq_param_desc, fill),
        .name = "weight",
        .dtype = DLQ_I8,
        .ndim = 2,
        .shape = {m->n, m->k},
        .output_dim = 0,
        .input_dim = 1,
        .packed_dim = -1,
        .pack_num = 1,
        .pack_den = 1,
    };
    const struct dlq_param_desc scale = {
        .struct_size = DLQ_SIZE_UPTO(struct dlq_param_desc, fill),
        .flags = DLQ_PARAM_CAST | DLQ_PARAM_FINITE, // fp16 and bf16 scales too, no NaN
        .name = "scale",
        .dtype = DLQ_F32,
        .ndim = 1,
        .shape = {m->n},
        .output_dim = 0,
        .input_dim = -1, // K does not cut it: every rank of a row-parallel layer holds all of it
        .packed_dim = -1,
        .pack_num = 1,
        .pack_den = 1,
    };
    const int32_t status = host->param_declare(layer, &weight, err);
    return status == DLQ_OK ? host->param_declare(layer, &scale, err) : status;
}

// Everything is loaded. A faster plugin repacks here and hands the result to param_replace().
static int32_t
process_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    (void)info;
    struct method *const m = method;
    struct dlq_tensor weight = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    struct dlq_tensor scale = weight;
    int32_t status = host->param_get(layer, "weight", &weight, err);
    if (status == DLQ_OK) {
        status = host->param_get(layer, "scale", &scale, err);
    }
    if (status == DLQ_OK) {
        m->weight = weight.data;
        m->scale = scale.data;
    }
    return status;
}

struct product {
    const struct method *m;
    const struct dlq_linear_call *call;
};

static void
multiply_output(void *arg, int32_t n)
{
    const struct method *const m = ((struct product *)arg)->m;
    const struct dlq_linear_call *const call = ((struct product *)arg)->call;
    const int8_t *const weight = m->weight + n * m->k;
    for (int64_t row = 0; row < call->m; row++) {
        const float *const x = (const float *)call->x + row * call->x_stride;
        double sum = 0.0;
        for (int64_t k = 0; k < m->k; k++) {
            sum += (double)x[k] * weight[k];
        }
        sum = sum * m->scale[n] + (call->bias ? call->bias[n] : 0.0F);
        ((float *)call->y)[row * call->y_stride + n] = (float)sum;
    }
}

// A [stream] function: no allocation, no lock, no log. Threads come from the host.
static int32_t
apply(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    (void)err;
    struct product product = {method, call};
    call->host->parallel_for(call->host->ctx, (int32_t)product.m->n, multiply_output, &product);
    return DLQ_OK;
}

static int32_t
explain(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    (void)method;
    (void)host;
    (void)err;
    const int64_t k = info->input_size_per_partition;
    const int64_t n = info->output_size_per_partition;
    snprintf(out->scheme, sizeof(out->scheme), "W8A32 int8 channel");
    snprintf(out->kernel, sizeof(out->kernel), "plain C");
    out->note[0] = '\0';
    out->group = 0;
    out->padded_k = k;
    out->padded_n = n;
    out->weight_bytes = n * k + n * (int64_t)sizeof(float);
    return DLQ_OK;
}

static void
method_destroy(void *method, const struct dlq_host *host)
{
    host->free(host->ctx, (struct dlq_device){DLQ_DEVICE_CPU, 0}, method);
}

static const struct dlq_linear_method_ops method_ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_linear_method_ops, destroy),
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .apply = apply,
    .explain = explain,
    .destroy = method_destroy,
};

// An extension, so that tools can compare apply() with the weights it stands for.

static int32_t
dequantize(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
           float *weight, struct dlq_error *err)
{
    const struct method *const m = method;
    if (!m->weight) {
        return host->fail(err, DLQ_ESTATE, "%s: the weights are not processed", info->prefix);
    }
    for (int64_t i = 0; i < m->n * m->k; i++) {
        weight[i] = (float)m->weight[i] * m->scale[i / m->k];
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
    .struct_size = DLQ_SIZE_UPTO(struct dlq_ext_inspect, accumulate),
    .dequantize = dequantize,
    .code_kind = code_kind,
};

// The configuration: from a checkpoint's JSON to a method per layer.

struct config {
    struct dlq_json *root;       ///< Owner of every text below it
    const struct dlq_json *skip; ///< "skip": an array of layer paths, or NULL
};

// Text from a checkpoint is untrusted: check every type, name the field, free on every way out.
static int32_t
read_config(const struct dlq_host *host, const char *text, size_t len, struct config *config,
            struct dlq_error *err)
{
    const int32_t status = host->json_parse(host->ctx, text, len, &config->root, err);
    if (status != DLQ_OK) {
        return status;
    }
    int64_t bits = 8;
    const struct dlq_json *const node = host->json_get(config->root, "/bits");
    if (node && (host->json_i64(node, &bits) != DLQ_OK || bits != 8)) {
        return host->fail(err, DLQ_ECONFIG, "/bits: 8 is accepted");
    }
    config->skip = host->json_get(config->root, "/skip");
    if (config->skip && host->json_type(config->skip) != DLQ_JSON_ARRAY) {
        return host->fail(err, DLQ_ECONFIG, "/skip: an array is expected");
    }
    for (size_t i = 0; i < host->json_size(config->skip); i++) {
        if (host->json_type(host->json_at(config->skip, i)) != DLQ_JSON_STRING) {
            return host->fail(err, DLQ_ECONFIG, "/skip/%zu: a string is expected", i);
        }
    }
    return DLQ_OK;
}

static void
config_destroy(void *config, const struct dlq_host *host)
{
    struct config *const c = config;
    host->json_free(host->ctx, c->root);
    host->free(host->ctx, (struct dlq_device){DLQ_DEVICE_CPU, 0}, c);
}

static int32_t
config_create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **out,
              struct dlq_error *err)
{
    (void)ctx;
    struct config *const c =
        host->alloc(host->ctx, (struct dlq_device){DLQ_DEVICE_CPU, 0}, sizeof(*c), 64);
    if (!c) {
        return host->fail(err, DLQ_ENOMEM, "no memory");
    }
    *c = (struct config){0};
    const int32_t status = read_config(host, text, len, c, err);
    if (status != DLQ_OK) {
        config_destroy(c, host);
        return status;
    }
    *out = c;
    return DLQ_OK;
}

static bool
is_skipped(const struct config *c, const struct dlq_host *host, const char *path)
{
    for (size_t i = 0; i < host->json_size(c->skip); i++) {
        const char *entry = "";
        if (host->json_str(host->json_at(c->skip, i), &entry, NULL) == DLQ_OK &&
            strcmp(entry, path) == 0) {
            return true;
        }
    }
    return false;
}

// The three answers: DLQ_METHOD, DLQ_NOT_QUANTIZED, or DLQ_UNSUPPORTED with the reason in `err`.
static int32_t
get_quant_method(void *config, const struct dlq_host *host, const struct dlq_layer_info *info,
                 struct dlq_decision *out, struct dlq_error *err)
{
    if (is_skipped(config, host, info->prefix)) {
        out->answer = DLQ_NOT_QUANTIZED;
        snprintf(out->rule, sizeof(out->rule), "/skip names it");
        return DLQ_OK;
    }
    struct method *const m =
        host->alloc(host->ctx, (struct dlq_device){DLQ_DEVICE_CPU, 0}, sizeof(*m), 64);
    if (!m) {
        return host->fail(err, DLQ_ENOMEM, "%s: no memory", info->prefix);
    }
    *m = (struct method){0};
    out->answer = DLQ_METHOD;
    out->ops = &method_ops;
    out->method = m;
    snprintf(out->scheme, sizeof(out->scheme), "W8A32 int8 channel");
    snprintf(out->rule, sizeof(out->rule), "every layer that /skip does not name");
    return DLQ_OK;
}

static int32_t
describe(const void *config, char *buf, size_t size)
{
    (void)config;
    return snprintf(buf, size, "template: int8 weights, one scale per output");
}

static const struct dlq_device_support devices[] = {{DLQ_DEVICE_CPU, 0}, {0, 0}};
static const char *const filenames[] = {NULL};

static const struct dlq_quant_config_ops config_ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_quant_config_ops, destroy),
    .act_dtypes = DLQ_ACT_F32,
    .devices = devices,
    .config_filenames = filenames,
    .create = config_create,
    .get_quant_method = get_quant_method,
    .describe = describe,
    .destroy = config_destroy,
};

// The descriptor: what dlq_plugin_query() returns, and the only thing that is exported.

// The same facts as an ELF note, so that the plugin can be listed without running its code.
DLQ_PLUGIN_NOTE(note, "{\"name\":\"template\",\"aliases\":[],\"version\":\"0.1.0\",\"abi\":[1,0],"
                      "\"devices\":[\"cpu\"],\"dtypes\":[\"fp32\"],\"archs\":[]}");

static const void *
get_extension(void *ctx, const char *id)
{
    (void)ctx;
    return strcmp(id, DLQ_EXT_INSPECT) == 0 ? &inspect : NULL;
}

static const struct dlq_plugin plugin = {
    .header =
        {
            .magic = DLQ_PLUGIN_MAGIC,
            .abi_major = DLQ_ABI_MAJOR,
            .abi_minor = DLQ_ABI_MINOR,
            .struct_size = DLQ_SIZE_UPTO(struct dlq_plugin, get_extension),
            .need = DLQ_NEED_ALLOC | DLQ_NEED_CONFIG | DLQ_NEED_PARAMS | DLQ_NEED_PARALLEL,
        },
    .name = "template",
    .version = "0.1.0",
    .note = note,
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
