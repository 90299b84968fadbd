// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"
#include "linear_make.h"
#include "params_shape.h"
#include "plugin_check.h"
#include "runtime_internal.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

int32_t
dlq_layer_fail_method(const struct dlq_layer *layer, const char *step, int32_t rc,
                      const struct dlq_error *from, struct dlq_error *err)
{
    const char *const prefix = layer->info.prefix;
    const char *const name = layer->config ? dlq_quant_config_name(layer->config) : "";
    if (rc < DLQ_OK || rc > DLQ_EINTERNAL) {
        return dlq_fail_native(err, DLQ_EPLUGIN, DLQ_DOMAIN_PLUGIN, rc,
                               "layer '%s' (%s): %s returned %d, which is no status", prefix, name,
                               step, rc);
    }
    if (from->msg[0] == '\0') {
        return dlq_fail_native(err, rc, DLQ_DOMAIN_PLUGIN, 0,
                               "layer '%s' (%s): %s failed without a reason: %s", prefix, name,
                               step, dlq_status_string(rc));
    }
    const uint32_t domain = from->domain ? from->domain : (uint32_t)DLQ_DOMAIN_PLUGIN;
    // The core's own errors, passed on by the method, name the layer already.
    return prefix[0] != '\0' && strstr(from->msg, prefix)
               ? dlq_fail_native(err, rc, domain, from->native, "%s", from->msg)
               : dlq_fail_native(err, rc, domain, from->native, "layer '%s' (%s): %s", prefix, name,
                                 from->msg);
}

static uint32_t
act_bit(uint32_t dtype)
{
    return dtype == DLQ_F16    ? (uint32_t)DLQ_ACT_F16
           : dtype == DLQ_BF16 ? (uint32_t)DLQ_ACT_BF16
                               : (uint32_t)DLQ_ACT_F32;
}

static int32_t
check_act_dtype(const struct dlq_layer *layer, const dlq_quant_config *config,
                struct dlq_error *err)
{
    const uint32_t have = config->plugin->config->act_dtypes;
    if (have & act_bit(layer->info.act_dtype)) {
        return DLQ_OK;
    }
    return dlq_fail(err, DLQ_EDTYPE, "layer '%s': act_dtype: %s takes%s%s%s activations, found %s",
                    layer->info.prefix, dlq_quant_config_name(config),
                    have & DLQ_ACT_F16 ? " F16" : "", have & DLQ_ACT_BF16 ? " BF16" : "",
                    have & DLQ_ACT_F32 ? " F32" : "", dlq_param_dtype_text(layer->info.act_dtype));
}

// A CPU has no capability.
static void
write_device(char *out, size_t size, int32_t kind, int32_t capability, const char *more)
{
    if (kind == DLQ_DEVICE_CPU) {
        snprintf(out, size, "CPU");
    } else {
        snprintf(out, size, "%s of capability %d%s", kind == DLQ_DEVICE_CUDA ? "CUDA" : "unknown",
                 capability, more);
    }
}

static int32_t
check_device(const struct dlq_layer *layer, const dlq_quant_config *config, struct dlq_error *err)
{
    const struct dlq_device_info *const device = &layer->info.device;
    char have[160] = "";
    char one[48];
    size_t n = 0;
    for (const struct dlq_device_support *s = config->plugin->config->devices; s && s->kind; ++s) {
        if (s->kind == device->device.kind && device->capability >= s->min_capability) {
            return DLQ_OK;
        }
        if (n < sizeof(have)) {
            write_device(one, sizeof(one), s->kind, s->min_capability, " or more");
            n += (size_t)snprintf(have + n, sizeof(have) - n, "%s%s", n ? ", " : "", one);
        }
    }
    write_device(one, sizeof(one), device->device.kind, device->capability, "");
    return dlq_fail(err, DLQ_EUNSUPPORTED, "layer '%s': device: %s runs on %s, found %s (%s)",
                    layer->info.prefix, dlq_quant_config_name(config), n ? have : "no device", one,
                    device->name);
}

// Ask one configuration. `out` is its answer; only a method that can be destroyed is kept.
static int32_t
ask(struct dlq_layer *layer, dlq_quant_config *config, struct dlq_decision *out,
    struct dlq_error *err)
{
    layer->config = config;
    int32_t rc = check_act_dtype(layer, config, err);
    if (rc == DLQ_OK) {
        rc = check_device(layer, config, err);
    }
    if (rc != DLQ_OK) {
        return rc;
    }
    *out = (struct dlq_decision){.struct_size = DLQ_SIZE_UPTO(struct dlq_decision, rule)};
    struct dlq_error why = DLQ_ERROR_INIT;
    rc = config->plugin->config->get_quant_method(config->config, layer->host, &layer->info, out,
                                                  &why);
    if (rc != DLQ_OK) {
        return dlq_layer_fail_method(layer, "get_quant_method", rc, &why, err);
    }
    out->scheme[sizeof(out->scheme) - 1] = '\0';
    out->rule[sizeof(out->rule) - 1] = '\0';
    dlq_text_clean(out->scheme);
    dlq_text_clean(out->rule);
    switch (out->answer) {
    case DLQ_METHOD:
        rc = dlq_plugin_check_method(config->plugin, out->ops, err);
        if (rc != DLQ_OK) {
            return dlq_fail_prefix(err, rc, "layer '%s'", layer->info.prefix);
        }
        layer->ops = out->ops;
        layer->method = out->method;
        return DLQ_OK;
    case DLQ_NOT_QUANTIZED:
        return DLQ_OK;
    case DLQ_UNSUPPORTED:
        if (why.msg[0] == '\0') {
            dlq_fail(&why, DLQ_EUNSUPPORTED, "%s", out->rule);
        }
        return dlq_layer_fail_method(layer, "get_quant_method", DLQ_EUNSUPPORTED, &why, err);
    default:
        return dlq_fail(err, DLQ_EPLUGIN,
                        "layer '%s' (%s): get_quant_method: expected answer 1, 2 or 3, found %d",
                        layer->info.prefix, dlq_quant_config_name(config), out->answer);
    }
}

int32_t
dlq_layer_choose_method(struct dlq_layer *layer, dlq_quant_config *config, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    if (config) {
        rc = ask(layer, config, &layer->decision, err);
        if (rc != DLQ_OK || layer->decision.answer == DLQ_METHOD) {
            return rc;
        }
    }
    dlq_quant_config *plain;
    rc = dlq_runtime_unquantized(layer->rt, &plain, err);
    if (rc != DLQ_OK) {
        return dlq_fail_prefix(err, rc, "layer '%s'", layer->info.prefix);
    }
    struct dlq_decision decision;
    rc = ask(layer, plain, &decision, err);
    if (rc == DLQ_OK && decision.answer != DLQ_METHOD) {
        return dlq_fail(err, DLQ_EPLUGIN, "layer '%s' (%s): expected a method, found answer %d",
                        layer->info.prefix, dlq_quant_config_name(plain), decision.answer);
    }
    // An engine sees why the layer is not quantized, and the scheme that runs it all the same.
    if (rc == DLQ_OK && !config) {
        layer->decision = decision;
    } else if (rc == DLQ_OK && layer->decision.scheme[0] == '\0') {
        memcpy(layer->decision.scheme, decision.scheme, sizeof(decision.scheme));
    }
    return rc;
}
