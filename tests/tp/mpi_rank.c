// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// One process of a group over MPI: mpi_rank MODULES FOLDER MODE [NUMBER...]. It leaves "<status>
// <message>" in FOLDER/<rank>. Built twice: as a program that knows nothing of MPI, and with ENGINE
// as one that brings its own communicator.

#define _GNU_SOURCE

#include "float16.h"

#include <dlquant/dlquant.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef ENGINE
#include <mpi.h>
#endif

#define MAX_RANKS 4

struct end {
    const struct dlq_collective *c;
    int64_t scale; ///< Makes the sizes of large calls
    const char *problem;
    unsigned char *bytes; ///< Everything that calls gave, in order
    size_t len, capacity;
};

static void
keep(struct end *e, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    if (e->len + len > e->capacity) {
        e->capacity = (e->len + len) * 2;
        e->bytes = realloc(e->bytes, e->capacity);
    }
    memcpy(e->bytes + e->len, data, len);
    e->len += len;
}

static void
expect(struct end *e, bool ok, const char *problem)
{
    if (!ok && !e->problem) {
        e->problem = problem;
    }
}

// Values whose sum depends on the order of addition.
static void
fill(void *data, uint32_t dtype, int32_t rank, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const uint32_t x = ((uint32_t)i * 2654435761u) ^ ((uint32_t)(rank + 1) * 40503u);
        if (dtype == DLQ_I32) {
            memcpy((char *)data + i * 4, &x, 4);
            continue;
        }
        const float v = ((float)(x >> 8) / 16777216.0f - 0.5f) * (float)(1 << (rank * 3));
        (void)dlq_cast(dtype, (char *)data + i * (DLQ_DTYPE_BITS(dtype) / 8), DLQ_F32, &v, 1);
    }
}

static void
run_sums(struct end *e, int64_t count)
{
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32, DLQ_I32};
    void *const data = malloc((size_t)count * 4 + 1);
    for (int d = 0; d < 4; d++) {
        for (uint32_t flags = 0; flags <= DLQ_REDUCE_FP32; flags += DLQ_REDUCE_FP32) {
            fill(data, dtypes[d], e->c->rank, count);
            expect(e,
                   e->c->all_reduce(e->c->ctx, data, count, dtypes[d], flags, NULL, NULL) == DLQ_OK,
                   "all_reduce failed");
            keep(e, data, (size_t)count * (DLQ_DTYPE_BITS(dtypes[d]) / 8));
        }
    }
    free(data);
}

static void
run_gather(struct end *e, const int64_t counts[MAX_RANKS], bool in_place)
{
    int64_t total = 0;
    int64_t before = 0;
    for (int32_t r = 0; r < e->c->size; r++) {
        before += r < e->c->rank ? counts[r] : 0;
        total += counts[r];
    }
    uint16_t *const recv = malloc((size_t)total * 2 + 2);
    uint16_t *const own = malloc((size_t)counts[e->c->rank] * 2 + 2);
    memset(recv, 0xee, (size_t)total * 2 + 2);
    uint16_t *const send = in_place ? recv + before : own;
    fill(send, DLQ_F16, e->c->rank, counts[e->c->rank]);
    expect(e, e->c->all_gather(e->c->ctx, send, recv, counts, DLQ_F16, NULL, NULL) == DLQ_OK,
           "all_gather failed");
    expect(e, recv[total] == 0xeeee, "all_gather wrote past the end");
    keep(e, recv, (size_t)total * 2);
    free(recv);
    free(own);
}

static void
run_broadcast(struct end *e, int64_t count, int32_t root)
{
    float *const data = malloc((size_t)count * 4 + 4);
    fill(data, DLQ_F32, e->c->rank, count);
    expect(e, e->c->broadcast(e->c->ctx, data, count, DLQ_F32, root, NULL, NULL) == DLQ_OK,
           "broadcast failed");
    keep(e, data, (size_t)count * 4);
    free(data);
}

// Everything that succeeds; runs in threads and in processes, and must leave the same bytes.
static void *
run_all(void *arg)
{
    struct end *const e = arg;
    static const int64_t sums[] = {0, 1, 3, 777, 16384, 32768, 32769, 100003, 300001};
    for (size_t i = 0; i < sizeof(sums) / sizeof(*sums); i++) {
        run_sums(e, sums[i]);
    }
    const int64_t some[] = {7, 0, 131, 2};
    const int64_t many[] = {1, 100001, 0, 40000};
    const int64_t none[] = {0, 0, 0, 0};
    run_gather(e, some, false);
    run_gather(e, many, false);
    run_gather(e, many, true);
    run_gather(e, none, false);
    for (int32_t root = 0; root < e->c->size; root++) {
        run_broadcast(e, 5, root);
        run_broadcast(e, 50001, root);
    }
    expect(e, e->c->barrier(e->c->ctx, NULL, NULL) == DLQ_OK, "barrier failed");
    return NULL;
}

static void
check_sums(dlq_runtime *rt, struct end *e)
{
    const int32_t n = e->c->size;
    dlq_collective_threads *group = NULL;
    struct end ends[MAX_RANKS] = {{0}};
    pthread_t threads[MAX_RANKS];
    expect(e, dlq_collective_threads_create(rt, n, 0, &group, NULL) == DLQ_OK, "no threads");
    for (int32_t r = 0; r < n; r++) {
        ends[r].c = dlq_collective_threads_get(group, r);
        pthread_create(&threads[r], NULL, run_all, &ends[r]);
    }
    for (int32_t r = 0; r < n; r++) {
        pthread_join(threads[r], NULL);
    }
    run_all(e);
    const struct end *const same = &ends[e->c->rank];
    expect(e, !same->problem, "a thread failed");
    expect(e, e->len == same->len && memcmp(e->bytes, same->bytes, e->len) == 0,
           "other bits than a group of threads");
    for (int32_t r = 0; r < n; r++) {
        free(ends[r].bytes);
    }
    dlq_collective_threads_destroy(group);
}

static void
expect_text(struct end *e, const struct dlq_error *err, const char *text)
{
    if (!strstr(err->msg, text) && !e->problem) {
        static char problem[DLQ_ERROR_MSG_SIZE + 256];
        snprintf(problem, sizeof(problem), "expected '%s' in: %s", text, err->msg);
        e->problem = problem;
    }
}

// Ranks that ask for different things learn it, and the group goes on.
static void
check_mismatches(struct end *e)
{
    const struct dlq_collective *const c = e->c;
    struct dlq_error err = DLQ_ERROR_INIT;
    float data[8] = {0};
    const bool last = c->rank == c->size - 1;
    char text[64];
    snprintf(text, sizeof(text), "rank %d has all_reduce of 5", (int)c->size - 1);
    expect(e, c->all_reduce(c->ctx, data, last ? 5 : 4, DLQ_F32, 0, NULL, &err) == DLQ_ECOMM,
           "other counts were not found");
    expect_text(e, &err, text);
    snprintf(text, sizeof(text), "rank %d has barrier", (int)c->size - 1);
    expect(e,
           (last ? c->barrier(c->ctx, NULL, &err)
                 : c->broadcast(c->ctx, data, 4, DLQ_F32, 0, NULL, &err)) == DLQ_ECOMM,
           "other calls were not found");
    expect_text(e, &err, text);
    const int32_t rc = c->all_reduce(c->ctx, last ? NULL : data, 4, DLQ_F32, 0, NULL, &err);
    expect(e, rc == (last ? DLQ_EINVAL : DLQ_ECOMM), "invalid arguments were not found");
    snprintf(text, sizeof(text), "rank %d called all_reduce with invalid", (int)c->size - 1);
    expect_text(e, &err, last ? "no data" : text);
    expect(e, c->barrier(c->ctx, NULL, NULL) == DLQ_OK, "the group did not go on");
}

static void *
kill_self(void *arg)
{
    const long us = *(const long *)arg;
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
    kill(getpid(), SIGKILL);
    return NULL;
}

// Calls of all sizes until one fails.
static int32_t
run_until_failure(const struct dlq_collective *c, struct dlq_error *err)
{
    enum { LARGE = 120000 };
    float *const data = calloc(LARGE * MAX_RANKS, sizeof(float));
    const int64_t counts[MAX_RANKS] = {LARGE, 1, 50000, 0};
    float *const own = calloc(LARGE, sizeof(float));
    int32_t rc = DLQ_OK;
    for (int i = 0; rc == DLQ_OK; i++) {
        switch (i % 4) {
        case 0:
            rc = c->all_reduce(c->ctx, data, 64, DLQ_F32, 0, NULL, err);
            break;
        case 1:
            rc = c->all_gather(c->ctx, own, data, counts, DLQ_F32, NULL, err);
            break;
        case 2:
            rc = c->all_reduce(c->ctx, data, LARGE, DLQ_F32, 0, NULL, err);
            break;
        default:
            rc = c->broadcast(c->ctx, data, LARGE, DLQ_F32, i / 4 % c->size, NULL, err);
            break;
        }
    }
    free(own);
    free(data);
    return rc;
}

static void
report(const char *folder, int32_t rank, int32_t rc, const char *text)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%d", folder, (int)rank) >= 0) {
        FILE *const f = fopen(path, "we");
        if (f) {
            fprintf(f, "%d %s\n", (int)rc, text);
            fclose(f);
        }
        free(path);
    }
}

// The rank that the launcher gave this process, known before MPI is.
static int32_t
launched_rank(void)
{
    const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *const text = getenv(names[i]);
        if (text) {
            return atoi(text);
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc < 4) {
        return 2;
    }
    const char *const folder = argv[2];
    const char *const mode = argv[3];
    const int32_t chosen = argc > 4 ? atoi(argv[4]) : -1;
    long delay_us = argc > 5 ? atol(argv[5]) : 0;
    const int32_t rank = launched_rank();
    const char *const dirs[] = {argv[1], NULL};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options), .plugin_dirs = dirs, .n_threads = 1};
    struct dlq_collective_mpi_options join = {.struct_size = sizeof(join), .timeout_ms = 20000};
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    dlq_collective_mpi *group = NULL;
    struct end e = {0};
    int32_t rc = dlq_runtime_create(&options, &rt, &err);
    if (!strcmp(mode, "die") || !strcmp(mode, "absent")) {
        join.timeout_ms = 1000;
    }
#ifdef ENGINE
    // The engine's group: all ranks, in reverse order.
    MPI_Init(&argc, &argv);
    MPI_Comm comm;
    MPI_Comm_split(MPI_COMM_WORLD, 0, -rank, &comm);
    join.comm = (void *)(intptr_t)comm;
    if (!strcmp(mode, "absent") && rank == chosen) {
        nanosleep(&(struct timespec){3, 0}, NULL);
        report(folder, rank, 0, "absent");
        _exit(0);
    }
#endif
    if (!strcmp(mode, "fingerprint")) {
        join.fingerprint = rank == chosen ? 2 : 1;
    } else if (!strcmp(mode, "size")) {
        join.size = 9;
    }
    if (rc == DLQ_OK) {
        rc = dlq_collective_mpi_create(rt, &join, &group, &err);
    }
    if (rc != DLQ_OK) {
        report(folder, rank, rc, err.msg);
        _exit(0);
    }
    e.c = dlq_collective_mpi_get(group);
    if (!strcmp(mode, "all")) {
        check_sums(rt, &e);
        if (e.c->size > 1) {
            check_mismatches(&e);
        }
#ifdef ENGINE
        expect(&e, e.c->rank == e.c->size - 1 - rank, "not the rank of the engine's communicator");
#endif
    } else {
        if (!strcmp(mode, "die") && rank == chosen) {
            pthread_t thread;
            pthread_create(&thread, NULL, kill_self, &delay_us);
        } else if (!strcmp(mode, "abort") && rank == chosen) {
            nanosleep(&(struct timespec){0, 50000000}, NULL);
            dlq_collective_mpi_abort(group, "a test's reason");
        }
        const int64_t start = time(NULL);
        rc = run_until_failure(e.c, &err);
        expect(&e, time(NULL) - start <= 30, "the failure came late");
        expect(&e, e.c->barrier(e.c->ctx, NULL, NULL) == rc, "a broken group went on");
        report(folder, rank, e.problem ? -1 : rc, e.problem ? e.problem : err.msg);
        dlq_collective_mpi_destroy(group);
        _exit(0);
    }
    report(folder, rank, e.problem ? -1 : 0, e.problem ? e.problem : "");
    free(e.bytes);
    dlq_collective_mpi_destroy(group);
    dlq_runtime_destroy(rt);
#ifdef ENGINE
    MPI_Comm_free(&comm);
    MPI_Finalize();
#endif
    return e.problem ? 1 : 0;
}
