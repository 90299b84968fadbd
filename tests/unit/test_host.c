// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/plugin.h>
#include <dlquant/runtime.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef fail // A macro of cmocka, and a member of struct dlq_host

// The table as a plugin sees it. What the JSON and parameter functions do is tested with the parts
// that implement them; here, that the table leads to them and to its own runtime.

static const struct dlq_device cpu = {DLQ_DEVICE_CPU, 0};

struct setup {
    struct test_allocator memory;
    char log[256];
    dlq_runtime *rt;
    const struct dlq_host *host;
};

static void
keep_line(void *ctx, int32_t level, const char *line)
{
    struct setup *const s = ctx;
    snprintf(s->log, sizeof(s->log), "%d %s", (int)level, line);
}

static int
set_up(void **state)
{
    struct setup *const s = calloc(1, sizeof(*s));
    test_allocator_init(&s->memory);
    const struct dlq_runtime_options options = {.struct_size = sizeof(options),
                                                .load_policy = DLQ_LOAD_NONE,
                                                .allocator = &s->memory.a,
                                                .n_threads = 3,
                                                .log_level = DLQ_LOG_DEBUG,
                                                .log_ctx = s,
                                                .log = keep_line};
    struct dlq_error err = DLQ_ERROR_INIT;
    test_assert_ok(dlq_runtime_create(&options, &s->rt, &err), &err);
    s->host = dlq_runtime_host(s->rt);
    *state = s;
    return 0;
}

static int
tear_down(void **state)
{
    struct setup *const s = *state;
    dlq_runtime_destroy(s->rt);
    assert_int_equal(s->memory.live, 0);
    free(s);
    return 0;
}

static void
every_service_of_abi_1_0_is_there(void **state)
{
    const struct setup *const s = *state;
    const struct dlq_host *const h = s->host;
    assert_int_equal(h->struct_size, sizeof(*h));
    assert_int_equal(h->abi_major, DLQ_ABI_MAJOR);
    assert_int_equal(h->abi_minor, DLQ_ABI_MINOR);
    // From log() to get_extension() the table is function pointers and nothing else.
    const size_t begin = offsetof(struct dlq_host, log);
    const size_t n = (sizeof(*h) - begin) / sizeof(void *);
    assert_int_equal(n, 22);
    for (size_t i = 0; i < n; i++) {
        void *member;
        memcpy(&member, (const char *)h + begin + i * sizeof(member), sizeof(member));
        assert_non_null(member);
    }
}

static void
a_line_reaches_the_engines_log(void **state)
{
    struct setup *const s = *state;
    s->host->log(s->host->ctx, DLQ_LOG_WARN, "from a plugin");
    assert_string_equal(s->log, "1 from a plugin");
}

static void
a_failure_of_a_plugin_says_so(void **state)
{
    const struct setup *const s = *state;
    struct dlq_error err = DLQ_ERROR_INIT;
    const int32_t rc = s->host->fail(&err, DLQ_ESHAPE, "K: expected %d, found %d", 64, 63);
    assert_int_equal(err.domain, DLQ_DOMAIN_PLUGIN);
    test_assert_error(rc, &err, DLQ_ESHAPE, "K: expected 64, found 63");
    assert_int_equal(s->host->fail(NULL, DLQ_EINVAL, "unseen"), DLQ_EINVAL);
}

static void
memory_is_aligned_and_the_engines(void **state)
{
    struct setup *const s = *state;
    const long before = s->memory.live;
    for (size_t align = 1; align <= 4096; align *= 2) {
        void *const p = s->host->alloc(s->host->ctx, cpu, 100, align);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % align, 0);
        assert_int_equal(s->memory.live, before + 1);
        s->host->free(s->host->ctx, cpu, p);
    }
    void *const empty = s->host->alloc(s->host->ctx, cpu, 0, 16);
    assert_non_null(empty);
    s->host->free(s->host->ctx, cpu, empty);
    s->host->free(s->host->ctx, cpu, NULL);
    assert_int_equal(s->memory.live, before);
}

static void
memory_that_cannot_be_had_is_null(void **state)
{
    struct setup *const s = *state;
    const struct dlq_device nowhere = {DLQ_DEVICE_CPU, 1};
    assert_null(s->host->alloc(s->host->ctx, cpu, 16, 0));
    assert_null(s->host->alloc(s->host->ctx, cpu, 16, 24));
    assert_null(s->host->alloc(s->host->ctx, cpu, SIZE_MAX, 16));
    assert_null(s->host->alloc(s->host->ctx, nowhere, 16, 16));
    s->memory.fail_at = s->memory.calls + 1;
    assert_null(s->host->alloc(s->host->ctx, cpu, 16, 16));
}

static void
json_is_parsed_with_the_engines_memory(void **state)
{
    static const char text[] = "{\"bits\": 4, \"groups\": [1, 2.5, true, \"x\"]}";
    struct setup *const s = *state;
    const struct dlq_host *const h = s->host;
    struct dlq_error err = DLQ_ERROR_INIT;
    struct dlq_json *root = NULL;
    const long before = s->memory.live;
    test_assert_ok(h->json_parse(h->ctx, text, strlen(text), &root, &err), &err);
    assert_true(s->memory.live > before);
    int64_t bits = 0;
    double real = 0;
    int32_t truth = 0;
    const char *string = NULL;
    assert_int_equal(h->json_i64(h->json_get(root, "/bits"), &bits), DLQ_OK);
    assert_int_equal(h->json_f64(h->json_get(root, "/groups/1"), &real), DLQ_OK);
    assert_int_equal(h->json_bool(h->json_get(root, "/groups/2"), &truth), DLQ_OK);
    assert_int_equal(h->json_str(h->json_get(root, "/groups/3"), &string, NULL), DLQ_OK);
    assert_int_equal(bits, 4);
    assert_true(real == 2.5);
    assert_int_equal(truth, 1);
    assert_string_equal(string, "x");
    assert_int_equal(h->json_size(root), 2);
    assert_string_equal(h->json_key(root, 1), "groups");
    assert_int_equal(h->json_type(h->json_at(root, 1)), DLQ_JSON_ARRAY);
    h->json_free(h->ctx, root);
    h->json_free(h->ctx, NULL);
    assert_int_equal(s->memory.live, before);
    test_assert_error(h->json_parse(h->ctx, "{", 1, &root, &err), &err, DLQ_EFORMAT, "line 1");
}

static void
add_task(void *arg, int32_t task)
{
    ((int32_t *)arg)[task] += task;
}

static void
tasks_run_on_the_runtimes_threads(void **state)
{
    struct setup *const s = *state;
    int32_t cells[40] = {0};
    assert_int_equal(s->host->n_threads(s->host->ctx), 3);
    const long calls = s->memory.calls;
    s->host->parallel_for(s->host->ctx, 40, add_task, cells);
    for (int32_t i = 0; i < 40; i++) {
        assert_int_equal(cells[i], i);
    }
    assert_int_equal(s->memory.calls, calls); // [stream]: no allocation
}

static void
device_facts_are_those_of_the_runtime(void **state)
{
    struct setup *const s = *state;
    struct dlq_device_info info = {.struct_size = sizeof(info)};
    const struct dlq_device gpu = {DLQ_DEVICE_CUDA, 0};
    assert_int_equal(s->host->device_info(s->host->ctx, cpu, &info), DLQ_OK);
    assert_int_equal(info.device.kind, DLQ_DEVICE_CPU);
    assert_true(info.multiprocessors >= 1);
    // The load policy of this test forbids the module.
    assert_int_equal(s->host->device_info(s->host->ctx, gpu, &info), DLQ_EDEVICE);
}

static void
an_unknown_extension_is_null(void **state)
{
    const struct setup *const s = *state;
    assert_null(s->host->get_extension(s->host->ctx, "dlq.unknown/1"));
    assert_null(s->host->get_extension(s->host->ctx, ""));
}

#define HOST_TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        HOST_TEST(every_service_of_abi_1_0_is_there),
        HOST_TEST(a_line_reaches_the_engines_log),
        HOST_TEST(a_failure_of_a_plugin_says_so),
        HOST_TEST(memory_is_aligned_and_the_engines),
        HOST_TEST(memory_that_cannot_be_had_is_null),
        HOST_TEST(json_is_parsed_with_the_engines_memory),
        HOST_TEST(tasks_run_on_the_runtimes_threads),
        HOST_TEST(device_facts_are_those_of_the_runtime),
        HOST_TEST(an_unknown_extension_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
