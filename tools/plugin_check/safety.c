// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rig.h"

#include <dlquant/ext/inspect.h>

#include <stdlib.h>
#include <string.h>

/// What apply() must not do, and what must always work.

// A made layer with rows for it; `body` asks one question.
static void
with_layer(struct rig *rig, const struct check_case *c, const struct rig_spec *spec, int64_t m,
           bool padded,
           void (*body)(struct rig *rig, const struct check_case *c, dlq_linear *layer,
                        struct rig_io *io, struct check_result *r),
           struct check_result *r)
{
    struct rig_trial t;
    if (rig_trial_make(rig, c, spec, m, padded, &t, r)) {
        body(rig, c, t.layer, &t.io, r);
        rig_trial_free(&t);
    }
}

static size_t
row_bytes(const struct rig_io *io)
{
    return (size_t)io->n * rig_size(io->dtype);
}

static void
guards_body(struct rig *rig, const struct check_case *c, dlq_linear *layer, struct rig_io *io,
            struct check_result *r)
{
    (void)rig;
    (void)c;
    rig_io_apply(io, layer, r);
}

static void
guards_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
            struct check_result *r)
{
    static const int64_t rows[] = {1, 5, 16, 33};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        with_layer(rig, c, spec, rows[i], true, guards_body, r);
    }
}

void
check_guards(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, true, guards_case, r);
}

static void
unchanged_body(struct rig *rig, const struct check_case *c, dlq_linear *layer, struct rig_io *io,
               struct check_result *r)
{
    (void)rig;
    const uint64_t before = rig_layer_hash(layer);
    if (rig_io_apply(io, layer, r) && rig_layer_hash(layer) != before) {
        rig_fail(r, "%s: apply changed a parameter", c->name);
    }
}

static void
unchanged_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
               struct check_result *r)
{
    with_layer(rig, c, spec, 9, false, unchanged_body, r);
}

void
check_weights_unchanged(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, unchanged_case, r);
}

static void
repeat_body(struct rig *rig, const struct check_case *c, dlq_linear *layer, struct rig_io *io,
            struct check_result *r)
{
    (void)rig;
    uint8_t *const first = malloc((size_t)io->m * row_bytes(io));
    bool ok = first && rig_io_apply(io, layer, r);
    for (int64_t row = 0; ok && row < io->m; row++) {
        memcpy(first + (size_t)row * row_bytes(io), rig_io_y(io, row), row_bytes(io));
    }
    ok = ok && rig_io_apply(io, layer, r);
    for (int64_t row = 0; ok && row < io->m; row++) {
        if (memcmp(first + (size_t)row * row_bytes(io), rig_io_y(io, row), row_bytes(io)) != 0) {
            rig_fail(r, "%s: row %lld differs in a second run", c->name, (long long)row);
        }
    }
    free(first);
}

static void
repeat_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
            struct check_result *r)
{
    with_layer(rig, c, spec, 17, false, repeat_body, r);
}

void
check_repeat(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, repeat_case, r);
}

static void
empty_body(struct rig *rig, const struct check_case *c, dlq_linear *layer, struct rig_io *io,
           struct check_result *r)
{
    (void)rig;
    (void)io;
    const struct dlq_linear_io call = {.struct_size = sizeof(call)};
    struct dlq_error err = DLQ_ERROR_INIT;
    if (dlq_linear_apply(layer, &call, &err) != DLQ_OK) {
        rig_fail(r, "%s: m = 0 fails: %s", c->name, err.msg);
    }
}

static void
empty_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
           struct check_result *r)
{
    with_layer(rig, c, spec, 1, false, empty_body, r);
}

void
check_empty(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, empty_case, r);
}

static void
no_allocation_body(struct rig *rig, const struct check_case *c, dlq_linear *layer,
                   struct rig_io *io, struct check_result *r)
{
    rig->memory.forbidden = true;
    rig_io_apply(io, layer, r);
    rig->memory.forbidden = false;
    if (rig->memory.broken > 0) {
        rig_fail(r, "%s: apply asked the host for memory %ld times", c->name, rig->memory.broken);
    }
}

static void
no_allocation_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
                   struct check_result *r)
{
    with_layer(rig, c, spec, 17, false, no_allocation_body, r);
}

void
check_no_allocation(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, true, no_allocation_case, r);
}

struct worker {
    dlq_linear *layer;
    struct rig_io io;
    struct check_result result;
    uint8_t *expected;
};

static void *
work(void *arg)
{
    struct worker *const w = arg;
    for (int i = 0; i < 20 && w->result.verdict == CHECK_PASS; i++) {
        if (rig_io_apply(&w->io, w->layer, &w->result) &&
            memcmp(w->expected, rig_io_y(&w->io, 0), (size_t)w->io.m * row_bytes(&w->io)) != 0) {
            rig_fail(&w->result, "a product differs while another layer runs");
        }
    }
    return NULL;
}

static bool
worker_make(struct worker *w, struct rig *rig, const struct check_case *c,
            const struct rig_spec *spec, const struct rig_image *image, uint64_t seed,
            struct check_result *r)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    memset(w, 0, sizeof(*w));
    if (rig_layer_make(rig, spec, image, &w->layer, &err) != DLQ_OK) {
        return rig_fail(r, "%s: %s", c->name, err.msg);
    }
    if (!rig_io_make(&w->io, w->layer, 4, false, seed) || !rig_io_apply(&w->io, w->layer, r)) {
        return false;
    }
    const size_t bytes = (size_t)w->io.m * row_bytes(&w->io);
    w->expected = malloc(bytes);
    if (w->expected) {
        memcpy(w->expected, rig_io_y(&w->io, 0), bytes);
    }
    return w->expected != NULL;
}

static void
worker_free(struct worker *w)
{
    free(w->expected);
    rig_io_free(&w->io);
    dlq_linear_destroy(w->layer);
}

static void
two_threads_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
                 struct check_result *r)
{
    struct rig_image image;
    if (!rig_image_make(rig, c, spec, &image, r)) {
        return;
    }
    struct worker a;
    struct worker b;
    const bool made = worker_make(&a, rig, c, spec, &image, rig->subject->seed, r);
    if (worker_make(&b, rig, c, spec, &image, rig->subject->seed + 1, r) && made) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, &a) == 0) {
            work(&b);
            pthread_join(thread, NULL);
            if (a.result.verdict == CHECK_FAIL || b.result.verdict == CHECK_FAIL) {
                rig_fail(r, "%s: %s", c->name,
                         a.result.verdict == CHECK_FAIL ? a.result.text : b.result.text);
            }
        }
    }
    worker_free(&a);
    worker_free(&b);
    rig_image_free(&image);
}

void
check_two_threads(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, two_threads_case, r);
}

static bool
ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL && text[0] != '\0';
}

static void
explain_body(struct rig *rig, const struct check_case *c, dlq_linear *layer, struct rig_io *io,
             struct check_result *r)
{
    (void)rig;
    struct dlq_explanation e;
    memset(&e, 0xA5, sizeof(e));
    e.struct_size = sizeof(e);
    struct dlq_error err = DLQ_ERROR_INIT;
    if (dlq_linear_explain(layer, &e, &err) != DLQ_OK) {
        rig_fail(r, "%s: explain fails: %s", c->name, err.msg);
    } else if (!ends(e.scheme, sizeof(e.scheme)) || !ends(e.kernel, sizeof(e.kernel))) {
        rig_fail(r, "%s: explain leaves scheme or kernel empty or without an end", c->name);
    } else if (!memchr(e.note, '\0', sizeof(e.note))) {
        rig_fail(r, "%s: explain does not write note", c->name);
    } else if (e.padded_k < io->k || e.padded_n < io->n || e.weight_bytes <= 0) {
        rig_fail(r, "%s: explain gives padded_k %lld, padded_n %lld, weight_bytes %lld", c->name,
                 (long long)e.padded_k, (long long)e.padded_n, (long long)e.weight_bytes);
    }
    const struct dlq_decision *const d = dlq_linear_decision(layer);
    if (d && (!ends(d->scheme, sizeof(d->scheme)) || !ends(d->rule, sizeof(d->rule)))) {
        rig_fail(r, "%s: the decision's scheme or rule is empty", c->name);
    }
}

static void
explain_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
             struct check_result *r)
{
    with_layer(rig, c, spec, 1, false, explain_body, r);
}

void
check_explain(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, explain_case, r);
}

static void
unprocessed_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
                 struct check_result *r)
{
    dlq_linear *layer = NULL;
    struct dlq_error err = DLQ_ERROR_INIT;
    if (rig_layer_create(rig, spec, &layer, &err) != DLQ_OK) {
        rig_fail(r, "%s: %s", c->name, err.msg);
        return;
    }
    void *method = NULL;
    const struct dlq_ext_inspect *const inspect =
        dlq_linear_extension(layer, DLQ_EXT_INSPECT, &method);
    if (!inspect || !inspect->dequantize) {
        rig_skip(r, "the plugin has no extension " DLQ_EXT_INSPECT);
    } else {
        const struct dlq_layer_info *const info = dlq_linear_info(layer);
        float *const w = calloc(
            (size_t)(info->input_size_per_partition * info->output_size_per_partition), sizeof(*w));
        const int32_t status =
            inspect->dequantize(method, dlq_runtime_host(rig->rt), info, w, &err);
        if (status != DLQ_ESTATE) {
            rig_fail(r, "%s: weights of an unprocessed layer: dequantize gives %d, not DLQ_ESTATE",
                     c->name, (int)status);
        } else {
            rig_refusal_is_clean(status, &err, c->name, r);
        }
        free(w);
    }
    dlq_linear_destroy(layer);
}

void
check_unprocessed(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, unprocessed_case, r);
}
