// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rig.h"

#include "../../kernels/float16.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
rig_fail(struct check_result *result, const char *fmt, ...)
{
    if (result->verdict != CHECK_FAIL) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(result->text, sizeof(result->text), fmt, args);
        va_end(args);
        result->verdict = CHECK_FAIL;
    }
    return false;
}

bool
rig_skip(struct check_result *result, const char *fmt, ...)
{
    if (result->verdict == CHECK_PASS) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(result->text, sizeof(result->text), fmt, args);
        va_end(args);
        result->verdict = CHECK_SKIP;
    }
    return false;
}

bool
rig_refusal_is_clean(int32_t status, const struct dlq_error *err, const char *what,
                     struct check_result *result)
{
    if (err->code != status) {
        return rig_fail(result, "%s: returned %d, the error record says %d", what, (int)status,
                        (int)err->code);
    }
    if (err->msg[0] == '\0' || strchr(err->msg, '\n')) {
        return rig_fail(result, "%s: refused with %s; one line of text is expected", what,
                        err->msg[0] == '\0' ? "no message" : "several lines");
    }
    return true;
}

static const size_t MAX_BLOCK = (size_t)1 << 30;

static void *
memory_alloc(void *ctx, size_t size, size_t align)
{
    struct rig_memory *const m = ctx;
    pthread_mutex_lock(&m->lock);
    m->calls++;
    // Layers that are too large on purpose must not reach the machine's memory.
    const bool fails = m->forbidden || m->calls == m->fail_at || size > MAX_BLOCK;
    m->broken += m->forbidden;
    void *ptr = NULL;
    if (!fails && posix_memalign(&ptr, align < sizeof(void *) ? sizeof(void *) : align,
                                 size > 0 ? size : 1) != 0) {
        ptr = NULL;
    }
    m->live += ptr != NULL;
    pthread_mutex_unlock(&m->lock);
    return ptr;
}

static void
memory_free(void *ctx, void *ptr)
{
    struct rig_memory *const m = ctx;
    if (ptr) {
        pthread_mutex_lock(&m->lock);
        m->live--;
        pthread_mutex_unlock(&m->lock);
        free(ptr);
    }
}

bool
rig_open(struct rig *rig, const struct check_subject *subject, const struct check_case *c,
         int32_t n_threads, struct check_result *result)
{
    memset(rig, 0, sizeof(*rig));
    rig->subject = subject;
    pthread_mutex_init(&rig->memory.lock, NULL);
    rig->memory.a.struct_size = sizeof(rig->memory.a);
    rig->memory.a.ctx = &rig->memory;
    rig->memory.a.alloc = memory_alloc;
    rig->memory.a.free = memory_free;
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options),
        .load_policy = DLQ_LOAD_NONE,
        .allocator = &rig->memory.a,
        .n_threads = n_threads,
    };
    struct dlq_error err = DLQ_ERROR_INIT;
    int32_t status = dlq_runtime_create(&options, &rig->rt, &err);
    if (status == DLQ_OK) {
        status = dlq_runtime_add_plugin(rig->rt, subject->plugin, &err);
    }
    if (status == DLQ_OK && c) {
        status = dlq_quant_config_create(rig->rt, subject->plugin->name, c->config,
                                         strlen(c->config), &rig->config, &err);
    }
    if (status != DLQ_OK) {
        rig_fail(result, "%s: %s", c ? c->name : "runtime", err.msg);
        rig_close(rig);
        return false;
    }
    return true;
}

void
rig_close(struct rig *rig)
{
    dlq_quant_config_destroy(rig->config);
    dlq_runtime_destroy(rig->rt);
    pthread_mutex_destroy(&rig->memory.lock);
    rig->config = NULL;
    rig->rt = NULL;
}

struct rig_spec
rig_spec_of(const struct check_case *c, uint32_t act_dtype)
{
    const struct rig_spec spec = {
        .kind = DLQ_REPLICATED,
        .k = c->k,
        .n = c->n,
        .act_dtype = act_dtype,
        .params_dtype = c->params_dtype,
        .size = 1,
    };
    return spec;
}

int32_t
rig_layer_create(struct rig *rig, const struct rig_spec *spec, dlq_linear **out,
                 struct dlq_error *err)
{
    const struct dlq_linear_desc desc = {
        .struct_size = sizeof(desc),
        .flags = (spec->bias ? DLQ_LINEAR_BIAS : 0U) |
                 (spec->kind == DLQ_ROW && spec->size > 1 ? DLQ_LINEAR_NO_REDUCE : 0U),
        .prefix = "model.layers.0.self_attn.o_proj",
        .input_size = spec->k,
        .output_size = spec->n,
        .params_dtype = spec->params_dtype,
        .act_dtype = spec->act_dtype,
        .tp_rank = spec->rank,
        .tp_size = spec->size,
        .config = rig->config,
    };
    switch (spec->kind) {
    case DLQ_COLUMN:
        return dlq_linear_column_create(rig->rt, &desc, out, err);
    case DLQ_ROW:
        return dlq_linear_row_create(rig->rt, &desc, out, err);
    default:
        return dlq_linear_replicated_create(rig->rt, &desc, out, err);
    }
}

int32_t
rig_layer_fill(dlq_linear *layer, const struct rig_image *image, struct dlq_error *err)
{
    int32_t status = DLQ_OK;
    for (size_t i = 0; status == DLQ_OK && i < image->n; i++) {
        status = dlq_linear_load_tensor(layer, image->names[i], dlq_part_fused(),
                                        &image->tensors[i], err);
    }
    return status == DLQ_OK ? dlq_linear_process(layer, err) : status;
}

int32_t
rig_layer_make(struct rig *rig, const struct rig_spec *spec, const struct rig_image *image,
               dlq_linear **out, struct dlq_error *err)
{
    int32_t status = rig_layer_create(rig, spec, out, err);
    if (status != DLQ_OK) {
        return status;
    }
    status = rig_layer_fill(*out, image, err);
    if (status != DLQ_OK) {
        dlq_linear_destroy(*out);
        *out = NULL;
    }
    return status;
}

static size_t
tensor_bytes(const struct dlq_tensor *t)
{
    size_t bits = DLQ_DTYPE_BITS(t->dtype);
    for (int32_t i = 0; i < t->ndim; i++) {
        bits *= (size_t)t->shape[i];
    }
    return bits / 8;
}

uint64_t
rig_layer_hash(const dlq_linear *layer)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const struct dlq_param_desc *desc = NULL;
    struct dlq_tensor view = {.struct_size = sizeof(view)};
    for (size_t i = 0; dlq_linear_param_at(layer, i, &desc, &view, NULL) == DLQ_OK; i++) {
        const uint8_t *const bytes = view.data;
        const size_t n = bytes ? tensor_bytes(&view) : 0;
        for (size_t j = 0; j < n; j++) {
            hash = (hash ^ bytes[j]) * UINT64_C(0x100000001b3);
        }
    }
    return hash;
}

void
rig_act_dtypes(const struct dlq_plugin *plugin, uint32_t out[4])
{
    static const struct {
        uint32_t bit;
        uint32_t dtype;
    } all[] = {{DLQ_ACT_F32, DLQ_F32}, {DLQ_ACT_F16, DLQ_F16}, {DLQ_ACT_BF16, DLQ_BF16}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if ((plugin->config->act_dtypes & all[i].bit) != 0) {
            out[n++] = all[i].dtype;
        }
    }
    out[n] = DLQ_DTYPE_NONE;
}

const char *
rig_dtype_name(uint32_t dtype)
{
    return dtype == DLQ_F16 ? "fp16" : dtype == DLQ_BF16 ? "bf16" : "fp32";
}

void
rig_each_case(const struct check_subject *subject, bool biases,
              void (*body)(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
                           struct check_result *result),
              struct check_result *result)
{
    uint32_t dtypes[4];
    rig_act_dtypes(subject->plugin, dtypes);
    if (subject->n_cases == 0) {
        rig_skip(result, "no configuration was given");
    }
    for (size_t i = 0; i < subject->n_cases; i++) {
        struct rig rig;
        for (size_t j = 0; dtypes[j] != DLQ_DTYPE_NONE && result->verdict != CHECK_FAIL; j++) {
            if (!rig_open(&rig, subject, &subject->cases[i], 2, result)) {
                return;
            }
            struct rig_spec spec = rig_spec_of(&subject->cases[i], dtypes[j]);
            body(&rig, &subject->cases[i], &spec, result);
            if (biases) {
                spec.bias = true;
                body(&rig, &subject->cases[i], &spec, result);
            }
            rig_close(&rig);
        }
    }
}

float
rig_get(const void *p, uint32_t dtype, int64_t i)
{
    return dlq_k_load_f32(p, dtype, i);
}

void
rig_set(void *p, uint32_t dtype, int64_t i, float v)
{
    dlq_k_store_f32(p, dtype, i, v);
}

size_t
rig_size(uint32_t dtype)
{
    return dlq_k_act_size(dtype);
}

// splitmix64, Sebastiano Vigna, public domain.
uint64_t
rig_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

float
rig_uniform(uint64_t *state, float lo, float hi)
{
    return lo + (hi - lo) * (float)(rig_random(state) >> 40) * 0x1p-24F;
}
