// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "names.h"

#include <dlquant/plugin.h>

#include <stddef.h>
#include <string.h>

/// Projections back into the residual stream: engines split their inputs.
static const char *const row_names[] = {
    "o_proj", "down_proj", "out_proj", "dense_4h_to_h", "dense", "wo",  "w2",
    "fc2",    "c_proj",    "fc_out",   "proj",          "out",   "w_o", "linear_out",
};

/// Small or shared projections that engines keep whole on every rank.
static const char *const replicated_names[] = {
    "gate", "router", "q_a_proj", "kv_a_proj_with_mqa", "shared_expert_gate", "score",
};

static const char *const head_names[] = {"lm_head", "embed_out"};

/// Parts of a path that mean a lookup table or a norm.
static const char *const embedding_words[] = {
    "embed_tokens",
    "word_embeddings",
    "tok_embeddings",
    "position_embedding",
    "embed_positions",
    "token_type_embeddings",
    "patch_embed",
    "pos_embed",
    "relative_attention_bias",
    "wte",
    "wpe",
    "embed_in",
    "embedding",
};

static const struct tool_fusion fusions[] = {
    {"qkv_proj", {"q_proj", "k_proj", "v_proj", NULL}},
    {"gate_up_proj", {"gate_proj", "up_proj", NULL}},
    {"w13", {"w1", "w3", NULL}},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool
listed(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; ++i) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

int32_t
tool_name_kind(const char *last)
{
    if (listed(row_names, COUNT(row_names), last)) {
        return DLQ_ROW;
    }
    return listed(replicated_names, COUNT(replicated_names), last) ? DLQ_REPLICATED : DLQ_COLUMN;
}

bool
tool_name_is_embedding(const char *path)
{
    for (size_t i = 0; i < COUNT(embedding_words); ++i) {
        const char *word = embedding_words[i];
        const size_t len = strlen(word);
        for (const char *at = strstr(path, word); at; at = strstr(at + 1, word)) {
            const bool begins = at == path || at[-1] == '.';
            const bool ends = at[len] == '\0' || at[len] == '.' || at[len] == 's';
            if (begins && ends) {
                return true;
            }
        }
    }
    return false;
}

bool
tool_name_is_head(const char *last)
{
    return listed(head_names, COUNT(head_names), last);
}

const struct tool_fusion *
tool_fusion_by_first(const char *last)
{
    for (size_t i = 0; i < COUNT(fusions); ++i) {
        if (strcmp(fusions[i].parts[0], last) == 0) {
            return &fusions[i];
        }
    }
    return NULL;
}

const struct tool_fusion *
tool_fusion_by_name(const char *last)
{
    for (size_t i = 0; i < COUNT(fusions); ++i) {
        if (strcmp(fusions[i].fused, last) == 0) {
            return &fusions[i];
        }
    }
    return NULL;
}
