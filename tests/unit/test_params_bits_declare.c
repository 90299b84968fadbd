// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "params_fixture.h"

// What a parameter of words that may be cut has to say of itself.

static void
wrong_width_names_the_words_that_were_tried(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 172, true, (const int64_t[]){1}, 1, 1, 2);
    const struct dlq_param_desc d = params_describe_bits(1, 11, 1, 4, false);
    test_assert_ok(params_declare(&f, &d), &f.err);
    const int32_t full[21] = {0};
    const struct dlq_tensor t = params_tensor(DLQ_I32, 2, 1, 21, full);
    test_assert_error(params_load(&f, "weight_packed", 0, 0, &t), &f.err, DLQ_ESHAPE,
                      "expected I32 [1, 22], found I32 [1, 21]; the slice for rank 1 of 2 is "
                      "[0:1, 10:22]");
    params_end(&f);
}

static void
size_that_was_declared_is_checked_in_words(void **state)
{
    (void)state;
    struct params_fixture f;
    params_begin(&f, 172, true, (const int64_t[]){1}, 1, 1, 2);
    struct dlq_param_desc d = params_describe_bits(1, 10, 1, 4, false);
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "was declared as [1, 10]; along its input dimension 1 the layer's sizes give "
                      "11");
    d.shape[1] = 11;
    d.block[1] = 4;
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "cut inside groups of 4 elements (groups of 2 would fit)");
    params_end(&f);
    params_begin(&f, 1, false, (const int64_t[]){6, 4}, 2, 0, 1);
    d = params_describe_bits(1, 1, 0, 4, false);
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_ESHAPE,
                      "along its output dimension 0 the layer's sizes give 2");
    params_end(&f);
    params_begin(&f, INT64_MAX / 16 / 2 * 2, true, (const int64_t[]){1}, 1, 0, 2);
    d = params_describe_bits(1, INT64_MAX / 256, 1, 4, false);
    test_assert_error(params_declare(&f, &d), &f.err, DLQ_EOVERFLOW, "sizes overflow 64 bits");
    params_end(&f);
}

static void
flag_refuses_what_it_cannot_cut(void **state)
{
    (void)state;
    static const char other[] = "words that may be cut have no tile, cast or sentinel";
    static const char dim[] = "words that may be cut need a packed_dim and 32 bits each";
    static const char ratio[] = "pack_bits and the pack ratio do not agree";
    const struct {
        struct dlq_param_desc d;
        const char *why;
    } cases[] = {
        {{.packed_dim = -1}, dim},
        {{.dtype = DLQ_U8, .packed_dim = 1, .pack_num = 2}, dim},
        {{.packed_dim = 1, .pack_num = 8, .tile = 2}, other},
        {{.packed_dim = 1, .pack_num = 8, .flags = DLQ_PARAM_CAST}, other},
        {{.packed_dim = 1, .pack_num = 8, .flags = DLQ_PARAM_SENTINEL}, other},
        {{.packed_dim = 1, .pack_num = 8, .pack_bits = 3}, ratio},
        {{.packed_dim = 1, .pack_num = 32, .pack_den = 3, .pack_bits = 4}, ratio},
        {{.packed_dim = 1, .pack_num = 9}, ratio},
        {{.packed_dim = 1, .pack_num = 9, .pack_bits = 33}, ratio},
        {{.packed_dim = 1, .pack_num = 9, .pack_bits = -3}, ratio},
        {{.packed_dim = 1, .pack_num = 64}, ratio},
        {{.packed_dim = 1, .pack_num = 10}, NULL},
        {{.packed_dim = 1, .pack_num = 4, .pack_bits = 7}, NULL},
        {{.packed_dim = 1, .pack_num = 64, .pack_den = 6}, NULL},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); ++i) {
        struct params_fixture f;
        params_begin(&f, 1, false, (const int64_t[]){1}, 1, 0, 1);
        struct dlq_param_desc d = params_describe("w", DLQ_I32, 1, 1);
        d.dtype = cases[i].d.dtype ? cases[i].d.dtype : d.dtype;
        d.flags = cases[i].d.flags | DLQ_PARAM_LSB_FIRST;
        d.packed_dim = cases[i].d.packed_dim;
        d.pack_num = cases[i].d.pack_num;
        d.pack_den = cases[i].d.pack_den;
        d.pack_bits = cases[i].d.pack_bits;
        d.tile = cases[i].d.tile;
        if (cases[i].why) {
            test_assert_error(params_declare(&f, &d), &f.err, DLQ_EPLUGIN, cases[i].why);
        } else {
            test_assert_ok(params_declare(&f, &d), &f.err);
        }
        params_end(&f);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_width_names_the_words_that_were_tried),
        cmocka_unit_test(size_that_was_declared_is_checked_in_words),
        cmocka_unit_test(flag_refuses_what_it_cannot_cut),
    };
    return cmocka_run_group_tests_name("params_bits_declare", tests, NULL, NULL);
}
