// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "rig.h"

#include <stdlib.h>
#include <string.h>

/// Memory: all given back, and every allocation may fail.

// Configuration, layer, load, process, one product: the whole life of a layer.
static int32_t
live_once(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
          const struct rig_image *image, struct dlq_error *err, struct check_result *r)
{
    int32_t status = dlq_quant_config_create(rig->rt, rig->subject->plugin->name, c->config,
                                             strlen(c->config), &rig->config, err);
    dlq_linear *layer = NULL;
    if (status == DLQ_OK) {
        status = rig_layer_make(rig, spec, image, &layer, err);
    }
    struct rig_io io;
    if (status == DLQ_OK && rig_io_make(&io, layer, 2, false, rig->subject->seed)) {
        rig_io_apply(&io, layer, r);
        rig_io_free(&io);
    }
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(rig->config);
    rig->config = NULL;
    return status;
}

static void
fail_each(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
          const struct rig_image *image, bool silent, struct check_result *r)
{
    // The first life fills what the runtime keeps for good.
    if (live_once(rig, c, spec, image, NULL, r) != DLQ_OK) {
        rig_fail(r, "%s: the life of a layer fails without any allocation failing", c->name);
        return;
    }
    for (long n = 1; r->verdict != CHECK_FAIL; n++) {
        const long before = rig->memory.live;
        struct dlq_error err = DLQ_ERROR_INIT;
        rig->memory.calls = 0;
        rig->memory.fail_at = n;
        const int32_t status = live_once(rig, c, spec, image, silent ? NULL : &err, r);
        const bool reached = rig->memory.calls >= n;
        rig->memory.fail_at = 0;
        if (rig->memory.live != before) {
            rig_fail(r, "%s: allocation %ld fails, %ld blocks are not given back", c->name, n,
                     rig->memory.live - before);
        }
        if (!reached) {
            break;
        }
        if (status == DLQ_OK) {
            rig_fail(r, "%s: allocation %ld fails and nobody says so", c->name, n);
        } else if (!silent) {
            rig_refusal_is_clean(status, &err, "a failed allocation", r);
            if (status != DLQ_ENOMEM) {
                rig_fail(r, "%s: allocation %ld fails with status %d (%s), DLQ_ENOMEM is expected",
                         c->name, n, (int)status, err.msg);
            }
        }
    }
}

static void
fail_all_cases(const struct check_subject *s, bool silent, struct check_result *r)
{
    uint32_t dtypes[4];
    rig_act_dtypes(s->plugin, dtypes);
    if (s->n_cases == 0) {
        rig_skip(r, "no configuration was given");
    }
    for (size_t i = 0; i < s->n_cases && r->verdict == CHECK_PASS; i++) {
        struct rig rig;
        struct rig_image image;
        const struct check_case *const c = &s->cases[i];
        const struct rig_spec spec = rig_spec_of(c, dtypes[0]);
        if (!rig_open(&rig, s, c, 1, r)) {
            return;
        }
        if (rig_image_make(&rig, c, &spec, &image, r)) {
            dlq_quant_config_destroy(rig.config);
            rig.config = NULL;
            fail_each(&rig, c, &spec, &image, silent, r);
            rig_image_free(&image);
        }
        rig_close(&rig);
    }
}

void
check_memory_fails(const struct check_subject *s, struct check_result *r)
{
    fail_all_cases(s, false, r);
}

void
check_memory_fails_silently(const struct check_subject *s, struct check_result *r)
{
    fail_all_cases(s, true, r);
}

void
check_memory_returned(const struct check_subject *s, struct check_result *r)
{
    uint32_t dtypes[4];
    rig_act_dtypes(s->plugin, dtypes);
    if (s->n_cases == 0) {
        rig_skip(r, "no configuration was given");
    }
    for (size_t i = 0; i < s->n_cases; i++) {
        for (size_t j = 0; dtypes[j] != DLQ_DTYPE_NONE; j++) {
            struct rig rig;
            struct rig_image image;
            const struct check_case *const c = &s->cases[i];
            const struct rig_spec spec = rig_spec_of(c, dtypes[j]);
            if (!rig_open(&rig, s, c, 1, r)) {
                return;
            }
            dlq_linear *layer = NULL;
            struct dlq_error err = DLQ_ERROR_INIT;
            const long live = rig.memory.live;
            if (rig_image_make(&rig, c, &spec, &image, r)) {
                if (rig_layer_make(&rig, &spec, &image, &layer, &err) != DLQ_OK) {
                    rig_fail(r, "%s: %s", c->name, err.msg);
                }
                dlq_linear_destroy(layer);
                rig_image_free(&image);
            }
            if (rig.memory.live != live) {
                rig_fail(r, "%s: a layer leaves %ld blocks of memory", c->name,
                         rig.memory.live - live);
            }
            rig_close(&rig);
            if (rig.memory.live != 0) {
                rig_fail(r, "%s: %ld blocks of memory are left when everything is destroyed",
                         c->name, rig.memory.live);
            }
        }
    }
}
