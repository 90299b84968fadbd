// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_LAYER_FACTS_H
#define DLQ_TESTS_LAYER_FACTS_H

#include "support.h"

#include <dlquant/dlquant.h>

/// A plugin's configuration asked directly, with facts of layers that no checkpoint has to hold.

#define FACTS_MAX 16

/// The facts of one layer; `info` points into the rest.
struct facts {
    struct dlq_layer_info info;
    struct dlq_part parts[4];
    const struct dlq_part *part_list[4];
    struct dlq_evidence evidence[FACTS_MAX];
    const struct dlq_evidence *evidence_list[FACTS_MAX];
    int64_t bounds[33];
};

/// A layer of one part on the CPU, whole, with fp16 activations. Strings are not copied.
void
facts_init(struct facts *f, const char *prefix, int64_t k, int64_t n);

/// Add a part with a path of its own, behind the others; the first call replaces the one of
/// facts_init().
void
facts_part(struct facts *f, const char *prefix, int64_t n);

/// Add a tensor that the checkpoint's headers show.
void
facts_tensor(struct facts *f, int32_t part, const char *name, uint32_t dtype, int64_t rows,
             int64_t cols);

/// Cut K over `size` ranks and look at rank `rank`.
void
facts_row(struct facts *f, int32_t rank, int32_t size);

/// A runtime that finds the plugins of the build tree, with lines of its log kept.
struct bench {
    dlq_runtime *rt;
    const struct dlq_host *host;
    const struct dlq_plugin *plugin;
    void *config;
    char log[8192]; ///< Lines, each ended by a newline
};

/// Open with plugin `name` and, unless `config` is NULL, its configuration, which must be accepted.
void
bench_open(struct bench *b, const char *name, const char *config);

void
bench_close(struct bench *b);

/// create() of the plugin with that text; on success the configuration is destroyed again.
int32_t
bench_try(struct bench *b, const char *config, struct dlq_error *err);

/// A text that create() must refuse, with that status and a message that contains `says`.
struct bench_refusal {
    const char *text;
    int32_t code;
    const char *says;
};

/// bench_try() each of `n` refusals with plugin `name`.
void
bench_refused(const char *name, const struct bench_refusal *cases, size_t n);

/// get_quant_method(); a method is destroyed again.
int32_t
bench_decide(struct bench *b, const struct facts *f, struct dlq_decision *out,
             struct dlq_error *err);

/// can_implement() of the method that the configuration chooses, which must be one; a refusal of
/// the plugin is returned.
int32_t
bench_can(struct bench *b, const struct facts *f, struct dlq_error *err);

#endif // DLQ_TESTS_LAYER_FACTS_H
