// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_AWQ_MARLIN_H
#define DLQ_AWQ_MARLIN_H

#include <dlquant/ext/inspect.h>
#include <dlquant/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AWQ_ACT_DTYPES (DLQ_ACT_F16 | DLQ_ACT_BF16 | DLQ_ACT_F32)

/// One entry of modules_to_not_convert.
struct awq_skip {
    const char *entry; ///< Text of the JSON root
    bool hit;          ///< Some layer matched it
};

/// A parsed configuration.
struct awq_config {
    int64_t group_size;    ///< Rows of K that share a scale; -1: all of K
    bool zero_point;       ///< false: symmetric, no qzeros, z = 8
    bool lm_head;          ///< lm_head is quantized too
    bool substring;        ///< Skip entries match as plain substrings, as upstream does
    bool asked;            ///< Some layer was asked for
    size_t n_skip;         ///< Entries of `skip`
    struct awq_skip *skip; ///< modules_to_not_convert
    struct dlq_json *root; ///< Owner of the texts
};

extern const struct dlq_quant_config_ops awq_config_ops;
extern const struct dlq_linear_method_ops awq_method_ops;
extern const struct dlq_ext_inspect awq_inspect;

/// Parse and check the text of a quantization section into `config`, all zero before. The caller
/// clears it with awq_config_clear() whatever the result is.
int32_t
awq_config_parse(const struct dlq_host *host, const char *text, size_t len,
                 struct awq_config *config, struct dlq_error *err);

/// Free what a configuration holds.
void
awq_config_clear(const struct dlq_host *host, struct awq_config *config);

/// The three answers for one layer; see get_quant_method of struct dlq_quant_config_ops. Does not
/// make the method. Marks the skip entries that match.
int32_t
awq_decide(struct awq_config *config, const struct dlq_host *host,
           const struct dlq_layer_info *info, struct dlq_decision *out, struct dlq_error *err);

/// "W4A16 asym g128"
void
awq_scheme_name(const struct awq_config *config, char *buf, size_t size);

/// The method for one layer, or NULL after writing `err`.
void *
awq_method_create(const struct awq_config *config, const struct dlq_host *host,
                  const struct dlq_layer_info *info, struct dlq_error *err);

#endif // DLQ_AWQ_MARLIN_H
