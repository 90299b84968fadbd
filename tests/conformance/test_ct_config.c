// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "layer_facts.h"

#include <stdio.h>
#include <string.h>

/// compressed-tensors: what configurations are refused for, and which rule decides for a layer.

// A configuration of one group with these weights, activations and whatever follows.
static const char *
one_group(const char *weights, const char *input, const char *more)
{
    static char text[1024];
    snprintf(text, sizeof(text),
             "{\"config_groups\":{\"g\":{\"targets\":[\"Linear\"],\"weights\":%s,"
             "\"input_activations\":%s%s}}}",
             weights, input, more);
    return text;
}

static void
arguments_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *weights;
        const char *input;
        const char *says;
    } cases[] = {
        {"{\"group_size\":0}", "null", "weights/group_size: 0 is out of range; -1 or a positive"},
        {"{\"group_size\":-2}", "null", "weights/group_size: -2 is out of range"},
        {"{\"strategy\":\"tensor\",\"group_size\":64}", "null", "64 contradicts strategy tensor"},
        {"{\"strategy\":\"channel\",\"group_size\":64}", "null", "64 contradicts strategy channel"},
        {"{\"strategy\":\"group\"}", "null", "strategy group needs a positive size"},
        {"{\"strategy\":\"group\",\"group_size\":-1}", "null", "group needs a positive size"},
        {"{\"strategy\":\"rows\"}", "null", "weights/strategy: 'rows' is unknown; one of tensor"},
        {"{\"strategy\":1}", "null", "weights/strategy: a string is expected, an integer"},
        {"{\"type\":\"complex\"}", "null", "weights/type: 'complex' is unknown; one of int, float"},
        {"{\"num_bits\":0}", "null", "weights/num_bits: 0 is out of range; 1 to 8 for int"},
        {"{\"num_bits\":9}", "null", "weights/num_bits: 9 is out of range"},
        {"{\"num_bits\":5,\"type\":\"float\"}", "null", "5 is out of range; 4 or 8 for float"},
        {"{\"num_bits\":\"4\"}", "null", "weights/num_bits: an integer is expected, a string"},
        {"{\"type\":\"float\",\"symmetric\":false}", "null", "float codes have no zero point"},
        {"{\"strategy\":\"block\"}", "null", "block_structure: is missing for strategy block"},
        {"{\"block_structure\":[1,1]}", "null", "block_structure: contradicts strategy tensor"},
        {"{\"strategy\":\"block\",\"block_structure\":[128]}", "null", "two positive integers"},
        {"{\"strategy\":\"block\",\"block_structure\":[0,128]}", "null", "two positive integers"},
        {"{\"strategy\":\"block\",\"block_structure\":\"128\"}", "null", "two positive integers"},
        {"{\"actorder\":\"sideways\"}", "null", "'sideways' is unknown; one of group, dynamic"},
        {"{\"actorder\":true}", "null", "actorder: group needs strategy group, not tensor"},
        {"{\"dynamic\":true}", "null", "weights: weights cannot be dynamic"},
        {"[]", "null", "weights/: an object is expected, an array was found"},
        {"{}", "{\"strategy\":\"token\"}", "input_activations/dynamic: strategy token must be"},
        {"{}", "{\"strategy\":\"channel\"}", "strategy channel is for weights only"},
        {"{}", "{\"dynamic\":\"local\"}", "'local' needs strategy tensor_group, not tensor"},
        {"{}", "{\"dynamic\":\"globally\"}", "'globally' is unknown; one of local"},
        {"{}", "{\"dynamic\":1}", "dynamic: a truth value is expected, an integer was found"},
    };
    struct bench b;
    bench_open(&b, "compressed-tensors", NULL);
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        struct dlq_error err = DLQ_ERROR_INIT;
        const char *const text = one_group(cases[i].weights, cases[i].input, "");
        test_assert_error(bench_try(&b, text, &err), &err, DLQ_ECONFIG, cases[i].says);
    }
    bench_close(&b);
}

static void
configurations_that_cannot_run_are_refused_by_name(void **state)
{
    (void)state;
    static const struct bench_refusal cases[] = {
        {"", DLQ_ECONFIG, "none was found"},
        {"[]", DLQ_ECONFIG, "an object is expected"},
        {"{}", DLQ_ECONFIG, "/config_groups: an object is expected, nothing was found"},
        {"{\"config_groups\":[]}", DLQ_ECONFIG, "/config_groups: an object is expected, an array"},
        {"{\"config_groups\":{\"g\":1}}", DLQ_ECONFIG, "/config_groups/g: a scheme or the targets"},
        {"{\"config_groups\":{\"W9A16\":[\"Linear\"]}}", DLQ_ECONFIG, "no preset of that name"},
        {"{\"config_groups\":{\"g\":{}}}", DLQ_ECONFIG, "targets: at least one target is expected"},
        {"{\"config_groups\":{\"g\":{\"targets\":[1]}}}", DLQ_ECONFIG,
         "/config_groups/g/targets/0: a string is expected, an integer was found"},
        {"{\"config_groups\":{\"g\":{\"targets\":[\"re:(a\"]}}}", DLQ_ECONFIG,
         "/config_groups/g/targets/0: 're:(a': a group without ) at position 2"},
        {"{\"config_groups\":{},\"ignore\":[\"ok\",\"re:*\"]}", DLQ_ECONFIG,
         "/ignore/1: 're:*': nothing to repeat at position 0"},
        {"{\"config_groups\":{},\"ignore\":\"lm_head\"}", DLQ_ECONFIG,
         "/ignore: an array of strings is expected, a string was found"},
        {"{\"config_groups\":{},\"format\":\"zip\"}", DLQ_ECONFIG, "/format: 'zip' is unknown"},
        {"{\"config_groups\":{},\"format\":\"marlin-24\"}", DLQ_EUNSUPPORTED, "2:4 sparsity"},
        {"{\"config_groups\":{},\"format\":\"sparse-24-bitmask\"}", DLQ_EUNSUPPORTED, "sparsity"},
        {"{\"config_groups\":{},\"transform_config\":{\"config_groups\":{\"a\":{}}}}",
         DLQ_EUNSUPPORTED, "/transform_config: transforms"},
        {"{\"config_groups\":{},\"sparsity_config\":{\"format\":\"sparse-bitmask\","
         "\"targets\":[\"Linear\"]}}",
         DLQ_EUNSUPPORTED, "/sparsity_config: format 'sparse-bitmask' with 1 targets"},
        {"{\"config_groups\":{},\"quant_method\":\"awq\"}", DLQ_ECONFIG,
         "/quant_method: 'awq' was found; compressed-tensors is accepted"},
        {"{\"config_groups\":{},\"kv_cache_scheme\":{\"num_bits\":77}}", DLQ_ECONFIG,
         "/kv_cache_scheme/num_bits: 77 is out of range"},
    };
    bench_refused("compressed-tensors", cases, TEST_COUNT(cases));
}

static void
texts_that_say_nothing_special_are_accepted(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"config_groups\":{}}",
        "{\"config_groups\":{},\"sparsity_config\":{},\"transform_config\":{},\"ignore\":null}",
        "{\"config_groups\":{},\"sparsity_config\":null,\"transform_config\":null}",
        "{\"config_groups\":{},\"sparsity_config\":{\"format\":\"dense\",\"targets\":[]}}",
        "{\"config_groups\":{},\"transform_config\":{\"config_groups\":{}}}",
        "{\"config_groups\":{\"W4A16\":[\"Linear\"],\"fp8_dynamic\":[\"re:.*mlp.*\"]}}",
        "{\"config_groups\":{\"g\":{\"targets\":[\"Linear\"],\"weights\":null}}}",
        "{\"config_groups\":{\"g\":{\"targets\":[\"Linear\"],\"weights\":{\"strategy\":\"BLOCK\","
        "\"type\":\"FLOAT\",\"block_structure\":\"128x128\"}}}}",
        "{\"config_groups\":{\"g\":{\"targets\":[\"Linear\"],\"weights\":{\"group_size\":-1,"
        "\"num_bits\":4,\"actorder\":false}}}}",
    };
    struct bench b;
    bench_open(&b, "compressed-tensors", NULL);
    for (size_t i = 0; i < TEST_COUNT(texts); i++) {
        struct dlq_error err = DLQ_ERROR_INIT;
        test_assert_ok(bench_try(&b, texts[i], &err), &err);
    }
    bench_close(&b);
}

static const char three_groups[] =
    "{\"format\":\"pack-quantized\",\"config_groups\":{"
    "\"group_10\":{\"targets\":[\"Linear\"],\"weights\":{\"num_bits\":4,\"group_size\":128}},"
    "\"group_2\":{\"targets\":[\"re:.*mlp.*\",\"QKVParallelLinear\"],"
    "\"weights\":{\"num_bits\":8,\"strategy\":\"channel\"}},"
    "\"group_3\":{\"targets\":[\"model.layers.0.mlp.down_proj\",\"re:.*down.*\"],"
    "\"weights\":{\"num_bits\":3,\"strategy\":\"channel\"}}},"
    "\"ignore\":[\"lm_head\",\"re:visual.*\",\"model.layers.1\",\"Conv2d\"]}";

static void
the_rule_that_decides_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int32_t answer;
        const char *rule;
    } cases[] = {
        {"model.layers.0.self_attn.o_proj", DLQ_METHOD,
         "/config_groups/group_10/targets/0 'Linear' (class)"},
        {"model.layers.0.mlp.up_proj", DLQ_METHOD,
         "/config_groups/group_2/targets/0 're:.*mlp.*' (regex)"},
        {"model.layers.7.mlp.down_proj", DLQ_METHOD,
         "/config_groups/group_2/targets/0 're:.*mlp.*' (regex); group_3 matches too"},
        {"model.layers.0.mlp.down_proj", DLQ_METHOD,
         "/config_groups/group_3/targets/0 'model.layers.0.mlp.down_proj' (exact)"},
        {"layers.0.mlp.down_proj", DLQ_METHOD,
         "/config_groups/group_2/targets/0 're:.*mlp.*' (regex); group_3 matches too"},
        {"lm_head", DLQ_NOT_QUANTIZED, "/ignore/0 'lm_head' (exact)"},
        {"model.lm_head", DLQ_NOT_QUANTIZED, "/ignore/0 'lm_head' (exact with 'model.' changed)"},
        {"visual.blocks.0", DLQ_NOT_QUANTIZED, "/ignore/1 're:visual.*' (regex)"},
        {"model.layers.10.self_attn.o_proj", DLQ_METHOD, "'Linear' (class)"}, // no prefix rule
    };
    struct bench b;
    bench_open(&b, "compressed-tensors", three_groups);
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        struct facts f;
        struct dlq_decision d;
        struct dlq_error err = DLQ_ERROR_INIT;
        facts_init(&f, cases[i].path, 256, 128);
        test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
        if (d.answer != cases[i].answer || !strstr(d.rule, cases[i].rule)) {
            fail_msg("%s: %d by '%s'; '%s' is expected", cases[i].path, (int)d.answer, d.rule,
                     cases[i].rule);
        }
    }
    bench_close(&b);
}

// The answer for one path, class and configuration.
static int32_t
decide(const char *config, const char *path, const char *class_name, struct dlq_decision *d)
{
    struct bench b;
    struct facts f;
    struct dlq_error err = DLQ_ERROR_INIT;
    bench_open(&b, "compressed-tensors", config);
    facts_init(&f, path, 256, 128);
    f.info.class_name = class_name;
    test_assert_ok(bench_decide(&b, &f, d, &err), &err);
    bench_close(&b);
    return d->answer;
}

static void
heads_and_attention_are_no_plain_linear_layers(void **state)
{
    (void)state;
    struct dlq_decision d;
    static const char linear[] = "{\"config_groups\":{\"W4A16\":[\"Linear\"]}}";
    static const char head[] = "{\"config_groups\":{\"W4A16\":[\"Linear\",\"re:.*lm_head\"]}}";
    static const char attention[] =
        "{\"config_groups\":{\"g\":{\"targets\":[\"LlamaAttention\"],\"weights\":{}}}}";
    assert_int_equal(decide(linear, "lm_head", "ColumnParallelLinear", &d), DLQ_NOT_QUANTIZED);
    assert_string_equal(d.rule, "no rule matches");
    assert_int_equal(decide(head, "lm_head", "ColumnParallelLinear", &d), DLQ_METHOD);
    assert_string_equal(d.scheme, "W4A16 sym g128");
    assert_int_equal(decide(attention, "model.x", "LlamaAttention", &d), DLQ_NOT_QUANTIZED);
    assert_int_equal(decide(linear, "a.b", "Linea", &d), DLQ_METHOD);
    assert_int_equal(
        decide("{\"config_groups\":{\"W4A16\":[\"Lin\"]}}", "a.b", "ColumnParallelLinear", &d),
        DLQ_NOT_QUANTIZED); // no substring of a class
}

static void
a_path_that_takes_too_long_to_match_is_refused(void **state)
{
    (void)state;
    struct bench b;
    struct facts f;
    struct dlq_decision d;
    struct dlq_error err = DLQ_ERROR_INIT;
    char path[1026];
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    bench_open(&b, "compressed-tensors", "{\"config_groups\":{\"W4A16\":[\"re:(?=.*a)\"]}}");
    facts_init(&f, path, 256, 64);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "a path of 1025 bytes was found; at most 1024 are accepted"));
    facts_init(&f, path + 1, 256, 64);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_METHOD);
    bench_close(&b);
}

static void
fused_parts_must_agree(void **state)
{
    (void)state;
    static const char config[] = "{\"config_groups\":{\"W8A16\":[\"re:.*q_proj\"],"
                                 "\"W4A16\":[\"re:.*[kv]_proj\"]}%s}";
    char text[256];
    struct bench b;
    struct facts f;
    struct dlq_decision d;
    struct dlq_error err = DLQ_ERROR_INIT;
    facts_init(&f, "m.qkv_proj", 256, 0);
    facts_part(&f, "m.q_proj", 64);
    facts_part(&f, "m.k_proj", 64);
    snprintf(text, sizeof(text), config, "");
    bench_open(&b, "compressed-tensors", text);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_UNSUPPORTED);
    assert_non_null(strstr(err.msg, "m.q_proj is W8A16 by /config_groups/W8A16/0 're:.*q_proj'"));
    test_assert_error(err.code, &err, DLQ_EUNSUPPORTED, "m.k_proj is W4A16 by");
    bench_close(&b);

    snprintf(text, sizeof(text), config, ",\"fused\":\"any\"");
    bench_open(&b, "compressed-tensors", text);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_METHOD);
    bench_close(&b);

    // An exact entry for the fused name itself speaks for all parts.
    snprintf(text, sizeof(text), config, ",\"ignore\":[\"m.qkv_proj\"]");
    bench_open(&b, "compressed-tensors", text);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_NOT_QUANTIZED);
    bench_close(&b);

    // A pattern does not, whatever its text looks like.
    snprintf(text, sizeof(text), config, ",\"ignore\":[\"re:m.qkv_(exact)?proj\"]");
    bench_open(&b, "compressed-tensors", text);
    test_assert_ok(bench_decide(&b, &f, &d, &err), &err);
    assert_int_equal(d.answer, DLQ_UNSUPPORTED);
    bench_close(&b);
}

static void
order_of_the_file_is_a_switch(void **state)
{
    (void)state;
    struct dlq_decision d;
    static const char config[] = "{\"config_groups\":{\"W4A16\":[\"Linear\"],"
                                 "\"W8A16\":[\"re:.*mlp.*\"]}%s}";
    char text[256];
    snprintf(text, sizeof(text), config, "");
    decide(text, "m.mlp.up_proj", "Linear", &d);
    assert_string_equal(d.scheme, "W8A16 sym g128");
    snprintf(text, sizeof(text), config, ",\"targets\":\"vllm\"");
    decide(text, "m.mlp.up_proj", "Linear", &d);
    assert_string_equal(d.scheme, "W4A16 sym g128");
}

static void
schemes_without_a_kernel_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *weights;
        const char *input;
        const char *more;
        const char *says;
    } cases[] = {
        {"{\"num_bits\":1}", "null", "", "m.o_proj: g: weights int1 tensor: 2 to 8 bits"},
        {"{\"strategy\":\"block\",\"block_structure\":[128,128]}", "null", "",
         "weights int8 block [128, 128]: strategy group, channel or tensor is accepted for int"},
        {"{\"num_bits\":4,\"symmetric\":false}", "null", ",\"format\":\"pack-quantized\"",
         "packed zero points need strategy group or channel"},
        {"{\"num_bits\":8,\"group_size\":128}", "{\"type\":\"float\",\"dynamic\":true}", "",
         "weights int8 group 128 with input_activations float8 tensor dynamic"},
        {"{\"num_bits\":4,\"type\":\"float\",\"group_size\":8}", "null",
         ",\"format\":\"nvfp4-pack-quantized\"", "float4 in tensor_groups"},
        {"{\"type\":\"float\"}", "{\"num_bits\":8,\"dynamic\":true}", "",
         "input_activations int8 tensor dynamic over weights float8 tensor"},
        {"{}", "null", ",\"output_activations\":{}", "output_activations are quantized"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        struct bench b;
        struct facts f;
        struct dlq_error err = DLQ_ERROR_INIT;
        bench_open(&b, "compressed-tensors",
                   one_group(cases[i].weights, cases[i].input, cases[i].more));
        facts_init(&f, "m.o_proj", 256, 128);
        test_assert_error(bench_can(&b, &f, &err), &err, DLQ_EUNSUPPORTED, cases[i].says);
        bench_close(&b);
    }
}

static void
headers_that_do_not_fit_are_refused_with_what_is_there(void **state)
{
    (void)state;
    static const char w3[] = "{\"config_groups\":{\"W3A16\":[\"Linear\"]}}";
    struct bench b;
    struct facts f;
    struct dlq_error err = DLQ_ERROR_INIT;
    bench_open(&b, "compressed-tensors", w3);
    facts_init(&f, "m.o_proj", 256, 64);
    facts_tensor(&f, 0, "weight_packed", DLQ_I32, 64, 24);
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_EUNSUPPORTED,
                      "m.o_proj: 'weight_scale' is missing; present: weight_packed");
    facts_tensor(&f, 0, "weight_scale", DLQ_F16, 64, 2);
    test_assert_ok(bench_can(&b, &f, &err), &err); // dense
    f.evidence[0].shape[1] = 26;
    test_assert_ok(bench_can(&b, &f, &err), &err); // padded
    f.evidence[0].shape[1] = 25;
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_ESHAPE,
                      "int32 of width 25; K 256 of 3 bits takes int32 of width 24 (dense) or 26");
    f.evidence[0].shape[1] = 24;
    f.evidence[1].dtype = DLQ_I8;
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_EDTYPE, "weight_scale: int8 was found");
    bench_close(&b);

    bench_open(&b, "compressed-tensors", "{\"config_groups\":{\"W4A16_ASYM\":[\"Linear\"]}}");
    facts_init(&f, "m.o_proj", 256, 64);
    facts_tensor(&f, 0, "weight_packed", DLQ_I32, 64, 32);
    facts_tensor(&f, 0, "weight_scale", DLQ_F16, 64, 2);
    test_assert_error(bench_can(&b, &f, &err), &err, DLQ_EUNSUPPORTED,
                      "'weight_zero_point' is missing; present: weight_packed, weight_scale");
    bench_close(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_that_make_no_sense_are_refused),
        cmocka_unit_test(configurations_that_cannot_run_are_refused_by_name),
        cmocka_unit_test(texts_that_say_nothing_special_are_accepted),
        cmocka_unit_test(the_rule_that_decides_is_named),
        cmocka_unit_test(heads_and_attention_are_no_plain_linear_layers),
        cmocka_unit_test(a_path_that_takes_too_long_to_match_is_refused),
        cmocka_unit_test(fused_parts_must_agree),
        cmocka_unit_test(order_of_the_file_is_a_switch),
        cmocka_unit_test(schemes_without_a_kernel_are_refused_by_name),
        cmocka_unit_test(headers_that_do_not_fit_are_refused_with_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
