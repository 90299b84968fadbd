// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// The template plugin as a later minor would have it: every struct that it hands over has grown,
// and what was appended must not be touched by this core. It still runs on hosts of minor 0.

#include <dlquant/plugin.h>

// dlq_plugin_query() of the template, which is built with this name.
const struct dlq_plugin *
template_query(void);

// Not a function: whoever calls it crashes.
#define POISON ((void (*)(void))(uintptr_t)0x10)

struct newer_method_ops {
    struct dlq_linear_method_ops known;
    void (*appended[4])(void);
};

struct newer_config_ops {
    struct dlq_quant_config_ops known;
    void (*appended[3])(void);
};

struct newer_plugin {
    struct dlq_plugin known;
    void (*appended[2])(void);
};

static struct newer_method_ops newer_method = {.appended = {POISON, POISON, POISON, POISON}};
static struct newer_config_ops newer_config = {.appended = {POISON, POISON, POISON}};
static struct newer_plugin newer = {.appended = {POISON, POISON}};

static int32_t
newer_get_quant_method(void *c, const struct dlq_host *host, const struct dlq_layer_info *info,
                       struct dlq_decision *out, struct dlq_error *err)
{
    const int32_t rc = template_query()->config->get_quant_method(c, host, info, out, err);
    if (rc == DLQ_OK && out->answer == DLQ_METHOD) {
        newer_method.known = *out->ops;
        newer_method.known.struct_size = sizeof(newer_method);
        out->ops = &newer_method.known;
    }
    return rc;
}

DLQ_EXPORT const struct dlq_plugin *
dlq_plugin_query(void);

const struct dlq_plugin *
dlq_plugin_query(void)
{
    newer_config.known = *template_query()->config;
    newer_config.known.struct_size = sizeof(newer_config);
    newer_config.known.get_quant_method = newer_get_quant_method;
    newer.known = *template_query();
    newer.known.header.abi_minor = DLQ_ABI_MINOR + 1;
    newer.known.header.host_min_minor = 0;
    newer.known.header.struct_size = sizeof(newer);
    newer.known.config = &newer_config.known;
    return &newer.known;
}
