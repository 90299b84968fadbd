// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_PLUGIN_CHECK_H
#define DLQ_PLUGIN_CHECK_H

#include <dlquant/dlquant.h>

#include <stddef.h>
#include <stdint.h>

/// What every plugin has to do, as a list of checks that run in the calling process: the body of
/// dlquant-plugin-check and of the conformance tests.
///
/// A check makes its own runtime, never prints, and leaves nothing behind. It may crash or hang
/// when the plugin does; whoever checks strangers runs each check in a child with a time limit.

/// One configuration of the plugin and the size of a layer to try it on.
struct check_case {
    const char *name;      ///< For messages
    const char *config;    ///< JSON of the quantization section; "" for none
    int64_t k;             ///< Inputs of the layer
    int64_t n;             ///< Outputs of the layer
    uint32_t params_dtype; ///< Dtype of unquantized weights; 0: that of the activations
    /// Give a parameter of a whole layer values that make sense; NULL: by dtype and name. Returns 0
    /// to leave the parameter to that default. `random` gives 64 random bits a call.
    int (*fill)(const struct dlq_param_desc *desc, struct dlq_tensor *tensor,
                uint64_t (*random)(uint64_t *state), uint64_t *state);
};

/// What is checked. Everything must outlive the checks.
struct check_subject {
    const struct dlq_plugin *plugin; ///< What dlq_plugin_query() returned
    dlq_plugin_query_fn query;       ///< NULL: the table comes from no file
    const char *file;                ///< Path of the shared object, or NULL
    const struct check_case *cases;
    size_t n_cases; ///< Without cases only descriptor, file and configuration are checked
    uint64_t seed;  ///< Of all random values
};

enum check_verdict {
    CHECK_PASS = 0,
    CHECK_FAIL, ///< `text` says what was expected and what was found
    CHECK_SKIP  ///< `text` says why it could not be asked
};

/// How a check ended.
struct check_result {
    enum check_verdict verdict;
    char text[640]; ///< Empty, or one line
};

/// One check.
struct check {
    const char *name; ///< Lowercase with underscores: the behaviour that is asked for
    const char
        *group; ///< "static", "descriptor", "config", "memory", "numerics", "sharding", "safety"
    void (*run)(const struct check_subject *subject, struct check_result *result);
};

/// All checks, in the order in which they make sense.
extern const struct check check_list[];
extern const size_t check_list_size;

/// Run one check; `result` is cleared before.
void
check_run(const struct check *check, const struct check_subject *subject,
          struct check_result *result);

#endif // DLQ_PLUGIN_CHECK_H
