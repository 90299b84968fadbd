// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Check and bench of the Marlin layout on a GPU.
//   gpu_marlin check                        packing byte by byte, every tile, type, group and form
//                                           against float64; "N passed, N failed, N skipped"
//   gpu_marlin bench CSV M... [-s KxN] [-b BITS] [-t] [-q]
//                                           the planner's choice at the eight bar shapes, checked
//                                           before it is timed; -t: every plan, -q: bf16
// Lines of CSV: op,m,k,n,us,us_pdl,err; on stdout also the plan and bytes a second.
#include "gpu_harness.cuh"
#include "kernels/cuda/marlin.h"

extern "C" {
#include "kernels/pack/awq.h"
#include "kernels/pack/bits.h"
}

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

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

template <class T>
static T *
device_array(size_t count)
{
    void *p;
    HARNESS_CUDA(cudaMalloc(&p, count * sizeof(T) + 16));
    return (T *)p;
}

template <class T>
static T *
to_host(const T *device, size_t count)
{
    T *host = (T *)malloc(count * sizeof(T) + 16);
    HARNESS_CUDA(cudaMemcpy(host, device, count * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
}

template <class T>
static T *
to_device(const T *host, size_t count)
{
    T *device = device_array<T>(count);
    HARNESS_CUDA(cudaMemcpy(device, host, count * sizeof(T), cudaMemcpyHostToDevice));
    return device;
}

// ---- packing

static uint32_t rng = 1;

static uint32_t
next_random(void)
{
    rng = rng * 1664525u + 1013904223u;
    return rng >> 8 ^ rng << 16;
}

static void
shuffle(int32_t *perm, int64_t k)
{
    for (int64_t i = 0; i < k; i++)
        perm[i] = (int32_t)i;
    for (int64_t i = k - 1; i > 0; i--) {
        const int64_t j = next_random() % (i + 1);
        const int32_t swap = perm[i];
        perm[i] = perm[j];
        perm[j] = swap;
    }
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

// ---- layers

struct problem {
    int n, k, group, bits, bf16, zeros, act_order, from; // group 0: one group
    int64_t size, groups;                                // of the checkpoint
    struct dlq_marlin_layer layer;
    uint8_t *codes, *zero_codes; // [k, n] in the order of the packed rows, [groups, n]
    uint16_t *scales;            // [groups, n]
    int32_t *order;              // [k]: source row of each packed row, or NULL
    char *packed;
    size_t stride;
    int copies;
};

static __global__ void
codes_kernel(uint8_t *out, size_t count, uint32_t seed, int bits)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count;
         i += (size_t)gridDim.x * blockDim.x)
        out[i] = (uint8_t)(harness_hash(i, seed) & ((1u << bits) - 1));
}

// [rows, columns] codes to words along columns in AWQ's order, along columns in sequence, along
// rows, or along rows with one row of words a column.
enum words_form { WORDS_AWQ, WORDS_ALONG_COLUMNS, WORDS_ALONG_ROWS, WORDS_TRANSPOSED };

static __global__ void
words_kernel(const uint8_t *codes, const int32_t *order, int rows, int columns, int bits, int form,
             uint32_t *out)
{
    const int per_word = 32 / bits;
    const bool along_rows = form == WORDS_ALONG_ROWS || form == WORDS_TRANSPOSED;
    const int64_t width =
        along_rows ? (rows + per_word - 1) / per_word : (columns + per_word - 1) / per_word;
    const int64_t lines = along_rows ? columns : rows;
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < width * lines;
         i += (int64_t)gridDim.x * blockDim.x) {
        const int64_t line = i / width, at = i % width;
        uint32_t word = 0;
        for (int s = 0; s < per_word; s++) {
            int64_t c = at * per_word + s;
            if (form == WORDS_AWQ)
                c = at * per_word + (bits == 4 ? s % 4 * 2 + s / 4 : s % 2 * 2 + s / 2);
            const int64_t row = along_rows ? c : line, column = along_rows ? line : c;
            if (row < rows && column < columns)
                word |= (uint32_t)codes[(order ? order[row] : row) * columns + column] << s * bits;
        }
        out[form == WORDS_ALONG_ROWS ? at * lines + line : i] = word;
    }
}

static __global__ void
transpose_kernel(const uint16_t *in, int rows, int columns, uint16_t *out)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < (int64_t)rows * columns;
         i += (int64_t)gridDim.x * blockDim.x)
        out[i % columns * rows + i / columns] = in[i];
}

// Packs the problem's layer from the checkpoint's form it asks for.
static int
problem_pack(const struct problem *p, char *out)
{
    const int per_word = 32 / p->bits;
    const int along_n = (p->n + per_word - 1) / per_word,
              along_k = (p->k + per_word - 1) / per_word;
    uint32_t *const weights = device_array<uint32_t>((size_t)along_k * per_word * along_n);
    uint32_t *const zeros = device_array<uint32_t>((size_t)p->groups * along_n + 1);
    uint16_t *const scales = device_array<uint16_t>((size_t)p->groups * p->n);
    int32_t *inverse = NULL;
    if (p->order) {
        int32_t *const order = to_host(p->order, p->k), *const host = (int32_t *)malloc(4 * p->k);
        for (int i = 0; i < p->k; i++)
            host[order[i]] = i;
        inverse = to_device(host, p->k);
        free(order), free(host);
    }
    static const int weight_form[] = {WORDS_AWQ, WORDS_ALONG_ROWS, WORDS_TRANSPOSED};
    words_kernel<<<2048, 256>>>(p->codes, inverse, p->k, p->n, p->bits, weight_form[p->from],
                                weights);
    words_kernel<<<256, 256>>>(p->zero_codes, NULL, p->groups, p->n, p->bits,
                               p->from == DLQ_K_MARLIN_AWQ    ? WORDS_AWQ
                               : p->from == DLQ_K_MARLIN_GPTQ ? WORDS_ALONG_COLUMNS
                                                              : WORDS_ALONG_COLUMNS,
                               zeros);
    uint32_t *ct_zeros = zeros;
    if (p->from == DLQ_K_MARLIN_CT) { // [groups, words] to [words, groups]
        uint32_t *const host = to_host(zeros, (size_t)p->groups * along_n),
                        *const turned = (uint32_t *)malloc(4 * (size_t)p->groups * along_n + 4);
        for (int64_t g = 0; g < p->groups; g++)
            for (int w = 0; w < along_n; w++)
                turned[w * p->groups + g] = host[g * along_n + w];
        ct_zeros = to_device(turned, (size_t)p->groups * along_n);
        cudaFree(zeros);
        free(host), free(turned);
        transpose_kernel<<<256, 256>>>(p->scales, p->groups, p->n, scales);
    } else {
        HARNESS_CUDA(
            cudaMemcpy(scales, p->scales, (size_t)p->groups * p->n * 2, cudaMemcpyDeviceToDevice));
    }
    struct dlq_k_marlin_source s = {};
    s.from = p->from;
    s.weights = weights;
    s.zeros = p->zeros ? ct_zeros : NULL;
    s.scales = scales;
    s.order = p->order;
    const int err = dlq_k_marlin_pack(&p->layer, &s, out, 0);
    HARNESS_CUDA(cudaDeviceSynchronize());
    cudaFree(weights), cudaFree(ct_zeros), cudaFree(scales), cudaFree(inverse);
    return err;
}

static void
problem_create(struct problem *p, int copies)
{
    p->size = p->group ? p->group : p->k;
    p->groups = (p->k + p->size - 1) / p->size;
    p->copies = copies;
    if (dlq_marlin_plan(&p->layer, p->n, p->k, p->group, p->bits, p->zeros, p->act_order)) {
        fprintf(stderr, "no plan for n %d k %d group %d\n", p->n, p->k, p->group);
        exit(2);
    }
    p->stride = (size_t)p->layer.bytes;
    p->codes = device_array<uint8_t>((size_t)p->k * p->n);
    p->zero_codes = device_array<uint8_t>((size_t)p->groups * p->n);
    p->scales = device_array<uint16_t>((size_t)p->groups * p->n);
    p->packed = device_array<char>(p->stride * copies);
    codes_kernel<<<1024, 256>>>(p->codes, (size_t)p->k * p->n, 1, p->bits);
    codes_kernel<<<256, 256>>>(p->zero_codes, (size_t)p->groups * p->n, 2, p->bits);
    if (!p->zeros)
        HARNESS_CUDA(cudaMemset(p->zero_codes, 1 << (p->bits - 1), (size_t)p->groups * p->n));
    harness_fill_normal<<<1024, 256>>>(p->scales, (size_t)p->groups * p->n, 3, 0.01f, 0.003f,
                                       p->bf16);
    p->order = NULL;
    if (p->act_order) {
        int32_t *const host = (int32_t *)malloc(4 * p->k);
        shuffle(host, p->k);
        p->order = to_device(host, p->k);
        free(host);
    }
    HARNESS_CUDA(cudaMemset(p->packed, 0xff, p->stride));
    const int err = problem_pack(p, p->packed);
    if (err) {
        fprintf(stderr, "packing failed: %d\n", err);
        exit(2);
    }
    for (int i = 1; i < copies; i++)
        HARNESS_CUDA(
            cudaMemcpy(p->packed + p->stride * i, p->packed, p->stride, cudaMemcpyDeviceToDevice));
}

static void
problem_destroy(struct problem *p)
{
    cudaFree(p->codes), cudaFree(p->zero_codes), cudaFree(p->scales), cudaFree(p->packed);
    cudaFree(p->order);
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

// ---- products

static __global__ void
reference_kernel(const struct problem p, const uint16_t *x, int64_t ldx, const float *bias,
                 const int *tokens, int count, double *reference, double *absolute)
{
    constexpr int T = 8; // tokens of a thread
    const int column = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * T;
    if (column >= p.n)
        return;
    double sum[T] = {0}, abs_sum[T] = {0};
    for (int row = 0; row < p.k; row++) {
        const int64_t g = row / p.size;
        const int d = (int)p.codes[(int64_t)row * p.n + column] - p.zero_codes[g * p.n + column];
        const double w = d * (double)harness_value(p.scales[g * p.n + column], p.bf16);
        const int from = p.order ? p.order[row] : row;
        for (int t = 0; t < T; t++)
            if (first + t < count) {
                const double v = w * harness_value(x[tokens[first + t] * ldx + from], p.bf16);
                sum[t] += v;
                abs_sum[t] += fabs(v);
            }
    }
    for (int t = 0; t < T; t++)
        if (first + t < count) {
            reference[(size_t)(first + t) * p.n + column] = sum[t] + (bias ? bias[column] : 0);
            absolute[(size_t)(first + t) * p.n + column] = abs_sum[t];
        }
}

static __global__ void
bias_kernel(float *bias, int n)
{
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        bias[i] = harness_normal(i, 5);
}

// What lies between the rows of x must not matter, what lies between the rows of y must stay.
static __global__ void
poison_gaps_kernel(uint16_t *x, int64_t ld, int m, int k)
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < m * ld;
         i += (int64_t)gridDim.x * blockDim.x)
        if (i % ld >= k)
            x[i] = 0xffff;
}

static __global__ void
count_touched_kernel(const uint16_t *y, int64_t rows, int64_t ld, int64_t first, int64_t m, int n,
                     unsigned long long *count)
{
    unsigned long long touched = 0;
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < rows * ld;
         i += (int64_t)gridDim.x * blockDim.x) {
        const int64_t row = i / ld - first;
        if (row < 0 || row >= m || i % ld >= n)
            touched += y[i] != 0xffff;
    }
    if (touched)
        atomicAdd(count, touched);
}

static __global__ void
count_bytes_kernel(const unsigned char *p, size_t n, unsigned char value, unsigned long long *count)
{
    unsigned long long other = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        other += p[i] != value;
    if (other)
        atomicAdd(count, other);
}

constexpr size_t guard = 4096;

struct trial {
    const struct problem *p;
    int m, count, shift;
    int64_t ldx, ldy;
    uint16_t *x, *y, *again; // y and again have a row before and after
    float *bias;
    char *workspace;
    size_t workspace_bytes;
    int *counters;
    int *tokens;
    double *reference, *absolute;
    struct harness_error *error;
    unsigned long long *counter;
    struct dlq_k_marlin_gemm call;
    struct dlq_k_marlin_plan plan;
};

static int sms, capability;

// `pad` elements between rows; `shift` elements from an aligned address.
static void
trial_create(struct trial *t, const struct problem *p, int m, int most, int with_bias, int pad,
             int shift)
{
    memset(t, 0, sizeof *t);
    t->p = p;
    t->m = m;
    t->shift = shift;
    t->count = m < most ? m : most;
    t->ldx = p->k + pad;
    t->ldy = p->n + pad;
    t->workspace_bytes = dlq_k_marlin_workspace_bytes(&p->layer, m < 128 ? 128 : m, sms);
    t->x = device_array<uint16_t>((size_t)m * t->ldx + shift);
    t->y = device_array<uint16_t>((size_t)(m + 2) * t->ldy + shift);
    t->again = device_array<uint16_t>((size_t)(m + 2) * t->ldy + shift);
    t->bias = device_array<float>(p->n);
    t->workspace = device_array<char>(t->workspace_bytes + guard);
    t->counters = device_array<int>((size_t)dlq_k_marlin_counters(sms));
    t->tokens = device_array<int>(64);
    t->reference = device_array<double>((size_t)t->count * p->n);
    t->absolute = device_array<double>((size_t)t->count * p->n);
    t->error = device_array<struct harness_error>(1);
    t->counter = device_array<unsigned long long>(1);
    int tokens[64];
    for (int i = 0; i < t->count; i++)
        tokens[i] = (int)((int64_t)i * m / t->count + (m > most ? i % (m / most) : 0));
    HARNESS_CUDA(cudaMemcpy(t->tokens, tokens, sizeof tokens, cudaMemcpyHostToDevice));
    HARNESS_CUDA(cudaMemset(t->counters, 0, 4 * (size_t)dlq_k_marlin_counters(sms)));
    HARNESS_CUDA(cudaMemset(t->workspace, 0xff, t->workspace_bytes + guard));
    harness_fill_normal<<<1024, 256>>>(t->x + shift, (size_t)m * t->ldx, 4, 0, 1, p->bf16);
    poison_gaps_kernel<<<256, 256>>>(t->x + shift, t->ldx, m, p->k);
    bias_kernel<<<1, 256>>>(t->bias, p->n);
    reference_kernel<<<dim3((p->n + 127) / 128, (t->count + 7) / 8), 128>>>(
        *p, t->x + shift, t->ldx, with_bias ? t->bias : NULL, t->tokens, t->count, t->reference,
        t->absolute);
    struct dlq_k_marlin_gemm *const c = &t->call;
    c->layer = &p->layer;
    c->m = m;
    c->bf16 = p->bf16;
    c->capability = capability;
    c->sms = sms;
    c->x = t->x + shift;
    c->ldx = t->ldx;
    c->ldy = t->ldy;
    c->bias = with_bias ? t->bias : NULL;
    c->workspace = t->workspace;
    c->workspace_bytes = t->workspace_bytes;
    c->y = t->y + shift + t->ldy;
    HARNESS_CUDA(cudaDeviceSynchronize());
}

static void
trial_destroy(struct trial *t)
{
    cudaFree(t->x), cudaFree(t->y), cudaFree(t->again), cudaFree(t->bias), cudaFree(t->workspace);
    cudaFree(t->counters), cudaFree(t->tokens), cudaFree(t->reference), cudaFree(t->absolute);
    cudaFree(t->error), cudaFree(t->counter);
}

static int
trial_run(void *context, int i, cudaStream_t stream)
{
    struct trial *const t = (struct trial *)context;
    t->call.packed = t->p->packed + t->p->stride * (i % t->p->copies);
    return dlq_k_marlin_gemm(&t->call, &t->plan, stream);
}

static unsigned long long
read_counter(unsigned long long *counter)
{
    unsigned long long value;
    HARNESS_CUDA(cudaMemcpy(&value, counter, sizeof value, cudaMemcpyDeviceToHost));
    HARNESS_CUDA(cudaMemset(counter, 0, sizeof value));
    return value;
}

// Relative error of two runs with the same bits, the second with given counters and an early launch
// and another copy of the weights; above 1e3 something else is wrong. Below 0: refused.
static double
trial_check(struct trial *t, int rounded)
{
    const size_t elements = (size_t)(t->m + 2) * t->ldy;
    HARNESS_CUDA(cudaMemset(t->y + t->shift, 0xff, elements * 2));
    HARNESS_CUDA(cudaMemset(t->again + t->shift, 0xff, elements * 2));
    HARNESS_CUDA(cudaMemset(t->error, 0, sizeof *t->error));
    HARNESS_CUDA(cudaMemset(t->counter, 0, sizeof *t->counter));
    const struct dlq_k_marlin_gemm call = t->call;
    t->call.counters = NULL;
    t->call.pdl = 0;
    int err = trial_run(t, 0, 0);
    if (err) {
        cudaGetLastError();
        t->call = call;
        return err < 0 ? -1 : -2;
    }
    t->call.y = t->again + t->shift + t->ldy;
    t->call.pdl = capability >= 90;
    t->call.counters = t->counters;
    err = trial_run(t, t->p->copies - 1, 0);
    t->call = call;
    harness_compare_kernel<<<256, 256>>>((const uint16_t *)t->call.y, t->ldy, t->reference,
                                         t->absolute, t->tokens, t->count, t->p->n, t->p->k,
                                         t->p->bf16, rounded, t->error);
    harness_count_different<<<256, 256>>>(t->y + t->shift, t->again + t->shift, elements,
                                          t->counter);
    const cudaError_t cuda = cudaDeviceSynchronize();
    if (err || cuda != cudaSuccess) {
        fprintf(stderr, "n %d k %d group %d bits %d m %d tile %d ctas %d stages %d: %d %s\n",
                t->p->n, t->p->k, t->p->group, t->p->bits, t->m, t->plan.tile, t->plan.ctas,
                t->plan.stages, err, cudaGetErrorString(cuda));
        exit(2);
    }
    struct harness_error e;
    HARNESS_CUDA(cudaMemcpy(&e, t->error, sizeof e, cudaMemcpyDeviceToHost));
    if (read_counter(t->counter))
        return 1e6;
    count_touched_kernel<<<256, 256>>>(t->y + t->shift, t->m + 2, t->ldy, 1, t->m, t->p->n,
                                       t->counter);
    count_bytes_kernel<<<1, 256>>>((unsigned char *)t->workspace + t->workspace_bytes, guard, 0xff,
                                   t->counter);
    count_bytes_kernel<<<1, 256>>>((unsigned char *)t->counters,
                                   4 * (size_t)dlq_k_marlin_counters(sms), 0, t->counter);
    if (read_counter(t->counter))
        return 1e7;
    if (e.bad)
        return 1e5;
    const double error = sqrt(e.error2 / e.reference2);
    return e.beyond && error < 1e3 ? 1e4 + error : error;
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
        for (int ctas = 1; ctas <= 2; ctas++)
            for (int stages = 2; stages <= 6; stages++) {
                const struct dlq_k_marlin_plan plan = {tile, ctas, 0, stages};
                if (dlq_k_marlin_resolve(&t.call, &plan, &t.plan))
                    continue;
                const double error = trial_check(&t, 1);
                expect(error >= 0 && error <= bound_of(&p, 1),
                       "tile %d ctas %d stages %d: error %g", tile, ctas, stages, error);
            }
    const struct dlq_k_marlin_plan wrong[] = {{-1, 0, 0, 0}, {DLQ_K_MARLIN_TILES + 1, 0, 0, 0},
                                              {1, 9, 0, 0},  {1, 0, -1, 0},
                                              {1, 0, 33, 0}, {1, 0, 0, 1},
                                              {1, 0, 0, 7}};
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

// A NaN in a row of x reaches that row alone; a row of zeros gives the bias.
static void
check_special(void)
{
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int tile = 1; tile <= DLQ_K_MARLIN_TILES; tile++) {
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

static void
check(void)
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

    static const int shapes[][3] = {
        {64, 128, 128},    {200, 1152, 128}, {96, 96, 32},    {1024, 4096, 128}, {72, 320, 64},
        {1032, 1216, 64},  {136, 1000, 0},   {256, 2048, 32}, {64, 4224, 0},     {40, 172, 0},
        {1024, 2048, 256}, {13, 77, 32},     {4160, 768, 96}};
    static const int tokens[] = {1, 3, 8, 9, 16, 17, 32, 33, 64, 100, 128, 200, 256, 300, 700};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
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
}

// ---- bench

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
    if (t->m >= 512)
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
    static const int splits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32};
    double best = 1e30;
    for (int tile = 1; tile <= DLQ_K_MARLIN_TILES; tile++)
        for (int ctas = 1; ctas <= 2; ctas++)
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
        check();
        return failed != 0;
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
    fprintf(stderr, "usage: gpu_marlin check | gpu_marlin bench CSV M... [-s KxN] [-b BITS] [-t] "
                    "[-q]\n");
    return 2;
}
