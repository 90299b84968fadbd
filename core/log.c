// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "log.h"

#include "text.h"

#include <stdio.h>

// Longer lines are cut; a line is a sentence with a path or two.
#define LINE_SIZE 2048

void
dlq_log_line(const struct dlq_log *log, int32_t level, const char *line)
{
    if (log->write && level <= log->level) {
        char clean[LINE_SIZE];
        snprintf(clean, sizeof(clean), "%s", line);
        dlq_text_clean(clean);
        log->write(log->ctx, level, clean);
    }
}

void
dlq_log_vformat(const struct dlq_log *log, int32_t level, const char *fmt, va_list args)
{
    if (log->write && level <= log->level) {
        char line[LINE_SIZE];
        vsnprintf(line, sizeof(line), fmt, args);
        dlq_log_line(log, level, line);
    }
}

void
dlq_log_format(const struct dlq_log *log, int32_t level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    dlq_log_vformat(log, level, fmt, args);
    va_end(args);
}
