// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQUANT_EXT_KV_CACHE_H
#define DLQUANT_EXT_KV_CACHE_H

#include <dlquant/abi.h>
#include <dlquant/plugin.h>

#include <stddef.h>
#include <stdint.h>

/// Plugin extension "dlq.kv-cache/1": how a checkpoint wants its KV cache quantized, for engines
/// whose attention can. Linear layers know nothing of it. Ask
/// dlq_quant_config_extension() for the table and dlq_quant_config_object() for `config`.

DLQ_BEGIN_DECLS

#define DLQ_EXT_KV_CACHE "dlq.kv-cache/1"

/// Numbers that a cache holds.
enum dlq_kv_type {
    DLQ_KV_NONE = 0, ///< The checkpoint does not quantize the cache
    DLQ_KV_FLOAT = 1 ///< 8 bits: e4m3
};

/// What shares a scale.
enum dlq_kv_strategy {
    DLQ_KV_TENSOR = 0,   ///< One for all of K and one for all of V of a layer
    DLQ_KV_ATTN_HEAD = 1 ///< One for each KV head: [heads, 1, 1]
};

/// How K and V are quantized.
struct dlq_kv_cache_scheme {
    uint32_t struct_size; ///< Size of this struct as the caller knows it
    int32_t type;         ///< enum dlq_kv_type; for DLQ_KV_NONE the rest is zero
    int32_t num_bits;     ///< Bits of a number
    int32_t strategy;     ///< enum dlq_kv_strategy
    uint8_t symmetric;    ///< 1: no zero points
    uint8_t dynamic;      ///< 1: scales are not of the checkpoint
    uint8_t reserved[2];  ///< Zero
};

/// The functions of the extension.
struct dlq_ext_kv_cache {
    uint32_t struct_size; ///< Size of this struct as the plugin knows it
    uint32_t reserved;    ///< Zero

    /// Fill `out`, whose struct_size the caller has set. DLQ_EUNSUPPORTED with the field, what was
    /// found and what is accepted, when the checkpoint asks for a scheme that no engine's cache
    /// knows: fatal for a quantized cache only. [any-thread]
    int32_t (*scheme)(const void *config, const struct dlq_host *host,
                      struct dlq_kv_cache_scheme *out, struct dlq_error *err);

    /// From a tensor's name in the checkpoint to the name on the attention module:
    /// "a.self_attn.k_proj.k_scale" to "a.self_attn.attn.k_scale". Names that are already there
    /// stay. Returns the length and writes as snprintf() does; 0: no scale or zero point of q, k or
    /// v. A name that ends in ".kv_scale" speaks for v as well. Both scales missing mean 1; one
    /// missing is the other one. [any-thread]
    int32_t (*scale_name)(const char *on_disk, char *buf, size_t size);
};

DLQ_END_DECLS

#endif // DLQUANT_EXT_KV_CACHE_H
