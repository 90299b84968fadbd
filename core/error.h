// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_CORE_ERROR_H
#define DLQ_CORE_ERROR_H

#include <dlquant/status.h>

#include <stdarg.h>
#include <stdint.h>

/// Write `code` and a formatted message to `err`, which may be NULL, and return `code`. The domain
/// is DLQ_DOMAIN_CORE. Arguments may point into `err->msg`.
int32_t
dlq_fail(struct dlq_error *err, int32_t code, const char *fmt, ...) DLQ_PRINTF(3, 4);

/// dlq_fail() for another domain, with the error number of whoever failed (0: none).
int32_t
dlq_fail_native(struct dlq_error *err, int32_t code, uint32_t domain, int32_t native,
                const char *fmt, ...) DLQ_PRINTF(5, 6);

/// dlq_fail_native() with a started argument list.
int32_t
dlq_vfail(struct dlq_error *err, int32_t code, uint32_t domain, int32_t native, const char *fmt,
          va_list args) DLQ_PRINTF(5, 0);

/// Put "<formatted text>: " before the message of a failed call and return `err->code`, or `code`
/// when `err` is NULL.
int32_t
dlq_fail_prefix(struct dlq_error *err, int32_t code, const char *fmt, ...) DLQ_PRINTF(3, 4);

#endif // DLQ_CORE_ERROR_H
