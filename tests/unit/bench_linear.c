// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "fake_plugin.h"
#include "support.h"

#include <dlquant/linear.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/// What a layer costs: nanoseconds that dlq_linear_apply() adds to its method, and bytes a second
/// that loading moves.

enum { ROUNDS = 20, CALLS = 200000 };

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int
check(int32_t rc, const struct dlq_error *err)
{
    if (rc != DLQ_OK) {
        fprintf(stderr, "%s\n", err->msg);
    }
    return rc;
}

// --- The method does nothing ---

static int32_t
idle_apply(const void *method, const struct dlq_linear_call *call, struct dlq_error *err)
{
    (void)method;
    (void)err;
    *(volatile float *)call->y = 0;
    return DLQ_OK;
}

// The best of several rounds: the machine may be busy with something else.
static double
time_calls(dlq_linear *layer, const struct dlq_linear_io *io,
           int32_t (*volatile direct)(const void *, const struct dlq_linear_call *,
                                      struct dlq_error *))
{
    const struct dlq_linear_call call = {.struct_size = sizeof(call),
                                         .m = 1,
                                         .x = io->x,
                                         .x_stride = 64,
                                         .y = io->y,
                                         .y_stride = 64};
    double best = 1;
    for (int r = 0; r < ROUNDS; ++r) {
        const double start = now();
        for (int i = 0; i < CALLS; ++i) {
            if (direct) {
                direct(NULL, &call, NULL);
            } else {
                dlq_linear_apply(layer, io, NULL);
            }
        }
        const double t = (now() - start) / CALLS;
        best = t < best ? t : best;
    }
    return best * 1e9;
}

static int
bench_apply(dlq_runtime *rt, struct dlq_error *err)
{
    static const float weight[64 * 64];
    static float x[64];
    static float y[64];
    struct dlq_linear_desc d = fake_desc("bench", 64, 64);
    dlq_linear *layer = NULL;
    const struct dlq_tensor t = fake_tensor(DLQ_F32, 64, 64, weight);
    int rc = check(dlq_linear_column_create(rt, &d, &layer, err), err);
    rc = rc ? rc : check(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &t, err), err);
    rc = rc ? rc : check(dlq_linear_process(layer, err), err);
    if (rc == DLQ_OK) {
        fake.apply = idle_apply;
        const struct dlq_linear_io io = {.struct_size = sizeof(io), .m = 1, .x = x, .y = y};
        const double direct = time_calls(layer, &io, idle_apply);
        const double through = time_calls(layer, &io, NULL);
        printf("apply, M=1, 64x64: %.1f ns through the layer, %.1f ns direct, %.1f ns more\n",
               through, direct, through - direct);
        rc = through - direct > 100 ? 1 : 0;
        fake.apply = NULL;
    }
    dlq_linear_destroy(layer);
    return rc;
}

// --- Loading from the page cache ---

static double
read_file(FILE *f, char *buffer, size_t n)
{
    rewind(f);
    const double start = now();
    const size_t got = fread(buffer, 1, n, f);
    const double t = now() - start;
    return got == n ? (double)n / t : 0;
}

// One rank of `ranks` of a weight [n, k]; bytes a second of what the rank loads.
static double
time_load(dlq_runtime *rt, const dlq_checkpoint *ckpt, int64_t n, int64_t k, int32_t ranks,
          int32_t (*create)(dlq_runtime *, const struct dlq_linear_desc *, dlq_linear **,
                            struct dlq_error *),
          struct dlq_error *err)
{
    struct dlq_linear_desc d = fake_desc("big", k, n);
    d.tp_rank = ranks - 1;
    d.tp_size = ranks;
    d.flags = create == dlq_linear_row_create ? (uint32_t)DLQ_LINEAR_NO_REDUCE : 0;
    double best = 0;
    for (int i = 0; i < 5; ++i) {
        dlq_linear *layer = NULL;
        if (check(create(rt, &d, &layer, err), err) != DLQ_OK) {
            return 0;
        }
        const double start = now();
        if (check(dlq_linear_load_checkpoint(layer, ckpt, err), err) == DLQ_OK) {
            const double rate = (double)dlq_linear_param_bytes(layer) / (now() - start);
            best = rate > best ? rate : best;
        }
        dlq_linear_destroy(layer);
    }
    return best;
}

static int
bench_load(dlq_runtime *rt, const char *dir, struct dlq_error *err)
{
    enum { N = 8192, K = 4096 };
    const size_t bytes = (size_t)N * K * sizeof(float);
    float *const data = calloc(1, bytes);
    memset(data, 1, bytes);
    const struct test_tensor t = {"big.weight", "F32", 2, {N, K}, data, bytes};
    test_safetensors(dir, "model.safetensors", &t, 1);
    FILE *const f = fopen(test_path(dir, "model.safetensors"), "rb");
    double read = 0;
    for (int i = 0; i < 5 && f; ++i) {
        const double rate = read_file(f, (char *)data, bytes);
        read = rate > read ? rate : read;
    }
    dlq_checkpoint *ckpt = NULL;
    int rc = check(dlq_checkpoint_open(rt, dir, DLQ_CHECKPOINT_NO_CONFIG, &ckpt, err), err);
    if (rc == DLQ_OK) {
        const double whole = time_load(rt, ckpt, N, K, 1, dlq_linear_column_create, err);
        const double column = time_load(rt, ckpt, N, K, 4, dlq_linear_column_create, err);
        const double row = time_load(rt, ckpt, N, K, 4, dlq_linear_row_create, err);
        printf("load 128 MiB: %.2f GB/s whole, %.2f GB/s column of 4, %.2f GB/s row of 4; fread "
               "%.2f GB/s\n",
               whole / 1e9, column / 1e9, row / 1e9, read / 1e9);
        rc = whole < read / 2 ? 1 : 0;
    }
    dlq_checkpoint_close(ckpt);
    if (f) {
        fclose(f);
    }
    free(data);
    return rc;
}

int
main(void)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_runtime *rt = NULL;
    if (check(fake_runtime(NULL, NULL, NULL, &rt, &err), &err) != DLQ_OK) {
        return 1;
    }
    char *const dir = test_tmpdir();
    int rc = bench_apply(rt, &err);
    rc |= bench_load(rt, dir, &err);
    test_tmpdir_remove(dir);
    dlq_runtime_destroy(rt);
    return rc;
}
