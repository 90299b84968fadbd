// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Grouped products on wgmma (kernels/cuda/sm90_grouped.h): every tile, with K whole and in parts,
// for every way in which scales meet sums. Weights are those that the packed form unpacks to, which
// other checks compare with plain C.
extern "C" {
#include "kernels/gpu_fp.h"
#include "kernels/gpu_wna16.h"
}
#include "kernels/cuda/sm90_grouped.h"

#include "gpu_ops.cuh"

#include <string.h>

namespace ops
{

namespace
{

struct variant {
    const char *name;
    int32_t code;
    uint32_t scale_dtype;
    int64_t group; // 0: one
    bool bf16, x_scaled, factors;
    bool uneven; // a scale of zero
    bool zeros;
};

// One layer with its rows of x, everything on both sides.
struct bed {
    variant v;
    int64_t m, k, n;
    struct dlq_k_grouped w;
    enum sm90_grouped_sums sums;
    float *weights, *values;           // host: [n, k], [m, k]
    float *row_scale, *bias, *x_scale; // host; x_scale: [groups][pitch]
    int64_t pitch;
    uint8_t *data;
    uint16_t *x, *y;
    float *device_row_scale, *device_bias, *device_x_scale;
    uint16_t *host_y, *first_y;
};

void *
device_bytes(size_t bytes, const void *from)
{
    void *p;
    HARNESS_CUDA(cudaMalloc(&p, bytes));
    if (from != nullptr) {
        HARNESS_CUDA(cudaMemcpy(p, from, bytes, cudaMemcpyHostToDevice));
    }
    return p;
}

uint32_t
type_of(const bed &b)
{
    return b.v.bf16 ? (uint32_t)DLQ_BF16 : (uint32_t)DLQ_F16;
}

void
pack(bed *b)
{
    struct dlq_k_grouped_desc d = {};
    d.k = b->k;
    d.n = b->n;
    d.group = b->v.group != 0 ? b->v.group : b->k;
    d.code = b->v.code;
    d.scale_dtype = b->v.scale_dtype;
    d.zero = b->v.code == DLQ_K_GROUPED_U8 ? 128 : b->v.code == DLQ_K_GROUPED_U4 ? 8 : 0;
    d.zeros = b->v.zeros;
    d.factors = b->v.factors;
    check(dlq_k_grouped_plan(&b->w, &d) == 0, "wide %s: plan", b->v.name);
    const bool nibbles = b->v.code == DLQ_K_GROUPED_E2M1;
    const int64_t codes = b->n * b->k / (nibbles ? 2 : 1);
    const int64_t scales = b->n * ((b->k + d.group - 1) / d.group);
    const int64_t size = DLQ_DTYPE_BITS(b->v.scale_dtype) / 8;
    uint8_t *const host = (uint8_t *)malloc((size_t)(codes + scales * 5));
    uint8_t *const host_scales = host + codes, *const host_zeros = host_scales + scales * 4;
    float *const factors = (float *)malloc((size_t)b->n * 4);
    uint64_t state = (uint64_t)(b->k + b->n);
    for (int64_t i = 0; i < codes; i++) {
        const uint8_t code =
            (uint8_t)(random_word(&state) % (b->v.code == DLQ_K_GROUPED_U4 ? 16 : 256));
        host[i] = b->v.code == DLQ_K_GROUPED_E4M3 && (code & 127) == 127 ? 0x7e : code;
    }
    for (int64_t i = 0; i < scales; i++) {
        if (b->v.scale_dtype == DLQ_F8_E4M3) {
            host_scales[i] = (uint8_t)(random_word(&state) % 0x7f);
        } else if (b->v.scale_dtype == DLQ_F8_E8M0) {
            host_scales[i] = (uint8_t)(i == 3 ? 0 : 118 + random_word(&state) % 10);
        } else {
            uint32_t value;
            const float v = 0.001f + 0.01f * fabsf(random_normal(&state));
            dlq_k_store_f32(&value, b->v.scale_dtype, 0,
                            b->v.uneven && i == 7 ? 0.0f
                            : i % 3 == 0          ? -v
                                                  : v);
            memcpy(host_scales + i * size, &value, (size_t)size);
        }
    }
    for (int64_t i = 0; i < b->n; i++) {
        factors[i] = 1.0f + 0.5f * random_normal(&state);
    }
    for (int64_t i = 0; i < scales; i++) {
        host_zeros[i] = (uint8_t)(random_word(&state) % (b->v.code == DLQ_K_GROUPED_U4 ? 16 : 256));
    }
    void *const device_codes = device_bytes((size_t)codes, host);
    void *const device_scales = device_bytes((size_t)(scales * size), host_scales);
    void *const device_zeros = device_bytes((size_t)scales, host_zeros);
    void *const device_factors = device_bytes((size_t)b->n * 4, factors);
    struct dlq_k_grouped_source s = {};
    s.layout = nibbles ? DLQ_K_GROUPED_NIBBLES : DLQ_K_GROUPED_BYTES;
    s.bits = b->v.code == DLQ_K_GROUPED_U4 ? 4 : 8;
    s.codes = device_codes;
    s.zeros = b->v.zeros ? device_zeros : nullptr;
    s.scales = device_scales;
    s.scale_rows = 1;
    s.factors = b->v.factors ? (const float *)device_factors : nullptr;
    b->data = (uint8_t *)device_bytes((size_t)b->w.bytes, nullptr);
    check(dlq_k_grouped_pack(&b->w, &s, b->data, nullptr) == 0, "wide %s: pack", b->v.name);
    const size_t bytes = (size_t)(b->n * b->k) * 4;
    float *const unpacked = (float *)device_bytes(bytes, nullptr);
    b->weights = (float *)malloc(bytes);
    check(dlq_k_grouped_unpack(&b->w, 0, b->n, unpacked, nullptr) == 0, "wide %s: unpack",
          b->v.name);
    HARNESS_CUDA(cudaMemcpy(b->weights, unpacked, bytes, cudaMemcpyDeviceToHost));
    for (void *p : {device_codes, device_scales, device_zeros, device_factors, (void *)unpacked}) {
        HARNESS_CUDA(cudaFree(p));
    }
    free(host);
    free(factors);
}

void
bed_make(bed *b)
{
    pack(b);
    const layout l = {b->m, b->k, b->n, type_of(*b), true, false};
    const int64_t groups = b->w.groups, row = (b->k + 15) / 8 * 8; // padded by garbage
    b->values = (float *)malloc((size_t)(b->m * b->k) * 4);
    b->bias = (float *)malloc((size_t)b->n * 4);
    b->row_scale = (float *)malloc((size_t)b->m * 4);
    b->pitch = (b->m + 127) / 128 * 128;
    b->x_scale = (float *)malloc((size_t)(groups * b->pitch) * 4);
    fill_x(b->values, l, 5);
    fill_bias(b->bias, l, 7);
    uint64_t state = 11;
    for (int64_t i = 0; i < b->m; i++) {
        b->row_scale[i] = 0.5f + (float)(i % 5);
    }
    for (int64_t i = 0; i < groups * b->pitch; i++) {
        b->x_scale[i] =
            i % b->pitch < b->m ? 0.25f + 0.01f * (float)(random_word(&state) % 99) : NAN;
    }
    uint16_t *const x = (uint16_t *)malloc((size_t)(b->m * row) * 2);
    memset(x, 0xff, (size_t)(b->m * row) * 2);
    for (int64_t i = 0; i < b->m * b->k; i++) {
        dlq_k_store_f32(x, type_of(*b), i / b->k * row + i % b->k, b->values[i]);
    }
    b->x = (uint16_t *)device_bytes((size_t)(b->m * row) * 2, x);
    b->device_row_scale = (float *)device_bytes((size_t)b->m * 4, b->row_scale);
    b->device_bias = (float *)device_bytes((size_t)b->n * 4, b->bias);
    b->device_x_scale = (float *)device_bytes((size_t)(groups * b->pitch) * 4, b->x_scale);
    b->y = (uint16_t *)device_bytes((size_t)(b->m * b->n) * 2, nullptr);
    b->host_y = (uint16_t *)malloc((size_t)(b->m * b->n) * 2);
    b->first_y = (uint16_t *)malloc((size_t)(b->m * b->n) * 2);
    free(x);
}

void
bed_free(bed *b)
{
    void *const host[] = {b->weights, b->values, b->row_scale, b->bias,
                          b->x_scale, b->host_y, b->first_y};
    void *const device[] = {b->data,          b->x, b->y, b->device_row_scale, b->device_bias,
                            b->device_x_scale};
    for (void *p : host) {
        free(p);
    }
    for (void *p : device) {
        HARNESS_CUDA(cudaFree(p));
    }
}

int
run(const bed &b, const struct sm90_grouped_plan &plan, int multiprocessors)
{
    struct dlq_k_grouped_call c = {};
    c.m = b.m;
    c.x.data = b.x;
    c.x.stride = (b.k + 15) / 8 * 8;
    c.x.k = b.k;
    c.x.bf16 = b.v.bf16;
    c.x.parts = 1;
    c.row_scale = b.device_row_scale;
    c.x_scale = b.v.x_scaled ? b.device_x_scale : nullptr;
    c.x_scale_stride = b.pitch;
    c.bias = b.device_bias;
    c.y = b.y;
    c.y_stride = b.n;
    c.y_dtype = type_of(b);
    c.multiprocessors = multiprocessors;
    return grouped_run_wide(&b.w, &c, b.sums, &plan, nullptr);
}

double
worst_error(const bed &b)
{
    double worst = 0.0;
    for (int64_t m = 0; m < b.m; m += m < 16 ? 1 : 7) {
        for (int64_t n = 0; n < b.n; n++) {
            double sum = 0.0, magnitude = 0.0;
            for (int64_t k = 0; k < b.k; k++) {
                const double scale =
                    b.v.x_scaled ? (double)b.x_scale[k / b.w.desc.group * b.pitch + m] : 1.0;
                const double v =
                    (double)b.values[m * b.k + k] * (double)b.weights[n * b.k + k] * scale;
                sum += v;
                magnitude += fabs(v);
            }
            const double scale = (double)b.row_scale[m];
            const double expected = sum * scale + (double)b.bias[n];
            if (fabs(expected) > 65504.0 && !b.v.bf16) {
                continue;
            }
            const double bound =
                ulp(type_of(b), expected) + (double)(b.k + 2) * 0x1p-23 * magnitude * scale;
            const double off =
                fabs((double)dlq_k_load_f32(b.host_y, type_of(b), m * b.n + n) - expected);
            worst = !(off <= worst * bound) ? off / bound : worst;
        }
    }
    return worst;
}

// y on the host, poisoned before.
int
run_plan(bed *b, const struct sm90_grouped_plan &plan, int multiprocessors)
{
    const size_t bytes = (size_t)(b->m * b->n) * 2;
    HARNESS_CUDA(cudaMemset(b->y, 0xff, bytes));
    const int rc = run(*b, plan, multiprocessors);
    if (rc == 0) {
        HARNESS_CUDA(cudaMemcpy(b->host_y, b->y, bytes, cudaMemcpyDeviceToHost));
    }
    return rc;
}

void
check_variant(const variant &v, int64_t m, int64_t k, int64_t n)
{
    bed b = {};
    b.v = v;
    b.m = m;
    b.k = k;
    b.n = n;
    bed_make(&b);
    check(sm90_grouped_takes(&b.w, v.bf16, v.x_scaled, &b.sums), "wide %s: not taken", v.name);
    check((b.sums == SM90_GROUPED_RESCALED) ==
              (v.group % 64 == 0 && v.group != 0 && !v.x_scaled && !v.uneven),
          "wide %s: scales meet sums as in %d", v.name, (int)b.sums);
    const int64_t pairs = (b.w.padded_k / 64 + 1) / 2;
    for (int tile = 0; tile < SM90_GROUPED_TILES; tile++) {
        const int most = sm90_grouped_tiles[tile].pair > 1 ? 1 : 8;
        for (int splits = 1; splits <= most && splits <= pairs; splits *= 2) {
            const struct sm90_grouped_plan plan = {tile, splits, (pairs + splits - 1) / splits * 2};
            if (!GPU_SAMPLED()) {
                continue;
            }
            const int rc = run_plan(&b, plan, device_info().multiprocessors);
            if (rc == -DLQ_K_EUNSUPPORTED && tile == SM90_GROUPED_TILES - 1) {
                continue;
            }
            check(rc == 0, "wide %s: tile %d gives %d", v.name, tile, rc);
            const double worst = worst_error(b);
            check(worst <= 1.0, "wide %s m %ld k %ld n %ld tile %d, %d parts: %.3g of the bound",
                  v.name, (long)m, (long)k, (long)n, tile, splits, worst);
            memcpy(b.first_y, b.host_y, (size_t)(m * n) * 2);
            // Two CTAs take all tiles in turn; their sums go through the same steps.
            check(run_plan(&b, plan, 2) == 0 &&
                      memcmp(b.first_y, b.host_y, (size_t)(m * n) * 2) == 0,
                  "wide %s m %ld k %ld n %ld tile %d, %d parts: other bits where CTAs take tiles "
                  "in turn",
                  v.name, (long)m, (long)k, (long)n, tile, splits);
        }
    }
    bed_free(&b);
}

// What layers say runs, before they have weights: for one row and for many, here and elsewhere.
void
check_names(void)
{
    const struct dlq_kg_device hopper = {0, 90, 132, 1};
    for (int i = 0; i < 3; i++) {
        struct dlq_kg_fp_desc d = {};
        d.shape.k = d.shape.n = d.shape.group = 8192;
        d.shape.dtype = DLQ_F8_E4M3;
        d.shape.scale_dtype = DLQ_F32;
        d.shape.scale_rows = 1;
        d.device = hopper;
        d.device.capability = i == 1 ? 80 : 90;
        d.act_dtype = i == 2 ? DLQ_F32 : DLQ_BF16;
        struct dlq_kg_fp w;
        check(dlq_kg_fp()->plan(&w, &d) == 0 &&
                  strcmp(dlq_kg_fp()->kernel(&w, 1), "fp mma.sync") == 0 &&
                  strcmp(dlq_kg_fp()->kernel(&w, 4096), i == 0 ? "fp wgmma" : "fp mma.sync") == 0,
              "wide: the name of fp kernels, case %d", i);
    }
    struct dlq_kg_wna16_desc d = {};
    d.shape.k = d.shape.n = 8192;
    d.shape.group = 128;
    d.shape.bits = 8;
    d.device = hopper;
    d.act_dtype = d.scale_dtype = DLQ_F16;
    struct dlq_kg_wna16 w;
    check(dlq_kg_wna16()->plan(&w, &d) == 0 &&
              strcmp(dlq_kg_wna16()->kernel(&w, 1), "wna16 mma, exact weights") == 0 &&
              strcmp(dlq_kg_wna16()->kernel(&w, 4096), "wna16 wgmma, exact weights") == 0,
          "wide: the name of wna16 kernels");
}

} // namespace

void
check_wide(void)
{
    static const variant variants[] = {
        {"u8 bf16", DLQ_K_GROUPED_U8, DLQ_BF16, 0, true, false, false, false, false},
        {"u8 f16", DLQ_K_GROUPED_U8, DLQ_F16, 0, false, false, false, false, false},
        {"u8 g128 bf16", DLQ_K_GROUPED_U8, DLQ_BF16, 128, true, false, false, false, false},
        {"u8 g64 f16", DLQ_K_GROUPED_U8, DLQ_F16, 64, false, false, false, false, false},
        {"u8 g192 f16", DLQ_K_GROUPED_U8, DLQ_F32, 192, false, false, false, false, false},
        {"u8 g64 bf16 uneven", DLQ_K_GROUPED_U8, DLQ_BF16, 64, true, false, false, true, false},
        {"u8 g128 f16 uneven", DLQ_K_GROUPED_U8, DLQ_F16, 128, false, false, false, true, false},
        {"e4m3 bf16", DLQ_K_GROUPED_E4M3, DLQ_F32, 0, true, false, true, false, false},
        {"e4m3 f16", DLQ_K_GROUPED_E4M3, DLQ_F32, 0, false, false, false, false, false},
        {"e4m3 g128 bf16", DLQ_K_GROUPED_E4M3, DLQ_F32, 128, true, false, false, false, false},
        {"e4m3 g64 f16 factors", DLQ_K_GROUPED_E4M3, DLQ_F16, 64, false, false, true, false, false},
        {"e4m3 g128 bf16 uneven", DLQ_K_GROUPED_E4M3, DLQ_F32, 128, true, false, true, true, false},
        {"e4m3 g64 f16 uneven", DLQ_K_GROUPED_E4M3, DLQ_F16, 64, false, false, false, true, false},
        {"e4m3 g128 x scaled", DLQ_K_GROUPED_E4M3, DLQ_F32, 128, true, true, false, false, false},
        {"e4m3 g64 x scaled", DLQ_K_GROUPED_E4M3, DLQ_BF16, 64, true, true, false, true, false},
        {"mxfp8 bf16", DLQ_K_GROUPED_E4M3, DLQ_F8_E8M0, 32, true, false, false, false, false},
        {"nvfp4 bf16", DLQ_K_GROUPED_E2M1, DLQ_F8_E4M3, 16, true, false, false, false, false},
        {"nvfp4 f16", DLQ_K_GROUPED_E2M1, DLQ_F8_E4M3, 16, false, false, true, false, false},
        {"mxfp4 bf16", DLQ_K_GROUPED_E2M1, DLQ_F8_E8M0, 32, true, false, false, false, false},
        {"u8 zeros bf16", DLQ_K_GROUPED_U8, DLQ_BF16, 0, true, false, false, false, true},
        {"u8 g128 zeros f16", DLQ_K_GROUPED_U8, DLQ_F16, 128, false, false, false, false, true},
        {"u8 g64 zeros bf16 uneven", DLQ_K_GROUPED_U8, DLQ_BF16, 64, true, false, false, true,
         true},
        {"u4 f16", DLQ_K_GROUPED_U4, DLQ_F16, 0, false, false, false, false, false},
        {"u4 zeros bf16", DLQ_K_GROUPED_U4, DLQ_BF16, 0, true, false, false, false, true},
        {"u4 g64 zeros f16", DLQ_K_GROUPED_U4, DLQ_F16, 64, false, false, false, false, true},
        {"u4 g128 bf16", DLQ_K_GROUPED_U4, DLQ_BF16, 128, true, false, false, false, false},
        {"u4 g128 zeros bf16 uneven", DLQ_K_GROUPED_U4, DLQ_BF16, 128, true, false, false, true,
         true},
        {"u4 g64 zeros f16 uneven", DLQ_K_GROUPED_U4, DLQ_F16, 64, false, false, false, true, true},
    };
    check_names();
    if (device_info().capability != 90) {
        counts.skipped++;
        return;
    }
    for (const variant &v : variants) {
        check_variant(v, 300, 1090, 72);
        check_variant(v, 70, 448, 330);
        check_variant(v, 40, 2200, 136); // enough blocks for every number of parts
    }
}

} // namespace ops
