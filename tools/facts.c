// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "facts.h"

#include <stdio.h>
#include <string.h>

/// The first of two spellings that is an integer above zero, else `fallback`.
static int64_t
integer(const struct dlq_host *host, const struct dlq_json *node, const char *a, const char *b,
        int64_t fallback)
{
    int64_t value = 0;
    if (host->json_i64(host->json_get(node, a), &value) == DLQ_OK && value > 0) {
        return value;
    }
    if (host->json_i64(host->json_get(node, b), &value) == DLQ_OK && value > 0) {
        return value;
    }
    return fallback;
}

static void
read_heads(const struct dlq_host *host, const struct dlq_json *node, struct tool_facts *out)
{
    const int max = (int)(sizeof(out->heads) / sizeof(out->heads[0]));
    const int64_t heads = integer(host, node, "/num_attention_heads", "/n_head", 0);
    const int64_t hidden = integer(host, node, "/hidden_size", "/n_embd", 0);
    if (heads == 0 || out->n_heads == max) {
        return;
    }
    struct tool_heads h = {.heads = heads};
    h.kv_heads = integer(host, node, "/num_key_value_heads", "/num_kv_heads", heads);
    h.head_size = integer(host, node, "/head_dim", "/kv_channels", hidden / heads);
    h.v_head_size = integer(host, node, "/v_head_dim", "/v_head_dim", h.head_size);
    // Far above any model, and no product of two overflows.
    const int64_t most = 1 << 24;
    if (h.head_size > 0 && heads <= most && h.kv_heads <= most && h.head_size <= most &&
        h.v_head_size <= most) {
        out->heads[out->n_heads++] = h;
    }
}

static uint32_t
read_dtype(const struct dlq_host *host, const struct dlq_json *node)
{
    static const char *const keys[] = {"/torch_dtype", "/dtype"};
    for (int i = 0; i < 2; ++i) {
        const char *text = NULL;
        if (host->json_str(host->json_get(node, keys[i]), &text, NULL) != DLQ_OK) {
            continue;
        }
        text = strncmp(text, "torch.", 6) == 0 ? text + 6 : text;
        if (strcmp(text, "float16") == 0) {
            return DLQ_F16;
        }
        if (strcmp(text, "bfloat16") == 0) {
            return DLQ_BF16;
        }
        if (strcmp(text, "float32") == 0) {
            return DLQ_F32;
        }
    }
    return DLQ_DTYPE_NONE;
}

int32_t
tool_facts_read(dlq_runtime *rt, const dlq_checkpoint *ckpt, struct tool_facts *out,
                struct dlq_error *err)
{
    *out = (struct tool_facts){0};
    const struct dlq_host *host = dlq_runtime_host(rt);
    size_t len = 0;
    const char *text = dlq_checkpoint_config(ckpt, &len);
    if (!text) {
        return DLQ_OK;
    }
    struct dlq_json *root = NULL;
    const int32_t status = host->json_parse(host->ctx, text, len, &root, err);
    if (status != DLQ_OK) {
        return status;
    }
    out->dtype = read_dtype(host, root);
    const char *type = NULL;
    if (host->json_str(host->json_get(root, "/model_type"), &type, NULL) == DLQ_OK) {
        snprintf(out->type, sizeof(out->type), "%s", type);
    }
    read_heads(host, root, out);
    for (size_t i = 0; i < host->json_size(root); ++i) {
        const struct dlq_json *inner = host->json_at(root, i);
        if (host->json_type(inner) == DLQ_JSON_OBJECT) {
            read_heads(host, inner, out);
            if (out->dtype == DLQ_DTYPE_NONE) {
                out->dtype = read_dtype(host, inner);
            }
        }
    }
    host->json_free(host->ctx, root);
    return DLQ_OK;
}

const struct tool_heads *
tool_facts_heads(const struct tool_facts *facts, int64_t q, int64_t k, int64_t v)
{
    for (int i = 0; i < facts->n_heads; ++i) {
        const struct tool_heads *h = &facts->heads[i];
        if (q == h->heads * h->head_size && k == h->kv_heads * h->head_size &&
            v == h->kv_heads * h->v_head_size) {
            return h;
        }
    }
    return NULL;
}

const struct tool_heads *
tool_facts_fused_heads(const struct tool_facts *facts, int64_t n)
{
    for (int i = 0; i < facts->n_heads; ++i) {
        const struct tool_heads *h = &facts->heads[i];
        if (n == (h->heads + h->kv_heads) * h->head_size + h->kv_heads * h->v_head_size) {
            return h;
        }
    }
    return NULL;
}
