// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0
//
// Weight-only integer layers that cannot be: shapes, types, orders of rows and values.
#include "gpu_ops_wna16.cuh"

#include <string.h>

namespace ops::wna16
{

namespace
{

// Packing into memory that another layer has, with one value spoiled.
void
check_spoiled(uint32_t act, int capability)
{
    const layout l = {4, 128, 40, act, false, false};
    const variant v = {32,    4, true, DLQ_K_WNA16_BYTES,  true,      0,
                       false, 0, act,  DLQ_KG_WNA16_AS_IS, capability};
    const struct dlq_kg_wna16_ops *const op = dlq_kg_wna16();
    pair p;
    int64_t bad = -1;
    if (pair_make(&p, l, v)) {
        struct dlq_kg_wna16_source source = source_of(p);
        uint16_t *const scales = (uint16_t *)p.scales;
        int8_t *const codes = (int8_t *)p.packed_codes, *const zeros = (int8_t *)p.packed_zeros;
        static const uint16_t evil[] = {0x7f80, 0xff80, 0x7fc1};
        for (uint16_t bits : evil) {
            const uint16_t saved = scales[17];
            scales[17] = act == DLQ_F16 ? bits & 0xfc01 : bits;
            check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ESCALE && bad == 17,
                  "wna16: scale %04x at 17 gives %ld", bits, (long)bad);
            scales[17] = saved;
        }
        codes[7 * l.k + 5] = 8;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ECODE && bad == 7 * l.k + 5,
              "wna16: a code beyond 4 bits gives %ld", (long)bad);
        codes[7 * l.k + 5] = -9;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ECODE && bad == 7 * l.k + 5,
              "wna16: a code below 4 bits gives %ld", (long)bad);
        codes[7 * l.k + 5] = 7;
        zeros[9] = 8;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ECODE && bad == 9,
              "wna16: a zero point beyond 4 bits gives %ld", (long)bad);
        zeros[9] = 7;
        source.arrays.zero_add = -1;
        zeros[11] = -8;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ECODE && bad <= 11,
              "wna16: a zero point below 0 gives %ld", (long)bad);
        source.arrays.zero_add = 0;
        source.arrays.scale_dtype = DLQ_F32;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_EDTYPE,
              "wna16: scales of another type than planned");
        source.arrays.scale_dtype = act;
        source.arrays.layout = DLQ_K_WNA16_K_DENSE;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ESHAPE,
              "wna16: signed codes in words");
        source.arrays.layout = DLQ_K_WNA16_BYTES;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == 0, "wna16: all is well again");
    }
    pair_free(&p);
}

void
check_order_refusals(void)
{
    const layout l = {4, 128, 40, DLQ_F16, false, false};
    const variant v = {32,   4, true,    DLQ_K_WNA16_GPTQ,   false, 1,
                       true, 2, DLQ_F16, DLQ_KG_WNA16_AS_IS, 0};
    const struct dlq_kg_wna16_ops *const op = dlq_kg_wna16();
    pair p;
    int64_t bad = -1;
    if (pair_make(&p, l, v)) {
        struct dlq_kg_wna16_source source = source_of(p);
        static const int32_t evil[] = {-1, 6};
        for (int32_t g : evil) {
            const int32_t saved = p.g_idx[9];
            p.g_idx[9] = g;
            check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_EINDEX && bad == 9,
                  "wna16: group %d gives %ld", g, (long)bad);
            p.g_idx[9] = saved;
        }
        source.arrays.g_idx = nullptr;
        check(op->pack(&p.gpu, &source, p.gpu_data, &bad) == -DLQ_K_ESHAPE,
              "wna16: act order without its map");
        check(op->quantize(&p.gpu, p.scales, 1, (int8_t *)p.codes, p.weights, nullptr) ==
                  -DLQ_K_EUNSUPPORTED,
              "wna16: codes of x that is not quantized");
        check(op->dequantize(&p.gpu, 30, 11, p.weights) == -DLQ_K_ESHAPE,
              "wna16: rows beyond the last");
    }
    pair_free(&p);
}

void
check_plans(void)
{
    const struct dlq_kg_wna16_ops *const op = dlq_kg_wna16();
    struct dlq_kg_wna16_desc d = {};
    struct dlq_kg_wna16 w;
    d.shape.k = 4096;
    d.shape.n = 4096;
    d.shape.group = 128;
    d.shape.bits = 4;
    d.device = device_info();
    d.act_dtype = d.scale_dtype = DLQ_F16;
    for (int capability = 80; capability <= 90; capability += 10) {
        d.device.capability = capability;
        for (uint32_t act : {(uint32_t)DLQ_F16, (uint32_t)DLQ_F32}) {
            d.act_dtype = act;
            check(op->plan(&w, &d) == 0 && w.bytes >= 4096 * 4096 / 2, "wna16: plan");
            size_t before = 0;
            for (int64_t m = 1; m < 2000; m += m < 300 ? 1 : 13) {
                const size_t size = op->workspace_size(&w, m);
                check(size >= before, "wna16: workspace shrinks at %ld", (long)m);
                before = size;
            }
        }
        d.act_dtype = DLQ_F16;
    }
    const struct dlq_kg_wna16_desc good = d;
    d.device.capability = 75;
    check(op->plan(&w, &d) == -DLQ_K_EUNSUPPORTED, "wna16: sm_75 is planned");
    for (int bits : {1, 9}) {
        d = good;
        d.shape.bits = bits;
        check(op->plan(&w, &d) == -DLQ_K_ESHAPE, "wna16: %d bits are planned", bits);
    }
    for (int64_t group : {(int64_t)0, (int64_t)4097, (int64_t)-1}) {
        d = good;
        d.shape.group = group;
        check(op->plan(&w, &d) == -DLQ_K_ESHAPE, "wna16: group %ld is planned", (long)group);
    }
    d = good;
    d.shape.n_groups = 31;
    check(op->plan(&w, &d) == -DLQ_K_ESHAPE, "wna16: 31 groups of 128 in 4096 are planned");
    d = good;
    d.act_dtype = DLQ_I8;
    check(op->plan(&w, &d) == -DLQ_K_EDTYPE, "wna16: int8 activations are planned");
    d = good;
    d.scale_dtype = DLQ_F8_E4M3;
    check(op->plan(&w, &d) == -DLQ_K_EDTYPE, "wna16: e4m3 scales are planned");
}

void
check_reasons(void)
{
    static const struct {
        const char *why;
        int bits;
        int64_t group;
        bool zeros, order;
        uint32_t act, scale;
        int activation, capability;
    } cases[] = {
        {"", 4, 128, true, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS, 90},
        {"", 4, 32, false, false, DLQ_BF16, DLQ_F32, DLQ_KG_WNA16_AS_IS, 80},
        {"", 4, 96, false, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS, 80},
        {"", 8, 128, false, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS, 80},
        {"x is quantized", 4, 128, true, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_I8_TOKEN, 90},
        {"x is fp32", 4, 128, true, false, DLQ_F32, DLQ_F16, DLQ_KG_WNA16_AS_IS, 80},
        {"act order", 4, 128, true, true, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS, 90},
        {"not of 4 bits", 5, 128, true, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS, 80},
        {"not of 4 bits", 8, 128, false, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS, 90},
        {"8 bits with zero points", 8, 128, true, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS, 80},
        {"scales may be beyond fp16", 4, 128, true, false, DLQ_F16, DLQ_BF16, DLQ_KG_WNA16_AS_IS,
         90},
        {"groups are no multiple of 32", 4, 16, true, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS,
         80},
        {"groups are no multiple of 32", 4, 43, true, false, DLQ_F16, DLQ_F16, DLQ_KG_WNA16_AS_IS,
         90},
    };
    for (const auto &v : cases) {
        struct dlq_kg_wna16_desc d = {};
        struct dlq_kg_wna16 w;
        d.shape.k = 4096;
        d.shape.n = 4096;
        d.shape.group = v.group;
        d.shape.bits = v.bits;
        d.shape.has_zero_points = v.zeros;
        d.device = device_info();
        d.device.capability = v.capability;
        d.act_dtype = v.act;
        d.scale_dtype = v.scale;
        d.activation = v.activation;
        d.act_order = v.order;
        const bool planned = dlq_kg_wna16()->plan(&w, &d) == 0;
        check(planned && strcmp(dlq_kg_wna16()->why_generic(&w), v.why) == 0,
              "wna16: %d bits, groups of %ld on %d: \"%s\", not \"%s\"", v.bits, (long)v.group,
              v.capability, planned ? dlq_kg_wna16()->why_generic(&w) : "no plan", v.why);
    }
}

} // namespace

void
check_refusals(void)
{
    check_plans();
    check_reasons();
    check_order_refusals();
    for (int capability : {0, 80}) {
        check_spoiled(DLQ_F16, capability);
        check_spoiled(DLQ_BF16, capability);
    }
}

} // namespace ops::wna16
