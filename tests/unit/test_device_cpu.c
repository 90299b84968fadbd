// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "device_cpu.h"

#include <stdlib.h>
#include <string.h>

static void
names_and_numbers_give_the_same_set(void **state)
{
    (void)state;
    uint32_t by_name = 0;
    uint32_t by_number = 0;
    assert_int_equal(dlq_device_cpu_parse_flags("avx2,avx512,avx512_vnni", &by_name, NULL), DLQ_OK);
    assert_int_equal(dlq_device_cpu_parse_flags("0x15", &by_number, NULL), DLQ_OK);
    assert_int_equal(by_name, DLQ_CPU_AVX2 | DLQ_CPU_AVX512 | DLQ_CPU_AVX512_VNNI);
    assert_int_equal(by_name, by_number);
}

static void
every_flag_has_a_name_that_reads_back(void **state)
{
    (void)state;
    for (int bit = 0; bit < DLQ_CPU_N_FLAGS; bit++) {
        uint32_t flags = 0;
        assert_int_equal(dlq_device_cpu_parse_flags(dlq_device_cpu_flag_name(bit), &flags, NULL),
                         DLQ_OK);
        assert_int_equal(flags, 1u << bit);
    }
    assert_null(dlq_device_cpu_flag_name(DLQ_CPU_N_FLAGS));
    assert_int_equal(1u << (DLQ_CPU_N_FLAGS - 1), DLQ_CPU_NEON_I8MM);
}

static void
none_and_empty_mean_plain_c_and_all_means_everything(void **state)
{
    (void)state;
    uint32_t flags = 7;
    assert_int_equal(dlq_device_cpu_parse_flags("none", &flags, NULL), DLQ_OK);
    assert_int_equal(flags, 0);
    flags = 7;
    assert_int_equal(dlq_device_cpu_parse_flags("", &flags, NULL), DLQ_OK);
    assert_int_equal(flags, 0);
    assert_int_equal(dlq_device_cpu_parse_flags("all", &flags, NULL), DLQ_OK);
    assert_int_equal(flags, (1u << DLQ_CPU_N_FLAGS) - 1u);
}

static void
an_unknown_name_is_refused_by_name(void **state)
{
    (void)state;
    struct dlq_error err = DLQ_ERROR_INIT;
    uint32_t flags = 7;
    assert_int_equal(dlq_device_cpu_parse_flags("avx2,sse9", &flags, &err), DLQ_EINVAL);
    assert_non_null(strstr(err.msg, "\"sse9\""));
    assert_int_equal(flags, 7);
    assert_int_equal(dlq_device_cpu_parse_flags("0x15z", &flags, &err), DLQ_EINVAL);
    assert_int_equal(dlq_device_cpu_parse_flags("4294967296", &flags, &err), DLQ_EINVAL);
}

static void
extensions_fall_with_their_base(void **state)
{
    (void)state;
    const uint32_t all = (1u << DLQ_CPU_N_FLAGS) - 1u;
    const uint32_t neon = DLQ_CPU_NEON_DOTPROD | DLQ_CPU_NEON_I8MM;
    assert_int_equal(dlq_device_cpu_complete_flags(all), all);
    assert_int_equal(dlq_device_cpu_complete_flags(all & ~(uint32_t)DLQ_CPU_AVX2), neon);
    assert_int_equal(dlq_device_cpu_complete_flags(all & ~(uint32_t)DLQ_CPU_AVX512),
                     neon | DLQ_CPU_AVX2 | DLQ_CPU_AVX_VNNI);
}

static void
detection_stays_within_its_mask_and_repeats(void **state)
{
    (void)state;
    const uint32_t all = dlq_device_cpu_detect(UINT32_MAX);
    assert_int_equal(dlq_device_cpu_detect(UINT32_MAX), all);
    assert_int_equal(dlq_device_cpu_detect(0), 0);
    assert_int_equal(dlq_device_cpu_detect(DLQ_CPU_AVX2), all & DLQ_CPU_AVX2);
    assert_int_equal(dlq_device_cpu_complete_flags(all), all);
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    assert_int_equal((all & DLQ_CPU_AVX2) != 0,
                     __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    assert_int_equal((all & DLQ_CPU_AVX512_VNNI) != 0, __builtin_cpu_supports("avx512vnni") != 0);
#endif
}

static void
the_environment_cuts_the_set(void **state)
{
    (void)state;
    uint32_t flags = 0;
    struct dlq_error err = DLQ_ERROR_INIT;
    assert_int_equal(dlq_device_cpu_flags(&flags, &err), DLQ_OK);
    assert_int_equal(flags, dlq_device_cpu_detect(DLQ_CPU_AVX2));
}

static void
an_unreadable_environment_is_an_error_each_time(void **state)
{
    (void)state;
    uint32_t flags = 0;
    for (int i = 0; i < 2; i++) {
        struct dlq_error err = DLQ_ERROR_INIT;
        assert_int_equal(dlq_device_cpu_flags(&flags, &err), DLQ_EINVAL);
        assert_non_null(strstr(err.msg, "DLQ_CPU_FLAGS"));
        assert_non_null(strstr(err.msg, "\"bogus\""));
    }
}

int
main(int argc, char **argv)
{
    // The set is read once a process, so a bad environment needs a process of its own.
    if (argc > 1 && strcmp(argv[1], "bad-environment") == 0) {
        setenv("DLQ_CPU_FLAGS", "bogus", 1);
        const struct CMUnitTest bad[] = {
            cmocka_unit_test(an_unreadable_environment_is_an_error_each_time),
        };
        return cmocka_run_group_tests(bad, NULL, NULL);
    }
    setenv("DLQ_CPU_FLAGS", "avx2", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers_give_the_same_set),
        cmocka_unit_test(every_flag_has_a_name_that_reads_back),
        cmocka_unit_test(none_and_empty_mean_plain_c_and_all_means_everything),
        cmocka_unit_test(an_unknown_name_is_refused_by_name),
        cmocka_unit_test(extensions_fall_with_their_base),
        cmocka_unit_test(detection_stays_within_its_mask_and_repeats),
        cmocka_unit_test(the_environment_cuts_the_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
