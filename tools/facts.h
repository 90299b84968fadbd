// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TOOLS_FACTS_H
#define DLQ_TOOLS_FACTS_H

#include <dlquant/dlquant.h>

#include <stdbool.h>
#include <stdint.h>

/// What config.json says of the architecture, as far as tensor names cannot.

/// Head counts of one of the models in a checkpoint (text, vision).
struct tool_heads {
    int64_t heads, kv_heads, head_size, v_head_size;
};

struct tool_facts {
    uint32_t dtype;             ///< Activation dtype, DLQ_DTYPE_NONE when it is not given
    char type[64];              ///< model_type, or ""
    struct tool_heads heads[8]; ///< In the order of the file, outermost first
    int n_heads;
};

/// Read config.json of a checkpoint; a checkpoint without one gives empty facts.
int32_t
tool_facts_read(dlq_runtime *rt, const dlq_checkpoint *ckpt, struct tool_facts *out,
                struct dlq_error *err);

/// The head counts that give these outputs of q, k and v; NULL when none do.
const struct tool_heads *
tool_facts_heads(const struct tool_facts *facts, int64_t q, int64_t k, int64_t v);

/// The head counts that give `n` outputs of q, k and v together; NULL when none do.
const struct tool_heads *
tool_facts_fused_heads(const struct tool_facts *facts, int64_t n);

#endif // DLQ_TOOLS_FACTS_H
