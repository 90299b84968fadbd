// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "error.h"
#include "plugin_check.h"
#include "runtime_state.h"

#include <stdbool.h>
#include <string.h>

static int32_t
create(dlq_runtime *rt, const struct dlq_loaded *loaded, const char *text, size_t len,
       dlq_quant_config **out, struct dlq_error *err)
{
    const struct dlq_plugin *const plugin = loaded->plugin;
    dlq_quant_config *const config = dlq_alloc(&rt->alloc, sizeof(*config));
    if (!config) {
        return dlq_fail(err, DLQ_ENOMEM, "no memory for a configuration of %s", plugin->name);
    }
    *config = (dlq_quant_config){.rt = rt, .plugin = plugin, .ctx = loaded->ctx};
    struct dlq_error inner = DLQ_ERROR_INIT;
    const int32_t rc = plugin->config->create(loaded->ctx, &rt->host, text ? text : "",
                                              text ? len : 0, &config->config, &inner);
    if (rc != DLQ_OK) {
        dlq_free(&rt->alloc, config);
        return dlq_plugin_failed(plugin, "configuration", rc, &inner, err);
    }
    *out = config;
    return DLQ_OK;
}

int32_t
dlq_quant_config_create(dlq_runtime *rt, const char *name, const char *text, size_t len,
                        dlq_quant_config **out, struct dlq_error *err)
{
    struct dlq_loaded loaded;
    const int32_t rc = dlq_registry_find(&rt->registry, name, &loaded, err);
    return rc == DLQ_OK ? create(rt, &loaded, text, len, out, err) : rc;
}

// What plugins are asked, and the first that said yes.
struct question {
    dlq_runtime *rt;
    const char *name;
    const char *text;
    size_t len;
    struct dlq_device_info device;
    struct dlq_loaded winner;
    bool won;
};

static bool
ask(void *ctx, const struct dlq_loaded *loaded)
{
    struct question *const q = ctx;
    const struct dlq_plugin *const plugin = loaded->plugin;
    struct dlq_error reason = DLQ_ERROR_INIT;
    if (!plugin->config->claims) {
        return false;
    }
    q->won = plugin->config->claims(loaded->ctx, &q->rt->host, q->name, q->text, q->len, &q->device,
                                    &reason) == 1;
    if (q->won) {
        q->winner = *loaded;
        dlq_runtime_log(q->rt, DLQ_LOG_INFO,
                        "quant_method '%s' is run by plugin %s, which claims this configuration",
                        q->name, plugin->name);
    } else {
        dlq_runtime_log(q->rt, DLQ_LOG_INFO, "plugin %s does not claim quant_method '%s': %s",
                        plugin->name, q->name, reason.msg[0] ? reason.msg : "no reason given");
    }
    return q->won;
}

int32_t
dlq_quant_config_choose(dlq_runtime *rt, const char *name, const char *text, size_t len,
                        struct dlq_device device, dlq_quant_config **out, struct dlq_error *err)
{
    struct question q = {.rt = rt,
                         .name = name,
                         .text = text ? text : "",
                         .len = text ? len : 0,
                         .device = {.struct_size = sizeof(q.device)}};
    if (!dlq_name_valid(name)) {
        return dlq_quant_config_create(rt, name, text, len, out, err);
    }
    int32_t rc = dlq_runtime_device_info(rt, device, &q.device, err);
    if (rc == DLQ_OK) {
        rc = dlq_registry_claimants(&rt->registry, name, ask, &q, err);
    }
    if (rc != DLQ_OK) {
        return rc;
    }
    return q.won ? create(rt, &q.winner, text, len, out, err)
                 : dlq_quant_config_create(rt, name, text, len, out, err);
}

void
dlq_quant_config_destroy(dlq_quant_config *config)
{
    if (config) {
        config->plugin->config->destroy(config->config, &config->rt->host);
        dlq_free(&config->rt->alloc, config);
    }
}

const char *
dlq_quant_config_name(const dlq_quant_config *config)
{
    return config->plugin->name;
}

int32_t
dlq_quant_config_describe(const dlq_quant_config *config, char *buf, size_t size)
{
    return config->plugin->config->describe(config->config, buf, size);
}

const struct dlq_plugin *
dlq_quant_config_plugin(const dlq_quant_config *config)
{
    return config->plugin;
}

const void *
dlq_quant_config_extension(const dlq_quant_config *config, const char *id)
{
    return config->plugin->get_extension ? config->plugin->get_extension(config->ctx, id) : NULL;
}

const void *
dlq_quant_config_object(const dlq_quant_config *config)
{
    return config->config;
}

int32_t
dlq_runtime_unquantized(dlq_runtime *rt, dlq_quant_config **out, struct dlq_error *err)
{
    int32_t rc = DLQ_OK;
    pthread_mutex_lock(&rt->lock);
    if (!rt->unquantized) {
        rc = dlq_quant_config_create(rt, DLQ_METHOD_UNQUANTIZED, NULL, 0, &rt->unquantized, err);
    }
    *out = rt->unquantized;
    pthread_mutex_unlock(&rt->lock);
    return rc;
}
