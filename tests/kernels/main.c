// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
#include "device_cpu.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// check_kernels [OP ...]: checks every operation, or those named, at every level of this machine.

static const struct {
    const char *name;
    void (*check)(void);
} operations[] = {
    {"float16", check_float16},
    {"pack", check_pack},
    {"wna16", check_wna16},
};

static long n_passed;
static long n_failed;
static uint32_t machine_flags;
static uint32_t skipped; // bits of check_levels

bool
check_that(bool ok, const char *fmt, ...)
{
    enum { MAX_PRINTED = 40 };
    n_passed += ok;
    n_failed += !ok;
    if (!ok && n_failed <= MAX_PRINTED) {
        va_list args;
        va_start(args, fmt);
        fputs("FAIL: ", stdout);
        vprintf(fmt, args);
        fputc('\n', stdout);
        va_end(args);
    }
    return ok;
}

bool
check_have_level(const struct check_level *level)
{
    const bool have = (machine_flags & level->flags) == level->flags;
    if (!have) {
        skipped |= 1u << (level - check_levels);
    }
    return have;
}

int
main(int argc, char **argv)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    if (dlq_device_cpu_flags(&machine_flags, &err) != DLQ_OK) {
        fprintf(stderr, "check_kernels: %s\n", err.msg);
        return 2;
    }
    const int n_operations = (int)(sizeof(operations) / sizeof(*operations));
    int n_run = 0;
    for (int i = 0; i < n_operations; i++) {
        bool wanted = argc == 1;
        for (int a = 1; a < argc; a++) {
            wanted = wanted || strcmp(argv[a], operations[i].name) == 0;
        }
        if (wanted) {
            const long before = n_failed;
            operations[i].check();
            printf("%s: %s\n", operations[i].name, n_failed == before ? "ok" : "FAILED");
            n_run++;
        }
    }
    if (n_run == 0) {
        fprintf(stderr, "check_kernels: no such operation\n");
        return 2;
    }
    for (int i = 0; i < check_n_levels; i++) {
        if ((skipped >> i & 1u) != 0) {
            printf("skipped level %s: not on this machine\n", check_levels[i].name);
        }
    }
    printf("%ld passed, %ld failed\n", n_passed, n_failed);
    return n_failed == 0 ? 0 : 1;
}
