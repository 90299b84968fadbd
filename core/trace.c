// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "trace.h"

#include "alloc.h"
#include "error.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>

int32_t
dlq_trace_add(struct dlq_trace *trace, struct dlq_error *err, int32_t level, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    dlq_text_clean(text);
    struct dlq_trace_line *const lines =
        dlq_grow(trace->a, trace->lines, trace->n, &trace->capacity, trace->n + 1, sizeof(*lines));
    if (lines) {
        trace->lines = lines;
        lines[trace->n].level = level;
        lines[trace->n].text = dlq_strdup(trace->a, text);
    }
    if (!lines || !lines[trace->n].text) {
        return dlq_fail_native(err, DLQ_ENOMEM, DLQ_DOMAIN_CHECKPOINT, 0,
                               "out of memory for the trace of a checkpoint");
    }
    trace->n++;
    return DLQ_OK;
}

void
dlq_trace_free(struct dlq_trace *trace)
{
    for (size_t i = 0; i < trace->n; i++) {
        dlq_free(trace->a, trace->lines[i].text);
    }
    dlq_free(trace->a, trace->lines);
    *trace = (struct dlq_trace){.a = trace->a};
}
