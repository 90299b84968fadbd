// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
#include "w4_gemm.h"

#include "device_attribute.cuh"
#include "sm90_w4.h"

static int
multiprocessors(void)
{
    return dlq::device_attribute<cudaDevAttrMultiProcessorCount>();
}

extern "C" size_t
dlq_k_w4_workspace_bytes(int n, int k, int group, int max_m)
{
    if (dlq_k_w4_packed_bytes(n, k, group) == 0)
        return 0;
    int tokens = 16;
    while (tokens < max_m && tokens < 128)
        tokens *= 2;
    // One tile a multiprocessor: 256 outputs x up to 128 tokens, or 128 x 256.
    return (size_t)multiprocessors() * 256 * tokens * 4;
}

extern "C" int
dlq_k_w4_plan_rounds(const struct dlq_k_w4_gemm *call, int kernel)
{
    // With one group the wide kernel, too, scales sums.
    return kernel == DLQ_K_W4_WIDE && dlq_k_w4_packed_group(call->k, call->group) != 0;
}

static int
run(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan, int sms,
    cudaStream_t stream)
{
    switch (plan->kernel) {
    case DLQ_K_W4_SMALL:
        if (call->m > 16)
            return DLQ_K_W4_VARIANT;
        return call->bf16 ? w4_small_bf16(call, plan, sms, stream)
                          : w4_small_f16(call, plan, sms, stream);
    case DLQ_K_W4_WIDE:
        return call->bf16 ? w4_wide_bf16(call, plan, sms, stream)
                          : w4_wide_f16(call, plan, sms, stream);
    case DLQ_K_W4_DIRECT:
        if (call->m > 8)
            return DLQ_K_W4_VARIANT;
        return call->bf16 ? w4_direct_bf16(call, plan, stream) : w4_direct_f16(call, plan, stream);
    default:
        return DLQ_K_W4_VARIANT;
    }
}

// What takes every alignment of x: the small kernel, at most 16 tokens at a time, k cut as far as x
// needs to stay in shared memory.
static int
run_slices(const struct dlq_k_w4_gemm *call, int sms, cudaStream_t stream)
{
    struct dlq_k_w4_gemm slice = *call;
    struct dlq_k_w4_plan plan = {DLQ_K_W4_SMALL, 0, 1, 1};
    int tokens = 16;
    for (int at = 0; at < call->m; at += slice.m) {
        slice.x = (const char *)call->x + 2 * at * call->ldx;
        slice.y = (char *)call->y + 2 * at * call->ldy;
        slice.m = call->m - at < tokens ? call->m - at : tokens;
        int err = run(&slice, &plan, sms, stream);
        while (err == DLQ_K_W4_VARIANT) {
            if (plan.split < 8 && plan.split * 2 <= (call->k + 127) / 128) {
                plan.split *= 2;
            } else if (slice.m > 1) {
                tokens = slice.m / 2;
                slice.m = tokens;
                plan.split = 1;
            } else {
                return DLQ_K_W4_SHAPE;
            }
            err = run(&slice, &plan, sms, stream);
        }
        if (err)
            return err;
    }
    return 0;
}

// The table's plan; where the shape at hand is not the measured one, the nearest that works.
static int
run_measured(const struct dlq_k_w4_gemm *call, int sms, cudaStream_t stream)
{
    struct dlq_k_w4_plan plan = dlq_k_w4_plan_find(call->k, call->n, call->m, call->pdl);
    int err = run(call, &plan, sms, stream);
    if ((err == DLQ_K_W4_VARIANT || err == DLQ_K_W4_WORKSPACE) && plan.kernel == DLQ_K_W4_WIDE) {
        plan.split = 1;
        err = run(call, &plan, sms, stream);
    }
    // Smaller groups have more bytes, and a ring fewer times on an SM.
    while (err == DLQ_K_W4_VARIANT && plan.kernel == DLQ_K_W4_SMALL && plan.ctas > 1) {
        plan.ctas--;
        err = run(call, &plan, sms, stream);
    }
    return err == DLQ_K_W4_VARIANT || err == DLQ_K_W4_ALIGN ? run_slices(call, sms, stream) : err;
}

extern "C" int
dlq_k_w4_gemm_sm90(const struct dlq_k_w4_gemm *call, const struct dlq_k_w4_plan *plan,
                   cudaStream_t stream)
{
    if (call->n < 1 || call->k < 1 || call->m < 0 || call->ldx < call->k || call->ldy < call->n ||
        dlq_k_w4_packed_group(call->k, call->group) < 0)
        return DLQ_K_W4_SHAPE;
    if ((uintptr_t)call->packed & 15)
        return DLQ_K_W4_ALIGN;
    if (call->m == 0)
        return 0;
    const int sms = multiprocessors();
    if (sms == 0)
        return (int)cudaErrorNoDevice;
    if (plan && plan->kernel != DLQ_K_W4_AUTO)
        return run(call, plan, sms, stream);
    return run_measured(call, sms, stream);
}
