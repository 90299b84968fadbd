// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench_judge.h"
#include "bench_op.h"
#include "bench_report.h"
#include "convert.h"
#include "support.h"

#include <dlquant/ext/inspect.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ops[] = {
    "w4a16_zp_g64", "w4a16_g32", "w4a16_channel", "w8a16_g64", "w8a16_channel", "w4a8_g64",
    "w8a8_int8",    "w8a8_fp8",  "w8a16_fp8",     "dense",     "dense_bf16",    "dense_fp32",
};

static bool
parse(const char *text, struct tool_bench_op *out)
{
    return tool_bench_op_parse(text, strlen(text), DLQ_F16, out);
}

static void
operations_have_the_names_of_files_of_figures(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"w4a16_zp_g128", "w4a16_fp16_zp_g128"},
        {"w4a16_fp16_zp_g128", "w4a16_fp16_zp_g128"},
        {"w4a16_bf16_g32", "w4a16_bf16_g32"},
        {"w8a16_channel", "w8a16_fp16_channel"},
        {"w4a8_g64", "w4a8_fp16_g64"},
        {"w8a8_int8", "w8a8_int8_rowcol"},
        {"w8a8_fp8_rowcol", "w8a8_fp8_rowcol"},
        {"dense_fp32", "dense_fp32"},
        {"dense", "dense_fp16"},
    };
    struct tool_bench_op op;
    for (size_t i = 0; i < TEST_COUNT(names); ++i) {
        assert_true(parse(names[i][0], &op));
        assert_string_equal(op.name, names[i][1]);
    }
}

static void
operations_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "w4a16",
                                        "w4a16_g",
                                        "w4a16_g4",
                                        "w4a16_g128x",
                                        "w4a16_zp_channel",
                                        "w4a16_g128_channel",
                                        "w4a8",
                                        "w4a8_zp_g64",
                                        "w8a16_zp_g64",
                                        "w8a8",
                                        "w8a8_int8_fp8",
                                        "w8a8_int8_g64",
                                        "dense_g64",
                                        "dense_fp64",
                                        "w4a16_g128_and_much_more_that_no_name_is_long_enough_for"};
    struct tool_bench_op op;
    for (size_t i = 0; i < TEST_COUNT(wrong); ++i) {
        assert_false(parse(wrong[i], &op));
    }
}

static void
shapes_must_suit_the_operation(void **state)
{
    (void)state;
    struct tool_bench_op op;
    struct tool_bench_weights w;
    assert_true(parse("w4a16_g64", &op));
    assert_false(tool_bench_weights_make(&w, &op, 96, 64));
    assert_false(tool_bench_weights_make(&w, &op, 64, 60));
    assert_true(tool_bench_weights_make(&w, &op, 64, 8));
    tool_bench_weights_free(&w);
}

/// A layer of one operation, of 256 inputs and 40 outputs.
struct world {
    dlq_runtime *rt;
    struct tool_bench_op op;
    struct tool_bench_weights weights;
    struct tool_bench_layers layers;
    struct dlq_error err;
};

static void
begin(struct world *w, const char *op)
{
    const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};
    *w = (struct world){.err = DLQ_ERROR_INIT};
    assert_true(parse(op, &w->op));
    assert_true(tool_bench_weights_make(&w->weights, &w->op, 256, 40));
    test_assert_ok(dlq_runtime_create(NULL, &w->rt, &w->err), &w->err);
    test_assert_ok(tool_bench_layers_make(&w->layers, w->rt, cpu, &w->weights, 1 << 20, 3, &w->err),
                   &w->err);
}

static void
end(struct world *w)
{
    tool_bench_layers_destroy(&w->layers);
    tool_bench_weights_free(&w->weights);
    dlq_runtime_destroy(w->rt);
}

static void
weights_are_what_the_plugins_make_of_the_tensors(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_COUNT(ops); ++i) {
        struct world w;
        begin(&w, ops[i]);
        dlq_linear *const layer = w.layers.layers[0];
        void *method = NULL;
        const struct dlq_ext_inspect *const ext =
            dlq_linear_extension(layer, DLQ_EXT_INSPECT, &method);
        assert_non_null(ext);
        float weight[40 * 256];
        test_assert_ok(
            ext->dequantize(method, dlq_runtime_host(w.rt), dlq_linear_info(layer), weight, &w.err),
            &w.err);
        for (int64_t j = 0; j < 40 * 256; ++j) {
            const double expected = tool_bench_weight(&w.weights, j / 256, j % 256);
            if (!(fabs((double)weight[j] - expected) <= 0x1p-23 * fabs(expected))) {
                fail_msg("%s: weight %d is %.9g, %.9g is expected", ops[i], (int)j,
                         (double)weight[j], expected);
            }
        }
        end(&w);
    }
}

static void
copies_take_the_cold_bytes(void **state)
{
    (void)state;
    struct world w;
    begin(&w, "w8a8_int8");
    assert_true(w.layers.n > 1 && w.layers.bytes >= 40 * 256);
    assert_true(w.layers.n * w.layers.bytes >= 1 << 20 &&
                (w.layers.n - 1) * w.layers.bytes < 1 << 20);
    end(&w);
}

static void
every_operation_is_judged_and_timed(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_COUNT(ops); ++i) {
        struct world w;
        struct tool_bench_result r;
        begin(&w, ops[i]);
        test_assert_ok(tool_bench_layers_run(&w.layers, 3, &r, &w.err), &w.err);
        assert_true(r.us >= r.best_us && r.best_us > 0.0);
        assert_true(r.worst > 0.0 && r.worst <= 1.0);
        assert_true(r.moved > (double)w.layers.bytes);
        end(&w);
    }
}

static void
one_wrong_element_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_COUNT(ops); ++i) {
        struct world w;
        begin(&w, ops[i]);
        enum { M = 2 };
        float x[M * 256];
        char act[M * 256 * 4];
        char y[M * 40 * 4];
        tool_fill_inputs(x, M, 256, "x");
        tool_to_act(act, w.op.dtype, x, (int64_t)M * 256);
        const size_t size = dlq_linear_workspace_size(w.layers.layers[0], M);
        const struct dlq_linear_io io = {
            .struct_size = sizeof(io),
            .m = M,
            .x = act,
            .y = y,
            .workspace = aligned_alloc(256, (size + 256) / 256 * 256),
            .workspace_size = size,
        };
        struct tool_bench_result r = {0};
        test_assert_ok(dlq_linear_apply(w.layers.layers[0], &io, &w.err), &w.err);
        test_assert_ok(tool_bench_judge(&w.weights, w.layers.layers[0], dlq_runtime_host(w.rt), act,
                                        y, M, &r, &w.err),
                       &w.err);
        float found = 0;
        char *const at = y + (40 + 17) * tool_act_size(w.op.dtype);
        tool_from_act(&found, w.op.dtype, at, 1);
        found *= 1.25F;
        tool_to_act(at, w.op.dtype, &found, 1);
        test_assert_error(tool_bench_judge(&w.weights, w.layers.layers[0], dlq_runtime_host(w.rt),
                                           act, y, M, &r, &w.err),
                          &w.err, DLQ_EINTERNAL, "in row 1, column 17");
        found = NAN;
        tool_to_act(at, w.op.dtype, &found, 1);
        test_assert_error(tool_bench_judge(&w.weights, w.layers.layers[0], dlq_runtime_host(w.rt),
                                           act, y, M, &r, &w.err),
                          &w.err, DLQ_EINTERNAL, "in row 1, column 17");
        free(io.workspace);
        end(&w);
    }
}

static void
peak_is_that_of_the_instructions(void **state)
{
    (void)state;
    const struct tool_ceilings c = {
        .fma32 = 1, .bf16_dot = 2, .int16 = 3, .int8 = 8, .amx_int8 = 64, .amx_bf16 = 32};
    static const struct {
        const char *op;
        double peak;
    } expected[] = {{"w4a16_g64", 32},  {"w8a8_int8", 64}, {"w4a8_g64", 64}, {"dense", 1},
                    {"dense_bf16", 32}, {"w8a8_fp8", 1},   {"dense_fp32", 1}};
    struct tool_bench_op op;
    for (size_t i = 0; i < TEST_COUNT(expected); ++i) {
        assert_true(parse(expected[i].op, &op));
        assert_true(tool_figure_peak(&c, &op) == expected[i].peak);
    }
    // Without VNNI, two int8 limbs lose to one int16.
    const struct tool_ceilings avx2 = {.fma32 = 1, .int16 = 3};
    assert_true(parse("w4a16_g64", &op));
    assert_true(tool_figure_peak(&avx2, &op) == 3.0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_have_the_names_of_files_of_figures),
        cmocka_unit_test(operations_that_do_not_exist_are_refused),
        cmocka_unit_test(shapes_must_suit_the_operation),
        cmocka_unit_test(weights_are_what_the_plugins_make_of_the_tensors),
        cmocka_unit_test(copies_take_the_cold_bytes),
        cmocka_unit_test(every_operation_is_judged_and_timed),
        cmocka_unit_test(one_wrong_element_is_found),
        cmocka_unit_test(peak_is_that_of_the_instructions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
