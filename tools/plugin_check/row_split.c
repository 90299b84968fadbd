// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "numerics.h"

#include <dlquant/ext/row_split.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

/// The extension dlq.row-split/1, run as a host does, against the whole layer.

enum { MAX_SIZE = 4, GUARD = 64, POISON = 0xA5 };

/// One rank, with everything that a host gives to it.
struct rank {
    dlq_linear *layer;
    void *method;
    struct dlq_row_split wants;
    struct dlq_linear_call call;
    uint8_t *x;
    uint8_t *y;
    uint8_t *workspace; ///< Between guards
    int32_t *sums;      ///< [m, n], then a guard
};

struct split {
    const struct check_case *c;
    const struct dlq_ext_row_split *ext;
    struct rig_spec spec;
    struct rank ranks[MAX_SIZE];
    float *stats; ///< [ranks, m, n_stats]
};

static void
free_split(struct split *s)
{
    for (int32_t i = 0; i < s->spec.size; i++) {
        struct rank *const k = &s->ranks[i];
        dlq_linear_destroy(k->layer);
        free(k->x);
        free(k->y);
        free(k->workspace);
        free(k->sums);
    }
    free(s->stats);
}

// A rank with its share of x and guarded scratch. False: it cannot be made, or `r` is set.
static bool
make_rank(struct rig *rig, struct split *s, struct rank *k, const struct rig_image *image,
          const struct rig_io *whole, struct check_result *r)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t status = rig_layer_make(rig, &s->spec, image, &k->layer, &err);
    if (status != DLQ_OK) {
        rig_refusal_is_clean(status, &err, s->c->name, r);
        return false;
    }
    const struct dlq_layer_info *const info = dlq_linear_info(k->layer);
    const int64_t inputs = info->input_size_per_partition;
    const size_t element = rig_size(whole->dtype);
    s->ext = dlq_linear_extension(k->layer, DLQ_EXT_ROW_SPLIT, &k->method);
    k->wants = (struct dlq_row_split){.struct_size = sizeof(k->wants)};
    s->ext->describe(k->method, &k->wants);
    const size_t size = s->ext->workspace_size(k->method, whole->m, s->spec.size);
    k->x = malloc((size_t)(whole->m * inputs) * element);
    k->y = malloc((size_t)(whole->m * whole->n) * element);
    k->workspace = aligned_alloc(256, (size + 256 + GUARD + 255) / 256 * 256);
    k->sums = malloc((size_t)(whole->m * whole->n) * sizeof(*k->sums) + GUARD);
    if (!k->x || !k->y || !k->workspace || !k->sums) {
        rig_skip(r, "no memory");
        return false;
    }
    memset(k->workspace, POISON, size + 256 + GUARD);
    memset(k->sums, POISON, (size_t)(whole->m * whole->n) * sizeof(*k->sums) + GUARD);
    for (int64_t i = 0; i < whole->m * inputs; i++) {
        const int64_t at = i / inputs * whole->x_stride + info->input_offset + i % inputs;
        rig_set(k->x, whole->dtype, i, rig_get(whole->x, whole->dtype, at));
    }
    k->call = (struct dlq_linear_call){
        .struct_size = DLQ_SIZE_UPTO(struct dlq_linear_call, host),
        .m = whole->m,
        .x = k->x,
        .x_stride = inputs,
        .y_stride = whole->n,
        .workspace = k->workspace + 256,
        .workspace_size = size,
        .host = dlq_runtime_host(rig->rt),
    };
    return true;
}

static bool
is_poison(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i] != POISON) {
            return false;
        }
    }
    return true;
}

static void
check_guards_of(const struct split *s, const struct rank *k, const struct rig_io *whole,
                const char *step, struct check_result *r)
{
    const size_t sums = (size_t)(whole->m * whole->n) * sizeof(*k->sums);
    if (!is_poison(k->workspace, 256) ||
        !is_poison(k->workspace + 256 + k->call.workspace_size, GUARD) ||
        !is_poison((const uint8_t *)k->sums + sums, GUARD)) {
        rig_fail(r, "%s: T %d: %s wrote outside its workspace or its sums", s->c->name,
                 (int)s->spec.size, step);
    }
}

// One step on every rank. `fn` 0: measure, 1: multiply into sums, 2: multiply into y, 3: finish.
static bool
take_step(struct split *s, int step, const struct rig_io *whole, struct check_result *r)
{
    static const char *const names[] = {"measure()", "multiply()", "multiply()", "finish()"};
    const int64_t row = whole->m * s->ranks[0].wants.n_stats;
    const float *const stats = row > 0 ? s->stats : NULL;
    for (int32_t i = 0; i < s->spec.size && r->verdict != CHECK_FAIL; i++) {
        struct rank *const k = &s->ranks[i];
        struct dlq_linear_call call = k->call;
        struct dlq_error err = DLQ_ERROR_INIT;
        int32_t status = DLQ_OK;
        call.y = step >= 2 ? k->y : NULL;
        call.x = step == 3 ? NULL : call.x;
        switch (step) {
        case 0:
            status = s->ext->measure(k->method, &call, s->stats + i * row, &err);
            break;
        case 3:
            status = s->ext->finish(k->method, &call, stats, s->spec.size, k->sums, &err);
            break;
        default:
            status = s->ext->multiply(k->method, &call, stats, s->spec.size,
                                      step == 1 ? k->sums : NULL, &err);
        }
        if (status != DLQ_OK) {
            rig_fail(r, "%s: T %d: %s: %s", s->c->name, (int)s->spec.size, names[step], err.msg);
        }
        check_guards_of(s, k, whole, names[step], r);
    }
    return r->verdict != CHECK_FAIL;
}

// What the host does with integer sums: every rank gets the total.
static void
add_up(struct split *s, const struct rig_io *whole)
{
    for (int64_t i = 0; i < whole->m * whole->n; i++) {
        uint32_t sum = 0;
        for (int32_t k = 0; k < s->spec.size; k++) {
            sum += (uint32_t)s->ranks[k].sums[i];
        }
        for (int32_t k = 0; k < s->spec.size; k++) {
            s->ranks[k].sums[i] = (int32_t)sum;
        }
    }
}

// y of every rank, or of their sum, against the whole layer's.
static void
compare(const struct split *s, bool exact, const struct rig_io *whole, const float *w,
        struct check_result *r)
{
    float *const x = malloc((size_t)whole->k * sizeof(*x));
    for (int64_t i = 0; x && i < whole->m * whole->n; i++) {
        const int64_t row = i / whole->n;
        const int64_t column = i % whole->n;
        const double y = rig_get(rig_io_y(whole, row), whole->dtype, column);
        double sum = 0.0;
        double largest = 0.0;
        for (int32_t k = 0; k < s->spec.size; k++) {
            const double part = rig_get(s->ranks[k].y, whole->dtype, i);
            largest = fmax(largest, fabs(part));
            sum += part;
            if (exact && part != y) {
                rig_fail(r,
                         "%s: T %d, rank %d: y[%lld, %lld] is %.9g of exact sums, %.9g in the "
                         "whole layer",
                         s->c->name, (int)s->spec.size, (int)k, (long long)row, (long long)column,
                         part, y);
            }
        }
        for (int64_t k = 0; k < whole->k; k++) {
            x[k] = rig_get(whole->x, whole->dtype, row * whole->x_stride + k);
        }
        const double bound =
            2.0 * numerics_bound(x, w + column * whole->k, whole->k, whole->dtype, y) +
            (s->spec.size + 1) * numerics_ulp(whole->dtype, largest);
        if (!exact && !(fabs(sum - y) <= bound)) {
            rig_fail(r, "%s: T %d: the sum of y[%lld, %lld] is %.9g, %.9g +- %.3g is expected",
                     s->c->name, (int)s->spec.size, (long long)row, (long long)column, sum, y,
                     bound);
        }
    }
    free(x);
}

static void
run_ranks(struct split *s, const struct rig_io *whole, const float *w, struct check_result *r)
{
    const struct dlq_row_split *const wants = &s->ranks[0].wants;
    const bool sums = wants->sum_dtype == DLQ_I32;
    if (wants->n_stats == 0 && !sums) {
        return;
    }
    for (int32_t i = 1; i < s->spec.size; i++) {
        if (memcmp(&s->ranks[i].wants, wants, sizeof(*wants)) != 0) {
            rig_fail(r, "%s: T %d: rank %d wants other statistics or sums than rank 0", s->c->name,
                     (int)s->spec.size, (int)i);
            return;
        }
    }
    s->stats = calloc((size_t)(s->spec.size * whole->m * wants->n_stats) + 1, sizeof(*s->stats));
    bool ok = s->stats != NULL && (wants->n_stats == 0 || take_step(s, 0, whole, r));
    if (ok && sums) {
        ok = take_step(s, 1, whole, r);
        add_up(s, whole);
        ok = ok && take_step(s, 3, whole, r);
        if (ok) {
            compare(s, true, whole, w, r);
        }
    }
    if (ok && take_step(s, 2, whole, r)) {
        compare(s, false, whole, w, r);
    }
}

static void
check_case(struct rig *rig, const struct check_case *c, const struct rig_spec *spec,
           struct check_result *r)
{
    struct rig_trial t;
    float *w = NULL;
    if (!rig_trial_make(rig, c, spec, 3, false, &t, r)) {
        return;
    }
    const bool ok = dlq_linear_extension(t.layer, DLQ_EXT_ROW_SPLIT, NULL) &&
                    rig_io_apply(&t.io, t.layer, r) &&
                    numerics_weights(t.layer, dlq_runtime_host(rig->rt), &w, r);
    for (int32_t size = 2; ok && size <= MAX_SIZE && r->verdict != CHECK_FAIL; size *= 2) {
        struct split s = {.c = c, .spec = *spec};
        bool made = true;
        s.spec.kind = DLQ_ROW;
        s.spec.size = size;
        for (s.spec.rank = 0; made && s.spec.rank < size; s.spec.rank++) {
            made = make_rank(rig, &s, &s.ranks[s.spec.rank], &t.image, &t.io, r);
        }
        if (made) {
            run_ranks(&s, &t.io, w, r);
        }
        free_split(&s);
    }
    free(w);
    rig_trial_free(&t);
}

void
check_row_split(const struct check_subject *s, struct check_result *r)
{
    rig_each_case(s, false, check_case, r);
}
