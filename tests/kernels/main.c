// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench.h"
#include "device_cpu.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// check_kernels [OP ...]: checks every operation, or those named, at every level of this machine.
// check_kernels --bench [--op OP] [--shape KxN] [--m LIST] [--threads LIST] [--level NAME]
//               [--set MIB] [--seconds S]: measures, one JSON line a figure. OP may be dense_bf16.

static const struct {
    const char *name;
    void (*check)(void);
    void (*bench)(uint32_t cpu_flags); // NULL: nothing to measure
} operations[] = {
    {"float16", check_float16, NULL},    {"grid", check_grid, NULL},
    {"pack", check_pack, NULL},          {"w4", check_w4, NULL},
    {"wna16", check_wna16, bench_wna16}, {"dense", check_dense, bench_dense},
    {"fp", check_fp, bench_fp},          {"w8a8", check_w8a8, bench_w8a8},
};
static const int n_operations = (int)(sizeof(operations) / sizeof(*operations));

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

// Numbers of a list such as "1,16,512" into `out`; how many, at most `max`.
static int
parse_list(const char *text, int64_t *out, int max)
{
    int n = 0;
    char *end = NULL;
    for (const char *p = text; *p != '\0' && n < max; p = *end == '\0' ? end : end + 1) {
        out[n++] = strtoll(p, &end, 10);
        if (end == p) {
            return 0;
        }
    }
    return n;
}

static bool
parse_bench_option(const char *name, const char *value)
{
    struct bench_options *o = &bench_options;
    if (strcmp(name, "--op") == 0) {
        o->op = value;
    } else if (strcmp(name, "--level") == 0) {
        o->level = value;
    } else if (strcmp(name, "--shape") == 0 && o->n_shapes < 16) {
        const char *x = strchr(value, 'x');
        o->shapes[o->n_shapes][0] = strtoll(value, NULL, 10);
        o->shapes[o->n_shapes][1] = x != NULL ? strtoll(x + 1, NULL, 10) : 0;
        return x != NULL && o->shapes[o->n_shapes][0] > 0 && o->shapes[o->n_shapes++][1] > 0;
    } else if (strcmp(name, "--m") == 0) {
        o->n_rows = parse_list(value, o->rows, 16);
        return o->n_rows > 0;
    } else if (strcmp(name, "--threads") == 0) {
        int64_t threads[8];
        o->n_threads = parse_list(value, threads, 8);
        for (int i = 0; i < o->n_threads; i++) {
            o->threads[i] = (int)(threads[i] < 1 ? 1 : threads[i] > 64 ? 64 : threads[i]);
        }
        return o->n_threads > 0;
    } else if (strcmp(name, "--set") == 0) {
        o->set_bytes = strtoll(value, NULL, 10) << 20;
        return o->set_bytes > 0;
    } else if (strcmp(name, "--seconds") == 0) {
        o->seconds = strtod(value, NULL);
        return o->seconds > 0.0;
    } else {
        return false;
    }
    return true;
}

static int
bench_main(int argc, char **argv)
{
    struct bench_options *o = &bench_options;
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 == argc || !parse_bench_option(argv[i], argv[i + 1])) {
            fprintf(stderr, "check_kernels: bad option %s\n", argv[i]);
            return 2;
        }
    }
    if (o->n_shapes == 0) {
        memcpy(o->shapes, (const int64_t[2][2]){{4096, 4096}, {4096, 14336}}, 4 * sizeof(int64_t));
        o->n_shapes = 2;
    }
    if (o->n_rows == 0) {
        o->n_rows = parse_list("1,4,8,16,64,512", o->rows, 16);
    }
    if (o->n_threads == 0) {
        o->threads[o->n_threads++] = 1;
    }
    uint32_t flags = machine_flags;
    for (int i = 0; i < check_n_levels && o->level != NULL; i++) {
        flags = strcmp(o->level, check_levels[i].name) == 0 ? flags & check_levels[i].flags : flags;
    }
    for (int i = 0; i < o->n_threads; i++) {
        bench_ceilings(o->threads[i], machine_flags);
    }
    for (int i = 0; i < n_operations; i++) {
        if (operations[i].bench != NULL &&
            (o->op == NULL ||
             strncmp(o->op, operations[i].name, strlen(operations[i].name)) == 0)) {
            operations[i].bench(flags);
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    if (dlq_device_cpu_flags(&machine_flags, &err) != DLQ_OK) {
        fprintf(stderr, "check_kernels: %s\n", err.msg);
        return 2;
    }
#if defined(CHECK_EMULATE_AMX)
    // Of what tiles need, they alone are emulated.
    if ((machine_flags & DLQ_CPU_AVX512_VNNI) != 0) {
        machine_flags |= DLQ_CPU_AMX_INT8 | DLQ_CPU_AMX_BF16;
    }
#endif
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        return bench_main(argc, argv);
    }
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
