// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_LOG_H
#define DLQ_CORE_LOG_H

#include <dlquant/abi.h>

#include <stdarg.h>
#include <stdint.h>

/// Where the lines of a runtime go.
struct dlq_log {
    int32_t level;                                             ///< Highest level that is wanted
    void *ctx;                                                 ///< First argument of `write`
    void (*write)(void *ctx, int32_t level, const char *line); ///< NULL: nowhere
};

/// Hand over one finished line when its level is wanted.
void
dlq_log_line(const struct dlq_log *log, int32_t level, const char *line);

/// Format one line and hand it over when its level is wanted.
void
dlq_log_format(const struct dlq_log *log, int32_t level, const char *fmt, ...) DLQ_PRINTF(3, 4);

/// dlq_log_format() with a started argument list.
void
dlq_log_vformat(const struct dlq_log *log, int32_t level, const char *fmt, va_list args)
    DLQ_PRINTF(3, 0);

#endif // DLQ_CORE_LOG_H
