// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include "../../kernels/float16.h"
#include "../../kernels/pack/bits.h"

#include <dlquant/dlquant.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Weights, inputs and bias of -1, 0 and 1 with scales of 1: every sum is a small integer that no
// order of addition rounds. Any number of ranks must give it, bit by bit, in each scheme.

enum { M = 5, MAX_TENSORS = 6 };

/// What a scheme stores besides its codes.
enum extra {
    ZEROS = 1,
    ORDER = 2,
    INPUT_SCALE = 4,
    INPUT_ZERO = 8,
    TENSOR_SCALE = 16,
    ROUNDED = 32, ///< Its codes are not exact: ranks must still give one rank's bits
    NOT_F32 = 64  ///< Its scale is not exact, which a 16-bit y does not show
};

struct scheme {
    const char *name;
    const char *config; ///< Of the one config group
    const char *format;
    int64_t k, n;
    int64_t group;  ///< 0: one scale an output
    int32_t bits;   ///< Of packed codes; 8: one code a byte, 0: e4m3
    uint32_t extra; ///< Mask of enum extra
};

#define WEIGHTS(bits, rest) "\"weights\":{\"num_bits\":" #bits ",\"type\":\"int\"," rest "}"
#define FLOATS(rest) "\"weights\":{\"num_bits\":8,\"type\":\"float\"," rest "}"
#define INPUTS(type, rest) ",\"input_activations\":{\"num_bits\":8,\"type\":\"" type "\"," rest "}"
#define CHANNEL "\"strategy\":\"channel\",\"symmetric\":true"
#define GROUP(g) "\"strategy\":\"group\",\"symmetric\":true,\"group_size\":" #g
#define TOKEN "\"strategy\":\"token\",\"dynamic\":true,\"symmetric\":true"

// 172 = 4 * 43 inputs: ranks cut words and groups of activations; 40 outputs of 4 bits: ranks cut
// words of zero points.
static const struct scheme schemes[] = {
    {"w4a16 g32", WEIGHTS(4, GROUP(32)), "pack-quantized", 256, 40, 32, 4, 0},
    {"w4a16 asym g64", WEIGHTS(4, "\"strategy\":\"group\",\"symmetric\":false,\"group_size\":64"),
     "pack-quantized", 256, 40, 64, 4, ZEROS},
    {"w4a16 channel", WEIGHTS(4, CHANNEL), "pack-quantized", 172, 24, 0, 4, 0},
    {"w3a16 channel", WEIGHTS(3, CHANNEL), "pack-quantized", 172, 24, 0, 3, 0},
    {"w4a16 act order",
     WEIGHTS(4, "\"strategy\":\"group\",\"symmetric\":true,\"group_size\":64,"
                "\"actorder\":\"group\""),
     "pack-quantized", 256, 24, 64, 4, ORDER},
    {"w8a16 channel", WEIGHTS(8, CHANNEL), "pack-quantized", 256, 24, 0, 32, 0},
    {"w8a8", WEIGHTS(8, CHANNEL) INPUTS("int", TOKEN), "int-quantized", 172, 24, 0, 8, 0},
    {"w8a8 asym",
     WEIGHTS(8, CHANNEL) INPUTS("int", "\"strategy\":\"token\",\"dynamic\":true,"
                                       "\"symmetric\":false"),
     "int-quantized", 256, 24, 0, 8, ROUNDED},
    {"w8a8 static",
     WEIGHTS(8, CHANNEL) INPUTS("int", "\"strategy\":\"tensor\",\"dynamic\":false,"
                                       "\"symmetric\":false"),
     "int-quantized", 256, 24, 0, 8, INPUT_SCALE | INPUT_ZERO},
    {"w8a8 tensor", WEIGHTS(8, "\"strategy\":\"tensor\",\"symmetric\":true") INPUTS("int", TOKEN),
     "int-quantized", 256, 24, 0, 8, TENSOR_SCALE},
    {"w4a8 g32", WEIGHTS(4, GROUP(32)) INPUTS("int", TOKEN), "int-quantized", 256, 24, 32, 8, 0},
    {"fp8", FLOATS(CHANNEL) INPUTS("float", TOKEN), "float-quantized", 172, 24, 0, 0, NOT_F32},
    {"fp8 static",
     FLOATS(CHANNEL) INPUTS("float", "\"strategy\":\"tensor\",\"dynamic\":false,"
                                     "\"symmetric\":true"),
     "float-quantized", 256, 24, 0, 0, INPUT_SCALE},
    {"fp8 groups",
     FLOATS(CHANNEL) INPUTS("float", "\"strategy\":\"group\",\"group_size\":128,"
                                     "\"dynamic\":true,\"symmetric\":true"),
     "float-quantized", 172, 24, 0, 0, 0},
    {"fp8a16", FLOATS(CHANNEL), "float-quantized", 256, 24, 0, 0, 0},
};

struct tensor {
    const char *name;
    struct dlq_tensor view;
};

struct model {
    const struct scheme *scheme;
    dlq_runtime *rt;
    dlq_quant_config *config;
    int8_t *w; ///< [n, k] of -1, 0, 1
    float *x;  ///< [M, k]
    struct tensor tensors[MAX_TENSORS];
    int n_tensors;
};

static uint32_t
next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void *
add(struct model *m, const char *name, uint32_t dtype, int64_t rows, int64_t cols)
{
    assert_in_range(m->n_tensors, 0, MAX_TENSORS - 1);
    void *const data = calloc((size_t)(rows * (cols > 0 ? cols : 1)), 8);
    assert_non_null(data);
    m->tensors[m->n_tensors++] =
        (struct tensor){name,
                        {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
                         .dtype = dtype,
                         .data = data,
                         .device = {DLQ_DEVICE_CPU, 0},
                         .ndim = cols > 0 ? 2 : 1,
                         .shape = {rows, cols},
                         .strides = {cols > 0 ? cols : 1, 1}}};
    return data;
}

static void
add_ones(struct model *m, const char *name, int64_t rows, int64_t cols)
{
    uint16_t *const out = add(m, name, DLQ_F16, rows, cols);
    for (int64_t i = 0; i < rows * (cols > 0 ? cols : 1); i++) {
        out[i] = 0x3c00;
    }
}

// Group g of the zero points is g % 3 - 1 away from the middle code, and codes are with it.
static int
zero_of(const struct scheme *s, int64_t k)
{
    return s->extra & ZEROS ? (int)(k / s->group % 3) - 1 : 0;
}

static void
add_packed(struct model *m)
{
    const struct scheme *const s = m->scheme;
    const int bits = s->bits == 32 ? 8 : s->bits;
    const int half = 1 << (bits - 1);
    const int64_t words = dlq_bits_words(DLQ_BITS_DENSE, s->k, bits);
    uint32_t *const packed = add(m, "weight_packed", DLQ_I32, s->n, words);
    uint8_t *const codes = malloc((size_t)(s->k + s->n));
    for (int64_t n = 0; n < s->n; n++) {
        for (int64_t k = 0; k < s->k; k++) {
            codes[k] = (uint8_t)(m->w[n * s->k + k] + half + zero_of(s, k));
        }
        dlq_bits_pack(codes, s->k, DLQ_BITS_DENSE, bits, packed + n * words, 1);
    }
    if (s->extra & ZEROS) {
        const int64_t groups = s->k / s->group;
        uint32_t *const zeros = add(m, "weight_zero_point", DLQ_I32,
                                    dlq_bits_words(DLQ_BITS_DENSE, s->n, bits), groups);
        for (int64_t g = 0; g < groups; g++) {
            memset(codes, half + zero_of(s, g * s->group), (size_t)s->n);
            dlq_bits_pack(codes, s->n, DLQ_BITS_DENSE, bits, zeros + g, groups);
        }
    }
    free(codes);
}

static void
add_tensors(struct model *m)
{
    const struct scheme *const s = m->scheme;
    if (s->bits != 8 && s->bits != 0) {
        add_packed(m);
    } else {
        uint8_t *const out = add(m, "weight", s->bits == 8 ? DLQ_I8 : DLQ_F8_E4M3, s->n, s->k);
        for (int64_t i = 0; i < s->n * s->k; i++) {
            out[i] = s->bits == 8 ? (uint8_t)m->w[i] : dlq_k_f32_to_e4m3((float)m->w[i]);
        }
    }
    if (s->extra & TENSOR_SCALE) {
        add_ones(m, "weight_scale", 1, 0);
    } else {
        add_ones(m, "weight_scale", s->n, s->group > 0 ? s->k / s->group : 1);
    }
    if (s->extra & ORDER) {
        int32_t *const order = add(m, "weight_g_idx", DLQ_I32, s->k, 0);
        for (int64_t k = 0; k < s->k; k++) {
            order[k] = (int32_t)(k * 37 % s->k / s->group);
        }
    }
    if (s->extra & INPUT_SCALE) {
        add_ones(m, "input_scale", 1, 0);
    }
    if (s->extra & INPUT_ZERO) {
        *(int8_t *)add(m, "input_zero_point", DLQ_I8, 1, 0) = -7;
    }
}

static void
model_open(struct model *m, const struct scheme *s)
{
    static const char form[] = "{\"quant_method\":\"compressed-tensors\",\"format\":\"%s\","
                               "\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],%s}}}";
    struct dlq_error err = DLQ_ERROR_INIT;
    char text[1024];
    *m = (struct model){.scheme = s};
    const int len = snprintf(text, sizeof(text), form, s->format, s->config);
    test_assert_ok(dlq_runtime_create(NULL, &m->rt, &err), &err);
    test_assert_ok(
        dlq_quant_config_create(m->rt, "compressed-tensors", text, (size_t)len, &m->config, &err),
        &err);
    uint32_t seed = 5;
    m->w = malloc((size_t)(s->n * s->k));
    m->x = malloc((size_t)(M * s->k) * sizeof(*m->x));
    for (int64_t i = 0; i < s->n * s->k; i++) {
        m->w[i] = (int8_t)((int)(next(&seed) % 3) - 1);
    }
    for (int64_t i = 0; i < M * s->k; i++) {
        m->x[i] = (float)(next(&seed) % 3) - 1.0F;
    }
    add_tensors(m);
}

static void
model_close(struct model *m)
{
    for (int i = 0; i < m->n_tensors; i++) {
        free(m->tensors[i].view.data);
    }
    free(m->w);
    free(m->x);
    dlq_quant_config_destroy(m->config);
    dlq_runtime_destroy(m->rt);
}

struct rank {
    pthread_t thread;
    dlq_linear *layer;
    struct dlq_linear_io io;
    void *y;
    int32_t rc;
    struct dlq_error err;
};

static void *
run(void *arg)
{
    struct rank *const r = arg;
    r->rc = dlq_linear_apply(r->layer, &r->io, &r->err);
    return NULL;
}

static dlq_linear *
make(const struct model *m, bool row, uint32_t dtype, const struct dlq_collective *coll)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_linear *layer = NULL;
    const struct dlq_linear_desc desc = {
        .struct_size = sizeof(desc),
        .flags = row ? DLQ_LINEAR_INPUT_IS_FULL : DLQ_LINEAR_GATHER_OUTPUT,
        .prefix = "a.b",
        .input_size = m->scheme->k,
        .output_size = m->scheme->n,
        .params_dtype = DLQ_F16,
        .act_dtype = dtype,
        .config = m->config,
        .collective = coll,
    };
    test_assert_ok(
        (row ? dlq_linear_row_create : dlq_linear_column_create)(m->rt, &desc, &layer, &err), &err);
    for (int i = 0; i < m->n_tensors; i++) {
        test_assert_ok(dlq_linear_load_tensor(layer, m->tensors[i].name, dlq_part_fused(),
                                              &m->tensors[i].view, &err),
                       &err);
    }
    test_assert_ok(dlq_linear_process(layer, &err), &err);
    return layer;
}

static void
check_ranks(const struct model *m, bool row, uint32_t dtype, int32_t size, float *whole)
{
    const struct scheme *const s = m->scheme;
    struct dlq_error err = DLQ_ERROR_INIT;
    dlq_collective_threads *group = NULL;
    struct rank ranks[4];
    const size_t element = dlq_k_act_size(dtype);
    void *const x = malloc((size_t)(M * s->k) * element);
    for (int64_t i = 0; i < M * s->k; i++) {
        dlq_k_store_f32(x, dtype, i, m->x[i]);
    }
    test_assert_ok(dlq_collective_threads_create(m->rt, size, 20000, &group, &err), &err);
    for (int32_t i = 0; i < size; i++) {
        struct rank *const r = &ranks[i];
        r->layer = make(m, row, dtype, dlq_collective_threads_get(group, i));
        r->err = (struct dlq_error)DLQ_ERROR_INIT;
        r->y = malloc((size_t)(M * s->n) * element);
        const size_t bytes = dlq_linear_workspace_size(r->layer, M);
        r->io = (struct dlq_linear_io){.struct_size = sizeof(r->io),
                                       .m = M,
                                       .x = x,
                                       .y = r->y,
                                       .workspace = aligned_alloc(256, (bytes + 256) / 256 * 256),
                                       .workspace_size = bytes};
        assert_int_equal(pthread_create(&r->thread, NULL, run, r), 0);
    }
    for (int32_t i = 0; i < size; i++) {
        pthread_join(ranks[i].thread, NULL);
    }
    for (int32_t i = 0; i < size; i++) {
        struct rank *const r = &ranks[i];
        test_assert_ok(r->rc, &r->err);
        for (int64_t j = 0; j < M * s->n; j++) {
            int32_t sum = 0;
            for (int64_t k = 0; k < s->k; k++) {
                sum += (int32_t)m->x[j / s->n * s->k + k] * m->w[j % s->n * s->k + k];
            }
            const float found = dlq_k_load_f32(r->y, dtype, j);
            const float expected = s->extra & ROUNDED && size == 1 ? found
                                   : s->extra & ROUNDED            ? whole[j]
                                                                   : (float)sum;
            whole[j] = expected;
            if (found != expected) {
                fail_msg("%s, dtype %x, %s on %d ranks: y[%d] is %.9g, %.9g is expected", s->name,
                         dtype, row ? "row" : "column", (int)size, (int)j, (double)found,
                         (double)expected);
            }
        }
        dlq_linear_destroy(r->layer);
        free(r->io.workspace);
        free(r->y);
    }
    dlq_collective_threads_destroy(group);
    free(x);
}

static void
integers_are_exact_on_any_number_of_ranks(void **state)
{
    struct model m;
    model_open(&m, *state);
    float *const whole = malloc((size_t)(M * m.scheme->n) * sizeof(*whole));
    static const uint32_t dtypes[] = {DLQ_F16, DLQ_BF16, DLQ_F32};
    for (int row = 0; row < 2; row++) {
        for (size_t d = 0; d < TEST_COUNT(dtypes); d++) {
            for (int32_t size = 1; size <= 4; size *= 2) {
                if (dtypes[d] == DLQ_F32 && m.scheme->extra & NOT_F32) {
                    continue;
                }
                check_ranks(&m, row != 0, dtypes[d], size, whole);
            }
        }
    }
    free(whole);
    model_close(&m);
}

int
main(void)
{
    struct CMUnitTest tests[TEST_COUNT(schemes)];
    for (size_t i = 0; i < TEST_COUNT(schemes); i++) {
        tests[i] = (struct CMUnitTest){.name = schemes[i].name,
                                       .test_func = integers_are_exact_on_any_number_of_ranks,
                                       .initial_state = (void *)(uintptr_t)&schemes[i]};
    }
    return _cmocka_run_group_tests("exact_ranks", tests, TEST_COUNT(tests), NULL, NULL);
}
