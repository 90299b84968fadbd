// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "layer_facts.h"

#include <dlquant/dlquant.h>
#include <dlquant/ext/kv_cache.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/// compressed-tensors: the scheme of the KV cache as an engine gets it, and the names of its
/// scales.

struct engine {
    struct bench b;
    dlq_quant_config *config;
    const struct dlq_ext_kv_cache *ext;
    struct dlq_kv_cache_scheme scheme;
    struct dlq_error err;
};

// Make the configuration `text`, which must be accepted, and ask for its scheme.
static int32_t
ask(struct engine *e, const char *text, size_t len)
{
    memset(e, 0, sizeof(*e));
    bench_open(&e->b, "compressed-tensors", NULL);
    e->err = (struct dlq_error)DLQ_ERROR_INIT;
    test_assert_ok(
        dlq_quant_config_create(e->b.rt, "compressed-tensors", text, len, &e->config, &e->err),
        &e->err);
    e->ext = dlq_quant_config_extension(e->config, DLQ_EXT_KV_CACHE);
    assert_non_null(e->ext);
    memset(&e->scheme, 0xee, sizeof(e->scheme));
    e->scheme.struct_size = sizeof(e->scheme);
    return e->ext->scheme(dlq_quant_config_object(e->config), e->b.host, &e->scheme, &e->err);
}

static int32_t
ask_scheme(struct engine *e, const char *scheme)
{
    char text[512];
    const int len =
        snprintf(text, sizeof(text), "{\"config_groups\":{},\"kv_cache_scheme\":%s}", scheme);
    return ask(e, text, (size_t)len);
}

static void
done(struct engine *e)
{
    dlq_quant_config_destroy(e->config);
    bench_close(&e->b);
}

static void
assert_float8(const struct engine *e, int32_t strategy)
{
    assert_int_equal(e->scheme.struct_size, sizeof(e->scheme));
    assert_int_equal(e->scheme.type, DLQ_KV_FLOAT);
    assert_int_equal(e->scheme.num_bits, 8);
    assert_int_equal(e->scheme.strategy, strategy);
    assert_int_equal(e->scheme.symmetric, 1);
    assert_int_equal(e->scheme.dynamic, 0);
}

static void
float8_of_both_strategies_is_reported(void **state)
{
    (void)state;
    struct engine e;
    test_assert_ok(ask_scheme(&e, "{\"num_bits\":8,\"type\":\"float\",\"strategy\":\"tensor\"}"),
                   &e.err);
    assert_float8(&e, DLQ_KV_TENSOR);
    assert_non_null(strstr(e.b.log, "/kv_cache_scheme: float8 tensor, no concern of linear"));
    done(&e);
    test_assert_ok(ask_scheme(&e, "{\"type\":\"FLOAT\",\"strategy\":\"attn_head\"}"), &e.err);
    assert_float8(&e, DLQ_KV_ATTN_HEAD);
    done(&e);
}

static void
a_checkpoint_without_a_scheme_says_none(void **state)
{
    (void)state;
    struct engine e;
    test_assert_ok(ask_scheme(&e, "null"), &e.err);
    const struct dlq_kv_cache_scheme none = {.struct_size = sizeof(none)};
    assert_memory_equal(&e.scheme, &none, sizeof(none));
    assert_string_equal(e.b.log, "");
    done(&e);
}

static void
a_scheme_of_no_cache_warns_and_is_refused_when_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *scheme;
        const char *says;
    } cases[] = {
        {"{}", "/kv_cache_scheme: int8 tensor was found; float8 tensor and float8 attn_head"},
        {"{\"num_bits\":4,\"type\":\"float\"}", "/kv_cache_scheme: float4 tensor was found"},
        {"{\"type\":\"float\",\"dynamic\":true}",
         "/kv_cache_scheme: float8 tensor dynamic was found"},
        {"{\"symmetric\":false}", "/kv_cache_scheme: int8 tensor asym was found"},
        {"{\"type\":\"float\",\"strategy\":\"channel\"}",
         "/kv_cache_scheme: float8 channel was found"},
        {"{\"type\":\"float\",\"group_size\":64}", "/kv_cache_scheme: float8 group 64 was found"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        struct engine e;
        const int32_t status = ask_scheme(&e, cases[i].scheme);
        test_assert_error(status, &e.err, DLQ_EUNSUPPORTED, cases[i].says);
        assert_non_null(strstr(e.b.log, cases[i].says));
        assert_int_equal(e.scheme.type, DLQ_KV_NONE);
        done(&e);
    }
}

static void
what_is_no_scheme_refuses_the_configuration(void **state)
{
    (void)state;
    static const struct bench_refusal cases[] = {
        {"{\"config_groups\":{},\"kv_cache_scheme\":\"fp8\"}", DLQ_ECONFIG,
         "/kv_cache_scheme/: an object is expected, a string was found"},
        {"{\"config_groups\":{},\"kv_cache_scheme\":{\"strategy\":\"heads\"}}", DLQ_ECONFIG,
         "/kv_cache_scheme/strategy: 'heads' is unknown"},
        {"{\"config_groups\":{},\"kv_cache_scheme\":{\"type\":\"float\",\"symmetric\":false}}",
         DLQ_ECONFIG, "/kv_cache_scheme/symmetric: false, but float codes have no zero point"},
        {"{\"config_groups\":{},\"kv_cache_scheme\":{\"strategy\":\"attn_head\","
         "\"dynamic\":true}}",
         DLQ_ECONFIG, "/kv_cache_scheme/dynamic: strategy attn_head cannot be dynamic"},
    };
    bench_refused("compressed-tensors", cases, TEST_COUNT(cases));
}

static void
a_caller_with_a_short_struct_is_refused(void **state)
{
    (void)state;
    struct engine e;
    test_assert_ok(ask_scheme(&e, "null"), &e.err);
    e.scheme.struct_size = 8;
    const int32_t status =
        e.ext->scheme(dlq_quant_config_object(e.config), e.b.host, &e.scheme, &e.err);
    test_assert_error(status, &e.err, DLQ_EINVAL, "struct_size 8 was found");
    done(&e);
}

static void
names_of_scales_lead_to_the_attention_module(void **state)
{
    (void)state;
    static const struct {
        const char *on_disk;
        const char *becomes; ///< NULL: no scale of a cache
    } cases[] = {
        {"m.0.self_attn.kv_scale", "m.0.self_attn.attn.k_scale"},
        {"m.0.self_attn.k_proj.k_scale", "m.0.self_attn.attn.k_scale"},
        {"m.0.self_attn.v_proj.v_scale", "m.0.self_attn.attn.v_scale"},
        {"m.0.self_attn.qkv_proj.v_scale", "m.0.self_attn.attn.v_scale"},
        {"m.0.self_attn.qkqkv_proj.k_scale", "m.0.self_attn.attn.k_scale"},
        {"m.0.mixer.k_proj.k_scale", "m.0.mixer.attn.k_scale"},
        {"m.0.self_attn.q.scale", "m.0.self_attn.attn.q_scale"},
        {"m.0.self_attn.k_cache.scale", "m.0.self_attn.attn.k_scale"},
        {"m.0.self_attn.v_cache.scale", "m.0.self_attn.attn.v_scale"},
        {"m.0.self_attn.k_scale", "m.0.self_attn.attn.k_scale"},
        {"m.0.self_attn.q_scale", "m.0.self_attn.attn.q_scale"},
        {"m.0.self_attn.v_zero_point", "m.0.self_attn.attn.v_zero_point"},
        {"m.0.self_attn.attn.k_scale", "m.0.self_attn.attn.k_scale"},
        {"m.0.self_attn.attn.v_zero_point", "m.0.self_attn.attn.v_zero_point"},
        {"m.0.self_attn.k_proj.weight_scale", NULL},
        {"m.0.self_attn.k_proj.input_scale", NULL},
        {"m.0.self_attn.x_scale", NULL},
        {"k_scale", NULL},
        {"m.0.self_attn.k_scale.x", NULL},
        {"", NULL},
    };
    struct engine e;
    test_assert_ok(ask_scheme(&e, "null"), &e.err);
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        char out[64] = "untouched";
        const int32_t len = e.ext->scale_name(cases[i].on_disk, out, sizeof(out));
        const char *const becomes = cases[i].becomes ? cases[i].becomes : "";
        assert_int_equal(len, strlen(becomes));
        assert_string_equal(out, cases[i].becomes ? becomes : "untouched");
    }
    char small[5];
    assert_int_equal(e.ext->scale_name("a.k_scale", small, sizeof(small)), 14);
    assert_string_equal(small, "a.at");
    assert_int_equal(e.ext->scale_name("a.k_scale", NULL, 0), 14);
    done(&e);
}

// As the format's library wrote it; only the full set of recordings has it.
static void
a_written_checkpoint_has_scheme_and_scales(void **state)
{
    (void)state;
    if (access(test_data("golden/fp8-kv"), R_OK) != 0) {
        skip();
    }
    struct bench b;
    struct engine e;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_quant_source source = {.struct_size = sizeof(source)};
    dlq_checkpoint *ckpt = NULL;
    bench_open(&b, "compressed-tensors", NULL);
    test_assert_ok(dlq_checkpoint_open(b.rt, test_data("golden/fp8-kv"), 0, &ckpt, &err), &err);
    test_assert_ok(dlq_checkpoint_quant_source(ckpt, &source, &err), &err);
    test_assert_ok(ask(&e, source.text, source.len), &e.err);
    assert_float8(&e, DLQ_KV_TENSOR);
    int found = 0;
    for (size_t i = 0; i < dlq_checkpoint_n_tensors(ckpt); i++) {
        char name[128];
        const char *const on_disk = dlq_checkpoint_tensor_at(ckpt, i)->name;
        if (e.ext->scale_name(on_disk, name, sizeof(name)) > 0) {
            found++;
            assert_non_null(strstr(name, ".self_attn.attn."));
        }
    }
    assert_int_equal(found, 2);
    done(&e);
    dlq_checkpoint_close(ckpt);
    bench_close(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float8_of_both_strategies_is_reported),
        cmocka_unit_test(a_checkpoint_without_a_scheme_says_none),
        cmocka_unit_test(a_scheme_of_no_cache_warns_and_is_refused_when_asked_for),
        cmocka_unit_test(what_is_no_scheme_refuses_the_configuration),
        cmocka_unit_test(a_caller_with_a_short_struct_is_refused),
        cmocka_unit_test(names_of_scales_lead_to_the_attention_module),
        cmocka_unit_test(a_written_checkpoint_has_scheme_and_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
