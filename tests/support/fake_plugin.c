// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"

#include "float16.h"

#include <stdio.h>
#include <string.h>

struct fake_knobs fake;

enum scheme { PLAIN, PACKED_K, ACT_ORDER, PACKED_N, N_SCHEMES };

static const char *const scheme_names[] = {"plain", "packed_k", "act_order", "packed_n"};

struct config {
    enum scheme scheme;
    int64_t group;
};

struct method {
    struct config config;
    const struct dlq_layer_info *info;
    int64_t group; ///< After refinement
    const void *weight, *scale, *zero, *global, *g_idx;
};

static const struct dlq_device cpu = {.kind = DLQ_DEVICE_CPU};

static int32_t
fail(const struct dlq_host *host, int32_t code, const char *step, struct dlq_error *err)
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
    struct method *const m = method;
    m->group = m->config.group;
    for (int32_t r = 0; r <= info->tp_size; ++r) {
        m->group = gcd(m->group, info->input_bounds[r]);
    }
    return fail(host, fake.can_fails, "can_implement", err);
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
group(struct dlq_param_desc d, const struct method *m, int32_t dim)
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
declare_packed_k(const struct method *m, const struct dlq_host *host, struct dlq_layer *layer,
                 const struct dlq_layer_info *info, struct dlq_error *err)
{
    const int64_t n = info->output_size_per_partition;
    const int64_t k = info->input_size_per_partition;
    const uint32_t shared = DLQ_PARAM_REPLICATED;
    struct dlq_param_desc scale = group(describe("weight_scale", DLQ_F32, n, k / m->group), m, 1);
    struct dlq_param_desc index = describe_flat("weight_g_idx", DLQ_I32, k, 0, shared);
    if (m->config.scheme == ACT_ORDER) {
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
declare_packed_n(const struct method *m, const struct dlq_host *host, struct dlq_layer *layer,
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
    const struct method *const m = method;
    if (fake.create_fails != DLQ_OK) {
        return fail(host, fake.create_fails, "create_weights", err);
    }
    if (fake.declares_bias) {
        const struct dlq_param_desc bias = describe_flat("bias", DLQ_F32, 1, 0, 0);
        return host->param_declare(layer, &bias, err);
    }
    if (m->config.scheme == PACKED_N) {
        return declare_packed_n(m, host, layer, info, err);
    }
    if (m->config.scheme != PLAIN) {
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
    struct method *const m = method;
    static const char *const weights[] = {"weight", "weight_packed", "weight_packed", "qweight"};
    if (fake.process_fails != DLQ_OK) {
        return fail(host, fake.process_fails, "process_weights", err);
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
    m->scale = data_of(host, layer, m->config.scheme == PACKED_N ? "scales" : "weight_scale");
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
weight_at(const struct method *m, int64_t n, int64_t k)
{
    const int64_t n_pp = m->info->output_size_per_partition;
    const int64_t k_pp = m->info->input_size_per_partition;
    if (m->config.scheme == PLAIN) {
        return ((const float *)m->weight)[n * k_pp + k];
    }
    if (m->config.scheme == PACKED_N) {
        const int64_t g = k / m->group;
        const int32_t d = code_at(m->weight, k, n_pp / 8, n) - code_at(m->zero, g, n_pp / 8, n);
        return (float)d * ((const float *)m->scale)[g * n_pp + n];
    }
    int32_t part = 0;
    while (part + 1 < m->info->n_parts && n >= m->info->parts[part + 1]->local_offset) {
        ++part;
    }
    const bool ordered = m->config.scheme == ACT_ORDER;
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
    const struct method *const m = method;
    const uint32_t dtype = m->info->act_dtype;
    const int64_t es = DLQ_DTYPE_BITS(dtype) / 8;
    const float *const bias = here(call->bias);
    const void *const x = here(call->x);
    char *const y = here(call->y);
    atomic_fetch_add_explicit(&fake.applied, 1, memory_order_relaxed);
    if (fake.apply_fails != DLQ_OK) {
        return fail(call->host, fake.apply_fails, "apply", err);
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
    const struct method *const m = method;
    if (fake.explain_fails != DLQ_OK) {
        return fail(host, fake.explain_fails, "explain", err);
    }
    snprintf(out->scheme, sizeof(out->scheme), "%s", scheme_names[m->config.scheme]);
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
    host->free(host->ctx, cpu, method);
}

static const struct dlq_linear_method_ops method_ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_linear_method_ops, destroy),
    .can_implement = can_implement,
    .create_weights = create_weights,
    .process_weights = process_weights,
    .workspace_size = workspace_size,
    .apply = apply,
    .explain = explain,
    .destroy = destroy_method,
};

static const struct dlq_linear_method_ops method_ops_without_apply = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_linear_method_ops, destroy),
    .can_implement = can_implement,
    .create_weights = create_weights,
    .explain = explain,
    .destroy = destroy_method,
};

static int32_t
make_config(const struct dlq_host *host, enum scheme scheme, int64_t group_size, void **config,
            struct dlq_error *err)
{
    struct config *const c = host->alloc(host->ctx, cpu, sizeof(*c), 16);
    if (!c) {
        return host->fail(err, DLQ_ENOMEM, "no memory for a configuration");
    }
    *c = (struct config){.scheme = scheme, .group = group_size};
    ++fake.configs;
    *config = c;
    return DLQ_OK;
}

static int32_t
create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **config,
       struct dlq_error *err)
{
    (void)ctx;
    struct dlq_json *root = NULL;
    int32_t rc = host->json_parse(host->ctx, text, len, &root, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    const char *name = "";
    int64_t group_size = 1;
    host->json_str(host->json_get(root, "/scheme"), &name, NULL);
    host->json_i64(host->json_get(root, "/group"), &group_size);
    int scheme = 0;
    while (scheme < N_SCHEMES && strcmp(name, scheme_names[scheme]) != 0) {
        ++scheme;
    }
    rc = scheme < N_SCHEMES ? make_config(host, (enum scheme)scheme, group_size, config, err)
                            : host->fail(err, DLQ_ECONFIG, "/scheme: found '%s'", name);
    host->json_free(host->ctx, root);
    return rc;
}

static int32_t
create_plain(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **config,
             struct dlq_error *err)
{
    (void)ctx;
    (void)text;
    (void)len;
    return make_config(host, PLAIN, 1, config, err);
}

static int32_t
make_method(const struct config *c, const struct dlq_host *host, const char *rule,
            struct dlq_decision *out, struct dlq_error *err)
{
    struct method *const m = host->alloc(host->ctx, cpu, sizeof(*m), 16);
    if (!m) {
        return host->fail(err, DLQ_ENOMEM, "no memory for a method");
    }
    *m = (struct method){.config = *c};
    ++fake.methods;
    out->answer = DLQ_METHOD;
    out->ops = &method_ops;
    out->method = m;
    snprintf(out->scheme, sizeof(out->scheme), "%s", scheme_names[c->scheme]);
    snprintf(out->rule, sizeof(out->rule), "%s", rule);
    return DLQ_OK;
}

static int32_t
get_quant_method(void *config, const struct dlq_host *host, const struct dlq_layer_info *info,
                 struct dlq_decision *out, struct dlq_error *err)
{
    (void)info;
    if (fake.get_fails != DLQ_OK) {
        return fail(host, fake.get_fails, "get_quant_method", err);
    }
    if (fake.answer == DLQ_UNSUPPORTED && !fake.silent) {
        host->fail(err, DLQ_EUNSUPPORTED, "2 bits are not 4");
    }
    if (fake.answer != 0) {
        out->answer = fake.answer;
        snprintf(out->rule, sizeof(out->rule), "/ignore/0 says so");
        return DLQ_OK;
    }
    const int32_t rc = make_method(config, host, "every layer", out, err);
    if (rc == DLQ_OK && fake.no_apply) {
        destroy_method(out->method, host);
        out->ops = &method_ops_without_apply;
        out->method = NULL;
    }
    return rc;
}

static int32_t
get_plain_method(void *config, const struct dlq_host *host, const struct dlq_layer_info *info,
                 struct dlq_decision *out, struct dlq_error *err)
{
    (void)info;
    if (fake.plain_refuses) {
        out->answer = DLQ_NOT_QUANTIZED;
        return DLQ_OK;
    }
    return make_method(config, host, "plain for all", out, err);
}

static int32_t
describe_config(const void *config, char *buf, size_t size)
{
    const struct config *const c = config;
    return snprintf(buf, size, "%s g%lld", scheme_names[c->scheme], (long long)c->group);
}

static void
destroy_config(void *config, const struct dlq_host *host)
{
    --fake.configs;
    host->free(host->ctx, cpu, config);
}

static const struct dlq_device_support on_cpu[] = {{.kind = DLQ_DEVICE_CPU}, {.kind = 0}};
static const struct dlq_device_support on_cuda[] = {{.kind = DLQ_DEVICE_CUDA, .min_capability = 80},
                                                    {.kind = 0}};
static const char *const no_files[] = {NULL};

#define ALL_DTYPES (DLQ_ACT_F16 | DLQ_ACT_BF16 | DLQ_ACT_F32)

#define CONFIG_OPS(symbol, dtypes, where, create_fn, get_fn)                                       \
    static const struct dlq_quant_config_ops symbol = {                                            \
        .struct_size = DLQ_SIZE_UPTO(struct dlq_quant_config_ops, destroy),                        \
        .act_dtypes = dtypes,                                                                      \
        .devices = where,                                                                          \
        .config_filenames = no_files,                                                              \
        .create = create_fn,                                                                       \
        .get_quant_method = get_fn,                                                                \
        .describe = describe_config,                                                               \
        .destroy = destroy_config,                                                                 \
    }

CONFIG_OPS(fake_ops, ALL_DTYPES, on_cpu, create, get_quant_method);
CONFIG_OPS(fp16_ops, DLQ_ACT_F16, on_cpu, create, get_quant_method);
CONFIG_OPS(cuda_ops, ALL_DTYPES, on_cuda, create, get_quant_method);
CONFIG_OPS(plain_ops, ALL_DTYPES, on_cpu, create_plain, get_plain_method);

static const void *
get_extension(void *ctx, const char *id)
{
    (void)ctx;
    if (strcmp(id, DLQ_EXT_ROW_SPLIT) == 0) {
        return fake.row_split;
    }
    return strcmp(id, "test.fake/1") == 0 ? &fake : NULL;
}

#define PLUGIN(symbol, text, ops)                                                                  \
    const struct dlq_plugin symbol = {                                                             \
        .header =                                                                                  \
            {                                                                                      \
                .magic = DLQ_PLUGIN_MAGIC,                                                         \
                .abi_major = DLQ_ABI_MAJOR,                                                        \
                .abi_minor = DLQ_ABI_MINOR,                                                        \
                .struct_size = DLQ_SIZE_UPTO(struct dlq_plugin, get_extension),                    \
            },                                                                                     \
        .name = text,                                                                              \
        .version = "1.0",                                                                          \
        .config = &(ops),                                                                          \
        .get_extension = get_extension,                                                            \
    }

PLUGIN(fake_plugin, "fake", fake_ops);
PLUGIN(fake_fp16_plugin, "fake_fp16", fp16_ops);
PLUGIN(fake_cuda_plugin, "fake_cuda", cuda_ops);
PLUGIN(fake_unquantized_plugin, DLQ_METHOD_UNQUANTIZED, plain_ops);

int32_t
fake_runtime(const struct dlq_allocator *alloc,
             void (*log)(void *ctx, int32_t level, const char *line), void *log_ctx,
             dlq_runtime **out, struct dlq_error *err)
{
    const char *const dirs[] = {fake.module_dir, NULL};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options),
        .load_policy = fake.module_dir ? DLQ_LOAD_INSTALLED : DLQ_LOAD_NONE,
        .plugin_dirs = dirs,
        .allocator = alloc,
        .n_threads = 1,
        .log_level = DLQ_LOG_WARN,
        .log_ctx = log_ctx,
        .log = log,
    };
    static const struct dlq_plugin *const plugins[] = {&fake_plugin, &fake_unquantized_plugin,
                                                       &fake_fp16_plugin, &fake_cuda_plugin};
    int32_t rc = dlq_runtime_create(&options, out, err);
    if (rc != DLQ_OK) {
        return rc;
    }
    for (size_t i = 0; i < sizeof(plugins) / sizeof(*plugins) && rc == DLQ_OK; ++i) {
        rc = dlq_runtime_add_plugin(*out, plugins[i], err);
    }
    if (rc != DLQ_OK) {
        dlq_runtime_destroy(*out);
    }
    return rc;
}

int32_t
fake_config(dlq_runtime *rt, const char *scheme, int64_t group_size, dlq_quant_config **out,
            struct dlq_error *err)
{
    char text[96];
    const int len = snprintf(text, sizeof(text), "{\"scheme\":\"%s\",\"group\":%lld}", scheme,
                             (long long)group_size);
    return dlq_quant_config_create(rt, "fake", text, (size_t)len, out, err);
}
