// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "golden.h"

#include "convert.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct dlq_checkpoint_tensor *
find(const dlq_checkpoint *golden, const char *path, const char *leaf)
{
    char *name = tool_format("%s.%s", path, leaf);
    const struct dlq_checkpoint_tensor *t = dlq_checkpoint_find(golden, name);
    free(name);
    return t;
}

bool
tool_recorded_exists(const dlq_checkpoint *golden, const char *path)
{
    return find(golden, path, "x") && find(golden, path, "y");
}

static int32_t
misfit(struct dlq_error *err, const struct dlq_checkpoint_tensor *t, int64_t rows, int64_t columns)
{
    char found[64] = "no matrix";
    if (t->ndim == 1 || t->ndim == 2) {
        snprintf(found, sizeof(found), "%lld x %lld", (long long)t->shape[0],
                 (long long)(t->ndim == 2 ? t->shape[1] : 1));
    }
    err->code = DLQ_ESHAPE;
    err->domain = DLQ_DOMAIN_CHECKPOINT;
    snprintf(err->msg, sizeof(err->msg), "golden %s: expected %lld x %lld, found %s of %s", t->name,
             (long long)rows, (long long)columns, found, tool_dtype_name(t->dtype));
    return DLQ_ESHAPE;
}

static int32_t
wrong_dtype(struct dlq_error *err, const struct dlq_checkpoint_tensor *t, const char *expected)
{
    err->code = DLQ_EDTYPE;
    err->domain = DLQ_DOMAIN_CHECKPOINT;
    snprintf(err->msg, sizeof(err->msg), "golden %s: expected %s, found %s", t->name, expected,
             tool_dtype_name(t->dtype));
    return DLQ_EDTYPE;
}

/// Whether `t` holds rows * columns elements with `rows` first.
static bool
fits(const struct dlq_checkpoint_tensor *t, int64_t rows, int64_t columns)
{
    const int64_t second = t->ndim == 2 ? t->shape[1] : 1;
    return t->data && t->ndim >= 1 && t->ndim <= 2 && t->shape[0] == rows && second == columns;
}

/// Elements of a tensor as doubles; NULL when the dtype is none of the recorded ones.
static double *
as_doubles(const struct dlq_checkpoint_tensor *t, int64_t count)
{
    double *out = tool_alloc((size_t)count, sizeof(*out));
    for (int64_t i = 0; i < count; ++i) {
        if (!tool_element(t->data, t->dtype, i, &out[i])) {
            free(out);
            return NULL;
        }
    }
    return out;
}

static float *
as_floats(const struct dlq_checkpoint_tensor *t, int64_t count)
{
    double *wide = as_doubles(t, count);
    if (!wide) {
        return NULL;
    }
    float *out = tool_alloc((size_t)count, sizeof(*out));
    for (int64_t i = 0; i < count; ++i) {
        out[i] = (float)wide[i];
    }
    free(wide);
    return out;
}

static int32_t *
as_integers(const struct dlq_checkpoint_tensor *t, int64_t count)
{
    if (t->dtype != DLQ_I32) {
        return NULL;
    }
    int32_t *out = tool_alloc((size_t)count, sizeof(*out));
    memcpy(out, t->data, (size_t)count * sizeof(*out));
    return out;
}

static int32_t
read_codes(const dlq_checkpoint *golden, const char *path, struct tool_recorded *out,
           struct dlq_error *err)
{
    const struct dlq_checkpoint_tensor *t = find(golden, path, "xq");
    if (t) {
        if (!fits(t, out->m, out->k)) {
            return misfit(err, t, out->m, out->k);
        }
        out->code_dtype = t->dtype;
        // One byte of e4m3 is recorded as U8, so that readers without that dtype can open the file.
        struct dlq_checkpoint_tensor view = *t;
        view.dtype = t->dtype == DLQ_U8 ? (uint32_t)DLQ_F8_E4M3 : t->dtype;
        out->codes = as_doubles(&view, out->m * out->k);
        if (!out->codes) {
            return wrong_dtype(err, t, "codes of I8, U8 or fp16");
        }
    }
    t = find(golden, path, "xs");
    if (t) {
        out->n_scales = t->ndim == 2 ? t->shape[1] : 1;
        if (out->n_scales < 1 || !fits(t, out->m, out->n_scales)) {
            return misfit(err, t, out->m, 1);
        }
        out->scales = as_floats(t, out->m * out->n_scales);
        if (!out->scales) {
            return wrong_dtype(err, t, "floats");
        }
    }
    t = find(golden, path, "azp");
    if (t) {
        if (!fits(t, out->m, 1)) {
            return misfit(err, t, out->m, 1);
        }
        out->zeros = as_integers(t, out->m);
        if (!out->zeros) {
            return wrong_dtype(err, t, "I32");
        }
    }
    t = find(golden, path, "acc");
    if (t) {
        if (!fits(t, out->m, out->n)) {
            return misfit(err, t, out->m, out->n);
        }
        out->acc = as_integers(t, out->m * out->n);
        if (!out->acc) {
            return wrong_dtype(err, t, "I32");
        }
        if (!out->codes || out->code_dtype != DLQ_I8) {
            err->code = DLQ_EFORMAT;
            err->domain = DLQ_DOMAIN_CHECKPOINT;
            snprintf(err->msg, sizeof(err->msg),
                     "golden %s: expected codes of I8 beside it in %s.xq, found %s", t->name, path,
                     out->codes ? tool_dtype_name(out->code_dtype) : "none");
            return DLQ_EFORMAT;
        }
    }
    return DLQ_OK;
}

int32_t
tool_recorded_read(const dlq_checkpoint *golden, const char *path, int64_t k, int64_t n,
                   struct tool_recorded *out, struct dlq_error *err)
{
    *out = (struct tool_recorded){.k = k, .n = n};
    const struct dlq_checkpoint_tensor *x = find(golden, path, "x");
    const struct dlq_checkpoint_tensor *y = find(golden, path, "y");
    if (!x || !y) {
        err->code = DLQ_ENOTFOUND;
        snprintf(err->msg, sizeof(err->msg), "golden: no %s.x and .y", path);
        return DLQ_ENOTFOUND;
    }
    out->m = x->ndim == 2 ? x->shape[0] : 0;
    out->x_dtype = x->dtype;
    if (out->m < 1 || !fits(x, out->m, k)) {
        return misfit(err, x, out->m, k);
    }
    if (!fits(y, out->m, n)) {
        return misfit(err, y, out->m, n);
    }
    out->x = as_floats(x, out->m * k);
    out->y = as_doubles(y, out->m * n);
    if (!out->x || !out->y) {
        return wrong_dtype(err, out->x ? y : x, "floats");
    }
    return read_codes(golden, path, out, err);
}

void
tool_recorded_free(struct tool_recorded *r)
{
    free(r->x);
    free(r->y);
    free(r->codes);
    free(r->scales);
    free(r->zeros);
    free(r->acc);
    *r = (struct tool_recorded){0};
}
