// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../common/gpu.h"
#include "../common/layer.h"
#include "unquantized.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/// The configuration has no content: every layer is plain, unless the checkpoint's headers say
/// that it is not.

static const char configuration[] = "unquantized";

static int32_t
config_create(void *ctx, const struct dlq_host *host, const char *text, size_t len, void **config,
              struct dlq_error *err)
{
    (void)ctx;
    (void)host;
    (void)text;
    (void)len;
    (void)err;
    *config = (void *)configuration;
    return DLQ_OK;
}

static void
config_destroy(void *config, const struct dlq_host *host)
{
    (void)config;
    (void)host;
}

static int32_t
config_describe(const void *config, char *buf, size_t size)
{
    return snprintf(buf, size, "%s", (const char *)config);
}

// Why part `part` is no plain weight. NULL when it is, or when the headers do not know the part.
static const char *
why_not_plain(const struct dlq_layer_info *info, int32_t part, char *buf, size_t size)
{
    static const char *const quantized[] = {"qweight", "weight_packed", "weight_scale",
                                            "weight_scale_inv"};
    const struct dlq_evidence *const weight = dlq_evidence_find(info, part, "weight");
    for (size_t i = 0; i < sizeof(quantized) / sizeof(*quantized); i++) {
        if (dlq_evidence_find(info, part, quantized[i])) {
            snprintf(buf, size, "it is quantized, the checkpoint holds '%s'", quantized[i]);
            return buf;
        }
    }
    if (weight && !dlq_act_dtype_bit(weight->dtype) && weight->dtype != DLQ_F64) {
        snprintf(buf, size, "its weight is %s; fp16, bf16, fp32 or fp64 is expected",
                 dlq_dtype_name(weight->dtype));
        return buf;
    }
    return NULL;
}

static int32_t
config_get_quant_method(void *config, const struct dlq_host *host,
                        const struct dlq_layer_info *info, struct dlq_decision *out,
                        struct dlq_error *err)
{
    (void)config;
    out->scheme[0] = '\0';
    for (int32_t i = 0; i < info->n_parts; i++) {
        char reason[128];
        if (why_not_plain(info, i, reason, sizeof(reason))) {
            out->answer = DLQ_UNSUPPORTED;
            snprintf(out->rule, sizeof(out->rule), "headers: %s: %s", info->parts[i]->prefix,
                     reason);
            const bool one = info->n_parts == 1;
            host->fail(err, DLQ_EUNSUPPORTED, "%s: unquantized cannot run %s%s: %s", info->prefix,
                       one ? "it" : "its part ", one ? "" : info->parts[i]->prefix, reason);
            return DLQ_OK;
        }
    }
    out->method = unquantized_method_create(host, info, err);
    if (!out->method) {
        return DLQ_ENOMEM;
    }
    out->answer = DLQ_METHOD;
    out->ops = &unquantized_method_ops;
    snprintf(out->scheme, sizeof(out->scheme), "unquantized %s",
             dlq_dtype_name(info->params_dtype));
    snprintf(out->rule, sizeof(out->rule), "every layer is unquantized");
    return DLQ_OK;
}

static const char *const filenames[] = {NULL};

const struct dlq_quant_config_ops unquantized_config_ops = {
    .struct_size = DLQ_SIZE_UPTO(struct dlq_quant_config_ops, destroy),
    .act_dtypes = UNQUANTIZED_ACT_DTYPES,
    .devices = dlq_gpu_devices,
    .config_filenames = filenames,
    .create = config_create,
    .get_quant_method = config_get_quant_method,
    .describe = config_describe,
    .destroy = config_destroy,
};
