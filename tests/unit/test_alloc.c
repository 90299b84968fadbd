// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "alloc.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

static void
system_allocator_aligns_as_asked(void **state)
{
    (void)state;
    const struct dlq_allocator *const a = &dlq_system_allocator;
    for (size_t align = 1; align <= 4096; align *= 2) {
        void *const ptr = a->alloc(a->ctx, 3, align);
        assert_non_null(ptr);
        assert_int_equal((uintptr_t)ptr % align, 0);
        memset(ptr, 1, 3);
        a->free(a->ctx, ptr);
    }
    void *const empty = a->alloc(a->ctx, 0, 16);
    assert_non_null(empty);
    a->free(a->ctx, empty);
    a->free(a->ctx, NULL);
}

static void
calloc_zeroes_and_refuses_a_product_that_overflows(void **state)
{
    (void)state;
    struct test_allocator t;
    test_allocator_init(&t);
    unsigned char *const zeroes = dlq_calloc(&t.a, 7, 9);
    for (int i = 0; i < 63; i++) {
        assert_int_equal(zeroes[i], 0);
    }
    dlq_free(&t.a, zeroes);
    assert_null(dlq_calloc(&t.a, SIZE_MAX / 2, 3));
    assert_int_equal(t.calls, 1);
    assert_int_equal(t.live, 0);
}

static void
copies_of_text_end_with_a_zero(void **state)
{
    (void)state;
    struct test_allocator t;
    test_allocator_init(&t);
    char *const part = dlq_strndup(&t.a, "abcdef", 3);
    char *const whole = dlq_strdup(&t.a, "abcdef");
    assert_string_equal(part, "abc");
    assert_string_equal(whole, "abcdef");
    dlq_free(&t.a, part);
    dlq_free(&t.a, whole);
    assert_null(dlq_strndup(&t.a, "", SIZE_MAX));
    t.fail_at = t.calls + 1;
    assert_null(dlq_strdup(&t.a, "x"));
    assert_int_equal(t.live, 0);
}

static void
growing_keeps_the_elements(void **state)
{
    (void)state;
    struct test_allocator t;
    test_allocator_init(&t);
    size_t capacity = 0;
    int *array = NULL;
    for (int i = 0; i < 1000; i++) {
        array = dlq_grow(&t.a, array, (size_t)i, &capacity, (size_t)i + 1, sizeof(*array));
        assert_non_null(array);
        array[i] = i;
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(array[i], i);
    }
    assert_true(t.calls < 10);
    dlq_free(&t.a, array);
    assert_int_equal(t.live, 0);
}

static void
growing_that_fails_changes_nothing(void **state)
{
    (void)state;
    struct test_allocator t;
    test_allocator_init(&t);
    size_t capacity = 0;
    int *const array = dlq_grow(&t.a, NULL, 0, &capacity, 1, sizeof(*array));
    const size_t before = capacity;
    array[0] = 42;
    t.fail_at = t.calls + 1;
    assert_null(dlq_grow(&t.a, array, 1, &capacity, before + 1, sizeof(*array)));
    assert_null(dlq_grow(&t.a, array, 1, &capacity, SIZE_MAX, sizeof(*array)));
    assert_null(dlq_grow(&t.a, array, 1, &capacity, SIZE_MAX / 2, sizeof(*array)));
    assert_int_equal(capacity, before);
    assert_int_equal(array[0], 42);
    dlq_free(&t.a, array);
    assert_int_equal(t.live, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_allocator_aligns_as_asked),
        cmocka_unit_test(calloc_zeroes_and_refuses_a_product_that_overflows),
        cmocka_unit_test(copies_of_text_end_with_a_zero),
        cmocka_unit_test(growing_keeps_the_elements),
        cmocka_unit_test(growing_that_fails_changes_nothing),
    };
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
