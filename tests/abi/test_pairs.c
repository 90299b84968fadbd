// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/linear.h>
#include <dlquant/plugin.h>
#include <dlquant/runtime.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#undef fail // A macro of cmocka, and a member of struct dlq_host

// Plugins and hosts of different minors run the same layer: y = x W^T with K = 4 and N = 3.
#define K 4
#define N 3

static const int8_t weight[N * K] = {1, 2, 3, 4, -1, 0, 1, 0, 100, 0, 0, -100};
static const float scale[N] = {1.0F, 0.5F, 0.25F};
static const float x[2 * K] = {1, 1, 1, 1, 4, 3, 2, 1};
static const float expected[2 * N] = {10, 0, 0, 20, -1, 75};

static struct dlq_tensor
tensor(uint32_t dtype, int32_t ndim, const void *data)
{
    struct dlq_tensor t = {.struct_size = DLQ_SIZE_UPTO(struct dlq_tensor, strides),
                           .dtype = dtype,
                           .device = {DLQ_DEVICE_CPU, 0},
                           .ndim = ndim,
                           .shape = {N, K},
                           .strides = {ndim == 2 ? K : 1, 1}};
    memcpy(&t.data, &data, sizeof(data));
    return t;
}

// Run the layer through the library with the plugin "template" of a directory.
static void
run_with_this_core(const char *built_in, int expected_minor)
{
    struct dlq_error err = DLQ_ERROR_INIT;
    char *const dir = test_tmpdir();
    char path[512];
    size_t len = 0;
    snprintf(path, sizeof(path), "%s/template.so", built_in);
    char *const bytes = test_read(path, &len);
    test_write(dir, "template.so", bytes, len);
    assert_int_equal(chmod(test_path(dir, "template.so"), 0755), 0);
    free(bytes);

    const char *const dirs[] = {dir, NULL};
    const struct dlq_runtime_options options = {
        .struct_size = sizeof(options), .plugin_dirs = dirs, .n_threads = 2};
    dlq_runtime *rt = NULL;
    dlq_quant_config *config = NULL;
    dlq_linear *layer = NULL;
    const struct dlq_plugin *plugin = NULL;
    test_assert_ok(dlq_runtime_create(&options, &rt, &err), &err);
    test_assert_ok(dlq_runtime_find(rt, "template", &plugin, &err), &err);
    assert_int_equal(plugin->header.abi_minor, expected_minor);
    test_assert_ok(dlq_quant_config_create(rt, "template", "{}", 2, &config, &err), &err);

    const struct dlq_linear_desc desc = {.struct_size = sizeof(desc),
                                         .prefix = "layer",
                                         .input_size = K,
                                         .output_size = N,
                                         .act_dtype = DLQ_F32,
                                         .config = config};
    test_assert_ok(dlq_linear_replicated_create(rt, &desc, &layer, &err), &err);
    const struct dlq_tensor w = tensor(DLQ_I8, 2, weight);
    const struct dlq_tensor s = tensor(DLQ_F32, 1, scale);
    test_assert_ok(dlq_linear_load_tensor(layer, "weight", dlq_part_fused(), &w, &err), &err);
    test_assert_ok(dlq_linear_load_tensor(layer, "scale", dlq_part_fused(), &s, &err), &err);
    test_assert_ok(dlq_linear_process(layer, &err), &err);
    float y[2 * N] = {0};
    const struct dlq_linear_io io = {.struct_size = sizeof(io), .m = 2, .x = x, .y = y};
    test_assert_ok(dlq_linear_apply(layer, &io, &err), &err);
    assert_memory_equal(y, expected, sizeof(expected));
    dlq_linear_destroy(layer);
    dlq_quant_config_destroy(config);
    dlq_runtime_destroy(rt);
    test_tmpdir_remove(dir);
}

static void
a_plugin_built_with_the_headers_of_1_0_runs_in_this_core(void **state)
{
    (void)state;
    run_with_this_core(OLD_DIR, 0);
}

// Not beside the core of longer structs, which is later than these.
#ifdef NEWER_DIR
static void
a_plugin_of_the_next_minor_runs_in_this_core(void **state)
{
    (void)state;
    run_with_this_core(NEWER_DIR, DLQ_ABI_MINOR + 1);
}

// A host of the next minor: longer structs, poison behind what the plugin knows.
#define POISON_BYTES 64

struct newer_host {
    struct dlq_host known;
    unsigned char appended[POISON_BYTES];
};

struct newer_info {
    struct dlq_layer_info known;
    unsigned char appended[POISON_BYTES];
};

struct newer_decision {
    struct dlq_decision known;
    unsigned char appended[POISON_BYTES];
};

struct newer_call {
    struct dlq_linear_call known;
    unsigned char appended[POISON_BYTES];
};

struct newer_explanation {
    struct dlq_explanation known;
    unsigned char appended[POISON_BYTES];
};

struct newer_error {
    struct dlq_error known;
    unsigned char appended[POISON_BYTES];
};

static void
assert_untouched(const unsigned char *appended)
{
    for (int i = 0; i < POISON_BYTES; i++) {
        assert_int_equal(appended[i], 0xA5);
    }
}

#define MAKE_NEWER(variable)                                                                       \
    do {                                                                                           \
        memset(&(variable), 0, sizeof(variable));                                                  \
        memset((variable).appended, 0xA5, POISON_BYTES);                                           \
        (variable).known.struct_size = sizeof(variable);                                           \
    } while (0)

// The layer of this host: the two parameters of the template, loaded as soon as they are declared.
struct dlq_layer {
    int declared;
    int64_t elements;
};

static int32_t
declare(struct dlq_layer *layer, const struct dlq_param_desc *desc, struct dlq_error *err)
{
    (void)err;
    layer->declared++;
    layer->elements += desc->shape[0] * (desc->ndim == 2 ? desc->shape[1] : 1);
    return DLQ_OK;
}

static int32_t
get(struct dlq_layer *layer, const char *name, struct dlq_tensor *out, struct dlq_error *err)
{
    (void)layer;
    (void)err;
    *out = strcmp(name, "weight") == 0 ? tensor(DLQ_I8, 2, weight) : tensor(DLQ_F32, 1, scale);
    return DLQ_OK;
}

static void
run_layer(const struct dlq_quant_config_ops *ops, void *config, const struct dlq_host *host)
{
    struct newer_error err;
    struct newer_info info;
    struct newer_decision decision;
    struct newer_explanation explanation;
    struct newer_call call;
    struct dlq_layer layer = {0};
    float y[2 * N] = {0};
    MAKE_NEWER(err);
    MAKE_NEWER(info);
    MAKE_NEWER(decision);
    MAKE_NEWER(explanation);
    MAKE_NEWER(call);
    info.known.prefix = "layer";
    info.known.input_size_per_partition = K;
    info.known.output_size_per_partition = N;
    info.known.act_dtype = DLQ_F32;
    info.known.device.device.kind = DLQ_DEVICE_CPU;
    assert_int_equal(ops->get_quant_method(config, host, &info.known, &decision.known, &err.known),
                     DLQ_OK);
    assert_int_equal(decision.known.answer, DLQ_METHOD);
    const struct dlq_linear_method_ops *const m = decision.known.ops;
    void *const method = decision.known.method;
    assert_int_equal(m->can_implement(method, host, &info.known, &err.known), DLQ_OK);
    assert_int_equal(m->create_weights(method, host, &layer, &info.known, &err.known), DLQ_OK);
    assert_int_equal(layer.declared, 2);
    assert_int_equal(layer.elements, N * K + N);
    assert_int_equal(m->process_weights(method, host, &layer, &info.known, &err.known), DLQ_OK);
    assert_int_equal(m->explain(method, host, &info.known, &explanation.known, &err.known), DLQ_OK);
    call.known.m = 2;
    call.known.x = x;
    call.known.x_stride = K;
    call.known.y = y;
    call.known.y_stride = N;
    call.known.host = host;
    assert_int_equal(m->apply(method, &call.known, &err.known), DLQ_OK);
    assert_memory_equal(y, expected, sizeof(expected));
    // A refusal writes the error that the plugin knows, not what was appended.
    info.known.act_dtype = DLQ_F16;
    assert_int_equal(m->can_implement(method, host, &info.known, &err.known), DLQ_EUNSUPPORTED);
    m->destroy(method, host);
    assert_untouched(err.appended);
    assert_untouched(info.appended);
    assert_untouched(decision.appended);
    assert_untouched(explanation.appended);
    assert_untouched(call.appended);
}

static void
todays_plugin_runs_on_a_host_of_the_next_minor(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct test_allocator memory;
    test_allocator_init(&memory);
    const struct dlq_runtime_options options = {.struct_size = sizeof(options),
                                                .load_policy = DLQ_LOAD_NONE,
                                                .allocator = &memory.a,
                                                .n_threads = 1};
    dlq_runtime *rt = NULL;
    test_assert_ok(dlq_runtime_create(&options, &rt, &err), &err);
    void *const handle = dlopen(TEMPLATE, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    void *const symbol = dlsym(handle, DLQ_PLUGIN_SYMBOL);
    assert_non_null(symbol);
    dlq_plugin_query_fn query;
    memcpy(&query, &symbol, sizeof(query));
    const struct dlq_plugin *const plugin = query();

    const struct dlq_abi_host numbers = {.major = DLQ_ABI_MAJOR,
                                         .minor = DLQ_ABI_MINOR + 1,
                                         .plugin_min_minor = DLQ_PLUGIN_MIN_MINOR,
                                         .need_known = DLQ_NEED_KNOWN | DLQ_NEED_KNOWN << 1};
    assert_int_equal(
        dlq_abi_check(&plugin->header, &numbers, DLQ_SIZE_UPTO(struct dlq_plugin, get_extension)),
        DLQ_ABI_OK);
    struct newer_host host;
    MAKE_NEWER(host);
    host.known = *dlq_runtime_host(rt);
    host.known.struct_size = sizeof(host);
    host.known.abi_minor = DLQ_ABI_MINOR + 1;
    host.known.param_declare = declare;
    host.known.param_get = get;
    void *ctx = NULL;
    void *config = NULL;
    if (plugin->open) {
        assert_int_equal(plugin->open(&host.known, &ctx, &err), DLQ_OK);
    }
    test_assert_ok(plugin->config->create(ctx, &host.known, "{}", 2, &config, &err), &err);
    run_layer(plugin->config, config, &host.known);
    plugin->config->destroy(config, &host.known);
    assert_untouched(host.appended);
    dlq_runtime_destroy(rt);
    assert_int_equal(memory.live, 0);
}

#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_built_with_the_headers_of_1_0_runs_in_this_core),
#ifdef NEWER_DIR
        cmocka_unit_test(a_plugin_of_the_next_minor_runs_in_this_core),
        cmocka_unit_test(todays_plugin_runs_on_a_host_of_the_next_minor),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
