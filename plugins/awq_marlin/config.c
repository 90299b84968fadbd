// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/field.h"
#include "../common/gpu.h"
#include "../common/layer.h"
#include "awq_marlin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/// Reads the quantization section of AWQ checkpoints, with the names of AutoAWQ's old and new
/// writers.

static const char name[] = "awq_marlin";

// Largest group size that a layer could have; keeps products of sizes far from overflow.
static const int64_t max_group = INT64_C(1) << 31;

// Fields that are read here, and fields of the field's writers that change no result.
static const char *const known_fields[] = {
    "quant_method",  "bits",       "w_bit",          "num_bits",        "group_size",
    "q_group_size",  "zero_point", "version",        "lm_head",         "modules_to_not_convert",
    "backend",       "do_fuse",    "exllama_config", "modules_to_fuse", "fuse_max_seq_len",
    "awq_substring", NULL,
};

// The integer field that has several names. Two names with different values are an error.
static int32_t
read_renamed(const struct dlq_fields *f, const char *const *names, int64_t *out, bool *found)
{
    const char *first = NULL;
    int64_t first_value = 0;
    *found = false;
    for (; *names; names++) {
        if (!dlq_field_get(f, *names)) {
            continue;
        }
        int64_t value = 0;
        const int32_t status = dlq_field_i64(f, *names, &value);
        if (status != DLQ_OK) {
            return status;
        }
        if (first && value != first_value) {
            return dlq_field_fail(f, *names, "%" PRId64 " contradicts %s %" PRId64, value, first,
                                  first_value);
        }
        first = *names;
        first_value = value;
        *out = value;
        *found = true;
    }
    return DLQ_OK;
}

static int32_t
read_bits(const struct dlq_fields *f)
{
    static const char *const names[] = {"bits", "w_bit", "num_bits", NULL};
    int64_t bits = 4;
    bool found = false;
    const int32_t status = read_renamed(f, names, &bits, &found);
    if (status != DLQ_OK || bits == 4) {
        if (status == DLQ_OK && !found) {
            dlq_host_log(f->host, DLQ_LOG_WARN, "%s: /bits: absent, 4 is assumed", name);
        }
        return status;
    }
    if (bits < 1 || bits > 16) {
        return dlq_field_fail(f, "bits", "%" PRId64 " is out of range; 4 is accepted", bits);
    }
    return f->host->fail(f->err, DLQ_EUNSUPPORTED,
                         "/bits: %" PRId64 "-bit AWQ has no kernel; 4 is accepted", bits);
}

static int32_t
read_group_size(const struct dlq_fields *f, int64_t *out)
{
    static const char *const names[] = {"group_size", "q_group_size", NULL};
    bool found = false;
    *out = 128;
    const int32_t status = read_renamed(f, names, out, &found);
    if (status != DLQ_OK) {
        return status;
    }
    if (*out < -1 || *out == 0 || *out > max_group) {
        return dlq_field_fail(f, "group_size",
                              "%" PRId64 " is out of range; -1 (all of K) or a positive divisor "
                              "of K is accepted",
                              *out);
    }
    return DLQ_OK;
}

static int32_t
read_version(const struct dlq_fields *f)
{
    static const char *const others[] = {"gemv", "gemv_fast", "marlin", "exllama", "ipex"};
    const char *version = "gemm";
    const int32_t status = dlq_field_str(f, "version", &version);
    if (status != DLQ_OK || strcasecmp(version, "gemm") == 0) {
        return status;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        if (strcasecmp(version, others[i]) == 0) {
            return f->host->fail(f->err, DLQ_EUNSUPPORTED,
                                 "/version: '%s' packs weights in another layout; 'gemm' is "
                                 "accepted",
                                 others[i]);
        }
    }
    char clip[DLQ_CLIP_SIZE];
    return dlq_field_fail(f, "version", "'%s' is unknown; 'gemm' is accepted",
                          dlq_text_clip(version, clip));
}

static int32_t
read_skip_list(const struct dlq_fields *f, struct awq_config *config)
{
    static const char key[] = "modules_to_not_convert";
    const struct dlq_host *const host = f->host;
    const struct dlq_json *list = NULL;
    size_t n = 0;
    const int32_t found = dlq_field_texts(f, key, &list, &n);
    if (found != DLQ_OK || n == 0) {
        return found;
    }
    config->skip = dlq_host_calloc(host, n * sizeof(*config->skip), f->err);
    if (!config->skip) {
        return DLQ_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t status = dlq_field_element(f, key, list, i, &config->skip[i].entry);
        if (status != DLQ_OK) {
            return status;
        }
        config->n_skip = i + 1;
    }
    return DLQ_OK;
}

static int32_t
check_method_name(const struct dlq_fields *f)
{
    static const char *const names[] = {"awq", "awq_marlin", "auto_awq"};
    const char *found = names[0];
    const int32_t status = dlq_field_str(f, "quant_method", &found);
    if (status != DLQ_OK) {
        return status;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcasecmp(found, names[i]) == 0) {
            return DLQ_OK;
        }
    }
    char clip[DLQ_CLIP_SIZE];
    return dlq_field_fail(f, "quant_method",
                          "'%s' was found; awq, awq_marlin or auto_awq is "
                          "accepted",
                          dlq_text_clip(found, clip));
}

int32_t
awq_config_parse(const struct dlq_host *host, const char *text, size_t len,
                 struct awq_config *config, struct dlq_error *err)
{
    if (len == 0) {
        return host->fail(err, DLQ_ECONFIG,
                          "none was found; a quantization section with bits, "
                          "group_size and zero_point is expected");
    }
    int32_t status = host->json_parse(host->ctx, text, len, &config->root, err);
    if (status != DLQ_OK) {
        return status;
    }
    const struct dlq_fields f = {host, config->root, name, "/", err};
    if (host->json_type(config->root) != DLQ_JSON_OBJECT) {
        return host->fail(err, DLQ_ECONFIG, "/: an object is expected, %s was found",
                          dlq_field_type_name(host->json_type(config->root)));
    }
    config->zero_point = true;
    status = check_method_name(&f);
    status = status == DLQ_OK ? read_bits(&f) : status;
    status = status == DLQ_OK ? read_group_size(&f, &config->group_size) : status;
    status = status == DLQ_OK ? read_version(&f) : status;
    status = status == DLQ_OK ? dlq_field_bool(&f, "zero_point", &config->zero_point) : status;
    status = status == DLQ_OK ? dlq_field_bool(&f, "lm_head", &config->lm_head) : status;
    status = status == DLQ_OK ? dlq_field_bool(&f, "awq_substring", &config->substring) : status;
    status = status == DLQ_OK ? read_skip_list(&f, config) : status;
    if (status == DLQ_OK) {
        dlq_field_warn_unknown(&f, known_fields);
    }
    return status;
}

void
awq_config_clear(const struct dlq_host *host, struct awq_config *config)
{
    dlq_host_free(host, config->skip);
    host->json_free(host->ctx, config->root);
    memset(config, 0, sizeof(*config));
}

void
awq_scheme_name(const struct awq_config *config, char *buf, size_t size)
{
    const char *const symmetry = config->zero_point ? "asym" : "sym";
    if (config->group_size < 0) {
        snprintf(buf, size, "W4A16 %s channel", symmetry);
    } else {
        snprintf(buf, size, "W4A16 %s g%" PRId64, symmetry, config->group_size);
    }
}

static int32_t
config_claims(void *ctx, const struct dlq_host *host, const char *quant_method, const char *text,
              size_t len, const struct dlq_device_info *device, struct dlq_error *err)
{
    (void)ctx;
    if (strcmp(quant_method, "awq") != 0 && strcmp(quant_method, "auto_awq") != 0) {
        host->fail(err, DLQ_EUNSUPPORTED, "awq_marlin claims awq and auto_awq");
        return 0;
    }
    if (!dlq_gpu_runs(device)) {
        host->fail(err, DLQ_EUNSUPPORTED, "awq_marlin has no kernels for %s of capability %" PRId32,
                   dlq_device_kind_name(device->device.kind), device->capability);
        return 0;
    }
    struct awq_config config = {0};
    const int32_t status = awq_config_parse(host, text, len, &config, err);
    awq_config_clear(host, &config);
    return status == DLQ_OK;
}

static int32_t
config_create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **out,
              struct dlq_error *err)
{
    (void)ctx;
    struct awq_config *const config = dlq_host_calloc(host, sizeof(*config), err);
    if (!config) {
        return DLQ_ENOMEM;
    }
    const int32_t status = awq_config_parse(host, text, len, config, err);
    if (status != DLQ_OK) {
        awq_config_clear(host, config);
        dlq_host_free(host, config);
        return status;
    }
    *out = config;
    return DLQ_OK;
}

static void
config_destroy(void *config, const struct dlq_host *host)
{
    struct awq_config *const c = config;
    for (size_t i = 0; c->asked && i < c->n_skip; i++) {
        if (!c->skip[i].hit) {
            char clip[DLQ_CLIP_SIZE];
            dlq_host_log(host, DLQ_LOG_INFO,
                         "%s: /modules_to_not_convert/%zu: '%s' matched no layer", name, i,
                         dlq_text_clip(c->skip[i].entry, clip));
        }
    }
    awq_config_clear(host, c);
    dlq_host_free(host, c);
}

static int32_t
config_get_quant_method(void *config, const struct dlq_host *host,
                        const struct dlq_layer_info *info, struct dlq_decision *out,
                        struct dlq_error *err)
{
    struct awq_config *const c = config;
    const int32_t status = awq_decide(c, host, info, out, err);
    if (status != DLQ_OK || out->answer != DLQ_METHOD) {
        return status;
    }
    out->method = awq_method_create(c, host, info, err);
    out->ops = &awq_method_ops;
    return out->method ? DLQ_OK : DLQ_ENOMEM;
}

static int32_t
config_describe(const void *config, char *buf, size_t size)
{
    const struct awq_config *const c = config;
    char scheme[64];
    awq_scheme_name(c, scheme, sizeof(scheme));
    size_t unmatched = 0;
    for (size_t i = 0; i < c->n_skip; i++) {
        unmatched += !c->skip[i].hit;
    }
    return snprintf(
        buf, size, "awq_marlin %s, lm_head %s, %zu modules not converted (%zu matched nothing%s)%s",
        scheme, c->lm_head ? "quantized" : "not quantized", c->n_skip, unmatched,
        c->asked ? "" : " yet", c->substring ? ", by substring" : "");
}

static const char *const filenames[] = {"quantize_config.json", "quant_config.json", NULL};

const struct dlq_quant_config_ops awq_config_ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_quant_config_ops, destroy),
    .act_dtypes = AWQ_ACT_DTYPES,
    .devices = dlq_gpu_devices,
    .config_filenames = filenames,
    .claims = config_claims,
    .create = config_create,
    .get_quant_method = config_get_quant_method,
    .describe = config_describe,
    .destroy = config_destroy,
};
