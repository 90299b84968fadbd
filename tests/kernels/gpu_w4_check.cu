// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// gpu_w4 check: packing byte by byte, odd shapes, every type, group and plan.
#include "gpu_w4.cuh"

static int passed, failed;
static int only; // kernel whose plans are run, or DLQ_K_W4_AUTO: every kernel's

static void
verdict(int good, const char *what, const struct problem *p, int m, const struct trial *t,
        double error)
{
    if (good)
        passed++;
    else {
        failed++;
        printf("FAILED %s: n %d k %d group %d %s %s %s m %d", what, p->n, p->k, p->group,
               p->bf16 ? "bf16" : "fp16", p->ct ? "ct" : "awq",
               p->symmetric ? "symmetric" : "zeros", m);
        if (t)
            printf(" kernel %d tile %d split %d ctas %d: error %g", t->plan.kernel, t->plan.tile,
                   t->plan.split, t->plan.ctas, error);
        printf("\n");
    }
}

static void
check_packing(const struct problem *p)
{
    struct dlq_k_w4_source s = source_of(p);
    const size_t bytes = dlq_k_w4_packed_bytes(p->n, p->k, p->group);
    uint32_t *weights = (uint32_t *)malloc(words_of(p) * 4),
             *zeros = (uint32_t *)malloc(zero_words_of(p) * 4);
    uint16_t *scales = (uint16_t *)malloc((size_t)p->groups * p->n * 2),
             *plain = (uint16_t *)malloc((size_t)p->n * p->k * 2);
    char *cpu = (char *)malloc(bytes), *gpu = (char *)malloc(bytes);
    HARNESS_CUDA(cudaMemcpy(weights, p->weights, words_of(p) * 4, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(cudaMemcpy(zeros, p->zeros, zero_words_of(p) * 4, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(
        cudaMemcpy(scales, p->scales, (size_t)p->groups * p->n * 2, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(cudaMemcpy(gpu, p->packed, bytes, cudaMemcpyDeviceToHost));
    s.weights = weights;
    s.zeros = s.zeros ? zeros : NULL;
    s.scales = scales;
    memset(cpu, 0xee, bytes);
    const int err = p->ct ? dlq_k_w4_pack_ct(&s, cpu) : dlq_k_w4_pack_awq(&s, cpu);
    verdict(!err && !memcmp(cpu, gpu, bytes), "packing", p, 0, NULL, 0);

    uint16_t *out;
    HARNESS_CUDA(cudaMalloc(&out, (size_t)p->n * p->k * 2));
    HARNESS_CUDA(cudaMemset(out, 0xff, (size_t)p->n * p->k * 2));
    const int unpacked = dlq_k_w4_unpack_gpu(p->packed, p->n, p->k, p->group, p->bf16, out, 0);
    HARNESS_CUDA(cudaMemcpy(plain, out, (size_t)p->n * p->k * 2, cudaMemcpyDeviceToHost));
    int same = !unpacked;
    for (int row = 0; row < p->n; row++)
        for (int col = 0; col < p->k; col++) {
            unsigned q;
            uint16_t s16, z16;
            dlq_k_w4_packed_at(cpu, p->n, p->k, p->group, row, col, &q, &s16, &z16);
            const float w = ((float)q - harness_value(z16, p->bf16)) * harness_value(s16, p->bf16);
            const uint16_t bits = p->bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(w))
                                          : __half_as_ushort(__float2half_rn(w));
            same &= bits == plain[(size_t)row * p->k + col];
        }
    verdict(same, "unpacking", p, 0, NULL, 0);
    cudaFree(out);
    free(weights), free(zeros), free(scales), free(plain), free(cpu), free(gpu);
}

// Every kernel and tile that takes the call, and the table's choice, which must.
static void
check_tiles(struct trial *t)
{
    t->plan = first_plan;
    do {
        if ((only && t->plan.kernel != only) || !GPU_SAMPLED())
            continue;
        const double error = trial_check(t, is_rounded(t));
        if (error == -1)
            continue;
        verdict(error >= 0 && error <= bound_of(t->p, is_rounded(t)), "gemm", t->p, t->m, t, error);
    } while (next_plan(&t->plan));
    const struct dlq_k_w4_plan automatic = {DLQ_K_W4_AUTO, 0, 0, 0};
    t->plan = automatic;
    for (int pdl = 0; pdl < 2; pdl++) {
        t->call.pdl = pdl;
        const int rounded =
            dlq_k_w4_plan_rounds(&t->call, dlq_k_w4_plan_find(t->p->k, t->p->n, t->m, pdl).kernel);
        const double error = trial_check(t, rounded);
        verdict(error >= 0 && error <= bound_of(t->p, rounded), "gemm by the table", t->p, t->m, t,
                error);
    }
    t->call.pdl = 0;
    t->call.workspace_bytes = 0;
    const int rounded = dlq_k_w4_plan_rounds(&t->call, DLQ_K_W4_WIDE);
    const double error = trial_check(t, rounded);
    verdict(error >= 0 && error <= bound_of(t->p, rounded), "gemm without workspace", t->p, t->m, t,
            error);
    t->plan = {DLQ_K_W4_WIDE, 9, 0, 1};
    const int err = trial_run(t, 0, 0);
    verdict(err == DLQ_K_W4_WORKSPACE || err == DLQ_K_W4_ALIGN || err == DLQ_K_W4_VARIANT,
            "a plan that needs a workspace", t->p, t->m, t, err);
    t->call.workspace_bytes = t->workspace_bytes;
}

// Every workspace has flags of its own, as many as there are; last, for none is given back.
static void
check_flags(const struct problem *p)
{
    unsigned *first, *flags, *before = NULL;
    int good = !w4_flags_of((void *)256, 132, &first), served = 1, err = 0;
    for (uintptr_t i = 2; i <= 2 * DLQ_K_W4_WORKSPACES && !err; i++) {
        err = w4_flags_of((void *)(i * 256), 132, &flags);
        good &= err || (flags != first && flags != before);
        before = flags;
        served += !err;
    }
    good &= err == DLQ_K_W4_WORKSPACE && served < DLQ_K_W4_WORKSPACES;
    good &= !w4_flags_of((void *)256, 132, &flags) && flags == first;
    good &= w4_flags_of((void *)256, 1 << 20, &flags) == DLQ_K_W4_WORKSPACE;
    verdict(good, "flags of workspaces", p, 0, NULL, 0);
}

int
check(int kernel)
{
    only = kernel;
    static const int shapes[][3] = {{64, 128, 128},    {200, 1152, 128}, {96, 96, 32},
                                    {4096, 4096, 128}, {72, 320, 64},    {1032, 1216, 64},
                                    {136, 1000, 0},    {256, 2048, 32},  {64, 4224, 0},
                                    {40, 172, 0},      {1024, 2048, 256}};
    static const int tokens[] = {1, 3, 8, 9, 16, 17, 32, 33, 64, 100, 128, 200, 256, 300, 513};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int form = 0; form < 8; form++) {
            struct problem p = {};
            p.n = shapes[s][0], p.k = shapes[s][1], p.group = shapes[s][2];
            p.bf16 = form & 1, p.symmetric = form >> 1 & 1, p.ct = form >> 2 & 1;
            if (p.k % 8 && !p.ct)
                continue;
            problem_create(&p, 1);
            check_packing(&p);
            const int all = form == 0 || form == 5;
            for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
                if ((!all && tokens[i] % 3 == 0) || !GPU_SAMPLED())
                    continue;
                struct trial t;
                trial_create(&t, &p, tokens[i], 64, form & 1, form & 2 ? 8 : form & 4 ? 3 : 0);
                check_tiles(&t);
                trial_destroy(&t);
            }
            problem_destroy(&p);
            // Where a kernel that never ends was, should there be one.
            printf("n %d k %d group %d, form %d of 8: %d passed so far\n", p.n, p.k, p.group,
                   form + 1, passed);
        }
    const struct problem none = {};
    check_flags(&none);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed;
}
