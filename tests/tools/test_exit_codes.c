// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../tools/tool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
the_part_that_failed_decides_whose_fault_it_is(void **state)
{
    (void)state;
    static const struct {
        int32_t status;
        uint32_t domain;
        enum tool_stage stage;
        int code;
    } cases[] = {
        {DLQ_OK, DLQ_DOMAIN_NONE, TOOL_STAGE_METHOD, TOOL_OK},
        {DLQ_EFORMAT, DLQ_DOMAIN_CHECKPOINT, TOOL_STAGE_INPUT, TOOL_INPUT},
        {DLQ_EFORMAT, DLQ_DOMAIN_PLUGIN, TOOL_STAGE_METHOD, TOOL_INPUT},
        {DLQ_EFORMAT, DLQ_DOMAIN_LOADER, TOOL_STAGE_METHOD, TOOL_ENVIRONMENT},
        {DLQ_EIO, DLQ_DOMAIN_CHECKPOINT, TOOL_STAGE_INPUT, TOOL_INPUT},
        {DLQ_EIO, DLQ_DOMAIN_LOADER, TOOL_STAGE_METHOD, TOOL_ENVIRONMENT},
        {DLQ_ENOTFOUND, DLQ_DOMAIN_CHECKPOINT, TOOL_STAGE_INPUT, TOOL_INPUT},
        {DLQ_ENOTFOUND, DLQ_DOMAIN_LOADER, TOOL_STAGE_METHOD, TOOL_UNSUPPORTED},
        {DLQ_EEXIST, DLQ_DOMAIN_CHECKPOINT, TOOL_STAGE_INPUT, TOOL_INPUT},
        {DLQ_EEXIST, DLQ_DOMAIN_CORE, TOOL_STAGE_METHOD, TOOL_ENVIRONMENT},
        {DLQ_ESHAPE, DLQ_DOMAIN_CHECKPOINT, TOOL_STAGE_INPUT, TOOL_INPUT},
        {DLQ_ESHAPE, DLQ_DOMAIN_CORE, TOOL_STAGE_METHOD, TOOL_UNSUPPORTED},
        {DLQ_EINTERNAL, DLQ_DOMAIN_CORE, TOOL_STAGE_METHOD, TOOL_DEFECT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); ++i) {
        const struct dlq_error err = {
            .struct_size = sizeof(err), .code = cases[i].status, .domain = cases[i].domain};
        assert_int_equal(tool_exit_code(&err, cases[i].stage), cases[i].code);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_part_that_failed_decides_whose_fault_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
