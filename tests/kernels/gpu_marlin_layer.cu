// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Made-up layers in a checkpoint's forms, and products with them beside float64.
#include "gpu_marlin.cuh"

namespace marlin
{

int sms, capability;

static uint32_t rng = 1;

uint32_t
next_random(void)
{
    rng = rng * 1664525u + 1013904223u;
    return rng >> 8 ^ rng << 16;
}

void
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
                               p->from == DLQ_K_MARLIN_AWQ ? WORDS_AWQ : WORDS_ALONG_COLUMNS,
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

void
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

void
problem_destroy(struct problem *p)
{
    cudaFree(p->codes), cudaFree(p->zero_codes), cudaFree(p->scales), cudaFree(p->packed);
    cudaFree(p->order);
}

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

void
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

void
trial_destroy(struct trial *t)
{
    cudaFree(t->x), cudaFree(t->y), cudaFree(t->again), cudaFree(t->bias), cudaFree(t->workspace);
    cudaFree(t->counters), cudaFree(t->tokens), cudaFree(t->reference), cudaFree(t->absolute);
    cudaFree(t->error), cudaFree(t->counter);
}

int
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

double
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

} // namespace marlin
