// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_ABI_H
#define DLQUANT_ABI_H

#include <stddef.h>
#include <stdint.h>

/// The frozen part of the plugin ABI: the header of a plugin, struct sizes, and the rule that
/// decides whether a plugin and a host can work together.

#ifdef __cplusplus
#define DLQ_BEGIN_DECLS extern "C" {
#define DLQ_END_DECLS }
#else
#define DLQ_BEGIN_DECLS
#define DLQ_END_DECLS
#endif

#if defined(__GNUC__)
#define DLQ_EXPORT __attribute__((visibility("default")))
#define DLQ_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define DLQ_NODISCARD __attribute__((warn_unused_result))
#else
#define DLQ_EXPORT
#define DLQ_PRINTF(fmt, first)
#define DLQ_NODISCARD
#endif

/// A function of libdlquant.
#define DLQ_API DLQ_EXPORT

/// Major version of the plugin ABI. Plugin and host must agree on it.
#define DLQ_ABI_MAJOR 1

/// Minor version of the plugin ABI that these headers describe. It grows when a struct is appended
/// to.
#define DLQ_ABI_MINOR 0

/// Oldest plugin minor that a host built from these headers accepts.
#define DLQ_PLUGIN_MIN_MINOR 0

/// First four bytes of every plugin descriptor: "DLQP" in a little-endian file.
#define DLQ_PLUGIN_MAGIC 0x50514C44u

/// Size of `type` up to and including `member`: the value for `struct_size`.
#define DLQ_SIZE_UPTO(type, member)                                                                \
    ((uint32_t)(offsetof(type, member) + sizeof(((type *)0)->member)))

/// Whether `*ptr` was built with `member`. The only permitted way to ask.
#define DLQ_HAS(ptr, member)                                                                       \
    ((ptr)->struct_size >=                                                                         \
     (size_t)((const char *)&(ptr)->member - (const char *)(ptr)) + sizeof((ptr)->member))

DLQ_BEGIN_DECLS

/// Host services that a plugin may declare it cannot do without (`need` of struct dlq_abi_header).
enum dlq_need {
    DLQ_NEED_ALLOC = 1 << 0,   ///< alloc and free
    DLQ_NEED_CONFIG = 1 << 1,  ///< json_* getters
    DLQ_NEED_PARAMS = 1 << 2,  ///< param_declare, param_get, param_replace
    DLQ_NEED_PARALLEL = 1 << 3 ///< parallel_for
};

/// Every bit of `need` that a host built from these headers knows.
#define DLQ_NEED_KNOWN ((uint64_t)0xF)

/// The frozen 32 bytes that begin struct dlq_plugin. They never change, in any version.
struct dlq_abi_header {
    uint32_t magic;          ///< DLQ_PLUGIN_MAGIC
    uint16_t abi_major;      ///< DLQ_ABI_MAJOR of the headers the plugin was built with
    uint16_t abi_minor;      ///< DLQ_ABI_MINOR of the headers the plugin was built with
    uint16_t host_min_minor; ///< Oldest host minor that the plugin runs on
    uint16_t flags;          ///< Zero
    uint32_t struct_size;    ///< Size of the whole struct dlq_plugin as the plugin knows it
    uint64_t need;           ///< Mask of enum dlq_need
    uint64_t build_id;       ///< Any number that tells builds apart; reported, never compared
};

/// What a host compares a plugin's header with.
struct dlq_abi_host {
    uint16_t major;            ///< DLQ_ABI_MAJOR of the host
    uint16_t minor;            ///< DLQ_ABI_MINOR of the host
    uint16_t plugin_min_minor; ///< DLQ_PLUGIN_MIN_MINOR of the host
    uint16_t reserved;         ///< Zero
    uint64_t need_known;       ///< DLQ_NEED_KNOWN of the host
};

/// The field that makes a host refuse a plugin.
enum dlq_abi_verdict {
    DLQ_ABI_OK = 0,         ///< Accepted
    DLQ_ABI_MAGIC,          ///< `magic` differs: not a plugin descriptor
    DLQ_ABI_MAJOR_DIFFERS,  ///< `abi_major` differs
    DLQ_ABI_HOST_TOO_OLD,   ///< `host_min_minor` is above the host's minor
    DLQ_ABI_PLUGIN_TOO_OLD, ///< `abi_minor` is below the host's floor
    DLQ_ABI_NEED_UNKNOWN,   ///< `need` has a bit that the host does not know
    DLQ_ABI_STRUCT_SIZE     ///< `struct_size` cannot hold what every v1 descriptor has
};

/// Whether a host accepts a plugin: the whole negotiation rule. A newer plugin on an older host and
/// an older plugin on a newer host are both normal; only the major is compared for equality.
/// `min_struct_size` is the size of the descriptor up to its last mandatory member.
/// [any-thread] @since 1.0
static inline enum dlq_abi_verdict
dlq_abi_check(const struct dlq_abi_header *plugin, const struct dlq_abi_host *host,
              uint32_t min_struct_size)
{
    if (plugin->magic != DLQ_PLUGIN_MAGIC) {
        return DLQ_ABI_MAGIC;
    }
    if (plugin->abi_major != host->major) {
        return DLQ_ABI_MAJOR_DIFFERS;
    }
    if (plugin->host_min_minor > host->minor) {
        return DLQ_ABI_HOST_TOO_OLD;
    }
    if (plugin->abi_minor < host->plugin_min_minor) {
        return DLQ_ABI_PLUGIN_TOO_OLD;
    }
    if ((plugin->need & ~host->need_known) != 0) {
        return DLQ_ABI_NEED_UNKNOWN;
    }
    if (plugin->struct_size < min_struct_size) {
        return DLQ_ABI_STRUCT_SIZE;
    }
    return DLQ_ABI_OK;
}

DLQ_END_DECLS

#endif // DLQUANT_ABI_H
