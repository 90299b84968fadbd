// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Configuration text: valid, broken and hostile.

enum expectation { ACCEPTED, REFUSED, EITHER };

// Try one text. A refusal must be clean, and everything must be given back.
static bool
try_text(struct rig *rig, const char *text, size_t len, enum expectation expectation,
         const char *what, struct check_result *r)
{
    const long live = rig->memory.live;
    dlq_quant_config *config = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    const char *const name = rig->subject->plugin->name;
    const int32_t status = dlq_quant_config_create(rig->rt, name, text, len, &config, &err);
    bool ok = true;
    if (status != DLQ_OK) {
        ok = rig_refusal_is_clean(status, &err, what, r);
        if (expectation == ACCEPTED) {
            ok = rig_fail(r, "%s: refused: %s", what, err.msg);
        }
    } else {
        char line[256];
        dlq_quant_config_describe(config, line, sizeof(line));
        dlq_quant_config_destroy(config);
        if (expectation == REFUSED) {
            ok = rig_fail(r, "%s: accepted", what);
        }
    }
    if (rig->memory.live != live) {
        ok = rig_fail(r, "%s: %ld blocks of memory are not given back", what,
                      rig->memory.live - live);
    }
    return ok;
}

void
check_config_valid(const struct check_subject *s, struct check_result *r)
{
    struct rig rig;
    if (s->n_cases == 0) {
        rig_skip(r, "no configuration was given");
    } else if (rig_open(&rig, s, NULL, 1, r)) {
        for (size_t i = 0; i < s->n_cases; i++) {
            const struct check_case *const c = &s->cases[i];
            try_text(&rig, c->config, strlen(c->config), ACCEPTED, c->name, r);
        }
        rig_close(&rig);
    }
}

// Whether a plugin reads its text at all: one that takes anything refuses nothing.
static bool
reads_text(struct rig *rig)
{
    dlq_quant_config *config = NULL;
    const char *const name = rig->subject->plugin->name;
    if (dlq_quant_config_create(rig->rt, name, "{", 1, &config, NULL) != DLQ_OK) {
        return true;
    }
    dlq_quant_config_destroy(config);
    return false;
}

void
check_config_truncated(const struct check_subject *s, struct check_result *r)
{
    struct rig rig;
    if (s->n_cases == 0) {
        rig_skip(r, "no configuration was given");
    } else if (rig_open(&rig, s, NULL, 1, r)) {
        const char *const text = s->cases[0].config;
        const enum expectation expectation = reads_text(&rig) ? REFUSED : EITHER;
        const size_t len = strlen(text);
        const size_t last = len > 0 && strrchr(text, '}') ? (size_t)(strrchr(text, '}') - text) : 0;
        for (size_t n = 1; n <= last; n++) {
            // A copy of exactly this size, so that a sanitizer sees a read behind the end.
            char *const copy = malloc(n);
            char what[64];
            snprintf(what, sizeof(what), "the first %zu of %zu bytes", n, len);
            if (copy) {
                memcpy(copy, text, n);
                try_text(&rig, copy, n, expectation, what, r);
            }
            free(copy);
        }
        rig_close(&rig);
    }
}

// A member of an object with another value.
static void
try_values(struct rig *rig, const char *key, struct check_result *r)
{
    static const char *const values[] = {
        "null",
        "true",
        "0",
        "-1",
        "-9223372036854775808",
        "9223372036854775807",
        "1e300",
        "0.5",
        "\"\"",
        "\"x\"",
        "[]",
        "[null]",
        "[[1]]",
        "[{}]",
        "{}",
        "{\"a\":{}}",
        "[\"\"]",
        "\"\\u0000\"",
        "{\"\":null}",
        "[1,\"a\",null]",
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        char text[512];
        const int n = snprintf(text, sizeof(text), "{\"%s\":%s}", key, values[i]);
        if (n > 0 && (size_t)n < sizeof(text)) {
            try_text(rig, text, (size_t)n, EITHER, text, r);
        }
    }
}

void
check_config_types(const struct check_subject *s, struct check_result *r)
{
    static const char *const tops[] = {"null", "true", "1", "\"text\"", "[]", "[{}]", "{}"};
    struct rig rig;
    if (!rig_open(&rig, s, NULL, 1, r)) {
        return;
    }
    for (size_t i = 0; i < sizeof(tops) / sizeof(*tops); i++) {
        try_text(&rig, tops[i], strlen(tops[i]), EITHER, tops[i], r);
    }
    try_text(&rig, NULL, 0, EITHER, "no text", r);
    const struct dlq_host *const host = dlq_runtime_host(rig.rt);
    for (size_t i = 0; i < s->n_cases; i++) {
        struct dlq_json *root = NULL;
        const char *const text = s->cases[i].config;
        if (host->json_parse(host->ctx, text, strlen(text), &root, NULL) == DLQ_OK) {
            for (size_t j = 0; j < host->json_size(root) && host->json_key(root, j); j++) {
                try_values(&rig, host->json_key(root, j), r);
            }
            host->json_free(host->ctx, root);
        }
    }
    rig_close(&rig);
}

// `head`, `n` times `unit`, `tail`; free() it.
static char *
repeat(const char *head, const char *unit, size_t n, const char *tail)
{
    const size_t h = strlen(head);
    const size_t u = strlen(unit);
    char *const text = malloc(h + u * n + strlen(tail) + 1);
    if (text) {
        memcpy(text, head, h);
        for (size_t i = 0; i < n; i++) {
            memcpy(text + h + i * u, unit, u);
        }
        strcpy(text + h + n * u, tail);
    }
    return text;
}

static void
try_long(struct rig *rig, char *text, const char *what, struct check_result *r)
{
    if (text) {
        try_text(rig, text, strlen(text), EITHER, what, r);
    }
    free(text);
}

void
check_config_hostile(const struct check_subject *s, struct check_result *r)
{
    struct rig rig;
    if (!rig_open(&rig, s, NULL, 1, r)) {
        return;
    }
    const struct dlq_host *const host = dlq_runtime_host(rig.rt);
    try_long(&rig, repeat("", "[", 100000, ""), "100,000 open brackets", r);
    try_long(&rig, repeat("", "{\"a\":", 100000, ""), "100,000 open braces", r);
    try_long(&rig, repeat("{\"", "k", 65536, "\":1}"), "a name of 64 KiB", r);
    try_long(&rig, repeat("{\"a\":1", ",\"a\":1", 2, "}"), "the same name twice", r);
    try_text(&rig, "{\"a\":\"\xff\"}", 9, EITHER, "a string that is no UTF-8", r);
    try_text(&rig, "{}\0{}", 5, EITHER, "a zero byte in the text", r);
    for (size_t i = 0; i < s->n_cases; i++) {
        struct dlq_json *root = NULL;
        const char *const text = s->cases[i].config;
        if (host->json_parse(host->ctx, text, strlen(text), &root, NULL) != DLQ_OK) {
            continue;
        }
        for (size_t j = 0; j < host->json_size(root) && host->json_key(root, j); j++) {
            char head[128];
            snprintf(head, sizeof(head), "{\"%.60s\":\"", host->json_key(root, j));
            try_long(&rig, repeat(head, "s", 65536, "\"}"), "a string of 64 KiB", r);
            snprintf(head, sizeof(head), "{\"%.60s\":[\"a\"", host->json_key(root, j));
            try_long(&rig, repeat(head, ",\"b\"", 20000, "]}"), "a list of 20,000 strings", r);
        }
        host->json_free(host->ctx, root);
    }
    rig_close(&rig);
}

void
check_config_unknown(const struct check_subject *s, struct check_result *r)
{
    struct rig rig;
    if (s->n_cases == 0) {
        rig_skip(r, "no configuration was given");
    } else if (rig_open(&rig, s, NULL, 1, r)) {
        for (size_t i = 0; i < s->n_cases; i++) {
            const char *const brace = strchr(s->cases[i].config, '{');
            char *const text =
                brace ? repeat("{\"org_example_unknown\":{\"a\":[1]},", brace + 1, 1, "") : NULL;
            if (text && brace[1] != '}') {
                try_text(&rig, text, strlen(text), ACCEPTED, "a field that nobody knows", r);
            }
            free(text);
        }
        rig_close(&rig);
    }
}

void
check_config_no_error(const struct check_subject *s, struct check_result *r)
{
    static const char *const texts[] = {"", "{", "[]", "{\"bits\":\"x\"}", "{}"};
    struct rig rig;
    if (!rig_open(&rig, s, s->n_cases > 0 ? s->cases : NULL, 1, r)) {
        return;
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        dlq_quant_config *config = NULL;
        if (dlq_quant_config_create(rig.rt, s->plugin->name, texts[i], strlen(texts[i]), &config,
                                    NULL) == DLQ_OK) {
            dlq_quant_config_destroy(config);
        }
    }
    // Sizes that hardly any method takes: the reason goes nowhere.
    static const int64_t sizes[][2] = {{7, 8}, {8, 7}, {129, 64}, {INT64_C(1) << 40, 64}};
    for (size_t i = 0; rig.config && i < sizeof(sizes) / sizeof(*sizes); i++) {
        const struct check_case c = {.k = sizes[i][0], .n = sizes[i][1]};
        const struct rig_spec spec = rig_spec_of(&c, DLQ_F32);
        dlq_linear *layer = NULL;
        if (rig_layer_create(&rig, &spec, &layer, NULL) == DLQ_OK) {
            dlq_linear_destroy(layer);
        }
    }
    rig_close(&rig);
}
