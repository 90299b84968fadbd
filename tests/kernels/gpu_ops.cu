// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// The GPU operations behind kernels/gpu_<op>.h against plain C: `check [dense | w8a8 | fp | grouped
// | wna16]`, `host LIMIT` (microseconds of apply beyond its launches), `bench [dense [KxN] |
// quantized | wna16 | grouped [KIND] | plans [KIND]]`. The last line of a check and of host is `N
// passed, N failed, N skipped`.
#include "gpu_ops.cuh"

#include <string.h>

namespace ops
{

tally counts;

void
check(bool ok, const char *format, ...)
{
    if (ok) {
        counts.passed++;
        return;
    }
    if (counts.failed++ < 60) {
        va_list list;
        va_start(list, format);
        printf("FAILED ");
        vprintf(format, list);
        printf("\n");
        va_end(list);
    }
}

struct dlq_kg_device
device_info(void)
{
    static struct dlq_kg_device d;
    if (d.capability == 0) {
        cudaDeviceProp prop;
        HARNESS_CUDA(cudaGetDeviceProperties(&prop, 0));
        d.capability = prop.major * 10 + prop.minor;
        d.multiprocessors = prop.multiProcessorCount;
        d.early = d.capability >= 90;
    }
    return d;
}

const char *
dtype_name(uint32_t dtype)
{
    return dtype == DLQ_F16 ? "f16" : dtype == DLQ_BF16 ? "bf16" : "f32";
}

uint32_t
random_word(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((z ^ z >> 31) >> 16);
}

float
random_normal(uint64_t *state)
{
    float sum = 0.0f;
    for (int i = 0; i < 4; i++) {
        sum += (float)(random_word(state) >> 8) * 0x1p-24f - 0.5f;
    }
    return sum * 1.7320508f;
}

double
ulp(uint32_t dtype, double v)
{
    const int bits = dtype == DLQ_F16 ? 10 : dtype == DLQ_BF16 ? 7 : 23;
    const int lowest = dtype == DLQ_F16 ? -14 : -126;
    const int exponent = v == 0.0 || !isfinite(v) ? lowest : ilogb(v);
    return ldexp(1.0, (exponent < lowest ? lowest : exponent) - bits);
}

void
fill_x(float *x, const layout &l, uint64_t seed)
{
    uint64_t state = seed;
    uint32_t rounded;
    for (int64_t i = 0; i < l.m * l.k; i++) {
        float v = random_normal(&state);
        // Zero, one-sided, tiny (for 16 bits: subnormal or zero), with an outlier.
        switch (l.m > 1 ? i / l.k : 1) {
        case 0:
            v = i % 2 ? -0.0f : 0.0f;
            break;
        case 4:
            v = 3.0f + fabsf(v);
            break;
        case 5:
            v = v * 0x1p-105f;
            break;
        case 6:
            v = i % l.k == l.k / 3 ? 3000.0f : v;
            break;
        case 7:
            v = v * 0x1p-16f;
            break;
        default:
            break;
        }
        dlq_k_store_f32(&rounded, l.act, 0, v);
        x[i] = dlq_k_load_f32(&rounded, l.act, 0);
    }
}

void
fill_bias(float *bias, const layout &l, uint64_t seed)
{
    uint64_t state = seed ^ 0x5555;
    for (int64_t i = 0; i < l.n; i++) {
        bias[i] = random_normal(&state);
    }
}

namespace
{

enum { GUARD = 4096 };

// A device buffer with guards on both sides, `shift` bytes off a multiple of 256.
struct guarded {
    uint8_t *block;
    size_t bytes;
    size_t shift;

    guarded(size_t bytes_, size_t shift_) : block(nullptr), bytes(bytes_), shift(shift_)
    {
        HARNESS_CUDA(cudaMalloc(&block, bytes + shift + 2 * GUARD));
    }
    ~guarded()
    {
        HARNESS_CUDA(cudaFree(block));
    }
    uint8_t *data() const
    {
        return block + GUARD + shift;
    }
    void poison(int byte) const
    {
        HARNESS_CUDA(cudaMemset(block, byte, bytes + shift + 2 * GUARD));
    }
    bool intact(int byte) const
    {
        uint8_t *const host = (uint8_t *)malloc(2 * GUARD + shift);
        HARNESS_CUDA(cudaMemcpy(host, block, GUARD + shift, cudaMemcpyDeviceToHost));
        HARNESS_CUDA(
            cudaMemcpy(host + GUARD + shift, data() + bytes, GUARD, cudaMemcpyDeviceToHost));
        bool same = true;
        for (size_t i = 0; i < 2 * GUARD + shift; i++) {
            same = same && host[i] == (uint8_t)byte;
        }
        free(host);
        return same;
    }
};

// The buffers of one layer's calls.
struct stage {
    const layer &op;
    const layout &l;
    size_t size;
    int64_t x_stride, y_stride;
    size_t workspace_bytes;
    guarded x, y, workspace;
    float *bias;
    cudaStream_t stream;
    uint8_t *host; // [m, y_stride] of y

    stage(const layer &op_, const layout &l_, const float *bias_)
        : op(op_), l(l_), size(dlq_k_act_size(l.act)), x_stride(l.odd ? (l.k + 2) | 1 : l.k),
          y_stride(l.odd ? (l.n + 6) | 1 : l.n), workspace_bytes(op.workspace_size(op.w, l.m)),
          x((size_t)(l.m * x_stride) * size, l.odd ? size : 0),
          y((size_t)(l.m * y_stride) * size, l.odd ? 3 * size : 0), workspace(workspace_bytes, 0),
          bias(nullptr), stream(nullptr), host(nullptr)
    {
        HARNESS_CUDA(cudaStreamCreate(&stream));
        host = (uint8_t *)malloc(y.bytes);
        if (l.bias) {
            HARNESS_CUDA(cudaMalloc(&bias, (size_t)(l.n + 1) * 4));
            HARNESS_CUDA(cudaMemcpy(bias + l.odd, bias_, (size_t)l.n * 4, cudaMemcpyHostToDevice));
        }
    }
    ~stage()
    {
        free(host);
        HARNESS_CUDA(cudaFree(bias));
        HARNESS_CUDA(cudaStreamDestroy(stream));
    }
    struct dlq_kg_call call() const
    {
        struct dlq_kg_call c = {};
        c.m = l.m;
        c.x = x.data();
        c.x_stride = x_stride;
        c.y = y.data();
        c.y_stride = y_stride;
        c.bias = l.bias ? bias + l.odd : nullptr;
        c.workspace = workspace.data();
        c.workspace_size = workspace_bytes;
        c.stream = stream;
        return c;
    }
    void put_x(const float *values, bad_row bad) const
    {
        uint8_t *const rows = (uint8_t *)malloc(x.bytes);
        memset(rows, 0xff, x.bytes); // NaN between the rows
        for (int64_t m = 0; m < l.m; m++) {
            for (int64_t k = 0; k < l.k; k++) {
                const bool here = bad != CLEAN && m == l.m - 1 && k == l.k / 2;
                const float v = !here ? values[m * l.k + k] : bad == WITH_NAN ? NAN : INFINITY;
                dlq_k_store_f32(rows, l.act, m * x_stride + k, v);
            }
        }
        HARNESS_CUDA(cudaMemcpy(x.data(), rows, x.bytes, cudaMemcpyHostToDevice));
        free(rows);
    }
    void poison(int byte) const
    {
        y.poison(byte);
        workspace.poison(0xff);
        HARNESS_CUDA(cudaDeviceSynchronize());
    }
    // Takes y to the host; whether nothing but y was written.
    bool finish(int byte) const
    {
        HARNESS_CUDA(cudaStreamSynchronize(stream));
        HARNESS_CUDA(cudaMemcpy(host, y.data(), y.bytes, cudaMemcpyDeviceToHost));
        bool ok = y.intact(byte) && workspace.intact(0xff);
        for (int64_t m = 0; m < l.m; m++) {
            const uint8_t *const row = host + (size_t)(m * y_stride) * size;
            for (size_t i = (size_t)l.n * size; i < (size_t)y_stride * size; i++) {
                ok = ok && row[i] == (uint8_t)byte;
            }
        }
        return ok;
    }
    float value(int64_t m, int64_t n) const
    {
        return dlq_k_load_f32(host, l.act, m * y_stride + n);
    }
    // Number of elements of rows [0, rows) that differ from y.
    int64_t differ(const float *y_before, int64_t rows) const
    {
        int64_t count = 0;
        for (int64_t m = 0; m < rows; m++) {
            for (int64_t n = 0; n < l.n; n++) {
                const float v = value(m, n);
                count += memcmp(&v, &y_before[m * l.n + n], sizeof(v)) != 0;
            }
        }
        return count;
    }
    int capture() const
    {
        const struct dlq_kg_call c = call();
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        HARNESS_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        const int rc = op.apply(op.w, &c);
        HARNESS_CUDA(cudaStreamEndCapture(stream, &graph));
        if (rc == 0) {
            HARNESS_CUDA(cudaGraphInstantiate(&exec, graph, 0));
            HARNESS_CUDA(cudaGraphLaunch(exec, stream));
            HARNESS_CUDA(cudaStreamSynchronize(stream));
            HARNESS_CUDA(cudaGraphExecDestroy(exec));
        }
        HARNESS_CUDA(cudaGraphDestroy(graph));
        return rc;
    }
};

void
check_bad_row(const stage &s, const float *x, const float *y, bad_row bad, const char *what)
{
    const char *const name = bad == WITH_NAN ? "NaN" : "infinity";
    const struct dlq_kg_call c = s.call();
    s.put_x(x, bad);
    s.poison(0xa5);
    check(s.op.apply(s.op.w, &c) == 0 && s.finish(0xa5), "%s: with %s", what, name);
    int64_t finite = 0;
    for (int64_t n = 0; n < s.l.n; n++) {
        const float v = s.value(s.l.m - 1, n);
        finite += bad == WITH_NAN ? !isnan(v) : isfinite(v);
    }
    check(finite == 0, "%s: %s hidden in %ld elements", what, name, (long)finite);
    if (!s.op.rows_depend) {
        const int64_t other = s.differ(y, s.l.m - 1);
        check(other == 0, "%s: %s changed %ld elements of other rows", what, name, (long)other);
    }
}

} // namespace

bool
run_layer(const layer &op, const layout &l, const float *x, const float *bias, float *y,
          const char *what)
{
    const stage s(op, l, bias);
    const struct dlq_kg_call c = s.call();
    s.put_x(x, CLEAN);
    s.poison(0xa5);
    if (op.begin != nullptr) {
        op.begin(op.w, &c);
    }
    // The first call of a layer may be a captured one.
    int rc = s.capture();
    check(rc == 0, "%s: captured apply gives %d (%s)", what, rc, dlq_kg_error_string(rc));
    if (rc != 0) {
        return false;
    }
    check(s.finish(0xa5), "%s: the graph writes outside of y", what);
    for (int64_t m = 0; m < l.m; m++) {
        for (int64_t n = 0; n < l.n; n++) {
            y[m * l.n + n] = s.value(m, n);
        }
    }
    for (int byte = 0x5a; byte <= 0xa5; byte += 0xa5 - 0x5a) {
        s.poison(byte);
        rc = op.apply(op.w, &c);
        const bool clean = s.finish(byte);
        check(rc == 0 && clean, "%s: apply gives %d%s", what, rc, clean ? "" : ", writes outside");
        const int64_t other = s.differ(y, l.m);
        check(other == 0, "%s: %ld elements differ between runs", what, (long)other);
    }
    if (l.m > 1) {
        int64_t wrong = 0;
        for (int64_t n = 0; n < l.n; n++) {
            uint32_t exact;
            dlq_k_store_f32(&exact, l.act, 0, l.bias ? bias[n] : 0.0f);
            wrong += y[n] != dlq_k_load_f32(&exact, l.act, 0);
        }
        check(wrong == 0, "%s: a zero row differs from the bias in %ld", what, (long)wrong);
    }
    check_bad_row(s, x, y, WITH_NAN, what);
    check_bad_row(s, x, y, WITH_INF, what);
    if (s.workspace_bytes > 0) {
        struct dlq_kg_call small = c;
        small.workspace_size = s.workspace_bytes - 1;
        check(op.apply(op.w, &small) == -DLQ_K_ESHAPE, "%s: a small workspace is taken", what);
    }
    struct dlq_kg_call narrow = c;
    narrow.x_stride = l.k - 1;
    check(op.apply(op.w, &narrow) == -DLQ_K_ESHAPE, "%s: rows of x that overlap are taken", what);
    narrow = c;
    narrow.y_stride = l.n - 1;
    check(op.apply(op.w, &narrow) == -DLQ_K_ESHAPE, "%s: rows of y that overlap are taken", what);
    HARNESS_CUDA(cudaGetLastError());
    return true;
}

static int
verdict(void)
{
    printf("%d passed, %d failed, %d skipped\n", counts.passed, counts.failed, counts.skipped);
    return counts.failed != 0;
}

} // namespace ops

int
main(int argc, char **argv)
{
    const char *const what = argc > 1 ? argv[1] : "check";
    const char *const only = argc > 2 ? argv[2] : "all";
    const bool all = strcmp(only, "all") == 0;
    int devices = 0;
    setvbuf(stdout, NULL, _IOLBF, 0); // what hangs should be the last line
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
        printf("no CUDA device\n");
        return 77;
    }
    if (strcmp(what, "bench") == 0) {
        if (all || strcmp(only, "dense") == 0) {
            ops::bench_dense(argc > 3 ? argv[3] : nullptr);
        }
        if (all || strcmp(only, "wna16") == 0) {
            ops::bench_wna16();
        }
        if (all || strcmp(only, "quantized") == 0) {
            ops::bench_quantized();
        }
        if (all || strcmp(only, "grouped") == 0 || strcmp(only, "plans") == 0) {
            ops::bench_grouped(argc > 3 ? argv[3] : nullptr, strcmp(only, "plans") == 0);
        }
        return 0;
    }
    if (strcmp(what, "host") == 0 && argc > 2) {
        ops::check_host(atof(argv[2]));
        return ops::verdict();
    }
    if (strcmp(what, "check") != 0) {
        fprintf(stderr, "usage: gpu_ops check [dense | w8a8 | fp | grouped | wna16] | host LIMIT | "
                        "bench [dense [KxN] | quantized | wna16 | grouped [KIND] | "
                        "plans [KIND]]\n");
        return 2;
    }
    if (all || strcmp(only, "dense") == 0) {
        ops::check_dense();
    }
    if (all || strcmp(only, "w8a8") == 0) {
        ops::check_w8a8();
    }
    if (all || strcmp(only, "fp") == 0) {
        ops::check_fp();
    }
    if (all || strcmp(only, "grouped") == 0) {
        ops::check_grouped();
        ops::check_wide();
    }
    if (all || strcmp(only, "wna16") == 0) {
        ops::check_wna16();
    }
    return ops::verdict();
}
