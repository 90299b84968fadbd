// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#ifndef DLQ_TESTS_FAKE_METHOD_H
#define DLQ_TESTS_FAKE_METHOD_H

#include "fake_plugin.h"

/// The method of a layer behind the plugins of fake_plugin.h.

/// What the configuration names, see fake_plugin.h.
enum fake_scheme { FAKE_PLAIN, FAKE_PACKED_K, FAKE_ACT_ORDER, FAKE_PACKED_N, FAKE_N_SCHEMES };

/// By enum fake_scheme, as configurations and explanations have them.
extern const char *const fake_scheme_names[FAKE_N_SCHEMES];

/// A parsed configuration.
struct fake_scheme_config {
    enum fake_scheme scheme;
    int64_t group;
};

/// One layer of it.
struct fake_method {
    struct fake_scheme_config config;
    const struct dlq_layer_info *info;
    int64_t group; ///< After refinement
    const void *weight, *scale, *zero, *global, *g_idx;
};

/// Functions of struct fake_method objects, from the host's memory; destroy() counts them down.
extern const struct dlq_linear_method_ops fake_method_ops;
extern const struct dlq_linear_method_ops fake_method_ops_without_apply;

/// Host memory.
static const struct dlq_device fake_cpu = {.kind = DLQ_DEVICE_CPU};

/// Fail with `code` because a test said so; DLQ_OK is none.
int32_t
fake_fail(const struct dlq_host *host, int32_t code, const char *step, struct dlq_error *err);

#endif // DLQ_TESTS_FAKE_METHOD_H
