// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "layer_facts.h"

#include <stdio.h>
#include <string.h>

static const char plain[] = "{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":128,"
                            "\"zero_point\":true,\"version\":\"gemm\"}";

static void
accepted_texts_describe_their_scheme(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {plain, "W4A16 asym g128"},
        {"{\"w_bit\":4,\"q_group_size\":64,\"zero_point\":true,\"version\":\"GEMM\"}", "asym g64"},
        {"{\"num_bits\":4,\"bits\":4,\"group_size\":32,\"q_group_size\":32}", "asym g32"},
        {"{\"bits\":4,\"group_size\":-1}", "asym channel"},
        {"{\"bits\":4,\"group_size\":43,\"zero_point\":false}", "sym g43"},
        {"{\"quant_method\":\"awq\"}", "asym g128"},
        {"{\"quant_method\":\"AWQ\",\"bits\":4}", "asym g128"},
        {"{\"quant_method\":\"auto_awq\",\"bits\":4}", "asym g128"},
        {"{\"bits\":4,\"version\":null,\"modules_to_not_convert\":null}", "0 modules"},
        {"{\"bits\":4,\"lm_head\":true}", "lm_head quantized"},
        {"{\"bits\":4,\"modules_to_not_convert\":[\"a\",\"b\"]}", "2 modules not converted"},
        {"{\"bits\":4,\"awq_substring\":true}", "by substring"},
    };
    struct bench b;
    bench_open(&b, "awq_marlin", NULL);
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        char line[256];
        struct dlq_error err = DLQ_ERROR_INIT;
        void *config = NULL;
        const int32_t status = b.plugin->config->create(NULL, b.host, cases[i].text,
                                                        strlen(cases[i].text), &config, &err);
        test_assert_ok(status, &err);
        assert_true(b.plugin->config->describe(config, line, sizeof(line)) > 0);
        if (!strstr(line, cases[i].says)) {
            fail_msg("%s: '%s' is not in '%s'", cases[i].text, cases[i].says, line);
        }
        b.plugin->config->destroy(config, b.host);
    }
    bench_close(&b);
}

static void
refused_texts_name_field_found_and_accepted(void **state)
{
    (void)state;
    static const struct bench_refusal cases[] = {
        {"", DLQ_ECONFIG, "none was found"},
        {"[]", DLQ_ECONFIG, "an object is expected, an array was found"},
        {"{\"quant_method\":\"gptq\"}", DLQ_ECONFIG, "/quant_method: 'gptq' was found; awq"},
        {"{\"quant_method\":1}", DLQ_ECONFIG, "/quant_method: a string is expected, an integer"},
        {"{\"bits\":8}", DLQ_EUNSUPPORTED, "/bits: 8-bit AWQ has no kernel; 4 is accepted"},
        {"{\"bits\":3}", DLQ_EUNSUPPORTED, "/bits: 3-bit AWQ"},
        {"{\"w_bit\":0}", DLQ_ECONFIG, "/bits: 0 is out of range; 4 is accepted"},
        {"{\"bits\":-4}", DLQ_ECONFIG, "/bits: -4 is out of range"},
        {"{\"bits\":\"4\"}", DLQ_ECONFIG, "/bits: an integer is expected, a string was found"},
        {"{\"bits\":4.0}", DLQ_ECONFIG, "/bits: an integer is expected"},
        {"{\"bits\":4,\"w_bit\":3}", DLQ_ECONFIG, "/w_bit: 3 contradicts bits 4"},
        {"{\"bits\":4,\"group_size\":0}", DLQ_ECONFIG, "/group_size: 0 is out of range; -1"},
        {"{\"bits\":4,\"group_size\":-2}", DLQ_ECONFIG, "/group_size: -2 is out of range"},
        {"{\"bits\":4,\"q_group_size\":9223372036854775807}", DLQ_ECONFIG, "out of range"},
        {"{\"bits\":4,\"group_size\":64,\"q_group_size\":128}", DLQ_ECONFIG,
         "/q_group_size: 128 contradicts group_size 64"},
        {"{\"bits\":4,\"version\":\"gemv\"}", DLQ_EUNSUPPORTED, "/version: 'gemv' packs"},
        {"{\"bits\":4,\"version\":\"GEMV_FAST\"}", DLQ_EUNSUPPORTED, "/version: 'gemv_fast'"},
        {"{\"bits\":4,\"version\":\"marlin\"}", DLQ_EUNSUPPORTED, "'gemm' is accepted"},
        {"{\"bits\":4,\"version\":\"exllama\"}", DLQ_EUNSUPPORTED, "/version: 'exllama'"},
        {"{\"bits\":4,\"version\":\"ipex\"}", DLQ_EUNSUPPORTED, "/version: 'ipex'"},
        {"{\"bits\":4,\"version\":\"new\\nline\"}", DLQ_ECONFIG, "/version: 'new?line' is unknown"},
        {"{\"bits\":4,\"zero_point\":1}", DLQ_ECONFIG, "/zero_point: a truth value is expected"},
        {"{\"bits\":4,\"lm_head\":\"no\"}", DLQ_ECONFIG, "/lm_head: a truth value is expected"},
        {"{\"bits\":4,\"modules_to_not_convert\":\"visual\"}", DLQ_ECONFIG,
         "/modules_to_not_convert: an array of strings is expected, a string was found"},
        {"{\"bits\":4,\"modules_to_not_convert\":[\"a\",7]}", DLQ_ECONFIG,
         "/modules_to_not_convert/1: a string is expected, an integer was found"},
    };
    bench_refused("awq_marlin", cases, TEST_COUNT(cases));
}

static void
unknown_field_and_absent_bits_are_warnings(void **state)
{
    (void)state;
    struct bench b;
    struct dlq_error err = DLQ_ERROR_INIT;
    bench_open(&b, "awq_marlin", NULL);
    test_assert_ok(bench_try(&b, "{\"bits\":4,\"colour\":1,\"backend\":\"autoawq\"}", &err), &err);
    assert_non_null(strstr(b.log, "/colour: unknown field, ignored"));
    assert_null(strstr(b.log, "backend"));
    test_assert_ok(bench_try(&b, "{\"group_size\":128}", &err), &err);
    assert_non_null(strstr(b.log, "/bits: absent, 4 is assumed"));
    bench_close(&b);
}

// What the list says about one path when there are no headers.
static int32_t
answer_of(const char *config, const char *path, char rule[448])
{
    struct bench b;
    struct facts f;
    struct dlq_decision d;
    struct dlq_error err = DLQ_ERROR_INIT;
    bench_open(&b, "awq_marlin", config);
    facts_init(&f, path, 256, 256);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    memcpy(rule, d.rule, sizeof(d.rule));
    bench_close(&b);
    return d.answer;
}

static void
skip_list_matches_whole_components(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *path;
        int32_t answer;
    } cases[] = {
        {"[\"mlp.gate\"]", "model.layers.0.mlp.gate_proj", DLQ_METHOD},
        {"[\"mlp.gate\"]", "model.layers.0.mlp.gate", DLQ_NOT_QUANTIZED},
        {"[\"visual\"]", "visual.blocks.3.attn.qkv", DLQ_NOT_QUANTIZED},
        {"[\"visual\"]", "model.visual2.blocks.3", DLQ_METHOD},
        {"[\"model.vision_model\"]", "vision_model.encoder.0", DLQ_NOT_QUANTIZED},
        {"[\"layers.1\"]", "model.layers.10.mlp.up_proj", DLQ_METHOD},
        {"[\"layers.1\"]", "model.layers.1.mlp.up_proj", DLQ_NOT_QUANTIZED},
        {"[\"\"]", "model.layers.1.mlp.up_proj", DLQ_METHOD},
        {"[]", "lm_head", DLQ_NOT_QUANTIZED},
        {"[]", "model.language_model.lm_head", DLQ_NOT_QUANTIZED},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        char config[256];
        char rule[448];
        snprintf(config, sizeof(config), "{\"bits\":4,\"modules_to_not_convert\":%s}",
                 cases[i].list);
        if (answer_of(config, cases[i].path, rule) != cases[i].answer) {
            fail_msg("%s with %s: rule '%s'", cases[i].path, cases[i].list, rule);
        }
    }
    char rule[448];
    assert_int_equal(answer_of("{\"bits\":4,\"modules_to_not_convert\":[\"mlp.gate\"],"
                               "\"awq_substring\":true}",
                               "model.layers.0.mlp.gate_proj", rule),
                     DLQ_NOT_QUANTIZED);
    assert_string_equal(rule, "/modules_to_not_convert/0 'mlp.gate' by substring");
    assert_int_equal(answer_of("{\"bits\":4,\"lm_head\":true}", "lm_head", rule), DLQ_METHOD);
}

static void
headers_beat_the_list(void **state)
{
    (void)state;
    struct bench b;
    struct facts f;
    struct dlq_decision d;
    struct dlq_error err = DLQ_ERROR_INIT;
    bench_open(&b, "awq_marlin", "{\"bits\":4,\"modules_to_not_convert\":[\"o_proj\"]}");
    facts_init(&f, "model.layers.0.o_proj", 256, 64);
    facts_tensor(&f, 0, "qweight", DLQ_I32, 256, 8);
    facts_tensor(&f, 0, "qzeros", DLQ_I32, 2, 8);
    facts_tensor(&f, 0, "scales", DLQ_F16, 2, 64);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_METHOD);
    assert_string_equal(d.rule, "headers: qweight is present");
    assert_string_equal(d.scheme, "W4A16 asym g128");

    facts_init(&f, "model.layers.0.q_proj", 256, 64);
    facts_tensor(&f, -1, "weight", DLQ_F16, 64, 256);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_NOT_QUANTIZED);
    assert_string_equal(d.rule, "headers: weight is present, qweight is not");
    bench_close(&b);
}

static void
headers_that_contradict_the_config_are_refused(void **state)
{
    (void)state;
    struct bench b;
    struct facts f;
    struct dlq_decision d;
    struct dlq_error err = DLQ_ERROR_INIT;
    bench_open(&b, "awq_marlin", plain);
    facts_init(&f, "a.b", 256, 64);
    facts_tensor(&f, 0, "qweight", DLQ_I32, 256, 8);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_UNSUPPORTED);
    test_assert_error(err.code, &err, DLQ_EUNSUPPORTED, "'scales' is missing beside qweight");
    facts_tensor(&f, 0, "scales", DLQ_F16, 2, 64);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    test_assert_error(err.code, &err, DLQ_EUNSUPPORTED,
                      "a.b: headers: 'qzeros' is missing beside qweight; present: qweight, scales");
    facts_tensor(&f, 0, "qzeros", DLQ_I32, 2, 8);
    f.evidence[1].shape[0] = 4;
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    test_assert_error(err.code, &err, DLQ_EUNSUPPORTED,
                      "scales is [4, 64]; group_size 128 over K 256 makes [2, 64]");
    f.evidence[0].shape[0] = 64;
    f.evidence[0].shape[1] = 32;
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    test_assert_error(err.code, &err, DLQ_EUNSUPPORTED, "the layout of version gemv");
    bench_close(&b);

    bench_open(&b, "awq_marlin", "{\"bits\":4,\"zero_point\":false}");
    facts_init(&f, "a.b", 256, 64);
    facts_tensor(&f, 0, "qweight", DLQ_I32, 256, 8);
    facts_tensor(&f, 0, "scales", DLQ_F16, 2, 64);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_METHOD);
    assert_string_equal(d.scheme, "W4A16 sym g128");
    facts_tensor(&f, 0, "qzeros", DLQ_I32, 2, 8);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    test_assert_error(err.code, &err, DLQ_EUNSUPPORTED, "qzeros is present although /zero_point");
    bench_close(&b);
}

static void
fused_parts_must_agree(void **state)
{
    (void)state;
    struct bench b;
    struct facts f;
    struct dlq_decision d;
    struct dlq_error err = DLQ_ERROR_INIT;
    bench_open(&b, "awq_marlin", "{\"bits\":4,\"modules_to_not_convert\":[\"q_proj\"]}");
    facts_init(&f, "m.qkv_proj", 256, 0);
    facts_part(&f, "m.q_proj", 64);
    facts_part(&f, "m.k_proj", 32);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "m.q_proj is not quantized (/modules_to_not_convert/0"));
    test_assert_error(err.code, &err, DLQ_EUNSUPPORTED, "m.k_proj is quantized (no entry");
    bench_close(&b);

    bench_open(&b, "awq_marlin", "{\"bits\":4,\"modules_to_not_convert\":[\"qkv_proj\"]}");
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_NOT_QUANTIZED);
    bench_close(&b);
}

static void
entries_that_match_nothing_are_reported(void **state)
{
    (void)state;
    struct bench b;
    struct facts f;
    struct dlq_decision d;
    struct dlq_error err = DLQ_ERROR_INIT;
    char line[256];
    bench_open(&b, "awq_marlin", "{\"bits\":4,\"modules_to_not_convert\":[\"o_proj\",\"ghost\"]}");
    facts_init(&f, "m.o_proj", 256, 64);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    b.plugin->config->describe(b.config, line, sizeof(line));
    assert_non_null(strstr(line, "2 modules not converted (1 matched nothing)"));
    b.plugin->config->destroy(b.config, b.host);
    b.config = NULL;
    assert_non_null(strstr(b.log, "/modules_to_not_convert/1: 'ghost' matched no layer"));
    assert_null(strstr(b.log, "o_proj"));
    bench_close(&b);
}

static void
shapes_that_cannot_run_are_refused_with_their_sizes(void **state)
{
    (void)state;
    struct bench b;
    struct facts f;
    struct dlq_error err = DLQ_ERROR_INIT;
    bench_open(&b, "awq_marlin", plain);

    facts_init(&f, "a", 16416, 64); // 16416 / 128 rounds down to 128 groups, and is no multiple
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_ESHAPE,
                      "K 16416 is no multiple of group_size 128");
    facts_init(&f, "a", 256, 60);
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_ESHAPE,
                      "a: part a has N 60, 60 of it from 0 on rank 0 of 1");
    facts_init(&f, "a", 640, 64); // groups of 64 are whole
    facts_row(&f, 0, 2);
    test_assert_ok(bench_can(&b, &f, &err), &err);
    facts_init(&f, "a", 640, 64);
    facts_row(&f, 0, 32);
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_ESHAPE,
                      "a: K 640 over T 32 gives K_pp 20, which cuts a group of g 128; groups "
                      "refined to g' 4 would be smaller than 8");
    facts_init(&f, "a", 512, 64);
    facts_row(&f, 1, 2);
    test_assert_ok(bench_can(&b, &f, &err), &err);
    facts_init(&f, "a", 512, 64);
    f.info.device.device.kind = DLQ_DEVICE_CUDA;
    f.info.device.capability = 75;
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_EUNSUPPORTED, "a: the layer is on cuda");
    facts_init(&f, "a", 512, 64);
    f.info.act_dtype = DLQ_F64;
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_EDTYPE, "x is fp64");
    bench_close(&b);

    // One group over all of K may be cut anywhere.
    bench_open(&b, "awq_marlin", "{\"bits\":4,\"group_size\":-1}");
    facts_init(&f, "a", 640, 64);
    facts_row(&f, 1, 2);
    test_assert_ok(bench_can(&b, &f, &err), &err);
    bench_close(&b);
}

static void
claims_awq_where_it_can_run_it(void **state)
{
    (void)state;
    struct bench b;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_device_info cpu = {.struct_size = sizeof(cpu), .device = {DLQ_DEVICE_CPU, 0}};
    struct dlq_device_info gpu = {.struct_size = sizeof(gpu), .device = {DLQ_DEVICE_CUDA, 0}};
    static const char gemv[] = "{\"bits\":4,\"version\":\"gemv\"}";
    bench_open(&b, "awq_marlin", NULL);
    const struct dlq_quant_config_ops *const ops = b.plugin->config;
    assert_int_equal(ops->claims(NULL, b.host, "awq", plain, strlen(plain), &cpu, &err), 1);
    assert_int_equal(ops->claims(NULL, b.host, "gptq", plain, strlen(plain), &cpu, &err), 0);
    assert_int_equal(ops->claims(NULL, b.host, "awq", plain, strlen(plain), &gpu, &err), 0);
    assert_non_null(strstr(err.msg, "no kernels for cuda of capability 0"));
    assert_int_equal(ops->claims(NULL, b.host, "awq", gemv, strlen(gemv), &cpu, &err), 0);
    assert_non_null(strstr(err.msg, "/version: 'gemv'"));
    bench_close(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_texts_describe_their_scheme),
        cmocka_unit_test(refused_texts_name_field_found_and_accepted),
        cmocka_unit_test(unknown_field_and_absent_bits_are_warnings),
        cmocka_unit_test(skip_list_matches_whole_components),
        cmocka_unit_test(headers_beat_the_list),
        cmocka_unit_test(headers_that_contradict_the_config_are_refused),
        cmocka_unit_test(fused_parts_must_agree),
        cmocka_unit_test(entries_that_match_nothing_are_reported),
        cmocka_unit_test(shapes_that_cannot_run_are_refused_with_their_sizes),
        cmocka_unit_test(claims_awq_where_it_can_run_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
