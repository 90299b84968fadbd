// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The checks of gpu_marlin.
#include "gpu_marlin.cuh"

extern "C" {
#include "kernels/pack/awq.h"
}

#include <stdarg.h>
#include <string.h>

namespace marlin
{

static int passed, failed, skipped;

static void
expect(int good, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
expect(int good, const char *format, ...)
{
    if (good) {
        passed++;
        return;
    }
    failed++;
    if (failed > 200)
        return;
    va_list args;
    va_start(args, format);
    printf("FAILED ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

// The GPU's functions against the closed forms of kernels/pack/marlin.c.
static void
check_repack(int64_t k, int64_t n, int bits)
{
    const size_t words = (size_t)(k * n * bits / 32);
    uint32_t *source = (uint32_t *)malloc(words * 4), *cpu = (uint32_t *)malloc(words * 4);
    int32_t *perm = (int32_t *)malloc((size_t)k * 4);
    for (size_t i = 0; i < words; i++)
        source[i] = next_random();
    shuffle(perm, k);
    uint32_t *const in = to_device(source, words), *const out = device_array<uint32_t>(words);
    int32_t *const order = to_device(perm, (size_t)k);
    for (int form = 0; form < 5; form++) {
        HARNESS_CUDA(cudaMemset(out, 0xff, words * 4));
        const int32_t *const host_order = form == 2 || form == 4 ? perm : NULL,
                             *const device_order = host_order ? order : NULL;
        int err = -9;
        bool good = false;
        if (form == 0) {
            good = dlq_marlin_repack_awq(source, k, n, bits, cpu);
            err = dlq_k_marlin_repack_awq(in, k, n, bits, out, 0);
        } else if (form <= 2) {
            good = dlq_marlin_repack_gptq(source, host_order, k, n, bits, cpu);
            err = dlq_k_marlin_repack_gptq(in, device_order, k, n, bits, out, 0);
        } else {
            good = dlq_marlin_repack_ct(source, host_order, k, n, bits, cpu);
            err = dlq_k_marlin_repack_ct(in, device_order, k, n, bits, out, 0);
        }
        uint32_t *const gpu = to_host(out, words);
        expect(good && !err && !memcmp(gpu, cpu, words * 4), "repack form %d, %d bits, k %d n %d",
               form, bits, (int)k, (int)n);
        free(gpu);
    }
    expect(dlq_k_marlin_repack_awq(in, k - 8, n, bits, out, 0) == DLQ_K_MARLIN_SHAPE &&
               dlq_k_marlin_repack_gptq(in, NULL, k, n - 32, bits, out, 0) == DLQ_K_MARLIN_SHAPE &&
               dlq_k_marlin_repack_ct(in, NULL, k, n, 3, out, 0) == DLQ_K_MARLIN_SHAPE,
           "bad shapes are refused");
    cudaFree(in), cudaFree(out), cudaFree(order);
    free(source), free(cpu), free(perm);
}

static void
check_scales(int64_t k, int64_t n, int64_t group)
{
    const int64_t groups = group > 0 && group < k ? (k + group - 1) / group : 1;
    const size_t count = (size_t)(groups * n);
    uint16_t *source = (uint16_t *)malloc(count * 2), *cpu = (uint16_t *)malloc(count * 2);
    for (size_t i = 0; i < count; i++)
        source[i] = (uint16_t)next_random();
    uint16_t *const in = to_device(source, count), *const out = device_array<uint16_t>(count);
    HARNESS_CUDA(cudaMemset(out, 0xff, count * 2));
    const bool good = dlq_marlin_permute_scales(source, 2, k, n, group, cpu);
    const int err = dlq_k_marlin_permute_scales(in, k, n, group, out, 0);
    uint16_t *const gpu = to_host(out, count);
    expect(good && !err && !memcmp(gpu, cpu, count * 2), "scales k %d n %d group %d", (int)k,
           (int)n, (int)group);
    expect(dlq_k_marlin_permute_scales(in, k, n + 8, group, out, 0) == DLQ_K_MARLIN_SHAPE,
           "scales of n %% 8");
    cudaFree(in), cudaFree(out);
    free(source), free(cpu), free(gpu);
}

static void
check_zeros(int64_t rows, int64_t n, int bits)
{
    const size_t count = (size_t)(rows * n), words = count * bits / 32;
    uint8_t *codes = (uint8_t *)malloc(count);
    uint32_t *awq = (uint32_t *)malloc(words * 4), *cpu = (uint32_t *)malloc(words * 4);
    for (size_t i = 0; i < count; i++)
        codes[i] = (uint8_t)(next_random() & ((1u << bits) - 1));
    bool good = dlq_awq_pack(codes, bits, rows, n, awq) &&
                dlq_marlin_zero_points(codes, rows, n, bits, cpu);
    uint8_t *const in = to_device(codes, count);
    uint32_t *const packed = to_device(awq, words), *const out = device_array<uint32_t>(words);
    for (int form = 0; form < 2; form++) {
        HARNESS_CUDA(cudaMemset(out, 0xff, words * 4));
        const int err = form ? dlq_k_marlin_zero_points_from_awq(packed, rows, n, bits, out, 0)
                             : dlq_k_marlin_zero_points(in, rows, n, bits, out, 0);
        uint32_t *const gpu = to_host(out, words);
        expect(good && !err && !memcmp(gpu, cpu, words * 4), "zero points%s, %d bits, n %d",
               form ? " from awq" : "", bits, (int)n);
        free(gpu);
    }
    expect(dlq_k_marlin_zero_points(in, rows, n - 32, bits, out, 0) == DLQ_K_MARLIN_SHAPE &&
               dlq_k_marlin_zero_points_from_awq(packed, rows, n, 5, out, 0) == DLQ_K_MARLIN_SHAPE,
           "bad zero points are refused");
    cudaFree(in), cudaFree(packed), cudaFree(out);
    free(codes), free(awq), free(cpu);
}

// The packed buffer against one made of the CPU's closed forms from padded codes.
static void
check_packed(const struct problem *p)
{
    const struct dlq_marlin_layer *const l = &p->layer;
    const int64_t kp = l->k_padded, np = l->n_padded, per_word = 32 / p->bits;
    uint8_t *const codes = to_host(p->codes, (size_t)p->k * p->n), *const zeros = to_host(
                                                                       p->zero_codes,
                                                                       (size_t)p->groups * p->n);
    uint16_t *const scales = to_host(p->scales, (size_t)p->groups * p->n);
    uint8_t *const all = (uint8_t *)calloc((size_t)kp, (size_t)np), *const all_zeros =
                                                                        (uint8_t *)calloc(
                                                                            (size_t)l->groups,
                                                                            (size_t)np);
    uint16_t *const all_scales = (uint16_t *)calloc((size_t)l->groups * 2, (size_t)np);
    uint32_t *const words = (uint32_t *)calloc((size_t)(kp / per_word), (size_t)np * 4);
    char *const cpu = (char *)calloc(1, (size_t)l->bytes);
    const uint8_t none = p->zeros ? 0 : (uint8_t)(1 << (p->bits - 1));
    for (int64_t k = 0; k < kp; k++)
        for (int64_t n = 0; n < np; n++) {
            const int64_t g = p->groups == 1 ? 0 : k / p->size;
            all[k * np + n] = n >= p->n || g >= p->groups ? none
                              : k < p->k                  ? codes[k * p->n + n]
                                                          : zeros[g * p->n + n];
        }
    for (int64_t r = 0; r < l->groups; r++)
        for (int64_t n = 0; n < p->n; n++) {
            const int64_t g = l->packed_group > 0 ? r * l->packed_group / p->size : 0;
            if (g < p->groups) {
                all_scales[r * np + n] = scales[g * p->n + n];
                all_zeros[r * np + n] = zeros[g * p->n + n];
            }
        }
    bool good =
        dlq_awq_pack(all, p->bits, kp, np, words) &&
        dlq_marlin_repack_awq(words, kp, np, p->bits, (uint32_t *)cpu) &&
        dlq_marlin_permute_scales(all_scales, 2, kp, np, l->packed_group, cpu + l->scales_at);
    if (p->zeros)
        good = good && dlq_marlin_zero_points(all_zeros, l->groups, np, p->bits,
                                              (uint32_t *)(cpu + l->zeros_at));
    if (p->order)
        HARNESS_CUDA(
            cudaMemcpy(cpu + l->order_at, p->order, (size_t)p->k * 4, cudaMemcpyDeviceToHost));
    char *const gpu = to_host(p->packed, (size_t)l->bytes);
    expect(good && !memcmp(gpu, cpu, (size_t)l->bytes),
           "packing: n %d k %d group %d %d bits from %d zeros %d act order %d", p->n, p->k,
           p->group, p->bits, p->from, p->zeros, p->act_order);
    free(codes), free(zeros), free(scales), free(all), free(all_zeros), free(all_scales);
    free(words), free(cpu), free(gpu);
}

static double
bound_of(const struct problem *p, int rounded)
{
    return p->bf16 ? (rounded ? 4e-3 : 2.5e-3) : rounded ? 5e-4 : 3e-4;
}

static void
check_tiles(struct trial *t)
{
    const struct problem *const p = t->p;
    for (int tile = 0; tile <= DLQ_K_MARLIN_TILES; tile++) {
        const struct dlq_k_marlin_plan plan = {tile, 0, 0, 0};
        t->plan = plan;
        if (dlq_k_marlin_resolve(&t->call, &plan, &t->plan)) {
            skipped++;
            continue;
        }
        if (!GPU_SAMPLED())
            continue;
        const int rounded = dlq_k_marlin_rounds(&p->layer, &t->plan);
        const double error = trial_check(t, rounded);
        expect(error >= 0 && error <= bound_of(p, rounded),
               "gemm: n %d k %d group %d %d bits %s from %d zeros %d act order %d m %d pad %d "
               "shift %d tile %d ctas %d stages %d: error %g",
               p->n, p->k, p->group, p->bits, p->bf16 ? "bf16" : "fp16", p->from, p->zeros,
               p->act_order, t->m, (int)(t->ldx - p->k), t->shift, t->plan.tile, t->plan.ctas,
               t->plan.stages, error);
    }
}

// Every number of stages and of CTAs that fits gives the bits of the choice it stands for.
static void
check_plans(void)
{
    struct problem p = {};
    p.n = 320, p.k = 2048, p.group = 128, p.bits = 4, p.zeros = 1;
    problem_create(&p, 2);
    struct trial t;
    trial_create(&t, &p, 70, 64, 1, 0, 0);
    for (int tile = 1; tile <= DLQ_K_MARLIN_TILES; tile++)
        for (int ctas = 1; ctas <= 4; ctas++)
            for (int stages = 2; stages <= 4; stages++) {
                const struct dlq_k_marlin_plan plan = {tile, ctas, 0, stages};
                if (dlq_k_marlin_resolve(&t.call, &plan, &t.plan) || !GPU_SAMPLED())
                    continue;
                const double error = trial_check(&t, 1);
                expect(error >= 0 && error <= bound_of(&p, 1),
                       "tile %d ctas %d stages %d: error %g", tile, ctas, stages, error);
            }
    // What other devices have room for runs here too; some tiles need more than 8.6 and 8.9 have.
    static const int others[] = {80, 86, 89, 120};
    for (int i = 0; i < 4; i++) {
        t.call.capability = others[i];
        for (int tile = 0; tile <= DLQ_K_MARLIN_TILES; tile++) {
            const struct dlq_k_marlin_plan plan = {tile, 0, 0, 0};
            if (dlq_k_marlin_resolve(&t.call, &plan, &t.plan)) {
                expect(tile >= 5 && others[i] != 80, "tile %d on %d", tile, others[i]);
                continue;
            }
            if (!GPU_SAMPLED())
                continue;
            const double error = trial_check(&t, 1);
            expect(error >= 0 && error <= bound_of(&p, 1), "tile %d as on %d: error %g", tile,
                   others[i], error);
        }
    }
    t.call.capability = capability;
    const struct dlq_k_marlin_plan wrong[] = {{-1, 0, 0, 0}, {DLQ_K_MARLIN_TILES + 1, 0, 0, 0},
                                              {1, 9, 0, 0},  {1, 0, -1, 0},
                                              {1, 0, 33, 0}, {1, 0, 0, 1},
                                              {1, 0, 0, 5}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect(dlq_k_marlin_gemm(&t.call, wrong + i, 0) == DLQ_K_MARLIN_PLAN, "plan %d", (int)i);
    t.call.packed = p.packed;
    t.call.workspace_bytes = 256;
    const struct dlq_k_marlin_plan wide = {6, 0, 0, 0};
    expect(dlq_k_marlin_gemm(&t.call, &wide, 0) == DLQ_K_MARLIN_WORKSPACE, "small workspace");
    t.call.workspace_bytes = t.workspace_bytes;
    t.call.workspace = t.workspace + 16;
    expect(dlq_k_marlin_gemm(&t.call, NULL, 0) == DLQ_K_MARLIN_ALIGN, "workspace alignment");
    t.call.workspace = t.workspace;
    t.call.packed = p.packed + 16;
    expect(dlq_k_marlin_gemm(&t.call, NULL, 0) == DLQ_K_MARLIN_ALIGN, "weights' alignment");
    t.call.packed = p.packed;
    t.call.ldx = p.k - 1;
    expect(dlq_k_marlin_gemm(&t.call, NULL, 0) == DLQ_K_MARLIN_SHAPE, "rows of x overlap");
    t.call.ldx = p.k;
    t.call.m = 0;
    expect(dlq_k_marlin_gemm(&t.call, NULL, 0) == 0, "no tokens");
    t.call.m = 1;
    t.call.capability = 75;
    expect(dlq_k_marlin_gemm(&t.call, NULL, 0) == DLQ_K_MARLIN_PLAN, "capability 7.5");
    trial_destroy(&t);
    problem_destroy(&p);
}

// CTAs of one tile of which some cannot start before others end, and run for longer than those
// wait: the others leave their parts to the last one.
static void
check_late_ctas(void)
{
    struct problem p = {};
    const int ctas = sms + 4;
    p.n = ctas / 5 * 256, p.k = 5 * 60 * 128, p.group = 128, p.bits = 4, p.zeros = 1;
    problem_create(&p, 1);
    struct trial t;
    trial_create(&t, &p, 64, 8, 1, 0, 0);
    t.call.sms = ctas;
    const struct dlq_k_marlin_plan plan = {5, 1, 5, 0};
    const int err = dlq_k_marlin_resolve(&t.call, &plan, &t.plan);
    const double error = err ? -1 : trial_check(&t, 1);
    expect(error >= 0 && error <= bound_of(&p, 1), "late CTAs: error %g", error);
    trial_destroy(&t);
    problem_destroy(&p);
}

// A NaN in a row of x reaches that row alone; a row of zeros gives the bias.
static void
check_special(void)
{
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int tile = 1; tile <= DLQ_K_MARLIN_TILES; tile++) {
            if (!GPU_SAMPLED())
                continue;
            struct problem p = {};
            p.n = 192, p.k = 512, p.group = 64, p.bits = 4, p.zeros = 1, p.bf16 = bf16;
            problem_create(&p, 1);
            struct trial t;
            trial_create(&t, &p, 5, 5, 1, 0, 0);
            const uint16_t nan = 0x7fff;
            HARNESS_CUDA(cudaMemcpy(t.x + 2 * t.ldx + 77, &nan, 2, cudaMemcpyHostToDevice));
            HARNESS_CUDA(cudaMemset(t.x + 3 * t.ldx, 0, (size_t)p.k * 2));
            const struct dlq_k_marlin_plan plan = {tile, 0, 0, 0};
            t.plan = plan;
            const int err = trial_run(&t, 0, 0);
            uint16_t *const y = to_host((const uint16_t *)t.call.y, (size_t)5 * t.ldy);
            float *const bias = to_host(t.bias, p.n);
            int good = !err;
            for (int i = 0; i < p.n; i++) {
                good &= isnan(harness_value(y[2 * t.ldy + i], bf16)) != 0;
                for (int row = 0; row < 5; row++)
                    good &= row == 2 || isfinite(harness_value(y[row * t.ldy + i], bf16));
                const uint16_t expected = bf16 ? __bfloat16_as_ushort(__float2bfloat16_rn(bias[i]))
                                               : __half_as_ushort(__float2half_rn(bias[i]));
                good &= y[3 * t.ldy + i] == expected;
            }
            expect(good, "special values, tile %d %s", tile, bf16 ? "bf16" : "fp16");
            free(y), free(bias);
            trial_destroy(&t);
            problem_destroy(&p);
        }
}

int
check(int most)
{
    for (int bits = 4; bits <= 8; bits += 4) {
        check_repack(128, 64, bits);
        check_repack(272, 192, bits);
        check_repack(1024, 640, bits);
        check_zeros(3, 64, bits);
        check_zeros(17, 448, bits);
    }
    static const int groups[] = {-1, 0, 32, 64, 128, 1024, 4096};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        check_scales(1024, 320, groups[i]);
    check_plans();
    check_special();
    if (gpu_check_every() == 1) // long by design
        check_late_ctas();

    static const int shapes[][3] = {
        {64, 128, 128},    {200, 1152, 128}, {96, 96, 32},    {1024, 4096, 128}, {72, 320, 64},
        {1032, 1216, 64},  {136, 1000, 0},   {256, 2048, 32}, {64, 4224, 0},     {40, 172, 0},
        {1024, 2048, 256}, {13, 77, 32},     {4160, 768, 96}};
    static const int tokens[] = {1, 3, 8, 9, 16, 17, 32, 33, 64, 100, 128, 200, 256, 300, 700};
    for (int s = 0; s < (int)(sizeof shapes / sizeof *shapes) && s < most; s++)
        for (int form = 0; form < 24; form++) {
            struct problem p = {};
            p.n = shapes[s][0], p.k = shapes[s][1], p.group = shapes[s][2];
            p.bf16 = form & 1, p.from = form / 2 % 3;
            p.bits = form >= 18 ? 8 : 4;
            p.zeros = form < 12;
            p.act_order = form >= 12 && form % 4 >= 2;
            if ((p.from == DLQ_K_MARLIN_AWQ && p.n % 8) ||
                (p.from == DLQ_K_MARLIN_GPTQ && p.k % (32 / p.bits)))
                continue;
            if (form % 12 >= 6 && form < 12 && s % 2) // the same as form - 6, another shape's turn
                continue;
            if (!GPU_SAMPLED())
                continue;
            problem_create(&p, 1);
            check_packed(&p);
            for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
                if ((i + form + s) % 4 && form > 1)
                    continue;
                struct trial t;
                const int pad = (form + i) % 3 == 0 ? 0 : (form + i) % 3 == 1 ? 8 : 3;
                trial_create(&t, &p, tokens[i], 64, (form + i) & 1, pad, i % 4 == 3);
                check_tiles(&t);
                trial_destroy(&t);
            }
            problem_destroy(&p);
        }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}

} // namespace marlin
