// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_method.h"

#include "float16.h"

#include <stdio.h>
#include <string.h>

struct fake_knobs fake;

const char *const fake_scheme_names[FAKE_N_SCHEMES] = {"plain", "packed_k", "act_order",
                                                       "packed_n"};

int32_t
fake_fail(const struct dlq_host *host, int32_t code, const char *step, struct dlq_error *err)
{
    return code == DLQ_OK || fake.silent ? code
                                         : host->fail(err, code, "%s was told to fail", step);
}

static int64_t
gcd(int64_t a, int64_t b)
{
    return b == 0 ? a : gcd(b, a % b);
}

static int32_t
can_implement(void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
              struct dlq_error *err)
{
    struct fake_method *const m = method;
    m->group = m->config.group;
    for (int32_t r = 0; r <= info->tp_size; ++r) {
        m->group = gcd(m->group, info->input_bounds[r]);
    }
    return fake_fail(host, fake.can_fails, "can_implement", err);
}

static struct dlq_param_desc
describe(const char *name, uint32_t dtype, int64_t rows, int64_t cols)
{
    return (struct dlq_param_desc){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_param_desc, fill),
        .name = name,
        .dtype = dtype,
        .ndim = 2,
        .shape = {rows, cols},
        .output_dim = 0,
        .input_dim = 1,
        .packed_dim = -1,
        .pack_num = 1,
        .pack_den = 1,
    };
}

// One element of all parts, or one a part.
static struct dlq_param_desc
describe_flat(const char *name, uint32_t dtype, int64_t n, int32_t slots, uint32_t flags)
{
    struct dlq_param_desc d = describe(name, dtype, n, 0);
    d.ndim = 1;
    d.output_dim = -1;
    d.input_dim = -1;
    d.slot_count = slots;
    d.flags = flags;
    return d;
}

static struct dlq_param_desc
pack(struct dlq_param_desc d)
{
    d.packed_dim = 1;
    d.pack_num = 8;
    return d;
}

// Codes in the order of their bits: any cut will do.
static struct dlq_param_desc
pack_in_order(struct dlq_param_desc d)
{
    d = pack(d);
    d.flags |= DLQ_PARAM_LSB_FIRST;
    return d;
}

static struct dlq_param_desc
group(struct dlq_param_desc d, const struct fake_method *m, int32_t dim)
{
    d.block[dim] = m->group;
    d.ckpt_block[dim] = m->config.group;
    d.flags = DLQ_PARAM_CAST | DLQ_PARAM_FINITE;
    return d;
}

static struct dlq_param_desc
turn(struct dlq_param_desc d)
{
    d.output_dim = 1;
    d.input_dim = 0;
    return d;
}

static int32_t
declare_packed_k(const struct fake_method *m, const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, struct dlq_error *err)
{
    const int64_t n = info->output_size_per_partition;
    const int64_t k = info->input_size_per_partition;
    const uint32_t shared = DLQ_PARAM_REPLICATED;
    struct dlq_param_desc scale = group(describe("weight_scale", DLQ_F32, n, k / m->group), m, 1);
    struct dlq_param_desc index = describe_flat("weight_g_idx", DLQ_I32, k, 0, shared);
    if (m->config.scheme == FAKE_ACT_ORDER) {
        scale = describe("weight_scale", DLQ_F32, n, info->input_size / m->config.group);
        scale.input_dim = -1;
        index.input_dim = 0;
    } else {
        index.flags |= DLQ_PARAM_OPTIONAL;
    }
    const struct dlq_param_desc all[] = {
        pack_in_order(describe("weight_packed", DLQ_I32, n, (k + 7) / 8)),
        scale,
        index,
        describe_flat("global_scale", DLQ_F32, info->n_parts, info->n_parts, 0),
        describe_flat("input_scale", DLQ_F32, 1, 0, shared | DLQ_PARAM_ACCEPT_0D),
        describe_flat("weight_shape", DLQ_I64, 2, 0, shared | DLQ_PARAM_LAST_WRITE_OK),
    };
    int32_t rc = DLQ_OK;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all) && rc == DLQ_OK; ++i) {
        rc = host->param_declare(layer, &all[i], err);
    }
    return rc;
}

static int32_t
declare_packed_n(const struct fake_method *m, const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, struct dlq_error *err)
{
    const int64_t n = info->output_size_per_partition;
    const int64_t k = info->input_size_per_partition;
    const struct dlq_param_desc all[] = {
        pack(turn(describe("qweight", DLQ_I32, k, n / 8))),
        group(pack(turn(describe("qzeros", DLQ_I32, k / m->group, n / 8))), m, 0),
        group(turn(describe("scales", DLQ_F32, k / m->group, n)), m, 0),
    };
    int32_t rc = DLQ_OK;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all) && rc == DLQ_OK; ++i) {
        rc = host->param_declare(layer, &all[i], err);
    }
    return rc;
}

static int32_t
create_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
               const struct dlq_layer_info *info, struct dlq_error *err)
{
    const struct fake_method *const m = method;
    if (fake.create_fails != DLQ_OK) {
        return fake_fail(host, fake.create_fails, "create_weights", err);
    }
    if (fake.declares_bias) {
        const struct dlq_param_desc bias = describe_flat("bias", DLQ_F32, 1, 0, 0);
        return host->param_declare(layer, &bias, err);
    }
    if (m->config.scheme == FAKE_PACKED_N) {
        return declare_packed_n(m, host, layer, info, err);
    }
    if (m->config.scheme != FAKE_PLAIN) {
        return declare_packed_k(m, host, layer, info, err);
    }
    struct dlq_param_desc weight = describe("weight", DLQ_F32, info->output_size_per_partition,
                                            info->input_size_per_partition);
    weight.flags = DLQ_PARAM_CAST;
    return host->param_declare(layer, &weight, err);
}

// Where the method may touch memory of its device.
static void *
here(const void *device)
{
    return device ? (char *)(uintptr_t)device + fake.device_offset : NULL;
}

static const void *
data_of(const struct dlq_host *host, struct dlq_layer *layer, const char *name)
{
    struct dlq_tensor view = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    return host->param_get(layer, name, &view, NULL) == DLQ_OK ? here(view.data) : NULL;
}

static int32_t
repack(const struct dlq_host *host, struct dlq_layer *layer, const char *name,
       struct dlq_error *err)
{
    struct dlq_tensor view = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides)};
    int32_t rc = host->param_get(layer, name, &view, err);
    if (rc == DLQ_OK) {
        const size_t bytes = (size_t)(view.shape[0] * view.shape[1]) * 4;
        void *const copy = host->alloc(host->ctx, view.device, bytes, 64);
        if (!copy) {
            return host->fail(err, DLQ_ENOMEM, "no memory to repack");
        }
        memcpy(here(copy), here(view.data), bytes);
        view.data = copy;
        rc = host->param_replace(layer, name, &view, err);
    }
    return rc;
}

static int32_t
process_weights(void *method, const struct dlq_host *host, struct dlq_layer *layer,
                const struct dlq_layer_info *info, struct dlq_error *err)
{
    struct fake_method *const m = method;
    static const char *const weights[] = {"weight", "weight_packed", "weight_packed", "qweight"};
    if (fake.process_fails != DLQ_OK) {
        return fake_fail(host, fake.process_fails, "process_weights", err);
    }
    if (fake.replaces_bias) {
        return host->param_replace(layer, "bias", NULL, err);
    }
    if (fake.repacks) {
        const int32_t rc = repack(host, layer, weights[m->config.scheme], err);
        if (rc != DLQ_OK) {
            return rc;
        }
    }
    m->info = info;
    m->weight = data_of(host, layer, weights[m->config.scheme]);
    m->scale = data_of(host, layer, m->config.scheme == FAKE_PACKED_N ? "scales" : "weight_scale");
    m->zero = data_of(host, layer, "qzeros");
    m->global = data_of(host, layer, "global_scale");
    m->g_idx = data_of(host, layer, "weight_g_idx");
    return DLQ_OK;
}

static size_t
workspace_size(const void *method, int64_t max_m)
{
    (void)method;
    return fake.workspace * (size_t)max_m;
}

static int32_t
code_at(const void *words, int64_t row, int64_t n_words, int64_t i)
{
    return (int32_t)(((const uint32_t *)words)[row * n_words + i / 8] >> (4 * (i % 8)) & 15u);
}

static float
weight_at(const struct fake_method *m, int64_t n, int64_t k)
{
    const int64_t n_pp = m->info->output_size_per_partition;
    const int64_t k_pp = m->info->input_size_per_partition;
    if (m->config.scheme == FAKE_PLAIN) {
        return ((const float *)m->weight)[n * k_pp + k];
    }
    if (m->config.scheme == FAKE_PACKED_N) {
        const int64_t g = k / m->group;
        const int32_t d = code_at(m->weight, k, n_pp / 8, n) - code_at(m->zero, g, n_pp / 8, n);
        return (float)d * ((const float *)m->scale)[g * n_pp + n];
    }
    int32_t part = 0;
    while (part + 1 < m->info->n_parts && n >= m->info->parts[part + 1]->local_offset) {
        ++part;
    }
    const bool ordered = m->config.scheme == FAKE_ACT_ORDER;
    const int64_t groups = ordered ? m->info->input_size / m->config.group : k_pp / m->group;
    const int64_t g = ordered ? ((const int32_t *)m->g_idx)[k] : k / m->group;
    const int32_t d = code_at(m->weight, n, (k_pp + 7) / 8, k) - 8;
    return (float)d * ((const float *)m->scale)[n * groups + g] * ((const float *)m->global)[part];
}

static float
get(const void *x, uint32_t dtype, int64_t i)
{
    float f = 0;
    dlq_cast(DLQ_F32, &f, dtype, (const char *)x + i * (DLQ_DTYPE_BITS(dtype) / 8), 1);
    return f;
}

static int32_t
apply(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    if (fake.apply) {
        return fake.apply(method, call, err);
    }
    const struct fake_method *const m = method;
    const uint32_t dtype = m->info->act_dtype;
    const int64_t es = DLQ_DTYPE_BITS(dtype) / 8;
    const float *const bias = here(call->bias);
    const void *const x = here(call->x);
    char *const y = here(call->y);
    atomic_fetch_add_explicit(&fake.applied, 1, memory_order_relaxed);
    if (fake.apply_fails != DLQ_OK) {
        return fake_fail(call->host, fake.apply_fails, "apply", err);
    }
    if (fake.workspace) {
        memset(here(call->workspace), 0xA5, call->workspace_size);
    }
    for (int64_t r = 0; r < call->m; ++r) {
        for (int64_t n = 0; n < m->info->output_size_per_partition; ++n) {
            double acc = 0;
            for (int64_t k = 0; k < m->info->input_size_per_partition; ++k) {
                acc += (double)get(x, dtype, r * call->x_stride + k) * weight_at(m, n, k);
            }
            const float sum = (float)acc + (bias ? bias[n] : 0);
            dlq_cast(dtype, y + (r * call->y_stride + n) * es, DLQ_F32, &sum, 1);
        }
    }
    return DLQ_OK;
}

static int32_t
explain(const void *method, const struct dlq_host *host, const struct dlq_layer_info *info,
        struct dlq_explanation *out, struct dlq_error *err)
{
    const struct fake_method *const m = method;
    if (fake.explain_fails != DLQ_OK) {
        return fake_fail(host, fake.explain_fails, "explain", err);
    }
    snprintf(out->scheme, sizeof(out->scheme), "%s", fake_scheme_names[m->config.scheme]);
    snprintf(out->kernel, sizeof(out->kernel), "double loop");
    out->note[0] = '\0';
    out->group = m->group;
    out->padded_k = info->input_size_per_partition;
    out->padded_n = info->output_size_per_partition;
    out->weight_bytes = 0;
    return DLQ_OK;
}

static void
destroy_method(void *method, const struct dlq_host *host)
{
    --fake.methods;
    host->free(host->ctx, fake_cpu, method);
}

const struct dlq_linear_method_ops fake_method_ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_linear_method_ops, destroy),
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .destroy = destroy_method,
};

const struct dlq_linear_method_ops fake_method_ops_without_apply = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_linear_method_ops, destroy),
    .can_implement = can_implement,
    .create_weights = create_weights,
    .explain = explain,
    .destroy = destroy_method,
};
