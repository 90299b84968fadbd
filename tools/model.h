// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_MODEL_H
#define DLQ_TOOLS_MODEL_H

#include <dlquant/dlquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Which linear layers a checkpoint has, found from the names and shapes of its tensors and a few
/// sizes of config.json. An engine knows its architecture; this guesses it for all of them.

/// Most parts of a layer: q, k, v.
#define TOOL_MAX_PARTS 3

/// One linear layer as an engine would build it.
struct tool_layer {
    const char *prefix;            ///< Dotted path; of fused parts the path that an engine gives
    const char *why;               ///< Why it cannot be made; NULL: it can
    const char *label;             ///< Last component of the path
    int32_t kind;                  ///< enum dlq_parallel_kind
    int32_t n_parts;               ///< 1, or that of a merged or QKV layer
    bool fused_on_disk;            ///< The parts are one tensor in the checkpoint
    bool has_bias;                 ///< A tensor `bias` is there
    bool gather;                   ///< Column: y is wanted whole (lm_head)
    int64_t k;                     ///< Inputs
    int64_t n;                     ///< Outputs, the sum of `sizes`
    int64_t sizes[TOOL_MAX_PARTS]; ///< Outputs of each part
    const char *part_names[TOOL_MAX_PARTS + 1];      ///< Last component of each, ended by NULL
    const char *part_prefixes[TOOL_MAX_PARTS];       ///< Where each part's tensors are
    int32_t head_size, v_head_size, heads, kv_heads; ///< QKV
    uint64_t bytes;                                  ///< Of its tensors in the checkpoint
    int32_t n_tensors;                               ///< Number of those
};

/// A module that is no linear layer, or that looks linear and is left out.
struct tool_skipped {
    const char *name;
    const char *reason;
    uint64_t bytes;
};

/// The layers in the order of their paths.
struct tool_model {
    struct tool_layer *layers;
    size_t n_layers;
    struct tool_skipped *skipped;
    size_t n_skipped;
    uint32_t dtype;   ///< Activation dtype that config.json names; DLQ_F16 when it names none
    const char *type; ///< model_type, or ""
    char **strings;   ///< Owned
    size_t n_strings, strings_capacity;
};

/// Find the layers. With `fuse`, q, k, v and gate, up that have equal tensors become one layer, as
/// engines build them. The caller owns `*out` until tool_model_free().
int32_t
tool_model_find(dlq_runtime *rt, const dlq_checkpoint *ckpt, bool fuse, struct tool_model **out,
                struct dlq_error *err);

/// NULL is a no-op.
void
tool_model_free(struct tool_model *model);

/// Describe a layer for the library. The result points into `layer`.
struct dlq_linear_desc
tool_layer_desc(const struct tool_layer *layer, uint32_t act_dtype, struct dlq_device device,
                dlq_quant_config *config, const dlq_checkpoint *ckpt);

/// Make the layer with the constructor of its kind.
int32_t
tool_layer_create(dlq_runtime *rt, const struct tool_layer *layer,
                  const struct dlq_linear_desc *desc, dlq_linear **out, struct dlq_error *err);

#endif // DLQ_TOOLS_MODEL_H
