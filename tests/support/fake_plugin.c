// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_method.h"

#include <stdio.h>
#include <string.h>

static int32_t
make_config(const struct dlq_host *host, enum fake_scheme scheme, int64_t group_size, void **config,
            struct dlq_error *err)
{
    struct fake_scheme_config *const c = host->alloc(host->ctx, fake_cpu, sizeof(*c), 16);
    if (!c) {
        return host->fail(err, DLQ_ENOMEM, "no memory for a configuration");
    }
    *c = (struct fake_scheme_config){.scheme = scheme, .group = group_size};
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
    while (scheme < FAKE_N_SCHEMES && strcmp(name, fake_scheme_names[scheme]) != 0) {
        ++scheme;
    }
    rc = scheme < FAKE_N_SCHEMES
             ? make_config(host, (enum fake_scheme)scheme, group_size, config, err)
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
    return make_config(host, FAKE_PLAIN, 1, config, err);
}

static int32_t
make_method(const struct fake_scheme_config *c, const struct dlq_host *host, const char *rule,
            struct dlq_decision *out, struct dlq_error *err)
{
    struct fake_method *const m = host->alloc(host->ctx, fake_cpu, sizeof(*m), 16);
    if (!m) {
        return host->fail(err, DLQ_ENOMEM, "no memory for a method");
    }
    *m = (struct fake_method){.config = *c};
    ++fake.methods;
    out->answer = DLQ_METHOD;
    out->ops = &fake_method_ops;
    out->method = m;
    snprintf(out->scheme, sizeof(out->scheme), "%s", fake_scheme_names[c->scheme]);
    snprintf(out->rule, sizeof(out->rule), "%s", rule);
    return DLQ_OK;
}

static int32_t
get_quant_method(void *config, const struct dlq_host *host, const struct dlq_layer_info *info,
                 struct dlq_decision *out, struct dlq_error *err)
{
    (void)info;
    if (fake.get_fails != DLQ_OK) {
        return fake_fail(host, fake.get_fails, "get_quant_method", err);
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
        fake_method_ops.destroy(out->method, host);
        out->ops = &fake_method_ops_without_apply;
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
    const struct fake_scheme_config *const c = config;
    return snprintf(buf, size, "%s g%lld", fake_scheme_names[c->scheme], (long long)c->group);
}

static void
destroy_config(void *config, const struct dlq_host *host)
{
    --fake.configs;
    host->free(host->ctx, fake_cpu, config);
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
