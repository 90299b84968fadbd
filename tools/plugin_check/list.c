// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "check.h"
#include "rig.h"

#include <string.h>

const struct check check_list[] = {
    {"exports_one_symbol", "static", check_file_exports},
    {"links_nothing_of_the_host", "static", check_file_links},
    {"file_note_equals_descriptor", "static", check_file_note},
    {"query_is_pure", "descriptor", check_query},
    {"header_negotiates", "descriptor", check_header},
    {"names_follow_the_grammar", "descriptor", check_names},
    {"note_equals_descriptor", "descriptor", check_note},
    {"mandatory_members_are_there", "descriptor", check_config_ops},
    {"unknown_extension_is_null", "descriptor", check_extension},
    {"valid_config_is_accepted", "config", check_config_valid},
    {"truncated_config_is_refused", "config", check_config_truncated},
    {"wrong_types_are_no_crash", "config", check_config_types},
    {"hostile_config_is_no_crash", "config", check_config_hostile},
    {"unknown_field_is_ignored", "config", check_config_unknown},
    {"error_pointer_may_be_null", "config", check_config_no_error},
    {"memory_is_returned", "memory", check_memory_returned},
    {"each_allocation_may_fail", "memory", check_memory_fails},
    {"each_allocation_may_fail_without_error_pointer", "memory", check_memory_fails_silently},
    {"product_equals_dequantized_product", "numerics", check_numerics},
    {"zero_and_nan_rows", "numerics", check_special_rows},
    {"column_shards_equal_the_whole", "sharding", check_column},
    {"row_shards_sum_to_the_whole", "sharding", check_row},
    {"row_split_gives_what_one_rank_gives", "sharding", check_row_split},
    {"nothing_is_written_outside", "safety", check_guards},
    {"weights_stay_unchanged", "safety", check_weights_unchanged},
    {"two_runs_are_bit_equal", "safety", check_repeat},
    {"no_rows_is_a_success", "safety", check_empty},
    {"apply_allocates_nothing", "safety", check_no_allocation},
    {"two_layers_on_two_threads", "safety", check_two_threads},
    {"explain_fills_its_fields", "safety", check_explain},
    {"unprocessed_weights_are_an_error", "safety", check_unprocessed},
};

const size_t check_list_size = sizeof(check_list) / sizeof(*check_list);

void
check_run(const struct check *check, const struct check_subject *subject,
          struct check_result *result)
{
    memset(result, 0, sizeof(*result));
    check->run(subject, result);
}
