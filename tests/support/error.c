// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <stdio.h>
#include <string.h>

void
test_check_error(int32_t rc, struct dlq_error *err, int32_t code, const char *text,
                 const char *file, int line)
{
    if (rc != code || err->code != code || !strstr(err->msg, text) || strchr(err->msg, '\n')) {
        print_error("expected status %d with '%s'\nfound    status %d, record %d with '%s'\n", code,
                    text, rc, err->code, err->msg);
        _fail(file, line);
    }
    *err = (struct dlq_error)DLQ_ERROR_INIT;
}

void
test_check_ok(int32_t rc, const struct dlq_error *err, const char *file, int line)
{
    if (rc != DLQ_OK) {
        print_error("expected success, found status %d with '%s'\n", rc, err->msg);
        _fail(file, line);
    }
}
