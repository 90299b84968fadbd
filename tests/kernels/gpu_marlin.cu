// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Check and bench of the Marlin layout on a GPU.
//   gpu_marlin check [SHAPES]               packing byte by byte, every tile, type, group and form
//                                           against float64; "N passed, N failed, N skipped"
//   gpu_marlin bench CSV M... [-s KxN] [-b BITS] [-t] [-q]
//                                           the planner's choice at the eight bar shapes, checked
//                                           before it is timed; -t: every plan, -q: bf16
// Lines of CSV: op,m,k,n,us,us_pdl,err; on stdout also the plan and bytes a second.
#include "gpu_marlin.cuh"

#include <string.h>
#include <unistd.h>

using namespace marlin;

static const int bar_shapes[8][2] = {{4096, 6144},  {4096, 4096}, {4096, 28672}, {14336, 4096},
                                     {8192, 10240}, {8192, 8192}, {8192, 57344}, {28672, 8192}};

static __global__ void
read_kernel(const uint4 *p, size_t n, uint32_t *out)
{
    uint32_t v = 0;
    const size_t stride = (size_t)gridDim.x * blockDim.x;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += 4 * stride) {
        uint4 w[4] = {};
#pragma unroll
        for (int j = 0; j < 4; j++)
            if (i + j * stride < n)
                w[j] = __ldcs(p + i + j * stride);
#pragma unroll
        for (int j = 0; j < 4; j++)
            v ^= w[j].x ^ w[j].y ^ w[j].z ^ w[j].w;
    }
    if (v == 0x12345678)
        *out = v;
}

// GB/s of reading 1 GiB.
static double
read_rate(void)
{
    const size_t bytes = (size_t)1 << 30;
    char *const p = device_array<char>(bytes);
    HARNESS_CUDA(cudaMemset(p, 1, bytes));
    cudaEvent_t start, stop;
    HARNESS_CUDA(cudaEventCreate(&start));
    HARNESS_CUDA(cudaEventCreate(&stop));
    float best = 1e30f;
    for (int i = 0; i < 10; i++) {
        float ms;
        HARNESS_CUDA(cudaEventRecord(start));
        read_kernel<<<sms * 8, 256>>>((const uint4 *)p, bytes / 16, (uint32_t *)p);
        HARNESS_CUDA(cudaEventRecord(stop));
        HARNESS_CUDA(cudaEventSynchronize(stop));
        HARNESS_CUDA(cudaEventElapsedTime(&ms, start, stop));
        best = ms < best ? ms : best;
    }
    cudaFree(p);
    return bytes / (best * 1e6);
}

static double
time_plan(struct trial *t, int pdl, double ms, double limit)
{
    if (t->m >= 128 && ms > 1)
        usleep(30000); // long runs meet the power limit
    t->call.pdl = pdl;
    t->call.counters = t->counters;
    const double us = harness_time(trial_run, t, t->p->copies, ms, limit, cudaStreamPerThread);
    t->call.pdl = 0;
    t->call.counters = NULL;
    return us;
}

static void
bench_all(struct trial *t)
{
    static const int tokens[] = {8, 16, 32, 64, 64, 128, 128};
    static const int splits[] = {1, 2, 3, 4, 6, 8, 12, 16};
    double best = 1e30;
    for (int tile = 1; tile <= DLQ_K_MARLIN_TILES; tile++)
        for (int ctas = 1; ctas <= 4; ctas++)
            for (size_t split = 0; split < sizeof splits / sizeof *splits; split++) {
                const struct dlq_k_marlin_plan plan = {tile, ctas, splits[split], 0};
                if (tokens[tile - 1] * 4 < t->m || tokens[tile - 1] >= 4 * t->m + 8 ||
                    dlq_k_marlin_resolve(&t->call, &plan, &t->plan))
                    continue;
                const double us = time_plan(t, 0, 0.3, 1.3 * best);
                best = us < best ? us : best;
                printf("  plan %d*%d:%d/%d %.2f\n", tile, ctas, t->plan.split, t->plan.stages, us);
            }
}

static void
bench(const char *path, const int *ms, int count, const char *only, int bits, int bf16, int all)
{
    FILE *const csv = fopen(path, "a");
    if (!csv) {
        perror(path);
        exit(2);
    }
    const double rate = read_rate();
    printf("read %.0f GB/s\n", rate);
    for (int s = 0; s < 8; s++) {
        struct problem p = {};
        p.k = bar_shapes[s][0], p.n = bar_shapes[s][1], p.group = 128;
        p.bits = bits, p.zeros = bits == 4, p.bf16 = bf16;
        char name[32];
        snprintf(name, sizeof name, "%dx%d", p.k, p.n);
        if (only && !strstr(only, name))
            continue;
        dlq_marlin_plan(&p.layer, p.n, p.k, p.group, p.bits, p.zeros, false);
        problem_create(&p, (int)(300000000 / p.layer.bytes) + 1);
        for (int i = 0; i < count; i++) {
            struct trial t;
            trial_create(&t, &p, ms[i], 16, 0, 0, 0);
            if (all)
                bench_all(&t);
            dlq_k_marlin_resolve(&t.call, NULL, &t.plan);
            const double error = trial_check(&t, 1);
            const double us = time_plan(&t, 0, 2, 1e30);
            const double early = capability >= 90 && t.m < 512 ? time_plan(&t, 1, 2, 1e30) : us;
            fprintf(csv, "marlin_w%da16_%s%s_g128,%d,%d,%d,%.2f,%.2f,%.1e\n", bits,
                    bf16 ? "bf16" : "fp16", bits == 4 ? "_zp" : "", t.m, p.k, p.n, us, early,
                    error);
            printf("%s m %d %.2f PDL %.2f (%d*%d:%d/%d) %.0f GB/s %.0f %%, %.0f T, error %.1e\n",
                   name, t.m, us, early, t.plan.tile, t.plan.ctas, t.plan.split, t.plan.stages,
                   p.layer.bytes / us * 1e-3, p.layer.bytes / us * 0.1 / rate,
                   2e-6 * t.m * p.n * p.k / us, error);
            fflush(stdout);
            trial_destroy(&t);
        }
        problem_destroy(&p);
    }
    fclose(csv);
}

int
main(int argc, char **argv)
{
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices < 1) {
        printf("0 passed, 0 failed, all skipped: no CUDA device\n");
        return 77;
    }
    cudaDeviceProp device;
    HARNESS_CUDA(cudaGetDeviceProperties(&device, 0));
    sms = device.multiProcessorCount;
    capability = device.major * 10 + device.minor;
    if (argc >= 2 && !strcmp(argv[1], "check")) {
        return check(argc > 2 ? atoi(argv[2]) : 1000);
    }
    if (argc >= 4 && !strcmp(argv[1], "bench")) {
        int ms[32], count = 0, bits = 4, bf16 = 0, all = 0;
        const char *only = NULL;
        for (int i = 3; i < argc && count < 32; i++)
            if (!strcmp(argv[i], "-s") && i + 1 < argc)
                only = argv[++i];
            else if (!strcmp(argv[i], "-b") && i + 1 < argc)
                bits = atoi(argv[++i]);
            else if (!strcmp(argv[i], "-q"))
                bf16 = 1;
            else if (!strcmp(argv[i], "-t"))
                all = 1;
            else
                ms[count++] = atoi(argv[i]);
        bench(argv[2], ms, count, only, bits, bf16, all);
        return 0;
    }
    fprintf(stderr,
            "usage: gpu_marlin check [SHAPES] | gpu_marlin bench CSV M... [-s KxN] [-b BITS] [-t] "
            "[-q]\n");
    return 2;
}
