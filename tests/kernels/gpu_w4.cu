// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Check and bench of the W4A16 kernels on a GPU.
//
//   gpu_w4 check [KERNEL]
//       packing byte by byte, odd shapes, every type, group and plan, or every plan of one kernel
//       (enum dlq_k_w4_kernel); "N passed, N failed"
//
//   gpu_w4 forms M... [-s KxN]
//       the measured choice with every kind of group, zero points and type of activations: us
//       without and with programmatic dependent launch, and their ratios to the form of the table
//
//   gpu_w4 run K N M KERNEL TILE SPLIT CTAS
//       a few calls of one plan, for a profiler
//
//   gpu_w4 repeat K N M KERNEL TILE SPLIT CTAS COUNT
//       COUNT calls of one plan, without and with programmatic dependent launch: how many give
//       other bits than the first
//
//   gpu_w4 tune PLANS RESULTS M... [-s KxN]
//       every plan at the eight bar shapes, checked before it is timed. Lines of PLANS
//       (kernels/cuda/w4_table.py makes the table from them):
//           k,n,m,kernel,tile,split,ctas,us,us_pdl,error
//       Lines of RESULTS, the best plans:
//           op,m,k,n,us,us_pdl,err
#include "gpu_w4.cuh"

#include <unistd.h>

static const int bar_shapes[8][2] = {{4096, 6144},  {4096, 4096}, {4096, 28672}, {14336, 4096},
                                     {8192, 10240}, {8192, 8192}, {8192, 57344}, {28672, 8192}};

enum { MOST_TOKENS = 32 };

static double
time_plan(struct trial *t, int pdl, double ms, double limit)
{
    if (t->m >= 512)
        usleep(ms > 1 ? 30000 : 5000); // long runs meet the power limit
    t->call.pdl = pdl;
    const double us = harness_time(trial_run, t, t->p->copies, ms, limit, cudaStreamPerThread);
    t->call.pdl = 0;
    return us;
}

static void
name_plan(char name[32], struct dlq_k_w4_plan plan)
{
    snprintf(name, 32, "%d:%d/%d*%d", plan.kernel, plan.tile, plan.split, plan.ctas);
}

// One shape and number of tokens: a line of `plans` for every plan, a line of `results` for the
// best, timed again and longer.
static void
tune_cell(struct trial *t, FILE *plans, FILE *results)
{
    const struct problem *p = t->p;
    struct dlq_k_w4_plan best[2] = {first_plan, first_plan};
    double least[2] = {1e30, 1e30}, errors[2] = {0, 0};
    char name[32];
    t->plan = first_plan;
    do {
        const double error = trial_check(t, is_rounded(t));
        if (error == -1)
            continue;
        if (error < 0 || error > bound_of(p, is_rounded(t))) {
            name_plan(name, t->plan);
            printf("WRONG %dx%d m %d plan %s: error %g\n", p->k, p->n, t->m, name, error);
            continue;
        }
        double us[2];
        for (int pdl = 0; pdl < 2; pdl++) {
            us[pdl] = pdl && t->m >= 512 ? us[0] : time_plan(t, pdl, 0.6, 1.3 * least[pdl]);
            if (us[pdl] < least[pdl]) {
                least[pdl] = us[pdl];
                best[pdl] = t->plan;
                errors[pdl] = error;
            }
        }
        fprintf(plans, "%d,%d,%d,%d,%d,%d,%d,%.2f,%.2f,%.2e\n", p->k, p->n, t->m, t->plan.kernel,
                t->plan.tile, t->plan.split, t->plan.ctas, us[0], us[1], error);
    } while (next_plan(&t->plan));
    char names[2][32];
    for (int pdl = 0; pdl < 2; pdl++) {
        t->plan = best[pdl];
        name_plan(names[pdl], best[pdl]);
        least[pdl] = time_plan(t, pdl, 2, 1e30);
    }
    fprintf(results, "w4a16_fp16_zp_g128,%d,%d,%d,%.2f,%.2f,%.1e\n", t->m, p->k, p->n, least[0],
            least[1], errors[0] > errors[1] ? errors[0] : errors[1]);
    printf("%dx%d m %d %.2f (%s) PDL %.2f (%s)\n", p->k, p->n, t->m, least[0], names[0], least[1],
           names[1]);
    fflush(stdout);
}

static FILE *
append(const char *path)
{
    FILE *file = fopen(path, "a");
    if (!file) {
        perror(path);
        exit(2);
    }
    return file;
}

static void
tune(const char *plans_path, const char *results_path, const int *ms, int count, const char *only)
{
    FILE *plans = append(plans_path), *results = append(results_path);
    for (int s = 0; s < 8; s++) {
        struct problem p = {};
        p.k = bar_shapes[s][0], p.n = bar_shapes[s][1], p.group = 128;
        char name[32];
        snprintf(name, sizeof name, "%dx%d", p.k, p.n);
        if (only && strcmp(only, name))
            continue;
        problem_create(&p, (int)(300000000 / dlq_k_w4_packed_bytes(p.n, p.k, p.group)) + 1);
        for (int i = 0; i < count; i++) {
            struct trial t;
            trial_create(&t, &p, ms[i], 16, 0, 0);
            tune_cell(&t, plans, results);
            trial_destroy(&t);
        }
        problem_destroy(&p);
    }
    fclose(plans);
    fclose(results);
}

static const struct form {
    const char *name;
    int group, symmetric, bf16;
} all_forms[] = {{"fp16 zeros g128", 128, 0, 0}, {"fp16 symmetric g128", 128, 1, 0},
                 {"bf16 zeros g128", 128, 0, 1}, {"fp16 zeros g64", 64, 0, 0},
                 {"fp16 zeros g32", 32, 0, 0},   {"bf16 zeros g32", 32, 0, 1},
                 {"fp16 zeros channel", 0, 0, 0}};

// One form of one shape, a line for every number of tokens. `first`: the times of the first form.
static void
time_form(int k, int n, const struct form *form, const int *ms, int count, double first[][2])
{
    struct problem p = {};
    p.k = k, p.n = n;
    p.group = form->group, p.symmetric = form->symmetric, p.bf16 = form->bf16;
    problem_create(&p, (int)(300000000 / dlq_k_w4_packed_bytes(p.n, p.k, p.group)) + 1);
    for (int i = 0; i < count; i++) {
        struct trial t;
        trial_create(&t, &p, ms[i], 16, 0, 0);
        double us[2], error = 0;
        for (int pdl = 0; pdl < 2; pdl++) {
            const int rounded =
                dlq_k_w4_plan_rounds(&t.call, dlq_k_w4_plan_find(k, n, ms[i], pdl).kernel);
            t.plan = {DLQ_K_W4_AUTO, 0, 0, 0};
            t.call.pdl = pdl;
            error = fmax(error, trial_check(&t, rounded) / bound_of(&p, rounded));
            us[pdl] = time_plan(&t, pdl, 2, 1e30);
            if (form == all_forms)
                first[i][pdl] = us[pdl];
        }
        printf("%dx%d m %d %s: %.2f %.2f, %.2f %.2f of the first, %.2f of the bound\n", k, n, ms[i],
               form->name, us[0], us[1], us[0] / first[i][0], us[1] / first[i][1], error);
        trial_destroy(&t);
    }
    fflush(stdout);
    problem_destroy(&p);
}

static void
forms(const int *ms, int count, const char *only)
{
    for (int s = 0; s < 8; s++) {
        char name[32];
        double first[MOST_TOKENS][2];
        const int k = bar_shapes[s][0], n = bar_shapes[s][1];
        snprintf(name, sizeof name, "%dx%d", k, n);
        if (!only || !strcmp(only, name))
            for (const struct form &form : all_forms)
                time_form(k, n, &form, ms, count, first);
    }
}

// One plan, a few calls: what a profiler looks at.
static void
run(int k, int n, int m, struct dlq_k_w4_plan plan)
{
    struct problem p = {};
    p.k = k, p.n = n, p.group = 128;
    problem_create(&p, 2);
    struct trial t;
    trial_create(&t, &p, m, 64, 0, 0);
    t.plan = plan;
    const double error = trial_check(&t, is_rounded(&t));
    printf("%dx%d m %d: error %g, %.2f us\n", k, n, m, error,
           harness_time(trial_run, &t, 2, 1, 1e9, cudaStreamPerThread));
    trial_destroy(&t);
    problem_destroy(&p);
}

// Runs of `count` with other bits than the first one, and where one of them differs.
static int
count_differing(struct trial *t, int count)
{
    const size_t size = (size_t)t->m * t->ldy;
    uint16_t *const y = (uint16_t *)malloc(2 * size), *const first = (uint16_t *)malloc(2 * size);
    int differing = 0;
    HARNESS_CUDA(cudaMemset(t->again, 0xff, 2 * size));
    t->call.y = t->again;
    int err = trial_run(t, 0, 0);
    t->call.y = t->y;
    for (int i = 0; i < count && !err; i++) {
        HARNESS_CUDA(cudaMemsetAsync(t->y, 0xff, 2 * size, 0));
        HARNESS_CUDA(cudaMemsetAsync(t->counter, 0, sizeof *t->counter, 0));
        err = trial_run(t, i, 0);
        err = err ? err : trial_run(t, i, 0); // what an early launch may overlap
        harness_count_different<<<256, 256>>>(t->y, t->again, size, t->counter);
        unsigned long long elements;
        HARNESS_CUDA(cudaMemcpy(&elements, t->counter, sizeof elements, cudaMemcpyDeviceToHost));
        if (elements && !differing++) {
            HARNESS_CUDA(cudaMemcpy(y, t->y, 2 * size, cudaMemcpyDeviceToHost));
            HARNESS_CUDA(cudaMemcpy(first, t->again, 2 * size, cudaMemcpyDeviceToHost));
            size_t at = 0;
            while (y[at] == first[at])
                at++;
            printf("run %d: %llu elements, first token %zu output %zu: %04x, not %04x\n", i,
                   elements, at / t->ldy, at % t->ldy, y[at], first[at]);
        }
    }
    free(y), free(first);
    return err ? -1 : differing;
}

static int
repeat(int k, int n, int m, struct dlq_k_w4_plan plan, int count)
{
    struct problem p = {};
    p.k = k, p.n = n, p.group = 128;
    problem_create(&p, 2);
    struct trial t;
    trial_create(&t, &p, m, 16, 0, 0);
    t.plan = plan;
    int differing[2];
    for (int pdl = 0; pdl < 2; pdl++) {
        t.call.pdl = pdl;
        differing[pdl] = count_differing(&t, count);
    }
    printf("%dx%d m %d plan %d:%d/%d*%d: %d and %d (PDL) of %d runs differ\n", k, n, m, plan.kernel,
           plan.tile, plan.split, plan.ctas, differing[0], differing[1], count);
    trial_destroy(&t);
    problem_destroy(&p);
    return differing[0] || differing[1];
}

int
main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); // what was found is there even if the time is up
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices < 1) {
        printf("0 passed, 0 failed, all skipped: no CUDA device\n");
        return 77;
    }
    if (argc >= 9 && !strcmp(argv[1], "run")) {
        const struct dlq_k_w4_plan plan = {atoi(argv[5]), atoi(argv[6]), atoi(argv[7]),
                                           atoi(argv[8])};
        run(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), plan);
        return 0;
    }
    if (argc >= 10 && !strcmp(argv[1], "repeat")) {
        const struct dlq_k_w4_plan plan = {atoi(argv[5]), atoi(argv[6]), atoi(argv[7]),
                                           atoi(argv[8])};
        return repeat(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), plan, atoi(argv[9]));
    }
    if (argc >= 2 && !strcmp(argv[1], "check")) {
        return check(argc > 2 ? atoi(argv[2]) : DLQ_K_W4_AUTO) != 0;
    }
    const int tunes = argc >= 5 && !strcmp(argv[1], "tune");
    if (tunes || (argc >= 3 && !strcmp(argv[1], "forms"))) {
        int ms[MOST_TOKENS], count = 0;
        const char *only = NULL;
        for (int i = tunes ? 4 : 2; i < argc && count < MOST_TOKENS; i++)
            if (!strcmp(argv[i], "-s") && i + 1 < argc)
                only = argv[++i];
            else
                ms[count++] = atoi(argv[i]);
        if (tunes)
            tune(argv[2], argv[3], ms, count, only);
        else
            forms(ms, count, only);
        return 0;
    }
    fprintf(
        stderr,
        "usage: gpu_w4 check [KERNEL] | gpu_w4 tune PLANS RESULTS M... [-s KxN] | gpu_w4 forms "
        "M... [-s KxN] | gpu_w4 run K N M KERNEL TILE SPLIT CTAS | gpu_w4 repeat (as run) COUNT\n");
    return 2;
}
