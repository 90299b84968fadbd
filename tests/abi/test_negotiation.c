// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "support.h"

#include <dlquant/abi.h>
#include <dlquant/plugin.h>

#include <string.h>

// The negotiation, written down as a table that was made by hand from the rule: a plugin and a host
// work together when their majors are equal, neither is older than the other's floor, every need is
// known, and the descriptor is long enough.

#define SIZE 88u

static const struct {
    const char *why;
    struct {
        uint16_t major, minor, host_min;
        uint64_t need;
        uint32_t size;
    } plugin;
    struct {
        uint16_t major, minor, plugin_min;
        uint64_t known;
    } host;
    enum dlq_abi_verdict verdict;
} table[] = {
    {"equal", {1, 0, 0, 0, SIZE}, {1, 0, 0, 0xF}, DLQ_ABI_OK},
    {"newer plugin, older host", {1, 5, 0, 0, SIZE}, {1, 0, 0, 0xF}, DLQ_ABI_OK},
    {"newer plugin that grew", {1, 5, 0, 0, SIZE + 64}, {1, 0, 0, 0xF}, DLQ_ABI_OK},
    {"older plugin, newer host", {1, 0, 0, 0, SIZE}, {1, 5, 0, 0xFF}, DLQ_ABI_OK},
    {"plugin at the host's floor", {1, 3, 0, 0, SIZE}, {1, 5, 3, 0xF}, DLQ_ABI_OK},
    {"host at the plugin's floor", {1, 5, 3, 0, SIZE}, {1, 3, 0, 0xF}, DLQ_ABI_OK},
    {"all needs", {1, 0, 0, 0xF, SIZE}, {1, 0, 0, 0xF}, DLQ_ABI_OK},
    {"largest minors", {1, 65535, 65535, 0, SIZE}, {1, 65535, 65535, 0xF}, DLQ_ABI_OK},
    {"next major", {2, 0, 0, 0, SIZE}, {1, 0, 0, 0xF}, DLQ_ABI_MAJOR_DIFFERS},
    {"last major", {0, 9, 0, 0, SIZE}, {1, 9, 0, 0xF}, DLQ_ABI_MAJOR_DIFFERS},
    {"next host major", {1, 0, 0, 0, SIZE}, {2, 0, 0, 0xF}, DLQ_ABI_MAJOR_DIFFERS},
    {"host one below the floor", {1, 5, 3, 0, SIZE}, {1, 2, 0, 0xF}, DLQ_ABI_HOST_TOO_OLD},
    {"plugin one below the floor", {1, 2, 0, 0, SIZE}, {1, 5, 3, 0xF}, DLQ_ABI_PLUGIN_TOO_OLD},
    {"both too old: the host first", {1, 2, 6, 0, SIZE}, {1, 5, 3, 0xF}, DLQ_ABI_HOST_TOO_OLD},
    {"one need too many", {1, 0, 0, 0x1F, SIZE}, {1, 0, 0, 0xF}, DLQ_ABI_NEED_UNKNOWN},
    {"highest need", {1, 0, 0, UINT64_C(1) << 63, SIZE}, {1, 0, 0, 0xF}, DLQ_ABI_NEED_UNKNOWN},
    {"descriptor 8 bytes short", {1, 0, 0, 0, SIZE - 8}, {1, 0, 0, 0xF}, DLQ_ABI_STRUCT_SIZE},
    {"descriptor 1 byte short", {1, 0, 0, 0, SIZE - 1}, {1, 0, 0, 0xF}, DLQ_ABI_STRUCT_SIZE},
    {"no size", {1, 0, 0, 0, 0}, {1, 0, 0, 0xF}, DLQ_ABI_STRUCT_SIZE},
};

static void
the_negotiation_follows_its_truth_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEST_COUNT(table); i++) {
        const struct dlq_abi_header plugin = {
            .magic = DLQ_PLUGIN_MAGIC,
            .abi_major = table[i].plugin.major,
            .abi_minor = table[i].plugin.minor,
            .host_min_minor = table[i].plugin.host_min,
            .struct_size = table[i].plugin.size,
            .need = table[i].plugin.need,
            .build_id = i, // Never compared
        };
        const struct dlq_abi_host host = {
            .major = table[i].host.major,
            .minor = table[i].host.minor,
            .plugin_min_minor = table[i].host.plugin_min,
            .need_known = table[i].host.known,
        };
        if (dlq_abi_check(&plugin, &host, SIZE) != table[i].verdict) {
            print_error("%s\n", table[i].why);
            assert_int_equal(dlq_abi_check(&plugin, &host, SIZE), table[i].verdict);
        }
    }
}

static void
the_magic_comes_first(void **state)
{
    (void)state;
    const struct dlq_abi_host host = {.major = 1};
    struct dlq_abi_header plugin = {.abi_major = 9, .need = ~UINT64_C(0)};
    assert_int_equal(dlq_abi_check(&plugin, &host, SIZE), DLQ_ABI_MAGIC);
    memcpy(&plugin.magic, "DLQP", 4);
    assert_int_equal(plugin.magic == DLQ_PLUGIN_MAGIC, __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
}

static void
the_header_has_its_frozen_32_bytes(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct dlq_abi_header), 32);
    assert_int_equal(offsetof(struct dlq_plugin, header), 0);
}

static void
members_are_asked_for_by_size(void **state)
{
    (void)state;
    const uint32_t all = DLQ_SIZE_UPTO(struct dlq_device_info, name);
    struct dlq_device_info info = {.struct_size = all};
    assert_true(DLQ_HAS(&info, name));
    info.struct_size = all - 1;
    assert_false(DLQ_HAS(&info, name));
    assert_true(DLQ_HAS(&info, memory_bytes));
    info.struct_size = offsetof(struct dlq_device_info, name);
    assert_true(DLQ_HAS(&info, memory_bytes));
    info.struct_size = offsetof(struct dlq_device_info, memory_bytes) + 7;
    assert_false(DLQ_HAS(&info, memory_bytes));
    info.struct_size = 0;
    assert_false(DLQ_HAS(&info, struct_size));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_negotiation_follows_its_truth_table),
        cmocka_unit_test(the_magic_comes_first),
        cmocka_unit_test(the_header_has_its_frozen_32_bytes),
        cmocka_unit_test(members_are_asked_for_by_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
