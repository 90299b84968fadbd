// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

extern "C" {
#include "kernels/pack/awq.h"
#include "kernels/pack/bits.h"
}

#include "gpu_ops_wna16.cuh"

#include <string.h>

namespace ops::wna16
{

namespace
{

struct dlq_k_wna16_shape
shape_of(const pair &p)
{
    struct dlq_k_wna16_shape s = {};
    s.k = p.l.k;
    s.n = p.l.n;
    s.group = p.v.group;
    s.n_groups = p.v.act_order ? p.groups : 0;
    s.bits = p.v.bits;
    s.has_zero_points = p.v.zeros;
    return s;
}

} // namespace

struct dlq_kg_wna16_desc
desc_of(const pair &p)
{
    struct dlq_kg_wna16_desc d = {};
    d.shape = shape_of(p);
    d.device = device_info();
    d.device.capability = p.v.capability != 0 ? p.v.capability : d.device.capability;
    d.act_dtype = p.l.act;
    d.scale_dtype = p.v.scale_dtype;
    d.activation = p.v.activation;
    d.act_order = p.v.act_order;
    return d;
}

struct dlq_kg_wna16_source
source_of(const pair &p)
{
    struct dlq_kg_wna16_source s = {};
    s.arrays.layout = p.v.layout;
    s.arrays.zero_add = p.v.zero_add;
    s.arrays.codes = p.packed_codes;
    s.arrays.zeros = p.v.zeros ? p.packed_zeros : nullptr;
    s.arrays.scales = p.scales;
    s.arrays.scale_dtype = p.v.scale_dtype;
    s.arrays.g_idx = p.g_idx;
    s.signed_codes = p.v.signed_codes;
    return s;
}

namespace
{

void
fill_values(pair *p, uint64_t *state)
{
    const int64_t n = p->l.n, k = p->l.k, count = n * p->groups;
    const unsigned limit = 1u << p->v.bits;
    p->codes = (uint8_t *)malloc((size_t)(n * k));
    p->zeros = (uint8_t *)malloc((size_t)count);
    p->scale_bytes = count * (int64_t)dlq_k_act_size(p->v.scale_dtype);
    p->scales = malloc((size_t)p->scale_bytes);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < k; j++) {
            // Worst cases first: all largest, all zero, all zero points, then every code.
            p->codes[i * k + j] = (uint8_t)(i == 0   ? limit - 1
                                            : i == 1 ? 0
                                            : i == 2 ? limit / 2
                                                     : random_word(state) % limit);
        }
    }
    for (int64_t i = 0; i < count; i++) {
        const unsigned z = random_word(state) % limit;
        const float s = 0.002f + 0.004f * ((float)(random_word(state) >> 8) * 0x1p-24f);
        p->zeros[i] = (uint8_t)(i == 0 ? 0 : i == 1 && p->v.zero_add == 0 ? limit - 1 : z);
        if (p->v.zero_add != 0 && p->v.bits == 8 && p->zeros[i] == 255) {
            p->zeros[i] = 254; // 256 is out of range
        }
        if (i / p->groups == 2) {
            p->zeros[i] = (uint8_t)(limit / 2 - (unsigned)p->v.zero_add);
        }
        dlq_k_store_f32(p->scales, p->v.scale_dtype, i, i % 97 == 5 ? 0.0f : i % 13 == 3 ? -s : s);
    }
}

// Rows to groups: a shuffle of equal groups, but for those that are lost to other shards.
void
fill_order(pair *p, uint64_t *state)
{
    const int64_t k = p->l.k;
    p->g_idx = (int32_t *)malloc((size_t)k * 4);
    for (int64_t i = 0; i < k; i++) {
        p->g_idx[i] = (int32_t)(i / p->v.group + p->v.lost / 2);
    }
    for (int64_t i = k - 1; i > 0; i--) {
        const int64_t other = random_word(state) % (uint32_t)(i + 1);
        const int32_t swap = p->g_idx[i];
        p->g_idx[i] = p->g_idx[other];
        p->g_idx[other] = swap;
    }
}

uint8_t *
transposed(const uint8_t *in, int64_t rows, int64_t columns)
{
    uint8_t *const out = (uint8_t *)malloc((size_t)(rows * columns));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < columns; c++) {
            out[c * rows + r] = in[r * columns + c];
        }
    }
    return out;
}

void
pack_bytes(pair *p)
{
    const int64_t n = p->l.n, k = p->l.k;
    const int shift = p->v.signed_codes ? 1 << (p->v.bits - 1) : 0;
    for (int64_t i = 0; i < n * k; i++) {
        ((uint8_t *)p->packed_codes)[i] = (uint8_t)(p->codes[i] - shift);
    }
    for (int64_t i = 0; i < n * p->groups; i++) {
        ((uint8_t *)p->packed_zeros)[i] = (uint8_t)(p->zeros[i] - shift);
    }
}

void
pack_words(pair *p)
{
    const int64_t n = p->l.n, k = p->l.k, groups = p->groups;
    const enum dlq_bits_layout bits =
        p->v.layout == DLQ_K_WNA16_K_PADDED ? DLQ_BITS_PADDED : DLQ_BITS_DENSE;
    const int64_t k_words = dlq_bits_words(bits, k, p->v.bits);
    const int64_t n_words = dlq_bits_words(bits, n, p->v.bits);
    const bool gptq = p->v.layout == DLQ_K_WNA16_GPTQ;
    uint32_t *const codes = (uint32_t *)p->packed_codes;
    uint32_t *const zeros = (uint32_t *)p->packed_zeros;
    uint8_t *const zeros_t = transposed(p->zeros, n, groups);
    for (int64_t i = 0; i < n; i++) {
        dlq_bits_pack(p->codes + i * k, k, bits, p->v.bits, gptq ? codes + i : codes + i * k_words,
                      gptq ? n : 1);
    }
    for (int64_t g = 0; g < groups; g++) {
        dlq_bits_pack(zeros_t + g * n, n, bits, p->v.bits, gptq ? zeros + g * n_words : zeros + g,
                      gptq ? 1 : groups);
    }
    free(zeros_t);
}

void
pack_awq(pair *p)
{
    uint8_t *const codes = transposed(p->codes, p->l.n, p->l.k);
    uint8_t *const zeros = transposed(p->zeros, p->l.n, p->groups);
    dlq_awq_pack(codes, 4, p->l.k, p->l.n, (uint32_t *)p->packed_codes);
    dlq_awq_pack(zeros, 4, p->groups, p->l.n, (uint32_t *)p->packed_zeros);
    free(codes);
    free(zeros);
}

void
fill_packed(pair *p)
{
    const int64_t n = p->l.n, k = p->l.k, groups = p->groups;
    const enum dlq_bits_layout bits =
        p->v.layout == DLQ_K_WNA16_K_PADDED ? DLQ_BITS_PADDED : DLQ_BITS_DENSE;
    p->code_bytes = 4 * n * dlq_bits_words(bits, k, p->v.bits);
    p->zero_bytes = 4 * groups * dlq_bits_words(bits, n, p->v.bits);
    if (p->v.layout == DLQ_K_WNA16_BYTES) {
        p->code_bytes = n * k;
        p->zero_bytes = n * groups;
    } else if (p->v.layout == DLQ_K_WNA16_AWQ) {
        p->code_bytes = n * k / 2;
        p->zero_bytes = n * groups / 2;
    }
    p->packed_codes = malloc((size_t)p->code_bytes);
    p->packed_zeros = malloc((size_t)p->zero_bytes);
    switch (p->v.layout) {
    case DLQ_K_WNA16_BYTES:
        pack_bytes(p);
        break;
    case DLQ_K_WNA16_AWQ:
        pack_awq(p);
        break;
    default:
        pack_words(p);
        break;
    }
}

// The CPU's layer; its BYTES are unsigned.
void
pack_on_cpu(pair *p)
{
    const char *const kernel = dlq_kg_wna16()->kernel(&p->gpu, 1);
    const bool rounds = strstr(kernel, "sm90") != nullptr || strstr(kernel, "marlin") != nullptr;
    const struct dlq_k_wna16_shape shape = shape_of(*p);
    struct dlq_kg_wna16_source source = source_of(*p);
    if (p->v.signed_codes) {
        source.arrays.codes = p->codes;
        source.arrays.zeros = p->zeros;
    }
    check(dlq_k_wna16_plan(&p->cpu, &shape, rounds ? p->l.act : p->v.scale_dtype, p->g_idx,
                           nullptr) == 0,
          "%s: plan on the CPU", p->what);
    p->cpu_data = aligned_alloc(DLQ_K_ALIGN, (size_t)(p->cpu.bytes + 63) / 64 * 64);
    check(dlq_k_wna16_pack(&p->cpu, &source.arrays, p->cpu_data, nullptr, nullptr) == 0,
          "%s: pack on the CPU", p->what);
    p->weights = (float *)malloc((size_t)(p->l.n * p->l.k) * 4);
    dlq_k_wna16_dequantize(&p->cpu, 0, p->l.n, p->weights);
}

} // namespace

bool
pair_make(pair *p, const layout &l, const variant &v)
{
    uint64_t state = (uint64_t)(l.n * 131 + l.k * 7 + l.m + v.bits);
    *p = {};
    p->l = l;
    p->v = v;
    p->groups = (l.k + v.group - 1) / v.group + v.lost;
    snprintf(p->what, sizeof(p->what),
             "wna16 %s/%s m %ld k %ld n %ld g %ld bits %d layout %d%s%s%s%s%s add %d act %d sm %d",
             dtype_name(l.act), dtype_name(v.scale_dtype), (long)l.m, (long)l.k, (long)l.n,
             (long)v.group, v.bits, (int)v.layout, v.zeros ? " zeros" : "",
             v.signed_codes ? " signed" : "", v.act_order ? " order" : "", l.bias ? " bias" : "",
             l.odd ? " odd" : "", v.zero_add, v.activation, v.capability);
    fill_values(p, &state);
    if (v.act_order) {
        fill_order(p, &state);
    }
    fill_packed(p);
    const struct dlq_kg_wna16_desc desc = desc_of(*p);
    const struct dlq_kg_wna16_source source = source_of(*p);
    int rc = dlq_kg_wna16()->plan(&p->gpu, &desc);
    check(rc == 0, "%s: plan gives %d", p->what, rc);
    if (rc != 0) {
        return false;
    }
    pack_on_cpu(p);
    const int64_t planned = p->gpu.bytes;
    HARNESS_CUDA(cudaMalloc(&p->gpu_data, (size_t)planned + 4096));
    HARNESS_CUDA(cudaMemset(p->gpu_data, 0x77, (size_t)planned + 4096));
    rc = dlq_kg_wna16()->pack(&p->gpu, &source, p->gpu_data, nullptr);
    check(rc == 0, "%s: pack gives %d (%s)", p->what, rc, dlq_kg_error_string(rc));
    uint8_t guard[4096];
    HARNESS_CUDA(cudaMemcpy(guard, (uint8_t *)p->gpu_data + planned, 4096, cudaMemcpyDeviceToHost));
    bool intact = true;
    for (uint8_t byte : guard) {
        intact = intact && byte == 0x77;
    }
    check(intact && p->gpu.data == p->gpu_data, "%s: pack writes outside", p->what);
    return rc == 0;
}

void
pair_free(pair *p)
{
    void *const host[] = {p->codes,        p->zeros,        p->scales,   p->g_idx,
                          p->packed_codes, p->packed_zeros, p->cpu_data, p->weights};
    for (void *each : host) {
        free(each);
    }
    HARNESS_CUDA(cudaFree(p->gpu_data));
}

} // namespace ops::wna16
