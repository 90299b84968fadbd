// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "golden.h"
#include "numerics.h"

#include "../../kernels/float16.h"

#include <dlquant/ext/inspect.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t
number(const struct dlq_host *host, const struct dlq_json *root, const char *pointer,
       int64_t otherwise)
{
    int64_t value = otherwise;
    host->json_i64(host->json_get(root, pointer), &value);
    return value;
}

static void
read_heads(struct golden *g)
{
    const struct dlq_host *const host = dlq_runtime_host(g->rt);
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_json *root = NULL;
    size_t len = 0;
    const char *const text = dlq_checkpoint_config(g->ckpt, &len);
    assert_non_null(text);
    test_assert_ok(host->json_parse(host->ctx, text, len, &root, &err), &err);
    const int64_t heads = number(host, root, "/num_attention_heads", 0);
    assert_in_range(heads, 1, 1024);
    g->heads = (int32_t)heads;
    g->kv_heads = (int32_t)number(host, root, "/num_key_value_heads", heads);
    g->head_size =
        (int32_t)number(host, root, "/head_dim", number(host, root, "/hidden_size", 0) / heads);
    host->json_free(host->ctx, root);
}

static void
read_config(struct golden *g)
{
    struct dlq_quant_source source = {.struct_size = sizeof(source)};
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_checkpoint_quant_source(g->ckpt, &source, &err), &err);
    if (source.quant_method[0] != '\0') {
        const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
        test_assert_ok(dlq_quant_config_choose(g->rt, source.quant_method, source.text, source.len,
                                               cpu, &g->config, &err),
                       &err);
    }
}

// Tensor data may stand at any byte; the copy is aligned. NULL when there is no such tensor.
static void *
copy_of(const dlq_checkpoint *ckpt, const char *name, const char *suffix, uint32_t dtype)
{
    char full[160];
    snprintf(full, sizeof(full), "%s%s", name, suffix);
    const struct dlq_checkpoint_tensor *const t = dlq_checkpoint_find(ckpt, full);
    if (!t || t->dtype != dtype) {
        return NULL;
    }
    void *const copy = malloc(t->nbytes);
    assert_non_null(copy);
    memcpy(copy, t->data, t->nbytes);
    return copy;
}

// Outputs of int8 layers are recorded as floats.
static double *
widen(float *y, int64_t n)
{
    double *const out = malloc((size_t)n * sizeof(*out));
    assert_non_null(out);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (double)y[i];
    }
    free(y);
    return out;
}

// A bias of the checkpoint, in whatever float it is.
static float *
bias_of(const dlq_checkpoint *ckpt, const char *name, int64_t n)
{
    char full[160];
    snprintf(full, sizeof(full), "%s.bias", name);
    const struct dlq_checkpoint_tensor *const t = dlq_checkpoint_find(ckpt, full);
    if (!t) {
        return NULL;
    }
    float *const bias = malloc((size_t)n * sizeof(*bias));
    uint8_t *const raw = malloc(t->nbytes);
    assert_non_null(bias);
    assert_non_null(raw);
    memcpy(raw, t->data, t->nbytes);
    for (int64_t i = 0; i < n; i++) {
        bias[i] = rig_get(raw, t->dtype, i);
    }
    free(raw);
    return bias;
}

// What the recorded codes stand for, or NULL where none are recorded. Sets the kind of the codes.
static float *
decode(const dlq_checkpoint *record, const char *name, struct golden_layer *layer)
{
    char full[160];
    snprintf(full, sizeof(full), "%s.xs", name);
    const struct dlq_checkpoint_tensor *const xs = dlq_checkpoint_find(record, full);
    uint8_t *const bytes = copy_of(record, name, ".xq", DLQ_U8);
    uint16_t *const halves = copy_of(record, name, ".xq", DLQ_F16);
    float *const scales = copy_of(record, name, ".xs", DLQ_F32);
    float *out = NULL;
    if (xs && scales && (layer->codes || bytes || halves)) {
        const int64_t per_row = (int64_t)(xs->nbytes / sizeof(float)) / layer->m;
        const int64_t group = numerics_group(layer->k, per_row);
        layer->code_kind = layer->codes ? DLQ_CODES_I8 : bytes ? DLQ_CODES_E4M3 : DLQ_CODES_E2M1;
        out = malloc((size_t)(layer->m * layer->k) * sizeof(*out));
        assert_non_null(out);
        for (int64_t i = 0; i < layer->m * layer->k; i++) {
            const int64_t row = i / layer->k;
            const float scale = scales[row * per_row + i % layer->k / group];
            const float code =
                layer->codes ? (float)(layer->codes[i] - (layer->zeros ? layer->zeros[row] : 0))
                : bytes      ? dlq_k_e4m3_to_f32(bytes[i])
                             : dlq_k_f16_to_f32(halves[i]);
            out[i] = code * scale;
        }
    }
    free(bytes);
    free(halves);
    free(scales);
    return out;
}

static void
add_layer(struct golden *g, const struct dlq_checkpoint_tensor *x, const char *name)
{
    char y_name[160];
    snprintf(y_name, sizeof(y_name), "%s.y", name);
    const struct dlq_checkpoint_tensor *const y = dlq_checkpoint_find(g->record, y_name);
    assert_non_null(y);
    assert_in_range(g->n_layers, 0, TEST_COUNT(g->layers) - 1);
    struct golden_layer *const layer = &g->layers[g->n_layers];
    snprintf(layer->name, sizeof(layer->name), "%s", name);
    layer->m = x->shape[0];
    layer->k = x->shape[1];
    layer->n = y->shape[1];
    layer->codes = copy_of(g->record, name, ".xq", DLQ_I8);
    layer->x = copy_of(g->record, name, ".x", DLQ_F16);
    layer->scales = copy_of(g->record, name, ".xs", DLQ_F32);
    layer->zeros = copy_of(g->record, name, ".azp", DLQ_I32);
    layer->acc = copy_of(g->record, name, ".acc", DLQ_I32);
    layer->bias = bias_of(g->ckpt, name, layer->n);
    layer->y = y->dtype == DLQ_F64
                   ? copy_of(g->record, name, ".y", DLQ_F64)
                   : widen(copy_of(g->record, name, ".y", DLQ_F32), layer->m * layer->n);
    assert_non_null(layer->x);
    layer->coded = decode(g->record, name, layer);
    g->n_layers++;
}

void
golden_open(struct golden *g, const char *folder, uint32_t params_dtype)
{
    memset(g, 0, sizeof(*g));
    g->params_dtype = params_dtype;
    const struct dlq_runtime_options options = {.struct_size = sizeof(options), .n_threads = 2};
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_create(&options, &g->rt, &err), &err);
    test_assert_ok(dlq_checkpoint_open(g->rt, test_data(folder), 0, &g->ckpt, &err), &err);
    const char *const record = test_path(test_data(folder), "golden");
    test_assert_ok(dlq_checkpoint_open(g->rt, record, DLQ_CHECKPOINT_NO_CONFIG, &g->record, &err),
                   &err);
    read_heads(g);
    read_config(g);
    for (size_t i = 0; i < dlq_checkpoint_n_tensors(g->record); i++) {
        const struct dlq_checkpoint_tensor *const x = dlq_checkpoint_tensor_at(g->record, i);
        const size_t len = strlen(x->name);
        char name[128];
        if (len > 2 && len < sizeof(name) && strcmp(x->name + len - 2, ".x") == 0) {
            snprintf(name, sizeof(name), "%.*s", (int)(len - 2), x->name);
            add_layer(g, x, name);
        }
    }
    assert_true(g->n_layers > 0);
}

void
golden_close(struct golden *g)
{
    for (size_t i = 0; i < g->n_layers; i++) {
        free((void *)g->layers[i].x);
        free((void *)g->layers[i].y);
        free((void *)g->layers[i].bias);
        free((void *)g->layers[i].codes);
        free((void *)g->layers[i].coded);
        free((void *)g->layers[i].scales);
        free((void *)g->layers[i].zeros);
        free((void *)g->layers[i].acc);
        free(g->layers[i].weight);
        for (size_t d = 0; d < TEST_COUNT(g->layers[i].rows); d++) {
            free(g->layers[i].rows[d]);
        }
    }
    dlq_quant_config_destroy(g->config);
    dlq_checkpoint_close(g->record);
    dlq_checkpoint_close(g->ckpt);
    dlq_runtime_destroy(g->rt);
}

struct golden_layer *
golden_find(struct golden *g, const char *name)
{
    for (size_t i = 0; i < g->n_layers; i++) {
        if (strcmp(g->layers[i].name, name) == 0) {
            return &g->layers[i];
        }
    }
    return NULL;
}
