// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench_op.h"

#include "convert.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// What a name consists of.
struct words {
    char base[16]; ///< The first word
    bool zero_points, int8, fp8, channel;
    int64_t group;
    uint32_t dtype;
};

static bool
take_word(const char *word, struct words *w)
{
    if (strcmp(word, "zp") == 0) {
        w->zero_points = true;
    } else if (strcmp(word, "int8") == 0) {
        w->int8 = true;
    } else if (strcmp(word, "fp8") == 0) {
        w->fp8 = true;
    } else if (strcmp(word, "channel") == 0) {
        w->channel = true;
    } else if (strcmp(word, "fp16") == 0) {
        w->dtype = DLQ_F16;
    } else if (strcmp(word, "bf16") == 0) {
        w->dtype = DLQ_BF16;
    } else if (strcmp(word, "fp32") == 0) {
        w->dtype = DLQ_F32;
    } else if (word[0] == 'g') {
        char *end = NULL;
        w->group = strtoll(word + 1, &end, 10);
        return *end == '\0' && w->group >= 8 && w->group <= 65536;
    } else {
        // Files of figures say of W8A8 how its scales lie, which is the only way here.
        return strcmp(word, "rowcol") == 0;
    }
    return true;
}

static bool
split(const char *text, size_t len, struct words *w)
{
    char copy[48];
    if (len == 0 || len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    char *rest = NULL;
    const char *word = strtok_r(copy, "_", &rest);
    if (!word || strlen(word) >= sizeof(w->base)) {
        return false;
    }
    strcpy(w->base, word);
    while ((word = strtok_r(NULL, "_", &rest)) != NULL) {
        if (!take_word(word, w)) {
            return false;
        }
    }
    return true;
}

static void
name_weight_only(struct tool_bench_op *op, const char *base, const char *zero_points)
{
    const char *const dtype = tool_dtype_name(op->dtype);
    if (op->group > 0) {
        snprintf(op->name, sizeof(op->name), "%s_%s%s_g%d", base, dtype, zero_points,
                 (int)op->group);
    } else {
        snprintf(op->name, sizeof(op->name), "%s_%s_channel", base, dtype);
    }
}

bool
tool_bench_op_parse(const char *text, size_t len, uint32_t dtype, struct tool_bench_op *out)
{
    struct words w = {.dtype = dtype};
    if (!split(text, len, &w)) {
        return false;
    }
    *out = (struct tool_bench_op){.dtype = w.dtype, .group = w.group};
    const bool scaled = (w.group > 0) != w.channel && !w.int8 && !w.fp8;
    const bool plain = w.group == 0 && !w.channel && !w.zero_points;
    if (strcmp(w.base, "w4a16") == 0 && scaled && !(w.zero_points && w.channel)) {
        out->form = w.zero_points ? TOOL_BENCH_AWQ : TOOL_BENCH_PACK;
        out->bits = 4;
        name_weight_only(out, w.base, w.zero_points ? "_zp" : "");
        return true;
    }
    if (strcmp(w.base, "w8a16") == 0 && scaled && !w.zero_points) {
        out->form = TOOL_BENCH_PACK;
        out->bits = 8;
        name_weight_only(out, w.base, "");
        return true;
    }
    if (strcmp(w.base, "w4a8") == 0 && w.group > 0 && !w.zero_points && !w.fp8) {
        out->form = TOOL_BENCH_INT4;
        out->bits = 4;
        name_weight_only(out, w.base, "");
        return true;
    }
    const bool w8a8 = strcmp(w.base, "w8a8") == 0 && plain && w.int8 != w.fp8;
    if (w8a8 || (strcmp(w.base, "w8a16") == 0 && plain && w.fp8 && !w.int8)) {
        out->form = w.int8 ? TOOL_BENCH_INT8 : w8a8 ? TOOL_BENCH_FP8 : TOOL_BENCH_FP8_W;
        out->bits = 8;
        snprintf(out->name, sizeof(out->name), "%s_%s%s", w.base, w.int8 ? "int8" : "fp8",
                 w8a8 ? "_rowcol" : "");
        return true;
    }
    if (strcmp(w.base, "dense") == 0 && plain && !w.int8 && !w.fp8) {
        out->form = TOOL_BENCH_DENSE;
        out->bits = w.dtype == DLQ_F32 ? 32 : 16;
        snprintf(out->name, sizeof(out->name), "dense_%s", tool_dtype_name(w.dtype));
        return true;
    }
    return false;
}

static uint64_t
next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545F4914F6CDD1DULL;
}

static void *
add(struct tool_bench_weights *w, const char *name, uint32_t dtype, int64_t rows, int64_t cols)
{
    void *data = tool_alloc((size_t)rows * (size_t)cols, DLQ_DTYPE_BITS(dtype) / 8);
    w->tensors[w->n_tensors++] =
        (struct tool_bench_tensor){name,
                                   {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
                                    .dtype = dtype,
                                    .data = data,
                                    .device = {DLQ_DEVICE_CPU, 0},
                                    .ndim = 2,
                                    .shape = {rows, cols},
                                    .strides = {cols, 1}}};
    return data;
}

/// Random bytes whose period no row length divides.
static void
fill_bytes(uint8_t *out, size_t size, uint64_t seed, uint8_t (*make)(uint64_t random))
{
    enum { PERIOD = 4194300 };
    const size_t head = size < PERIOD ? size : PERIOD;
    uint64_t state = seed;
    for (size_t i = 0; i < head; ++i) {
        out[i] = make(next(&state) >> 40);
    }
    for (size_t at = head; at < size; at += head) {
        memcpy(out + at, out, size - at < head ? size - at : head);
    }
}

static uint8_t
any_byte(uint64_t random)
{
    return (uint8_t)random;
}

/// -8 to 7.
static uint8_t
int4_byte(uint64_t random)
{
    return (uint8_t)((int)(random % 16) - 8);
}

/// e4m3 numbers of magnitude 1/8 to 1.875.
static uint8_t
e4m3_byte(uint64_t random)
{
    return (uint8_t)(0x20 + random % 0x20 + (random & 0x100 ? 0x80 : 0));
}

/// Positive scales about 1 / (64 2^(bits / 2)), exact in every dtype.
static void
fill_scales(void *out, uint32_t dtype, int64_t count, int bits)
{
    uint64_t state = 17;
    for (int64_t i = 0; i < count; ++i) {
        const float v = (float)(64 + next(&state) % 64) / (float)(8192 << (bits / 2));
        tool_to_act((char *)out + (size_t)i * tool_act_size(dtype), dtype, &v, 1);
    }
}

/// Multiples of 1/256 from -1/4 to 1/4, exact in every dtype.
static void
fill_dense(void *out, uint32_t dtype, int64_t count)
{
    enum { PERIOD = 1048573 };
    const size_t size = tool_act_size(dtype);
    const int64_t head = count < PERIOD ? count : PERIOD;
    uint64_t state = 23;
    for (int64_t i = 0; i < head; ++i) {
        const float v = (float)((int)(next(&state) >> 40) % 65) / 256.0F;
        const float signed_v = next(&state) >> 63 ? v : -v;
        tool_to_act((char *)out + (size_t)i * size, dtype, &signed_v, 1);
    }
    for (int64_t at = head; at < count; at += head) {
        const int64_t left = count - at;
        memcpy((char *)out + (size_t)at * size, out, (size_t)(left < head ? left : head) * size);
    }
}

bool
tool_bench_weights_make(struct tool_bench_weights *w, const struct tool_bench_op *op, int64_t k,
                        int64_t n)
{
    const int64_t groups = op->group > 0 ? k / op->group : 1;
    *w = (struct tool_bench_weights){.op = op, .k = k, .n = n};
    if ((op->group > 0 && k % op->group != 0) || k % 8 != 0 || n % 8 != 0) {
        return false;
    }
    const size_t elements = (size_t)k * (size_t)n;
    switch (op->form) {
    case TOOL_BENCH_AWQ:
        fill_bytes(add(w, "qweight", DLQ_I32, k, n / 8), elements / 2, 1, any_byte);
        fill_bytes(add(w, "qzeros", DLQ_I32, groups, n / 8), (size_t)(groups * n / 2), 2, any_byte);
        fill_scales(add(w, "scales", DLQ_F16, groups, n), DLQ_F16, groups * n, 4);
        return true;
    case TOOL_BENCH_PACK:
        fill_bytes(add(w, "weight_packed", DLQ_I32, n, k * op->bits / 32),
                   elements * (size_t)op->bits / 8, 1, any_byte);
        break;
    case TOOL_BENCH_INT8:
        fill_bytes(add(w, "weight", DLQ_I8, n, k), elements, 1, any_byte);
        break;
    case TOOL_BENCH_INT4:
        fill_bytes(add(w, "weight", DLQ_I8, n, k), elements, 1, int4_byte);
        break;
    case TOOL_BENCH_FP8:
    case TOOL_BENCH_FP8_W:
        fill_bytes(add(w, "weight", DLQ_F8_E4M3, n, k), elements, 1, e4m3_byte);
        break;
    case TOOL_BENCH_DENSE:
        fill_dense(add(w, "weight", op->dtype, n, k), op->dtype, n * k);
        return true;
    }
    fill_scales(add(w, "weight_scale", DLQ_F16, n, groups), DLQ_F16, n * groups, op->bits);
    return true;
}

void
tool_bench_weights_free(struct tool_bench_weights *w)
{
    for (int i = 0; i < w->n_tensors; ++i) {
        free(w->tensors[i].view.data);
    }
    w->n_tensors = 0;
}

static double
element(const struct tool_bench_tensor *t, int64_t i)
{
    double v = 0.0;
    tool_element(t->view.data, t->view.dtype, i, &v);
    return v;
}

/// Nibble of column `c` in a word of the gemm packing: 0, 2, 4, 6, 1, 3, 5, 7 lie from the lowest
/// up.
static int
awq_code(const struct tool_bench_tensor *t, int64_t row, int64_t c)
{
    const uint32_t word = ((const uint32_t *)t->view.data)[row * t->view.shape[1] + c / 8];
    const int nibble = (int)(c % 8) / 2 + (c % 2 ? 4 : 0);
    return (int)(word >> (4 * nibble) & 15);
}

double
tool_bench_weight(const struct tool_bench_weights *w, int64_t n, int64_t k)
{
    const struct tool_bench_op *op = w->op;
    const int64_t g = op->group > 0 ? k / op->group : 0;
    if (op->form == TOOL_BENCH_AWQ) {
        const int d = awq_code(&w->tensors[0], k, n) - awq_code(&w->tensors[1], g, n);
        return d * element(&w->tensors[2], g * w->n + n);
    }
    if (op->form == TOOL_BENCH_DENSE) {
        return element(&w->tensors[0], n * w->k + k);
    }
    const int64_t groups = op->group > 0 ? w->k / op->group : 1;
    const double scale = element(&w->tensors[1], n * groups + g);
    if (op->form != TOOL_BENCH_PACK) {
        return element(&w->tensors[0], n * w->k + k) * scale;
    }
    const int64_t per_word = 32 / op->bits;
    const uint32_t word = ((const uint32_t *)w->tensors[0].view.data)[(n * w->k + k) / per_word];
    const uint32_t code = word >> (k % per_word * op->bits) & ((1U << op->bits) - 1);
    return ((int)code - (1 << (op->bits - 1))) * scale;
}

const char *
tool_bench_config(const struct tool_bench_op *op, char *text, size_t size)
{
    static const char form[] = "{\"quant_method\":\"compressed-tensors\",\"format\":\"%s\","
                               "\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],"
                               "\"weights\":{\"num_bits\":%d,\"type\":\"%s\",\"symmetric\":true,"
                               "\"strategy\":\"%s\"%s}%s}}}";
    char group[40] = "";
    char input[128] = "";
    const bool is_float = op->form == TOOL_BENCH_FP8 || op->form == TOOL_BENCH_FP8_W;
    if (op->form == TOOL_BENCH_DENSE) {
        text[0] = '\0';
        return NULL;
    }
    if (op->form == TOOL_BENCH_AWQ) {
        snprintf(text, size,
                 "{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":%d,\"zero_point\":true,"
                 "\"version\":\"gemm\"}",
                 (int)op->group);
        return "awq";
    }
    if (op->group > 0) {
        snprintf(group, sizeof(group), ",\"group_size\":%d", (int)op->group);
    }
    if (op->form != TOOL_BENCH_PACK && op->form != TOOL_BENCH_FP8_W) {
        snprintf(input, sizeof(input),
                 ",\"input_activations\":{\"num_bits\":8,\"type\":\"%s\",\"symmetric\":true,"
                 "\"strategy\":\"token\",\"dynamic\":true}",
                 is_float ? "float" : "int");
    }
    snprintf(text, size, form,
             op->form == TOOL_BENCH_PACK ? "pack-quantized"
             : is_float                  ? "float-quantized"
                                         : "int-quantized",
             op->bits, is_float ? "float" : "int", op->group > 0 ? "group" : "channel", group,
             input);
    return "compressed-tensors";
}
