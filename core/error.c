// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "error.h"

#include "text.h"

#include <stdio.h>
#include <string.h>

static const char *const status_strings[] = {
    [DLQ_OK] = "Success",
    [DLQ_EINVAL] = "Invalid argument",
    [DLQ_ENOMEM] = "Out of memory",
    [DLQ_ENOTFOUND] = "Not found",
    [DLQ_EEXIST] = "Exists already",
    [DLQ_EIO] = "Input or output failed",
    [DLQ_EFORMAT] = "Malformed file",
    [DLQ_ECONFIG] = "Invalid configuration",
    [DLQ_EUNSUPPORTED] = "Not supported",
    [DLQ_ESHAPE] = "Sizes do not fit",
    [DLQ_EDTYPE] = "Element types do not fit",
    [DLQ_EABI] = "Incompatible plugin",
    [DLQ_EPERM] = "Not permitted",
    [DLQ_EDEVICE] = "Device failed",
    [DLQ_ESTATE] = "Called in the wrong order",
    [DLQ_EINCOMPLETE] = "Incomplete",
    [DLQ_EOVERFLOW] = "Size overflow",
    [DLQ_ECOMM] = "Communication failed",
    [DLQ_ETIMEOUT] = "Timed out",
    [DLQ_EPLUGIN] = "Plugin broke its contract",
    [DLQ_EINTERNAL] = "Internal error",
};

const char *
dlq_status_string(int32_t status)
{
    const int32_t n = (int32_t)(sizeof(status_strings) / sizeof(*status_strings));
    return status >= 0 && status < n ? status_strings[status] : "Unknown status";
}

// A caller built with older headers may own a shorter message buffer, never a shorter prefix.
static size_t
message_size(const struct dlq_error *err)
{
    const size_t head = offsetof(struct dlq_error, msg);
    if (err->struct_size <= head) {
        return 0;
    }
    const size_t room = err->struct_size - head;
    return room < DLQ_ERROR_MSG_SIZE ? room : DLQ_ERROR_MSG_SIZE;
}

static void
set_message(struct dlq_error *err, const char *text)
{
    const size_t size = message_size(err);
    if (size > 0) {
        const size_t len = strnlen(text, size - 1);
        memcpy(err->msg, text, len);
        err->msg[len] = '\0';
        dlq_text_clean(err->msg);
    }
}

int32_t
dlq_vfail(struct dlq_error *err, int32_t code, uint32_t domain, int32_t native, const char *fmt,
          va_list args)
{
    if (err) {
        char text[DLQ_ERROR_MSG_SIZE];
        vsnprintf(text, sizeof(text), fmt, args);
        err->code = code;
        err->native = native;
        err->domain = domain;
        set_message(err, text);
    }
    return code;
}

int32_t
dlq_fail(struct dlq_error *err, int32_t code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    dlq_vfail(err, code, DLQ_DOMAIN_CORE, 0, fmt, args);
    va_end(args);
    return code;
}

int32_t
dlq_fail_native(struct dlq_error *err, int32_t code, uint32_t domain, int32_t native,
                const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    dlq_vfail(err, code, domain, native, fmt, args);
    va_end(args);
    return code;
}

int32_t
dlq_fail_prefix(struct dlq_error *err, int32_t code, const char *fmt, ...)
{
    if (!err) {
        return code;
    }
    char text[DLQ_ERROR_MSG_SIZE];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof(text)) {
        snprintf(text + n, sizeof(text) - (size_t)n, ": %.*s", (int)message_size(err), err->msg);
    }
    set_message(err, text);
    return err->code;
}
