// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_TRACE_H
#define DLQ_CORE_TRACE_H

#include <dlquant/runtime.h>

#include <stddef.h>
#include <stdint.h>

/// Lines that say what was looked at, what hit and what was ignored and why; kept for whoever asks
/// later. Warnings among them go to the log too.

struct dlq_trace_line {
    int32_t level; ///< enum dlq_log_level
    char *text;
};

struct dlq_trace {
    const struct dlq_allocator *a;
    struct dlq_trace_line *lines;
    size_t n;
    size_t capacity;
};

/// Add a formatted line. DLQ_ENOMEM when memory is short, with a message in `err`.
int32_t
dlq_trace_add(struct dlq_trace *trace, struct dlq_error *err, int32_t level, const char *fmt, ...)
    DLQ_PRINTF(4, 5);

void
dlq_trace_free(struct dlq_trace *trace);

#endif // DLQ_CORE_TRACE_H
